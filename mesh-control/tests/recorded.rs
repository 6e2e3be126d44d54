//! Our answers against those of a real istiod, for every recorded scenario that uses no `Sidecar`.
//!
//! The decoded messages must be equal. Only three things are put in order first, because their order has no meaning:
//! virtual hosts of a route configuration, query parameters of a match, and endpoints of a locality.

use mesh_control::model::{Config, MeshConfig};
use mesh_control::translate::{Kind, NodeView, Translation};
use mesh_proto::ads::DiscoveryResponse;
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;
use mesh_proto::envoy::extensions::filters::http::fault::v3::HttpFault;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext;
use mesh_proto::google::protobuf::{Any, Struct, Value, value};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// How many scenarios, and how many pushes of the changing directory, were recorded.
const SCENARIOS: usize = 42;
const PUSHES: usize = 31;
/// The one scenario whose routes lead nowhere, so that no clusters were asked for.
const WITHOUT_CLUSTERS: &str = "tcp-tls";

/// The node that asked, as the recorder made it.
fn node(scenario: &serde_json::Value) -> NodeView {
    let own = &scenario["node"];
    let text = |key: &str, default: &str| own[key].as_str().unwrap_or(default).to_owned();
    let (name, namespace) = (text("name", "client"), text("namespace", "default"));
    // A node with inbound listeners is the first endpoint.
    let ip = if scenario["inbound"].is_array() { "127.0.0.1" } else { "127.99.0.1" };
    let string = |text: &str| Value { kind: Some(value::Kind::StringValue(text.to_owned())) };
    let labels = match own["labels"].as_object() {
        Some(labels) => {
            labels.iter().map(|(key, value)| (key.clone(), string(value.as_str().unwrap()))).collect()
        }
        None => [("app".to_owned(), string("client"))].into_iter().collect(),
    };
    let fields = [
        ("GENERATOR", string("grpc")),
        ("NAMESPACE", string(&namespace)),
        ("CLUSTER_ID", string("Kubernetes")),
        ("SERVICE_ACCOUNT", string(&text("sa", "default"))),
        ("LABELS", Value { kind: Some(value::Kind::StructValue(Struct { fields: labels })) }),
    ];
    let locality = own["locality"].as_str().map(|text| {
        let parts: Vec<&str> = text.split('/').collect();
        core::Locality { region: parts[0].into(), zone: parts[1].into(), sub_zone: parts[2].into() }
    });
    NodeView::from_proto(&core::Node {
        id: format!("sidecar~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local"),
        metadata: Some(Struct {
            fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        }),
        locality,
        ..Default::default()
    })
}

fn read(path: &Path) -> DiscoveryResponse {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    DiscoveryResponse::decode(bytes.as_slice()).expect("a recorded response")
}

/// A resource that can be compared.
#[derive(Debug, PartialEq)]
enum Resource {
    Listener(Box<Listener>),
    Route(Box<RouteConfiguration>),
    Cluster(Box<Cluster>),
    Endpoint(ClusterLoadAssignment),
}

/// A packed message with its fields in our encoder's order: the order means nothing, but packed messages are compared as bytes.
fn in_order<M: Message + Default + prost::Name>(any: &mut Any) {
    if any.type_url == M::type_url() {
        any.value = M::decode(any.value.as_slice()).unwrap().encode_to_vec();
    }
}

fn decoded(kind: Kind, bytes: &[u8]) -> (String, Resource) {
    match kind {
        Kind::Listener => {
            let listener = Listener::decode(bytes).unwrap();
            (listener.name.clone(), Resource::Listener(Box::new(listener)))
        }
        Kind::Route => {
            let mut routes = RouteConfiguration::decode(bytes).unwrap();
            routes.virtual_hosts.sort_by(|one, other| one.name.cmp(&other.name));
            for route in routes.virtual_hosts.iter_mut().flat_map(|host| &mut host.routes) {
                if let Some(it) = &mut route.r#match {
                    it.query_parameters.sort_by(|one, other| one.name.cmp(&other.name));
                }
                route.typed_per_filter_config.values_mut().for_each(in_order::<HttpFault>);
            }
            (routes.name.clone(), Resource::Route(Box::new(routes)))
        }
        Kind::Cluster => {
            let mut cluster = Cluster::decode(bytes).unwrap();
            let socket = cluster.transport_socket.as_mut().and_then(|socket| socket.config_type.as_mut());
            if let Some(core::transport_socket::ConfigType::TypedConfig(any)) = socket {
                in_order::<UpstreamTlsContext>(any);
            }
            (cluster.name.clone(), Resource::Cluster(Box::new(cluster)))
        }
        Kind::Endpoint => {
            let mut assignment = ClusterLoadAssignment::decode(bytes).unwrap();
            for locality in &mut assignment.endpoints {
                locality.lb_endpoints.sort_by_key(|endpoint| format!("{:?}", endpoint.host_identifier));
            }
            (assignment.cluster_name.clone(), Resource::Endpoint(assignment))
        }
    }
}

/// The first lines that differ, with what stands around them.
fn difference(theirs: &str, ours: &str) -> String {
    let (theirs, ours): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), ours.lines().collect());
    let same = theirs.iter().zip(&ours).take_while(|(theirs, ours)| theirs == ours).count();
    let around = |lines: &[&str]| {
        let to = (same + 12).min(lines.len());
        lines[same.saturating_sub(8).min(to)..to].join("\n")
    };
    format!("--- istiod\n{}\n+++ ours\n{}", around(&theirs), around(&ours))
}

fn compare(
    translation: &Translation,
    node: &NodeView,
    kind: Kind,
    response: &DiscoveryResponse,
    wrong: &mut Vec<String>,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for resource in &response.resources {
        assert_eq!(resource.type_url, kind.type_url());
        let (name, theirs) = decoded(kind, &resource.value);
        names.insert(name.clone());
        match translation.resource(node, kind, &name) {
            None => wrong.push(format!("{kind:?} {name}: we have none")),
            Some(encoded) => {
                let (_, ours) = decoded(kind, &encoded.bytes);
                if ours != theirs {
                    wrong.push(format!(
                        "{kind:?} {name}:\n{}",
                        difference(&format!("{theirs:#?}"), &format!("{ours:#?}"))
                    ));
                }
            }
        }
    }
    names
}

fn scenario(dir: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let config = fs::read_to_string(dir.join("config.yaml")).unwrap();
    let about: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(dir.join("scenario.json")).unwrap()).unwrap();
    let (config, problems) = Config::parse([("config.yaml", config.as_str())]);
    if !problems.errors.is_empty() {
        return vec![problems.to_string()];
    }
    let mesh = about["mesh"]
        .as_str()
        .map_or_else(MeshConfig::default, |text| MeshConfig::parse("mesh", text).unwrap().0);
    let node = node(&about);
    let translation = Translation::new(&config, &mesh);
    for (kind, file) in
        [(Kind::Listener, "lds"), (Kind::Route, "rds"), (Kind::Cluster, "cds"), (Kind::Endpoint, "eds")]
    {
        if dir.ends_with(WITHOUT_CLUSTERS) && matches!(kind, Kind::Cluster | Kind::Endpoint) {
            continue;
        }
        let response = read(&dir.join(format!("{file}.pb")));
        let known = compare(&translation, &node, kind, &response, &mut wrong);
        if kind != Kind::Listener {
            continue;
        }
        let asked: BTreeSet<String> = about["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        for name in asked.difference(&known) {
            if translation.resource(&node, kind, name).is_some() {
                wrong.push(format!("{kind:?} {name}: istiod has none"));
            }
        }
    }
    wrong
}

#[test]
fn every_recorded_scenario_has_the_same_answer() {
    let mut seen = 0;
    let mut wrong = BTreeMap::new();
    for dir in fs::read_dir(folder("recorded")).unwrap() {
        let dir = dir.unwrap().path();
        let found = scenario(&dir);
        if !found.is_empty() {
            wrong.insert(dir.file_name().unwrap().to_string_lossy().into_owned(), found);
        }
        seen += 1;
    }
    assert_eq!(seen, SCENARIOS);
    let told: Vec<String> =
        wrong.iter().map(|(name, found)| format!("## {name}\n{}", found.join("\n"))).collect();
    assert!(wrong.is_empty(), "{} of {seen} differ: {:?}\n{}", wrong.len(), wrong.keys(), told.join("\n"));
}

#[test]
fn clusters_that_istiod_lacks_are_lacking_here() {
    let dir = folder("recorded/missing-parts");
    let (config, _) =
        Config::parse([("config.yaml", fs::read_to_string(dir.join("config.yaml")).unwrap().as_str())]);
    let translation = Translation::new(&config, &MeshConfig::default());
    let node = node(&serde_json::json!({}));
    for name in [
        "outbound|7070|nope|echo.default.svc.cluster.local",
        "outbound|7070||nope.default.svc.cluster.local",
        "outbound|9999||echo.default.svc.cluster.local",
    ] {
        assert_eq!(translation.resource(&node, Kind::Cluster, name), None, "{name}");
        assert!(translation.resource(&node, Kind::Endpoint, name).is_some(), "{name}");
    }
}

/// The directory changed step by step; every push that a client got must be what we answer after that step.
#[test]
fn every_recorded_update_has_the_same_answer() {
    let mut pushes: Vec<PathBuf> =
        fs::read_dir(folder("updates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pushes.retain(|path| path.extension().is_some_and(|kind| kind == "pb"));
    pushes.sort();
    let node = node(&serde_json::json!({}));
    let mut translation = Translation::new(&Config::default(), &MeshConfig::default());
    let mut wrong = Vec::new();
    let mut seen = 0;
    for step in 0..=7 {
        let text = fs::read_to_string(folder("updates").join(format!("step{step}.yaml"))).unwrap();
        let (config, problems) = Config::parse([("step", text.as_str())]);
        if problems.errors.is_empty() {
            translation = translation.next(&config, &MeshConfig::default());
        } else {
            assert_eq!(step, 5, "only the fifth step is invalid: {problems}");
        }
        for path in &pushes {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            if !name.contains(&format!("step{step}-")) {
                continue;
            }
            let kind = match name.rsplit('-').next().unwrap() {
                "lds" => Kind::Listener,
                "rds" => Kind::Route,
                "cds" => Kind::Cluster,
                _ => Kind::Endpoint,
            };
            let mut found = Vec::new();
            compare(&translation, &node, kind, &read(path), &mut found);
            seen += 1;
            wrong.extend(found.into_iter().map(|it| format!("{name}: {it}")));
        }
    }
    assert_eq!((seen, pushes.len()), (PUSHES, PUSHES));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
