//! An endpoint: its load, its readiness and its connections.
//!
//! An endpoint is identified by where it is and how it is spoken to. Every cluster and every snapshot that contains it
//! shares the one [`Endpoint`], so its connections and statistics survive updates, and subsets of a service do not
//! connect twice.

mod body;
mod exchange;
mod http1;
mod http2;
mod keeper;
pub mod load;
pub mod ready;
mod upload;

pub use self::body::TransportBody;
pub use self::exchange::{Claim, Exchange, RequestBody};
pub use self::http1::{IDLE_TIMEOUT, MAX_IDLE_CONNECTIONS};
pub use self::http2::MAX_CONNECTIONS;
pub use self::keeper::CONNECT_BACKOFF;

use self::http1::Http1;
use self::http2::Http2;
use self::load::Load;
use self::ready::{Readiness, ReadySet};
use crate::clock::Clock;
use crate::net::h2_driver::KeepAlive;
use crate::net::{Address, DEFAULT_CONNECT_TIMEOUT, DnsFamily, Environment};
use crate::telemetry::events::Event;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// What an endpoint is spoken to with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1, a connection for each request at a time.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// What makes an endpoint the same endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointKey {
    /// Where it is.
    pub address: Address,
    /// Its name, where it has one apart from its address.
    pub hostname: Option<Arc<str>>,
    /// How it is connected to; shared by the endpoints of a cluster.
    pub options: Arc<ConnectOptions>,
}

/// How an endpoint is connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectOptions {
    /// What is spoken.
    pub protocol: Protocol,
    /// Which addresses of a host name are connected to.
    pub family: DnsFamily,
    /// When HTTP/2 connections are pinged.
    pub keepalive: KeepAlive,
    /// Whether TLS is asked for. There is no identity yet, so such connections fail.
    pub tls: bool,
    /// Why no connection can be made as the cluster asks for; none if one can.
    pub unsupported: Option<Arc<str>>,
}

/// How long a connection may take to be made: of a cluster, which may change it, and shared by its sets of endpoints. Clusters that
/// share an endpoint differ in it: the attempt lasts as long as the most patient of them waits, and to each of the others
/// it has failed when its own time is over.
#[derive(Clone, Debug)]
pub struct ConnectTimeout(Arc<AtomicU64>);

impl ConnectTimeout {
    /// So long, in whole microseconds.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let shared = Self(Arc::default());
        shared.set(timeout);
        shared
    }

    /// How long at present.
    #[must_use]
    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// So long from now on, for all who share it.
    pub fn set(&self, timeout: Duration) {
        let micros = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
        self.0.store(micros, Ordering::Relaxed);
    }
}

impl Default for ConnectTimeout {
    /// [`DEFAULT_CONNECT_TIMEOUT`].
    fn default() -> Self {
        Self::new(DEFAULT_CONNECT_TIMEOUT)
    }
}

/// An endpoint. Small as long as nobody calls it, because a mesh may know many thousand.
#[derive(Debug)]
pub struct Endpoint {
    key: EndpointKey,
    load: Load,
    /// Made once it is needed.
    used: OnceLock<Box<Used>>,
    environment: Arc<Environment>,
    state: Mutex<State>,
    /// Whether there is a keeper; a hint, so that the common case needs no lock.
    active: AtomicBool,
}

/// What an endpoint has that somebody looked at.
#[derive(Debug)]
struct Used {
    label: Arc<str>,
    /// Made once it is needed.
    connections: OnceLock<Box<Connections>>,
}

/// The connections of an endpoint, and what sees to them.
#[derive(Debug)]
struct Connections {
    transport: Transport,
    /// Tells the keeper that there may be something to do.
    wake: Arc<Notify>,
}

/// The connections of an endpoint.
#[derive(Debug)]
enum Transport {
    Http1(Http1),
    Http2(Http2),
}

#[derive(Debug)]
struct State {
    /// The sets that want to know, and the number of this endpoint in each.
    watchers: SmallVec<[(Arc<ReadySet>, usize); 1]>,
    /// As long as the endpoint is in use.
    keeper: Option<Box<Keeper>>,
}

/// The task that keeps an endpoint connected; ends when dropped.
#[derive(Debug)]
struct Keeper {
    task: AbortHandle,
    readiness: Readiness,
    /// Why the last attempt to connect failed.
    error: Option<Arc<str>>,
}

impl Endpoint {
    /// An endpoint that nothing connects to yet.
    #[must_use]
    pub fn new(key: EndpointKey, environment: Arc<Environment>) -> Arc<Self> {
        Arc::new(Self {
            load: Load::default(),
            used: OnceLock::new(),
            state: Mutex::new(State { watchers: SmallVec::new(), keeper: None }),
            active: AtomicBool::new(false),
            key,
            environment,
        })
    }

    /// What makes it the same endpoint.
    #[must_use]
    pub fn key(&self) -> &EndpointKey {
        &self.key
    }

    /// Its address, for people.
    #[must_use]
    pub fn label(&self) -> &Arc<str> {
        &self.used().label
    }

    /// How busy and how slow it is.
    #[must_use]
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Tells the time to those who measure it.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.environment.clock
    }

    /// Whether it can take requests.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.lock().readiness()
    }

    /// Why the last attempt to connect failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<Arc<str>> {
        self.lock().keeper.as_ref()?.error.clone()
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        match self.made_already().map(|connections| &connections.transport) {
            Some(Transport::Http1(http1)) => http1.len(),
            Some(Transport::Http2(http2)) => http2.len(),
            None => 0,
        }
    }

    fn transport(&self) -> &Transport {
        &self.made().transport
    }

    fn wake(&self) -> &Arc<Notify> {
        &self.made().wake
    }

    fn used(&self) -> &Used {
        let label = || self.key.address.to_string().into();
        self.used.get_or_init(|| Box::new(Used { label: label(), connections: OnceLock::new() }))
    }

    fn made_already(&self) -> Option<&Connections> {
        self.used.get()?.connections.get().map(|connections| &**connections)
    }

    fn made(&self) -> &Connections {
        self.used().connections.get_or_init(|| {
            let transport = match self.key.options.protocol {
                Protocol::Http1 => Transport::Http1(Http1::default()),
                Protocol::Http2 => Transport::Http2(Http2::new(self.key.options.keepalive)),
            };
            Box::new(Connections { transport, wake: Arc::default() })
        })
    }

    /// Keeps `set` informed under `number`, from now on.
    pub fn watch(self: &Arc<Self>, set: &Arc<ReadySet>, number: usize) {
        let mut state = self.lock();
        state.watchers.push((set.clone(), number));
        set.set(number, Some(state.readiness()));
        drop(state);
        if set.is_active() {
            self.activate();
        }
    }

    /// The number under which `set` is kept informed.
    #[must_use]
    pub fn number_in(&self, set: &Arc<ReadySet>) -> Option<usize> {
        let state = self.lock();
        let watcher = state.watchers.iter().find(|(watcher, _)| Arc::ptr_eq(watcher, set));
        watcher.map(|(_, number)| *number)
    }

    /// Stops informing `set`. Without any set to inform, the endpoint is given up: what is in flight finishes.
    pub fn unwatch(&self, set: &Arc<ReadySet>) {
        let mut state = self.lock();
        state.watchers.retain(|(watcher, number)| {
            let same = Arc::ptr_eq(watcher, set);
            if same {
                set.set(*number, None);
            }
            !same
        });
        if state.watchers.is_empty() {
            state.keeper = None;
            self.active.store(false, Ordering::Relaxed);
            if let Some(connections) = self.made_already() {
                connections.transport.clear();
            }
        }
    }

    /// How long a connection may take to be made, as each cluster says that uses the endpoint: each time once, in order.
    fn connect_timeouts(&self) -> SmallVec<[Duration; 2]> {
        let state = self.lock();
        let mut all: SmallVec<_> = state.watchers.iter().map(|(set, _)| set.connect_timeout()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// How long a connection may take to be made, as the most patient cluster says that uses the endpoint.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeouts().pop().unwrap_or(DEFAULT_CONNECT_TIMEOUT)
    }

    /// To clusters that wait no longer than `limit` the endpoint is down, to others not yet.
    fn give_up(&self, limit: Duration, why: &str) {
        let mut state = self.lock();
        let State { watchers, keeper } = &mut *state;
        let Some(keeper) = keeper else { return };
        keeper.error = Some(why.into());
        for (set, number) in watchers.iter().filter(|(set, _)| set.connect_timeout() <= limit) {
            set.set(*number, Some(Readiness::Failed));
        }
    }

    /// Sees to it that the endpoint is connected, and stays so.
    pub fn activate(self: &Arc<Self>) {
        if self.active.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        if state.keeper.is_none() && !state.watchers.is_empty() {
            self.active.store(true, Ordering::Relaxed);
            let task = self.environment.tasks.spawn(keeper::run(Arc::downgrade(self)));
            state.keeper = Some(Box::new(Keeper { task, readiness: Readiness::Connecting, error: None }));
        }
    }

    fn set_readiness(&self, readiness: Readiness, error: Option<Arc<str>>) {
        let mut state = self.lock();
        let State { watchers, keeper } = &mut *state;
        // Without a keeper nobody wants to know any more.
        let Some(keeper) = keeper else { return };
        let readiness = self.transport().confirm(readiness);
        let before = std::mem::replace(&mut keeper.readiness, readiness);
        let error = error.filter(|_| readiness != Readiness::Ready);
        keeper.error.clone_from(&error);
        for (set, number) in watchers {
            set.set(*number, Some(readiness));
        }
        drop(state);
        match readiness {
            Readiness::Ready if before != Readiness::Ready => {
                tracing::debug!(endpoint = %self.label(), "endpoint up");
                self.environment.events.emit(|| Event::EndpointUp(self.label().clone()));
            }
            Readiness::Failed if before != Readiness::Failed => {
                let reason = error.unwrap_or_else(|| "unknown".into());
                tracing::warn!(endpoint = %self.label(), %reason, "endpoint down");
                let event = || Event::EndpointDown { endpoint: self.label().clone(), reason };
                self.environment.events.emit(event);
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The lock is never held where something can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn readiness(&self) -> Readiness {
        self.keeper.as_ref().map_or(Readiness::Connecting, |keeper| keeper.readiness)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Transport {
    /// What is known of the connections, which may have come or gone since the caller looked.
    fn confirm(&self, readiness: Readiness) -> Readiness {
        match self {
            Self::Http2(http2) if http2.len() > 0 => Readiness::Ready,
            Self::Http2(_) if readiness == Readiness::Ready => Readiness::Connecting,
            _ => readiness,
        }
    }

    /// Lets go of the connections; each closes once its requests are done.
    fn clear(&self) {
        match self {
            Self::Http1(http1) => http1.clear(),
            Self::Http2(http2) => http2.clear(),
        }
    }
}
