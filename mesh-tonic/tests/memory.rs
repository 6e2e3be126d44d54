//! What a control plane says takes no more room than what is needed of it, however long it goes on.
//!
//! Everything runs on one thread, so that what is held is counted exactly.

use allocation_counter::measure;
use bytes::Bytes;
use mesh_core::Mesh;
use mesh_proto::ads::{Any, DiscoveryRequest};
use mesh_proto::envoy::config::core::v3::ControlPlane;
use mesh_proto::envoy::service::discovery::v3::{DiscoveryResponse, ResourceError, ResourceName};
use mesh_proto::google::protobuf;
use mesh_proto::google::rpc::Status;
use mesh_testkit::ads::Script;
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{any, listener};
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use prost::Message as _;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Bytes by which tables may have grown.
const LIMIT: i64 = 10_000;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// How many bytes more are held after `rounds` than before, once it has gone on for a while.
fn growth(runtime: &Runtime, rounds: usize, mut round: impl AsyncFnMut(usize)) -> i64 {
    let mut run = |range: std::ops::Range<usize>| {
        measure(|| {
            runtime.block_on(async {
                for number in range {
                    round(number).await;
                }
                // What is dropped is remembered for a moment.
                sleep(Duration::from_secs(60)).await;
            });
        })
    };
    run(0..rounds);
    run(rounds..2 * rounds).bytes_current
}

fn envoy(any: Any) -> protobuf::Any {
    protobuf::Any { type_url: any.type_url, value: any.value.to_vec() }
}

/// A response that is different each time, and of no use.
type Babble = fn(&str, usize) -> DiscoveryResponse;

/// What a control plane may go on about.
const BABBLE: &[(&str, Babble)] = &[
    ("resources that nobody asked for", |_, number| {
        let resources = (0..50).map(|index| envoy(any(&listener(&format!("{number}/{index}"), "r"))));
        DiscoveryResponse { resources: resources.collect(), ..Default::default() }
    }),
    ("versions that are refused", |_, number| {
        let mut bad = listener("echo:80", "");
        bad.stat_prefix = format!("{number:10000}");
        DiscoveryResponse { resources: vec![envoy(any(&bad))], ..Default::default() }
    }),
    ("resources of a wrong type", |_, number| {
        let type_url = format!("type.googleapis.com/x.{number}");
        let wrong = protobuf::Any { type_url, ..envoy(any(&listener("echo:80", "r"))) };
        DiscoveryResponse { resources: vec![wrong], ..Default::default() }
    }),
    ("types that nobody asked for", |_, number| DiscoveryResponse {
        type_url: format!("type.googleapis.com/x.{number}"),
        ..Default::default()
    }),
    ("versions and nonces", |_, number| DiscoveryResponse {
        version_info: format!("{number:1000}"),
        nonce: format!("{number:1000}"),
        ..Default::default()
    }),
    ("its own name", |_, number| DiscoveryResponse {
        control_plane: Some(ControlPlane { identifier: format!("{number:1000}") }),
        ..Default::default()
    }),
    ("errors of resources that nobody asked for", |_, number| {
        let error = |name: String| ResourceError {
            resource_name: Some(ResourceName { name, ..Default::default() }),
            error_detail: Some(Status { code: 7, message: format!("{number:1000}"), details: vec![] }),
        };
        let resource_errors = vec![error(format!("{number}")), error("echo:80".to_owned())];
        DiscoveryResponse { resource_errors, ..Default::default() }
    }),
    ("the same", |_, _| DiscoveryResponse { nonce: "n".to_owned(), ..Default::default() }),
];

#[test]
fn what_is_of_no_use_is_not_kept() {
    let runtime = runtime();
    let (script, mut streams) = Script::new();
    let (mesh, mut stream, channel) = runtime.block_on(async {
        let mesh = Mesh::builder().control_plane(script).seed(1).build().unwrap();
        let channel = Channel::new(&mesh, TARGET).unwrap();
        (mesh, streams.recv().await.unwrap(), channel)
    });
    let asked = runtime.block_on(stream.requests.recv()).unwrap();
    let url = DiscoveryRequest::decode(asked).unwrap().type_url;
    assert!(url.ends_with("Listener"), "{url}");
    for (what, babble) in BABBLE {
        let grown = growth(&runtime, 300, async |number| {
            let mut response = babble(&url, number);
            if response.type_url.is_empty() {
                response.type_url.clone_from(&url);
            }
            stream.responses.send(Bytes::from(response.encode_to_vec())).await.unwrap();
            sleep(MS(10)).await;
            while stream.requests.try_recv().is_ok() {}
        });
        assert!(grown < LIMIT, "{what}: {grown} bytes more are held after 300 messages");
    }
    let report = runtime.block_on(mesh.report()).unwrap();
    assert_eq!(report.resources.len(), 1, "there is but one thing that is needed");
    drop(channel);
}

#[test]
fn clusters_that_come_and_go_leave_nothing_behind() {
    let runtime = runtime();
    let (world, mesh, mut client, backend) = runtime.block_on(async {
        let world = World::default();
        let backend = Backend::http2("a", world.net.listen_elsewhere());
        let mesh = world.mesh().unwrap();
        let client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
        (world, mesh, client, backend)
    });
    let mut before = "none".to_owned();
    let grown = growth(&runtime, 200, async |number| {
        let (name, address) = (format!("cluster-{number}"), format!("10.0.0.{}:80", number % 10));
        world.cluster(&name, &[&address]);
        world.route(&name);
        client.unary(Message::new("x")).await.unwrap();
        // It is gone a moment later, with its connections.
        sleep(MS(200)).await;
        world.remove_cluster(&before);
        before = name;
        client.unary(Message::new("x")).await.unwrap();
        world.control.forget_requests();
        backend.forget_seen();
    });
    // What is gone is swept from tables now and then: dozens of clusters may be there, but not all of them.
    assert!(grown < 10 * LIMIT, "{grown} bytes more are held after 200 clusters");
    runtime.block_on(async { sleep(MS(200)).await });
    assert_eq!((backend.open_connections(), mesh.published().load().clusters().count()), (1, 1));
}

#[test]
fn targets_that_come_and_go_leave_nothing_behind() {
    let runtime = runtime();
    let world = World::default();
    let mesh = runtime.block_on(async { world.mesh().unwrap() });
    let grown = growth(&runtime, 300, async |number| {
        let target = Channel::new(&mesh, &format!("xds:///other-{number}:80")).unwrap();
        sleep(MS(5)).await;
        drop(target);
        world.control.forget_requests();
    });
    assert!(grown < LIMIT, "{grown} bytes more are held after 300 targets");
    assert_eq!(runtime.block_on(mesh.report()).unwrap().resources.len(), 0);
}
