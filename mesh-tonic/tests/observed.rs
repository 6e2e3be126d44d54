//! What can be seen of a mesh from outside: the client status discovery service and the metrics.

use mesh_core::Mesh;
use mesh_core::telemetry::metrics::{self, Metric, Sample, prometheus};
use mesh_proto::envoy::admin::v3::ClientResourceStatus as Status;
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::service::status::v3::client_config::GenericXdsConfig;
use mesh_proto::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use mesh_proto::envoy::service::status::v3::{ClientConfig, ClientStatusRequest};
use mesh_proto::envoy::r#type::matcher::v3::NodeMatcher;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{any, cluster};
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::{Channel, Csds};
use prost::Message as _;
use std::time::Duration;
use tonic::Code;

const LISTENER: &str = "envoy.config.listener.v3.Listener";
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";

async fn ask(mesh: &Mesh, request: ClientStatusRequest) -> Result<ClientConfig, tonic::Status> {
    let mut client = ClientStatusDiscoveryServiceClient::new(Csds::new(mesh).into_service());
    let mut response = client.fetch_client_status(request).await?.into_inner();
    assert_eq!(response.config.len(), 1);
    Ok(response.config.remove(0))
}

fn find<'a>(config: &'a ClientConfig, kind: &str, name: &str) -> &'a GenericXdsConfig {
    let mut found = config.generic_xds_configs.iter();
    found.find(|config| config.type_url.ends_with(kind) && config.name == name).unwrap()
}

fn value(samples: &[Sample], metric: &'static Metric, labels: &[&str]) -> f64 {
    let is = |sample: &&Sample| {
        sample.metric == metric && sample.labels.iter().map(|l| &**l).eq(labels.iter().copied())
    };
    samples.iter().find(is).unwrap_or_else(|| panic!("{} {labels:?}", metric.name)).value
}

/// A world in which one cluster is good, then refused, and another one is missing.
async fn troubled() -> (World, Mesh, Channel) {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    std::mem::drop(tokio::spawn(async move {
        let _backends = backends;
        std::future::pending::<()>().await;
    }));
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    EchoClient::new(channel.clone()).unary(Message::new("x")).await.unwrap();
    let broken = Cluster { lb_policy: 99, ..cluster("echo") };
    world.control.set([any(&broken)]);
    world.routes(vec![
        mesh_testkit::resources::route("/missing", &[("missing", 1)]),
        mesh_testkit::resources::route("/", &[("echo", 1)]),
    ]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    (world, mesh, channel)
}

#[tokio::test(start_paused = true)]
async fn every_resource_is_told_with_its_status() {
    let (_world, mesh, _channel) = troubled().await;
    let config = ask(&mesh, ClientStatusRequest::default()).await.unwrap();
    assert!(config.node.as_ref().is_some_and(|node| !node.user_agent_name.is_empty()));
    let listener = find(&config, "Listener", "echo:80");
    assert_eq!((listener.client_status(), listener.version_info.is_empty()), (Status::Acked, false));
    assert!(
        listener.last_updated.is_some() && listener.xds_config.is_some() && listener.error_state.is_none()
    );
    let refused = find(&config, "Cluster", "echo");
    assert_eq!(refused.client_status(), Status::Nacked);
    let kept = Cluster::decode(&refused.xds_config.as_ref().unwrap().value[..]).unwrap();
    assert_eq!(kept.lb_policy, cluster("echo").lb_policy, "what is in force is the version before");
    let why = refused.error_state.as_ref().unwrap();
    assert!(why.details.contains("lb_policy") && !why.version_info.is_empty(), "{why:?}");
    assert!(why.last_update_attempt.is_some() && why.failed_configuration.is_some());
    assert_eq!(find(&config, "Cluster", "missing").client_status(), Status::DoesNotExist);
}

#[tokio::test(start_paused = true)]
async fn contents_are_left_out_on_request_and_other_nodes_are_refused() {
    let (_world, mesh, _channel) = troubled().await;
    let request = ClientStatusRequest { exclude_resource_contents: true, ..Default::default() };
    let config = ask(&mesh, request).await.unwrap();
    assert!(config.generic_xds_configs.iter().all(|config| config.xds_config.is_none()));
    let request = ClientStatusRequest { node_matchers: vec![NodeMatcher::default()], ..Default::default() };
    assert_eq!(ask(&mesh, request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn each_request_of_a_stream_is_answered() {
    let (_world, mesh, _channel) = troubled().await;
    let mut client = ClientStatusDiscoveryServiceClient::new(Csds::new(&mesh).into_service());
    let requests = tokio_stream::iter([ClientStatusRequest::default(), ClientStatusRequest::default()]);
    let mut answers = client.stream_client_status(requests).await.unwrap().into_inner();
    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap();
        assert!(!answer.config[0].generic_xds_configs.is_empty());
    }
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_metrics_tell_what_happened() {
    let (world, mesh, _channel) = troubled().await;
    let samples = mesh.metrics().await.unwrap();
    let server = "in-process";
    assert_eq!(value(&samples, &metrics::CONNECTED, &[server]), 1.0);
    assert_eq!(value(&samples, &metrics::SERVER_FAILURE, &[server]), 0.0);
    assert!(value(&samples, &metrics::UPDATES_INVALID, &[server, CLUSTER]) >= 1.0);
    assert_eq!(value(&samples, &metrics::UPDATES_INVALID, &[server, LISTENER]), 0.0);
    assert!(value(&samples, &metrics::UPDATES_VALID, &[server, LISTENER]) >= 1.0);
    assert_eq!(value(&samples, &metrics::RESOURCES, &["#old", "nacked_but_cached", CLUSTER]), 1.0);
    assert_eq!(value(&samples, &metrics::RESOURCES, &["#old", "does_not_exist", CLUSTER]), 1.0);
    assert_eq!(value(&samples, &metrics::TARGETS, &["routed"]), 1.0);
    assert_eq!(value(&samples, &metrics::ENDPOINT_REQUESTS, &["10.0.0.1:80"]), 1.0);
    assert_eq!(value(&samples, &metrics::ENDPOINT_FAILURES, &["10.0.0.1:80"]), 0.0);
    assert_eq!(value(&samples, &metrics::ENDPOINT_PENDING, &["10.0.0.1:80"]), 0.0);
    assert_eq!(value(&samples, &metrics::ENDPOINT_CONNECTIONS, &["10.0.0.1:80"]), 1.0);
    assert_eq!(value(&samples, &metrics::CLUSTER_RETRIES, &["echo"]), 0.0);
    assert!(value(&samples, &metrics::TASKS, &[]) > 0.0 && value(&samples, &metrics::SNAPSHOT, &[]) > 0.0);
    assert!(prometheus(&samples).contains("grpc_xds_client_connected{grpc_xds_server=\"in-process\"} 1\n"));
    drop(world);
    mesh.close(Duration::ZERO).await;
    assert!(mesh.metrics().await.is_err(), "a closed mesh has nothing to tell");
}
