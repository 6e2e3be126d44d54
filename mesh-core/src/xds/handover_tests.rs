//! What a session inherits from another one, or from the disk, until its own control plane has spoken.

use super::cache::{Absence, Present};
use super::features::Features;
use super::fixture::Toy::Whole;
use super::fixture::{Fixture, any, resource};
use super::in_process::Protocol;
use super::{RESOURCE_TIMEOUT, UNLISTED_GRACE};
use mesh_proto::ads::DiscoveryRequest;
use std::time::{Duration, SystemTime};

const SECOND: Duration = Duration::from_secs(1);

/// A session that has asked for everything and has inherited some of it.
fn heir(protocol: Protocol, features: Features, inherited: &[(&str, u32)]) -> Fixture {
    let mut f = Fixture::with(protocol, features);
    f.session.add_all(Whole);
    f.open();
    match protocol {
        Protocol::StateOfTheWorld => drop(f.request()),
        Protocol::Delta => drop(f.delta_request()),
    }
    for (name, value) in inherited {
        f.session.preload(Whole, name, present(&f, name, *value), None);
    }
    let names: Vec<_> = inherited.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(f.fire_at(Duration::ZERO), names, "whoever uses them is told");
    f
}

/// A resource as another control plane sent it a minute ago.
fn present(f: &Fixture, name: &str, value: u32) -> Present<u32> {
    let bytes = any(Whole, name, value).value;
    Present { value, bytes, version: "old".into(), since: f.now - 60 * SECOND }
}

fn values(f: &Fixture) -> Vec<(&str, u32)> {
    f.session.entries(Whole).map(|(name, entry)| (&**name, *entry.value().unwrap())).collect()
}

#[test]
fn a_list_replaces_what_was_inherited() {
    let mut f = heir(Protocol::StateOfTheWorld, Features::default(), &[("a", 1), ("b", 2), ("c", 3)]);
    assert!(!f.session.lists_all(Whole), "this control plane has not said anything");
    assert_eq!(values(&f), [("a", 1), ("b", 2), ("c", 3)]);
    f.fire_at(Duration::from_secs(3600));
    assert_eq!(values(&f).len(), 3, "its silence takes nothing away");
    let changed = f.send(Whole, vec![any(Whole, "b", 2), any(Whole, "c", 30), any(Whole, "d", 4)]);
    assert_eq!(changed, ["c", "d", "a"], "one that is the same is no change");
    assert_eq!(values(&f), [("b", 2), ("c", 30), ("d", 4)]);
    assert!(f.session.lists_all(Whole));
}

#[test]
fn in_the_incremental_protocol_a_list_may_come_in_parts() {
    let mut f = heir(Protocol::Delta, Features::default(), &[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
    f.fire_at(Duration::from_secs(3600));
    assert_eq!(values(&f).len(), 4, "its silence takes nothing away");
    assert_eq!(f.send_delta(Whole, vec![resource(Whole, "b", "1", 20)], &["a"]), ["b", "a"]);
    assert_eq!(values(&f), [("b", 20), ("c", 3), ("d", 4)], "what it takes away is gone at once");
    assert!(!f.session.lists_all(Whole), "there may be more");
    assert!(f.fire_at(RESOURCE_TIMEOUT - SECOND).is_empty());
    assert!(f.send_delta(Whole, vec![resource(Whole, "c", "1", 3)], &[]).is_empty(), "it is the same");
    assert_eq!(f.fire_at(RESOURCE_TIMEOUT), ["d"], "what it has not mentioned by then it does not have");
    assert_eq!(values(&f), [("b", 20), ("c", 3)]);
    assert_eq!(f.fire_at(Duration::from_secs(3600)), [""; 0]);
}

#[test]
fn the_term_begins_anew_with_another_stream() {
    let mut f = heir(Protocol::Delta, Features::default(), &[("a", 1), ("b", 2)]);
    f.send_delta(Whole, vec![resource(Whole, "a", "1", 1)], &[]);
    f.fire_at(RESOURCE_TIMEOUT - SECOND);
    f.reopen();
    f.fire_at(Duration::from_secs(3600));
    assert_eq!(values(&f), [("a", 1), ("b", 2)]);
    let request = f.delta_request();
    let known: Vec<_> =
        request.initial_resource_versions.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(
        known,
        [("a", "1"), ("b", "")],
        "the version of another control plane means nothing to this one"
    );
    f.send_delta(Whole, vec![], &[]);
    assert_eq!(f.fire_at(RESOURCE_TIMEOUT), ["b"]);
}

#[test]
fn who_keeps_what_is_deleted_keeps_what_is_not_mentioned() {
    let features = Features { ignore_resource_deletion: true, ..Features::default() };
    for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
        let mut f = heir(protocol, features, &[("a", 1)]);
        match protocol {
            Protocol::StateOfTheWorld => f.send(Whole, vec![]),
            Protocol::Delta => f.send_delta(Whole, vec![], &[]),
        };
        f.fire_at(Duration::from_secs(3600));
        assert_eq!(values(&f), [("a", 1)]);
    }
}

#[test]
fn a_time_to_live_is_inherited() {
    let mut f = heir(Protocol::StateOfTheWorld, Features::default(), &[]);
    f.session.preload(Whole, "a", present(&f, "a", 1), Some(f.now + SECOND));
    assert_eq!(f.fire_at(Duration::ZERO), ["a"]);
    assert_eq!(f.fire_at(SECOND), ["a"]);
    assert_eq!(values(&f), []);
    assert_eq!(f.requests(), [] as [DiscoveryRequest; 0]);
}

#[test]
fn what_is_inherited_is_told_with_its_version_and_date_but_never_offered() {
    let wall = SystemTime::UNIX_EPOCH + 1000 * SECOND;
    for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
        let mut f = heir(protocol, Features::default(), &[("a", 1), ("b", 2)]);
        let told = |f: &Fixture, name: &str| {
            let entry = f.session.get(Whole, name).unwrap();
            (entry.present().unwrap().version.to_string(), entry.updated_at(f.now, wall))
        };
        let came = Some(wall - 60 * SECOND);
        assert_eq!(told(&f, "a"), ("old".to_owned(), came));
        match protocol {
            Protocol::StateOfTheWorld => {
                assert_eq!(f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 20)]), ["b"]);
            }
            Protocol::Delta => {
                let both = vec![resource(Whole, "a", "7", 1), resource(Whole, "b", "8", 20)];
                assert_eq!(f.send_delta(Whole, both, &[]), ["b"]);
            }
        }
        let confirmed = if protocol == Protocol::Delta { "7" } else { "v1" };
        assert_eq!(told(&f, "a"), (confirmed.to_owned(), came), "it is the same, and this one's word for it");
        assert_eq!(told(&f, "b").1, Some(wall), "it is new");
    }
}

fn inherit(f: &mut Fixture, name: &str, value: u32) {
    f.session.preload(Whole, name, present(f, name, value), None);
}

/// A session that has asked for `a`, and then inherited `b` and asked for that.
fn late_heir(features: Features) -> Fixture {
    let mut f = Fixture::with(Protocol::StateOfTheWorld, features);
    f.open();
    f.subscribe(Whole, &["a"]);
    f.request();
    f.subscribe(Whole, &["a", "b"]);
    inherit(&mut f, "b", 2);
    f
}

#[test]
fn a_list_that_crossed_the_request_takes_nothing_away_that_was_inherited() {
    let mut f = late_heir(Features::default());
    assert_eq!(f.request().resource_names, ["a", "b"]);
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1)]), ["a"]);
    assert_eq!(f.value(Whole, "b"), Some(2), "it answers the first request");
    assert!(f.fire_at(UNLISTED_GRACE - Duration::from_millis(1)).is_empty());
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1), any(Whole, "b", 2)]), [""; 0]);
    assert!(f.fire_at(SECOND).is_empty());
    assert_eq!(f.value(Whole, "b"), Some(2));
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1)]), ["b"], "it had it, and has it no more");
    assert_eq!(f.absence(Whole, "b"), Some(Absence::Deleted));
}

#[test]
fn what_was_inherited_is_gone_if_no_list_has_it() {
    let mut f = late_heir(Features::default());
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1)]);
    assert_eq!(f.fire_at(UNLISTED_GRACE), ["b"]);
    assert_eq!(f.absence(Whole, "b"), Some(Absence::Deleted));

    let mut f = late_heir(Features { ignore_resource_deletion: true, ..Features::default() });
    f.request();
    f.send(Whole, vec![any(Whole, "a", 1)]);
    assert_eq!(f.fire_at(UNLISTED_GRACE), ["b"]);
    assert_eq!(f.value(Whole, "b"), Some(2), "unless the bootstrap says that it stays");
    assert!(f.session.get(Whole, "b").unwrap().error.is_some());

    let mut f = Fixture::up();
    f.subscribe(Whole, &["a", "b"]);
    inherit(&mut f, "b", 2);
    f.request();
    assert_eq!(f.send(Whole, vec![any(Whole, "a", 1)]), ["a", "b"], "this one answers the request for it");
}

#[test]
fn a_list_says_nothing_of_what_was_inherited_and_not_asked_for_yet() {
    let mut f = late_heir(Features::default());
    f.send(Whole, vec![any(Whole, "a", 1)]);
    assert!(f.fire_at(SECOND).is_empty());
    assert_eq!(f.value(Whole, "b"), Some(2));
    assert_eq!(f.request().resource_names, ["a", "b"]);
}
