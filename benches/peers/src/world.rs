//! Control planes with a thousand clusters, and with ten thousand endpoints, in a process of their own.

use bytes::Bytes;
use mesh_control::serve::server::Access;
use mesh_control::translate::{Kind, NodeView};
use mesh_testkit::ads::Resources;
use mesh_testkit::echo::EchoServer;
use mesh_testkit::net::Listener;
use mesh_testkit::resources as r;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

/// The target that leads to a thousand clusters of one endpoint each.
pub const CLUSTERS: &str = "xds:///clusters:80";
pub const CLUSTER_COUNT: usize = 1_000;
/// The target that leads to one cluster of ten thousand endpoints.
pub const ENDPOINTS: &str = "xds:///endpoints:80";
/// The target that leads to a hundred clusters of a hundred endpoints each.
pub const SPREAD: &str = "xds:///spread:80";
pub const ENDPOINT_COUNT: usize = 10_000;

/// The clusters of [`SPREAD`].
pub const SPREAD_CLUSTERS: usize = 100;

/// Time between two changes, so that none is taken for part of another.
pub const PAUSE: Duration = Duration::from_millis(50);

/// A control plane in a process of its own; killed when dropped.
pub struct ControlPlane {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub address: String,
}

impl ControlPlane {
    /// The control plane of `target`.
    pub fn start(target: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["server", target]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stdin = process.stdin.take().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let address = line(&mut stdout);
        Self { process, stdin, stdout, address }
    }

    /// Requests got so far.
    pub fn requests(&mut self) -> usize {
        writeln!(self.stdin, "requests").unwrap();
        line(&mut self.stdout).parse().unwrap()
    }

    /// Runs a client and makes so many changes once it is ready; what else it prints.
    pub fn change_once_ready(&mut self, client: &mut Command, changes: u64) -> String {
        let mut client = client.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(client.stdout.take().unwrap());
        assert_eq!(line(&mut stdout), "ready");
        writeln!(self.stdin, "{changes}").unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert!(client.wait().unwrap().success());
        rest
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Serves for ever: prints the address of the control plane of `target`, then does what it is told.
pub fn serve(target: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    match target {
        ENDPOINTS => runtime.block_on(serve_endpoints(1)),
        SPREAD => runtime.block_on(serve_endpoints(SPREAD_CLUSTERS)),
        _ => runtime.block_on(serve_clusters()),
    }
}

/// A server that counts requests.
async fn serve_clusters() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = listener.local_addr().unwrap().to_string();
    let echo = Server::builder().add_service(EchoServer::new("backend".to_owned()));
    tokio::spawn(echo.serve_with_incoming(TcpListenerStream::new(listener)));
    let resources = Resources::new();
    fill_clusters(&resources, &backend);
    let listener = Listener::loopback().await.unwrap();
    println!("{}", listener.local_address().unwrap());
    let _server = resources.serve_on(listener);
    let mut commands = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = commands.next_line().await {
        println!("{}", resources.requests().len());
    }
}

/// The server of mesh-control, which speaks both protocols.
async fn serve_endpoints(clusters: usize) {
    let server = mesh_control::serve::server::Server::bind("127.0.0.1:0", Access::Local).await.unwrap();
    println!("{}", server.local_address());
    let (sender, worlds) = watch::channel(Arc::new(World::new(clusters)));
    tokio::spawn(server.run(worlds, std::future::pending()));
    let mut commands = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(command)) = commands.next_line().await {
        change(&sender, command.parse().unwrap()).await;
    }
}

fn fill_clusters(resources: &Resources, backend: &str) {
    let name = |number: usize| format!("cluster-{number}");
    let clusters = (0..CLUSTER_COUNT).flat_map(|number| {
        let name = name(number);
        [r::any(&r::cluster(&name)), r::any(&r::assignment(&name, &[backend]))]
    });
    resources.set(clusters.collect::<Vec<_>>());
    // The last one matches everything; calls go there.
    let routes = (0..CLUSTER_COUNT).rev().map(|number| match number {
        0 => r::route("/", &[(&name(0), 1)]),
        _ => r::route(&format!("/service-{number}/"), &[(&name(number), 1)]),
    });
    let (listener, host) = ("clusters:80", "clusters:80");
    resources.set([
        r::any(&r::listener(listener, "clusters")),
        r::any(&r::routes("clusters", host, routes.collect())),
    ]);
}

/// Clusters that share many endpoints among them, of which the one in the middle differs from turn to turn.
pub struct World {
    turn: u64,
    clusters: usize,
    resources: HashMap<(Kind, Arc<str>), Bytes>,
}

impl World {
    /// The world of the first turn.
    pub fn new(clusters: usize) -> Self {
        let host = if clusters == 1 { "endpoints:80" } else { "spread:80" };
        let mut resources = HashMap::new();
        let mut set = |kind, name: &str, bytes| resources.insert((kind, Arc::from(name)), bytes);
        let names: Vec<String> = (0..clusters).map(cluster).collect();
        for (number, name) in names.iter().enumerate() {
            set(Kind::Cluster, name, r::any(&r::cluster(name)).value);
            set(Kind::Endpoint, name, assignment(number, clusters, 0));
        }
        // The last one matches everything.
        let routes = names.iter().skip(1).map(|name| r::route(&format!("/{name}/"), &[(name, 1)]));
        let routes = routes.chain([r::route("/", &[(&names[0], 1)])]).collect();
        set(Kind::Listener, host, r::any(&r::listener(host, "routes")).value);
        set(Kind::Route, "routes", r::any(&r::routes("routes", host, routes)).value);
        Self { turn: 0, clusters, resources }
    }

    /// The world one turn later.
    fn next(&self) -> Self {
        let (turn, clusters) = (self.turn + 1, self.clusters);
        let changed = CHANGING * clusters / ENDPOINT_COUNT;
        let mut resources = self.resources.clone();
        resources.insert((Kind::Endpoint, cluster(changed).into()), assignment(changed, clusters, turn));
        Self { turn, clusters, resources }
    }
}

/// The endpoint that changes.
const CHANGING: usize = ENDPOINT_COUNT / 2;

fn cluster(number: usize) -> String {
    format!("cluster-{number}")
}

/// Bytes that a change sends if one cluster has all endpoints.
pub fn assignment_len() -> usize {
    assignment(0, 1, 1).len()
}

/// The endpoints of one of so many clusters in a turn, encoded.
fn assignment(number: usize, clusters: usize, turn: u64) -> Bytes {
    let address = |number: usize| match number {
        CHANGING => format!("10.9.9.{}:80", 1 + turn % 250),
        _ => format!("10.1.{}.{}:80", number / 250, 1 + number % 250),
    };
    let share = ENDPOINT_COUNT / clusters;
    let addresses: Vec<String> = (number * share..(number + 1) * share).map(address).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    r::any(&r::assignment(&cluster(number), &addresses)).value
}

impl mesh_control::serve::World for World {
    fn version(&self) -> u64 {
        self.turn
    }

    fn resource(&self, _: &NodeView, kind: Kind, name: &str) -> Option<Bytes> {
        self.resources.get(&(kind, name.into())).cloned()
    }

    fn names(&self, _: &NodeView, kind: Kind) -> Vec<Arc<str>> {
        self.resources.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect()
    }
}

/// Changes one endpoint, over and over.
pub async fn change(worlds: &watch::Sender<Arc<World>>, times: u64) {
    for _ in 0..times {
        let next = worlds.borrow().next();
        worlds.send_replace(Arc::new(next));
        tokio::time::sleep(PAUSE).await;
    }
}
