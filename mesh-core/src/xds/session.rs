//! The protocol of the xDS client as a pure state machine: events in, requests out, `now` passed in.
//!
//! It knows when to connect, what to ask, what to acknowledge or refuse, and what is known of every resource. It does
//! no I/O, so tests drive it through any interleaving in virtual time.

use super::cache::Entry;
use super::kind::ResourceKind;
use super::subscription::Subscription;
use crate::clock::Instant;
use crate::policy::backoff::Backoff;
use bytes::Bytes;
use mesh_proto::ads::DiscoveryResponse;
use mesh_proto::envoy::config::core::v3::Node;
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The back-off between attempts to reach a control plane: the only one there is, so that a control plane that comes
/// back is used within a second. gRPC's clients stack two of 1 to 120 seconds.
pub const DEFAULT_STREAM_BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(250), factor: 1.6, max: Duration::from_secs(30), jitter: 0.2 };
/// A stream that answered and lived this long ended as streams do; the next one is opened at once.
pub const HEALTHY_STREAM: Duration = Duration::from_secs(1);

/// The protocol of one control plane connection.
#[derive(Debug)]
pub struct Session<K: ResourceKind> {
    node: Node,
    backoff: Backoff,
    subscriptions: Vec<Subscription<K>>,
    link: Link,
    failures: u32,
    error: Option<Arc<str>>,
    control_plane: String,
}

#[derive(Debug)]
enum Link {
    /// No stream; the next one is due at this time.
    Down { until: Instant },
    /// A stream is being opened.
    Opening,
    /// A stream is open.
    Up { since: Instant, node_sent: bool, answered: bool },
}

/// A resource whose [`Entry`] is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change<K> {
    /// The kind of the resource.
    pub kind: K,
    /// Its name.
    pub name: Arc<str>,
}

/// A message that cannot be understood; the stream has to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbled(pub String);

impl<K: ResourceKind> Session<K> {
    /// A session that wants to connect at once.
    #[must_use]
    pub fn new(node: Node, backoff: Backoff, now: Instant) -> Self {
        Self {
            node,
            backoff,
            subscriptions: K::ALL.iter().map(|&kind| Subscription::new(kind)).collect(),
            link: Link::Down { until: now },
            failures: 0,
            error: None,
            control_plane: String::new(),
        }
    }

    /// What is known of a resource; `None` if it is not subscribed to.
    #[must_use]
    pub fn get(&self, kind: K, name: &str) -> Option<&Entry<K::Value>> {
        self.subscriptions[kind.index()].get(name)
    }

    /// Everything subscribed to of a kind.
    pub fn entries(&self, kind: K) -> impl Iterator<Item = (&Arc<str>, &Entry<K::Value>)> {
        self.subscriptions[kind.index()].entries()
    }

    /// The last version of a kind that was accepted whole.
    #[must_use]
    pub fn version(&self, kind: K) -> &str {
        self.subscriptions[kind.index()].version()
    }

    /// Why there is no working stream, if there is none.
    #[must_use]
    pub fn error(&self) -> Option<&Arc<str>> {
        self.error.as_ref()
    }

    /// Whether a stream is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// How the control plane calls itself.
    #[must_use]
    pub fn control_plane(&self) -> &str {
        &self.control_plane
    }

    /// Subscribes to exactly `names` of a kind.
    pub fn subscribe(&mut self, kind: K, names: &BTreeSet<Arc<str>>) {
        self.subscriptions[kind.index()].set(names);
    }

    /// Subscribes to the names `added` of a kind, and to those `removed` no more; either may be so already.
    pub fn change_subscription(&mut self, kind: K, added: &[Arc<str>], removed: &[Arc<str>]) {
        self.subscriptions[kind.index()].change(added, removed);
    }

    /// Whether a stream has to be opened now; if so the caller opens one and reports
    /// [`opened`](Self::opened) or [`closed`](Self::closed).
    pub fn should_open(&mut self, now: Instant) -> bool {
        let due = matches!(self.link, Link::Down { until } if until <= now);
        if due {
            self.link = Link::Opening;
        }
        due
    }

    /// A stream is open.
    pub fn opened(&mut self, now: Instant) {
        self.link = Link::Up { since: now, node_sent: false, answered: false };
        self.subscriptions.iter_mut().for_each(Subscription::stream_opened);
    }

    /// The stream is gone, or could not be opened.
    pub fn closed(&mut self, now: Instant, reason: &str, entropy: u64) {
        self.failures = match self.link {
            Link::Up { since, answered: true, .. } if now >= since + HEALTHY_STREAM => 0,
            Link::Up { answered: true, .. } => 1,
            _ => self.failures.saturating_add(1),
        };
        self.link = Link::Down { until: now + self.backoff.delay(self.failures, entropy) };
        self.error = Some(reason.into());
        self.subscriptions.iter_mut().for_each(Subscription::stream_closed);
    }

    /// The next request to send, if one is due; requests of the same kind that wait are merged into one.
    pub fn next_request(&mut self, now: Instant) -> Option<Bytes> {
        let Link::Up { node_sent, .. } = &mut self.link else { return None };
        let mut request = self.subscriptions.iter_mut().find_map(|state| state.next_request(now))?;
        if !std::mem::replace(node_sent, true) {
            request.node = Some(self.node.clone());
        }
        Some(request.encode_to_vec().into())
    }

    /// Takes a message in and adds what changed to `changes`.
    ///
    /// # Errors
    ///
    /// If the message is no discovery response; the caller must close the stream.
    pub fn receive(
        &mut self,
        now: Instant,
        message: Bytes,
        changes: &mut Vec<Change<K>>,
    ) -> Result<(), Garbled> {
        let response = DiscoveryResponse::decode(message)
            .map_err(|error| Garbled(format!("not a DiscoveryResponse: {error}")))?;
        if let Link::Up { answered, .. } = &mut self.link {
            *answered = true;
            self.error = None;
        }
        if let Some(control_plane) = &response.control_plane {
            self.control_plane.clone_from(&control_plane.identifier);
        }
        let Some(kind) = K::from_type_url(&response.type_url) else {
            tracing::debug!(type_url = response.type_url, "response of a type that was not asked for");
            return Ok(());
        };
        self.subscriptions[kind.index()]
            .receive(now, response, |name| changes.push(Change { kind, name: name.clone() }));
        Ok(())
    }

    /// When [`fire`](Self::fire) or [`should_open`](Self::should_open) has something to do next.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        match self.link {
            Link::Down { until } => Some(until),
            Link::Opening => None,
            Link::Up { .. } => self.subscriptions.iter().filter_map(Subscription::next_timer).min(),
        }
    }

    /// Draws the conclusions from silence and adds what changed to `changes`.
    pub fn fire(&mut self, now: Instant, changes: &mut Vec<Change<K>>) {
        for (state, &kind) in self.subscriptions.iter_mut().zip(K::ALL) {
            state.fire(now, |name| changes.push(Change { kind, name: name.clone() }));
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
