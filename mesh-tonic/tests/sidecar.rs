//! istiod's answers for sidecars: listeners and clusters unasked, routes and endpoints by name.

mod replay;

use mesh_core::bootstrap::DiskCache;
use mesh_core::clock::now;
use mesh_core::resource::Kind;
use mesh_core::xds::UNLISTED_GRACE;
use mesh_core::{Bootstrap, Mesh, mesh};
use mesh_proto::ads::Any;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::listener::v3 as listener;
use mesh_proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};
use mesh_proto::google::protobuf;
use mesh_proto::pack_any;
use mesh_testkit::ads::Resources;
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::load::Load;
use mesh_testkit::net::VirtualNet;
use mesh_testkit::resources::{any, assignment, cluster, listener, route, routes};
use mesh_testkit::world::CONTROL_PLANE;
use mesh_tonic::Channel;
use replay::{Dialect, SCENARIOS, scenario};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

fn resources(path: &Path) -> Vec<Any> {
    scenario::resources(Dialect::Sidecar, path)
}

fn builder(net: &VirtualNet, servers: &[&str]) -> mesh::Builder {
    builder_with(net, servers, &serde_json::json!({}))
}

fn builder_with(net: &VirtualNet, servers: &[&str], authorities: &serde_json::Value) -> mesh::Builder {
    let server = |uri: &&str| {
        serde_json::json!({
            "server_uri": uri,
            "channel_creds": [{ "type": "insecure" }],
            "server_features": ["mesh.sidecar"],
        })
    };
    let bootstrap = serde_json::json!({
        "xds_servers": servers.iter().map(server).collect::<Vec<_>>(),
        "node": { "id": "sidecar~127.99.0.1~client.default~default.svc.cluster.local" },
        "authorities": authorities,
    });
    let bootstrap = Bootstrap::from_json(&bootstrap.to_string()).unwrap();
    Mesh::builder().bootstrap(bootstrap).dialer(net.dialer()).seed(1)
}

fn mesh(net: &VirtualNet) -> Mesh {
    builder(net, &[CONTROL_PLANE]).build().unwrap()
}

/// The scenarios in which calls fail, the beginning of the target, and what the caller is told.
const UNUSABLE: &[(&str, &str, &str)] = &[
    ("authz-allow", "", NO_IDENTITY),
    ("authz-allow-nothing", "", NO_IDENTITY),
    ("authz-deny-audit", "", NO_IDENTITY),
    // The endpoints of the other service do not speak mutual TLS.
    ("auto-mtls", "echo.", NO_IDENTITY),
    ("empty-endpoints", "", "the cluster has no endpoint that may be used"),
    ("basic", "nosuch.", PASSED_THROUGH),
    ("external", "api.", "host backup.example.com cannot be looked up"),
    ("external", "direct.", "host direct.example.com cannot be looked up"),
    ("external", "foo.", "host foo.wild.example.com cannot be looked up"),
    ("external", "rr.", "endpoint rr.example.com:443): no such name"),
    ("jwt", "", NO_IDENTITY),
    ("peer-auth-permissive", "", NO_IDENTITY),
    ("peer-auth-strict", "", NO_IDENTITY),
    ("sidecar-scope", "hidden.", NOT_KNOWN),
    ("sidecar-scope", "unscoped.", NOT_KNOWN),
    ("tls-istio-mutual", "", NO_IDENTITY),
    ("tls-mutual", "", NO_IDENTITY),
    ("tls-simple", "", NO_IDENTITY),
];
const NO_IDENTITY: &str = "no identity to secure the connection with";
const NOT_KNOWN: &str = "the control plane allows calls only to services that it knows";
const PASSED_THROUGH: &str = "would pass its requests through";

#[tokio::test(start_paused = true)]
async fn every_target_of_every_scenario() {
    let mut scenarios: Vec<_> = fs::read_dir(SCENARIOS).unwrap().map(|entry| entry.unwrap().path()).collect();
    scenarios.sort();
    let (mut usable, mut unusable) = (0, 0);
    for scenario in scenarios.iter().filter(|path| path.join("sidecar").is_dir()) {
        let name = scenario.file_name().unwrap().to_str().unwrap();
        let net = VirtualNet::default();
        // Of a cluster that leads to what its callers mean only they know where that is.
        if name == "lb-passthrough" {
            net.name("echo.default.svc.cluster.local", &["10.244.0.1".parse().unwrap()]);
        }
        let _backend = Backend::http2("anyone", net.listen_elsewhere());
        let targets = scenario::targets(scenario);
        let stage = scenario::replay(Dialect::Sidecar, scenario, &targets, &net).await;
        for (target, channel) in targets.iter().zip(&stage.channels) {
            let outcome = EchoClient::new(channel.clone()).unary(Message::new("x")).await;
            let outcome = outcome.map(|_| ()).map_err(|status| status.to_string());
            let expected = UNUSABLE.iter().find(|(of, start, _)| *of == name && target.starts_with(start));
            match (outcome, expected) {
                (Ok(()), None) => usable += 1,
                (Err(why), Some((_, _, expected))) if why.contains(expected) => unusable += 1,
                (outcome, expected) => panic!("{name} {target}: {outcome:?} instead of {expected:?}"),
            }
        }
    }
    assert!(usable > 50 && unusable > 20, "{usable} {unusable}");
}

async fn call(mesh: &Mesh, target: &str) -> Result<(), String> {
    let channel = Channel::new(mesh, &format!("xds:///{target}")).unwrap();
    let result = EchoClient::new(channel).unary(Message::new("x")).await;
    result.map(|_| ()).map_err(|status| status.to_string())
}

const SECOND: &str = "10.255.0.2:15010";
const TARGETS: [&str; 2] = ["echo.default.svc.cluster.local:7070", "echo.default.svc.cluster.local:8080"];

/// The resources of these kinds of a scenario.
fn control(kinds: &[&str]) -> Resources {
    let control = Resources::new();
    for kind in kinds {
        control.set(resources(&Path::new(SCENARIOS).join("basic/sidecar").join(kind).with_extension("pb")));
    }
    control
}

/// The service of the scenario.
fn backends(net: &VirtualNet) -> Vec<Backend> {
    let addresses = (1..=3).flat_map(|host| [17070, 18080].map(|port| format!("127.0.0.{host}:{port}")));
    addresses.map(|address| Backend::http2(&address, net.listen(&address))).collect()
}

async fn names(mesh: &Mesh, kind: Kind) -> Vec<String> {
    let known = mesh.report().await.unwrap().resources.into_iter();
    known
        .filter(|found| found.kind == kind && found.bytes.is_some())
        .map(|found| found.name.to_string())
        .collect()
}

/// Nobody asks for listeners and clusters by name, and yet none of them is lost when another control plane takes over,
/// until that one has listed its own.
#[tokio::test(start_paused = true)]
async fn another_control_plane_takes_over_what_was_not_asked_for() {
    let net = VirtualNet::default();
    let first = control(&["lds", "rds", "cds", "eds"]);
    let server = first.serve_on(net.listen(CONTROL_PLANE));
    let _backends = backends(&net);
    let mesh = builder(&net, &[CONTROL_PLANE, SECOND]).build().unwrap();
    call(&mesh, TARGETS[0]).await.unwrap();
    let before = (names(&mesh, Kind::Listener).await, names(&mesh, Kind::Cluster).await);
    assert!(before.0.len() > 2 && before.1.len() > 2, "{before:?}");
    let channel = Channel::new(&mesh, &format!("xds:///{}", TARGETS[0])).unwrap();
    let load = Load::echo(&channel, Duration::from_millis(10));

    // The second control plane is asked for what the first one has not told, and has no listeners yet.
    drop(server);
    net.refuse(CONTROL_PLANE);
    let second = control(&["rds", "cds", "eds"]);
    let _second = second.serve_on(net.listen(SECOND));
    call(&mesh, TARGETS[1]).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    let source = mesh.report().await.unwrap().control_plane.unwrap().source;
    assert!(source.contains(SECOND), "{source}");
    assert_eq!(names(&mesh, Kind::Listener).await, before.0);
    assert_eq!(names(&mesh, Kind::Cluster).await, before.1);

    // Its own list counts.
    let cluster = "outbound|8080||echo.default.svc.cluster.local";
    second.remove_named("type.googleapis.com/envoy.config.cluster.v3.Cluster", cluster);
    let listeners = resources(&Path::new(SCENARIOS).join("basic/sidecar/lds.pb"));
    second.set(listeners.into_iter().filter(|any| !mesh_testkit::ads::name_of(any).ends_with("_8080")));
    sleep(Duration::from_secs(20)).await;
    let why = call(&mesh, TARGETS[1]).await.unwrap_err();
    assert!(why.contains(PASSED_THROUGH), "{why}");
    call(&mesh, TARGETS[0]).await.unwrap();

    // The first one is in charge again once it is back.
    let _server = first.serve_on(net.listen(CONTROL_PLANE));
    sleep(Duration::from_secs(5)).await;
    assert_eq!((first.streams(), second.streams()), (1, 0));
    call(&mesh, TARGETS[1]).await.unwrap();
    assert_eq!(names(&mesh, Kind::Listener).await, before.0);
    assert_eq!(names(&mesh, Kind::Cluster).await, before.1);
    let record = load.finish().await;
    assert_eq!(record.failures, [""; 0]);
    assert!(record.answers.len() > 2000);
    assert_eq!((first.nacks(), second.nacks()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_sidecar_starts_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::new(folder.path().join("cache"));
    let net = VirtualNet::default();
    let control = control(&["lds", "rds", "cds", "eds"]);
    let server = control.serve_on(net.listen(CONTROL_PLANE));
    let _backends = backends(&net);
    let with_disk = || builder(&net, &[CONTROL_PLANE]).disk_cache(cache.clone()).build().unwrap();
    let mesh = with_disk();
    call(&mesh, TARGETS[0]).await.unwrap();
    call(&mesh, TARGETS[1]).await.unwrap();
    // One listener goes before the process ends, and must not come back with the next.
    control.remove_named(
        "type.googleapis.com/envoy.config.listener.v3.Listener",
        &names(&mesh, Kind::Listener).await.into_iter().find(|name| name.ends_with("_8080")).unwrap(),
    );
    while !cache.path.exists() {
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(5)).await;
    assert!(mesh.close(Duration::from_secs(5)).await);
    drop((server, mesh));
    net.refuse(CONTROL_PLANE);

    let mesh = with_disk();
    call(&mesh, TARGETS[0]).await.unwrap();
    let clusters = names(&mesh, Kind::Cluster).await;
    assert!(names(&mesh, Kind::Listener).await.iter().all(|name| !name.ends_with("_8080")));

    // What the control plane does not list when it is back is gone.
    control.remove_named("type.googleapis.com/envoy.config.cluster.v3.Cluster", &clusters[0]);
    let _server = control.serve_on(net.listen(CONTROL_PLANE));
    sleep(Duration::from_secs(20)).await;
    assert_eq!(names(&mesh, Kind::Cluster).await, clusters[1..]);
    call(&mesh, TARGETS[0]).await.unwrap();
}

/// The list of a sidecar has no names that say who has the resource: these are asked for one by one.
#[tokio::test(start_paused = true)]
async fn what_another_authority_has_is_asked_for_by_name() {
    let net = VirtualNet::default();
    let control = control(&["lds", "rds", "cds", "eds"]);
    let _server = control.serve_on(net.listen(CONTROL_PLANE));
    let _backends = backends(&net);
    let _backend = Backend::http2("far", net.listen("10.0.0.1:80"));
    let name = |kind: &str, id: &str| format!("xdstp://a/envoy.config.{kind}/{id}");
    let (table, group) = (name("route.v3.RouteConfiguration", "r"), name("cluster.v3.Cluster", "c"));
    let endpoints = name("endpoint.v3.ClusterLoadAssignment", "c");
    let mut eds_cluster = cluster(&group);
    if let Some(config) = &mut eds_cluster.eds_cluster_config {
        config.service_name = endpoints.clone();
    }
    let far = Resources::new();
    far.set([
        any(&listener(&name("listener.v3.Listener", "svc:80"), &table)),
        any(&routes(&table, "svc:80", vec![route("/", &[(&group, 1)])])),
        any(&eds_cluster),
        any(&assignment(&endpoints, &["10.0.0.1:80"])),
    ]);
    let _far = far.serve_on(net.listen(SECOND));
    let authorities = serde_json::json!({ "a": { "xds_servers": [
        { "server_uri": SECOND, "channel_creds": [{ "type": "insecure" }] },
    ] } });
    let mesh = builder_with(&net, &[CONTROL_PLANE], &authorities).build().unwrap();
    call(&mesh, TARGETS[0]).await.unwrap();
    let channel = Channel::new(&mesh, "xds://a/svc:80").unwrap();
    EchoClient::new(channel.clone()).unary(Message::new("x")).await.unwrap();

    // A refused one concerns nobody else.
    let broken = name("listener.v3.Listener", "broken:80");
    let wrong = listener::ApiListener { api_listener: Some(pack_any(eds_cluster)) };
    far.set([any(&listener::Listener { api_listener: Some(wrong), ..listener(&broken, &table) })]);
    let other = Channel::new(&mesh, "xds://a/broken:80").unwrap();
    let why = EchoClient::new(other).unary(Message::new("x")).await.unwrap_err().to_string();
    assert!(why.contains(&format!("Listener {broken} was refused")), "{why}");
    call(&mesh, TARGETS[1]).await.unwrap();

    // What nobody uses any more is let go.
    drop(channel);
    sleep(Duration::from_secs(5)).await;
    assert!(names(&mesh, Kind::Cluster).await.iter().all(|name| *name != group));
    call(&mesh, TARGETS[0]).await.unwrap();
}

/// No mark says which response of a list is the last, and a call waits for the one that has what it needs.
#[tokio::test(start_paused = true)]
async fn a_list_may_come_in_several_responses() {
    let net = VirtualNet::default();
    let control = control(&["rds", "eds"]);
    let _server = control.serve_on(net.listen(CONTROL_PLANE));
    let _backends = backends(&net);
    let mesh = mesh(&net);
    let calls = TARGETS.map(|target| {
        let mesh = mesh.clone();
        tokio::spawn(async move { call(&mesh, target).await })
    });
    let lists = ["lds", "cds"]
        .map(|kind| resources(&Path::new(SCENARIOS).join("basic/sidecar").join(kind).with_extension("pb")));
    for part in 0..3 {
        sleep(UNLISTED_GRACE - Duration::from_millis(10)).await;
        let of_list = |list: &Vec<Any>| list[part * list.len() / 3..(part + 1) * list.len() / 3].to_vec();
        control.set(lists.iter().flat_map(of_list));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_list_lacks_is_told_once_it_is_complete() {
    for (kinds, why) in [
        (&["lds", "rds", "eds"][..], "does not exist: the control plane answered without it"),
        (&["rds", "eds"][..], "no Listener of the control plane takes"),
    ] {
        let net = VirtualNet::default();
        let control = control(kinds);
        let _server = control.serve_on(net.listen(CONTROL_PLANE));
        let mesh = mesh(&net);
        let start = now();
        let told = call(&mesh, TARGETS[0]).await.unwrap_err();
        assert!(told.contains(why), "{told}");
        let took = now() - start;
        assert!(took >= UNLISTED_GRACE && took < 2 * UNLISTED_GRACE, "{took:?}");
    }
}

/// Routes that come later are taken up without a call that fails.
#[tokio::test(start_paused = true)]
async fn clusters_and_endpoints_alone_are_enough() {
    let net = VirtualNet::default();
    let control = control(&["cds", "eds"]);
    let _server = control.serve_on(net.listen(CONTROL_PLANE));
    let _backends = backends(&net);
    let mesh = mesh(&net);
    let start = now();
    call(&mesh, TARGETS[1]).await.unwrap();
    let took = now() - start;
    assert!(took >= UNLISTED_GRACE && took < 2 * UNLISTED_GRACE, "{took:?}");
    assert!(call(&mesh, "other:8080").await.unwrap_err().contains("no Cluster is called after it"));

    let channel = Channel::new(&mesh, &format!("xds:///{}", TARGETS[1])).unwrap();
    let load = Load::echo(&channel, Duration::from_millis(10));
    let read =
        |kind: &str| resources(&Path::new(SCENARIOS).join("basic/sidecar").join(kind).with_extension("pb"));
    control.set(read("lds"));
    sleep(Duration::from_secs(1)).await;
    control.set(read("rds"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(names(&mesh, Kind::Route).await, ["8080"]);
    assert!(call(&mesh, "other:8080").await.unwrap_err().contains(PASSED_THROUGH));
    assert_eq!(load.finish().await.failures, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_the_same_as_on_disk_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::new(folder.path().join("cache"));
    let net = VirtualNet::default();
    let control = control(&["lds", "rds", "cds", "eds"]);
    let _server = control.serve_on(net.listen(CONTROL_PLANE));
    let _backends = backends(&net);
    let with_disk = || builder(&net, &[CONTROL_PLANE]).disk_cache(cache.clone()).build().unwrap();
    let mesh = with_disk();
    call(&mesh, TARGETS[0]).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert!(cache.path.exists());
    assert!(mesh.close(Duration::from_secs(5)).await);

    let mesh = with_disk();
    fs::remove_file(&cache.path).unwrap();
    call(&mesh, TARGETS[0]).await.unwrap();
    sleep(Duration::from_secs(30)).await;
    assert!(!cache.path.exists(), "nothing has changed");
    assert_eq!(mesh.report().await.unwrap().control_plane.unwrap().from_disk, 0, "all was sent anew");
    let url = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    control.remove_named(url, names(&mesh, Kind::Cluster).await.last().unwrap());
    sleep(Duration::from_secs(5)).await;
    assert!(cache.path.exists());
}

/// The listener of a service's address; a VirtualService leads it to the cluster if it is not the service's own.
fn vip(ip: &str, own: bool, cluster: &str) -> listener::Listener {
    let proxy = TcpProxy {
        stat_prefix: "x".to_owned(),
        cluster_specifier: Some(tcp_proxy::ClusterSpecifier::Cluster(cluster.to_owned())),
        ..Default::default()
    };
    let config_type = Some(listener::filter::ConfigType::TypedConfig(pack_any(proxy)));
    let text = protobuf::value::Kind::StringValue("/virtual-service/moved".to_owned());
    let config = ("config".to_owned(), protobuf::Value { kind: Some(text) });
    let istio = ("istio".to_owned(), protobuf::Struct { fields: [config].into() });
    let chain = listener::FilterChain {
        filters: vec![listener::Filter { name: "tcp".to_owned(), config_type }],
        metadata: (!own).then(|| core::Metadata { filter_metadata: [istio].into(), ..Default::default() }),
        ..Default::default()
    };
    let socket = core::SocketAddress {
        address: ip.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(9000)),
        ..Default::default()
    };
    listener::Listener {
        name: format!("{ip}_9000"),
        address: Some(core::Address { address: Some(core::address::Address::SocketAddress(socket)) }),
        filter_chains: vec![chain],
        traffic_direction: core::TrafficDirection::Outbound as i32,
        ..Default::default()
    }
}

const A: &str = "outbound|9000||a.default.svc.cluster.local";
const B: &str = "outbound|9000||b.default.svc.cluster.local";
const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

#[tokio::test(start_paused = true)]
async fn a_service_whose_bytes_are_led_to_another_one_moves_there_without_a_failure() {
    let net = VirtualNet::default();
    let control = Resources::new();
    let _server = control.serve_on(net.listen(CONTROL_PLANE));
    let _backends = ["10.0.0.1:80", "10.0.0.2:80"].map(|at| Backend::http2(at, net.listen(at)));
    control.set([any(&cluster(A)), any(&assignment(A, &["10.0.0.1:80"]))]);
    control.set([any(&cluster(B)), any(&assignment(B, &["10.0.0.2:80"]))]);
    control.set([any(&vip("240.0.0.1", true, A)), any(&vip("240.0.0.2", true, B))]);
    let mesh = mesh(&net);
    let channel = Channel::new(&mesh, "xds:///a:9000").unwrap();
    EchoClient::new(channel.clone()).unary(Message::new("x")).await.unwrap();
    let load = Load::echo(&channel, Duration::from_millis(5));
    control.set([any(&vip("240.0.0.1", false, B))]);
    sleep(Duration::from_secs(1)).await;
    let moved = now();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(load.so_far().shares(moved).into_keys().collect::<Vec<_>>(), ["10.0.0.2:80"]);
    control.set([any(&vip("240.0.0.1", true, A))]);
    sleep(Duration::from_secs(1)).await;
    let back = now();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(load.so_far().shares(back).into_keys().collect::<Vec<_>>(), ["10.0.0.1:80"]);
    assert_eq!(load.finish().await.failures, [""; 0]);

    // Who begins when it is led elsewhere already does not know whose address that is, and passes no service by.
    control.set([any(&vip("240.0.0.1", false, B))]);
    let late = builder(&net, &[CONTROL_PLANE]).build().unwrap();
    let why = call(&late, "a:9000").await.unwrap_err();
    assert!(why.contains("no Listener is known to be that of a:9000: it may be 240.0.0.1_9000"), "{why}");
    let why = call(&late, "example.com:9000").await.unwrap_err();
    assert!(why.contains("no Listener of the control plane takes"), "{why}");
    call(&late, "b:9000").await.unwrap();
    control.remove_named(CLUSTER, A);
    sleep(Duration::from_secs(3)).await;
    let why = call(&late, "a:9000").await.unwrap_err();
    assert!(why.contains("no Listener of the control plane takes"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_listener_of_an_address_fails_its_service_and_no_other_host_of_the_port() {
    let net = VirtualNet::default();
    let control = Resources::new();
    let _server = control.serve_on(net.listen(CONTROL_PLANE));
    let _backends = ["10.0.0.1:80", "10.0.0.2:80"].map(|at| Backend::http2(at, net.listen(at)));
    let of_cluster = |name, at| [any(&cluster(name)), any(&assignment(name, &[at]))];
    control.set(of_cluster(B, "10.0.0.2:80"));
    let mut refused = vip("240.0.0.1", true, A);
    refused.additional_addresses.push(listener::AdditionalAddress::default());
    control.set([any(&refused), any(&vip("240.0.0.2", true, B))]);
    let mesh = mesh(&net);
    const REFUSED: &str = "Listener 240.0.0.1_9000 was refused: additional_addresses[0]";
    const NOBODYS: &str = "no Listener of the control plane takes";
    call(&mesh, "b:9000").await.unwrap();
    for (target, expected) in [
        ("240.0.0.1:9000", REFUSED),
        ("a:9000", NOBODYS),
        ("example.com:9000", NOBODYS),
        ("10.9.9.9:9000", NOBODYS),
    ] {
        let why = call(&mesh, target).await.unwrap_err();
        assert!(why.contains(expected), "{target}: {why}");
    }
    // Held, so that it is the same target that hears of its cluster.
    let channel = Channel::new(&mesh, "xds:///a:9000").unwrap();
    let ask = || async { EchoClient::new(channel.clone()).unary(Message::new("x")).await };
    ask().await.unwrap_err();
    control.set(of_cluster(A, "10.0.0.1:80"));
    sleep(Duration::from_secs(1)).await;
    let why = ask().await.unwrap_err();
    assert!(why.message().contains(REFUSED), "{why}");
    let why = call(&mesh, "example.com:9000").await.unwrap_err();
    assert!(why.contains(NOBODYS), "{why}");
    control.set([any(&vip("240.0.0.1", true, A))]);
    sleep(Duration::from_secs(1)).await;
    ask().await.unwrap();
    control.remove_named(LISTENER, "240.0.0.1_9000");
    sleep(Duration::from_secs(3)).await;
    ask().await.unwrap();
    control.remove_named(CLUSTER, A);
    sleep(Duration::from_secs(3)).await;
    let why = ask().await.unwrap_err();
    assert!(why.message().contains(NOBODYS), "{why}");
}
