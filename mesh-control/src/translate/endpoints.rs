//! Endpoints of a cluster by locality.

use super::key::ClusterKey;
use super::merged::merged;
use super::{locality, proto};
use crate::index::{Address, CLUSTER, Endpoint, Policy, View};
use crate::model::parts::Parts;
use crate::model::traffic_policy::TlsMode;
use crate::translate::Locality;
use endpoint::lb_endpoint::HostIdentifier;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::endpoint::v3 as endpoint;
use std::collections::{BTreeMap, HashSet};

/// Endpoints in one place, to be tried in one order.
pub(super) struct Group<'a> {
    pub(super) locality: &'a Locality,
    pub(super) endpoints: Vec<(&'a Endpoint, u32)>,
    pub(super) weight: u32,
    /// 0 is tried first.
    pub(super) priority: u32,
}

impl<'a> Group<'a> {
    pub(super) fn new(locality: &'a Locality, endpoints: Vec<(&'a Endpoint, u32)>) -> Self {
        let weight = endpoints.iter().fold(0, |sum: u32, (endpoint, _)| sum.saturating_add(endpoint.weight));
        Self { locality, endpoints, weight, priority: 0 }
    }
}

/// The endpoints of the cluster `name`. They are there for every name of that form, if need be without any.
pub(super) fn assignment(view: &View<'_>, name: &str) -> Option<endpoint::ClusterLoadAssignment> {
    let key = ClusterKey::parse(name)?;
    let empty = endpoint::ClusterLoadAssignment { cluster_name: name.to_owned(), ..Default::default() };
    let Some(service) = view.service(key.host) else { return Some(empty) };
    let Some(port) = service.port(key.port) else { return Some(empty) };
    let Some(set) = view.endpoints(&service) else { return Some(empty) };
    let policy = view.policy(&service);
    // A subset that nobody knows leaves nothing out; its cluster does not exist.
    let wanted = policy.as_ref().and_then(|policy| policy.subset(key.subset)).map(|subset| &subset.labels);
    let mut places: BTreeMap<&Locality, Vec<(&Endpoint, u32)>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for endpoint in &set.endpoints {
        let chosen = wanted.is_none_or(|wanted| crate::model::values::subset(wanted, &endpoint.labels));
        let Some(port) = endpoint.port(&port.name).filter(|_| chosen) else { continue };
        // Clients refuse an assignment that has an address twice. istiod writes it as often as it is given.
        if seen.insert((&endpoint.address, port)) {
            places.entry(&endpoint.locality).or_default().push((endpoint, port));
        }
    }
    let mut groups: Vec<Group<'_>> =
        places.into_iter().map(|(locality, endpoints)| Group::new(locality, endpoints)).collect();
    let parts = policy.as_ref().map_or_else(Parts::default, |policy| merged(policy, key.subset, key.port));
    let tls = policy.as_ref().and_then(|policy| tls_mode(policy, key.subset, key.port));
    let own = parts.load_balancer.and_then(|balancer| balancer.locality_lb_setting.as_ref());
    let failover = parts.outlier_detection.is_some();
    groups = match (own, service.prefer, view.mesh().locality_lb_setting.as_ref()) {
        (Some(setting), ..) => locality::apply(view, setting, failover, groups),
        (None, [], Some(setting)) => locality::apply(view, setting, failover, groups),
        (None, [], None) => groups,
        (None, labels, _) => locality::prefer(view, labels, groups),
    };
    Some(endpoint::ClusterLoadAssignment {
        endpoints: groups.iter().map(|group| locality_endpoints(group, tls)).collect(),
        ..empty
    })
}

/// The TLS that a rule asks for, whose clients need not be told of the endpoint's. Subsets do not inherit it here, and ports do.
fn tls_mode(policy: &Policy, subset: &str, port: u32) -> Option<TlsMode> {
    let traffic = match subset {
        "" => policy.traffic_policy.as_ref(),
        name => policy.subset(name)?.traffic_policy.as_ref(),
    }?;
    let own = traffic.of_port(port).and_then(|it| it.tls.as_ref());
    own.or(traffic.tls.as_ref()).map(|tls| tls.mode)
}

fn locality_endpoints(group: &Group<'_>, tls: Option<TlsMode>) -> endpoint::LocalityLbEndpoints {
    endpoint::LocalityLbEndpoints {
        locality: Some(core::Locality {
            region: group.locality.region.clone(),
            zone: group.locality.zone.clone(),
            sub_zone: group.locality.subzone.clone(),
        }),
        lb_endpoints: group
            .endpoints
            .iter()
            .map(|(endpoint, port)| lb_endpoint(endpoint, *port, tls))
            .collect(),
        load_balancing_weight: Some(proto::uint32(group.weight)),
        priority: group.priority,
        ..Default::default()
    }
}

fn lb_endpoint(it: &Endpoint, port: u32, tls: Option<TlsMode>) -> endpoint::LbEndpoint {
    let address = match &it.address {
        Address::Ip(ip) => proto::socket_address(ip.clone(), port),
        Address::Unix(path) => core::Address {
            address: Some(core::address::Address::Pipe(core::Pipe {
                path: path.clone(),
                ..Default::default()
            })),
        },
    };
    endpoint::LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint::Endpoint {
            address: Some(address),
            ..Default::default()
        })),
        load_balancing_weight: Some(proto::uint32(it.weight)),
        metadata: Some(metadata(it, tls)),
        ..Default::default()
    }
}

/// How the endpoint takes TLS, and which workload it is.
fn metadata(it: &Endpoint, tls: Option<TlsMode>) -> core::Metadata {
    let mut filter_metadata = vec![("istio".to_owned(), proto::strings([("workload", workload(it))]))];
    let told = match tls {
        Some(mode) => mode == TlsMode::IstioMutual && !matches!(it.tls_mode.as_str(), "" | "disabled"),
        None => it.tls_mode == "istio",
    };
    if told {
        let mode = proto::strings([("tlsMode", it.tls_mode.clone())]);
        filter_metadata.push(("envoy.transport_socket_match".to_owned(), mode));
    }
    core::Metadata { filter_metadata: filter_metadata.into_iter().collect(), ..Default::default() }
}

/// `workload;namespace;service;revision;cluster`.
fn workload(it: &Endpoint) -> String {
    let label =
        |names: &[&str]| names.iter().find_map(|name| it.labels.get(*name)).map_or("", String::as_str);
    let (name, namespace) = &it.workload;
    let canonical = match label(&["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]) {
        "" => name,
        canonical => canonical,
    };
    let revision =
        match label(&["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]) {
            "latest" => "",
            revision => revision,
        };
    format!("{name};{namespace};{canonical};{revision};{CLUSTER}")
}

#[cfg(test)]
#[path = "endpoints_tests.rs"]
mod tests;
