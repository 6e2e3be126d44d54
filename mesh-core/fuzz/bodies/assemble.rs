//! From resources to snapshots: a mesh that gets them from a control plane of a few lines comes to rest with a snapshot in
//! which every route leads to clusters, and once time enough has passed, it knows of every target and cluster what becomes
//! of it. The first byte of the input says in which dialect; items follow that change what the control plane has.

use super::name_of;
use bytes::Bytes;
use mesh_core::balance::PickContext;
use mesh_core::cluster::{ClusterState, ClusterView, Pick};
use mesh_core::endpoint::Protocol;
use mesh_core::net::{Address, Connect, ConnectFuture, Dialer, ResolveFuture};
use mesh_core::resource::Kind;
use mesh_core::route::Action;
use mesh_core::snapshot::handle::TargetHandle;
use mesh_core::snapshot::{Fallback, MAX_AGGREGATE_DEPTH, RETIREMENT_CHECK, Routes, Snapshot, TargetState};
use mesh_core::xds::in_process::{self, ControlPlane, ServerStream};
use mesh_core::xds::kind::ResourceKind;
use mesh_core::{Bootstrap, Mesh};
use mesh_proto::ads::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::ready;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::yield_now;

/// The kind is the remainder of the first byte of an item.
const KINDS: u8 = Kind::ALL.len() as u8;
/// Added to the first byte: the resource of this name is taken away. Otherwise the item holds a resource.
const REMOVE: u8 = 0x40;
/// Added to the first byte: the mesh is told, and comes to rest, before the next item.
const TELL: u8 = 0x80;
/// Targets beyond these are not asked for.
const MAX_TARGETS: usize = 12;
/// Time after which everything is known, in seconds: silence means something after less.
const PATIENCE: u32 = 20;
/// How often tasks are let run without anything coming of it before they count as idle.
const IDLE: usize = 30;

/// Writes an input.
#[derive(Clone, Debug)]
pub struct World(pub Vec<u8>);

impl World {
    /// Nothing, in a dialect.
    pub fn new(sidecar: bool) -> Self {
        Self(vec![u8::from(sidecar)])
    }

    /// A resource.
    pub fn put(&mut self, kind: Kind, resource: &[u8]) {
        self.item(kind.index() as u8, resource);
    }

    /// The end of a resource.
    pub fn remove(&mut self, kind: Kind, name: &str) {
        self.item(kind.index() as u8 | REMOVE, name.as_bytes());
    }

    /// The mesh is told what was said last and before.
    pub fn tell(&mut self) {
        self.item(TELL | REMOVE, b"");
    }

    fn item(&mut self, head: u8, content: &[u8]) {
        let length = u16::try_from(content.len()).expect("resources that were recorded are small");
        self.0.push(head);
        self.0.extend(length.to_le_bytes());
        self.0.extend(content);
    }
}

/// A change of what the control plane has.
struct Item {
    kind: Kind,
    name: String,
    resource: Option<Bytes>,
    tell: bool,
}

fn items(mut rest: &[u8]) -> Vec<Item> {
    let mut items = Vec::new();
    while let Some((&[head, low, high], after)) = rest.split_first_chunk::<3>() {
        let (content, after) = after.split_at(usize::from(u16::from_le_bytes([low, high])).min(after.len()));
        rest = after;
        let kind = Kind::ALL[usize::from(head & !(REMOVE | TELL)) % usize::from(KINDS)];
        let (name, resource) = match head & REMOVE {
            0 => (name_of(content), Some(Bytes::copy_from_slice(content))),
            _ => (String::from_utf8_lossy(content).into_owned(), None),
        };
        items.push(Item { kind, name, resource, tell: head & TELL != 0 });
    }
    items
}

/// Assembles what the input says.
pub fn run(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime without sockets").block_on(drive(choice & 1 == 1, items(rest)));
}

async fn drive(sidecar: bool, items: Vec<Item>) {
    let (line, streams) = mpsc::unbounded_channel();
    let features: &[&str] = if sidecar { &["mesh.sidecar"] } else { &[] };
    let bootstrap = serde_json::json!({
        "xds_servers": [{ "server_uri": "fuzz:1", "channel_creds": [{ "type": "insecure" }], "server_features": features }],
        "node": { "id": "sidecar~10.0.0.1~a.default~default.svc.cluster.local" },
    });
    let bootstrap = Bootstrap::from_json(&bootstrap.to_string()).expect("a bootstrap");
    let builder = Mesh::builder().bootstrap(bootstrap).control_plane(Line { sidecar, line });
    let mesh = builder.dialer(Dialer::custom(Nowhere)).seed(4).build().expect("there is a runtime");
    let names: BTreeSet<_> = items.iter().filter_map(|item| target(sidecar, item)).collect();
    let handles = names.iter().take(MAX_TARGETS).enumerate().map(|(index, name)| {
        let fallback = if index % 2 == 0 { Fallback::PassThrough } else { Fallback::Refuse };
        mesh.discovered(name, Protocol::Http2, fallback)
    });
    let handles: Vec<Arc<TargetHandle>> = handles.collect();
    let mut server = Server::new(sidecar, streams);
    for item in items {
        if !item.name.is_empty() {
            server.change(item.kind, item.name, item.resource);
        }
        if item.tell {
            server.tell();
            server.settle().await;
            check(&mesh, false).await;
        }
    }
    server.tell();
    for _ in 0..PATIENCE {
        server.settle().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    server.settle().await;
    check(&mesh, true).await;
    drop(handles);
    server.settle().await;
    // The last snapshot, and clusters made of others, look like calls until they are gone.
    tokio::time::sleep(MAX_AGGREGATE_DEPTH as u32 * RETIREMENT_CHECK).await;
    server.settle().await;
    assert_eq!(mesh.published().load().clusters().count(), 0, "clusters that nobody uses");
    assert!(mesh.close(Duration::from_secs(1)).await && mesh.tasks() == 0, "tasks that do not end");
}

/// What is asked for so that a resource is used.
fn target(sidecar: bool, item: &Item) -> Option<String> {
    if !sidecar {
        return (item.kind == Kind::Listener).then(|| item.name.clone());
    }
    match (item.kind, item.name.split('|').collect::<Vec<_>>().as_slice()) {
        (Kind::Cluster, [_, port, _, host]) => Some(format!("{host}:{port}")),
        (Kind::Listener, [name]) => name.rsplit_once('_').map(|(_, port)| format!("elsewhere:{port}")),
        _ => None,
    }
}

/// What holds for every snapshot; `late` when everything that there is has been sent for a while.
async fn check(mesh: &Mesh, late: bool) {
    let report = mesh.report().await.expect("the owner of the configuration lives");
    let snapshot = mesh.published().load();
    for (spec, state) in &report.targets {
        match state {
            TargetState::Pending => assert!(!late, "{} waits for ever", spec.name),
            TargetState::Failed(failure) => assert!(!failure.message.is_empty()),
            TargetState::Routed(routes) => check_routes(routes, &snapshot),
        }
    }
    for view in snapshot.clusters() {
        assert!(
            !late || !matches!(view.state, ClusterState::Pending),
            "{} waits for ever",
            view.cluster.name
        );
        check_cluster(view);
    }
}

fn check_routes(routes: &Routes, snapshot: &Snapshot) {
    assert!(routes.host.is_none_or(|host| routes.table.host(host).is_some()));
    for (_, route) in routes.table.hosts().iter().flat_map(|host| host.routes()) {
        let Action::Forward(forward) = &route.action else { continue };
        let sum: u64 = forward.weights().map(|(_, weight)| u64::from(weight)).sum();
        assert!((1..=u64::from(u32::MAX)).contains(&sum), "weights of {sum}");
        for place in forward.clusters() {
            assert!(snapshot.cluster(place).is_some(), "{} leads to no cluster", route.name);
        }
        for entropy in [0, 1 << 31, u64::MAX] {
            assert!(forward.clusters().any(|place| place == forward.choose(entropy)));
        }
    }
}

/// Endpoints that cannot be reached, or none, and never without a word.
fn check_cluster(view: &ClusterView) {
    let cx = PickContext { now: 0, entropy: 0, excluded: &[], hash: None, metadata: &[] };
    match view.pick(&cx) {
        Pick::Endpoint(endpoint) => panic!("{} cannot be reached", endpoint.label()),
        Pick::Connecting(members) => assert!(!members.is_empty()),
        Pick::Pending => assert!(matches!(view.state, ClusterState::Pending)),
        Pick::None(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A network in which some names have addresses, and nobody is at any.
struct Nowhere;

impl Connect for Nowhere {
    fn connect(&self, _: &Address) -> ConnectFuture {
        Box::pin(ready(Err(io::ErrorKind::ConnectionRefused.into())))
    }

    fn resolve(&self, host: &str) -> ResolveFuture {
        let sum = host.bytes().fold(0u8, u8::wrapping_add);
        Box::pin(ready(match sum % 3 {
            0 => Err(io::ErrorKind::NotFound.into()),
            count => Ok((0..count).map(|last| [10, 0, sum, last].into()).collect()),
        }))
    }
}

/// Where the mesh finds its control plane.
struct Line {
    sidecar: bool,
    line: mpsc::UnboundedSender<ServerStream>,
}

impl ControlPlane for Line {
    fn serve(&self, stream: ServerStream) {
        // The mesh ends after the control plane, which is then not there any more.
        let _ = self.line.send(stream);
    }

    fn protocol(&self) -> in_process::Protocol {
        match self.sidecar {
            true => in_process::Protocol::Delta,
            false => in_process::Protocol::StateOfTheWorld,
        }
    }
}

/// The control plane.
struct Server {
    sidecar: bool,
    streams: mpsc::UnboundedReceiver<ServerStream>,
    stream: Option<ServerStream>,
    outbox: VecDeque<Bytes>,
    resources: BTreeMap<(Kind, String), Bytes>,
    /// What changed and was not told.
    changed: BTreeSet<(Kind, String)>,
    /// What was asked for; `*` is everything.
    asked: BTreeMap<Kind, BTreeSet<String>>,
    version: u64,
}

impl Server {
    fn new(sidecar: bool, streams: mpsc::UnboundedReceiver<ServerStream>) -> Self {
        Self {
            sidecar,
            streams,
            stream: None,
            outbox: VecDeque::new(),
            resources: BTreeMap::new(),
            changed: BTreeSet::new(),
            asked: BTreeMap::new(),
            version: 0,
        }
    }

    fn change(&mut self, kind: Kind, name: String, resource: Option<Bytes>) {
        let key = (kind, name);
        match resource {
            Some(resource) => drop(self.resources.insert(key.clone(), resource)),
            None => drop(self.resources.remove(&key)),
        }
        self.changed.insert(key);
    }

    /// Sends what changed, as far as it was asked for.
    fn tell(&mut self) {
        let mut changed: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
        for (kind, name) in std::mem::take(&mut self.changed) {
            let asked = self.asked.get(&kind);
            if asked.is_some_and(|asked| asked.contains(&name) || asked.contains("*")) {
                changed.entry(kind).or_default().insert(name);
            }
        }
        changed.into_iter().for_each(|(kind, names)| self.send(kind, &names));
    }

    /// Lets the mesh work until nothing comes of it any more.
    async fn settle(&mut self) {
        let (mut idle, mut rounds) = (0, 0);
        while idle < IDLE {
            yield_now().await;
            idle = if self.serve() { 0 } else { idle + 1 };
            rounds += 1;
            assert!(rounds < 10_000, "a mesh that never comes to rest");
        }
    }

    /// Answers what was asked; whether anything was, or was sent.
    fn serve(&mut self) -> bool {
        if let Ok(stream) = self.streams.try_recv() {
            self.stream = Some(stream);
            self.outbox.clear();
            self.asked.clear();
        }
        let mut busy = false;
        while let Some(request) = self.stream.as_mut().and_then(|stream| stream.requests.try_recv().ok()) {
            self.answer(request);
            busy = true;
        }
        let Some(stream) = &self.stream else { return busy };
        while let Some(message) = self.outbox.front() {
            if stream.responses.try_send(message.clone()).is_err() {
                break;
            }
            self.outbox.pop_front();
            busy = true;
        }
        busy
    }

    fn answer(&mut self, request: Bytes) {
        if self.sidecar {
            let request = DeltaDiscoveryRequest::decode(request).expect("a request");
            let kind = Kind::from_type_url(&request.type_url).expect("a kind");
            let first = !self.asked.contains_key(&kind);
            let asked = self.asked.entry(kind).or_default();
            asked.retain(|name| !request.resource_names_unsubscribe.contains(name));
            let mut names: BTreeSet<_> = request.resource_names_subscribe.into_iter().collect();
            if first && names.is_empty() {
                names.insert("*".to_owned());
            }
            asked.extend(names.iter().cloned());
            if !names.is_empty() {
                self.send(kind, &names);
            }
        } else {
            let request = DiscoveryRequest::decode(request).expect("a request");
            let kind = Kind::from_type_url(&request.type_url).expect("a kind");
            let names: BTreeSet<_> = request.resource_names.into_iter().collect();
            if self.asked.insert(kind, names.clone()).as_ref() != Some(&names) {
                self.send(kind, &names);
            }
        }
    }

    /// Sends the resources of these names; in state of the world, all that were asked for.
    fn send(&mut self, kind: Kind, names: &BTreeSet<String>) {
        self.version += 1;
        let (version, type_url) = (self.version.to_string(), kind.type_url().to_owned());
        let all = names.contains("*");
        let known = self.resources.iter().filter(|((of, _), _)| *of == kind);
        let asked = self.asked.get(&kind).filter(|_| !self.sidecar).unwrap_or(names);
        let found = known.filter(|((_, name), _)| all || asked.contains(name));
        let any = |value: &Bytes| Any { type_url: type_url.clone(), value: value.clone() };
        let message = if self.sidecar {
            let resources = found.map(|((_, name), value)| Resource {
                name: name.clone(),
                version: version.clone(),
                resource: Some(any(value)),
            });
            let missing =
                |name: &&String| *name != "*" && !self.resources.contains_key(&(kind, (*name).clone()));
            let response = DeltaDiscoveryResponse {
                resources: resources.collect(),
                removed_resources: names.iter().filter(missing).cloned().collect(),
                type_url: type_url.clone(),
                nonce: version.clone(),
                ..Default::default()
            };
            response.encode_to_vec()
        } else {
            let response = DiscoveryResponse {
                resources: found.map(|(_, value)| any(value)).collect(),
                version_info: version.clone(),
                type_url: type_url.clone(),
                nonce: version,
                ..Default::default()
            };
            response.encode_to_vec()
        };
        self.outbox.push_back(message.into());
    }
}
