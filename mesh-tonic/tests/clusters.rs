//! Clusters whose endpoints come from DNS, from other clusters, or from what callers mean.

use mesh_core::clock::now;
use mesh_core::cluster::ClusterState;
use mesh_core::cluster::dns::MAX_CONCURRENT_LOOKUPS;
use mesh_core::net::{Address, Connect, ConnectFuture, Dialer, ResolveFuture};
use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use mesh_proto::pack_any;
use mesh_testkit::backend::{Backend, NAME_HEADER};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::load::Load;
use mesh_testkit::resources::{any, assignment, cluster, duration, route};
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// A network with a slow resolver, which counts.
#[derive(Clone)]
struct Slow {
    world: World,
    lookups: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Connect for Slow {
    fn connect(&self, address: &Address) -> ConnectFuture {
        self.world.net.connect(address)
    }

    fn resolve(&self, _: &str) -> ResolveFuture {
        let Self { lookups, most, .. } = self.clone();
        Box::pin(async move {
            most.fetch_max(lookups.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            lookups.fetch_sub(1, Ordering::SeqCst);
            Ok(vec![ip("10.0.0.1")])
        })
    }
}

/// Nor does each answer cost as much as all do.
#[tokio::test(start_paused = true)]
async fn many_names_are_looked_up_a_few_at_a_time() {
    const NAMES: usize = 3 * MAX_CONCURRENT_LOOKUPS;
    let world = World::default();
    let _backend = world.backend("10.0.0.1:80");
    let names: Vec<_> = (0..NAMES).map(|number| format!("c{number}")).collect();
    let kind = proto::cluster::DiscoveryType::StrictDns;
    world.control.set(names.iter().map(|name| any(&by_name(name, kind, &[&format!("{name}.example:80")]))));
    let weights: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    world.routes(vec![route("/", &weights)]);
    let slow = Slow { world: world.clone(), lookups: Arc::default(), most: Arc::default() };
    let mesh = world.builder().dialer(Dialer::custom(slow.clone())).build().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    who(&channel).await.unwrap();
    sleep(Duration::from_millis(3500)).await;
    assert_eq!(slow.most.load(Ordering::SeqCst), MAX_CONCURRENT_LOOKUPS);
    let snapshot = mesh.published().load();
    assert_eq!(snapshot.clusters().count(), NAMES);
    assert!(snapshot.clusters().all(|view| matches!(view.state, ClusterState::Ready { .. })));
    let snapshots = snapshot.number;
    assert!(snapshots < 20, "{snapshots}");
    for _ in 0..100 {
        who(&channel).await.unwrap();
    }
    assert_eq!(slow.most.load(Ordering::SeqCst), MAX_CONCURRENT_LOOKUPS);
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
    assert_eq!(subscribed(&world), ["all", "far", "third"], "the first is let go");
}

/// The clusters that the control plane was asked for last.
fn subscribed(world: &World) -> Vec<String> {
    let requests = world.control.requests();
    requests.iter().rfind(|request| request.type_url.ends_with("v3.Cluster")).unwrap().resource_names.clone()
}

/// A world in which the service is the aggregate `all`, made of the aggregate `inner`, made of the cluster `old`; of the clusters
/// `new` and `newer` it is not known yet where they are.
fn world_of_parts() -> World {
    let world = World::default();
    world.control.set([any(&aggregate("all", &["inner"])), any(&aggregate("inner", &["old"]))]);
    world.cluster("old", &["10.0.0.1:80"]);
    world.control.set([any(&cluster("new")), any(&cluster("newer"))]);
    world.route("all");
    world
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_clusters_stays_what_it_was_until_all_of_its_new_parts_are_here() {
    for changed in [
        aggregate("all", &["new"]),
        aggregate("all", &["old", "new"]),
        aggregate("inner", &["new"]),
        aggregate("old", &["new"]),
        aggregate("old", &["newer", "new"]),
        // One that is made of none any more, and whose own endpoints are not known yet.
        cluster("inner"),
        cluster("all"),
    ] {
        let world = world_of_parts();
        let backends = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(|address| world.backend(address));
        let channel = channel(&world);
        assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
        let load = Load::echo(&channel, Duration::from_millis(5));
        world.control.set([any(&changed)]);
        sleep(Duration::from_secs(1)).await;
        let name = format!("{} {:?}", changed.name, changed.cluster_discovery_type);
        assert_eq!(everybody(&channel).await, ["10.0.0.1:80"], "{name}");
        assert!(subscribed(&world).contains(&"old".to_owned()), "{name}");
        if changed.name != "old" {
            // What is still in use is still followed.
            world.cluster("old", &["10.0.0.2:80"]);
            sleep(Duration::from_millis(100)).await;
            assert_eq!(everybody(&channel).await, ["10.0.0.2:80"], "{name}");
        }
        for name in ["new", "newer", &changed.name] {
            world.control.set([any(&assignment(name, &["10.0.0.3:80"]))]);
        }
        sleep(Duration::from_millis(100)).await;
        world.control.set([any(&aggregate("all", &["new"]))]);
        sleep(Duration::from_secs(3)).await;
        assert_eq!(everybody(&channel).await, ["10.0.0.3:80"], "{name}");
        assert_eq!(subscribed(&world), ["all", "new"], "{name}");
        assert_eq!(load.finish().await.failures, [""; 0], "{name}");
        let connections = backends.iter().map(Backend::open_connections);
        assert_eq!(connections.collect::<Vec<_>>(), [0, 0, 1], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn new_parts_that_do_not_exist_are_named_and_keep_the_old_ones_no_longer() {
    let refused = proto::Cluster { lrs_server: Some(Default::default()), ..cluster("refused") };
    for (parts, wrong) in [
        (&["missing"][..], "cluster missing: Cluster missing does not exist"),
        (&["refused"], "cluster refused: Cluster refused was refused: lrs_server"),
        // No endpoints ever come.
        (&["new"], "cluster new: ClusterLoadAssignment new does not exist"),
        (&["missing", "away"], "cluster missing: Cluster missing does not exist"),
    ] {
        let world = world_of_parts();
        let backend = world.backend("10.0.0.1:80");
        world.net.refuse("10.0.0.9:80");
        world.cluster("away", &["10.0.0.9:80"]);
        world.control.set([any(&refused)]);
        let channel = channel(&world);
        assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
        world.control.set([any(&aggregate("inner", parts))]);
        sleep(Duration::from_secs(20)).await;
        let why = who(&channel).await.unwrap_err();
        assert!(why.contains(wrong), "{why}");
        assert_eq!(backend.open_connections(), 0, "{wrong}");
        world.control.set([any(&aggregate("inner", &["old"]))]);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80", "{wrong}");
    }
}

/// `all` keeps its old part, which by now is made of it.
#[tokio::test(start_paused = true)]
async fn a_part_that_becomes_the_whole_of_what_still_uses_it_is_not_waited_for_in_a_circle() {
    let world = world_of_parts();
    let _backends = ["10.0.0.1:80", "10.0.0.2:80"].map(|address| world.backend(address));
    let channel = channel(&world);
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
    world.control.set([any(&cluster("all")), any(&aggregate("old", &["all"]))]);
    world.routes(vec![route("/mesh.testkit.Echo/ClientStreaming", &[("old", 1)]), route("/", &[("all", 1)])]);
    let call = tokio::spawn({
        let channel = channel.clone();
        async move {
            sleep(Duration::from_secs(1)).await;
            who(&channel).await
        }
    });
    sleep(Duration::from_secs(2)).await;
    world.control.set([any(&assignment("all", &["10.0.0.2:80"]))]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(everybody(&channel).await, ["10.0.0.2:80"]);
    call.await.unwrap().unwrap();
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

/// Istio's `resolution: DYNAMIC_DNS`.
#[tokio::test(start_paused = true)]
async fn a_dynamic_forward_proxy_leads_where_the_name_of_its_caller_leads() {
    use mesh_proto::envoy::extensions::clusters::dynamic_forward_proxy::v3 as dynamic;
    let world = World::default();
    let (_first, _second) = (world.backend("10.0.0.1:80"), world.backend("10.0.0.2:80"));
    let proxy = |config: mesh_proto::google::protobuf::Any| {
        let name = "envoy.clusters.dynamic_forward_proxy".to_owned();
        let custom = proto::cluster::CustomClusterType { name, typed_config: Some(config) };
        proto::Cluster {
            cluster_discovery_type: Some(proto::cluster::ClusterDiscoveryType::ClusterType(custom)),
            eds_cluster_config: None,
            lb_policy: proto::cluster::LbPolicy::ClusterProvided as i32,
            ..cluster("anywhere")
        }
    };
    let config = pack_any(dynamic::ClusterConfig::default());
    world.control.set([any(&proxy(config.clone()))]);
    world.route("anywhere");
    let channel = channel(&world);
    let why = who(&channel).await.unwrap_err();
    assert!(why.contains("host echo cannot be looked up"), "{why}");
    world.net.name("echo", &[ip("10.0.0.1")]);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
    // Who is called follows the name.
    world.net.name("echo", &[ip("10.0.0.2")]);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.2:80");
    assert_eq!(world.control.nacks(), [""; 0]);

    // A type that is not known is refused by its name, and the one before stays in force.
    world.control.set([any(&proxy(mesh_proto::google::protobuf::Any {
        type_url: "type.googleapis.com/example.Anything".to_owned(),
        ..config.clone()
    }))]);
    sleep(Duration::from_secs(1)).await;
    let told = world.control.nacks().join("\n");
    let expected = "anywhere: cluster_type.typed_config: \"example.Anything\" is not supported";
    assert!(told.contains(expected), "{told}");
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.2:80");

    // It may become a cluster with endpoints of its own, and what it was again.
    world.cluster("anywhere", &["10.0.0.1:80"]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
    world.control.set([any(&proxy(config))]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(who(&channel).await.unwrap(), "10.0.0.2:80");
    world.remove_cluster("anywhere");
    sleep(Duration::from_secs(5)).await;
    let why = who(&channel).await.unwrap_err();
    assert!(why.contains("Cluster anywhere"), "{why}");
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

#[tokio::test(start_paused = true)]
async fn of_clusters_that_share_an_endpoint_each_waits_for_a_connection_as_long_as_it_says() {
    // In either order.
    for (to_a, to_b) in [(1, 3), (3, 1)] {
        let world = World::default();
        world.net.black_hole("10.0.0.1:80");
        for (name, seconds) in [("a", to_a), ("b", to_b)] {
            let connect_timeout = Some(duration(Duration::from_secs(seconds)));
            world.control.set([
                any(&proto::Cluster { connect_timeout, ..cluster(name) }),
                any(&assignment(name, &["10.0.0.1:80"])),
            ]);
        }
        world.routes(vec![route("/mesh.test.Echo/ClientStreaming", &[("a", 1)]), route("/", &[("b", 1)])]);
        let channel = channel(&world);
        let start = now();
        let (mut of_a, of_b) = (EchoClient::new(channel.clone()), channel.clone());
        let in_a = tokio::spawn(async move {
            let status = of_a.client_streaming(tokio_stream::iter([Message::new("x")])).await.unwrap_err();
            (status.message().to_owned(), now())
        });
        let in_b = tokio::spawn(async move { (who(&of_b).await.unwrap_err(), now()) });
        for ((why, end), seconds) in [(in_a.await.unwrap(), to_a), (in_b.await.unwrap(), to_b)] {
            let took = end - start;
            let limit = Duration::from_secs(seconds);
            assert!(took >= limit && took < limit + Duration::from_millis(100), "{took:?}: {why}");
            assert!(why.contains(&format!("within {limit:?}")), "{why}");
        }
        assert_eq!(world.net.dialled("10.0.0.1:80"), 1, "by one attempt");
        let _backend = world.backend("10.0.0.1:80");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(who(&channel).await.unwrap(), "10.0.0.1:80");
    }
}
