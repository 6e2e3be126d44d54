//! What a call over xDS costs in allocations: fails on growth.
//!
//! The servers run on a thread of their own, so that only the client's allocations are counted. The count is exact and the
//! same on every machine, unlike time.

use allocation_counter::measure;
use mesh_core::Mesh;
use mesh_core::bootstrap::{Bootstrap, Node};
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::net::Listener;
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use std::sync::mpsc;
use tokio::runtime::{Builder, Runtime};

/// What it is today. tonic's client over a bare `h2` connection needs 19, over tonic's own channel 31. The little on top is
/// for what grows now and then.
const LIMIT: f64 = 20.1;
const CALLS: u32 = 500;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A control plane, and the backend of its one service, on a thread of their own: where the control plane is.
fn servers() -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let (backend, control) =
                (Listener::loopback().await.unwrap(), Listener::loopback().await.unwrap());
            let world = World::default();
            world.cluster("echo", &[&backend.local_address().unwrap()]);
            world.route("echo");
            sender.send(control.local_address().unwrap()).unwrap();
            let _running = (Backend::http2("a", backend), world.control.serve_on(control));
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

#[test]
fn a_warm_unary_call() {
    let bootstrap = Bootstrap::new(&servers(), Node::default()).unwrap();
    let runtime = runtime();
    let (mesh, mut client) = runtime.block_on(async {
        let mesh = Mesh::from_bootstrap(bootstrap).unwrap();
        let channel = Channel::new(&mesh, TARGET).unwrap();
        (mesh, EchoClient::new(channel))
    });
    let mut calls = || {
        runtime.block_on(async {
            for _ in 0..CALLS {
                client.unary(Message::new("0123456789a")).await.unwrap();
            }
        });
    };
    calls();
    let counted = measure(&mut calls);
    let per_call = counted.count_total as f64 / f64::from(CALLS);
    println!(
        "{per_call:.2} allocations, {:.0} bytes per call",
        counted.bytes_total as f64 / f64::from(CALLS)
    );
    assert!(per_call <= LIMIT, "{per_call} allocations per call");

    // Nobody calls: whatever runs now was woken for nothing.
    let idle = || {
        runtime.block_on(async {
            for _ in 0..CALLS {
                tokio::task::yield_now().await;
            }
        });
    };
    idle();
    let counted = measure(idle);
    assert!(counted.count_total < 5, "{} allocations while idle", counted.count_total);
    drop(mesh);
}
