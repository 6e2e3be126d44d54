//! What configuration costs the client at scale: prints a table with the figures of others beside ours.
//!
//! The control plane runs in a process of its own. Each figure is that of a fresh client process with one thread, which
//! reads its own CPU time and resident memory from the kernel; medians of several.

use mesh_core::bootstrap::Node;
use mesh_core::cluster::ClusterState;
use mesh_core::xds::in_process;
use mesh_core::{Bootstrap, Mesh, mesh};
use mesh_peers::usage::{cpu_millis, resident_mib};
use mesh_peers::world::{self, ControlPlane, World};
use mesh_testkit::echo::{EchoClient, Message};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// Changes that are averaged by one client.
const CHANGES: u64 = 20;
/// Nothing changes any more if nothing has for so long.
const SILENCE: Duration = Duration::from_secs(5);
/// Clients whose median counts.
const CLIENTS: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["server", target] => world::serve(target),
        ["clusters", address] => clusters(address),
        ["changes", target, address] => changes(target, || Mesh::builder().bootstrap(bootstrap(address))),
        ["delta", target, address] => changes(target, || Mesh::builder().bootstrap(delta(address))),
        ["floor"] => floor(),
        ["embedded", target] => changes(target, || embedded(target)),
        [] => table(),
        _ => {
            eprintln!("usage: scale");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn bootstrap(address: &str) -> Bootstrap {
    Bootstrap::new(address, Node::default()).unwrap()
}

/// The same, in the incremental protocol.
fn delta(address: &str) -> Bootstrap {
    let mut bootstrap = bootstrap(address);
    bootstrap.servers.iter_mut().for_each(|server| server.features.delta = true);
    bootstrap
}

/// From nothing to the first answer, with a thousand clusters; prints CPU and memory.
fn clusters(address: &str) {
    runtime().block_on(async {
        let mesh = Mesh::from_bootstrap(bootstrap(address)).unwrap();
        let channel = mesh_tonic::Channel::new(&mesh, world::CLUSTERS).unwrap();
        EchoClient::new(channel).unary(Message::new("first")).await.unwrap();
        println!("{} {}", cpu_millis(), resident_mib());
        assert_eq!(mesh.published().load().clusters().count(), world::CLUSTER_COUNT);
    });
}

/// Ten thousand endpoints that nobody calls, one of which changes now and then; prints CPU for each change, and memory
/// before the first.
fn changes(target: &str, builder: impl FnOnce() -> mesh::Builder) {
    runtime().block_on(async {
        let mesh = builder().build().unwrap();
        let _target = mesh_tonic::Channel::new(&mesh, target).unwrap();
        while endpoints(&mesh) < world::ENDPOINT_COUNT {
            mesh.published().changed().notified().await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (memory, before) = (resident_mib(), cpu_millis());
        let first = mesh.published().load().number;
        println!("ready");
        let seen = || mesh.published().load().number - first;
        while seen() < CHANGES {
            let changed = mesh.published().changed().notified();
            // On a busy machine two changes may become one snapshot.
            if seen() < CHANGES && tokio::time::timeout(SILENCE, changed).await.is_err() {
                break;
            }
        }
        println!("{} {memory}", (cpu_millis() - before) / seen() as f64);
        assert_eq!(endpoints(&mesh), world::ENDPOINT_COUNT);
    });
}

/// What it costs to read from a socket what a change of the one large cluster sends, and to do nothing with it.
fn floor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut message = vec![0; world::assignment_len()];
    let sent = message.clone();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for _ in 0..CHANGES {
            std::thread::sleep(world::PAUSE);
            stream.write_all(&sent).unwrap();
        }
    });
    let before = cpu_millis();
    for _ in 0..CHANGES {
        stream.read_exact(&mut message).unwrap();
    }
    println!("{} {}", (cpu_millis() - before) / CHANGES as f64, resident_mib());
}

fn endpoints(mesh: &Mesh) -> usize {
    let snapshot = mesh.published().load();
    let count = snapshot.clusters().map(|view| match &view.state {
        ClusterState::Ready { priorities, .. } => priorities.iter().map(|members| members.len()).sum(),
        _ => 0,
    });
    count.sum()
}

/// A control plane in the process, on a thread of its own, whose CPU time is not counted.
struct Elsewhere {
    runtime: Handle,
    worlds: watch::Receiver<Arc<World>>,
}

impl in_process::ControlPlane for Elsewhere {
    fn serve(&self, stream: in_process::ServerStream) {
        let worlds = self.worlds.clone();
        self.runtime.spawn(mesh_control::serve::in_process(stream, worlds));
    }

    fn protocol(&self) -> in_process::Protocol {
        in_process::Protocol::Delta
    }
}

fn embedded(target: &str) -> mesh::Builder {
    let clusters = if target == world::SPREAD { world::SPREAD_CLUSTERS } else { 1 };
    let (sender, worlds) = watch::channel(Arc::new(World::new(clusters)));
    let runtime = runtime();
    let control_plane = Elsewhere { runtime: runtime.handle().clone(), worlds };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            world::change(&sender, CHANGES).await;
            std::future::pending::<()>().await;
        });
    });
    Mesh::builder().control_plane(control_plane)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// The two figures in the last line that a client prints.
fn figures(output: &str) -> (f64, f64) {
    let (a, b) = output.trim().lines().next_back().unwrap().split_once(' ').unwrap();
    (a.parse().unwrap(), b.parse().unwrap())
}

fn medians(figures: Vec<(f64, f64)>) -> (f64, f64) {
    let (a, b) = figures.into_iter().unzip();
    (median(a), median(b))
}

/// What the table says.
struct Figures {
    /// State of the world, delta and in the process, in milliseconds.
    changes: [f64; 3],
    spread: [f64; 3],
    floor: f64,
    clusters: f64,
    requests: usize,
    clusters_mib: f64,
    endpoints_mib: f64,
}

impl Figures {
    fn take() -> Self {
        let client = |arguments: &[&str]| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(arguments);
            command
        };
        let run = |arguments: &[&str]| {
            let output = client(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            figures(&String::from_utf8(output.stdout).unwrap())
        };
        let mut requests = 0;
        let from_nothing = |_| {
            let mut server = ControlPlane::start(world::CLUSTERS);
            let figures = run(&["clusters", &server.address]);
            requests = server.requests();
            figures
        };
        let (clusters, clusters_mib) = medians((0..CLIENTS).map(from_nothing).collect());
        let remote = |kind: &str, target: &str| {
            let mut server = ControlPlane::start(target);
            let client = |_| {
                let mut client = client(&[kind, target, &server.address]);
                figures(&server.change_once_ready(&mut client, CHANGES))
            };
            medians((0..CLIENTS).map(client).collect())
        };
        let inside = |target: &str| medians((0..CLIENTS).map(|_| run(&["embedded", target])).collect()).0;
        let (world, endpoints_mib) = remote("changes", world::ENDPOINTS);
        let changes = [world, remote("delta", world::ENDPOINTS).0, inside(world::ENDPOINTS)];
        let (spread_world, spread_delta) = (remote("changes", world::SPREAD), remote("delta", world::SPREAD));
        let spread = [spread_world.0, spread_delta.0, inside(world::SPREAD)];
        let floor = medians((0..CLIENTS).map(|_| run(&["floor"])).collect()).0;
        Self { changes, spread, floor, clusters, requests, clusters_mib, endpoints_mib }
    }
}

/// Keep the processors awake: one process of the lowest priority for each, which touches no memory.
struct Spinners(Vec<Child>);

impl Spinners {
    fn start() -> Self {
        let spin = |_| Command::new("nice").args(["-n", "19", "sh", "-c", "while :; do :; done"]).spawn();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self((0..processors).map(spin).collect::<Result<_, _>>().unwrap())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for spinner in &mut self.0 {
            let _ = spinner.kill();
            let _ = spinner.wait();
        }
    }
}

fn table() {
    let asleep = Figures::take();
    let spinners = Spinners::start();
    let awake = Figures::take();
    drop(spinners);
    let row = |work: &str, others: [&str; 3], ours: fn(&Figures) -> String| {
        println!("| {work} | {} | {} | {} |", others.join(" | "), ours(&asleep), ours(&awake));
    };
    let none = [""; 3];
    println!("| Work | tonic-xds | C-core | Envoy | mesh | mesh, processors awake |");
    println!("|---|---|---|---|---|---|");
    let work = "one of 10,000 endpoints changes, client CPU, state of the world";
    row(work, ["9.4 ms", "696 ms", "26 ms"], |it| format!("{:.2} ms", it.changes[0]));
    row("the same, delta", none, |it| format!("{:.2} ms", it.changes[1]));
    row("the same, control plane in the process", none, |it| format!("{:.2} ms", it.changes[2]));
    row("only reading what it sends from a socket", none, |it| format!("{:.2} ms", it.floor));
    row("the same in one of 100 clusters, state of the world", none, |it| format!("{:.2} ms", it.spread[0]));
    row("the same in one of 100 clusters, delta", none, |it| format!("{:.2} ms", it.spread[1]));
    row("the same in one of 100 clusters, control plane in the process", none, |it| {
        format!("{:.2} ms", it.spread[2])
    });
    let work = "1,000 clusters from nothing to the first answer, client CPU";
    row(work, ["869 ms", "2,642 ms", "349 ms"], |it| format!("{:.0} ms", it.clusters));
    let work = "requests to the control plane for that";
    row(work, ["1,844", "733", "4"], |it| it.requests.to_string());
    let work = "resident memory with 1,000 clusters";
    row(work, ["16 MiB", "79 MiB", "125 MiB"], |it| format!("{:.1} MiB", it.clusters_mib));
    row("resident memory with 10,000 idle endpoints", none, |it| format!("{:.1} MiB", it.endpoints_mib));
}
