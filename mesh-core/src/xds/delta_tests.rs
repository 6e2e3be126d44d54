//! The delta session against scripted events, in virtual time.

use crate::xds::cache::Absence;
use crate::xds::features::Features;
use crate::xds::fixture::Toy::{Part, Whole};
use crate::xds::fixture::{Fixture, resource};
use crate::xds::in_process::Protocol;
use crate::xds::{RESOURCE_TIMEOUT, UNLISTED_GRACE};
use mesh_proto::ads::{Any, DeltaDiscoveryRequest, Resource};
use std::time::Duration;

fn subscribed(request: &DeltaDiscoveryRequest) -> Vec<&str> {
    request.resource_names_subscribe.iter().map(String::as_str).collect()
}

fn unsubscribed(request: &DeltaDiscoveryRequest) -> Vec<&str> {
    request.resource_names_unsubscribe.iter().map(String::as_str).collect()
}

#[test]
fn requests_carry_differences() {
    let mut f = Fixture::delta();
    assert!(f.delta_requests().is_empty(), "nothing to ask, nothing asked");
    f.subscribe(Part, &["b", "a"]);
    let first = f.delta_request();
    assert_eq!(first.node.as_ref().unwrap().id, "me");
    assert_eq!(subscribed(&first), ["a", "b"]);
    assert!(first.initial_resource_versions.is_empty() && first.response_nonce.is_empty());
    assert_eq!(
        f.send_delta(Part, vec![resource(Part, "a", "1", 10), resource(Part, "b", "1", 20)], &[]),
        ["a", "b"]
    );
    f.subscribe(Part, &["b", "c"]);
    let [answer, second] = f.delta_requests().try_into().unwrap();
    assert!(answer.node.is_none() && answer.error_detail.is_none());
    assert_eq!(answer.response_nonce, "n1");
    assert!(subscribed(&answer).is_empty() && unsubscribed(&answer).is_empty(), "or they would be ignored");
    assert!(second.node.is_none() && second.response_nonce.is_empty());
    assert_eq!((subscribed(&second), unsubscribed(&second)), (vec!["c"], vec!["a"]));
    assert!(f.session.get(Part, "a").is_none());
    f.subscribe(Part, &["b"]);
    let third = f.delta_request();
    assert_eq!((third.response_nonce.as_str(), unsubscribed(&third)), ("", vec!["c"]));
    f.subscribe(Part, &[]);
    assert_eq!(unsubscribed(&f.delta_request()), ["b"], "the last one is said too");
}

#[test]
fn resources_may_come_in_several_responses_and_one_answer_does() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a", "b"]);
    f.delta_request();
    assert_eq!(f.send_delta(Part, vec![resource(Part, "a", "1", 1)], &[]), ["a"]);
    assert_eq!(f.send_delta(Part, vec![resource(Part, "b", "1", 2)], &[]), ["b"]);
    assert_eq!(f.delta_request().response_nonce, "n2");
    assert_eq!((f.value(Part, "a"), f.value(Part, "b")), (Some(1), Some(2)));
    assert_eq!(f.session.version(Part), "v2");
}

#[test]
fn a_refusal_is_not_lost_to_an_acceptance() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a", "b"]);
    f.delta_request();
    f.send_delta(Part, vec![resource(Part, "a", "1", 1)], &[]);
    f.delta_request();
    assert_eq!(f.send_delta(Part, vec![resource(Part, "a", "2", 0)], &[]), ["a"]);
    assert_eq!(f.send_delta(Part, vec![resource(Part, "b", "1", 2)], &[]), ["b"]);
    let requests = f.delta_requests();
    assert_eq!(requests[0].response_nonce, "n2");
    assert_eq!(requests[0].error_detail.as_ref().unwrap().message, "a: number: must not be zero");
    assert_eq!((requests[1].response_nonce.as_str(), requests.len()), ("n3", 2));
    let entry = f.session.get(Part, "a").unwrap();
    assert_eq!(entry.value(), Some(&1), "last good");
    assert_eq!(&*entry.rejection.as_ref().unwrap().version, "2");
}

#[test]
fn what_is_removed_is_gone_and_may_come_back() {
    let mut f = Fixture::delta();
    f.subscribe(Whole, &["a", "b"]);
    f.delta_request();
    assert_eq!(f.send_delta(Whole, vec![resource(Whole, "a", "1", 1)], &["b", "other"]), ["a", "b"]);
    assert_eq!(f.absence(Whole, "b"), Some(Absence::NotFound));
    assert_eq!(f.send_delta(Whole, vec![], &["a"]), ["a"]);
    assert_eq!(f.absence(Whole, "a"), Some(Absence::Deleted));
    assert!(f.send_delta(Whole, vec![], &["a"]).is_empty(), "no news");
    assert_eq!(f.send_delta(Whole, vec![resource(Whole, "b", "1", 2)], &[]), ["b"]);
    assert_eq!(f.send_delta(Whole, vec![resource(Whole, "a", "1", 1)], &[]), ["a"]);
    assert!(f.fire_at(RESOURCE_TIMEOUT).is_empty());
}

#[test]
fn what_a_response_leaves_out_is_not_gone() {
    let mut f = Fixture::delta();
    f.subscribe(Whole, &["a", "b"]);
    f.delta_request();
    f.send_delta(Whole, vec![resource(Whole, "a", "1", 1), resource(Whole, "b", "1", 1)], &[]);
    assert_eq!(f.send_delta(Whole, vec![resource(Whole, "a", "2", 2)], &[]), ["a"]);
    assert_eq!(f.value(Whole, "b"), Some(1));
}

#[test]
fn silence_is_absence_here_too() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a"]);
    f.delta_request();
    assert!(f.fire_at(RESOURCE_TIMEOUT - Duration::from_millis(1)).is_empty());
    assert_eq!(f.fire_at(Duration::from_millis(1)), ["a"]);
    assert_eq!(f.absence(Part, "a"), Some(Absence::TimedOut));
}

#[test]
fn a_new_stream_tells_what_is_held_so_that_only_changes_come() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a", "b", "c"]);
    f.delta_request();
    f.send_delta(Part, vec![resource(Part, "a", "7", 1), resource(Part, "b", "8", 2)], &["c"]);
    f.send_delta(Part, vec![resource(Part, "b", "9", 0)], &[]);
    f.reopen();
    let first = f.delta_request();
    assert_eq!(subscribed(&first), ["a", "b", "c"]);
    assert_eq!(first.response_nonce, "");
    let versions = first.initial_resource_versions;
    assert_eq!(versions["a"], "7");
    assert_eq!(versions["b"], "8", "the refused version was never accepted");
    assert_eq!(versions.len(), 2);
    assert!(f.fire_at(RESOURCE_TIMEOUT).is_empty(), "what is held needs no answer, and c was absent before");
    assert_eq!(f.send_delta(Part, vec![], &["b"]), ["b"], "removed meanwhile");
    let ack = f.delta_request();
    assert!(ack.initial_resource_versions.is_empty() && ack.resource_names_subscribe.is_empty());
}

#[test]
fn a_name_dropped_and_wanted_again_at_once_was_never_dropped() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a"]);
    f.delta_request();
    f.send_delta(Part, vec![resource(Part, "a", "1", 1)], &[]);
    f.delta_request();
    f.subscribe(Part, &[]);
    assert!(f.session.get(Part, "a").is_none());
    assert!(f.send_delta(Part, vec![resource(Part, "a", "2", 2)], &[]).is_empty(), "nobody is interested");
    f.subscribe(Part, &["a"]);
    assert_eq!(f.value(Part, "a"), Some(2), "but it was kept up to date");
    let ack = f.delta_request();
    assert!(ack.resource_names_subscribe.is_empty() && ack.resource_names_unsubscribe.is_empty());

    f.subscribe(Part, &[]);
    f.delta_request();
    f.subscribe(Part, &["a"]);
    assert_eq!(f.value(Part, "a"), None, "the server knows that it was dropped and sends it again");
    assert_eq!(subscribed(&f.delta_request()), ["a"]);
}

#[test]
fn everything_is_learned_by_what_comes() {
    let mut f = Fixture::delta();
    f.session.add_all(Whole);
    let first = f.delta_request();
    assert!(first.resource_names_subscribe.is_empty(), "a first request without names means everything");
    let all = vec![resource(Whole, "a", "1", 1), resource(Whole, "b", "1", 2), resource(Whole, "c", "1", 0)];
    assert_eq!(f.send_delta(Whole, all, &["unknown"]), ["a", "b", "c"]);
    assert_eq!(f.session.entries(Whole).map(|(name, _)| &**name).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(f.delta_request().error_detail.is_some(), "c is bad");
    assert_eq!(f.send_delta(Whole, vec![], &["b"]), ["b"]);
    assert!(f.session.get(Whole, "b").is_none());
    f.delta_request();

    f.subscribe(Whole, &["a", "b"]);
    assert_eq!(f.value(Whole, "a"), Some(1), "known already");
    assert_eq!(subscribed(&f.delta_request()), ["a", "b"]);
    f.send_delta(Whole, vec![], &["b"]);
    assert_eq!(f.absence(Whole, "b"), Some(Absence::NotFound), "asked for by name, so its absence is told");
    f.delta_request();
    f.subscribe(Whole, &["b"]);
    assert_eq!(unsubscribed(&f.delta_request()), ["a"]);
    assert_eq!(f.value(Whole, "a"), Some(1), "still a part of everything");

    f.reopen();
    let first = f.delta_request();
    assert_eq!(subscribed(&first), ["*", "b"]);
    assert_eq!(first.initial_resource_versions.into_keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn what_comes_just_as_its_name_is_dropped_is_still_a_part_of_everything() {
    let mut f = Fixture::delta();
    f.session.add_all(Whole);
    f.delta_request();
    f.subscribe(Whole, &["a"]);
    f.delta_request();
    f.subscribe(Whole, &[]);
    assert_eq!(f.send_delta(Whole, vec![resource(Whole, "a", "1", 1)], &[]), ["a"]);
    let [_, dropped] = f.delta_requests().try_into().unwrap();
    assert_eq!(unsubscribed(&dropped), ["a"]);
    assert_eq!(f.value(Whole, "a"), Some(1), "nobody would send it again");
}

/// What istiod, as others, answers to names that come with a nonce that is not the last one, or with a refusal: nothing.
#[test]
fn names_are_asked_for_without_a_nonce_and_refusals_have_no_names() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a"]);
    f.delta_request();
    f.send_delta(Part, vec![resource(Part, "a", "1", 0)], &[]);
    f.subscribe(Part, &["b"]);
    let [refusal, names] = f.delta_requests().try_into().unwrap();
    assert!(refusal.error_detail.is_some() && refusal.response_nonce == "n1");
    assert!(subscribed(&refusal).is_empty() && unsubscribed(&refusal).is_empty());
    assert!(names.error_detail.is_none() && names.response_nonce.is_empty());
    assert_eq!((subscribed(&names), unsubscribed(&names)), (vec!["b"], vec!["a"]));
}

#[test]
fn names_do_not_wait_for_an_answer_that_is_held_back() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a"]);
    f.delta_request();
    for _ in 0..4 {
        f.send_delta(Part, vec![resource(Part, "a", "1", 0)], &[]);
        f.delta_requests();
    }
    f.send_delta(Part, vec![resource(Part, "a", "1", 0)], &[]);
    assert!(f.delta_requests().is_empty(), "who says the same again and again waits");
    f.subscribe(Part, &["a", "b"]);
    let names = f.delta_request();
    assert!(names.error_detail.is_none() && names.response_nonce.is_empty());
    assert_eq!(subscribed(&names), ["b"]);
    f.fire_at(Duration::from_secs(5));
    let held = f.delta_requests();
    assert!(!held.is_empty() && held.iter().all(|request| request.error_detail.is_some()));
}

#[test]
fn everything_may_be_asked_for_later() {
    let mut f = Fixture::delta();
    f.subscribe(Whole, &["a"]);
    f.delta_request();
    f.session.add_all(Whole);
    assert_eq!(subscribed(&f.delta_request()), ["*"]);
    f.session.add_all(Whole);
    assert!(f.delta_requests().is_empty());
}

#[test]
fn a_resource_of_the_wrong_type_is_refused_by_its_name() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a", "b"]);
    f.delta_request();
    let wrong = Resource {
        resource: Some(Any { type_url: "t".into(), value: vec![1].into() }),
        ..resource(Part, "a", "1", 1)
    };
    let nameless = Resource { name: String::new(), version: String::new(), resource: None };
    f.send_delta(
        Part,
        vec![wrong, nameless, resource(Part, "b", "1", 2), resource(Part, "b", "2", 3)],
        &["b"],
    );
    let message = f.delta_request().error_detail.unwrap().message;
    let lines: Vec<_> = message.lines().collect();
    assert!(lines[0].starts_with("a: type_url: \"t\" in a response of"), "{message}");
    assert_eq!(lines[1], "resource 1: name: missing or not readable");
    assert_eq!(lines[2], "b: the response mentions this resource twice");
    assert_eq!((f.value(Part, "a"), f.value(Part, "b")), (None, Some(2)));
}

#[test]
fn a_resource_refused_for_its_type_is_accepted_once_the_type_is_right() {
    let mut f = Fixture::delta();
    f.subscribe(Part, &["a"]);
    f.delta_request();
    let right = resource(Part, "a", "1", 1);
    let of_type = |type_url: &str| {
        let value = right.resource.clone().unwrap().value;
        Resource { resource: Some(Any { type_url: type_url.into(), value }), ..right.clone() }
    };
    assert_eq!(f.send_delta(Part, vec![of_type("t")], &[]), ["a"]);
    assert!(f.send_delta(Part, vec![of_type("t")], &[]).is_empty(), "the same again");
    assert_eq!(f.send_delta(Part, vec![of_type("u")], &[]), ["a"], "another reason");
    assert_eq!(f.send_delta(Part, vec![right], &[]), ["a"]);
    assert_eq!(f.value(Part, "a"), Some(1));
    assert!(f.session.get(Part, "a").unwrap().rejection.is_none());
}

#[test]
fn a_list_may_come_in_parts_with_time_between() {
    let mut f = Fixture::with(Protocol::Delta, Features::default());
    f.session.add_all(Whole);
    f.open();
    f.delta_request();
    let step = UNLISTED_GRACE - Duration::from_millis(1);
    for name in ["a", "b", "c"] {
        assert!(f.fire_at(step).is_empty());
        assert_eq!(f.send_delta(Whole, vec![resource(Whole, name, "1", 1)], &[]), [name]);
        assert!(!f.session.lists_all(Whole), "more may follow {name}");
    }
    f.fire_at(step);
    assert!(!f.session.lists_all(Whole));
    assert_eq!(f.session.next_timer(), Some(f.now + Duration::from_millis(1)));
    f.fire_at(Duration::from_millis(1));
    assert!(f.session.lists_all(Whole), "what has not come by now is not there");
    f.reopen();
    assert!(f.session.lists_all(Whole), "a stream that ends takes nothing back");
}

#[test]
fn a_list_that_breaks_off_says_nothing_of_what_it_lacks() {
    let mut f = Fixture::with(Protocol::Delta, Features::default());
    f.session.add_all(Whole);
    f.open();
    f.delta_request();
    f.send_delta(Whole, vec![resource(Whole, "a", "1", 1)], &[]);
    f.reopen();
    f.fire_at(RESOURCE_TIMEOUT);
    assert!(!f.session.lists_all(Whole));
    f.delta_request();
    f.send_delta(Whole, vec![], &[]);
    f.fire_at(UNLISTED_GRACE);
    assert!(f.session.lists_all(Whole));
}
