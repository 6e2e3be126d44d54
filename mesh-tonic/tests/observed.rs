//! What can be seen of a mesh from outside: the client status discovery service and the metrics.

use mesh_core::bootstrap::Bootstrap;
use mesh_core::endpoint::Protocol;
use mesh_core::snapshot::report::Report;
use mesh_core::telemetry::metrics::{self, Metric, Sample, prometheus};
use mesh_core::{ClusterConfig, Mesh};
use mesh_proto::envoy::admin::v3::ClientResourceStatus as Status;
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource, ResourceError, ResourceName,
};
use mesh_proto::envoy::service::status::v3::client_config::GenericXdsConfig;
use mesh_proto::envoy::service::status::v3::client_status_discovery_service_client::ClientStatusDiscoveryServiceClient;
use mesh_proto::envoy::service::status::v3::{ClientConfig, ClientStatusRequest};
use mesh_proto::envoy::r#type::matcher::v3::NodeMatcher;
use mesh_proto::google::rpc;
use mesh_testkit::ads::{Resources, Server};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{any, assignment, cluster, listener, route, routes};
use mesh_testkit::world::{CONTROL_PLANE as FIRST, TARGET, World};
use mesh_tonic::{Channel, Csds};
use prost::Message as _;
use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::server::TcpIncoming;

const SECOND: &str = "10.255.0.2:15010";
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

/// A mesh of control planes, each with these server features; `more` goes into the bootstrap.
fn mesh_of(world: &World, servers: &[&str], features: &str, more: &str) -> Mesh {
    let server = |uri: &&str| {
        format!(
            r#"{{"server_uri": "{uri}", "channel_creds": [{{"type": "insecure"}}], "server_features": [{features}]}}"#
        )
    };
    let servers: Vec<_> = servers.iter().map(server).collect();
    let json = format!(r#"{{"node": {{"id": "n"}}, "xds_servers": [{}]{more}}}"#, servers.join(","));
    let bootstrap = Bootstrap::from_json(&json).unwrap();
    Mesh::builder().bootstrap(bootstrap).dialer(world.net.dialer()).seed(1).build().unwrap()
}

async fn call(channel: &Channel) {
    EchoClient::new(channel.clone()).unary(Message::new("x")).await.unwrap();
}

/// Whoever reads the metrics cannot bear the same one twice.
async fn unique_samples(mesh: &Mesh) -> Vec<Sample> {
    let samples = mesh.metrics().await.unwrap();
    let keys: BTreeSet<_> = samples.iter().map(|sample| (sample.metric.name, &sample.labels)).collect();
    assert_eq!(keys.len(), samples.len(), "{samples:?}");
    samples
}

#[tokio::test(start_paused = true)]
async fn each_control_plane_is_measured_and_no_counter_falls() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    world.net.refuse(FIRST);
    let second = world.control.serve_on(world.net.listen(SECOND));
    let mesh = mesh_of(&world, &[FIRST, SECOND], "", "");
    let channel = Channel::new(&mesh, TARGET).unwrap();
    call(&channel).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let samples = unique_samples(&mesh).await;
    let connected = |samples: &[Sample], server| value(samples, &metrics::CONNECTED, &[server]);
    let failures = |samples: &[Sample], server| value(samples, &metrics::SERVER_FAILURE, &[server]);
    let valid = |samples: &[Sample], server| value(samples, &metrics::UPDATES_VALID, &[server, CLUSTER]);
    assert_eq!((connected(&samples, FIRST), connected(&samples, SECOND)), (0.0, 1.0));
    assert_eq!((failures(&samples, FIRST), failures(&samples, SECOND)), (1.0, 0.0), "once, not per attempt");
    let from_second = valid(&samples, SECOND);
    assert!(from_second >= 1.0 && valid(&samples, FIRST) == 0.0);

    // The first one accepts and says nothing: that is no better.
    let silent = Server::start(world.net.listen(FIRST), |stream| {
        tokio::spawn(async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        })
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(connected(&unique_samples(&mesh).await, FIRST), 0.0);
    drop(silent);

    let first = world.control.serve_on(world.net.listen(FIRST));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let samples = unique_samples(&mesh).await;
    assert_eq!((connected(&samples, FIRST), failures(&samples, FIRST)), (1.0, 1.0));
    assert!(!samples.iter().any(|it| *it.metric == metrics::CONNECTED && &*it.labels[0] == SECOND), "let go");
    assert_eq!((valid(&samples, SECOND), failures(&samples, SECOND)), (from_second, 0.0));
    assert!(valid(&samples, FIRST) >= 1.0);

    // And back to the second one, with everything there is to know.
    let from_first = valid(&samples, FIRST);
    drop(first);
    world.net.refuse(FIRST);
    let _other = Channel::new(&mesh, "xds:///new:80").unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let samples = unique_samples(&mesh).await;
    assert_eq!((connected(&samples, FIRST), failures(&samples, FIRST)), (0.0, 2.0));
    assert!(valid(&samples, FIRST) == from_first && valid(&samples, SECOND) > from_second);
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_now_and_then_counts_as_connected() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mut server = world.control.serve_on(world.net.listen(FIRST));
    let mesh = mesh_of(&world, &[FIRST], "", "");
    let channel = Channel::new(&mesh, TARGET).unwrap();
    call(&channel).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(server);
        server = world.control.serve_on(world.net.listen(FIRST));
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(7)).await;
            let samples = unique_samples(&mesh).await;
            assert_eq!(value(&samples, &metrics::CONNECTED, &[FIRST]), 1.0);
            assert_eq!(value(&samples, &metrics::SERVER_FAILURE, &[FIRST]), 0.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_metric_has_two_values_for_the_same_labels() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let _http1 = mesh_testkit::backend::Backend::http1("10.0.0.2:80", world.net.listen("10.0.0.2:80"));
    let _first = world.control.serve_on(world.net.listen(FIRST));
    // The authority has the first server alone, so that there are two streams to it.
    let server = format!(r#"[{{"server_uri": "{FIRST}", "channel_creds": [{{"type": "insecure"}}]}}]"#);
    let more = format!(r#", "authorities": {{"a": {{"xds_servers": {server}}}}}"#);
    let mesh = mesh_of(&world, &[FIRST, SECOND], "", &more);
    let channel = Channel::new(&mesh, TARGET).unwrap();
    call(&channel).await;
    let _http1 = mesh.target(TARGET, Protocol::Http1).unwrap();
    let _of_authority = Channel::new(&mesh, "xds://a/svc").unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let clusters = mesh.published().load();
    assert_eq!(
        clusters.clusters().filter(|view| &*view.cluster.name == "echo").count(),
        2,
        "one per protocol"
    );
    assert_eq!(mesh.report().await.unwrap().authorities.len(), 1);
    let samples = unique_samples(&mesh).await;
    assert_eq!(value(&samples, &metrics::CONNECTED, &[FIRST]), 1.0);
    assert_eq!(value(&samples, &metrics::CLUSTER_RETRIES, &["echo"]), 0.0);
    assert_eq!(value(&samples, &metrics::ENDPOINT_REQUESTS, &["10.0.0.1:80"]), 1.0);
}

/// A control plane of the incremental protocol that sends the Listener `kept` and then an error for it, an error for `denied`,
/// and nothing for anything else.
fn troublesome(world: &World) -> Server {
    Server::start(world.net.listen(FIRST), |mut stream| {
        tokio::spawn(async move {
            while let Some(Ok(request)) = stream.requests.recv().await.map(DeltaDiscoveryRequest::decode) {
                let asked = |name: &str| request.resource_names_subscribe.iter().any(|it| it == name);
                let error = |name: &str| ResourceError {
                    resource_name: Some(ResourceName { name: name.to_owned(), ..Default::default() }),
                    error_detail: Some(rpc::Status {
                        code: 7,
                        message: "not for you".to_owned(),
                        ..Default::default()
                    }),
                };
                let response = |version: &str| DeltaDiscoveryResponse {
                    system_version_info: version.to_owned(),
                    type_url: request.type_url.clone(),
                    nonce: version.to_owned(),
                    ..Default::default()
                };
                let mut answers = Vec::new();
                if asked("kept:80") {
                    let kept = listener("kept:80", "r");
                    let resource = envoy_any(&any(&kept));
                    let resources = vec![Resource {
                        name: kept.name,
                        version: "1".to_owned(),
                        resource: Some(resource),
                        ..Default::default()
                    }];
                    answers.push(DeltaDiscoveryResponse { resources, ..response("1") });
                    answers.push(DeltaDiscoveryResponse {
                        resource_errors: vec![error("kept:80")],
                        ..response("2")
                    });
                }
                if asked("denied:80") {
                    answers.push(DeltaDiscoveryResponse {
                        resource_errors: vec![error("denied:80")],
                        ..response("3")
                    });
                }
                for answer in answers {
                    if stream.responses.send(answer.encode_to_vec().into()).await.is_err() {
                        return;
                    }
                }
            }
        })
    })
}

fn envoy_any(any: &mesh_proto::ads::Any) -> mesh_proto::google::protobuf::Any {
    mesh_proto::google::protobuf::Any { type_url: any.type_url.clone(), value: any.value.to_vec() }
}

fn report_of<'a>(report: &'a Report, name: &str) -> &'a mesh_core::snapshot::report::ResourceReport {
    report.resources.iter().find(|it| &*it.name == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_had_is_told_apart() {
    let world = World::default();
    let _server = troublesome(&world);
    let mesh = mesh_of(&world, &[FIRST], r#""mesh.delta", "resource_timer_is_transient_error""#, "");
    let names = ["kept:80", "denied:80", "silent:80"];
    let _channels = names.map(|name| Channel::new(&mesh, &format!("xds:///{name}")).unwrap());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let config = ask(&mesh, ClientStatusRequest::default()).await.unwrap();
    assert_eq!(find(&config, "Listener", "silent:80").client_status(), Status::Requested);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let config = ask(&mesh, ClientStatusRequest::default()).await.unwrap();
    assert_eq!(find(&config, "Listener", "silent:80").client_status(), Status::Timeout);
    for (name, there) in [("kept:80", true), ("denied:80", false)] {
        let found = find(&config, "Listener", name);
        assert_eq!((found.client_status(), found.xds_config.is_some()), (Status::ReceivedError, there));
        let error = found.error_state.as_ref().unwrap();
        assert!(error.details.contains("not for you") && error.last_update_attempt.is_some(), "{error:?}");
        let dump = mesh_core::dump::Dump::new(&mesh.report().await.unwrap()).to_string();
        assert!(dump.contains("the control plane reports: gRPC status 7: not for you"), "{dump}");
    }
    let samples = unique_samples(&mesh).await;
    for state in ["received_error_but_cached", "received_error", "timeout"] {
        assert_eq!(value(&samples, &metrics::RESOURCES, &["#old", state, LISTENER]), 1.0, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_although_it_was_deleted_is_told_apart() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let _server = world.control.serve_on(world.net.listen(FIRST));
    let mesh = mesh_of(&world, &[FIRST], r#""ignore_resource_deletion""#, "");
    let channel = Channel::new(&mesh, TARGET).unwrap();
    call(&channel).await;
    world.remove_cluster("echo");
    tokio::time::sleep(Duration::from_secs(20)).await;
    call(&channel).await;
    let samples = unique_samples(&mesh).await;
    assert_eq!(value(&samples, &metrics::RESOURCES, &["#old", "does_not_exist_but_cached", CLUSTER]), 1.0);
    let report = mesh.report().await.unwrap();
    let cluster = report.resources.iter().find(|it| it.kind.as_str() == "Cluster").unwrap();
    assert!(cluster.error.as_ref().unwrap().contains("ignore_resource_deletion"), "{cluster:?}");
    assert!(report_of(&report, "echo:80").error.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_another_control_plane_confirms_keeps_its_date_and_gets_its_version() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let first = world.control.serve_on(world.net.listen(FIRST));
    let second = Resources::new();
    second.set([
        any(&listener("echo:80", "echo-routes")),
        any(&routes("echo-routes", "echo:80", vec![route("/", &[("echo", 1)])])),
        any(&cluster("echo")),
        any(&assignment("echo", &["10.0.0.1:80"])),
    ]);
    let _second = second.serve_on(world.net.listen(SECOND));
    let mesh = mesh_of(&world, &[FIRST, SECOND], "", "");
    let channel = Channel::new(&mesh, TARGET).unwrap();
    call(&channel).await;
    drop(first);
    world.net.refuse(FIRST);
    tokio::time::sleep(Duration::from_secs(100)).await;
    let _other = Channel::new(&mesh, "xds:///other:80").unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(second.streams(), 1, "it took over");
    let asked = mesh.clock().wall();
    let config = ask(&mesh, ClientStatusRequest::default()).await.unwrap();
    let answered = mesh.clock().wall();
    for (kind, name) in [("Listener", "echo:80"), ("Cluster", "echo"), ("ClusterLoadAssignment", "echo")] {
        let found = find(&config, kind, name);
        assert_eq!(found.client_status(), Status::Acked);
        assert_eq!(found.version_info, "v1", "as the second one calls it");
        // It came 120 seconds of virtual time ago, and its date is counted back from the wall clock of the answer.
        let came = UNIX_EPOCH + Duration::from_secs(found.last_updated.unwrap().seconds as u64);
        let (least, most) = (asked.duration_since(came).unwrap(), answered.duration_since(came).unwrap());
        let age = Duration::from_secs(120);
        assert!(
            least < age + Duration::from_secs(2) && most >= age,
            "{kind}: it came {least:?} to {most:?} ago"
        );
    }
}

#[tokio::test]
async fn the_status_service_answers_over_a_socket() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    call(&channel).await;
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let service = Csds::new(&mesh).into_service();
    let server = tonic::transport::Server::builder();
    let server = tokio::spawn(server.serve_with_incoming(service, TcpIncoming::from(socket)));

    let tool =
        Mesh::builder().cluster(ClusterConfig::new("csds").endpoint(&address).unwrap()).build().unwrap();
    let mut client = ClientStatusDiscoveryServiceClient::new(Channel::new(&tool, "static:///csds").unwrap());
    let answer = client.fetch_client_status(ClientStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!(find(&answer.config[0], "Cluster", "echo").client_status(), Status::Acked);
    let requests = tokio_stream::iter([ClientStatusRequest::default(), ClientStatusRequest::default()]);
    let mut answers = client.stream_client_status(requests).await.unwrap().into_inner();
    for _ in 0..2 {
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!(find(&answer.config[0], "Listener", "echo:80").client_status(), Status::Acked);
    }
    let other = ClientStatusRequest { node_matchers: vec![NodeMatcher::default()], ..Default::default() };
    assert_eq!(client.fetch_client_status(other).await.unwrap_err().code(), Code::InvalidArgument);
    server.abort();
}
