//! What the tests of the session share: two kinds of resources, and a session with a clock.

use super::cache::{Absence, State};
use super::features::Features;
use super::in_process::Protocol;
use super::kind::ResourceKind;
use super::session::Session;
use crate::clock::{Clock, Instant};
use bytes::Bytes;
use mesh_proto::ads::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
    RESOURCE_TYPE_URL, Resource,
};
use mesh_proto::envoy::config::core::v3::{ControlPlane, Node};
use mesh_proto::envoy::service::discovery::v3 as envoy;
use mesh_proto::google::protobuf as google;
use prost::Message;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Toy {
    /// Complete, like CDS.
    Whole,
    /// Not complete, like EDS.
    Part,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Thing {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, tag = "2")]
    pub(super) number: u32,
}

impl ResourceKind for Toy {
    type Value = u32;
    type Local = ();
    const ALL: &'static [Self] = &[Self::Whole, Self::Part];

    fn index(self) -> usize {
        self as usize
    }

    fn type_url(self) -> &'static str {
        ["type.googleapis.com/Whole", "type.googleapis.com/Part"][self.index()]
    }

    fn is_complete(self) -> bool {
        self == Self::Whole
    }

    fn decode_for(self, (): &(), _: &str, bytes: &Bytes, _: Option<&u32>) -> Result<u32, String> {
        DECODED.set(DECODED.get() + 1);
        let thing = Thing::decode(&**bytes).map_err(|error| error.to_string())?;
        if thing.number == 0 { Err("number: must not be zero".to_owned()) } else { Ok(thing.number) }
    }
}

pub(super) struct Fixture {
    pub(super) session: Session<Toy>,
    subscribed: [BTreeSet<Arc<str>>; 2],
    pub(super) now: Instant,
    pub(super) nonce: u32,
}

impl Fixture {
    pub(super) fn with(protocol: Protocol, features: Features) -> Self {
        let now = Clock::system().now();
        let node = Node { id: "me".to_owned(), ..Default::default() };
        let session = Session::new(node, protocol, features, &(), now);
        Self { session, subscribed: Default::default(), now, nonce: 0 }
    }

    /// A state-of-the-world session that has not connected.
    pub(super) fn new() -> Self {
        Self::with(Protocol::StateOfTheWorld, Features::default())
    }

    /// A state-of-the-world session with a stream.
    pub(super) fn up() -> Self {
        let mut fixture = Self::new();
        fixture.open();
        fixture
    }

    /// A delta session with a stream.
    pub(super) fn delta() -> Self {
        let mut fixture = Self::with(Protocol::Delta, Features::default());
        fixture.open();
        fixture
    }

    pub(super) fn open(&mut self) {
        assert!(self.session.should_open(self.now));
        self.session.opened(self.now);
    }

    /// The stream ends, and a new one is opened a minute later.
    pub(super) fn reopen(&mut self) {
        self.session.closed(self.now, "gone", 0);
        self.now += Duration::from_secs(60);
        self.open();
    }

    pub(super) fn subscribe(&mut self, kind: Toy, names: &[&str]) {
        let after: BTreeSet<Arc<str>> = names.iter().map(|&name| name.into()).collect();
        let before = std::mem::replace(&mut self.subscribed[kind.index()], after.clone());
        let added: Vec<_> = after.difference(&before).cloned().collect();
        let removed: Vec<_> = before.difference(&after).cloned().collect();
        self.session.change_subscription(kind, &added, &removed);
    }

    pub(super) fn requests(&mut self) -> Vec<DiscoveryRequest> {
        std::iter::from_fn(|| self.session.next_request(self.now))
            .map(|bytes| DiscoveryRequest::decode(bytes).unwrap())
            .collect()
    }

    pub(super) fn request(&mut self) -> DiscoveryRequest {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    pub(super) fn delta_requests(&mut self) -> Vec<DeltaDiscoveryRequest> {
        std::iter::from_fn(|| self.session.next_request(self.now))
            .map(|bytes| DeltaDiscoveryRequest::decode(bytes).unwrap())
            .collect()
    }

    pub(super) fn delta_request(&mut self) -> DeltaDiscoveryRequest {
        let mut requests = self.delta_requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    pub(super) fn send_delta(
        &mut self,
        kind: Toy,
        resources: Vec<Resource>,
        removed: &[&str],
    ) -> Vec<String> {
        self.nonce += 1;
        let response = DeltaDiscoveryResponse {
            system_version_info: format!("v{}", self.nonce),
            resources,
            type_url: kind.type_url().to_owned(),
            nonce: format!("n{}", self.nonce),
            removed_resources: removed.iter().map(|&name| name.to_owned()).collect(),
            control_plane: None,
        };
        self.deliver(response.encode_to_vec())
    }

    /// Hands a message to the session; the names that changed.
    pub(super) fn deliver(&mut self, message: Vec<u8>) -> Vec<String> {
        let mut changes = Vec::new();
        self.session.receive(self.now, message.into(), &mut changes).unwrap();
        changes.iter().map(|change| change.name.to_string()).collect()
    }

    pub(super) fn send(&mut self, kind: Toy, resources: Vec<Any>) -> Vec<String> {
        self.nonce += 1;
        let response = DiscoveryResponse {
            version_info: format!("v{}", self.nonce),
            resources,
            type_url: kind.type_url().to_owned(),
            nonce: format!("n{}", self.nonce),
            control_plane: Some(ControlPlane { identifier: "scripted".to_owned() }),
        };
        self.deliver(response.encode_to_vec())
    }

    pub(super) fn fire_at(&mut self, after: Duration) -> Vec<String> {
        self.now += after;
        let mut changes = Vec::new();
        self.session.fire(self.now, &mut changes);
        changes.iter().map(|change| change.name.to_string()).collect()
    }

    pub(super) fn value(&self, kind: Toy, name: &str) -> Option<u32> {
        self.session.get(kind, name).unwrap().value().copied()
    }

    pub(super) fn absence(&self, kind: Toy, name: &str) -> Option<Absence> {
        match self.session.get(kind, name).unwrap().state {
            State::Absent(absence) => Some(absence),
            _ => None,
        }
    }
}

thread_local! {
    static DECODED: Cell<usize> = const { Cell::new(0) };
}

/// Resources decoded by this thread so far.
pub(super) fn decoded() -> usize {
    DECODED.get()
}

/// A wrapper with a time to live.
pub(super) fn wrapped_for(name: &str, inner: Option<Any>, ttl: Option<Duration>) -> Any {
    let mut wrapper = wrapped(name, inner);
    if let Some(ttl) = ttl {
        let duration = google::Duration { seconds: ttl.as_secs() as i64, nanos: ttl.subsec_nanos() as i32 };
        let rest = envoy::Resource { ttl: Some(duration), ..Default::default() };
        wrapper.value = [&wrapper.value[..], &rest.encode_to_vec()].concat().into();
    }
    wrapper
}

pub(super) fn any(kind: Toy, name: &str, number: u32) -> Any {
    let thing = Thing { name: name.to_owned(), number };
    Any { type_url: kind.type_url().to_owned(), value: thing.encode_to_vec().into() }
}

pub(super) fn wrapped(name: &str, inner: Option<Any>) -> Any {
    let wrapper = Resource { name: name.to_owned(), version: "7".to_owned(), resource: inner };
    Any { type_url: RESOURCE_TYPE_URL.to_owned(), value: wrapper.encode_to_vec().into() }
}

/// A resource of a delta response.
pub(super) fn resource(kind: Toy, name: &str, version: &str, number: u32) -> Resource {
    Resource { name: name.to_owned(), version: version.to_owned(), resource: Some(any(kind, name, number)) }
}
