//! `ClusterLoadAssignment`: the endpoints of a cluster.

use super::address;
use super::invalid::{At, Checked, Invalid, unpack};
use crate::bootstrap::Locality;
use crate::net::Address;
use mesh_proto::envoy::config::core::v3::HealthStatus as HealthProto;
use mesh_proto::envoy::config::endpoint::v3 as proto;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// The endpoints of a cluster. None occurs twice.
#[derive(Clone, Debug, Default)]
pub struct Assignment {
    /// The priorities, the best first, without gaps.
    pub priorities: Vec<Vec<LocalityEndpoints>>,
}

/// The endpoints of one locality in one priority.
#[derive(Clone, Debug)]
pub struct LocalityEndpoints {
    /// Where they are.
    pub locality: Arc<Locality>,
    /// The share of the priority's requests that they get, against other localities.
    pub weight: u32,
    /// The endpoints.
    pub endpoints: Vec<LbEndpoint>,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct LbEndpoint {
    /// Where it is.
    pub address: Address,
    /// Its name, where it has one apart from its address.
    pub hostname: Option<Arc<str>>,
    /// The share of its locality's requests that it gets.
    pub weight: u32,
    /// What the control plane knows of its health.
    pub health: Health,
}

/// What the control plane knows of the health of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Healthy, or not known, which counts as healthy.
    Healthy,
    /// Healthy, but with less capacity.
    Degraded,
    /// Not to be given new requests.
    Draining,
    /// Unhealthy.
    Unhealthy,
}

/// Decodes the resource `name`.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Checked<Assignment> {
    let proto: proto::ClusterLoadAssignment = unpack(bytes)?;
    if proto.cluster_name != name {
        return Err(Invalid::new("is given twice")).at("cluster_name");
    }
    // gRFC A27: a locality without weight gets nothing.
    from_proto(&proto, 0)
}

/// The endpoints; a locality that states no weight has `unstated_weight`, and one whose weight is zero is left out.
pub(super) fn from_proto(proto: &proto::ClusterLoadAssignment, unstated_weight: u32) -> Checked<Assignment> {
    let mut priorities: BTreeMap<u32, Vec<LocalityEndpoints>> = BTreeMap::new();
    let mut localities = HashSet::new();
    let mut addresses = BTreeSet::new();
    for (index, group) in proto.endpoints.iter().enumerate() {
        let weight = group.load_balancing_weight.as_ref().map_or(unstated_weight, |weight| weight.value);
        if weight == 0 {
            continue;
        }
        let locality = group.locality.clone().unwrap_or_default();
        let locality = Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone };
        if !localities.insert((group.priority, locality.clone())) {
            let why = format!("{locality:?} comes twice in priority {}", group.priority);
            return Err(Invalid::new(why)).at("locality").at_index("endpoints", index);
        }
        let mut endpoints = Vec::with_capacity(group.lb_endpoints.len());
        let mut sum = 0u64;
        for (position, endpoint) in group.lb_endpoints.iter().enumerate() {
            let checked = read_endpoint(endpoint).and_then(|endpoint| {
                if addresses.insert(endpoint.address.clone()) {
                    Ok(endpoint)
                } else {
                    Err(Invalid::new(format!("{} comes twice", endpoint.address))).at("endpoint.address")
                }
            });
            let endpoint = checked.at_index("lb_endpoints", position).at_index("endpoints", index)?;
            sum += u64::from(endpoint.weight);
            endpoints.push(endpoint);
        }
        check_sum(sum).at("lb_endpoints").at_index("endpoints", index)?;
        let group_list = priorities.entry(group.priority).or_default();
        group_list.push(LocalityEndpoints { locality: Arc::new(locality), weight, endpoints });
    }
    for (position, (priority, groups)) in priorities.iter().enumerate() {
        if *priority as usize != position {
            return Err(Invalid::new(format!("there is a priority {priority}, but no {position}")))
                .at("endpoints");
        }
        check_sum(groups.iter().map(|group| u64::from(group.weight)).sum()).at("endpoints")?;
    }
    Ok(Assignment { priorities: priorities.into_values().collect() })
}

fn read_endpoint(proto: &proto::LbEndpoint) -> Checked<LbEndpoint> {
    let Some(proto::lb_endpoint::HostIdentifier::Endpoint(endpoint)) = &proto.host_identifier else {
        return Err(Invalid::new("is missing")).at("endpoint");
    };
    let address = address::from_proto(endpoint.address.as_ref()).at("address").at("endpoint")?;
    let weight = proto.load_balancing_weight.as_ref().map_or(1, |weight| weight.value);
    if weight == 0 {
        return Err(Invalid::new("must not be zero")).at("load_balancing_weight");
    }
    let health = match HealthProto::try_from(proto.health_status) {
        Ok(HealthProto::Unknown | HealthProto::Healthy) => Health::Healthy,
        Ok(HealthProto::Degraded) => Health::Degraded,
        Ok(HealthProto::Draining) => Health::Draining,
        Ok(HealthProto::Unhealthy | HealthProto::Timeout) | Err(_) => Health::Unhealthy,
    };
    let hostname = (!endpoint.hostname.is_empty()).then(|| endpoint.hostname.as_str().into());
    Ok(LbEndpoint { address, hostname, weight, health })
}

fn check_sum(sum: u64) -> Checked<()> {
    if sum > u64::from(u32::MAX) {
        return Err(Invalid::new(format!("the sum of the weights, {sum}, exceeds {}", u32::MAX)));
    }
    Ok(())
}
