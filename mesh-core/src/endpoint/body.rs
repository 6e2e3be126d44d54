//! The body of a response, as the transport delivers it.

use super::http1::Http1Body;
use super::http2::{Http2Body, from_h2};
use crate::error::Error;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The body of a response.
#[derive(Debug)]
pub enum TransportBody {
    /// Over HTTP/1.1.
    Http1(Http1Body),
    /// Over HTTP/2.
    Http2(Http2Body),
}

impl Body for TransportBody {
    type Data = Bytes;
    type Error = Error;

    #[inline]
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Http1(body) => body.poll_frame(cx),
            Self::Http2(body) => {
                if !body.data_done {
                    match body.stream.poll_data(cx) {
                        Poll::Ready(Some(Ok(data))) => {
                            body.give_back();
                            body.taken = data.len();
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        Poll::Ready(Some(Err(error))) if is_harmless(&error) => return Poll::Ready(None),
                        Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(from_h2(error)))),
                        Poll::Ready(None) => body.data_done = true,
                        Poll::Pending => {
                            body.give_back();
                            return Poll::Pending;
                        }
                    }
                }
                let trailers = ready!(body.stream.poll_trailers(cx)).map_err(from_h2).transpose();
                Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(_) => SizeHint::default(),
        }
    }
}

/// A peer that has answered in full may reset the stream to say that it needs no more of the request.
fn is_harmless(error: &h2::Error) -> bool {
    error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
}
