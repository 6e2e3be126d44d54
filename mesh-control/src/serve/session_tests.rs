use super::testing::{Stream, node, refused, world};
use super::*;
use mesh_proto::ads::DiscoveryResponse;

#[test]
fn the_first_request_has_to_say_who_asks() {
    for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
        let mut session = Session::new(protocol, Arc::new(world()));
        let nobody = DiscoveryRequest { type_url: Kind::Cluster.type_url().to_owned(), ..Default::default() };
        let nobody = match protocol {
            Protocol::StateOfTheWorld => nobody.encode_to_vec(),
            Protocol::Delta => {
                let request = DeltaDiscoveryRequest { type_url: nobody.type_url, ..Default::default() };
                request.encode_to_vec()
            }
        };
        assert!(session.receive(nobody.into()).unwrap_err().0.contains("node"));
        assert!(session.receive(Bytes::from_static(&[0xff])).unwrap_err().0.contains("not a discovery"));
        assert_eq!(session.next_response(), None);
    }
}

#[test]
fn a_type_that_is_not_served_disturbs_nothing() {
    let mut stream = Stream::sotw(world());
    let request =
        DiscoveryRequest { node: node(), type_url: "type.googleapis.com/x".into(), ..Default::default() };
    assert_eq!(stream.session.receive(request.encode_to_vec().into()), Ok(None));
    assert_eq!(stream.responses(), []);
    stream.ask(Kind::Cluster, &["c"], "");
    assert_eq!(stream.response().0, ["c1"]);
}

#[test]
fn a_subscription_is_answered_at_once_and_unknown_names_are_left_out() {
    let mut stream = Stream::sotw(world());
    stream.ask(Kind::Cluster, &["c", "nothing"], "");
    let (contents, nonce) = stream.response();
    assert_eq!(contents, ["c1"]);
    stream.ask(Kind::Cluster, &["c", "nothing"], &nonce);
    assert_eq!(stream.responses(), [], "an ACK is not answered");
    stream.ask(Kind::Route, &["nothing"], "");
    assert_eq!(stream.response().0, [""; 0], "an answer that says nothing is one too");
    stream.update(world().with(Kind::Cluster, "nothing", "n1"));
    assert_eq!(stream.response().0, ["c1", "n1"], "it comes when it exists");
}

#[test]
fn complete_kinds_answer_with_everything_the_others_with_what_is_new() {
    let mut stream = Stream::sotw(world());
    let nonce = stream.subscribed(Kind::Cluster, &["c"]);
    stream.ask(Kind::Cluster, &["c", "d"], &nonce);
    assert_eq!(stream.response().0, ["c1", "d1"]);
    let nonce = stream.subscribed(Kind::Endpoint, &["c"]);
    stream.ask(Kind::Endpoint, &["c", "d"], &nonce);
    assert_eq!(stream.response().0, ["f1"]);
}

#[test]
fn unsubscribing_is_not_answered_and_subscribing_again_is() {
    let mut stream = Stream::sotw(world());
    let nonce = stream.subscribed(Kind::Endpoint, &["c", "d"]);
    stream.ask(Kind::Endpoint, &["d"], &nonce);
    assert_eq!(stream.responses(), []);
    stream.update(world().with(Kind::Endpoint, "c", "e2"));
    assert_eq!(stream.responses(), [], "not wanted any more");
    stream.ask(Kind::Endpoint, &["c", "d"], &nonce);
    let (contents, nonce) = stream.response();
    assert_eq!(contents, ["e2"]);
    stream.ask(Kind::Endpoint, &[], &nonce);
    assert_eq!(stream.responses(), []);
    stream.ask(Kind::Endpoint, &["d"], &nonce);
    assert_eq!(stream.response().0, ["f1"], "the client has dropped it in between");
}

#[test]
fn a_push_goes_from_what_is_referred_to_to_what_refers() {
    let mut stream = Stream::sotw(world());
    let kinds = [(Kind::Listener, "l"), (Kind::Route, "r"), (Kind::Cluster, "c"), (Kind::Endpoint, "c")];
    for (kind, name) in kinds {
        stream.subscribed(kind, &[name]);
    }
    let next = kinds.iter().fold(world(), |world, (kind, name)| world.with(*kind, name, "new"));
    stream.update(next);
    let order: Vec<_> = stream.responses().into_iter().map(|(kind, contents, _)| (kind, contents)).collect();
    let new = || vec!["new".to_owned()];
    assert_eq!(order, PUSH_ORDER.map(|kind| (kind, new())));
}

#[test]
fn only_what_changed_is_pushed() {
    let mut stream = Stream::sotw(world());
    stream.subscribed(Kind::Listener, &["l"]);
    stream.subscribed(Kind::Cluster, &["c", "d"]);
    stream.subscribed(Kind::Endpoint, &["c", "d"]);
    let mut same = world();
    same.version += 1;
    stream.update(same);
    assert_eq!(stream.responses(), [], "equal content is no change");
    stream.update(world().with(Kind::Endpoint, "d", "f2"));
    let responses = stream.responses();
    assert_eq!(responses.len(), 1);
    assert_eq!((responses[0].0, &responses[0].1), (Kind::Endpoint, &vec!["f2".to_owned()]));
}

#[test]
fn only_the_latest_state_is_pushed() {
    let mut stream = Stream::sotw(world());
    stream.subscribed(Kind::Endpoint, &["c"]);
    for step in 0..100 {
        stream.update(world().with(Kind::Endpoint, "c", &format!("step {step}")));
    }
    assert_eq!(stream.response().0, ["step 99"]);
}

#[test]
fn a_stale_request_is_not_answered_but_its_wishes_are_kept() {
    let mut stream = Stream::sotw(world());
    let old = stream.subscribed(Kind::Endpoint, &["c"]);
    stream.update(world().with(Kind::Endpoint, "c", "e2"));
    let (_, new) = stream.response();
    // The client has not seen the push: it asks for d, drops c and takes it again.
    stream.ask(Kind::Endpoint, &["c", "d"], &old);
    stream.ask(Kind::Endpoint, &["d"], &old);
    stream.ask(Kind::Endpoint, &["c", "d"], &old);
    assert_eq!(stream.responses(), []);
    stream.ask(Kind::Endpoint, &["c", "d"], &new);
    assert_eq!(stream.response().0, ["e2", "f1"]);
}

#[test]
fn a_request_from_before_the_first_response_is_answered() {
    let mut stream = Stream::sotw(world());
    stream.ask(Kind::Cluster, &["c"], "");
    stream.response();
    stream.ask(Kind::Cluster, &["c", "d"], "");
    assert_eq!(stream.response().0, ["c1", "d1"]);
}

#[test]
fn nonces_of_other_streams_mean_nothing() {
    let mut stream = Stream::sotw(world());
    stream.ask(Kind::Cluster, &["c"], "77");
    let (contents, nonce) = stream.response();
    assert_eq!(contents, ["c1"], "the first request of a stream is one, whatever its nonce");
    for nonce in ["77", "garbage"] {
        stream.ask(Kind::Cluster, &["c", "d"], nonce);
        assert_eq!(stream.responses(), []);
    }
    stream.ask(Kind::Cluster, &["c", "d"], &nonce);
    assert_eq!(stream.response().0, ["c1", "d1"]);
}

#[test]
fn a_refusal_is_told_once_and_not_answered() {
    let mut stream = Stream::sotw(world());
    stream.ask(Kind::Cluster, &["c"], "");
    let (_, nonce) = stream.response();
    let refusal = stream.send(Kind::Cluster, &["c"], &nonce, refused("bad")).unwrap();
    let expected = Refusal { kind: Kind::Cluster, nonce: nonce.clone(), message: "bad".to_owned() };
    assert_eq!(refusal, expected);
    assert_eq!(stream.responses(), []);
    assert_eq!(stream.send(Kind::Cluster, &["c"], &nonce, refused("bad")), None, "known");
    stream.ask(Kind::Cluster, &["c"], &nonce);
    assert!(stream.send(Kind::Cluster, &["c"], &nonce, refused("bad")).is_some(), "accepted in between");
    stream.update(world().with(Kind::Cluster, "c", "c2"));
    assert_eq!(stream.response().0, ["c2"], "the next version is sent");
}

#[test]
fn a_refusal_may_subscribe() {
    let mut stream = Stream::sotw(world());
    stream.ask(Kind::Endpoint, &["c"], "");
    let (_, nonce) = stream.response();
    stream.send(Kind::Endpoint, &["c", "d"], &nonce, refused("bad"));
    assert_eq!(stream.response().0, ["f1"], "and what was refused is not sent again");
}

#[test]
fn naming_nothing_means_everything_until_something_was_named() {
    let mut stream = Stream::sotw(world());
    stream.ask(Kind::Cluster, &[], "");
    let (contents, nonce) = stream.response();
    assert_eq!(contents, ["c1", "d1"]);
    stream.ask(Kind::Cluster, &[], &nonce);
    assert_eq!(stream.responses(), []);
    stream.update(world().with(Kind::Cluster, "e", "e1"));
    let (contents, nonce) = stream.response();
    assert_eq!(contents, ["c1", "d1", "e1"]);
    stream.ask(Kind::Cluster, &["d"], &nonce);
    stream.response();
    stream.ask(Kind::Cluster, &[], "");
    stream.update(world().with(Kind::Cluster, "d", "d2"));
    assert_eq!(stream.responses(), [], "now it means nothing");
    stream.ask(Kind::Cluster, &["*"], "");
    assert_eq!(stream.response().0, ["c1", "d2"]);
}

#[test]
fn routes_and_endpoints_have_no_wildcard() {
    for (protocol, kind) in [Protocol::StateOfTheWorld, Protocol::Delta]
        .into_iter()
        .flat_map(|protocol| [(protocol, Kind::Route), (protocol, Kind::Endpoint)])
    {
        let mut stream = Stream::open(protocol, world());
        match protocol {
            Protocol::StateOfTheWorld => {
                stream.ask(kind, &[], "");
                assert_eq!(stream.responses(), []);
            }
            Protocol::Delta => {
                stream.change(kind, &["*"], &[]);
                let (names, removed, _) = stream.delta_response();
                assert_eq!((names.len(), removed.len()), (0, 0));
            }
        }
    }
}

#[test]
fn what_is_gone_is_left_out_once_its_successors_are_accepted() {
    let mut stream = Stream::sotw(world());
    let clusters = stream.subscribed(Kind::Cluster, &["c", "d"]);
    let routes = stream.subscribed(Kind::Route, &["r"]);
    stream.update(
        world().with(Kind::Cluster, "d", "d2").with(Kind::Route, "r", "to d").without(Kind::Cluster, "c"),
    );
    let responses = stream.responses();
    assert_eq!(responses.len(), 2);
    assert_eq!(responses[0].1, ["c1", "d2"], "c is still in use");
    assert_eq!(responses[1].1, ["to d"]);
    assert!(stream.session.holds_back());
    stream.ask(Kind::Cluster, &["c", "d"], &responses[0].2);
    stream.ask(Kind::Route, &["r"], &routes);
    assert_eq!(stream.responses(), [], "the new route is not accepted yet");
    stream.ask(Kind::Route, &["r"], &responses[1].2);
    assert_eq!(stream.response().0, ["d2"]);
    assert!(!stream.session.holds_back());
    assert_ne!(clusters, responses[0].2);
}

#[test]
fn a_client_that_answers_nothing_is_told_in_the_end() {
    let mut stream = Stream::sotw(world());
    stream.ask(Kind::Listener, &["l"], "");
    stream.response();
    stream.update(world().without(Kind::Listener, "l"));
    assert_eq!(stream.responses(), []);
    let bytes = stream.session.next_held_back().unwrap();
    assert_eq!(DiscoveryResponse::decode(bytes).unwrap().resources, []);
    assert_eq!(stream.session.next_held_back(), None);
}

#[test]
fn what_comes_back_in_time_was_never_gone() {
    let mut stream = Stream::sotw(world());
    stream.ask(Kind::Listener, &["l"], "");
    let (_, nonce) = stream.response();
    stream.update(world().without(Kind::Listener, "l"));
    assert_eq!(stream.responses(), []);
    stream.update(world());
    stream.ask(Kind::Listener, &["l"], &nonce);
    assert_eq!(stream.responses(), []);
    assert!(!stream.session.holds_back());
}

#[test]
fn absence_says_nothing_of_routes_in_the_state_of_the_world() {
    let mut stream = Stream::sotw(world());
    stream.subscribed(Kind::Route, &["r"]);
    stream.update(world().without(Kind::Route, "r"));
    assert_eq!(stream.responses(), []);
    stream.update(world());
    assert_eq!(stream.response().0, ["r1"]);
}

#[test]
fn a_host_without_port_stands_for_all_of_its_ports() {
    let one = world().with(Kind::Listener, "h:1", "h1");
    let mut stream = Stream::sotw(one.clone());
    let first = stream.subscribed(Kind::Listener, &["h", "l"]);
    assert_eq!(first, "1");
    stream.update(one.clone().with(Kind::Listener, "h:2", "h2"));
    let (contents, nonce) = stream.response();
    assert_eq!(contents, ["h1", "h2", "l1"]);
    stream.ask(Kind::Listener, &["h", "l"], &nonce);
    assert_eq!(stream.responses(), []);
    // What is named on its own stays when the host goes.
    stream.ask(Kind::Listener, &["h:2", "l"], &nonce);
    stream.update(one.with(Kind::Listener, "h:2", "h3"));
    assert_eq!(stream.response().0, ["h3", "l1"]);
}
