//! HTTP/2 connections to one endpoint, directly on the `h2` crate.
//!
//! `h2` is used without a client on top because it tells exactly whether a request was never sent, its futures have
//! names, and a request costs no task and no queue. There is one connection, and more only when the peer's limit on
//! concurrent streams is reached.

use super::body::TransportBody;
use super::exchange::RequestBody;
use super::upload::Upload;
use crate::error::{BoxError, Error, Kind, RetrySafety};
use crate::net::h2_driver::{self, Drained, Driver, KeepAlive, Vitals};
use crate::net::{Environment, Io};
use arc_swap::ArcSwap;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::request::Parts;
use http::{Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::task::AbortHandle;

/// Connections to one endpoint at most (gRFC A105).
pub const MAX_CONNECTIONS: usize = 10;

/// The connections to one endpoint.
#[derive(Debug)]
pub(super) struct Http2 {
    connections: ArcSwap<Vec<Arc<Connection>>>,
    /// Held while the list changes.
    changing: Mutex<()>,
    capacity: Arc<Capacity>,
    /// Whether requests wait for a connection beyond those there are.
    crowded: AtomicBool,
    keepalive: KeepAlive,
    /// By how many powers of two the ping interval was lengthened because the peer complained.
    patience: Arc<AtomicU32>,
}

/// Wakes requests that wait for a stream.
#[derive(Debug, Default)]
struct Capacity {
    waiting: AtomicUsize,
    freed: Notify,
}

#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    /// Kept for the driver, which holds it only weakly.
    _probe: Arc<Mutex<SendRequest<Bytes>>>,
    vitals: Arc<Vitals>,
    environment: Environment,
    capacity: Arc<Capacity>,
}

/// The right to open a stream, and later the stream's place in the count; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Connection>);

/// A request on its way, and its response.
#[derive(Debug)]
pub(super) struct Http2Exchange<B> {
    response: ResponseFuture,
    /// In a box, because a body that is there in one piece needs none.
    upload: Option<Box<Upload<B>>>,
    permit: Option<Permit>,
}

/// The body of a response.
#[derive(Debug)]
pub struct Http2Body {
    pub(super) stream: RecvStream,
    pub(super) data_done: bool,
    /// Data that the reader took last, and that the windows do not have back yet.
    pub(super) taken: usize,
    /// The rest of the request body, which is sent independently of how the response is read.
    upload: Option<AbortHandle>,
    _permit: Option<Permit>,
}

// ===== impl Http2 =====

impl Http2 {
    pub(super) fn new(keepalive: KeepAlive) -> Self {
        Self {
            connections: ArcSwap::default(),
            changing: Mutex::new(()),
            capacity: Arc::default(),
            crowded: AtomicBool::new(false),
            keepalive,
            patience: Arc::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.connections.load().len()
    }

    /// Claims a stream on the first connection that has room.
    pub(super) fn try_claim(&self) -> Option<Permit> {
        let connections = self.connections.load();
        connections.iter().find(|connection| connection.vitals.try_claim()).cloned().map(Permit)
    }

    /// Wakes when a stream may be free, or a connection was made or lost.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.capacity.freed.notified()
    }

    /// Asks for one more connection, as far as there may be more.
    pub(super) fn ask_for_more(&self, keeper: &Notify) {
        if self.len() < MAX_CONNECTIONS && !self.crowded.swap(true, Ordering::Relaxed) {
            keeper.notify_one();
        }
    }

    /// Announces one who waits, so that streams that are given back wake somebody.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.capacity.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(&self.capacity)
    }

    /// Whether one more connection is to be made.
    pub(super) fn wants_connection(&self) -> bool {
        let len = self.len();
        len == 0 || (len < MAX_CONNECTIONS && self.crowded.load(Ordering::Relaxed))
    }

    /// Makes a connection out of a byte stream and adds it, once the peer has answered.
    pub(super) async fn add(
        &self,
        io: Io,
        environment: &Environment,
        on_drain: impl FnOnce(&Drained) + Send + Unpin + 'static,
    ) -> Result<(), String> {
        let handshake = h2_driver::builder().handshake(io).await;
        let (sender, connection) = handshake.map_err(|error| format!("HTTP/2 handshake: {error}"))?;
        let vitals = Vitals::new();
        let mut keepalive = self.keepalive;
        keepalive.interval =
            keepalive.interval.saturating_mul(1 << self.patience.load(Ordering::Relaxed).min(16));
        let patience = self.patience.clone();
        let on_drain = move |why: Drained| {
            if why.is_too_many_pings() {
                patience.fetch_add(1, Ordering::Relaxed);
            }
            on_drain(&why);
        };
        let clock = environment.clock.clone();
        let probe = Arc::new(Mutex::new(sender.clone()));
        let weak = Arc::downgrade(&probe);
        let driver = Driver::new(connection, weak, vitals.clone(), keepalive, clock, on_drain);
        environment.tasks.spawn_to_end(driver);
        if !vitals.settled().await {
            return Err("the peer hung up, or does not speak HTTP/2".to_owned());
        }
        let capacity = self.capacity.clone();
        let environment = environment.clone();
        let added = Arc::new(Connection { sender, _probe: probe, vitals, environment, capacity });
        self.change(|connections| connections.push(added.clone()));
        self.crowded.store(false, Ordering::Relaxed);
        if added.vitals.is_draining() {
            // It may have gone before it was in the list, and whoever took care of that did not find it.
            self.prune();
            return Err("the connection was lost at once".to_owned());
        }
        Ok(())
    }

    /// Drops the connections that take no new streams; each closes once its streams are done.
    pub(super) fn prune(&self) {
        self.change(|connections| connections.retain(|connection| !connection.vitals.is_draining()));
    }

    pub(super) fn clear(&self) {
        self.change(Vec::clear);
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Connection>>)) {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connections = Vec::clone(&self.connections.load());
        change(&mut connections);
        self.connections.store(Arc::new(connections));
        drop(changing);
        self.capacity.freed.notify_waiters();
    }
}

/// One who waits for a stream.
pub(super) struct Waiting<'a>(&'a Capacity);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

// ===== impl Permit =====

impl Permit {
    /// Sends a request. Its URI has to be absolute.
    #[inline]
    pub(super) fn send<B: RequestBody>(self, head: Parts, body: B) -> Result<Http2Exchange<B>, Error> {
        let end = body.is_end_stream();
        // A clone of the handle may have a stream of its own that waits to be opened; the original must not.
        let mut sender = self.0.sender.clone();
        let (response, stream) = sender
            .send_request(Request::from_parts(head, ()), end)
            .map_err(|error| from_h2(error).with_safety(RetrySafety::NeverSent))?;
        let upload = if end { None } else { Upload::begin(body, stream)?.map(Box::new) };
        Ok(Http2Exchange { response, upload, permit: Some(self) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.vitals.release();
        if self.0.capacity.waiting.load(Ordering::SeqCst) > 0 {
            self.0.capacity.freed.notify_one();
        }
    }
}

// ===== impl Http2Exchange =====

impl<B: RequestBody> Future for Http2Exchange<B> {
    type Output = Result<Response<TransportBody>, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(upload) = &mut this.upload
            && let Poll::Ready(result) = upload.poll(cx)
        {
            this.upload = None;
            result.map_err(body_failed)?;
        }
        let Poll::Ready(result) = Pin::new(&mut this.response).poll(cx) else { return Poll::Pending };
        let response = result.map_err(from_h2)?;
        let permit = this.permit.take();
        let tasks = permit.as_ref().map(|permit| &permit.0.environment.tasks);
        // The caller may read nothing before it has sent everything, so the rest must not depend on its reading.
        let upload = this.upload.take().zip(tasks).map(|(upload, tasks)| tasks.spawn_to_end(upload.finish()));
        let body = |stream| {
            TransportBody::Http2(Http2Body { stream, data_done: false, taken: 0, upload, _permit: permit })
        };
        Poll::Ready(Ok(response.map(body)))
    }
}

impl Http2Body {
    /// Lets the peer send as much more as the reader took last. Not after the last data: what is out then goes back when
    /// the stream is dropped, for less.
    pub(super) fn give_back(&mut self) {
        if self.taken > 0 {
            // Fails only when the stream is gone, which the next read tells.
            let _ = self.stream.flow_control().release_capacity(std::mem::take(&mut self.taken));
        }
    }
}

impl Drop for Http2Body {
    fn drop(&mut self) {
        // Dropping both halves resets the stream, unless it is complete.
        if let Some(upload) = self.upload.take()
            && !self.stream.is_end_stream()
        {
            upload.abort();
        }
    }
}

/// What an error of the request body means for the request.
pub(super) fn body_failed(error: BoxError) -> Error {
    Error::new(Kind::RequestBody, "the request body failed").with_source(error)
}

/// What an error of `h2` means for the request it happened to.
pub(super) fn from_h2(error: h2::Error) -> Error {
    let (kind, detail) = match error.reason() {
        // For a stream: its number is above the last one that the peer will process.
        Some(_) if error.is_go_away() && error.is_remote() => {
            let detail = "the endpoint is going away and has not processed the request";
            return Error::new(Kind::Refused, detail).with_safety(RetrySafety::NeverSent).with_source(error);
        }
        Some(Reason::REFUSED_STREAM) if error.is_remote() => {
            (Kind::Refused, "the endpoint refused the stream")
        }
        Some(Reason::CANCEL) if error.is_remote() => (Kind::Cancelled, "the endpoint cancelled the stream"),
        Some(Reason::ENHANCE_YOUR_CALM) if error.is_remote() => {
            (Kind::Overloaded, "the endpoint gets too much")
        }
        Some(_) if error.is_reset() && error.is_remote() => (Kind::Reset, "the endpoint reset the stream"),
        Some(_) => (Kind::Protocol, "the endpoint broke the protocol"),
        None => (Kind::Reset, "the connection broke"),
    };
    Error::new(kind, detail).with_source(error)
}
