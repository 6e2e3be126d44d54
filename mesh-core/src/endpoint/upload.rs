//! Sends a request body over an HTTP/2 stream, as fast as the peer takes it.

use super::exchange::RequestBody;
use crate::error::BoxError;
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Frame;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A request body being sent.
#[derive(Debug)]
pub(super) struct Upload<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// Data that is not sent yet.
    data: Bytes,
    /// What comes after the data, as far as it is known.
    next: Option<Option<Result<Frame<Bytes>, BoxError>>>,
}

impl<B: RequestBody> Upload<B> {
    pub(super) fn new(body: B, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, data: Bytes::new(), next: None }
    }

    /// Ready when everything is sent, or the peer wants no more; an error is one of the body.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        loop {
            if !self.data.is_empty() {
                // Looking ahead lets the last data carry the end of the stream, which saves a frame.
                if self.next.is_none()
                    && let Poll::Ready(next) = self.poll_frame(cx)
                {
                    self.next = Some(next);
                }
                if !ready!(self.poll_send(cx)) {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let frame = match self.next.take() {
                Some(next) => next,
                None => match self.poll_frame(cx) {
                    Poll::Ready(frame) => frame,
                    // While there is nothing to send, the peer may give up.
                    Poll::Pending => return self.stream.poll_reset(cx).map(|_| Ok(())),
                },
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data = data,
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.end(Some(trailers));
                            return Poll::Ready(Ok(()));
                        }
                    }
                },
                Some(Err(error)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(error));
                }
                None => {
                    self.end(None);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    /// Sends as much of the data as the peer takes; `false` when there is no more to send, or the stream is over: its
    /// response, or its error, says how.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.stream.reserve_capacity(self.data.len());
        if self.stream.capacity() == 0 && !matches!(ready!(self.stream.poll_capacity(cx)), Some(Ok(_))) {
            return Poll::Ready(false);
        }
        let part = self.data.split_to(self.stream.capacity().min(self.data.len()));
        let last = self.data.is_empty() && matches!(self.next, Some(None));
        Poll::Ready(self.stream.send_data(part, last).is_ok() && !last)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) {
        // Fails only if the stream is over; its response, or its error, says how.
        let _ = match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        };
    }

    /// Sends the rest.
    pub(super) async fn finish(mut self) {
        if let Err(error) = poll_fn(|cx| self.poll(cx)).await {
            tracing::debug!(error, "the request body failed after the response had begun");
        }
    }
}
