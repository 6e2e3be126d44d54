//! What a request is hashed by, so that it comes to the same endpoint.

use super::proto;
use crate::index::Policy;
use crate::model::traffic_policy::{ConsistentHash, TrafficPolicy};
use crate::model::virtual_service::Destination;
use hash_policy::PolicySpecifier;
use mesh_proto::envoy::config::route::v3::route_action::{HashPolicy, hash_policy};

/// For a route to a service at a port.
pub(super) fn of_service(policy: &Policy, port: u32) -> Option<HashPolicy> {
    let traffic = policy.traffic_policy.as_ref()?;
    most_specific(traffic, Some(port)).and_then(policy_of)
}

/// For a destination. What is said for a port counts only if the destination names it; the most specific that says anything counts.
pub(super) fn of_destination<'a>(
    policy: &'a Policy,
    destination: &Destination,
) -> Option<&'a ConsistentHash> {
    let port = destination.port.map(|port| port.number);
    let whole = policy.traffic_policy.as_ref();
    let subset = policy.subset(&destination.subset).and_then(|subset| subset.traffic_policy.as_ref());
    [subset, whole].into_iter().flatten().find_map(|policy| most_specific(policy, port))
}

/// What is said for the port, else what is said for all.
fn most_specific(policy: &TrafficPolicy, port: Option<u32>) -> Option<&ConsistentHash> {
    let own = port.and_then(|port| policy.of_port(port)).and_then(|it| it.load_balancer.as_ref());
    let mut balancers = own.into_iter().chain(&policy.load_balancer);
    balancers.find_map(|balancer| balancer.consistent_hash.as_ref())
}

/// What a route is told of it; `None` if it does not say what to hash.
pub(super) fn policy_of(hash: &ConsistentHash) -> Option<HashPolicy> {
    let specifier = if let Some(name) = hash.http_header_name.as_ref().filter(|name| !name.is_empty()) {
        PolicySpecifier::Header(hash_policy::Header { header_name: name.clone(), ..Default::default() })
    } else if let Some(cookie) = &hash.http_cookie {
        let attribute = |it: &crate::model::traffic_policy::CookieAttribute| hash_policy::CookieAttribute {
            name: it.name.clone(),
            value: it.value.clone(),
        };
        PolicySpecifier::Cookie(hash_policy::Cookie {
            name: cookie.name.clone(),
            path: cookie.path.clone(),
            ttl: cookie.ttl.map(proto::duration),
            attributes: cookie.attributes.iter().map(attribute).collect(),
        })
    } else if let Some(source_ip) = hash.use_source_ip {
        PolicySpecifier::ConnectionProperties(hash_policy::ConnectionProperties { source_ip })
    } else {
        let name = hash.http_query_parameter_name.clone()?;
        PolicySpecifier::QueryParameter(hash_policy::QueryParameter { name })
    };
    Some(HashPolicy { policy_specifier: Some(specifier), ..Default::default() })
}
