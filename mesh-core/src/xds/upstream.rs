//! One control plane: joins a [`Session`] to its stream. The part of the xDS client that does I/O.

use super::in_process::Protocol;
use super::kind::ResourceKind;
use super::link::{Link, Source};
use super::session::{Change, Session};
use super::wire::Response;
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
    /// The first message of a stream, until the caller knows that there is one.
    first: Option<Bytes>,
    timer: Timer,
}

enum Stream {
    None,
    Opening(Pin<Box<dyn Future<Output = Result<Link, String>> + Send>>),
    Open { link: Box<Link>, answered: bool },
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
                        self.stream = Stream::Open { link: Box::new(link), answered: false };
                        self.session.opened(now);
                        return Poll::Ready(Step::Opened);
                    }
                    Poll::Ready(Err(reason)) => return Poll::Ready(self.end(reason)),
                    Poll::Pending => {}
                },
                Stream::Open { .. } => match self.exchange(cx, changes) {
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
        let answered = matches!(self.stream, Stream::Open { answered: true, .. });
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
        let Stream::Open { link, answered } = &mut self.stream else { return Ok(None) };
        let now = self.environment.clock.now();
        let mut taken = 0;
        loop {
            let message = match self.first.take() {
                Some(message) => message,
                None => match link.poll_next(cx) {
                    Poll::Ready(message) => message?,
                    Poll::Pending => break,
                },
            };
            if !*answered && is_answer::<K>(self.session.protocol(), &message) {
                *answered = true;
                self.first = Some(message);
                return Ok(Some(Step::Answered));
            }
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

/// Whether a message is what a control plane would say, and not just anything.
fn is_answer<K: ResourceKind>(protocol: Protocol, message: &Bytes) -> bool {
    Response::read(protocol, message).is_ok_and(|response| K::from_type_url(response.type_url).is_some())
}

impl<K: ResourceKind> fmt::Debug for Upstream<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("source", &self.source)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;
    use mesh_proto::ads::DiscoveryResponse;
    use prost::Message;

    #[test]
    fn only_what_the_session_can_read_is_an_answer() {
        let type_url = Kind::Cluster.type_url().to_owned();
        let good = DiscoveryResponse { type_url, ..Default::default() }.encode_to_vec();
        let is_answer =
            |message: &[u8]| is_answer::<Kind>(Protocol::StateOfTheWorld, &Bytes::copy_from_slice(message));
        assert!(is_answer(&good));
        assert!(!is_answer(&[&good[..], &[0x2a, 1, 0xff]].concat()), "the nonce is no text");
        assert!(!is_answer(b""));
    }
}
