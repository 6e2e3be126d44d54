//! One control plane: joins a [`Session`] to its stream. The part of the xDS client that does I/O.

use super::kind::ResourceKind;
use super::link::{Link, Source};
use super::session::{Change, Session};
use crate::clock::Timer;
use crate::net::Environment;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Messages that are taken in before the caller gets to act on them: it acts once per batch.
const BATCH: usize = 64;

/// A control plane, and what it says.
pub(super) struct Upstream<K: ResourceKind> {
    pub(super) session: Session<K>,
    source: Source,
    environment: Environment,
    stream: Stream,
    /// The first answer of a stream, until the caller knows that there is one.
    first: Option<Bytes>,
    timer: Timer,
}

enum Stream {
    None,
    Opening(Pin<Box<dyn Future<Output = Result<Link, String>> + Send>>),
    Open(Box<Link>),
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The stream is open.
    Opened,
    /// The stream's first answer is here and will be taken in next.
    Answered,
    /// Resources changed.
    Changed,
    /// The stream ended, or could not be opened.
    Ended {
        /// Whether it had answered.
        answered: bool,
        /// Why.
        reason: String,
    },
}

impl<K: ResourceKind> Upstream<K> {
    pub(super) fn new(session: Session<K>, source: Source, environment: Environment) -> Self {
        Self { session, source, environment, stream: Stream::None, first: None, timer: Timer::at(None) }
    }

    /// Goes on with another session, over a stream of its own; the one before.
    pub(super) fn restart(&mut self, mut fresh: Session<K>) -> Session<K> {
        (self.stream, self.first) = (Stream::None, None);
        fresh.replace(&self.session);
        std::mem::replace(&mut self.session, fresh)
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Moves on until something happens; what changed is added to `changes`. Has to be polled again after that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, changes: &mut Vec<Change<K>>) -> Poll<Step> {
        loop {
            let now = self.environment.clock.now();
            self.session.fire(now, changes);
            if !changes.is_empty() {
                return Poll::Ready(Step::Changed);
            }
            match &mut self.stream {
                Stream::None if self.session.should_open(now) => {
                    let (source, environment) = (self.source.clone(), self.environment.clone());
                    let protocol = self.session.protocol();
                    let open = async move { source.open(protocol, &environment).await };
                    self.stream = Stream::Opening(Box::pin(open));
                    continue;
                }
                Stream::None => {}
                Stream::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Ready(Ok(link)) => {
                        self.stream = Stream::Open(Box::new(link));
                        self.session.opened(now);
                        return Poll::Ready(Step::Opened);
                    }
                    Poll::Ready(Err(reason)) => return Poll::Ready(self.end(reason)),
                    Poll::Pending => {}
                },
                Stream::Open(_) => match self.exchange(cx, changes) {
                    Ok(None) => {}
                    Ok(Some(step)) => return Poll::Ready(step),
                    Err(reason) => return Poll::Ready(self.end(reason)),
                },
            }
            self.timer.reset(self.session.next_timer());
            if self.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn end(&mut self, reason: String) -> Step {
        let answered = self.first.is_some() || self.session.is_answered();
        (self.stream, self.first) = (Stream::None, None);
        let clock = &self.environment.clock;
        self.session.closed(clock.now(), &reason, clock.entropy());
        Step::Ended { answered, reason }
    }

    /// Takes in what has come and sends what is due.
    ///
    /// What changed is left for the caller to act on before anything is sent, so that an acknowledgement and the
    /// subscriptions that follow from it leave in one request.
    fn exchange(
        &mut self,
        cx: &mut Context<'_>,
        changes: &mut Vec<Change<K>>,
    ) -> Result<Option<Step>, String> {
        let Stream::Open(link) = &mut self.stream else { return Ok(None) };
        let now = self.environment.clock.now();
        let mut taken = 0;
        loop {
            let message = match self.first.take() {
                Some(message) => message,
                None => match link.poll_next(cx) {
                    Poll::Ready(message) => {
                        let message = message?;
                        if !self.session.is_answered() && self.session.is_answer(&message) {
                            self.first = Some(message);
                            return Ok(Some(Step::Answered));
                        }
                        message
                    }
                    Poll::Pending => break,
                },
            };
            self.session.receive(now, message, changes).map_err(|garbled| garbled.0)?;
            taken += 1;
            if taken == BATCH {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if !changes.is_empty() {
            return Ok(Some(Step::Changed));
        }
        while let Poll::Ready(ready) = link.poll_ready(cx) {
            ready?;
            match self.session.next_request(now) {
                Some(request) => link.send(request)?,
                None => break,
            }
        }
        Ok(None)
    }
}

impl<K: ResourceKind> fmt::Debug for Upstream<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("source", &self.source)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
