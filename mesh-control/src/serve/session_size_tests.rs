//! Clients that ask for ever more.

use super::testing::{Fake, Stream, node, world};
use super::*;
use crate::serve::watch::WILDCARD;
use std::ops::Range;

/// Names that a stream may ask for here.
const LIMIT: usize = 2000;

/// A stream that may ask for [`LIMIT`] names.
fn limited(protocol: Protocol, world: Fake) -> Stream {
    let mut stream = Stream::open(protocol, world);
    let limit = Size { names: LIMIT, bytes: MAX_NAME_BYTES };
    (stream.session.limit, stream.session.most) = (limit, limit);
    stream
}

fn names(numbers: Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("name-{number}")).collect()
}

/// A request of the incremental protocol for clusters.
fn change(stream: &mut Stream, more: Vec<String>, less: Vec<String>, nonce: &str) -> Result<(), Violation> {
    let request = DeltaDiscoveryRequest {
        node: node(),
        type_url: Kind::Cluster.type_url().to_owned(),
        resource_names_subscribe: more,
        resource_names_unsubscribe: less,
        response_nonce: nonce.to_owned(),
        ..Default::default()
    };
    stream.session.receive(request.encode_to_vec().into()).map(drop)
}

/// A request for clusters in a state of the world.
fn ask(stream: &mut Stream, names: Vec<String>, nonce: &str) -> Result<(), Violation> {
    let request = DiscoveryRequest {
        node: node(),
        type_url: Kind::Cluster.type_url().to_owned(),
        resource_names: names,
        response_nonce: nonce.to_owned(),
        ..Default::default()
    };
    stream.session.receive(request.encode_to_vec().into()).map(drop)
}

fn size(stream: &Stream) -> Size {
    stream.session.watches.iter().map(Watch::size).fold(Size::default(), Size::add)
}

#[test]
fn a_stream_may_ask_for_so_many_names_and_no_more() {
    for protocol in [Protocol::Delta, Protocol::StateOfTheWorld] {
        let mut stream = Stream::open(protocol, world());
        let mut send = |upto| match protocol {
            Protocol::Delta => change(&mut stream, names(0..upto), vec![], ""),
            Protocol::StateOfTheWorld => ask(&mut stream, names(0..upto), ""),
        };
        send(MAX_NAMES).unwrap();
        let Violation(why) = send(MAX_NAMES + 1).unwrap_err();
        assert!(why.starts_with("the stream asks for 200001 names of "), "{why}");
        assert!(why.contains("more than 200000 of 33554432 bytes"), "{why}");
    }
}

#[test]
fn the_names_of_all_kinds_count_together_by_their_length_too() {
    let mut stream = Stream::delta(world());
    let long = |kind: &str, count: usize| -> Vec<String> {
        (0..count).map(|number| format!("{kind}{number:065535}")).collect()
    };
    change(&mut stream, long("c", 300), vec![], "").unwrap();
    let request = DeltaDiscoveryRequest {
        type_url: Kind::Route.type_url().to_owned(),
        resource_names_subscribe: long("r", 300),
        ..Default::default()
    };
    let Violation(why) = stream.session.receive(request.encode_to_vec().into()).unwrap_err();
    assert!(why.starts_with("the stream asks for 600 names of 39321600 bytes"), "{why}");
}

#[test]
fn what_is_asked_for_and_given_up_without_an_answer_is_bounded() {
    const STEP: usize = 500;
    for with_everything in [false, true] {
        let mut stream = limited(Protocol::Delta, world());
        let first = if with_everything { WILDCARD } else { "c" };
        change(&mut stream, vec![first.to_owned()], vec![], "").unwrap();
        assert_eq!(stream.deltas().len(), 1);
        let mut churn = |step: usize| {
            let names = || names(step * STEP..(step + 1) * STEP);
            change(&mut stream, names(), vec![], "")?;
            change(&mut stream, vec![], names(), "")
        };
        let refused = (0..10).find_map(|step| churn(step).err()).unwrap();
        assert!(refused.0.starts_with("the stream asks for 2"), "{refused}");
    }
}

#[test]
fn names_that_come_and_go_leave_nothing_behind() {
    const STEP: usize = 1000;
    for with_everything in [false, true] {
        let mut stream = Stream::delta(world());
        let first = if with_everything { WILDCARD } else { "c" };
        change(&mut stream, vec![first.to_owned()], vec![], "").unwrap();
        let mut sizes = Vec::new();
        for step in 0..4 {
            let names = || names(step * STEP..(step + 1) * STEP);
            change(&mut stream, names(), vec![], "").unwrap();
            change(&mut stream, vec![], names(), "").unwrap();
            for delta in stream.deltas() {
                change(&mut stream, vec![], vec![], &delta.nonce).unwrap();
            }
            sizes.push(size(&stream).names);
        }
        assert!(sizes.iter().all(|&names| names <= 2), "{sizes:?}");
    }
    let mut stream = Stream::sotw(world());
    let mut nonce = String::new();
    for step in 0..4 {
        let mut asked = names(step * STEP..(step + 1) * STEP);
        asked.push(WILDCARD.to_owned());
        ask(&mut stream, asked, &nonce).unwrap();
        nonce = stream.response().1;
        assert_eq!(size(&stream).names, STEP + 2, "those of the last request, and the world's");
    }
}

#[test]
fn who_wants_everything_may_have_it_however_much_that_is() {
    let mut large = Fake { version: 1, ..Fake::default() };
    large
        .resources
        .extend(names(0..LIMIT + 10).into_iter().map(|name| ((Kind::Cluster, name), Bytes::new())));
    let mut stream = limited(Protocol::Delta, large);
    // As after a reconnection.
    let held = stream.session.world.resources.keys().map(|(_, name)| (name.clone(), "0".repeat(16)));
    let request = DeltaDiscoveryRequest {
        node: node(),
        type_url: Kind::Cluster.type_url().to_owned(),
        initial_resource_versions: held.collect(),
        ..Default::default()
    };
    stream.session.receive(request.encode_to_vec().into()).unwrap();
    let nonce = stream.deltas().remove(0).nonce;
    change(&mut stream, vec![], vec![], &nonce).unwrap();
    let other = |count: usize| (0..count).map(|number| format!("other-{number}")).collect::<Vec<_>>();
    change(&mut stream, other(LIMIT), vec![], "").unwrap();
    let Violation(why) = change(&mut stream, vec!["one more".to_owned()], vec![], "").unwrap_err();
    assert!(why.starts_with("the stream asks for 2001 names"), "{why}");
    stream.update(world());
    let Violation(why) = change(&mut stream, vec![], vec![], "").unwrap_err();
    assert!(why.contains("more than 2000 of"), "what is allowed falls with the world: {why}");
}
