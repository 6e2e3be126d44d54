//! Clusters whose endpoints come from DNS, from other clusters, or from what callers mean.

use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use mesh_proto::pack_any;
use mesh_testkit::backend::NAME_HEADER;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{any, assignment, cluster, duration, route};
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::sleep;

/// A cluster of this type with an endpoint for each name.
fn by_name(name: &str, kind: proto::cluster::DiscoveryType, hosts: &[&str]) -> proto::Cluster {
    proto::Cluster {
        cluster_discovery_type: Some(proto::cluster::ClusterDiscoveryType::Type(kind as i32)),
        eds_cluster_config: None,
        load_assignment: Some(assignment(name, hosts)),
        ..cluster(name)
    }
}

fn aggregate(name: &str, parts: &[&str]) -> proto::Cluster {
    let config = ClusterConfig { clusters: parts.iter().map(|&part| part.to_owned()).collect() };
    let custom = proto::cluster::CustomClusterType {
        name: "envoy.clusters.aggregate".to_owned(),
        typed_config: Some(pack_any(config)),
    };
    proto::Cluster {
        cluster_discovery_type: Some(proto::cluster::ClusterDiscoveryType::ClusterType(custom)),
        eds_cluster_config: None,
        lb_policy: proto::cluster::LbPolicy::ClusterProvided as i32,
        ..cluster(name)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A channel, whose connections last as long as it is held.
fn channel(world: &World) -> Channel {
    Channel::new(&world.mesh().unwrap(), TARGET).unwrap()
}

/// Who answers a call, or why nobody does.
async fn who(channel: &Channel) -> Result<String, String> {
    match EchoClient::new(channel.clone()).unary(Message::new("x")).await {
        Ok(response) => Ok(response.metadata().get(NAME_HEADER).unwrap().to_str().unwrap().to_owned()),
        Err(status) => Err(status.message().to_owned()),
    }
}

/// Everybody who answers one of some calls.
async fn everybody(channel: &Channel) -> Vec<String> {
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        seen.insert(who(channel).await.unwrap());
        sleep(Duration::from_millis(20)).await;
    }
    seen.into_iter().collect()
}

#[tokio::test(start_paused = true)]
async fn each_address_of_a_name_is_an_endpoint_and_changes_are_followed() {
    let world = World::default();
    let backends = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(|address| world.backend(address));
    world.net.name("echo.example", &[ip("10.0.0.1"), ip("10.0.0.2")]);
    world.control.set([any(&by_name("dns", proto::cluster::DiscoveryType::StrictDns, &["echo.example:80"]))]);
    world.route("dns");
    let channel = channel(&world);
    assert_eq!(everybody(&channel).await, ["10.0.0.1:80", "10.0.0.2:80"]);
    world.net.name("echo.example", &[ip("10.0.0.2"), ip("10.0.0.3")]);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80", "10.0.0.3:80"]);
    assert_eq!(backends[1].connections(), 1, "who stays keeps the connection");
    world.net.name("echo.example", &[]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80", "10.0.0.3:80"], "a failure takes nothing away");
}

#[tokio::test(start_paused = true)]
async fn another_interval_between_lookups_takes_effect() {
    let world = World::default();
    let _backends = ["10.0.0.1:80", "10.0.0.2:80"].map(|address| world.backend(address));
    #[expect(deprecated, reason = "istiod sends this field")]
    let refreshed = |seconds| {
        let cluster = by_name("dns", proto::cluster::DiscoveryType::StrictDns, &["echo.example:80"]);
        let dns_refresh_rate = Some(duration(Duration::from_secs(seconds)));
        any(&proto::Cluster { dns_refresh_rate, ..cluster })
    };
    world.net.name("echo.example", &[ip("10.0.0.1")]);
    world.control.set([refreshed(300)]);
    world.route("dns");
    let channel = channel(&world);
    assert_eq!(everybody(&channel).await, ["10.0.0.1:80"]);
    world.net.name("echo.example", &[ip("10.0.0.2")]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.1:80"]);
    world.control.set([refreshed(2)]);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80"], "it has become shorter");
    world.control.set([refreshed(300)]);
    sleep(Duration::from_secs(3)).await;
    world.net.name("echo.example", &[ip("10.0.0.1")]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80"], "it has become longer");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_looked_up_is_named() {
    let world = World::default();
    world.control.set([any(&by_name(
        "dns",
        proto::cluster::DiscoveryType::StrictDns,
        &["nowhere.example:80"],
    ))]);
    world.route("dns");
    let channel = channel(&world);
    let why = who(&channel).await.unwrap_err();
    assert!(why.contains("host nowhere.example cannot be looked up"), "{why}");
    let _backend = world.backend("10.0.0.1:80");
    world.net.name("nowhere.example", &[ip("10.0.0.1")]);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80", "it is tried again");
}

#[tokio::test(start_paused = true)]
async fn a_logical_name_is_looked_up_with_each_connection() {
    let world = World::default();
    let _backend = world.backend("echo.example:80");
    world.control.set([any(&by_name(
        "dns",
        proto::cluster::DiscoveryType::LogicalDns,
        &["echo.example:80"],
    ))]);
    world.route("dns");
    assert_eq!(who(&channel(&world)).await.unwrap(), "echo.example:80");
}

#[tokio::test(start_paused = true)]
async fn the_clusters_of_a_cluster_are_used_in_order() {
    let world = World::default();
    let first = world.backend("10.0.0.1:80");
    let _second = world.backend("10.0.0.2:80");
    world.control.set([any(&aggregate("all", &["near", "far"]))]);
    world.cluster("near", &["10.0.0.1:80"]);
    world.cluster("far", &["10.0.0.2:80"]);
    world.route("all");
    let channel = channel(&world);
    assert_eq!(everybody(&channel).await, ["10.0.0.1:80"]);
    world.net.refuse("10.0.0.1:80");
    first.kill();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80"], "the next one takes over");
    let _first = world.backend("10.0.0.1:80");
    sleep(Duration::from_secs(40)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.1:80"], "and hands back");
    world.remove_cluster("near");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80"], "what is gone is passed over");
    world.control.set([any(&aggregate("all", &["far", "third"]))]);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80"], "what never comes is passed over");
    let subscribed = world.control.requests();
    let clusters = subscribed.iter().rfind(|request| request.type_url.ends_with("v3.Cluster")).unwrap();
    assert_eq!(clusters.resource_names, ["all", "far", "third"], "the first is let go");
}

/// There are 8^12 ways from the first to the endpoints.
#[tokio::test(start_paused = true)]
async fn clusters_that_share_all_they_are_made_of_cost_no_more_than_there_are() {
    const LAYERS: usize = 13;
    let name = |layer: usize, place: usize| format!("layer-{layer}-{place}");
    let world = World::default();
    let (_first, _second) = (world.backend("10.0.0.1:80"), world.backend("10.0.0.2:80"));
    for layer in 0..LAYERS {
        let below: Vec<String> = (0..8).map(|place| name(layer + 1, place)).collect();
        // The first stands there twice.
        let below: Vec<&str> = below.iter().chain(&below[..1]).map(String::as_str).collect();
        world.control.set((0..8).map(|place| any(&aggregate(&name(layer, place), &below))));
    }
    (0..8).for_each(|place| world.cluster(&name(LAYERS, place), &[]));
    world.cluster(&name(LAYERS, 5), &["10.0.0.1:80"]);
    world.route(&name(0, 0));
    let channel = channel(&world);
    assert_eq!(everybody(&channel).await, ["10.0.0.1:80"]);
    world.cluster(&name(LAYERS, 5), &["10.0.0.2:80"]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80"]);
    world.control.set([any(&aggregate(&name(LAYERS, 5), &["deeper", "deepest"]))]);
    world.control.set([any(&aggregate("deeper", &["deepest"])), any(&aggregate("deepest", &["last"]))]);
    world.cluster("last", &["10.0.0.1:80"]);
    sleep(Duration::from_secs(1)).await;
    let why = who(&channel).await.unwrap_err();
    assert!(why.contains("made of clusters too deeply"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn two_clusters_that_each_want_the_other_work_once_one_does_no_more() {
    let world = World::default();
    let _backend = world.backend("10.0.0.1:80");
    world.control.set([any(&aggregate("a", &["b"])), any(&aggregate("b", &["a"]))]);
    world.cluster("good", &["10.0.0.1:80"]);
    world.routes(vec![route("/mesh.testkit.Echo/ClientStreaming", &[("a", 1)]), route("/", &[("b", 1)])]);
    let channel = channel(&world);
    who(&channel).await.unwrap_err();
    world.control.set([any(&aggregate("a", &["good"]))]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_leads_back_to_itself_fails_its_calls_and_no_others() {
    let world = World::default();
    let _backend = world.backend("10.0.0.1:80");
    world.control.set([any(&aggregate("a", &["b"])), any(&aggregate("b", &["a"]))]);
    world.cluster("good", &["10.0.0.1:80"]);
    world.routes(vec![route("/mesh.testkit.Echo/ClientStreaming", &[("a", 1)]), route("/", &[("good", 1)])]);
    let channel = channel(&world);
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
    world.routes(vec![route("/", &[("a", 1)])]);
    sleep(Duration::from_secs(1)).await;
    let why = who(&channel).await.unwrap_err();
    assert!(why.contains("lead back to itself"), "{why}");
    world.routes(vec![route("/", &[("good", 1)])]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_fails_that_can_be_reached_by_envoy_only() {
    use mesh_proto::envoy::config::core::v3 as core;
    let socket = |message: &str| core::TransportSocket {
        name: "s".to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(
            mesh_proto::google::protobuf::Any {
                type_url: format!("type.googleapis.com/{message}"),
                ..Default::default()
            },
        )),
    };
    // As istiod marks the endpoints of ambient workloads, beside one of another kind.
    let label = |key: &str| {
        let text = mesh_proto::google::protobuf::value::Kind::StringValue("yes".to_owned());
        let value = mesh_proto::google::protobuf::Value { kind: Some(text) };
        mesh_proto::google::protobuf::Struct { fields: [(key.to_owned(), value)].into() }
    };
    let world = World::default();
    let _plain = world.backend("10.0.0.1:80");
    let mut endpoints = assignment("c", &["10.0.0.1:80", "10.0.0.2:80"]);
    endpoints.endpoints[0].lb_endpoints[1].metadata = Some(core::Metadata {
        filter_metadata: [("envoy.transport_socket_match".to_owned(), label("tunnel"))].into(),
        ..Default::default()
    });
    let hbone = proto::cluster::TransportSocketMatch {
        name: "hbone".to_owned(),
        r#match: Some(label("tunnel")),
        transport_socket: Some(socket(
            "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport",
        )),
    };
    let ambient = proto::Cluster { transport_socket_matches: vec![hbone], ..cluster("c") };
    world.control.set([any(&ambient), any(&endpoints)]);
    world.route("c");
    assert_eq!(everybody(&channel(&world)).await, ["10.0.0.1:80"]);

    let message = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
    world.control.set([any(&proto::Cluster { transport_socket: Some(socket(message)), ..cluster("c") })]);
    sleep(Duration::from_secs(1)).await;
    let why = who(&channel(&world)).await.unwrap_err();
    assert!(why.contains(message), "{why}");
    assert_eq!(world.control.nacks(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_passed_through_for_a_target_that_does_not_allow_it() {
    let world = World::default();
    let original = proto::Cluster {
        lb_policy: proto::cluster::LbPolicy::ClusterProvided as i32,
        load_assignment: None,
        ..by_name("PassthroughCluster", proto::cluster::DiscoveryType::OriginalDst, &[])
    };
    world.control.set([any(&original)]);
    world.route("PassthroughCluster");
    let why = who(&channel(&world)).await.unwrap_err();
    assert!(why.contains("knows no endpoints of echo:80"), "{why}");
}
