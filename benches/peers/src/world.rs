//! A control plane with a thousand clusters, and with one of ten thousand endpoints, in a process of its own.

use mesh_testkit::ads::Resources;
use mesh_testkit::echo::EchoServer;
use mesh_testkit::net::Listener;
use mesh_testkit::resources as r;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

/// The target that leads to a thousand clusters of one endpoint each.
pub const CLUSTERS: &str = "xds:///clusters:80";
pub const CLUSTER_COUNT: usize = 1_000;
/// The target that leads to one cluster of ten thousand endpoints.
pub const ENDPOINTS: &str = "xds:///endpoints:80";
pub const ENDPOINT_COUNT: usize = 10_000;

/// Time between two changes, so that none is taken for part of another.
const PAUSE: Duration = Duration::from_millis(50);

/// A control plane in a process of its own; killed when dropped.
pub struct ControlPlane {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub address: String,
}

impl ControlPlane {
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("server").stdin(Stdio::piped()).stdout(Stdio::piped());
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

/// Serves for ever: prints its address, then does what it is told.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = listener.local_addr().unwrap().to_string();
        let echo = Server::builder().add_service(EchoServer::new("backend".to_owned()));
        tokio::spawn(echo.serve_with_incoming(TcpListenerStream::new(listener)));
        let resources = Resources::new();
        fill_clusters(&resources, &backend);
        fill_endpoints(&resources, 0);
        let listener = Listener::loopback().await.unwrap();
        println!("{}", listener.local_address().unwrap());
        let _server = resources.serve_on(listener);
        let mut commands = tokio::io::BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(command)) = commands.next_line().await {
            match command.parse() {
                Ok(changes) => change(&resources, changes).await,
                Err(_) => println!("{}", resources.requests().len()),
            }
        }
    });
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

/// The cluster with many endpoints, of which the one in the middle differs from `turn` to turn.
pub fn fill_endpoints(resources: &Resources, turn: u64) {
    let host = "endpoints:80";
    resources.set([
        r::any(&r::listener(host, "endpoints")),
        r::any(&r::routes("endpoints", host, vec![r::route("/", &[("endpoints", 1)])])),
        r::any(&r::cluster("endpoints")),
    ]);
    set_endpoints(resources, turn);
}

fn set_endpoints(resources: &Resources, turn: u64) {
    let address = |number: usize| match number {
        _ if number == ENDPOINT_COUNT / 2 => format!("10.9.9.{}:80", 1 + turn % 250),
        _ => format!("10.1.{}.{}:80", number / 250, 1 + number % 250),
    };
    let addresses: Vec<String> = (0..ENDPOINT_COUNT).map(address).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    resources.set([r::any(&r::assignment("endpoints", &addresses))]);
}

/// Changes one endpoint, over and over.
pub async fn change(resources: &Resources, times: u64) {
    for turn in 1..=times {
        set_endpoints(resources, turn);
        tokio::time::sleep(PAUSE).await;
    }
    set_endpoints(resources, 0);
}
