//! Where the endpoints of a cluster come from.

use super::endpoint::{self, Assignment};
use super::extension::{Config, Extension};
use super::hcm::check_source;
use super::invalid::{At, Checked, Invalid, duration};
use super::strictness::Strictness;
use crate::net::{Address, DnsFamily};
use crate::xds::name::is_federated;
use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::extensions::clusters;
use proto::cluster::{ClusterDiscoveryType, DiscoveryType, LbConfig};
use std::sync::Arc;
use std::time::Duration;

/// The time between lookups in DNS where a cluster does not say (Envoy).
pub const DEFAULT_DNS_REFRESH: Duration = Duration::from_secs(5);

/// Where the endpoints of a cluster come from.
#[derive(Clone, Debug)]
pub enum EndpointSource {
    /// From the assignment of this name.
    Named(Arc<str>),
    /// They are in the cluster itself.
    Inline(Arc<Assignment>),
    /// From DNS.
    Dns(Arc<DnsSource>),
    /// From other clusters, the best first; each is a priority or several (gRFC A37).
    Aggregate(Arc<[Arc<str>]>),
    /// They are the addresses that callers mean.
    OriginalDestination(OriginalDestination),
}

/// Endpoints from DNS.
#[derive(Clone, Debug)]
pub struct DnsSource {
    /// The names to look up, as addresses of endpoints.
    pub assignment: Arc<Assignment>,
    /// Whether each address is an endpoint, or each name (then the next address is taken with each connection).
    pub kind: DnsKind,
    /// The time between lookups. Default: [`DEFAULT_DNS_REFRESH`]; not below
    /// [`MIN_DNS_REFRESH`](crate::cluster::dns::MIN_DNS_REFRESH) in effect.
    pub refresh: Duration,
    /// Whether the time between lookups is that of the records instead.
    pub respect_ttl: bool,
    /// The times between lookups after failures, first and last; none is `refresh`.
    pub failure_refresh: Option<(Duration, Duration)>,
    /// What is added to the time between lookups at random, at most.
    pub jitter: Duration,
    /// The addresses to use.
    pub family: DnsFamily,
}

/// Whether each address is an endpoint, or each name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsKind {
    /// Each address (Envoy `STRICT_DNS`).
    Strict,
    /// Each name (Envoy `LOGICAL_DNS`).
    Logical,
}

/// How the address that a caller means is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginalDestination {
    /// The request header that names it; none is the address that the connection was made to.
    pub header: Option<Box<str>>,
    /// The port to use instead of the caller's.
    pub port: Option<u16>,
}

impl EndpointSource {
    pub(super) fn from_proto(proto: &proto::Cluster, strictness: Strictness) -> Checked<Self> {
        match &proto.cluster_discovery_type {
            Some(ClusterDiscoveryType::Type(kind)) => match DiscoveryType::try_from(*kind) {
                Ok(DiscoveryType::Eds) => eds(proto),
                Ok(DiscoveryType::Static) => inline(proto, strictness),
                Ok(DiscoveryType::StrictDns) => dns(proto, DnsKind::Strict, None, strictness),
                Ok(DiscoveryType::LogicalDns) => dns(proto, DnsKind::Logical, None, strictness),
                Ok(DiscoveryType::OriginalDst) => original_destination(proto),
                Err(_) => Err(Invalid::new(format!("{kind} is unknown"))).at("type"),
            },
            Some(ClusterDiscoveryType::ClusterType(custom)) => {
                let config = custom.typed_config.as_ref().ok_or_else(|| Invalid::new("is missing"));
                let read = config.and_then(|any| {
                    let config = Config::of(any)?;
                    match config.extension() {
                        Some(Extension::Aggregate) => aggregate(&config.decode()?),
                        Some(Extension::DnsCluster) => {
                            let dns_config: clusters::dns::v3::DnsCluster = config.decode()?;
                            let kind = match dns_config.all_addresses_in_single_endpoint {
                                true => DnsKind::Logical,
                                false => DnsKind::Strict,
                            };
                            dns(proto, kind, Some(&dns_config), strictness)
                        }
                        // Istio's `resolution: DYNAMIC_DNS`: where the name leads that callers mean.
                        Some(Extension::DynamicForwardProxy) => {
                            Ok(Self::OriginalDestination(OriginalDestination::default()))
                        }
                        _ => Err(Invalid::new(format!("{:?} is not supported", config.message))),
                    }
                });
                read.at("typed_config").at("cluster_type")
            }
            None => inline(proto, strictness),
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Named(_) => "in an assignment",
            Self::Inline(_) => "in the cluster",
            Self::Dns(_) => "in DNS",
            Self::Aggregate(_) => "those of other clusters",
            Self::OriginalDestination(_) => "the addresses that callers mean",
        }
    }

    /// The endpoints that are given with the cluster, to be connected to as they stand.
    #[must_use]
    pub fn given(&self) -> Option<&Arc<Assignment>> {
        match self {
            Self::Inline(assignment) => Some(assignment),
            Self::Dns(dns) => Some(&dns.assignment),
            _ => None,
        }
    }
}

fn eds(proto: &proto::Cluster) -> Checked<EndpointSource> {
    let config = proto.eds_cluster_config.clone().unwrap_or_default();
    check_source(config.eds_config.as_ref()).at("eds_config").at("eds_cluster_config")?;
    let name = if !config.service_name.is_empty() {
        config.service_name
    } else if is_federated(&proto.name) {
        let why = "must not be empty where the cluster's name is an xdstp: one";
        return Err(Invalid::new(why)).at("service_name").at("eds_cluster_config");
    } else {
        proto.name.clone()
    };
    Ok(EndpointSource::Named(name.into()))
}

fn inline(proto: &proto::Cluster, strictness: Strictness) -> Checked<EndpointSource> {
    // Without endpoints, all requests fail: Istio's `BlackHoleCluster`.
    let given = proto.load_assignment.clone().unwrap_or_default();
    let assignment = endpoint::from_proto(given, 1, strictness).at("load_assignment")?;
    Ok(EndpointSource::Inline(Arc::new(assignment)))
}

fn dns(
    proto: &proto::Cluster,
    kind: DnsKind,
    config: Option<&clusters::dns::v3::DnsCluster>,
    strictness: Strictness,
) -> Checked<EndpointSource> {
    let given = proto.load_assignment.clone().ok_or_else(|| Invalid::new("is missing"));
    let assignment =
        given.and_then(|given| endpoint::from_proto(given, 1, strictness)).at("load_assignment")?;
    let endpoints = || assignment.priorities.iter().flatten().flat_map(|locality| locality.endpoints.iter());
    if kind == DnsKind::Logical && (assignment.localities().count() != 1 || endpoints().count() != 1) {
        return Err(Invalid::new("needs exactly one locality with one endpoint")).at("load_assignment");
    }
    for endpoint in endpoints() {
        let port = match &endpoint.address {
            Address::Dns { port, .. } => *port,
            Address::Ip(ip) => ip.port(),
            Address::Unix(_) | Address::Internal(_) => {
                let why = format!("{} cannot be looked up", endpoint.address);
                return Err(Invalid::new(why)).at("load_assignment");
            }
        };
        if port == 0 {
            return Err(Invalid::new(format!("{} has no port", endpoint.address))).at("load_assignment");
        }
    }
    #[expect(deprecated, reason = "istiod sends these fields of the cluster")]
    let (refresh, failure, ttl, jitter, family) = match config {
        Some(config) => (
            &config.dns_refresh_rate,
            config.dns_failure_refresh_rate.as_ref().map(|rate| (rate.base_interval, rate.max_interval)),
            config.respect_dns_ttl,
            &config.dns_jitter,
            // The enumeration has an `UNSPECIFIED` before the values of the other.
            config.dns_lookup_family.saturating_sub(1).max(0),
        ),
        None => (
            &proto.dns_refresh_rate,
            proto.dns_failure_refresh_rate.as_ref().map(|rate| (rate.base_interval, rate.max_interval)),
            proto.respect_dns_ttl,
            &proto.dns_jitter,
            proto.dns_lookup_family,
        ),
    };
    let refresh = duration(refresh.as_ref()).at("dns_refresh_rate")?;
    let failure_refresh = match failure {
        None => None,
        Some((base, max)) => {
            let base = duration(base.as_ref()).at("base_interval").at("dns_failure_refresh_rate")?;
            let max = duration(max.as_ref()).at("max_interval").at("dns_failure_refresh_rate")?;
            base.map(|base| (base, max.unwrap_or(base).max(base)))
        }
    };
    Ok(EndpointSource::Dns(Arc::new(DnsSource {
        assignment: Arc::new(assignment),
        kind,
        refresh: refresh.filter(|time| !time.is_zero()).unwrap_or(DEFAULT_DNS_REFRESH),
        respect_ttl: ttl,
        failure_refresh,
        jitter: duration(jitter.as_ref()).at("dns_jitter")?.unwrap_or_default(),
        family: match family {
            0 => DnsFamily::V6First,
            1 => DnsFamily::V4,
            2 => DnsFamily::V6,
            3 => DnsFamily::V4First,
            4 => DnsFamily::All,
            _ => return Err(Invalid::new(format!("{family} is unknown"))).at("dns_lookup_family"),
        },
    })))
}

fn aggregate(proto: &clusters::aggregate::v3::ClusterConfig) -> Checked<EndpointSource> {
    if proto.clusters.is_empty() {
        return Err(Invalid::new("must not be empty")).at("clusters");
    }
    if let Some(index) = proto.clusters.iter().position(String::is_empty) {
        return Err(Invalid::new("must not be empty")).at_index("clusters", index);
    }
    let clusters = proto.clusters.iter().map(|name| name.as_str().into());
    Ok(EndpointSource::Aggregate(clusters.collect()))
}

fn original_destination(proto: &proto::Cluster) -> Checked<EndpointSource> {
    let Some(LbConfig::OriginalDstLbConfig(config)) = &proto.lb_config else {
        return Ok(EndpointSource::OriginalDestination(OriginalDestination::default()));
    };
    let header = match config.http_header_name.as_str() {
        _ if !config.use_http_header => None,
        "" => Some("x-envoy-original-dst-host".into()),
        name => Some(name.to_ascii_lowercase().into()),
    };
    let port = config.upstream_port_override.as_ref().map(|port| u16::try_from(port.value));
    let port = port.transpose().map_err(|_| Invalid::new("is no port"));
    let port = port.at("upstream_port_override").at("original_dst_lb_config")?;
    Ok(EndpointSource::OriginalDestination(OriginalDestination { header, port }))
}
