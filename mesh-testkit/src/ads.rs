//! Control planes for tests: one that serves what it is given, and one that is driven message by message.

use crate::ads_delta;
use crate::backend::Counted;
use crate::bridge::bridge;
use crate::net::Listener;
use http::HeaderMap;
use mesh_core::net::Io;
use mesh_core::xds::in_process::{ControlPlane, Protocol, ServerStream};
use mesh_core::xds::load_report::STREAM_LOAD_STATS;
use mesh_proto::ads::{Any, DELTA_AGGREGATED_RESOURCES, DiscoveryRequest, DiscoveryResponse};
use mesh_proto::envoy::config::core::v3::ControlPlane as Identifier;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// A control plane that serves the resources it was given. On a state-of-the-world stream it answers a subscription with
/// what it has of it, and pushes a type whenever something of it changes; on an incremental one it sends what changed.
///
/// Cheap to clone; clones share their resources.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
    requests: Mutex<Vec<DiscoveryRequest>>,
    /// The messages of NACKs on incremental streams.
    refused: Mutex<Vec<String>>,
    streams: AtomicUsize,
}

#[derive(Debug, Default)]
struct World {
    /// By type URL and name.
    resources: BTreeMap<String, BTreeMap<String, Any>>,
    /// By type URL.
    versions: BTreeMap<String, u64>,
}

/// What a stream is subscribed to, by type URL.
#[derive(Debug, Default)]
struct Subscription {
    names: Vec<String>,
    sent_version: Option<u64>,
    nonce: String,
}

impl Resources {
    /// A control plane without resources.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces resources, all in one step.
    pub fn set(&self, resources: impl IntoIterator<Item = Any>) {
        self.change(|world| {
            for any in resources {
                let name = name_of(&any);
                world.touch(&any.type_url).insert(name, any);
            }
        });
    }

    /// Takes a resource away.
    pub fn remove(&self, like: &Any) {
        self.change(|world| {
            world.touch(&like.type_url).remove(&name_of(like));
        });
    }

    /// Takes the resource of a type away that has this name.
    pub fn remove_named(&self, url: &str, name: &str) {
        self.change(|world| {
            world.touch(url).remove(name);
        });
    }

    /// Takes everything away.
    pub fn clear(&self) {
        self.change(|world| {
            let types: Vec<_> = world.resources.keys().cloned().collect();
            types.iter().for_each(|url| world.touch(url).clear());
        });
    }

    /// The requests got so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<DiscoveryRequest> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the requests got so far.
    pub fn forget_requests(&self) {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The refusals got so far.
    #[must_use]
    pub fn nacks(&self) -> Vec<String> {
        let details = |request: DiscoveryRequest| request.error_detail.map(|detail| detail.message);
        let refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.requests().into_iter().filter_map(details).chain(refused).collect()
    }

    /// Streams that are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.shared.streams.load(Ordering::SeqCst)
    }

    /// Serves over a network until dropped.
    #[must_use]
    pub fn serve_on(&self, listener: Listener) -> Server {
        let this = self.clone();
        Server::start(listener, move |stream| {
            let this = this.clone();
            tokio::spawn(async move { this.run(stream).await })
        })
    }

    /// Serves over a network until dropped, and hands out the streams on which load is reported.
    #[must_use]
    pub fn serve_with_loads(&self, listener: Listener) -> (Server, mpsc::UnboundedReceiver<ServerStream>) {
        let (loads, receiver) = mpsc::unbounded_channel();
        let this = self.clone();
        let serve = move |stream| {
            let this = this.clone();
            tokio::spawn(async move { this.run(stream).await })
        };
        (Server::start_with_loads(listener, serve, Some(loads)), receiver)
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.lock());
        self.shared.changed.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves whenever something changes.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Looks at the resources of a type.
    pub(super) fn with<T>(&self, url: &str, look: impl FnOnce(&BTreeMap<String, Any>) -> T) -> T {
        look(self.lock().resources.entry(url.to_owned()).or_default())
    }

    /// A client refused something on an incremental stream.
    pub(super) fn note_nack(&self, message: &str) {
        let mut refused = self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.push(message.to_owned());
    }

    async fn run(self, stream: ServerStream) {
        let _open = Counted::new(&self.shared.streams);
        match stream.protocol {
            Protocol::StateOfTheWorld => self.clone().run_whole(stream).await,
            Protocol::Delta => ads_delta::run(self.clone(), stream).await,
        }
    }

    async fn run_whole(self, mut stream: ServerStream) {
        let mut changed = self.shared.changed.subscribe();
        let mut subscriptions: BTreeMap<String, Subscription> = BTreeMap::new();
        let mut nonce = 0u64;
        loop {
            let mut forced = None;
            tokio::select! {
                message = stream.requests.recv() => {
                    let Some(Ok(request)) = message.map(DiscoveryRequest::decode) else { break };
                    self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                    let subscription = subscriptions.entry(request.type_url.clone()).or_default();
                    // As istiod does it, whatever names there are.
                    if request.error_detail.is_some() || request.response_nonce != subscription.nonce {
                        continue;
                    }
                    let news = subscription.names != request.resource_names;
                    subscription.names = request.resource_names;
                    if news {
                        forced = Some(request.type_url);
                    }
                }
                result = changed.changed() => if result.is_err() { break },
            }
            for (url, subscription) in &mut subscriptions {
                let response = {
                    let world = self.lock();
                    let version = world.versions.get(url).copied().unwrap_or(0);
                    if forced.as_ref() != Some(url) && subscription.sent_version == Some(version) {
                        continue;
                    }
                    subscription.sent_version = Some(version);
                    nonce += 1;
                    subscription.nonce = format!("nonce-{nonce}");
                    let known = world.resources.get(url);
                    let wanted = subscription.names.iter();
                    DiscoveryResponse {
                        version_info: format!("v{version}"),
                        resources: wanted.filter_map(|name| known?.get(name)).cloned().collect(),
                        type_url: url.clone(),
                        nonce: subscription.nonce.clone(),
                        control_plane: Some(Identifier { identifier: "testkit".to_owned() }),
                    }
                };
                if stream.responses.send(response.encode_to_vec().into()).await.is_err() {
                    break;
                }
            }
        }
    }
}

impl World {
    fn touch(&mut self, url: &str) -> &mut BTreeMap<String, Any> {
        *self.versions.entry(url.to_owned()).or_default() += 1;
        self.resources.entry(url.to_owned()).or_default()
    }
}

impl ControlPlane for Resources {
    fn serve(&self, stream: ServerStream) {
        tokio::spawn(self.clone().run(stream));
    }
}

/// A control plane that is driven message by message.
#[derive(Clone, Debug)]
pub struct Script {
    streams: mpsc::UnboundedSender<ServerStream>,
}

impl Script {
    /// A script, and where its streams come in.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<ServerStream>) {
        let (streams, receiver) = mpsc::unbounded_channel();
        (Self { streams }, receiver)
    }

    /// Hands out the streams of a network until dropped.
    #[must_use]
    pub fn serve_on(&self, listener: Listener) -> Server {
        let this = self.clone();
        Server::start(listener, move |stream| {
            this.serve(stream);
            // Whoever has the stream serves it.
            tokio::spawn(async {})
        })
    }
}

impl ControlPlane for Script {
    fn serve(&self, stream: ServerStream) {
        // Without a reader the stream ends at once.
        let _ = self.streams.send(stream);
    }
}

/// A control plane behind a socket. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    task: JoinHandle<()>,
    heads: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Server {
    /// Hands the streams of all connections to `serve`.
    pub fn start(
        listener: Listener,
        serve: impl Fn(ServerStream) -> JoinHandle<()> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::start_with_loads(listener, serve, None)
    }

    /// The same, but the streams on which load is reported go to `loads`.
    fn start_with_loads(
        mut listener: Listener,
        serve: impl Fn(ServerStream) -> JoinHandle<()> + Clone + Send + Sync + 'static,
        loads: Option<mpsc::UnboundedSender<ServerStream>>,
    ) -> Self {
        let heads = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let seen = heads.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(io) = listener.accept().await {
                connections.spawn(serve_connection(io, serve.clone(), loads.clone(), seen.clone()));
            }
            while connections.join_next().await.is_some() {}
        });
        Self { task, heads }
    }

    /// The headers of the streams got so far, oldest first.
    #[must_use]
    pub fn heads(&self) -> Vec<HeaderMap> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_connection(
    io: Io,
    serve: impl Fn(ServerStream) -> JoinHandle<()>,
    loads: Option<mpsc::UnboundedSender<ServerStream>>,
    heads: Arc<Mutex<Vec<HeaderMap>>>,
) {
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    let mut streams = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        heads.lock().unwrap_or_else(PoisonError::into_inner).push(request.headers().clone());
        let (requests, request_rx) = mpsc::channel(16);
        let (responses, response_rx) = mpsc::channel(16);
        let protocol = match request.uri().path() {
            DELTA_AGGREGATED_RESOURCES => Protocol::Delta,
            _ => Protocol::StateOfTheWorld,
        };
        let stream = ServerStream { protocol, requests: request_rx, responses };
        let server = match &loads {
            // Without a reader the stream ends at once.
            Some(loads) if request.uri().path() == STREAM_LOAD_STATS => {
                drop(loads.send(stream));
                None
            }
            _ => Some(serve(stream)),
        };
        streams.spawn(async move {
            bridge(request, respond, requests, response_rx).await;
            if let Some(server) = server {
                server.abort();
            }
        });
    }
}

/// The name of a packed resource, which every kind has in field 1.
#[must_use]
pub fn name_of(any: &Any) -> String {
    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    Named::decode(any.value.clone()).map(|named| named.name).unwrap_or_default()
}
