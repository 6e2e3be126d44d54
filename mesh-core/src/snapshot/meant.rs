//! Clusters that lead to whatever address their callers mean (Envoy `ORIGINAL_DST`).
//!
//! A sidecar knows that address from the connection that it caught. Nothing is caught here: callers mean the name that they
//! call, wherever that leads by DNS.

use super::outbound::{DEFAULT_PORT, split};
use super::target::{Fallback, Origin, TargetSpec};
use crate::error::{Failure, Kind as ErrorKind};
use crate::net::Address;
use crate::resource::cluster::{
    Cluster, DEFAULT_DNS_REFRESH, DnsFamily, DnsKind, DnsSource, EndpointSource, OriginalDestination,
};
use crate::resource::endpoint::{Assignment, LbEndpoint, LocalityEndpoints};
use crate::resource::{Kind, Resource};
use crate::xds::client::Client;
use std::sync::Arc;
use std::time::Duration;

/// istiod's cluster for what is in no registry; its other clusters of this kind are services of which only the caller
/// knows where they are.
const PASSTHROUGH: &str = "PassthroughCluster";

/// The cluster of this name, if it leads to whatever address its callers mean.
pub(super) fn original_destination(name: &str, client: Option<&Client<Kind>>) -> Option<Arc<Cluster>> {
    match client?.get(Kind::Cluster, name)?.value()? {
        Resource::Cluster(cluster) => {
            let header = match &cluster.endpoints {
                EndpointSource::OriginalDestination(original) => &original.header,
                _ => return None,
            };
            header.is_none().then(|| cluster.clone())
        }
        _ => None,
    }
}

/// The cluster as it is for one target: nothing is intercepted here, so callers mean the target's own name.
pub(super) fn destination(spec: &TargetSpec, cluster: &Cluster) -> Result<Arc<Cluster>, Failure> {
    let refuses = matches!(
        spec.origin,
        Origin::ControlPlane { fallback: Fallback::Refuse, .. }
            | Origin::Sidecar { fallback: Fallback::Refuse }
    );
    if refuses && &*cluster.name == PASSTHROUGH {
        let why = format!(
            "the control plane knows no endpoints of {}: it would pass its requests through, which this target does not allow",
            spec.name
        );
        return Err(Failure::new(ErrorKind::Missing, why));
    }
    Ok(Arc::new(meant(cluster, &spec.name)))
}

/// The same cluster, with the endpoints that `authority` leads to by DNS.
fn meant(cluster: &Cluster, authority: &str) -> Cluster {
    let assignment = match &cluster.endpoints {
        EndpointSource::OriginalDestination(OriginalDestination { port: Some(port), .. }) => {
            by_name(&format!("{}:{port}", split(authority).0))
        }
        _ => by_name(authority),
    };
    let endpoints = EndpointSource::Dns(Arc::new(DnsSource {
        assignment: Arc::new(assignment),
        kind: DnsKind::Strict,
        refresh: DEFAULT_DNS_REFRESH,
        respect_ttl: false,
        failure_refresh: None,
        jitter: Duration::ZERO,
        family: DnsFamily::All,
    }));
    Cluster { endpoints, ..cluster.clone() }
}

/// Where `authority` leads by DNS.
pub(super) fn by_name(authority: &str) -> Assignment {
    let address = Address::parse(authority).unwrap_or_else(|_| Address::host_port(authority, DEFAULT_PORT));
    Assignment::new(vec![vec![LocalityEndpoints::anywhere([LbEndpoint::new(address)])]])
}
