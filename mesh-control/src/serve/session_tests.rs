use super::*;
use mesh_proto::ads::{DeltaDiscoveryResponse, DiscoveryResponse};
use mesh_proto::google::rpc::Status;
use std::collections::BTreeMap;

/// A world whose resources are whatever a test says.
#[derive(Clone, Debug, Default)]
pub(super) struct Fake {
    pub(super) version: u64,
    pub(super) resources: BTreeMap<(Kind, String), Bytes>,
}

impl World for Fake {
    fn version(&self) -> u64 {
        self.version
    }

    fn resource(&self, _: &NodeView, kind: Kind, name: &str) -> Option<Bytes> {
        self.resources.get(&(kind, name.to_owned())).cloned()
    }

    fn names(&self, _: &NodeView, kind: Kind) -> Vec<Arc<str>> {
        self.resources.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str().into()).collect()
    }
}

impl Fake {
    fn with(mut self, kind: Kind, name: &str, content: &str) -> Self {
        self.version += 1;
        self.resources.insert((kind, name.to_owned()), content.to_owned().into());
        self
    }

    fn without(mut self, kind: Kind, name: &str) -> Self {
        self.version += 1;
        self.resources.remove(&(kind, name.to_owned()));
        self
    }
}

/// Listener `l` to route `r` to cluster `c` with endpoints `c`, and a cluster `d`.
fn world() -> Fake {
    Fake::default()
        .with(Kind::Listener, "l", "l1")
        .with(Kind::Route, "r", "r1")
        .with(Kind::Cluster, "c", "c1")
        .with(Kind::Cluster, "d", "d1")
        .with(Kind::Endpoint, "c", "e1")
        .with(Kind::Endpoint, "d", "f1")
}

fn node() -> Option<Node> {
    Some(Node { id: "me".to_owned(), ..Default::default() })
}

/// A stream with the client's end in the hands of the test.
struct Stream {
    session: Session<Fake>,
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn refused(why: &str) -> Option<Status> {
    Some(Status { code: 3, message: why.to_owned(), details: vec![] })
}

impl Stream {
    fn open(protocol: Protocol, world: Fake) -> Self {
        Self { session: Session::new(protocol, Arc::new(world)) }
    }

    fn sotw(world: Fake) -> Self {
        Self::open(Protocol::StateOfTheWorld, world)
    }

    fn delta(world: Fake) -> Self {
        Self::open(Protocol::Delta, world)
    }

    fn update(&mut self, world: Fake) {
        self.session.update(Arc::new(world));
    }

    fn ask(&mut self, kind: Kind, names: &[&str], nonce: &str) -> Option<Refusal> {
        self.send(kind, names, nonce, None)
    }

    fn send(&mut self, kind: Kind, names: &[&str], nonce: &str, error: Option<Status>) -> Option<Refusal> {
        let request = DiscoveryRequest {
            node: node(),
            resource_names: strings(names),
            type_url: kind.type_url().to_owned(),
            response_nonce: nonce.to_owned(),
            error_detail: error,
            ..Default::default()
        };
        self.session.receive(request.encode_to_vec().into()).unwrap()
    }

    /// Every response that is due, as kind, contents and nonce.
    fn responses(&mut self) -> Vec<(Kind, Vec<String>, String)> {
        let version = self.session.world.version.to_string();
        std::iter::from_fn(|| self.session.next_response())
            .map(|bytes| {
                let response = DiscoveryResponse::decode(bytes).unwrap();
                assert_eq!(response.version_info, version);
                let text = |any: mesh_proto::ads::Any| {
                    assert_eq!(any.type_url, response.type_url);
                    String::from_utf8(any.value.to_vec()).unwrap()
                };
                let kind = Kind::from_type_url(&response.type_url).unwrap();
                (kind, response.resources.into_iter().map(text).collect(), response.nonce)
            })
            .collect()
    }

    /// The only response that is due, as contents and nonce.
    fn response(&mut self) -> (Vec<String>, String) {
        let mut responses = self.responses();
        assert_eq!(responses.len(), 1, "{responses:?}");
        let (_, contents, nonce) = responses.remove(0);
        (contents, nonce)
    }

    /// Subscribes, takes the answer and accepts it. The nonce.
    fn subscribed(&mut self, kind: Kind, names: &[&str]) -> String {
        self.ask(kind, names, "");
        let (_, nonce) = self.response();
        self.ask(kind, names, &nonce);
        assert_eq!(self.responses(), []);
        nonce
    }

    fn change(&mut self, kind: Kind, more: &[&str], less: &[&str]) {
        self.delta_request(kind, more, less, &[], "", None);
    }

    fn accept(&mut self, kind: Kind, nonce: &str) {
        self.delta_request(kind, &[], &[], &[], nonce, None);
    }

    fn delta_request(
        &mut self,
        kind: Kind,
        more: &[&str],
        less: &[&str],
        held: &[(&str, &str)],
        nonce: &str,
        error: Option<Status>,
    ) -> Option<Refusal> {
        let request = DeltaDiscoveryRequest {
            node: node(),
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: strings(more),
            resource_names_unsubscribe: strings(less),
            initial_resource_versions: held
                .iter()
                .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
                .collect(),
            response_nonce: nonce.to_owned(),
            error_detail: error,
        };
        self.session.receive(request.encode_to_vec().into()).unwrap()
    }

    /// Every delta response that is due.
    fn deltas(&mut self) -> Vec<DeltaDiscoveryResponse> {
        std::iter::from_fn(|| self.session.next_response())
            .map(|bytes| DeltaDiscoveryResponse::decode(bytes).unwrap())
            .collect()
    }

    /// The only delta response that is due: names that are there, names that are not, nonce.
    fn delta_response(&mut self) -> (Vec<String>, Vec<String>, String) {
        let mut deltas = self.deltas();
        assert_eq!(deltas.len(), 1, "{deltas:?}");
        let delta = deltas.remove(0);
        let names = delta.resources.iter().map(|resource| resource.name.clone()).collect();
        (names, delta.removed_resources, delta.nonce)
    }

    fn delta_subscribed(&mut self, kind: Kind, names: &[&str]) {
        self.change(kind, names, &[]);
        let (.., nonce) = self.delta_response();
        self.accept(kind, &nonce);
        assert_eq!(self.deltas(), []);
    }
}

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
fn delta_answers_every_name_and_says_what_does_not_exist() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["c", "nothing"], &[]);
    let (names, removed, nonce) = stream.delta_response();
    assert_eq!((names, removed), (strings(&["c"]), strings(&["nothing"])));
    stream.accept(Kind::Cluster, &nonce);
    assert_eq!(stream.deltas(), []);
    stream.change(Kind::Cluster, &["d"], &[]);
    assert_eq!(stream.delta_response().0, ["d"], "only what is new");
    stream.update(world().with(Kind::Cluster, "nothing", "n1"));
    assert_eq!(stream.delta_response().0, ["nothing"], "unknown names are not forgotten");
}

#[test]
fn delta_pushes_what_changed_and_what_is_gone() {
    let mut stream = Stream::delta(world());
    stream.delta_subscribed(Kind::Endpoint, &["c", "d"]);
    stream.update(world().with(Kind::Endpoint, "c", "e2").without(Kind::Endpoint, "d"));
    let (names, removed, nonce) = stream.delta_response();
    assert_eq!((names, removed), (strings(&["c"]), strings(&[])));
    assert_eq!(stream.deltas(), []);
    stream.accept(Kind::Endpoint, &nonce);
    let (names, removed, _) = stream.delta_response();
    assert_eq!((names, removed), (strings(&[]), strings(&["d"])));
}

#[test]
fn delta_resources_carry_their_own_version() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["c", "d"], &[]);
    let first = stream.deltas().remove(0);
    let version = |name: &str| {
        let found = first.resources.iter().find(|resource| resource.name == name);
        found.map(|resource| resource.version.clone()).unwrap()
    };
    assert_ne!(version("c"), version("d"));
    // On a new stream, to a new process: what is held is not sent again, what is not is.
    let mut again = Stream::delta(world().with(Kind::Cluster, "d", "d2").without(Kind::Cluster, "e"));
    let (c, d) = (version("c"), version("d"));
    let held = [("c", c.as_str()), ("d", d.as_str()), ("e", "v1"), ("unrelated", "v2")];
    again.delta_request(Kind::Cluster, &["c", "d", "e"], &[], &held, "", None);
    let (names, removed, nonce) = again.delta_response();
    assert_eq!((names, removed), (strings(&["d"]), strings(&[])));
    again.accept(Kind::Cluster, &nonce);
    let (names, removed, _) = again.delta_response();
    assert_eq!((names, removed), (strings(&[]), strings(&["e"])));
}

#[test]
fn delta_answers_a_first_request_even_if_there_is_no_news() {
    let mut stream = Stream::delta(world());
    let held = crate::serve::watch::version(b"c1");
    stream.delta_request(Kind::Cluster, &["c"], &[], &[("c", &held)], "", None);
    let (names, removed, _) = stream.delta_response();
    assert_eq!((names.len(), removed.len()), (0, 0));
}

#[test]
fn delta_sends_again_to_who_subscribes_again() {
    let mut stream = Stream::delta(world());
    stream.delta_subscribed(Kind::Cluster, &["c"]);
    stream.change(Kind::Cluster, &["c"], &[]);
    assert_eq!(stream.delta_response().0, ["c"]);
    stream.change(Kind::Cluster, &[], &["c"]);
    stream.update(world().with(Kind::Cluster, "c", "c2"));
    assert_eq!(stream.deltas(), []);
    stream.change(Kind::Cluster, &["c"], &[]);
    assert_eq!(stream.delta_response().0, ["c"]);
}

#[test]
fn delta_takes_subscriptions_with_any_nonce() {
    let mut stream = Stream::delta(world());
    stream.delta_subscribed(Kind::Cluster, &["c"]);
    stream.delta_request(Kind::Cluster, &["d"], &[], &[], "0", None);
    assert_eq!(stream.delta_response().0, ["d"]);
    stream.delta_request(Kind::Cluster, &["nothing"], &[], &[], "garbage", None);
    assert_eq!(stream.delta_response().1, ["nothing"]);
}

#[test]
fn delta_refusals_are_told_once_and_not_answered() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["c"], &[]);
    let (.., nonce) = stream.delta_response();
    let refuse =
        |stream: &mut Stream| stream.delta_request(Kind::Cluster, &[], &[], &[], &nonce, refused("bad"));
    assert_eq!(refuse(&mut stream).unwrap().message, "bad");
    assert_eq!(refuse(&mut stream), None);
    assert_eq!(stream.deltas(), []);
    let mut same = world();
    same.version += 1;
    stream.update(same);
    assert_eq!(stream.deltas(), []);
}

#[test]
fn delta_knows_both_wildcards() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &[], &[]);
    let (names, _, nonce) = stream.delta_response();
    assert_eq!(names, ["c", "d"], "naming nothing at first");
    stream.accept(Kind::Cluster, &nonce);
    stream.update(world().with(Kind::Cluster, "e", "e1"));
    let (names, _, nonce) = stream.delta_response();
    assert_eq!(names, ["e"]);
    stream.accept(Kind::Cluster, &nonce);
    stream.update(world());
    assert_eq!(stream.delta_response().1, ["e"]);

    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["*", "c", "nothing"], &[]);
    let (names, removed, _) = stream.delta_response();
    assert_eq!((names, removed), (strings(&["c", "d"]), strings(&["nothing"])));
    stream.change(Kind::Cluster, &[], &["c", "nothing"]);
    let (names, removed, _) = stream.delta_response();
    assert_eq!(
        (names, removed),
        (strings(&["c"]), strings(&["nothing"])),
        "still part of everything, or not"
    );
    stream.change(Kind::Cluster, &["d"], &["*"]);
    stream.deltas();
    stream.update(world().with(Kind::Cluster, "c", "c2").with(Kind::Cluster, "d", "d2"));
    assert_eq!(stream.delta_response().0, ["d"]);
}

#[test]
fn delta_remembers_what_was_on_the_way_when_everything_was_not_wanted_for_a_moment() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Listener, &["*"], &[]);
    assert_eq!(stream.delta_response().0, ["l"]);
    stream.update(world().without(Kind::Listener, "l"));
    stream.change(Kind::Listener, &[], &["*"]);
    stream.change(Kind::Listener, &["*"], &[]);
    // By now the client has l, from the first response.
    assert_eq!(stream.delta_response().1, ["l"]);
}
