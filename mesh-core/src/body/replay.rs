//! A request body that can be sent again.
//!
//! What the first reader takes is kept, up to a limit, until it is clear that the request will not be sent again. The
//! data is shared, not copied. A body that outgrows the limit goes on as a stream and can be sent only once; one that
//! nobody has read yet can always be sent.

use crate::error::BoxError;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// The data that is kept of a request until its response has begun.
pub const DEFAULT_REPLAY_LIMIT: usize = 64 << 10;

/// The means to send a body again.
pub struct Replay<B>(Arc<Mutex<Shared<B>>>);

/// A body that may be one of several readings of the same.
pub struct ReplayBody<B> {
    shared: Arc<Mutex<Shared<B>>>,
    /// The data that this reading has taken, in pieces.
    position: usize,
}

struct Shared<B> {
    body: B,
    pieces: SmallVec<[Bytes; 2]>,
    size: usize,
    limit: usize,
    trailers: Option<HeaderMap>,
    ended: bool,
    /// Whether the data from the beginning is all here.
    whole: bool,
}

impl<B> Replay<B> {
    /// A body of which up to `limit` bytes are kept.
    pub fn new(body: B, limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            body,
            pieces: SmallVec::new(),
            size: 0,
            limit,
            trailers: None,
            ended: false,
            whole: true,
        })))
    }

    /// The body from its beginning; only if [`is_whole`](Self::is_whole).
    pub fn body(&self) -> ReplayBody<B> {
        ReplayBody { shared: self.0.clone(), position: 0 }
    }

    /// Whether the body can be sent from its beginning.
    pub fn is_whole(&self) -> bool {
        lock(&self.0).whole
    }

    /// Keeps nothing more: the body will not be sent again.
    pub fn commit(&self) {
        let mut shared = lock(&self.0);
        // What a reader has not taken yet stays; there is at most one, and it has taken all.
        shared.limit = 0;
        shared.whole = false;
    }
}

fn lock<B>(shared: &Mutex<Shared<B>>) -> MutexGuard<'_, Shared<B>> {
    // A body that panicked is not polled again by anyone who cares.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut shared = lock(&this.shared);
        let shared = &mut *shared;
        if let Some(piece) = shared.pieces.get(this.position) {
            this.position += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if shared.ended {
            // The position beyond the data says whether the trailers were taken.
            let fresh = std::mem::replace(&mut this.position, usize::MAX) != usize::MAX;
            let trailers = shared.trailers.clone().filter(|_| fresh);
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let Some(frame) = ready!(Pin::new(&mut shared.body).poll_frame(cx)) else {
            shared.ended = true;
            return Poll::Ready(None);
        };
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                shared.whole = false;
                return Poll::Ready(Some(Err(error.into())));
            }
        };
        if let Some(data) = frame.data_ref() {
            if shared.whole && shared.size + data.len() <= shared.limit {
                shared.size += data.len();
                shared.pieces.push(data.clone());
                this.position += 1;
            } else {
                shared.whole = false;
                shared.pieces.clear();
                this.position = 0;
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            shared.ended = true;
            if shared.whole {
                shared.trailers = Some(trailers.clone());
            }
            this.position = usize::MAX;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        self.position >= shared.pieces.len()
            && (self.position == usize::MAX || shared.trailers.is_none())
            && (shared.ended || shared.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let shared = lock(&self.shared);
        let kept = shared.pieces.iter().skip(self.position).map(|piece| piece.len() as u64).sum::<u64>();
        let rest = if shared.ended { SizeHint::with_exact(0) } else { shared.body.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(kept.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(kept.saturating_add(upper));
        }
        hint
    }
}

impl<B> fmt::Debug for Replay<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = lock(&self.0);
        f.debug_struct("Replay")
            .field("size", &shared.size)
            .field("whole", &shared.whole)
            .finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").field("position", &self.position).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http_body_util::{BodyExt, Full, StreamBody};
    use std::convert::Infallible;

    type Frames = std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>;

    /// A body of these pieces and trailers.
    fn pieces(pieces: &[&'static str], trailers: bool) -> StreamBody<tokio_stream::Iter<Frames>> {
        let mut frames: Vec<_> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
        if trailers {
            let trailers = [(http::header::TE, HeaderValue::from_static("t"))];
            frames.push(Ok(Frame::trailers(HeaderMap::from_iter(trailers))));
        }
        StreamBody::new(tokio_stream::iter(frames))
    }

    async fn read<B>(body: ReplayBody<B>) -> (String, Option<HeaderMap>)
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    {
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned();
        (String::from_utf8(collected.to_bytes().to_vec()).unwrap(), trailers)
    }

    #[tokio::test]
    async fn a_body_is_read_again() {
        let replay = Replay::new(pieces(&["one ", "two"], true), 100);
        for _ in 0..3 {
            let (text, trailers) = read(replay.body()).await;
            assert_eq!(text, "one two");
            assert_eq!(trailers.unwrap()["te"], "t");
            assert!(replay.is_whole());
        }
    }

    #[tokio::test]
    async fn a_body_read_in_part_is_read_again_whole() {
        let replay = Replay::new(pieces(&["one ", "two ", "three"], false), 100);
        let mut first = replay.body();
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "one ");
        drop(first);
        assert_eq!(read(replay.body()).await.0, "one two three");
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_sent_once() {
        let replay = Replay::new(pieces(&["12345", "67890", "x"], true), 9);
        assert!(replay.is_whole(), "not read yet");
        let (text, trailers) = read(replay.body()).await;
        assert_eq!(text, "1234567890x");
        assert!(trailers.is_some());
        assert!(!replay.is_whole());
    }

    #[tokio::test]
    async fn after_the_commit_nothing_is_kept() {
        let replay = Replay::new(pieces(&["one ", "two"], false), 100);
        let mut body = replay.body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one ");
        replay.commit();
        assert!(!replay.is_whole());
        assert_eq!(read(body).await.0, "two");
        assert_eq!(lock(&replay.0).pieces.len(), 0);
    }

    #[tokio::test]
    async fn sizes_are_known() {
        let replay = Replay::new(Full::new(Bytes::from_static(b"12345")), 100);
        let mut body = replay.body();
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(!body.is_end_stream());
        body.frame().await.unwrap().unwrap();
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.is_end_stream());
        let again = replay.body();
        assert_eq!(again.size_hint().exact(), Some(5));
        assert!(!again.is_end_stream());
    }

    #[tokio::test]
    async fn an_empty_body_is_at_its_end() {
        let replay = Replay::new(Full::new(Bytes::new()), 100);
        assert!(replay.body().is_end_stream());
        assert_eq!(read(replay.body()).await.0, "");
    }
}
