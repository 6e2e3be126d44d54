//! Joins the [`Session`] to a stream: the part of the xDS client that does I/O.

use super::cache::Entry;
use super::kind::ResourceKind;
use super::link::{Link, Source};
use super::session::{Change, Session};
use crate::clock::{Instant, Timer};
use crate::net::Environment;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Messages that are taken in before the caller gets to act on them: it acts once per batch.
const BATCH: usize = 64;

/// An xDS client: a [`Session`] that talks to its [`Source`].
pub struct Client<K: ResourceKind> {
    session: Session<K>,
    source: Source,
    environment: Environment,
    stream: Stream,
    timer: Timer,
}

enum Stream {
    None,
    Opening(Pin<Box<dyn Future<Output = Result<Link, String>> + Send>>),
    Open(Box<Link>),
}

/// What happened.
#[derive(Debug)]
pub struct Turn<K> {
    /// The resources whose entries are not what they were.
    pub changes: Vec<Change<K>>,
    /// Whether the stream was opened or closed.
    pub link_changed: bool,
}

impl<K: ResourceKind> Client<K> {
    /// A client that connects once it is polled.
    pub fn new(session: Session<K>, source: Source, environment: Environment) -> Self {
        let timer = Timer::at(None);
        Self { session, source, environment, stream: Stream::None, timer }
    }

    /// What is known of a resource; `None` if it is not subscribed to.
    #[must_use]
    pub fn get(&self, kind: K, name: &str) -> Option<&Entry<K::Value>> {
        self.session.get(kind, name)
    }

    /// Everything subscribed to of a kind.
    pub fn entries(&self, kind: K) -> impl Iterator<Item = (&Arc<str>, &Entry<K::Value>)> {
        self.session.entries(kind)
    }

    /// Subscribes to the names `added` of a kind, and to those `removed` no more; either may be so already. Takes effect
    /// when [`turn`](Self::turn) is polled next.
    pub fn subscribe(&mut self, kind: K, added: &[Arc<str>], removed: &[Arc<str>]) {
        self.session.change_subscription(kind, added, removed);
    }

    /// The last version of a kind that was accepted whole.
    #[must_use]
    pub fn version(&self, kind: K) -> &str {
        self.session.version(kind)
    }

    /// Why no control plane can be reached, if none can.
    #[must_use]
    pub fn error(&self) -> Option<&Arc<str>> {
        self.session.error()
    }

    /// Whether a stream is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.session.is_open()
    }

    /// How the control plane calls itself.
    #[must_use]
    pub fn control_plane(&self) -> &str {
        self.session.control_plane()
    }

    /// Where the configuration comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Waits until something happens. Cancelling it loses nothing.
    pub async fn turn(&mut self) -> Turn<K> {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn<K>> {
        let mut turn = Turn { changes: Vec::new(), link_changed: false };
        loop {
            let now = self.environment.clock.now();
            self.session.fire(now, &mut turn.changes);
            let progress = match &mut self.stream {
                Stream::None => self.open(now),
                Stream::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Ready(Ok(link)) => {
                        tracing::info!(control_plane = %self.source, "xDS stream opened");
                        self.stream = Stream::Open(Box::new(link));
                        self.session.opened(now);
                        turn.link_changed = true;
                        true
                    }
                    Poll::Ready(Err(reason)) => self.close(&reason, &mut turn),
                    Poll::Pending => false,
                },
                Stream::Open(link) => match exchange(link, &mut self.session, now, cx, &mut turn.changes) {
                    Ok(()) => false,
                    Err(reason) => self.close(&reason, &mut turn),
                },
            };
            if !turn.changes.is_empty() || turn.link_changed {
                return Poll::Ready(turn);
            }
            if !progress {
                self.timer.reset(self.session.next_timer());
                if self.timer.poll_expired(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }
    }

    fn open(&mut self, now: Instant) -> bool {
        if !self.session.should_open(now) {
            return false;
        }
        let (source, environment) = (self.source.clone(), self.environment.clone());
        let protocol = self.session.protocol();
        self.stream = Stream::Opening(Box::pin(async move { source.open(protocol, &environment).await }));
        true
    }

    fn close(&mut self, reason: &str, turn: &mut Turn<K>) -> bool {
        self.stream = Stream::None;
        let before = self.session.error().cloned();
        self.session.closed(self.environment.clock.now(), reason, self.environment.clock.entropy());
        match self.session.error() {
            None => tracing::info!(control_plane = %self.source, reason, "xDS stream ended"),
            Some(error) if Some(error) != before.as_ref() => {
                tracing::warn!(control_plane = %self.source, reason, "xDS stream closed; the configuration stays in force");
            }
            Some(_) => {}
        }
        turn.link_changed = true;
        true
    }
}

/// Takes in what has come and sends what is due.
///
/// What changed is left for the caller to act on before anything is sent, so that an acknowledgement and the
/// subscriptions that follow from it leave in one request.
fn exchange<K: ResourceKind>(
    link: &mut Link,
    session: &mut Session<K>,
    now: Instant,
    cx: &mut Context<'_>,
    changes: &mut Vec<Change<K>>,
) -> Result<(), String> {
    let mut taken = 0;
    while let Poll::Ready(message) = link.poll_next(cx) {
        session.receive(now, message?, changes).map_err(|garbled| garbled.0)?;
        taken += 1;
        if taken == BATCH {
            cx.waker().wake_by_ref();
            break;
        }
    }
    if !changes.is_empty() {
        return Ok(());
    }
    while let Poll::Ready(ready) = link.poll_ready(cx) {
        ready?;
        match session.next_request(now) {
            Some(request) => link.send(request)?,
            None => break,
        }
    }
    Ok(())
}

impl<K: ResourceKind> fmt::Debug for Client<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("source", &self.source)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
