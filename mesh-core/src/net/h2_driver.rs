//! Drives an HTTP/2 connection and keeps an eye on it.
//!
//! The `h2` crate does not announce a GOAWAY before the last stream is done, so the driver asks after each step whether
//! a new stream could be opened: the owner can then replace the connection while requests in flight finish.
//! It also pings while streams are open, because a peer that vanished behind a proxy sends no reset.

use super::Io;
use crate::clock::{Clock, Timer};
use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong, Reason};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;

/// A connection with open streams is pinged at this interval: what gRPC servers allow without complaint.
pub const DEFAULT_PING_INTERVAL: Duration = Duration::from_secs(310);
/// A connection whose ping is not answered within this time is closed (gRFC A8).
pub const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What a stream may receive before the reader takes it.
pub const STREAM_WINDOW: u32 = 2 << 20;
/// What a connection may receive before its readers take it.
pub const CONNECTION_WINDOW: u32 = 8 << 20;
/// The largest header list that is accepted.
pub const MAX_HEADER_LIST: u32 = 64 << 10;

/// When to ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeepAlive {
    /// Time between pings while streams are open.
    pub interval: Duration,
    /// Time in which a ping must be answered.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: DEFAULT_PING_INTERVAL, timeout: DEFAULT_PING_TIMEOUT }
    }
}

/// What the driver and the users of a connection tell each other.
#[derive(Debug)]
pub struct Vitals {
    max_streams: AtomicUsize,
    in_flight: AtomicUsize,
    draining: AtomicBool,
    settled: Notify,
}

/// Why a connection takes no new streams.
#[derive(Debug)]
pub enum Drained {
    /// The peer said so, or the connection failed.
    Error(h2::Error),
    /// The peer closed it.
    Closed,
    /// A ping was not answered in time.
    Unresponsive(Duration),
}

/// Settings for a new connection.
#[must_use]
pub fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST)
        // None before the peer's settings are here: a peer that does not answer is not connected.
        .initial_max_send_streams(0)
        .enable_push(false);
    builder
}

/// The future that moves a connection forward and ends with it.
///
/// `on_drain` is called once, as soon as the connection takes no new streams. Dropping the driver closes the connection
/// and fails the streams that are open.
pub struct Driver<F> {
    connection: Connection<Io, Bytes>,
    /// Weak, because a connection lives for as long as there is a handle to it: the owner decides.
    probe: Weak<Mutex<SendRequest<Bytes>>>,
    vitals: Arc<Vitals>,
    pings: Option<PingPong>,
    waiting_for_pong: bool,
    keepalive: KeepAlive,
    clock: Clock,
    on_drain: Option<F>,
    timer: Timer,
}

// ===== impl Vitals =====

impl Vitals {
    /// For a connection that was just made.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            max_streams: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            settled: Notify::new(),
        })
    }

    /// Waits until the peer has sent its settings; `false` if the connection ended before.
    pub async fn settled(&self) -> bool {
        self.settled.notified().await;
        !self.is_draining()
    }

    /// Claims a stream, unless the peer takes no more.
    pub fn try_claim(&self) -> bool {
        if self.is_draining() {
            return false;
        }
        let max = self.max_streams.load(Ordering::Relaxed);
        // Never above the limit, not even for an instant in which somebody else would look. The order is that of those
        // who wait: they announce themselves before they look here, and who gives a stream back looks for them after.
        let next = |claimed: usize| (claimed < max).then_some(claimed + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::Relaxed, next).is_ok()
    }

    /// Claims a stream whatever the peer takes; it may have to wait to be opened.
    pub fn claim(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Gives a claimed stream back.
    pub fn release(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// Streams claimed at present.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the connection takes no new streams.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

// ===== impl Driver =====

impl<F: FnOnce(Drained)> Driver<F> {
    /// Drives `connection`, of which `probe` is a handle that the owner keeps while it wants new streams.
    pub fn new(
        mut connection: Connection<Io, Bytes>,
        probe: Weak<Mutex<SendRequest<Bytes>>>,
        vitals: Arc<Vitals>,
        keepalive: KeepAlive,
        clock: Clock,
        on_drain: F,
    ) -> Self {
        let pings = connection.ping_pong();
        let timer = Timer::at(Some(clock.now() + keepalive.interval));
        Self {
            connection,
            probe,
            vitals,
            pings,
            waiting_for_pong: false,
            keepalive,
            clock,
            on_drain: Some(on_drain),
            timer,
        }
    }
}

impl<F: FnOnce(Drained) + Unpin> Future for Driver<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut drain = |why: Drained, probe: &mut Weak<_>, vitals: &Vitals| {
            vitals.draining.store(true, Ordering::Relaxed);
            vitals.settled.notify_one();
            *probe = Weak::new();
            if let Some(on_drain) = this.on_drain.take() {
                on_drain(why);
            }
        };

        if let Poll::Ready(result) = Pin::new(&mut this.connection).poll(cx) {
            drain(result.map_or_else(Drained::Error, |()| Drained::Closed), &mut this.probe, &this.vitals);
            return Poll::Ready(());
        }
        let max_streams = this.connection.max_concurrent_send_streams();
        if this.vitals.max_streams.swap(max_streams, Ordering::Relaxed) == 0 && max_streams > 0 {
            this.vitals.settled.notify_one();
        }
        if let Some(probe) = this.probe.upgrade() {
            // The lock is never held where something can panic.
            let ready = probe.lock().unwrap_or_else(PoisonError::into_inner).poll_ready(cx);
            if let Poll::Ready(Err(error)) = ready {
                drain(Drained::Error(error), &mut this.probe, &this.vitals);
            }
        }

        let Some(pings) = &mut this.pings else { return Poll::Pending };
        if this.waiting_for_pong && pings.poll_pong(cx).is_ready() {
            this.waiting_for_pong = false;
            this.timer.reset(Some(this.clock.now() + this.keepalive.interval));
        }
        while this.timer.poll_expired_by_task(cx).is_ready() {
            if this.waiting_for_pong {
                drain(Drained::Unresponsive(this.keepalive.timeout), &mut this.probe, &this.vitals);
                return Poll::Ready(());
            }
            let wait = if this.vitals.in_flight() > 0 && pings.send_ping(Ping::opaque()).is_ok() {
                this.waiting_for_pong = true;
                // The ping leaves, and its answer is awaited, only once the connection is polled again.
                cx.waker().wake_by_ref();
                this.keepalive.timeout
            } else {
                this.keepalive.interval
            };
            this.timer.reset(Some(this.clock.now() + wait));
        }
        Poll::Pending
    }
}

impl<F> std::fmt::Debug for Driver<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("vitals", &self.vitals).finish_non_exhaustive()
    }
}

// ===== impl Drained =====

impl Drained {
    /// Whether the peer complains about our pings (gRFC A8): the next connection must ping less often.
    #[must_use]
    pub fn is_too_many_pings(&self) -> bool {
        matches!(self, Self::Error(error)
            if error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM))
    }
}

impl std::fmt::Display for Drained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Closed => f.write_str("closed by the peer"),
            Self::Unresponsive(timeout) => write!(f, "no answer to a ping within {timeout:?}"),
        }
    }
}
