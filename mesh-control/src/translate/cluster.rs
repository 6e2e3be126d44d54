//! Clusters: how a service, or a subset of it, is called.

use super::key::ClusterKey;
use super::merged::merged;
use super::{proto, tls};
use crate::index::{Service, View};
use crate::model::parts::Parts;
use crate::model::traffic_policy::{LoadBalancer, Simple, TlsMode};
use cluster::circuit_breakers::Thresholds;
use cluster::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbConfig, LbPolicy, MaglevLbConfig,
    RingHashLbConfig,
};
use mesh_proto::envoy::config::cluster::v3 as cluster;
use std::sync::Arc;

/// The least size of a ring, where nothing is said.
const RING_SIZE: u64 = 1024;

/// The cluster of this name; `None` without the service, the port or the subset.
pub(super) fn cluster(view: &View<'_>, name: &str) -> Option<cluster::Cluster> {
    let key = ClusterKey::parse(name)?;
    let service = view.service(key.host)?;
    service.port(key.port)?;
    let policy = view.policy(&service);
    let policy = policy.as_deref();
    if !key.subset.is_empty() {
        policy?.subset(key.subset)?;
    }
    // Endpoints always come apart, whatever resolution the service has.
    let mut cluster = cluster::Cluster {
        name: name.to_owned(),
        alt_stat_name: format!("{name};"),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(proto::ads()),
            service_name: name.to_owned(),
        }),
        ..Default::default()
    };
    if let Some(policy) = policy {
        apply(&mut cluster, view, &service, &merged(policy, key.subset, key.port));
    }
    Some(cluster)
}

fn apply(cluster: &mut cluster::Cluster, view: &View<'_>, service: &Arc<Service>, policy: &Parts<'_>) {
    if let Some(balancer) = policy.load_balancer {
        load_balancer(cluster, balancer);
    }
    let requests =
        policy.connection_pool.and_then(|pool| pool.http.as_ref()).map_or(0, |http| http.http2_max_requests);
    if let Some(requests) = u32::try_from(requests).ok().filter(|requests| *requests > 0) {
        let thresholds = Thresholds { max_requests: Some(proto::uint32(requests)), ..Default::default() };
        cluster.circuit_breakers =
            Some(cluster::CircuitBreakers { thresholds: vec![thresholds], ..Default::default() });
    }
    // The other modes are not for this dialect.
    if policy.tls.is_some_and(|tls| tls.mode == TlsMode::IstioMutual) {
        cluster.transport_socket = Some(tls::mesh_socket(view, service));
    }
}

fn load_balancer(cluster: &mut cluster::Cluster, balancer: &LoadBalancer) {
    let Some(hash) = &balancer.consistent_hash else {
        let policy = match balancer.simple {
            Some(Simple::LeastRequest) => LbPolicy::LeastRequest,
            // The others are not for this dialect, nor is the old name of this one.
            _ => LbPolicy::RoundRobin,
        };
        cluster.lb_policy = policy.into();
        return;
    };
    // A size of 0 leaves it to the client.
    let size = |size: u64| (size > 0).then(|| proto::uint64(size));
    if let Some(maglev) = &hash.maglev {
        cluster.lb_policy = LbPolicy::Maglev.into();
        let config = |it| LbConfig::MaglevLbConfig(MaglevLbConfig { table_size: Some(it) });
        cluster.lb_config = size(maglev.table_size).map(config);
        return;
    }
    let size = match &hash.ring_hash {
        Some(ring) => size(ring.minimum_ring_size),
        None => size(hash.minimum_ring_size).or_else(|| size(RING_SIZE)),
    };
    let config = |it| {
        LbConfig::RingHashLbConfig(RingHashLbConfig { minimum_ring_size: Some(it), ..Default::default() })
    };
    cluster.lb_policy = LbPolicy::RingHash.into();
    cluster.lb_config = size.map(config);
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
