//! The state-of-the-world session against scripted events, in virtual time.

use super::*;
use crate::xds::cache::Absence;
use crate::xds::fixture::Toy::{Part, Whole};
use crate::xds::fixture::{self, Fixture, any, resource, wrapped};
use crate::xds::{RESOURCE_TIMEOUT, UNLISTED_GRACE};
use mesh_proto::ads::{Any, DiscoveryResponse, Resource};
use prost::Message;

#[test]
fn the_control_plane_may_write_names_in_other_ways() {
    const NAME: &str = "xdstp://a/Whole/svc:80?a=1&b=2";
    let other = |number| any(Whole, "xdstp://a/Whole/svc%3A80?b=2&a=1", number);
    let mut f = Fixture::up();
    f.subscribe(Whole, &[NAME]);
    assert_eq!(f.request().resource_names, [NAME]);
    assert_eq!(f.send(Whole, vec![other(1)]), [NAME]);
    assert_eq!(f.value(Whole, NAME), Some(1));
    f.send(Whole, vec![other(2), any(Whole, NAME, 3)]);
    let why = f.request().error_detail.unwrap().message;
    assert_eq!(why, format!("{NAME}: the response mentions this resource twice"));

    let mut f = Fixture::delta();
    f.subscribe(Whole, &[NAME]);
    f.delta_request();
    let name = "XDSTP://a/Whole/svc:80?b=2&a=1".to_owned();
    let sent = Resource { name, ..resource(Whole, NAME, "1", 1) };
    assert_eq!(f.send_delta(Whole, vec![sent], &[]), [NAME]);
    assert_eq!(f.send_delta(Whole, vec![], &["xdstp://a/Whole/svc:80?b=2&a=1"]), [NAME]);
    assert_eq!(f.absence(Whole, NAME), Some(Absence::Deleted));
}

#[test]
fn subscribe_receive_acknowledge() {
    let mut f = Fixture::up();
    assert!(f.requests().is_empty(), "nothing to ask, nothing asked");
    f.subscribe(Whole, &["b", "a"]);
    let first = f.request();
    assert_eq!(first.resource_names, ["a", "b"]);
    assert_eq!((first.version_info.as_str(), first.response_nonce.as_str()), ("", ""));
    assert_eq!(first.node.unwrap().id, "me");
    assert_eq!(
        f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 2), any(Whole, "extra", 3)]),
        ["a", "b"]
    );
    let ack = f.request();
    assert_eq!((ack.version_info.as_str(), ack.response_nonce.as_str()), ("v1", "n1"));
    assert!(ack.node.is_none() && ack.error_detail.is_none());
    assert_eq!((f.value(Whole, "a"), f.value(Whole, "b")), (Some(1), Some(2)));
    assert!(f.session.get(Whole, "extra").is_none());
    assert_eq!(f.session.control_plane(), "scripted");
}

#[test]
fn only_what_is_of_a_known_type_is_an_answer() {
    let mut f = Fixture::up();
    let of_type = |type_url: &str| {
        DiscoveryResponse { type_url: type_url.to_owned(), ..Default::default() }.encode_to_vec()
    };
    let good = of_type(Whole.type_url());
    let nonce_that_is_no_text = [&good[..], &[0x2a, 1, 0xff]].concat();
    assert!(!f.session.is_answer(&nonce_that_is_no_text.into()));
    f.session.closed(f.now, "refused", 0);
    f.now += Duration::from_secs(60);
    f.open();
    for not in [vec![], of_type("type.googleapis.com/Unknown")] {
        assert!(!f.session.is_answer(&not.clone().into()));
        f.deliver(not);
        assert!(!f.session.is_answered() && !f.session.is_connected() && f.session.error().is_some());
    }
    assert!(f.session.is_answer(&good.clone().into()));
    f.deliver(good);
    assert!(f.session.is_answered() && f.session.is_connected() && f.session.error().is_none());
}

#[test]
fn a_version_is_offered_only_by_who_has_all_that_it_asks_for() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1)]);
    f.request();
    f.reopen();
    assert_eq!(f.request().version_info, "v1");
    f.subscribe(Whole, &[]);
    f.request();
    f.reopen();
    assert!(f.requests().is_empty());
    f.subscribe(Whole, &["a"]);
    assert_eq!(f.request().version_info, "", "what was let go of has to come again");
}

#[test]
fn an_acknowledgement_and_new_names_leave_in_one_request() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1)]);
    f.subscribe(Whole, &["a", "b"]);
    let request = f.request();
    assert_eq!(request.resource_names, ["a", "b"]);
    assert_eq!((request.version_info.as_str(), request.response_nonce.as_str()), ("v1", "n1"));
}

/// istiod, as others, does not look at the names in a refusal.
#[test]
fn new_names_follow_a_refusal_in_a_request_of_their_own() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a", "b"]);
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 0)]);
    f.subscribe(Whole, &["b", "c"]);
    let [refusal, names] = f.requests().try_into().unwrap();
    assert!(refusal.error_detail.is_some());
    assert_eq!(
        (&*refusal.response_nonce, refusal.resource_names),
        ("n1", vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(names.error_detail, None);
    assert_eq!((&*names.response_nonce, &*names.version_info), ("n1", ""), "nothing was accepted");
    assert_eq!(names.resource_names, ["b", "c"]);
    assert!(f.fire_at(RESOURCE_TIMEOUT - Duration::from_millis(1)).is_empty());
    assert_eq!(f.fire_at(Duration::from_millis(1)), ["c"], "the time runs from the second one");
}

#[test]
fn a_refusal_that_is_held_back_leaves_before_new_names_do() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    for _ in 0..4 {
        f.send(Whole, vec![any(Whole, "a", 0)]);
        f.requests();
    }
    f.send(Whole, vec![any(Whole, "a", 0)]);
    assert!(f.requests().is_empty(), "who says the same again and again waits");
    f.subscribe(Whole, &["a", "b"]);
    let [refusal, names] = f.requests().try_into().unwrap();
    assert!(refusal.error_detail.is_some() && names.error_detail.is_none());
    assert_eq!((refusal.resource_names.len(), names.resource_names.len()), (1, 2));
}

#[test]
fn names_are_told_again_after_a_refusal_if_a_response_may_have_crossed_them() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1)]);
    f.request();
    f.subscribe(Whole, &["a", "b"]);
    assert_eq!(f.request().response_nonce, "n1", "by now the last nonce may be another one");
    f.send(Whole, vec![any(Whole, "a", 0)]);
    let [refusal, names] = f.requests().try_into().unwrap();
    assert!(refusal.error_detail.is_some() && names.error_detail.is_none());
    assert_eq!((&*names.response_nonce, names.resource_names), ("n2", vec!["a".to_owned(), "b".to_owned()]));
    f.now += UNLISTED_GRACE;
    f.send(Whole, vec![any(Whole, "a", 0), any(Whole, "b", 1)]);
    assert!(f.request().error_detail.is_some(), "the server knows the names by now");
}

#[test]
fn a_bad_resource_is_refused_alone_and_the_good_one_stays() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a", "b", "c"]);
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 2), any(Whole, "c", 3)]);
    f.request();
    let mut odd = any(Whole, "c", 9);
    odd.type_url = "type.googleapis.com/Other".to_owned();
    let changes = f.send(Whole, vec![any(Whole, "a", 0), any(Whole, "b", 20), odd]);
    assert_eq!(changes, ["a", "b"]);
    let nack = f.request();
    assert_eq!((nack.version_info.as_str(), nack.response_nonce.as_str()), ("v1", "n2"));
    let detail = nack.error_detail.unwrap();
    assert_eq!(detail.code, 3);
    assert!(detail.message.contains("a: number: must not be zero"), "{}", detail.message);
    assert!(
        detail.message.contains("resource 2: type_url: \"type.googleapis.com/Other\""),
        "{}",
        detail.message
    );
    assert_eq!(f.value(Whole, "a"), Some(1), "last good");
    assert_eq!(f.value(Whole, "b"), Some(20), "neighbour");
    assert_eq!(f.value(Whole, "c"), Some(3), "may have been the unreadable one");
    let rejection = f.session.get(Whole, "a").unwrap().rejection.clone().unwrap();
    assert_eq!((&*rejection.version, rejection.reason.as_str()), ("v2", "number: must not be zero"));

    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 20), any(Whole, "c", 3)]), ["a"]);
    assert!(f.session.get(Whole, "a").unwrap().rejection.is_none());
    assert_eq!(f.request().version_info, "v3");
}

#[test]
fn the_same_refusal_is_told_once() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a"]);
    f.request();
    assert_eq!(f.send(Part, vec![any(Part, "a", 0)]), ["a"]);
    assert!(f.send(Part, vec![any(Part, "a", 0)]).is_empty());
    assert_eq!(f.request().response_nonce, "n2");
}

#[test]
fn an_unchanged_resource_is_not_delivered_again() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a"]);
    f.request();
    assert_eq!(f.send(Part, vec![any(Part, "a", 1)]), ["a"]);
    assert!(f.send(Part, vec![any(Part, "a", 1)]).is_empty());
    assert_eq!(f.send(Part, vec![any(Part, "a", 2)]), ["a"]);
}

#[test]
fn wrappers_are_opened_and_heartbeats_are_no_news() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    assert_eq!(f.send(Whole, vec![wrapped("a", Some(any(Whole, "a", 1)))]), ["a"]);
    assert!(f.send(Whole, vec![wrapped("a", None)]).is_empty());
    assert_eq!(f.value(Whole, "a"), Some(1));
    assert!(f.request().error_detail.is_none());
    f.send(Whole, vec![wrapped("", None)]);
    assert!(f.request().error_detail.unwrap().message.contains("name: missing"));
    let garbage = |mut wrapper: Any| {
        wrapper.value = vec![0xff].into();
        wrapper
    };
    assert_eq!(
        f.send(Whole, vec![garbage(wrapped("b", None)), wrapped("a", Some(any(Whole, "a", 2)))]),
        ["a"]
    );
    let message = f.request().error_detail.unwrap().message;
    assert!(message.contains("resource 0: the Resource wrapper cannot be decoded"), "{message}");
}

#[test]
fn what_nobody_asked_for_is_no_error_in_an_answer() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    assert_eq!(f.send(Whole, vec![any(Whole, "other", 0), any(Whole, "a", 1)]), ["a"]);
    assert_eq!(f.request().error_detail, None);
    assert!(f.session.get(Whole, "other").is_none());
}

#[test]
fn nameless_and_doubled_resources_are_refused() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a"]);
    f.request();
    f.send(Part, vec![any(Part, "", 1), any(Part, "a", 1), any(Part, "a", 2)]);
    let message = f.request().error_detail.unwrap().message;
    assert!(message.contains("resource 0: name: missing"), "{message}");
    assert!(message.contains("a: the response mentions this resource twice"), "{message}");
    assert_eq!(f.value(Part, "a"), Some(1));
}

#[test]
fn absence_from_a_complete_response() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a", "b"]);
    f.request();
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1)]), ["a", "b"]);
    assert_eq!(f.absence(Whole, "b"), Some(Absence::Unlisted), "the first request named it: certain");
    assert_eq!(f.send(Whole, vec![]), ["a"]);
    assert_eq!(f.absence(Whole, "a"), Some(Absence::Deleted));
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 1)]), ["a", "b"]);
    assert_eq!(f.value(Whole, "b"), Some(1));
}

#[test]
fn a_response_that_may_have_crossed_the_request_proves_nothing_at_once() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1)]);
    f.subscribe(Whole, &["a", "b"]);
    f.request();
    assert!(f.send(Whole, vec![any(Whole, "a", 1)]).is_empty());
    assert_eq!(f.absence(Whole, "b"), None);
    assert_eq!(f.session.next_timer(), Some(f.now + UNLISTED_GRACE));
    assert!(f.fire_at(UNLISTED_GRACE - Duration::from_millis(1)).is_empty());
    assert_eq!(f.fire_at(Duration::from_millis(1)), ["b"]);
    assert_eq!(f.absence(Whole, "b"), Some(Absence::Unlisted));
}

#[test]
fn absence_from_a_partial_response_means_nothing() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a", "b"]);
    f.request();
    f.send(Part, vec![any(Part, "a", 1)]);
    f.send(Part, vec![any(Part, "b", 1)]);
    assert_eq!((f.value(Part, "a"), f.value(Part, "b")), (Some(1), Some(1)));
}

#[test]
fn silence_means_that_it_does_not_exist_after_fifteen_seconds() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a"]);
    assert_eq!(f.session.next_timer(), None, "the time runs from the request");
    f.request();
    f.now += Duration::from_secs(5);
    f.subscribe(Part, &["a", "b"]);
    f.request();
    assert!(f.fire_at(Duration::from_secs(9)).is_empty());
    assert_eq!(f.fire_at(Duration::from_secs(1)), ["a"]);
    assert_eq!(f.absence(Part, "a"), Some(Absence::TimedOut));
    assert_eq!(f.session.next_timer(), Some(f.now + Duration::from_secs(5)));
    f.send(Part, vec![any(Part, "b", 1)]);
    assert!(f.fire_at(Duration::from_secs(60)).is_empty());
    assert_eq!(f.send(Part, vec![any(Part, "a", 1)]), ["a"], "late, but welcome");
}

#[test]
fn an_unlisted_resource_times_out_too() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.request();
    assert_eq!(f.send(Whole, vec![]), ["a"]);
    assert_eq!(f.fire_at(RESOURCE_TIMEOUT), ["a"]);
    assert_eq!(f.absence(Whole, "a"), Some(Absence::TimedOut));
}

#[test]
fn the_time_does_not_run_without_a_stream() {
    let mut f = Fixture::up();
    f.subscribe(Part, &["a"]);
    f.request();
    f.session.closed(f.now, "gone", 0);
    assert!(f.fire_at(Duration::from_secs(60)).is_empty());
    assert!(f.session.should_open(f.now));
    f.session.opened(f.now);
    f.request();
    assert_eq!(f.fire_at(RESOURCE_TIMEOUT), ["a"]);
}

#[test]
fn a_control_plane_works_until_a_stream_fails_and_again_once_one_answers() {
    let mut f = Fixture::new();
    assert!(!f.session.is_connected(), "nothing was tried");
    f.open();
    assert!(f.session.is_connected());
    f.subscribe(Part, &["a"]);
    f.request();
    f.send(Part, vec![any(Part, "a", 1)]);
    f.session.closed(f.now, "routine", 0);
    assert_eq!(
        (f.session.is_connected(), f.session.outages()),
        (true, 0),
        "streams end; this one had answered"
    );
    f.now += Duration::from_secs(60);
    assert!(f.session.should_open(f.now));
    f.session.closed(f.now, "refused", 0);
    assert_eq!((f.session.is_connected(), f.session.outages()), (false, 1));
    f.now += Duration::from_secs(60);
    f.open();
    assert!(!f.session.is_connected(), "it has not answered yet");
    f.session.closed(f.now, "gone", 0);
    assert_eq!((f.session.is_connected(), f.session.outages()), (false, 1), "it was down all the time");
    f.now += Duration::from_secs(60);
    f.open();
    f.request();
    f.send(Part, vec![any(Part, "a", 1)]);
    assert_eq!((f.session.is_connected(), f.session.outages()), (true, 1));
}

#[test]
fn a_new_stream_asks_for_everything_and_keeps_what_is_known() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a"]);
    f.subscribe(Part, &["p"]);
    assert_eq!(f.requests().len(), 2);
    f.send(Whole, vec![any(Whole, "a", 1)]);
    f.requests();
    f.session.closed(f.now, "gone", 0);
    assert_eq!(f.value(Whole, "a"), Some(1));
    assert!(f.session.error().is_none(), "streams end; this one had served");
    f.now += Duration::from_secs(60);
    assert!(f.session.should_open(f.now));
    f.session.opened(f.now);
    let requests = f.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].node.is_some() && requests[1].node.is_none());
    assert_eq!((requests[0].version_info.as_str(), requests[0].response_nonce.as_str()), ("v1", ""));
    assert_eq!((requests[1].version_info.as_str(), requests[1].response_nonce.as_str()), ("", ""));
    assert!(f.send(Whole, vec![any(Whole, "a", 1)]).is_empty());
}

#[test]
fn unsubscribing_forgets_and_says_so() {
    let mut f = Fixture::up();
    f.subscribe(Whole, &["a", "b"]);
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 2)]);
    f.request();
    f.subscribe(Whole, &["b"]);
    assert_eq!(f.request().resource_names, ["b"]);
    f.subscribe(Whole, &[]);
    let last = f.request();
    assert!(last.resource_names.is_empty());
    assert_eq!(last.response_nonce, "n1");
    f.subscribe(Whole, &["a"]);
    assert!(f.requests().is_empty(), "the server may not know yet that it was dropped");
    f.fire_at(UNLISTED_GRACE);
    assert_eq!(f.request().response_nonce, "n1", "the nonce outlives the subscription");
    assert_eq!(f.value(Whole, "a"), None, "never stale");
}

#[test]
fn what_was_not_asked_for_is_not_answered() {
    let mut f = Fixture::up();
    assert!(f.send(Part, vec![any(Part, "a", 1)]).is_empty());
    assert!(f.requests().is_empty(), "an answer would subscribe to everything");
    f.nonce += 1;
    let unknown = DiscoveryResponse { type_url: "type.googleapis.com/Unknown".into(), ..Default::default() };
    f.session.receive(f.now, unknown.encode_to_vec().into(), &mut Vec::new()).unwrap();
    assert!(f.requests().is_empty());
}

#[test]
fn garbage_is_an_error() {
    let mut f = Fixture::up();
    let error = f.session.receive(f.now, Bytes::from_static(&[0xff; 7]), &mut Vec::new()).unwrap_err();
    assert!(error.0.contains("not a discovery response"));
}

#[test]
fn back_off_grows_and_resets_after_a_healthy_stream() {
    let mut f = Fixture::new();
    let middle = u64::MAX / 2;
    for (failures, expected) in [(1, 0.25), (2, 0.4), (3, 0.64)] {
        assert!(f.session.should_open(f.now));
        assert!(!f.session.should_open(f.now), "one attempt at a time");
        f.session.closed(f.now, "refused", middle);
        let wait = (f.session.next_timer().unwrap() - f.now).as_secs_f64();
        assert!((wait - expected).abs() < 1e-3, "{failures}: {wait}");
        assert!(!f.session.should_open(f.now));
        f.now = f.session.next_timer().unwrap();
    }
    assert!(f.session.should_open(f.now));
    f.session.opened(f.now);
    f.subscribe(Part, &["a"]);
    f.request();
    f.send(Part, vec![any(Part, "a", 1)]);
    f.session.closed(f.now, "ended at once", middle);
    assert!(f.session.next_timer().unwrap() > f.now, "answering and hanging up is no reason to hurry");
    f.now = f.session.next_timer().unwrap();
    assert!(f.session.should_open(f.now));
    f.session.opened(f.now);
    f.request();
    f.send(Part, vec![any(Part, "a", 2)]);
    f.now += HEALTHY_STREAM;
    f.session.closed(f.now, "ended", middle);
    assert!(f.session.should_open(f.now), "a stream that served is replaced at once");
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
    let decoded = fixture::decoded();
    let mut changed = world(1);
    changed[5000] = any(Whole, &names[5000], 2);
    assert_eq!(f.send(Whole, changed), [names[5000].as_str()]);
    assert_eq!(fixture::decoded() - decoded, 1);
}
