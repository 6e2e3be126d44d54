//! Why a resource is not there, or not as the control plane has it: errors, deletions and times to live.

use super::RESOURCE_TIMEOUT;
use super::cache::{Absence, Status};
use super::features::{Features, TRANSIENT_RESOURCE_TIMEOUT};
use super::fixture::Toy::{Part, Whole};
use super::fixture::{Fixture, Toy, any, resource, wrapped_for};
use super::in_process::Protocol::{Delta, StateOfTheWorld};
use super::kind::ResourceKind;
use mesh_proto::envoy::service::discovery::v3 as envoy;
use mesh_proto::google::rpc::Status as RpcStatus;
use prost::Message;
use std::time::{Duration, SystemTime};

const SECOND: Duration = Duration::from_secs(1);

/// A response with nothing but an error that the control plane reports for `name`.
fn report(f: &mut Fixture, kind: Toy, name: &str, code: i32, message: &str) -> Vec<String> {
    let error = envoy::ResourceError {
        resource_name: Some(envoy::ResourceName { name: name.into(), ..Default::default() }),
        error_detail: Some(RpcStatus { code, message: message.into(), details: vec![] }),
    };
    let (type_url, nonce) = (kind.type_url().to_owned(), "n".to_owned());
    let message = match f.session.protocol() {
        StateOfTheWorld => {
            envoy::DiscoveryResponse { type_url, nonce, resource_errors: vec![error], ..Default::default() }
                .encode_to_vec()
        }
        Delta => envoy::DeltaDiscoveryResponse {
            type_url,
            nonce,
            resource_errors: vec![error],
            ..Default::default()
        }
        .encode_to_vec(),
    };
    f.deliver(message)
}

#[test]
fn when_the_time_of_a_resource_is_over_what_was_wrong_since_is_why_there_is_none() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    f.send(Whole, vec![wrapped_for("a", Some(any(Whole, "a", 1)), Some(SECOND))]);
    f.send(Whole, vec![any(Whole, "a", 0)]);
    assert_eq!(f.value(Whole, "a"), Some(1));
    assert_eq!(f.fire_at(SECOND), ["a"]);
    let entry = f.session.get(Whole, "a").unwrap();
    assert_eq!((entry.value(), &*entry.trouble()), (None, "was refused: number: must not be zero"));
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 0)]), [""; 0], "it was told");

    f.send(Whole, vec![wrapped_for("a", Some(any(Whole, "a", 2)), Some(SECOND))]);
    report(&mut f, Whole, "a", 13, "overload");
    assert_eq!(f.value(Whole, "a"), Some(2));
    assert_eq!(f.fire_at(SECOND), ["a"]);
    let entry = f.session.get(Whole, "a").unwrap();
    assert_eq!((entry.value(), entry.status()), (None, Status::ReceivedError));
    assert!(entry.trouble().contains("overload"), "{}", entry.trouble());
}

#[test]
fn what_cannot_be_had_stays_known_as_a_part_of_everything() {
    let mut f = Fixture::delta();
    f.session.add_all(Whole);
    f.subscribe(Whole, &["a"]);
    f.delta_requests();
    report(&mut f, Whole, "a", 13, "overload");
    f.subscribe(Whole, &[]);
    assert_eq!(status(&f, Whole, "a"), Status::ReceivedError);
    assert_eq!(f.send_delta(Whole, vec![], &["a"]), ["a"]);
    assert!(f.session.get(Whole, "a").is_none());
}

fn status(f: &Fixture, kind: Toy, name: &str) -> Status {
    f.session.get(kind, name).unwrap().status()
}

fn holding(features: Features) -> Fixture {
    let mut f = Fixture::with(StateOfTheWorld, features);
    f.open();
    f.subscribe(Whole, &["a"]);
    f.request();
    assert_eq!(status(&f, Whole, "a"), Status::Requested);
    f.send(Whole, vec![any(Whole, "a", 1)]);
    f.request();
    assert_eq!(status(&f, Whole, "a"), Status::Acked);
    f
}

#[test]
fn a_reported_error_is_told_and_what_is_held_stays() {
    for delta in [false, true] {
        let mut f = if delta { Fixture::delta() } else { Fixture::up() };
        f.subscribe(Part, &["a", "b"]);
        f.session.next_request(f.now);
        if delta {
            f.send_delta(Part, vec![resource(Part, "a", "1", 1)], &[]);
        } else {
            f.send(Part, vec![any(Part, "a", 1)]);
        }
        assert_eq!(report(&mut f, Part, "a", 13, "broken"), ["a"]);
        assert!(report(&mut f, Part, "a", 13, "broken").is_empty(), "told once");
        assert_eq!((f.value(Part, "a"), status(&f, Part, "a")), (Some(1), Status::ReceivedError));
        assert_eq!(report(&mut f, Part, "b", 7, "not yours"), ["b"]);
        assert_eq!(f.absence(Part, "b"), Some(Absence::Failed));
        assert_eq!(
            f.session.get(Part, "b").unwrap().trouble(),
            "cannot be had: the control plane reports an error: not yours"
        );
        assert!(f.fire_at(RESOURCE_TIMEOUT).is_empty(), "an error is an answer");
        assert!(report(&mut f, Part, "stranger", 7, "not yours").is_empty());
        let changed = if delta {
            f.send_delta(Part, vec![resource(Part, "a", "1", 1)], &[])
        } else {
            f.send(Part, vec![any(Part, "a", 1)])
        };
        assert_eq!(changed, ["a"], "the error is over");
        assert_eq!(status(&f, Part, "a"), Status::Acked);
    }
}

#[test]
fn in_a_state_of_the_world_not_found_is_an_error_and_what_is_held_stays() {
    let mut f = holding(Features::default());
    assert_eq!(report(&mut f, Whole, "a", 5, "no such service"), ["a"]);
    assert!(report(&mut f, Whole, "a", 5, "no such service").is_empty(), "told once");
    assert_eq!((f.value(Whole, "a"), status(&f, Whole, "a")), (Some(1), Status::DoesNotExist));
    assert_eq!(f.session.get(Whole, "a").unwrap().error.as_ref().unwrap().message, "no such service");
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1)]), ["a"], "the error is over");
    assert_eq!(f.send(Whole, vec![]), ["a"], "to leave it out is to take it away");

    f.subscribe(Whole, &["a", "b"]);
    f.requests();
    assert_eq!(report(&mut f, Whole, "b", 5, "no such service"), ["b"]);
    assert_eq!(f.absence(Whole, "b"), Some(Absence::NotFound), "nothing is held");
    assert!(f.session.get(Whole, "b").unwrap().trouble().ends_with("no such service"));

    let features = Features { fail_on_data_errors: true, ..Features::default() };
    assert_deleted(&mut holding(features));
}

#[test]
fn in_the_incremental_protocol_not_found_is_a_deletion_that_says_why() {
    for (keep, kept) in [(false, None), (true, Some(1))] {
        let features = Features { ignore_resource_deletion: keep, ..Features::default() };
        let mut f = Fixture::with(Delta, features);
        f.open();
        f.subscribe(Whole, &["a"]);
        f.delta_request();
        f.send_delta(Whole, vec![resource(Whole, "a", "1", 1)], &[]);
        if keep {
            assert_eq!(report(&mut f, Whole, "a", 5, "no such service"), ["a"]);
        } else {
            assert_deleted(&mut f);
        }
        assert_eq!((f.value(Whole, "a"), status(&f, Whole, "a")), (kept, Status::DoesNotExist));
    }
}

fn assert_deleted(f: &mut Fixture) {
    assert_eq!(report(f, Whole, "a", 5, "no such service"), ["a"]);
    assert_eq!(f.absence(Whole, "a"), Some(Absence::Deleted));
    assert!(f.session.get(Whole, "a").unwrap().trouble().ends_with("took it away: no such service"));
    assert_eq!(status(f, Whole, "a"), Status::DoesNotExist);
}

#[test]
fn that_something_unknown_is_not_found_is_no_news() {
    let mut f = Fixture::delta();
    f.session.add_all(Whole);
    f.delta_request();
    assert!(report(&mut f, Whole, "a", 5, "no such service").is_empty());
    assert_eq!(report(&mut f, Whole, "a", 7, "not yours"), ["a"]);
    assert_eq!(report(&mut f, Whole, "a", 5, "no such service"), ["a"]);
    assert!(f.session.get(Whole, "a").is_none());
}

#[test]
fn deletions_are_ignored_where_the_bootstrap_says_so() {
    let mut f = holding(Features { ignore_resource_deletion: true, ..Features::default() });
    assert_eq!(f.send(Whole, vec![]), ["a"]);
    assert_eq!((f.value(Whole, "a"), status(&f, Whole, "a")), (Some(1), Status::DoesNotExist));
    assert!(f.send(Whole, vec![]).is_empty(), "told once");
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1)]), ["a"]);
    assert_eq!(status(&f, Whole, "a"), Status::Acked);
}

#[test]
fn data_errors_are_fatal_where_the_bootstrap_says_so() {
    let features =
        Features { fail_on_data_errors: true, ignore_resource_deletion: true, ..Features::default() };
    let mut f = holding(features);
    let forfeited = |f: &Fixture| f.session.get(Whole, "a").unwrap().forfeited;
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 0)]), ["a"]);
    assert_eq!((f.value(Whole, "a"), status(&f, Whole, "a"), forfeited(&f)), (None, Status::Nacked, true));
    assert_eq!(f.session.get(Whole, "a").unwrap().trouble(), "was refused: number: must not be zero");
    f.send(Whole, vec![any(Whole, "a", 2)]);
    assert!(!forfeited(&f));
    assert_eq!(report(&mut f, Whole, "a", 7, "not yours any more"), ["a"]);
    assert_eq!((f.absence(Whole, "a"), forfeited(&f)), (Some(Absence::Failed), true));
    f.send(Whole, vec![any(Whole, "a", 3)]);
    assert_eq!(f.send(Whole, vec![]), ["a"]);
    assert_eq!(f.absence(Whole, "a"), Some(Absence::Deleted));
}

#[test]
fn a_slow_control_plane_gets_more_time_and_another_word() {
    let mut f = Fixture::with(
        StateOfTheWorld,
        Features { resource_timer_is_transient_error: true, ..Features::default() },
    );
    f.open();
    f.subscribe(Part, &["a"]);
    f.request();
    assert!(f.fire_at(RESOURCE_TIMEOUT).is_empty());
    assert_eq!(f.fire_at(TRANSIENT_RESOURCE_TIMEOUT - RESOURCE_TIMEOUT), ["a"]);
    assert_eq!((f.absence(Part, "a"), status(&f, Part, "a")), (Some(Absence::Unanswered), Status::Timeout));
}

#[test]
fn a_time_to_live_ends_unless_it_is_renewed() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a", "b"]);
    f.request();
    let ttl = Some(3 * SECOND);
    f.send(Whole, vec![wrapped_for("a", Some(any(Whole, "a", 1)), ttl), any(Whole, "b", 2)]);
    f.now += 2 * SECOND;
    assert!(f.send(Whole, vec![wrapped_for("a", None, ttl)]).is_empty());
    assert_eq!(f.value(Whole, "b"), Some(2), "a heartbeat is not the state of the world");
    assert!(f.fire_at(2 * SECOND).is_empty(), "renewed");
    f.session.closed(f.now, "gone", 0);
    assert_eq!(f.fire_at(SECOND), ["a"], "time goes on without a stream");
    assert_eq!(f.absence(Whole, "a"), Some(Absence::Expired));
    assert!(f.send(Whole, vec![wrapped_for("a", None, ttl)]).is_empty(), "nothing to renew");
    f.reopen();
    assert_eq!(f.request().version_info, "", "not all of that version is here any more");
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 2)]), ["a"]);
    assert!(f.fire_at(1000 * SECOND).is_empty(), "this one lives for ever");
}

#[test]
fn times_to_live_of_any_length_are_borne() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a"]);
    f.request();
    for ttl in [Duration::from_secs(i64::MAX as u64), Duration::from_nanos(1), Duration::from_secs(1 << 40)] {
        f.send(Part, vec![wrapped_for("a", Some(any(Part, "a", 1)), Some(ttl))]);
    }
    for index in 0..10_000 {
        let ttl = Duration::from_nanos(1_000_000_000 - index);
        f.send(Part, vec![wrapped_for("a", None, Some(ttl))]);
        f.fire_at(Duration::ZERO);
    }
    assert_eq!(f.value(Part, "a"), Some(1));
    assert_eq!(f.fire_at(SECOND), ["a"]);
}

#[test]
fn dates_are_told() {
    let mut f = holding(Features::default());
    f.send(Whole, vec![any(Whole, "a", 0)]);
    f.now += 5 * SECOND;
    let wall = SystemTime::UNIX_EPOCH + 100 * SECOND;
    let entry = f.session.get(Whole, "a").unwrap();
    assert_eq!(entry.updated_at(f.now, wall), Some(SystemTime::UNIX_EPOCH + 95 * SECOND));
    assert_eq!(
        entry.rejection.as_ref().unwrap().date(f.now, wall),
        Some(SystemTime::UNIX_EPOCH + 95 * SECOND)
    );
    assert!(!entry.rejection.as_ref().unwrap().bytes.is_empty());
}
