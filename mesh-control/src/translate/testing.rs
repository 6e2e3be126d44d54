//! A translation of a few lines of YAML, and what a client gets of it.

use super::{Kind, NodeView, Translation};
use crate::model::{Config, MeshConfig};
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::route::v3::{Route, RouteConfiguration, VirtualHost};
use prost::Message;

pub(super) struct World(Translation);

/// The node of a client in a namespace, in zone `eu/a/1`.
fn client(namespace: &str) -> NodeView {
    NodeView::from_proto(&core::Node {
        id: format!("sidecar~10.9.9.9~me.{namespace}~{namespace}.svc.cluster.local"),
        locality: Some(core::Locality {
            region: "eu".to_owned(),
            zone: "a".to_owned(),
            sub_zone: "1".to_owned(),
        }),
        ..Default::default()
    })
}

impl World {
    /// Objects, each as its kind, `namespace/name` or `namespace/name@day of January`, and its spec.
    pub(super) fn new(objects: &[(&str, &str, &str)]) -> Self {
        let document = |(kind, name, spec): &(&str, &str, &str)| {
            let (namespace, name) = name.split_once('/').unwrap();
            let (name, day) = name.split_once('@').unwrap_or((name, ""));
            let created = match day {
                "" => String::new(),
                day => format!("2026-01-{day:0>2}T00:00:00Z"),
            };
            format!(
                "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, \
                 namespace: {namespace}, creationTimestamp: {created}}}\nspec: {{{spec}}}\n"
            )
        };
        Self::of_yaml(&objects.iter().map(document).collect::<Vec<_>>().join("---\n"))
    }

    pub(super) fn of_yaml(text: &str) -> Self {
        let (config, problems) = Config::parse([("test", text)]);
        assert!(problems.errors.is_empty(), "{problems}\n{text}");
        Self(Translation::new(&config, &MeshConfig::default()))
    }

    fn get<M: Message + Default>(&self, namespace: &str, kind: Kind, name: &str) -> Option<M> {
        let found = self.0.resource(&client(namespace), kind, name)?;
        Some(M::decode(found.bytes).unwrap())
    }

    pub(super) fn has_listener(&self, namespace: &str, name: &str) -> bool {
        self.0.resource(&client(namespace), Kind::Listener, name).is_some()
    }

    pub(super) fn listeners(&self, namespace: &str, host: &str) -> Vec<String> {
        let names = self.0.listeners(&client(namespace), host);
        names.iter().map(|name| name.to_string()).collect()
    }

    /// The virtual hosts for a client in `namespace` of a service, given as `port host`.
    pub(super) fn hosts(&self, namespace: &str, service: &str) -> Vec<VirtualHost> {
        let (port, host) = service.split_once(' ').unwrap();
        let name = format!("outbound|{port}||{host}");
        self.get::<RouteConfiguration>(namespace, Kind::Route, &name).unwrap().virtual_hosts
    }

    /// The names of these, in order.
    pub(super) fn host_names(&self, namespace: &str, service: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.hosts(namespace, service).into_iter().map(|host| host.name).collect();
        names.sort();
        names
    }

    /// The routes to a service.
    pub(super) fn routes(&self, namespace: &str, service: &str) -> Vec<Route> {
        let (port, host) = service.split_once(' ').unwrap();
        let name = format!("{host}:{port}");
        let found = self.hosts(namespace, service).into_iter().find(|host| host.name == name);
        found.map_or_else(Vec::new, |host| host.routes)
    }

    /// The names of these, separated by spaces.
    pub(super) fn route_names(&self, namespace: &str, service: &str) -> String {
        let names = self.routes(namespace, service).into_iter().map(|route| route.name);
        names.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn cluster(&self, namespace: &str, name: &str) -> Option<Cluster> {
        self.get(namespace, Kind::Cluster, name)
    }

    /// The priorities of the localities of a cluster, with their names and weights.
    pub(super) fn localities(&self, namespace: &str, name: &str) -> Vec<(u32, String, u32)> {
        let assignment: ClusterLoadAssignment = self.get(namespace, Kind::Endpoint, name).unwrap();
        let told = |group: mesh_proto::envoy::config::endpoint::v3::LocalityLbEndpoints| {
            let place = group.locality.unwrap();
            let place = format!("{}/{}/{}", place.region, place.zone, place.sub_zone);
            (group.priority, place, group.load_balancing_weight.unwrap().value)
        };
        assignment.endpoints.into_iter().map(told).collect()
    }

    /// The endpoints of a cluster, as `address:port`.
    pub(super) fn endpoints(&self, namespace: &str, name: &str) -> Vec<String> {
        use mesh_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
        let assignment: ClusterLoadAssignment = self.get(namespace, Kind::Endpoint, name).unwrap();
        let all = assignment.endpoints.into_iter().flat_map(|group| group.lb_endpoints);
        all.map(|endpoint| match endpoint.host_identifier {
            Some(HostIdentifier::Endpoint(endpoint)) => match endpoint.address.unwrap().address {
                Some(core::address::Address::SocketAddress(it)) => match it.port_specifier {
                    Some(core::socket_address::PortSpecifier::PortValue(port)) => {
                        format!("{}:{port}", it.address)
                    }
                    other => format!("{other:?}"),
                },
                Some(core::address::Address::Pipe(pipe)) => pipe.path,
                other => format!("{other:?}"),
            },
            other => format!("{other:?}"),
        })
        .collect()
    }
}
