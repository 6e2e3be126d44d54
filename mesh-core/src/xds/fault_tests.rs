//! What a control plane, a network or a clock may do wrong, and that it does no harm.

use super::RESOURCE_TIMEOUT;
use super::cache::Absence;
use super::fixture::Toy::{Part, Whole};
use super::fixture::{Fixture, any, resource};
use super::nack::MAX_NACK;
use super::session::DEFAULT_STREAM_BACKOFF;
use std::time::{Duration, SystemTime};

const SECOND: Duration = Duration::from_secs(1);

/// Waits until the session says something.
fn answer(f: &mut Fixture) {
    while f.session.next_request(f.now).is_none() {
        let wait = f.session.next_timer().unwrap().saturating_duration_since(f.now);
        f.fire_at(wait);
    }
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
