//! What a control plane, a network or a clock may do wrong, and that it does no harm.

use super::cache::{Absence, Status};
use super::features::{Features, TRANSIENT_RESOURCE_TIMEOUT};
use super::fixture::Toy::{Part, Whole};
use super::fixture::{Fixture, Toy, any, resource, wrapped_for};
use super::in_process::Protocol::{Delta, StateOfTheWorld};
use super::kind::ResourceKind;
use super::nack::MAX_NACK;
use super::session::DEFAULT_STREAM_BACKOFF;
use super::{RESOURCE_TIMEOUT, UNLISTED_GRACE};
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

/// Waits until the session says something.
fn answer(f: &mut Fixture) {
    while f.session.next_request(f.now).is_none() {
        let wait = f.session.next_timer().unwrap().saturating_duration_since(f.now);
        f.fire_at(wait);
    }
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
fn not_found_is_a_deletion_that_says_why() {
    let mut f = holding(Features::default());
    assert_eq!(report(&mut f, Whole, "a", 5, "no such service"), ["a"]);
    assert_eq!(f.absence(Whole, "a"), Some(Absence::Deleted));
    assert!(f.session.get(Whole, "a").unwrap().trouble().ends_with("took it away: no such service"));
    assert_eq!(status(&f, Whole, "a"), Status::DoesNotExist);
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
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 0)]), ["a"]);
    assert_eq!((f.value(Whole, "a"), status(&f, Whole, "a")), (None, Status::Nacked));
    assert_eq!(f.session.get(Whole, "a").unwrap().trouble(), "was refused: number: must not be zero");
    f.send(Whole, vec![any(Whole, "a", 2)]);
    assert_eq!(report(&mut f, Whole, "a", 7, "not yours any more"), ["a"]);
    assert_eq!(f.absence(Whole, "a"), Some(Absence::Failed));
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
fn garbage_ends_the_stream_and_back_off_holds() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a"]);
    f.request();
    f.send(Part, vec![any(Part, "a", 1)]);
    for attempt in 1..20 {
        let error = f.session.receive(f.now, vec![0xff; 9].into(), &mut Vec::new()).unwrap_err();
        f.session.closed(f.now, &error.0, u64::MAX / 2);
        if attempt > 1 {
            assert!(f.session.error().unwrap().contains("not a discovery response"));
        }
        let start = f.now;
        while !f.session.should_open(f.now) {
            let wait = f.session.next_timer().unwrap() - f.now;
            f.fire_at(wait);
        }
        let wait = f.now - start;
        assert!(wait <= DEFAULT_STREAM_BACKOFF.max + SECOND);
        assert!(attempt < 15 || wait > 25 * SECOND, "{attempt}: {wait:?}");
        f.session.opened(f.now);
        f.requests();
    }
    assert_eq!(f.value(Part, "a"), Some(1));
}

#[test]
fn accepting_and_closing_is_met_with_back_off() {
    let mut f = Fixture::new();
    let start = f.now;
    for _ in 0..20 {
        f.open();
        f.session.closed(f.now, "closed", u64::MAX / 2);
        f.now = f.session.next_timer().unwrap();
    }
    assert!(f.now - start > Duration::from_secs(200), "{:?}", f.now - start);
}

#[test]
fn what_comes_without_a_stream_is_ignored() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a"]);
    f.request();
    f.session.closed(f.now, "gone", 0);
    assert!(f.send(Part, vec![any(Part, "a", 1)]).is_empty());
    f.reopen();
    assert_eq!(f.request().response_nonce, "");
    assert_eq!(f.value(Part, "a"), None);
}

#[test]
fn a_half_stream_that_never_answers_lets_the_time_run_out() {
    let mut f = Fixture::delta();
    f.subscribe(Whole, &["a"]);
    f.delta_request();
    assert!(f.delta_requests().is_empty(), "nothing to add");
    assert_eq!(f.fire_at(RESOURCE_TIMEOUT), ["a"]);
    assert_eq!(f.session.next_timer(), None, "nothing more to conclude");
}

#[test]
fn a_storm_of_refusals_is_slowed_down_and_news_are_not() {
    for delta in [false, true] {
        let mut f = if delta { Fixture::delta() } else { Fixture::up() };
        f.subscribe(Part, &["a"]);
        f.session.next_request(f.now).unwrap();
        let send = |f: &mut Fixture, number: u32| {
            if delta {
                f.send_delta(Part, vec![resource(Part, "a", &number.to_string(), number)], &[])
            } else {
                f.send(Part, vec![any(Part, "a", number)])
            }
        };
        let start = f.now;
        for round in 0..100 {
            assert_eq!(send(&mut f, 0).len(), usize::from(round == 0));
            answer(&mut f);
        }
        assert!(f.now - start > Duration::from_secs(400), "{:?}", f.now - start);
        assert_eq!(send(&mut f, 1), ["a"]);
        assert!(f.session.next_request(f.now).is_some(), "at once");
    }
}

#[test]
fn endless_nonces_are_answered_ever_more_slowly() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    let start = f.now;
    for _ in 0..200 {
        f.send(Whole, vec![any(Whole, "a", 1)]);
        answer(&mut f);
    }
    assert!(f.now - start > Duration::from_secs(600), "{:?}", f.now - start);
    f.send(Whole, vec![any(Whole, "a", 1)]);
    f.subscribe(Whole, &["a", "b"]);
    assert_eq!(f.request().resource_names, ["a", "b"], "a subscription does not wait");
}

#[test]
fn a_clock_that_jumps_does_no_lasting_harm() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a", "b"]);
    f.request();
    f.send(Part, vec![any(Part, "a", 1)]);
    assert_eq!(f.fire_at(Duration::from_secs(1 << 30)), ["b"], "far ahead: time is up");
    assert_eq!(f.send(Part, vec![any(Part, "b", 2)]), ["b"]);
    f.session.closed(f.now, "gone", 0);
    f.session.closed(f.now, "gone", 0);
    f.now -= Duration::from_secs(1 << 29);
    f.open();
    assert_eq!(f.request().resource_names, ["a", "b"], "back: nobody waits for the old time");
    assert!(f.fire_at(Duration::ZERO).is_empty());
    assert_eq!((f.value(Part, "a"), f.value(Part, "b")), (Some(1), Some(2)));
    let entry = f.session.get(Part, "b").unwrap();
    assert_eq!(entry.updated_at(f.now, SystemTime::UNIX_EPOCH), Some(SystemTime::UNIX_EPOCH));
}

#[test]
fn names_of_any_kind_are_borne() {
    let long = "ü".repeat(32 << 10);
    let names = ["", "*", &long, "\u{0}\n\"", "日本語"];
    for delta in [false, true] {
        let mut f = if delta { Fixture::delta() } else { Fixture::up() };
        f.subscribe(Part, &names);
        let asked =
            if delta { f.delta_request().resource_names_subscribe } else { f.request().resource_names };
        assert_eq!(asked, ["\u{0}\n\"", long.as_str(), "日本語"], "neither nothing nor everything");
        for none in ["", "*"] {
            assert_eq!(f.absence(Part, none), Some(Absence::NotFound));
        }
        let bad = [any(Part, &long, 0), any(Part, "", 1), any(Part, "*", 1), any(Part, "日本語", 1)];
        let error = if delta {
            let bad = bad.into_iter().zip([&long, "", "*", "日本語"]);
            let bad = bad.map(|(any, name)| mesh_proto::ads::Resource {
                resource: Some(any),
                ..resource(Part, name, "1", 1)
            });
            f.send_delta(Part, bad.collect(), &["", "*", "日"]);
            f.delta_request().error_detail
        } else {
            f.send(Part, bad.into());
            f.request().error_detail
        };
        let message = error.unwrap().message;
        assert!(message.len() < MAX_NACK && message.contains("number: must not be zero"), "{message}");
        assert_eq!(f.value(Part, "日本語"), Some(1));
        f.subscribe(Part, &["日本語"]);
        f.session.next_request(f.now);
        f.subscribe(Part, &[]);
        assert!(f.session.entries(Part).next().is_none());
    }
}

#[test]
fn what_nobody_asked_for_takes_no_room() {
    for delta in [false, true] {
        let mut f = if delta { Fixture::delta() } else { Fixture::up() };
        f.subscribe(Part, &["a"]);
        f.session.next_request(f.now);
        for round in 0..100 {
            let names: Vec<_> = (0..100).map(|index| format!("{round}/{index}")).collect();
            if delta {
                let all = names.iter().map(|name| resource(Part, name, "1", 1)).collect();
                f.send_delta(Part, all, &["x", "y"]);
            } else {
                f.send(Part, names.iter().map(|name| any(Part, name, 1)).collect());
            }
        }
        assert_eq!(f.session.entries(Part).count(), 1);
    }
}

#[test]
fn a_server_that_missed_a_name_being_dropped_sends_it_all_the_same() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a", "b"]);
    f.request();
    f.send(Part, vec![any(Part, "a", 1), any(Part, "b", 1)]);
    f.request();
    f.subscribe(Part, &["b"]);
    assert_eq!(f.request().resource_names, ["b"]);
    // This crosses that request, which the server therefore ignores.
    f.send(Part, vec![any(Part, "b", 2)]);
    f.subscribe(Part, &["a", "b"]);
    assert_eq!(f.request().resource_names, ["b"], "so that it is dropped for certain");
    f.fire_at(UNLISTED_GRACE);
    assert_eq!(f.request().resource_names, ["a", "b"]);
    assert_eq!(f.send(Part, vec![any(Part, "a", 1)]), ["a"]);
}

#[test]
fn everything_may_be_asked_for_in_a_state_of_the_world_too() {
    let mut f = Fixture::up();
    f.session.add_all(Whole);
    assert!(f.request().resource_names.is_empty());
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 0)]), ["a", "b"]);
    assert!(f.request().error_detail.is_some());
    f.subscribe(Whole, &["a"]);
    assert_eq!(f.request().resource_names, ["*", "a"]);
    assert_eq!(f.send(Whole, vec![]), ["a", "b"]);
    assert_eq!(f.absence(Whole, "a"), Some(Absence::Deleted));
    assert!(f.session.get(Whole, "b").is_none());
    f.request();
    f.subscribe(Whole, &[]);
    assert_eq!(f.request().resource_names, ["*"], "no names would mean none");
}

#[test]
fn of_ten_thousand_resources_the_one_that_changed_is_decoded() {
    let names: Vec<_> =
        (0..10_000).map(|index| format!("outbound|80||service-{index}.default.svc")).collect();
    let mut f = Fixture::up();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    f.subscribe(Whole, &all);
    f.request();
    let world = |number| names.iter().map(|name| any(Whole, name, number)).collect::<Vec<_>>();
    assert_eq!(f.send(Whole, world(1)).len(), 10_000);
    f.request();
    let decoded = super::fixture::decoded();
    let mut changed = world(1);
    changed[5000] = any(Whole, &names[5000], 2);
    assert_eq!(f.send(Whole, changed), [names[5000].as_str()]);
    assert_eq!(super::fixture::decoded() - decoded, 1);
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
