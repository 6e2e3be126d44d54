//! Taking configuration in: one endpoint of ten thousand that changes, and a thousand clusters at once.
//!
//! The control plane is in the process and on the same thread, so its work counts too, but for decoding.

use criterion::{Criterion, criterion_group, criterion_main};
use mesh_benches::address;
use mesh_core::cluster::ClusterState;
use mesh_core::endpoint::Protocol;
use mesh_core::resource::{Kind, Resource};
use mesh_core::xds::kind::ResourceKind;
use mesh_core::{Mesh, snapshot};
use mesh_proto::ads::Any;
use mesh_testkit::ads::Resources;
use mesh_testkit::resources as r;
use std::hint::black_box;
use tokio::runtime::{Builder, Runtime};

const ENDPOINTS: usize = 10_000;
const CLUSTERS: usize = 1_000;

/// Ten thousand endpoints; the one in the middle differs from `turn` to `turn`.
fn assignment(turn: usize) -> Any {
    let number = |number| if number == ENDPOINTS / 2 { ENDPOINTS + turn % 2 } else { number };
    let addresses: Vec<_> = (0..ENDPOINTS).map(|endpoint| address(number(endpoint))).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    r::any(&r::assignment("many", &addresses))
}

fn decode(criterion: &mut Criterion) {
    let versions = [assignment(0).value, assignment(1).value];
    let decode = |turn: usize, previous: Option<&Resource>| {
        Kind::Endpoint.decode("many", &versions[turn % 2], previous).ok()
    };
    criterion
        .bench_function("decode/10,000 endpoints", |bencher| bencher.iter(|| black_box(decode(0, None))));
    let (mut turn, mut previous) = (0, decode(0, None));
    criterion.bench_function("decode/1 of 10,000 endpoints changed", |bencher| {
        bencher.iter(|| {
            turn += 1;
            previous = decode(turn, previous.as_ref());
        });
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

async fn until(mesh: &Mesh, done: impl Fn(&snapshot::Snapshot) -> bool) {
    loop {
        let changed = mesh.published().changed().notified();
        if done(&mesh.published().load()) {
            return;
        }
        changed.await;
    }
}

fn ready(snapshot: &snapshot::Snapshot) -> usize {
    snapshot.clusters().filter(|view| matches!(view.state, ClusterState::Ready { .. })).count()
}

fn one_endpoint(criterion: &mut Criterion) {
    let (runtime, resources) = (runtime(), Resources::new());
    let versions = [assignment(0), assignment(1)];
    resources.set([
        r::any(&r::listener("many", "many")),
        r::any(&r::routes("many", "many", vec![r::route("/", &[("many", 1)])])),
        r::any(&r::cluster("many")),
        versions[0].clone(),
    ]);
    let _entered = runtime.enter();
    let mesh = Mesh::builder().control_plane(resources.clone()).build().expect("a runtime is there");
    let _target = mesh.target("xds:///many", Protocol::Http2).expect("a target");
    runtime.block_on(until(&mesh, |snapshot| ready(snapshot) == 1));
    let mut turn = 0;
    criterion.bench_function("snapshot/1 of 10,000 endpoints changed", |bencher| {
        bencher.iter(|| {
            turn += 1;
            let number = mesh.published().load().number;
            resources.set([versions[turn % 2].clone()]);
            runtime.block_on(until(&mesh, |snapshot| snapshot.number > number));
        });
    });
}

fn many_clusters(criterion: &mut Criterion) {
    let (runtime, resources) = (runtime(), Resources::new());
    let name = |number: usize| format!("cluster-{number}");
    let clusters = (0..CLUSTERS).flat_map(|number| {
        let name = name(number);
        [r::any(&r::cluster(&name)), r::any(&r::assignment(&name, &[&address(number)]))]
    });
    resources.set(clusters.collect::<Vec<_>>());
    let routes = (0..CLUSTERS).map(|number| r::route(&format!("/{number}/"), &[(&name(number), 1)]));
    resources.set([r::any(&r::listener("all", "all")), r::any(&r::routes("all", "all", routes.collect()))]);
    let _entered = runtime.enter();
    criterion.bench_function("snapshot/1,000 clusters from nothing", |bencher| {
        bencher.iter(|| {
            let mesh = Mesh::builder().control_plane(resources.clone()).build().expect("a runtime is there");
            let _target = mesh.target("xds:///all", Protocol::Http2).expect("a target");
            runtime.block_on(until(&mesh, |snapshot| ready(snapshot) == CLUSTERS));
        });
    });
}

criterion_group!(benches, decode, one_endpoint, many_clusters);
criterion_main!(benches);
