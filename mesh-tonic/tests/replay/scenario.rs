//! A scenario, response by response: after each of them the snapshot has what can be known by then.

use super::{Dialect, Stage};
use mesh_core::cluster::{ClusterState, ClusterView};
use mesh_proto::ads::{Any, DeltaDiscoveryResponse, DiscoveryResponse};
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use mesh_proto::envoy::config::core::v3::{address, socket_address};
use mesh_proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, lb_endpoint};
use mesh_proto::envoy::config::route::v3::route::Action;
use mesh_proto::envoy::config::route::v3::route_action::ClusterSpecifier;
use mesh_proto::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use mesh_proto::envoy::config::route::v3::{Route, RouteConfiguration};
use mesh_testkit::ads::name_of;
use mesh_testkit::net::VirtualNet;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

/// The resources of a recorded response; none if there was no such response.
pub(crate) fn resources(dialect: Dialect, path: &Path) -> Vec<Any> {
    let Ok(bytes) = fs::read(path) else { return Vec::new() };
    match dialect {
        Dialect::Grpc => DiscoveryResponse::decode(&bytes[..]).unwrap().resources,
        Dialect::Sidecar => {
            let response = DeltaDiscoveryResponse::decode(&bytes[..]).unwrap();
            response.resources.into_iter().map(|resource| resource.resource.unwrap()).collect()
        }
    }
}

/// The targets of a scenario, those among them that there are not, and the other names that were asked for.
pub(crate) fn targets(scenario: &Path) -> Vec<String> {
    let about = fs::read(scenario.join("scenario.json")).unwrap();
    let about: serde_json::Value = serde_json::from_slice(&about).unwrap();
    let targets = about["targets"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    let listeners = resources(Dialect::Grpc, &scenario.join("grpc/lds.pb"));
    let all: BTreeSet<_> = targets.chain(listeners.iter().map(name_of)).collect();
    all.into_iter().collect()
}

/// What was recorded, by name.
struct Recorded {
    targets: BTreeSet<String>,
    routes: BTreeMap<String, RouteConfiguration>,
    clusters: BTreeMap<String, Cluster>,
    endpoints: BTreeMap<String, ClusterLoadAssignment>,
}

fn by_name<M: prost::Message + Default>(resources: &[Any]) -> BTreeMap<String, M> {
    resources.iter().map(|any| (name_of(any), M::decode(&any.value[..]).unwrap())).collect()
}

/// Sends the responses of a scenario one after the other.
pub(crate) async fn replay(dialect: Dialect, scenario: &Path, targets: &[String], net: &VirtualNet) -> Stage {
    let path = |kind: &str| scenario.join(dialect.folder()).join(kind).with_extension("pb");
    let read = |kind| resources(dialect, &path(kind));
    let recorded = Recorded {
        targets: targets.iter().cloned().collect(),
        routes: by_name(&read("rds")),
        clusters: by_name(&read("cds")),
        endpoints: by_name(&read("eds")),
    };
    let mut stage = Stage::new(dialect, net, targets).await;
    for kind in ["lds", "rds", "cds", "eds"] {
        if !path(kind).exists() {
            // There was nothing to ask for, which is checked after the other responses.
            continue;
        }
        let place = format!("{} {kind}", scenario.display());
        stage.push(&path(kind)).await;
        recorded.check(&stage, dialect, kind, &place);
    }
    stage
}

impl Recorded {
    /// Checks the snapshot after the response of this kind, and what has been asked for.
    fn check(&self, stage: &Stage, dialect: Dialect, kind: &str, place: &str) {
        let asked = stage.istiod.asked(ROUTES);
        assert!(asked.iter().all(|name| self.routes.contains_key(name)), "{place}: {asked:?}");
        let asked = stage.istiod.asked(ENDPOINTS);
        assert!(asked.iter().all(|name| self.endpoints.contains_key(name)), "{place}: {asked:?}");
        let snapshot = stage.mesh.published().load();
        let views: Vec<_> = snapshot.clusters().collect();
        let names: BTreeSet<&str> = views.iter().map(|view| &*view.cluster.name).collect();
        if dialect == Dialect::Grpc {
            let expected = if kind == "lds" { BTreeSet::new() } else { self.clusters_of_routes() };
            assert_eq!(names, expected, "{place}");
        }
        for view in views {
            let place = format!("{place}, {}", view.cluster.name);
            self.check_cluster(view, kind, &place);
        }
    }

    fn check_cluster(&self, view: &ClusterView, kind: &str, place: &str) {
        let name = &*view.cluster.name;
        let known = self.clusters.get(name).filter(|_| matches!(kind, "cds" | "eds"));
        let Some(cluster) = known else {
            assert!(!matches!(view.state, ClusterState::Ready { .. }), "{place}: {:?}", view.state);
            return;
        };
        let eds = ClusterDiscoveryType::Type(DiscoveryType::Eds as i32);
        if cluster.cluster_discovery_type != Some(eds) {
            return;
        }
        if kind == "cds" {
            assert!(matches!(view.state, ClusterState::Pending), "{place}: {:?}", view.state);
            return;
        }
        let service = cluster.eds_cluster_config.as_ref().map_or("", |config| &config.service_name);
        let service = if service.is_empty() { name } else { service };
        let expected = addresses(&self.endpoints[service]);
        let ClusterState::Ready { priorities, .. } = &view.state else {
            panic!("{place}: {:?}", view.state);
        };
        let endpoints = priorities.iter().flat_map(|members| members.iter());
        let found: BTreeSet<_> = endpoints.map(|endpoint| endpoint.label().to_string()).collect();
        assert_eq!(found, expected, "{place}");
    }

    /// Every cluster that a route of a target leads to.
    fn clusters_of_routes(&self) -> BTreeSet<&str> {
        let hosts = self.routes.values().flat_map(|config| &config.virtual_hosts);
        let ours = hosts.filter(|host| host.domains.iter().any(|domain| self.targets.contains(domain)));
        ours.flat_map(|host| &host.routes).flat_map(clusters_of).collect()
    }
}

/// Those that requests are sent to; copies are not sent yet.
fn clusters_of(route: &Route) -> Vec<&str> {
    let Some(Action::Route(action)) = &route.action else { return Vec::new() };
    match action.cluster_specifier.as_ref().unwrap() {
        ClusterSpecifier::Cluster(name) => vec![name],
        ClusterSpecifier::WeightedClusters(weighted) => {
            let weight = |cluster: &ClusterWeight| cluster.weight.as_ref().map_or(0, |weight| weight.value);
            let used = weighted.clusters.iter().filter(|cluster| weight(cluster) > 0);
            used.map(|cluster| &*cluster.name).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn addresses(assignment: &ClusterLoadAssignment) -> BTreeSet<String> {
    let endpoints = assignment.endpoints.iter().flat_map(|locality| &locality.lb_endpoints);
    let address = |host: &lb_endpoint::HostIdentifier| {
        let lb_endpoint::HostIdentifier::Endpoint(endpoint) = host else { panic!("{host:?}") };
        let address = endpoint.address.as_ref().unwrap().address.as_ref().unwrap();
        let address::Address::SocketAddress(socket) = address else { panic!("{address:?}") };
        let Some(socket_address::PortSpecifier::PortValue(port)) = socket.port_specifier else {
            panic!("{socket:?}")
        };
        format!("{}:{port}", socket.address)
    };
    endpoints.map(|endpoint| address(endpoint.host_identifier.as_ref().unwrap())).collect()
}
