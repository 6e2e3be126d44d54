//! A request body that can be sent again.
//!
//! A body that is there in one piece, as that of a unary call is, is taken at once and costs nothing to keep. What a reader
//! takes of any other is kept, up to a limit, until it is clear that the request will not be sent again. The data is
//! shared, not copied. A body that outgrows the limit goes on as a stream and can be sent only once.

use crate::error::BoxError;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

/// The data that is kept of a request until its response has begun.
pub const DEFAULT_REPLAY_LIMIT: usize = 64 << 10;

/// The means to send a body again.
pub struct Replay<B>(Kept<B>);

enum Kept<B> {
    /// All of it.
    Piece(Bytes),
    Stream(Arc<Mutex<Stream<B>>>),
}

/// A body that may be one of several readings of the same.
pub struct ReplayBody<B>(Reading<B>);

enum Reading<B> {
    /// What is left of it: all or nothing.
    Piece(Bytes),
    /// The number says how many pieces this reading has taken.
    Stream(Arc<Mutex<Stream<B>>>, usize),
}

/// A body that comes piece by piece.
struct Stream<B> {
    body: B,
    pieces: SmallVec<[Bytes; 2]>,
    size: usize,
    limit: usize,
    end: Option<End>,
    /// Whether the body can be read from its beginning.
    whole: bool,
}

/// How a body ended.
enum End {
    Plain,
    Trailers(HeaderMap),
    /// The error goes to the first who reads so far.
    Failed(Option<BoxError>),
}

/// A reading that has taken everything, trailers included.
const DONE: usize = usize::MAX;

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Replay<B> {
    /// A body of which up to `limit` bytes are kept.
    pub fn new(mut body: B, limit: usize) -> Self {
        // Nobody waits yet; whoever reads the rest will be woken.
        let mut cx = Context::from_waker(Waker::noop());
        let mut poll = || Pin::new(&mut body).poll_frame(&mut cx);
        let first = poll();
        let is_small = matches!(&first, Poll::Ready(Some(Ok(frame)))
            if frame.data_ref().is_some_and(|data| data.len() <= limit));
        let second = if is_small { poll() } else { Poll::Pending };
        match (first, second) {
            (Poll::Ready(None), _) => Self(Kept::Piece(Bytes::new())),
            (Poll::Ready(Some(Ok(frame))), Poll::Ready(None)) => {
                Self(Kept::Piece(frame.into_data().unwrap_or_default()))
            }
            (first, second) => {
                let mut stream = Stream::new(body, limit);
                for frame in [first, second] {
                    if let Poll::Ready(frame) = frame {
                        stream.take(frame);
                    }
                }
                Self(Kept::Stream(Arc::new(Mutex::new(stream))))
            }
        }
    }
}

impl<B> Replay<B> {
    /// The body from its beginning; only if [`is_whole`](Self::is_whole).
    pub fn body(&self) -> ReplayBody<B> {
        ReplayBody(match &self.0 {
            Kept::Piece(piece) => Reading::Piece(piece.clone()),
            Kept::Stream(stream) => Reading::Stream(stream.clone(), 0),
        })
    }

    /// Whether the body can be sent from its beginning.
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Kept::Piece(_) => true,
            Kept::Stream(stream) => lock(stream).whole,
        }
    }

    /// Keeps nothing more: the body will not be sent again.
    pub fn commit(&self) {
        if let Kept::Stream(stream) = &self.0 {
            let mut stream = lock(stream);
            // What a reader has not taken yet stays; there is at most one.
            stream.limit = 0;
            stream.whole = false;
        }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Stream<B> {
    fn new(body: B, limit: usize) -> Self {
        Self { body, pieces: SmallVec::new(), size: 0, limit, end: None, whole: true }
    }

    /// Takes the next frame of the body in.
    fn take(&mut self, frame: Option<Result<Frame<Bytes>, B::Error>>) {
        self.end = match frame {
            None => Some(End::Plain),
            Some(Err(error)) => {
                self.whole = false;
                Some(End::Failed(Some(error.into())))
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.size = self.size.saturating_add(data.len());
                    self.pieces.push(data);
                    None
                }
                // There is no other kind of frame that HTTP can carry.
                Err(frame) => frame.into_trailers().ok().map(End::Trailers),
            },
        };
    }

    /// The piece after the first `position`, or the end; the position moves on.
    #[inline]
    fn poll_frame(
        &mut self,
        position: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some(piece) = self.pieces.get(*position) {
                let piece = piece.clone();
                *position += 1;
                if self.size > self.limit {
                    self.whole = false;
                }
                if !self.whole && *position == self.pieces.len() {
                    self.pieces.clear();
                    *position = 0;
                }
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match &mut self.end {
                None => {
                    let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
                    self.take(frame);
                }
                Some(_) if *position == DONE => return Poll::Ready(None),
                Some(end) => {
                    *position = DONE;
                    return Poll::Ready(match end {
                        End::Plain => None,
                        End::Trailers(trailers) => Some(Ok(Frame::trailers(trailers.clone()))),
                        // A body that failed must never pass for one that is complete.
                        End::Failed(error) => {
                            let error = error.take();
                            Some(Err(error.unwrap_or_else(|| "the body failed at an earlier try".into())))
                        }
                    });
                }
            }
        }
    }
}

fn lock<B>(stream: &Mutex<Stream<B>>) -> MutexGuard<'_, Stream<B>> {
    // A body that panicked is not polled again by anyone who cares.
    stream.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            Reading::Piece(piece) if piece.is_empty() => Poll::Ready(None),
            Reading::Piece(piece) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(piece))))),
            Reading::Stream(stream, position) => lock(stream).poll_frame(position, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Reading::Piece(piece) => piece.is_empty(),
            Reading::Stream(stream, position) => {
                let stream = lock(stream);
                match &stream.end {
                    Some(_) if *position == DONE => true,
                    Some(End::Plain) => *position >= stream.pieces.len(),
                    Some(_) => false,
                    None => *position >= stream.pieces.len() && stream.body.is_end_stream(),
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let (stream, position) = match &self.0 {
            Reading::Piece(piece) => return SizeHint::with_exact(piece.len() as u64),
            Reading::Stream(stream, position) => (lock(stream), *position),
        };
        let kept = stream.pieces.iter().skip(position).map(|piece| piece.len() as u64).sum::<u64>();
        let rest = match stream.end {
            Some(End::Plain) => SizeHint::with_exact(0),
            // A length would let HTTP/1.1 stop before the error or the trailers.
            Some(End::Trailers(_) | End::Failed(_)) => SizeHint::new(),
            None => stream.body.size_hint(),
        };
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
        f.debug_struct("Replay").field("whole", &self.is_whole()).finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayBody")
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
        assert!(replay.is_whole(), "nobody has it yet");
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
        let Kept::Stream(stream) = &replay.0 else { panic!("one piece") };
        assert_eq!(lock(stream).pieces.len(), 0);
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
    async fn a_body_that_fails_after_its_first_piece_has_no_length_and_fails_every_reader() {
        let frames = [Ok(Frame::data(Bytes::from_static(b"12345"))), Err("broken")];
        let replay = Replay::new(StreamBody::new(tokio_stream::iter(frames)), 100);
        assert!(!replay.is_whole());
        for _ in 0..2 {
            let mut body = replay.body();
            assert_eq!(body.size_hint().exact(), None);
            while let Some(Ok(_)) = body.frame().await {}
            let mut body = replay.body();
            assert!(!body.is_end_stream());
            assert!(body.frame().await.unwrap().is_err());
            assert!(body.frame().await.is_none());
        }
    }

    #[tokio::test]
    async fn a_length_does_not_hide_trailers() {
        let replay = Replay::new(pieces(&["12345"], true), 100);
        assert_eq!(replay.body().size_hint().exact(), None);
        assert_eq!(replay.body().size_hint().lower(), 5);
    }

    #[tokio::test]
    async fn an_empty_body_is_at_its_end() {
        let replay = Replay::new(Full::new(Bytes::new()), 100);
        assert!(replay.body().is_end_stream());
        assert_eq!(read(replay.body()).await.0, "");
    }
}
