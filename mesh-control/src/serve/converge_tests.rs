//! Whatever happens in whatever order: a client that follows the rules ends with exactly what is served.

use super::testing::Fake;
use super::*;
use crate::serve::watch::{WILDCARD, is_complete};
use mesh_proto::ads::{DeltaDiscoveryResponse, DiscoveryResponse};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    /// The world changes: a resource gets this content, or none.
    Change(Kind, usize, Option<u8>),
    /// The client wants a name, or no more.
    Want(Kind, usize, bool),
    /// The client wants everything, or no more.
    Everything(Kind, bool),
    /// The server hands a response to the network, if it has one.
    Respond,
    /// A response arrives.
    Response,
    /// A request arrives.
    Request,
    /// The stream breaks, and the client opens another one.
    Reconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || prop::sample::select(Kind::ALL.to_vec());
    let complete = prop::sample::select(vec![Kind::Listener, Kind::Cluster]);
    let step = prop_oneof![
        4 => (kind(), 0..NAMES.len(), prop::option::of(0..3u8)).prop_map(|(k, n, c)| Step::Change(k, n, c)),
        4 => (kind(), 0..NAMES.len(), any::<bool>()).prop_map(|(k, n, wanted)| Step::Want(k, n, wanted)),
        1 => (complete, any::<bool>()).prop_map(|(k, wanted)| Step::Everything(k, wanted)),
        4 => Just(Step::Respond),
        4 => Just(Step::Response),
        4 => Just(Step::Request),
        1 => Just(Step::Reconnect),
    ];
    vec(step, 0..80)
}

/// What a client knows of a kind.
#[derive(Debug, Default)]
struct Known {
    everything: bool,
    named: BTreeSet<&'static str>,
    held: BTreeMap<String, (String, Bytes)>,
    nonce: String,
    on_stream: bool,
}

impl Known {
    fn wants(&self, name: &str) -> bool {
        self.everything || self.named.contains(name)
    }

    fn names(&self) -> Vec<String> {
        let everything = self.everything.then_some(WILDCARD);
        everything.into_iter().chain(self.named.iter().copied()).map(str::to_owned).collect()
    }
}

struct Pair {
    protocol: Protocol,
    world: Fake,
    server: Session<Fake>,
    known: BTreeMap<Kind, Known>,
    introduced: bool,
    requests: VecDeque<Bytes>,
    responses: VecDeque<Bytes>,
}

impl Pair {
    fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            world: Fake::default(),
            server: Session::new(protocol, Arc::default()),
            known: Kind::ALL.into_iter().map(|kind| (kind, Known::default())).collect(),
            introduced: false,
            requests: VecDeque::new(),
            responses: VecDeque::new(),
        }
    }

    fn node(&mut self) -> Option<Node> {
        let first = !std::mem::replace(&mut self.introduced, true);
        first.then(|| Node { id: "me".to_owned(), ..Default::default() })
    }

    fn send(&mut self, kind: Kind, more: Vec<String>, less: Vec<String>, nonce: String) {
        let node = self.node();
        let known = self.known.get_mut(&kind).unwrap();
        let first = !std::mem::replace(&mut known.on_stream, true);
        let type_url = kind.type_url().to_owned();
        let request = match self.protocol {
            Protocol::StateOfTheWorld => DiscoveryRequest {
                node,
                type_url,
                resource_names: known.names(),
                response_nonce: known.nonce.clone(),
                ..Default::default()
            }
            .encode_to_vec(),
            Protocol::Delta => DeltaDiscoveryRequest {
                node,
                type_url,
                resource_names_subscribe: more,
                resource_names_unsubscribe: less,
                initial_resource_versions: match first {
                    true => known.held.iter().map(|(n, (version, _))| (n.clone(), version.clone())).collect(),
                    false => BTreeMap::new(),
                },
                response_nonce: nonce,
                ..Default::default()
            }
            .encode_to_vec(),
        };
        self.requests.push_back(request.into());
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Change(kind, name, content) => {
                self.world.version += 1;
                let key = (kind, NAMES[name].to_owned());
                match content {
                    // The name is part of it, so that a test client can read it, as real ones do.
                    Some(content) => {
                        self.world.resources.insert(key, format!("{}{content}", NAMES[name]).into());
                    }
                    None => {
                        self.world.resources.remove(&key);
                    }
                }
                self.server.update(Arc::new(self.world.clone()));
            }
            Step::Want(kind, name, wanted) => {
                let name = NAMES[name];
                let known = self.known.get_mut(&kind).unwrap();
                let changed = match wanted {
                    true => known.named.insert(name),
                    false => known.named.remove(name),
                };
                if !changed {
                    return;
                }
                if !known.wants(name) {
                    known.held.remove(name);
                }
                let names = vec![name.to_owned()];
                match wanted {
                    true => self.send(kind, names, vec![], String::new()),
                    false => self.send(kind, vec![], names, String::new()),
                }
            }
            Step::Everything(kind, wanted) => {
                let known = self.known.get_mut(&kind).unwrap();
                if std::mem::replace(&mut known.everything, wanted) == wanted {
                    return;
                }
                let named = known.named.clone();
                known.held.retain(|name, _| wanted || named.contains(name.as_str()));
                let names = vec![WILDCARD.to_owned()];
                match wanted {
                    true => self.send(kind, names, vec![], String::new()),
                    false => self.send(kind, vec![], names, String::new()),
                }
            }
            Step::Respond => {
                if let Some(response) = self.server.next_response() {
                    self.responses.push_back(response);
                }
            }
            Step::Response => {
                if let Some(response) = self.responses.pop_front() {
                    self.take(response);
                }
            }
            Step::Request => {
                if let Some(request) = self.requests.pop_front() {
                    assert_eq!(self.server.receive(request), Ok(None));
                }
            }
            Step::Reconnect => {
                self.requests.clear();
                self.responses.clear();
                self.introduced = false;
                self.server = Session::new(self.protocol, Arc::new(self.world.clone()));
                for kind in Kind::ALL {
                    let known = self.known.get_mut(&kind).unwrap();
                    known.on_stream = false;
                    known.nonce.clear();
                    let names = known.names();
                    if !names.is_empty() {
                        self.send(kind, names, vec![], String::new());
                    }
                }
            }
        }
    }

    fn take(&mut self, response: Bytes) {
        match self.protocol {
            Protocol::StateOfTheWorld => {
                let response = DiscoveryResponse::decode(response).unwrap();
                let kind = Kind::from_type_url(&response.type_url).unwrap();
                let known = self.known.get_mut(&kind).unwrap();
                known.nonce = response.nonce;
                let name = |bytes: &Bytes| char::from(bytes[0]).to_string();
                let sent: BTreeMap<_, _> =
                    response.resources.into_iter().map(|any| (name(&any.value), any.value)).collect();
                if is_complete(kind) {
                    known.held.retain(|name, _| sent.contains_key(name));
                }
                for (name, value) in sent {
                    if known.wants(&name) {
                        known.held.insert(name, (String::new(), value));
                    }
                }
                self.send(kind, vec![], vec![], String::new());
            }
            Protocol::Delta => {
                let response = DeltaDiscoveryResponse::decode(response).unwrap();
                let kind = Kind::from_type_url(&response.type_url).unwrap();
                let known = self.known.get_mut(&kind).unwrap();
                for resource in response.resources {
                    if known.wants(&resource.name) {
                        let value = resource.resource.unwrap().value;
                        known.held.insert(resource.name, (resource.version, value));
                    }
                }
                for name in response.removed_resources {
                    known.held.remove(&name);
                }
                self.send(kind, vec![], vec![], response.nonce);
            }
        }
    }

    fn settle(&mut self) {
        let mut rounds = 0;
        loop {
            while !self.requests.is_empty() {
                self.step(Step::Request);
            }
            self.step(Step::Respond);
            if self.responses.is_empty() {
                return;
            }
            self.step(Step::Response);
            rounds += 1;
            assert!(rounds < 1000, "it never ends");
        }
    }
}

fn converges(protocol: Protocol, steps: Vec<Step>) {
    let mut pair = Pair::new(protocol);
    steps.into_iter().for_each(|step| pair.step(step));
    while !pair.responses.is_empty() {
        pair.step(Step::Response);
    }
    pair.settle();
    assert!(!pair.server.holds_back());
    for (kind, known) in &pair.known {
        for name in NAMES {
            let held = known.held.get(name).map(|(_, bytes)| bytes);
            let exists = pair.world.resources.get(&(*kind, name.to_owned())).filter(|_| known.wants(name));
            // In the state of the world there is no way to say that a route or an assignment is gone.
            let may_be_old =
                protocol == Protocol::StateOfTheWorld && !is_complete(*kind) && known.wants(name);
            if exists.is_some() || !may_be_old {
                assert_eq!(held, exists, "{kind:?} {name}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_state_of_the_world_converges(steps in steps()) {
        converges(Protocol::StateOfTheWorld, steps);
    }

    #[test]
    fn delta_converges(steps in steps()) {
        converges(Protocol::Delta, steps);
    }
}
