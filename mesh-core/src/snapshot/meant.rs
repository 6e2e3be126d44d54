//! Clusters that lead to whatever address their callers mean (Envoy `ORIGINAL_DST`).
//!
//! A sidecar knows that address from the connection that it caught. Nothing is caught here: callers mean the name that they
//! call, wherever that leads by DNS.

use super::destination::{DEFAULT_PORT, split};
use super::entry::Entry;
use super::target::{Fallback, Origin, TargetSpec};
use super::verdict::{Verdict, look_up};
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
        Resource::Cluster(cluster) => is_meant(cluster).then(|| cluster.clone()),
        _ => None,
    }
}

/// Whether a cluster leads to whatever its callers mean, and they need no header to say so.
fn is_meant(cluster: &Cluster) -> bool {
    matches!(&cluster.endpoints, EndpointSource::OriginalDestination(original) if original.header.is_none())
}

/// Why a target may not use such a cluster; none if it may.
pub(super) fn refusal(spec: &TargetSpec, cluster: &Cluster) -> Option<Failure> {
    let refuses = matches!(
        spec.origin,
        Origin::ControlPlane { fallback: Fallback::Refuse, .. }
            | Origin::Sidecar { fallback: Fallback::Refuse }
    );
    (refuses && &*cluster.name == PASSTHROUGH).then(|| {
        let why = format!(
            "the control plane knows no endpoints of {}: it would pass its requests through, which this target does not allow",
            spec.name
        );
        Failure::new(ErrorKind::Missing, why)
    })
}

/// The cluster as it is for callers of `authority`: nothing is intercepted here, so that is what they mean. If it leads elsewhere
/// by now, that is told, and what it was stays until the routes know it.
pub(super) fn follow(
    entry: &mut Entry,
    authority: &str,
    client: Option<&Client<Kind>>,
    elsewhere: impl FnOnce(),
) -> Result<Arc<Cluster>, Verdict> {
    let source = look_up(&entry.key.name, client)?;
    if !is_meant(&source) {
        elsewhere();
        return Err(Verdict::Wait);
    }
    if let Some((before, made)) = &entry.meant
        && Arc::ptr_eq(before, &source)
    {
        return Ok(made.clone());
    }
    let made = Arc::new(meant(&source, authority));
    entry.meant = Some((source, made.clone()));
    Ok(made)
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
