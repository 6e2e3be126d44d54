//! What a call costs in allocations: fails on growth.
//!
//! The server runs on a thread of its own, so that only the client's allocations are counted. The count is exact and the
//! same on every machine, unlike time.

use allocation_counter::measure;
use mesh_core::{ClusterConfig, Mesh};
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::net::Listener;
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

/// A backend on a thread of its own.
fn backend() -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = Listener::loopback().await.unwrap();
            sender.send(listener.local_address().unwrap()).unwrap();
            let _backend = Backend::http2("a", listener);
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

#[test]
fn a_warm_unary_call() {
    let address = backend();
    let runtime = runtime();
    let (mesh, mut client) = runtime.block_on(async {
        let cluster = ClusterConfig::new("echo").endpoint(&address).unwrap();
        let mesh = Mesh::builder().cluster(cluster).build().unwrap();
        let channel = Channel::new(&mesh, "static:///echo").unwrap();
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
