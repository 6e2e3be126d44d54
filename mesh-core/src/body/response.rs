//! The body of a response: limits its time, and tells the endpoint's statistics how it ended.

use super::InFlight;
use crate::clock::{Instant, Timer};
use crate::cluster::Cluster;
use crate::dialect::{Class, Dialect, Outcome};
use crate::endpoint::{Endpoint, TransportBody};
use crate::error::{Error, Kind};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The body of a response.
#[derive(Debug)]
pub struct ResponseBody<D> {
    body: TransportBody,
    in_flight: InFlight,
    cluster: Arc<Cluster>,
    dialect: D,
    /// How it went, as far as the head told; if it did not, the trailers will.
    outcome: Option<Outcome>,
    deadline: Option<Instant>,
    /// Set up once the body has to be waited for.
    timer: Option<Timer>,
}

impl<D> ResponseBody<D> {
    pub(crate) fn new(
        body: TransportBody,
        in_flight: InFlight,
        cluster: Arc<Cluster>,
        dialect: D,
        outcome: Option<Outcome>,
        deadline: Option<Instant>,
    ) -> Self {
        Self { body, in_flight, cluster, dialect, outcome, deadline, timer: None }
    }

    /// The endpoint that answered.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.in_flight.endpoint()
    }

    /// How it went, as far as the head of the response told.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    fn finish(&mut self, trailers: Option<&HeaderMap>)
    where
        D: Dialect,
    {
        if self.in_flight.is_ended() {
            return;
        }
        if let Some(trailers) = trailers {
            self.in_flight.hear(trailers);
        }
        if self.outcome.is_none() {
            let outcome = self.dialect.trailers(trailers);
            self.in_flight.settle(outcome);
            if outcome.class == Class::Failure {
                self.in_flight.observe(self.endpoint().clock().now(), Class::Failure);
            }
        }
        self.in_flight.end();
    }

    fn fail(&mut self, error: Error) -> Error {
        self.in_flight.observe(self.endpoint().clock().now(), Class::Failure);
        self.in_flight.end();
        error.with_endpoint(self.endpoint().label()).with_cluster(&self.cluster.name)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.deadline.is_none() {
            return Poll::Pending;
        }
        let deadline = self.deadline;
        self.timer.get_or_insert_with(|| Timer::at(deadline)).poll_expired(cx)
    }
}

impl<D: Dialect> Body for ResponseBody<D> {
    type Data = Bytes;
    type Error = Error;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.finish(Some(trailers));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(this.fail(error)))),
            Poll::Ready(None) => {
                this.finish(None);
                Poll::Ready(None)
            }
            Poll::Pending => this.poll_deadline(cx).map(|()| {
                let error = Error::new(
                    Kind::Deadline,
                    "the time for the call is over, and its response is not complete",
                );
                Some(Err(this.fail(error)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
