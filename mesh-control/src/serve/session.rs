//! The server's side of one ADS stream as a pure state machine: requests and translations in, responses out.
//!
//! Rules beyond the protocol's letter:
//! - What is new or changed is pushed in the order Clusters, endpoints, Listeners, routes, and what is gone is taken
//!   away only once the client has answered all of that: nothing is broken before its successor is made.
//! - Only what a client does not hold is sent, as far as its protocol can say so.
//! - A refused resource is not sent again until it changes.

use super::by_name::Size;
use super::watch::{Marks, Watch, index};
use super::{IDENTIFIER, World, delta, sotw};
use crate::translate::{Kind, NodeView};
use bytes::Bytes;
use mesh_core::xds::in_process::Protocol;
use mesh_proto::ads::{DeltaDiscoveryRequest, DiscoveryRequest};
use mesh_proto::envoy::config::core::v3::{ControlPlane, Node};
use prost::Message;
use std::fmt;
use std::ops::Add;
use std::sync::Arc;

/// The order in which kinds are pushed: what is referred to before what refers to it.
pub const PUSH_ORDER: [Kind; 4] = [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route];

/// Names that a stream may ask for, of all kinds together. What is there anyway does not count for who asks for everything.
pub const MAX_NAMES: usize = 200_000;
/// The length of these names in bytes, all together.
pub const MAX_NAME_BYTES: usize = 32 * 1024 * 1024;

/// The server's side of one stream.
#[derive(Debug)]
pub struct Session<W> {
    protocol: Protocol,
    world: Arc<W>,
    node: Option<NodeView>,
    watches: [Watch; Kind::ALL.len()],
    /// The number of the last response.
    number: u64,
    /// The names that it may ask for.
    limit: Size,
    /// Those that are remembered at most: more, if the client wants everything of a larger world.
    most: Size,
}

/// A client that refuses what it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of what it refuses.
    pub kind: Kind,
    /// The nonce of the response.
    pub nonce: String,
    /// Why it does.
    pub message: String,
}

/// A request that cannot be answered; the stream has to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl<W: World> Session<W> {
    /// A stream that has just been opened.
    #[must_use]
    pub fn new(protocol: Protocol, world: Arc<W>) -> Self {
        let mut watches = Kind::ALL.map(Watch::new);
        watches.sort_by_key(|watch| index(watch.kind));
        let limit = Size { names: MAX_NAMES, bytes: MAX_NAME_BYTES };
        Self { protocol, world, node: None, watches, number: 0, limit, most: limit }
    }

    /// Who asks; none before the first request.
    #[must_use]
    pub fn node(&self) -> Option<&NodeView> {
        self.node.as_ref()
    }

    /// Takes a request in. What the client refuses with it, unless it has said so before.
    ///
    /// # Errors
    ///
    /// If the message is no request, or the first one without a node, or asks for more than [`MAX_NAMES`] or
    /// [`MAX_NAME_BYTES`] with those before it.
    pub fn receive(&mut self, message: Bytes) -> Result<Option<Refusal>, Violation> {
        let garbled = |error| Violation(format!("not a discovery request: {error}"));
        let refusal = match self.protocol {
            Protocol::StateOfTheWorld => {
                let mut request = DiscoveryRequest::decode(message).map_err(garbled)?;
                self.introduce(request.node.take())?;
                self.watch(&request.type_url).and_then(|watch| sotw::receive(watch, request))
            }
            Protocol::Delta => {
                let mut request = DeltaDiscoveryRequest::decode(message).map_err(garbled)?;
                self.introduce(request.node.take())?;
                self.watch(&request.type_url).and_then(|watch| delta::receive(watch, request))
            }
        };
        self.check_size()?;
        Ok(refusal)
    }

    /// Refuses to remember more names than there may be.
    fn check_size(&mut self) -> Result<(), Violation> {
        let size = self.watches.iter().map(Watch::size).fold(Size::default(), Size::add);
        let Some(node) = self.node.as_ref().filter(|_| !size.fits(self.most)) else { return Ok(()) };
        let wildcards = self.watches.iter().filter(|watch| watch.wildcard);
        let world = wildcards.map(|watch| Size::of(&self.world.names(node, watch.kind)));
        let world = world.fold(Size::default(), Size::add);
        self.most = self.limit + world;
        if size.fits(self.most) {
            return Ok(());
        }
        let (Size { names, bytes }, limit) = (size - world, self.limit);
        Err(Violation(format!(
            "the stream asks for {names} names of {bytes} bytes, and no stream may ask for more than {} of {} bytes: ask for \
             fewer, or for everything with \"*\"",
            limit.names, limit.bytes
        )))
    }

    /// Replaces what is served.
    pub fn update(&mut self, world: Arc<W>) {
        self.world = world;
        self.most = self.limit;
        self.watches.iter_mut().for_each(|watch| watch.dirty |= !watch.is_idle());
    }

    /// The next response, if one is due. Called whenever there is room to send: between two calls nothing is kept but
    /// the latest state.
    pub fn next_response(&mut self) -> Option<Bytes> {
        self.node.as_ref()?;
        PUSH_ORDER
            .into_iter()
            .find_map(|kind| self.push(kind))
            .or_else(|| PUSH_ORDER.into_iter().rev().find_map(|kind| self.take_away(kind, false)))
    }

    /// Whether something is gone that the client will be told of once it has answered what was sent before.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.watches.iter().any(Watch::has_gone)
    }

    /// What was held back, without waiting for answers any longer.
    pub fn next_held_back(&mut self) -> Option<Bytes> {
        PUSH_ORDER.into_iter().rev().find_map(|kind| self.take_away(kind, true))
    }

    fn introduce(&mut self, node: Option<Node>) -> Result<(), Violation> {
        match (node, &self.node) {
            (Some(node), _) => self.node = Some(NodeView::from_proto(&node)),
            (None, Some(_)) => {}
            (None, None) => {
                return Err(Violation("the first request of a stream has to say who asks: set node".into()));
            }
        }
        Ok(())
    }

    fn watch(&mut self, type_url: &str) -> Option<&mut Watch> {
        let kind = Kind::from_type_url(type_url);
        if kind.is_none() {
            tracing::debug!(type_url, "a client asks for a type that is not served");
        }
        Some(&mut self.watches[index(kind?)])
    }

    /// Says what is new of a kind.
    fn push(&mut self, kind: Kind) -> Option<Bytes> {
        let watch = &mut self.watches[index(kind)];
        if !watch.dirty {
            return None;
        }
        let news = watch.take_news(&*self.world, self.node.as_ref()?);
        let version = self.world.version();
        let number = self.number + 1;
        let response = match self.protocol {
            Protocol::StateOfTheWorld => {
                sotw::encode(sotw::respond(watch, news.changed, false, version)?, number)
            }
            Protocol::Delta => {
                delta::encode(delta::respond(watch, news.changed, news.unknown, version)?, number)
            }
        };
        (watch.sent, self.number) = (number, number);
        Some(response)
    }

    /// Says what is gone of a kind, as far as the client has answered what was sent before it went.
    fn take_away(&mut self, kind: Kind, impatient: bool) -> Option<Bytes> {
        let sent: Marks = std::array::from_fn(|at| self.watches[at].sent);
        // Who wants nothing of a kind may have stopped to answer.
        let answered: Marks = std::array::from_fn(|at| match self.watches[at].is_idle() {
            true => u64::MAX,
            false => self.watches[at].answered,
        });
        let passed =
            |marks: &Marks| impatient || marks.iter().zip(&answered).all(|(sent, seen)| sent <= seen);
        let watch = &mut self.watches[index(kind)];
        let gone = watch.take_gone(sent, passed);
        if gone.is_empty() {
            return None;
        }
        let version = self.world.version();
        let number = self.number + 1;
        let response = match self.protocol {
            Protocol::StateOfTheWorld => {
                sotw::encode(sotw::respond(watch, Vec::new(), true, version)?, number)
            }
            Protocol::Delta => delta::encode(delta::respond(watch, Vec::new(), gone, version)?, number),
        };
        (watch.sent, self.number) = (number, number);
        Some(response)
    }
}

impl Refusal {
    /// Notes that a client answered a response, with a reason if it refuses it.
    pub(super) fn new(watch: &mut Watch, nonce: String, message: Option<String>) -> Option<Self> {
        let kind = watch.kind;
        watch.refuse(message).map(|message| Self { kind, nonce, message })
    }
}

pub(super) fn identifier() -> ControlPlane {
    ControlPlane { identifier: IDENTIFIER.to_owned() }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
#[path = "session_testing.rs"]
mod testing;

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "session_delta_tests.rs"]
mod delta_tests;

#[cfg(test)]
#[path = "session_size_tests.rs"]
mod size_tests;

#[cfg(test)]
#[path = "converge_tests.rs"]
mod converge_tests;
