//! `Cluster`: a set of endpoints and how to use them.

use super::http_options::{HttpOptions, TcpKeepalive};
use super::invalid::{At, Checked, Invalid, check_name, duration, unpack};
use super::lb_parts::percent;
use super::metadata::Metadata;
use super::outlier::OutlierDetection;
use super::providers::CertificateProviders;
use super::strictness::Strictness;
use super::thresholds::CircuitLimits;
use super::tls::TransportSockets;
use crate::xds::load_metrics::MetricChoice;
use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use std::sync::Arc;
use std::time::Duration;

pub use super::cluster_type::{DEFAULT_DNS_REFRESH, DnsKind, DnsSource, EndpointSource, OriginalDestination};
pub use super::lb_policy::{LbPolicy, Localities, Picking};
pub use crate::net::DnsFamily;

/// The share of healthy endpoints below which health is ignored, in percent, where a cluster does not say (Envoy).
pub const DEFAULT_PANIC_THRESHOLD: f64 = 50.0;

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
    /// Whether and how connections are secured.
    pub transport: TransportSockets,
    /// Which endpoints are taken out of use because of how they answer; none turns that off.
    pub outlier: Option<Arc<OutlierDetection>>,
    /// How much may be under way at once.
    pub limits: CircuitLimits,
    /// How HTTP is spoken.
    pub http: HttpOptions,
    /// How dead connections are found; none leaves that to the operating system.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Health is ignored if less than this share of endpoints is healthy, in percent; none is
    /// [`DEFAULT_PANIC_THRESHOLD`] for Envoy and never for gRPC.
    pub panic_threshold: Option<f64>,
    /// What labels endpoints may be chosen by: sets of keys of `envoy.lb` metadata.
    pub subsets: Vec<Arc<[Box<str>]>>,
    /// Whether load is reported to the control plane that sent the cluster.
    pub report_load: bool,
    /// Which metrics of its endpoints are reported with it (gRFC A85).
    pub report_metrics: MetricChoice,
    /// What is attached: `istio.config` is the path of the DestinationRule.
    pub metadata: Option<Arc<Metadata>>,
}

impl Cluster {
    /// A cluster about which nothing else is said.
    #[must_use]
    pub fn new(name: Arc<str>, endpoints: EndpointSource) -> Self {
        Self {
            name,
            endpoints,
            policy: LbPolicy::default(),
            connect_timeout: None,
            transport: TransportSockets::default(),
            outlier: None,
            limits: CircuitLimits::default(),
            http: HttpOptions::default(),
            tcp_keepalive: None,
            panic_threshold: None,
            subsets: Vec::new(),
            report_load: false,
            report_metrics: MetricChoice::default(),
            metadata: None,
        }
    }
}

/// Decodes the resource `name`.
pub(super) fn decode(
    name: &str,
    bytes: &[u8],
    providers: &CertificateProviders,
    strictness: Strictness,
) -> Checked<Cluster> {
    let proto: proto::Cluster = unpack(bytes)?;
    check_name(&proto.name, name).at("name")?;
    if let Some(server) = &proto.lrs_server
        && !matches!(server.config_source_specifier, Some(ConfigSourceSpecifier::Self_(_)))
    {
        return Err(Invalid::new("must be self")).at("lrs_server");
    }
    let common = proto.common_lb_config.as_ref();
    let panic = common.and_then(|common| common.healthy_panic_threshold.as_ref());
    let panic = panic.map(|share| percent(Some(share), 0.0)).transpose();
    let subsets = proto.lb_subset_config.iter().flat_map(|config| &config.subset_selectors);
    let keepalive = proto.upstream_connection_options.as_ref();
    Ok(Cluster {
        name: proto.name.as_str().into(),
        endpoints: EndpointSource::from_proto(&proto, strictness)?,
        policy: LbPolicy::from_proto(&proto)?,
        connect_timeout: duration(proto.connect_timeout.as_ref())
            .at("connect_timeout")?
            .filter(|timeout| !timeout.is_zero()),
        transport: TransportSockets::from_proto(
            &proto.transport_socket_matches,
            proto.transport_socket.as_ref(),
            providers,
            strictness,
        )?,
        outlier: proto
            .outlier_detection
            .as_ref()
            .map(OutlierDetection::from_proto)
            .transpose()
            .at("outlier_detection")?
            .map(Arc::new),
        limits: match &proto.circuit_breakers {
            Some(limits) => CircuitLimits::from_proto(limits).at("circuit_breakers")?,
            None => CircuitLimits::default(),
        },
        http: HttpOptions::from_proto(&proto)?,
        tcp_keepalive: keepalive
            .and_then(|options| options.tcp_keepalive.as_ref())
            .map(TcpKeepalive::from_proto),
        panic_threshold: panic.at("healthy_panic_threshold").at("common_lb_config")?,
        subsets: subsets
            .map(|selector| selector.keys.iter().map(|key| key.as_str().into()).collect())
            .collect(),
        report_load: proto.lrs_server.is_some(),
        report_metrics: MetricChoice::new(&proto.lrs_report_endpoint_metrics),
        metadata: Metadata::from_proto(proto.metadata).at("metadata")?,
    })
}
