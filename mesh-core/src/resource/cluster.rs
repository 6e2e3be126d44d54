//! `Cluster`: a set of endpoints and how to use them.

use super::endpoint::{self, Assignment};
use super::invalid::{At, Checked, Invalid, duration, unpack};
use super::listener::check_source;
use mesh_proto::envoy::config::cluster::v3 as proto;
use proto::cluster::{ClusterDiscoveryType, DiscoveryType};
use std::sync::Arc;
use std::time::Duration;

/// A set of endpoints and how to use them.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: Arc<str>,
    /// Where its endpoints come from.
    pub endpoints: EndpointSource,
    /// How endpoints are chosen.
    pub policy: LbPolicy,
    /// How long a connection may take to be made; none is the default.
    pub connect_timeout: Option<Duration>,
    /// Whether connections have to be secured by TLS.
    pub tls: bool,
}

/// Where the endpoints of a cluster come from.
#[derive(Clone, Debug)]
pub enum EndpointSource {
    /// From the assignment of this name.
    Named(Arc<str>),
    /// They are in the cluster itself.
    Inline(Arc<Assignment>),
}

/// How the control plane wants endpoints to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LbPolicy {
    /// In turn.
    RoundRobin,
    /// The one with fewer requests in flight, of some.
    LeastRequest,
    /// By a hash of the request, on a ring.
    RingHash,
    /// At random.
    Random,
    /// By a hash of the request, in a table.
    Maglev,
    /// As the field `load_balancing_policy` says.
    Extension,
}

/// Decodes the resource `name`.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Checked<Cluster> {
    let proto: proto::Cluster = unpack(bytes)?;
    if proto.name != name {
        return Err(Invalid::new("is given twice")).at("name");
    }
    let endpoints = match &proto.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => match DiscoveryType::try_from(*kind) {
            Ok(DiscoveryType::Eds) => eds(&proto)?,
            Ok(DiscoveryType::Static) => inline(&proto)?,
            Ok(other) => {
                return Err(Invalid::new(format!("{} is not supported", other.as_str_name()))).at("type");
            }
            Err(_) => return Err(Invalid::new(format!("{kind} is unknown"))).at("type"),
        },
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            return Err(Invalid::new(format!("{:?} is not supported", custom.name))).at("cluster_type");
        }
        None => inline(&proto)?,
    };
    Ok(Cluster {
        name: proto.name.as_str().into(),
        endpoints,
        policy: lb_policy(&proto)?,
        connect_timeout: duration(proto.connect_timeout.as_ref())
            .at("connect_timeout")?
            .filter(|timeout| !timeout.is_zero()),
        tls: proto.transport_socket.is_some() || !proto.transport_socket_matches.is_empty(),
    })
}

fn eds(proto: &proto::Cluster) -> Checked<EndpointSource> {
    let config = proto.eds_cluster_config.clone().unwrap_or_default();
    check_source(config.eds_config.as_ref()).at("eds_config").at("eds_cluster_config")?;
    let name = if !config.service_name.is_empty() {
        config.service_name
    } else if proto.name.starts_with("xdstp:") {
        let why = "must not be empty where the cluster's name is an xdstp: one";
        return Err(Invalid::new(why)).at("service_name").at("eds_cluster_config");
    } else {
        proto.name.clone()
    };
    Ok(EndpointSource::Named(name.into()))
}

fn inline(proto: &proto::Cluster) -> Checked<EndpointSource> {
    let Some(assignment) = &proto.load_assignment else {
        return Err(Invalid::new("a STATIC cluster needs it")).at("load_assignment");
    };
    let assignment = endpoint::from_proto(assignment, 1).at("load_assignment")?;
    Ok(EndpointSource::Inline(Arc::new(assignment)))
}

fn lb_policy(proto: &proto::Cluster) -> Checked<LbPolicy> {
    use proto::cluster::LbPolicy as Proto;
    if proto.load_balancing_policy.is_some() {
        return Ok(LbPolicy::Extension);
    }
    match Proto::try_from(proto.lb_policy) {
        Ok(Proto::RoundRobin) => Ok(LbPolicy::RoundRobin),
        Ok(Proto::LeastRequest) => Ok(LbPolicy::LeastRequest),
        Ok(Proto::RingHash) => Ok(LbPolicy::RingHash),
        Ok(Proto::Random) => Ok(LbPolicy::Random),
        Ok(Proto::Maglev) => Ok(LbPolicy::Maglev),
        Ok(other) => Err(Invalid::new(format!("{} is not supported", other.as_str_name()))).at("lb_policy"),
        Err(_) => Err(Invalid::new(format!("{} is unknown", proto.lb_policy))).at("lb_policy"),
    }
}
