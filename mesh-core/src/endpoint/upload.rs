//! Sends a request body over an HTTP/2 stream, as fast as the peer takes it.

use super::exchange::RequestBody;
use super::http2::body_failed;
use crate::error::{BoxError, Error};
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Frame;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// The first bytes of a body that are handed to the connection without asking whether the peer takes them yet. A stream
/// gets no capacity before the connection has opened it, and waiting for that would cost a small request, which fits any
/// window, a turn of the scheduler.
const EAGER: usize = 16 << 10;

/// A request body being sent.
#[derive(Debug)]
pub(super) struct Upload<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// What is left of [`EAGER`].
    eager: usize,
    /// Data that is not sent yet.
    data: Bytes,
    next: Next,
}

/// What comes after the data.
#[derive(Debug)]
enum Next {
    Unknown,
    Data(Bytes),
    Trailers(Box<HeaderMap>),
    End,
    Error(BoxError),
}

impl<B: RequestBody> Upload<B> {
    /// Sends what is there of the body at once; nothing is left to do if that is all.
    #[inline]
    pub(super) fn begin(mut body: B, mut stream: SendStream<Bytes>) -> Result<Option<Self>, Error> {
        // Nobody waits yet; whoever waits for the response goes on with the rest.
        let cx = &mut Context::from_waker(Waker::noop());
        let first = Pin::new(&mut body).poll_frame(cx);
        let data = match first {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => frame.into_data().unwrap_or_default(),
            Poll::Ready(frame) => return Self::new(body, stream, Bytes::new(), Next::of(frame)).go_on(cx),
            Poll::Pending => return Self::new(body, stream, Bytes::new(), Next::Unknown).go_on(cx),
        };
        if data.len() <= EAGER && body.is_end_stream() {
            // The common case: all of it. If this fails, the response, or its error, says how.
            let _ = stream.send_data(data, true);
            return Ok(None);
        }
        Self::new(body, stream, data, Next::Unknown).go_on(cx)
    }

    fn new(body: B, stream: SendStream<Bytes>, data: Bytes, next: Next) -> Self {
        Self { body, stream, eager: EAGER, data, next }
    }

    /// Sends what there is by now.
    fn go_on(mut self, cx: &mut Context<'_>) -> Result<Option<Self>, Error> {
        match self.poll(cx) {
            Poll::Ready(Ok(())) => Ok(None),
            Poll::Ready(Err(error)) => Err(body_failed(error)),
            Poll::Pending => Ok(Some(self)),
        }
    }

    /// Ready when everything is sent, or the peer wants no more; an error is one of the body.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            let known = !matches!(self.next, Next::Unknown) || self.poll_body(cx);
            if !self.data.is_empty() {
                // Having looked ahead, the last data can carry the end of the stream, which saves a frame.
                if !ready!(self.poll_send(cx)) {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            if !known {
                // While there is nothing to send, the peer may give up.
                return self.stream.poll_reset(cx).map(|_| Ok(()));
            }
            match std::mem::replace(&mut self.next, Next::Unknown) {
                Next::Data(data) => self.data = data,
                Next::Unknown => {}
                Next::Trailers(trailers) => return self.end(Some(*trailers)),
                Next::End => return self.end(None),
                Next::Error(error) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Asks the body what comes next; whether it has said.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else { return false };
        self.next = Next::of(frame);
        true
    }

    /// Sends as much of the data as the peer takes; `false` when there is no more to send, or the stream is over: its
    /// response, or its error, says how.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let part = if self.data.len() <= self.eager {
            self.eager -= self.data.len();
            std::mem::take(&mut self.data)
        } else {
            self.eager = 0;
            self.stream.reserve_capacity(self.data.len());
            if self.stream.capacity() == 0 && !matches!(ready!(self.stream.poll_capacity(cx)), Some(Ok(_))) {
                return Poll::Ready(false);
            }
            self.data.split_to(self.stream.capacity().min(self.data.len()))
        };
        let last = self.data.is_empty() && matches!(self.next, Next::End);
        Poll::Ready(self.stream.send_data(part, last).is_ok() && !last)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Poll<Result<(), BoxError>> {
        // Fails only if the stream is over; its response, or its error, says how.
        let _ = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
        Poll::Ready(Ok(()))
    }

    /// Sends the rest.
    pub(super) async fn finish(mut self) {
        if let Err(error) = poll_fn(|cx| self.poll(cx)).await {
            tracing::debug!(error, "the request body failed after the response had begun");
        }
    }
}

impl Next {
    /// What a body says comes next.
    fn of<E: Into<BoxError>>(frame: Option<Result<Frame<Bytes>, E>>) -> Self {
        match frame {
            None => Self::End,
            Some(Err(error)) => Self::Error(error.into()),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Self::Data(data),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Self::Trailers(Box::new(trailers)),
                    // A kind of frame that HTTP/2 cannot carry.
                    Err(_) => Self::Unknown,
                },
            },
        }
    }
}
