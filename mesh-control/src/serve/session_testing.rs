//! A world that is whatever a test says, and a stream whose client is the test.

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
    pub(super) fn with(mut self, kind: Kind, name: &str, content: &str) -> Self {
        self.version += 1;
        self.resources.insert((kind, name.to_owned()), content.to_owned().into());
        self
    }

    pub(super) fn without(mut self, kind: Kind, name: &str) -> Self {
        self.version += 1;
        self.resources.remove(&(kind, name.to_owned()));
        self
    }
}

/// Listener `l` to route `r` to cluster `c` with endpoints `c`, and a cluster `d`.
pub(super) fn world() -> Fake {
    Fake::default()
        .with(Kind::Listener, "l", "l1")
        .with(Kind::Route, "r", "r1")
        .with(Kind::Cluster, "c", "c1")
        .with(Kind::Cluster, "d", "d1")
        .with(Kind::Endpoint, "c", "e1")
        .with(Kind::Endpoint, "d", "f1")
}

pub(super) fn node() -> Option<Node> {
    Some(Node { id: "me".to_owned(), ..Default::default() })
}

/// A stream with the client's end in the hands of the test.
pub(super) struct Stream {
    pub(super) session: Session<Fake>,
}

pub(super) fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn refused(why: &str) -> Option<Status> {
    Some(Status { code: 3, message: why.to_owned(), details: vec![] })
}

impl Stream {
    pub(super) fn open(protocol: Protocol, world: Fake) -> Self {
        Self { session: Session::new(protocol, Arc::new(world)) }
    }

    pub(super) fn sotw(world: Fake) -> Self {
        Self::open(Protocol::StateOfTheWorld, world)
    }

    pub(super) fn delta(world: Fake) -> Self {
        Self::open(Protocol::Delta, world)
    }

    pub(super) fn update(&mut self, world: Fake) {
        self.session.update(Arc::new(world));
    }

    pub(super) fn ask(&mut self, kind: Kind, names: &[&str], nonce: &str) -> Option<Refusal> {
        self.send(kind, names, nonce, None)
    }

    pub(super) fn send(
        &mut self,
        kind: Kind,
        names: &[&str],
        nonce: &str,
        error: Option<Status>,
    ) -> Option<Refusal> {
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
    pub(super) fn responses(&mut self) -> Vec<(Kind, Vec<String>, String)> {
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
    pub(super) fn response(&mut self) -> (Vec<String>, String) {
        let mut responses = self.responses();
        assert_eq!(responses.len(), 1, "{responses:?}");
        let (_, contents, nonce) = responses.remove(0);
        (contents, nonce)
    }

    /// Subscribes, takes the answer and accepts it. The nonce.
    pub(super) fn subscribed(&mut self, kind: Kind, names: &[&str]) -> String {
        self.ask(kind, names, "");
        let (_, nonce) = self.response();
        self.ask(kind, names, &nonce);
        assert_eq!(self.responses(), []);
        nonce
    }

    pub(super) fn change(&mut self, kind: Kind, more: &[&str], less: &[&str]) {
        self.delta_request(kind, more, less, &[], "", None);
    }

    pub(super) fn accept(&mut self, kind: Kind, nonce: &str) {
        self.delta_request(kind, &[], &[], &[], nonce, None);
    }

    pub(super) fn delta_request(
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
    pub(super) fn deltas(&mut self) -> Vec<DeltaDiscoveryResponse> {
        std::iter::from_fn(|| self.session.next_response())
            .map(|bytes| DeltaDiscoveryResponse::decode(bytes).unwrap())
            .collect()
    }

    /// The only delta response that is due: names that are there, names that are not, nonce.
    pub(super) fn delta_response(&mut self) -> (Vec<String>, Vec<String>, String) {
        let mut deltas = self.deltas();
        assert_eq!(deltas.len(), 1, "{deltas:?}");
        let delta = deltas.remove(0);
        let names = delta.resources.iter().map(|resource| resource.name.clone()).collect();
        (names, delta.removed_resources, delta.nonce)
    }

    pub(super) fn delta_subscribed(&mut self, kind: Kind, names: &[&str]) {
        self.change(kind, names, &[]);
        let (.., nonce) = self.delta_response();
        self.accept(kind, &nonce);
        assert_eq!(self.deltas(), []);
    }
}
