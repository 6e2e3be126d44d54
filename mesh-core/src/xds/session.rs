//! The protocols of the xDS client as a pure state machine: events in, requests out, `now` passed in.
//!
//! State of the world and delta look the same from outside. It knows when to connect, what to ask, what to acknowledge or refuse, and what is known of every resource. It does
//! no I/O, so tests drive it through any interleaving in virtual time.

use super::cache::{Entry, Present};
use super::features::Features;
use super::in_process::Protocol;
use super::kind::ResourceKind;
use super::listing::Listed;
use super::subscription::Subscription;
pub use super::table::Received;
use super::wire::Response;
use crate::clock::Instant;
use crate::policy::backoff::Backoff;
use bytes::Bytes;
use mesh_proto::envoy::config::core::v3::Node;
use std::sync::Arc;
use std::time::Duration;

/// The back-off between attempts to reach a control plane: the only one there is. gRPC's clients stack two of 1 to 120
/// seconds.
pub const DEFAULT_STREAM_BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(250), factor: 1.6, max: Duration::from_secs(30), jitter: 0.2 };
/// The longest wait for a control plane that cannot be connected to: to try costs nobody anything, and one that comes back
/// after minutes is used at once, too. The longer waits are for one that is there and does not do well.
pub const MAX_WAIT_TO_CONNECT: Duration = Duration::from_secs(1);
/// A stream that answered and lived this long ended as streams do; the next one is opened at once.
pub const HEALTHY_STREAM: Duration = Duration::from_secs(1);

/// The protocol of one control plane connection.
#[derive(Debug)]
pub struct Session<K: ResourceKind> {
    node: Node,
    protocol: Protocol,
    subscriptions: Vec<Subscription<K>>,
    link: Link,
    failures: u32,
    error: Option<Arc<str>>,
    works: bool,
    outages: u64,
    control_plane: String,
}

#[derive(Debug)]
enum Link {
    /// No stream; the next one is due at this time, which is so long after the end of the last.
    Down { until: Instant, wait: Duration },
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
    /// A session that wants to connect at once, with a control plane that speaks `protocol` and has `features`, for a process
    /// that is `node` and has `local`.
    #[must_use]
    pub fn new(node: Node, protocol: Protocol, features: Features, local: &K::Local, now: Instant) -> Self {
        let subscription = |&kind| Subscription::new(kind, protocol, features, local.clone());
        Self {
            node,
            protocol,
            subscriptions: K::ALL.iter().map(subscription).collect(),
            link: Link::Down { until: now, wait: Duration::ZERO },
            failures: 0,
            error: None,
            works: false,
            outages: 0,
            control_plane: String::new(),
        }
    }

    /// Takes the place of another session with the same control plane: what that knew is forgotten, but not how the control
    /// plane does and how long to leave it alone.
    pub(super) fn replace(&mut self, other: &Self) {
        if let Link::Down { until, wait } = other.link {
            self.link = Link::Down { until, wait };
        }
        (self.failures, self.works) = (other.failures, other.works);
        self.error.clone_from(&other.error);
    }

    /// The protocol that its streams have to speak.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// What is known of a resource; `None` if it is not subscribed to.
    #[must_use]
    pub fn get(&self, kind: K, name: &str) -> Option<&Entry<K::Value>> {
        self.subscriptions[kind.index()].get(name)
    }

    /// Everything known of a kind, by name.
    pub fn entries(&self, kind: K) -> impl Iterator<Item = (&Arc<str>, &Entry<K::Value>)> {
        self.subscriptions[kind.index()].entries()
    }

    /// The last version of a kind that was accepted whole, as the control plane calls it.
    #[must_use]
    pub fn version(&self, kind: K) -> &str {
        self.subscriptions[kind.index()].version()
    }

    /// Why the control plane cannot be reached, if it cannot: since a stream ended, or could not be opened, before it
    /// brought anything, until one does (gRFC A57). A stream that ends after that ends as streams do.
    #[must_use]
    pub fn error(&self) -> Option<&Arc<str>> {
        self.error.as_ref()
    }

    /// Whether a stream is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    /// Whether the control plane does what it should (gRFC A78): from the first stream that is open until one fails before it
    /// brought anything, and again once one does. The time between streams that end as streams do counts as well.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.works
    }

    /// How the control plane calls itself.
    #[must_use]
    pub fn control_plane(&self) -> &str {
        &self.control_plane
    }

    /// Subscribes to the names `added` of a kind, and to those `removed` no more; either may be so already. What costs is
    /// the difference, whatever else is subscribed to. An added name of which something is known is no change.
    pub fn change_subscription(&mut self, kind: K, added: &[Arc<str>], removed: &[Arc<str>]) {
        self.subscriptions[kind.index()].change(added, removed);
    }

    /// Subscribes to every resource of a kind, whatever its name, beside those added by name, for the life of the
    /// session.
    pub fn add_all(&mut self, kind: K) {
        self.subscriptions[kind.index()].add_all();
    }

    /// Puts a resource in force that this control plane has not sent, until it says something about it or its time to live
    /// ends. Nothing happens if the resource is not subscribed to. One that is so only along with everything is gone if the
    /// control plane lists everything without it, and a change.
    pub fn preload(&mut self, kind: K, name: &str, resource: Present<K::Value>, expires: Option<Instant>) {
        self.subscriptions[kind.index()].preload(name, resource, expires);
    }

    /// Puts in force what another session has so, and adds to `changes` whatever may not be what it was there. Both are
    /// subscribed to the same, and this one has received nothing yet.
    pub(super) fn inherit(&mut self, other: &Self, changes: &mut Vec<Change<K>>) {
        let pairs = self.subscriptions.iter_mut().zip(&other.subscriptions);
        for ((subscription, before), &kind) in pairs.zip(K::ALL) {
            for (name, entry) in before.entries() {
                if let Some(present) = entry.present() {
                    subscription.preload(name, present.clone(), entry.expires);
                }
                // What has no name of its own and is put in force is told along with that.
                if entry.named || entry.present().is_none() {
                    changes.push(Change { kind, name: name.clone() });
                }
            }
        }
    }

    /// How many resources of a kind were received.
    #[must_use]
    pub fn received(&self, kind: K) -> Received {
        self.subscriptions[kind.index()].received()
    }

    /// How often the control plane went from healthy to unhealthy (gRFC A78).
    #[must_use]
    pub fn outages(&self) -> u64 {
        self.outages
    }

    /// Whether everything of a kind is subscribed to and has been listed, so that what is not known is not there.
    #[must_use]
    pub fn lists_all(&self, kind: K) -> bool {
        self.listed(kind) == Listed::All
    }

    /// How much of everything of a kind was listed, if that is subscribed to.
    #[must_use]
    pub fn listed(&self, kind: K) -> Listed {
        self.subscriptions[kind.index()].listed()
    }

    /// Whether a stream has to be opened now; if so the caller opens one and reports
    /// [`opened`](Self::opened) or [`closed`](Self::closed).
    pub fn should_open(&mut self, now: Instant) -> bool {
        let due = match self.link {
            // So far in the future it can only be if the clock was set back.
            Link::Down { until, wait } => until <= now || until > now + wait,
            _ => false,
        };
        if due {
            self.link = Link::Opening;
        }
        due
    }

    /// A stream is open.
    pub fn opened(&mut self, now: Instant) {
        self.link = Link::Up { since: now, node_sent: false, answered: false };
        self.works |= self.error.is_none();
        self.subscriptions.iter_mut().for_each(Subscription::stream_opened);
    }

    /// The stream is gone, or could not be opened.
    pub fn closed(&mut self, now: Instant, reason: &str, entropy: u64) {
        if !self.is_answered() {
            self.outages += u64::from(self.error.is_none());
            self.error = Some(reason.into());
            self.works = false;
        }
        self.failures = match self.link {
            Link::Up { since, answered: true, .. } if now >= since + HEALTHY_STREAM => 0,
            Link::Up { answered: true, .. } => 1,
            _ => self.failures.saturating_add(1),
        };
        let mut backoff = DEFAULT_STREAM_BACKOFF;
        if matches!(self.link, Link::Opening) {
            backoff.max = backoff.max.min(MAX_WAIT_TO_CONNECT);
        }
        let wait = backoff.delay(self.failures, entropy);
        self.link = Link::Down { until: now + wait, wait };
        self.subscriptions.iter_mut().for_each(Subscription::stream_closed);
    }

    /// The next request to send, if one is due; requests of the same kind that wait are merged into one.
    pub fn next_request(&mut self, now: Instant) -> Option<Bytes> {
        let Link::Up { node_sent, .. } = &mut self.link else { return None };
        let node = (!*node_sent).then_some(&self.node);
        let request = self.subscriptions.iter_mut().find_map(|state| state.next_request(now, node))?;
        *node_sent = true;
        Some(request.into())
    }

    /// Whether the open stream has brought an answer.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.link, Link::Up { answered: true, .. })
    }

    /// Whether a message is what a control plane would say, and not just anything: what [`receive`](Self::receive) counts as an
    /// answer.
    pub(super) fn is_answer(&self, message: &Bytes) -> bool {
        Response::read(self.protocol, message)
            .is_ok_and(|response| K::from_type_url(response.type_url).is_some())
    }

    /// Takes a message in and adds what changed to `changes`. One of a type that there is not is passed over, and no answer.
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
        let Link::Up { answered, .. } = &mut self.link else { return Ok(()) };
        let response = Response::read(self.protocol, &message)
            .map_err(|error| Garbled(format!("not a discovery response: {error}")))?;
        let Some(kind) = K::from_type_url(response.type_url) else {
            tracing::debug!(type_url = response.type_url, "response of a type that was not asked for");
            return Ok(());
        };
        *answered = true;
        self.error = None;
        self.works = true;
        if !response.control_plane.is_empty() && response.control_plane != self.control_plane {
            response.control_plane.clone_into(&mut self.control_plane);
        }
        let subscription = &mut self.subscriptions[kind.index()];
        subscription.receive(now, &response);
        changes.extend(subscription.take_changed().map(|name| Change { kind, name }));
        Ok(())
    }

    /// When [`fire`](Self::fire) or [`should_open`](Self::should_open) has something to do next.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Down { until, .. } => Some(until),
            Link::Opening | Link::Up { .. } => None,
        };
        self.subscriptions.iter().filter_map(Subscription::next_timer).chain(link).min()
    }

    /// Draws the conclusions from silence and adds what changed to `changes`.
    pub fn fire(&mut self, now: Instant, changes: &mut Vec<Change<K>>) {
        for (subscription, &kind) in self.subscriptions.iter_mut().zip(K::ALL) {
            subscription.fire(now);
            changes.extend(subscription.take_changed().map(|name| Change { kind, name }));
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
