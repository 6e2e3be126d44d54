//! Listeners that have an address: a gRPC server's, and those that a sidecar would open.
//!
//! A gRPC server's listener has to be understood in all its parts, and is refused otherwise (gRFC A36). A sidecar's says in
//! which direction it looks, or comes from a control plane that was told to treat us as one. It is meant for Envoy, and is read as far as it helps: which routes or clusters stand behind
//! which address.

use super::address::{self, Cidr, read_cidr};
use super::extension::{Config, Extension};
use super::filter::Side;
use super::hcm::HttpManager;
use super::invalid::{At, Checked, Invalid, unpack};
use super::providers::CertificateProviders;
use super::route_action::check_shares;
use super::strictness::Strictness;
use super::tls::DownstreamTls;
use crate::net::Address;
use mesh_proto::envoy::config::core::v3::{CidrRange, TrafficDirection};
use mesh_proto::envoy::config::listener::v3 as proto;
use mesh_proto::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
use proto::listener::ListenerSpecifier;
use std::collections::HashMap;
use std::sync::Arc;

/// A listener that has an address.
#[derive(Clone, Debug)]
pub struct ServerListener {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: Address,
    /// Where it listens as well.
    pub additional: Vec<Address>,
    /// In which direction it looks.
    pub direction: Direction,
    /// Whether connections go on to the listener of the address that they were made to.
    pub use_original_dst: bool,
    /// What happens to a connection, by the chain whose conditions are the most specific ones that hold.
    pub chains: Vec<FilterChain>,
    /// What happens to connections that no chain takes; none closes them.
    pub default_chain: Option<FilterChain>,
}

/// In which direction a listener looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Not said: a gRPC server's, or one that a sidecar has for something else.
    Unsaid,
    /// Into the workload.
    Inbound,
    /// Out of the workload.
    Outbound,
}

/// What happens to some connections.
#[derive(Clone, Debug)]
pub struct FilterChain {
    /// Its name.
    pub name: Arc<str>,
    /// Which connections.
    pub condition: ChainMatch,
    /// How they are secured; none is not at all.
    pub tls: Option<Arc<DownstreamTls>>,
    /// What happens to them.
    pub action: ChainAction,
    /// Whether an Istio resource says so, such as a VirtualService (`config` of the metadata of `istio`): without, a sidecar's
    /// chain for bytes leads to the service that has its address.
    pub configured: bool,
}

/// Which connections a chain takes. An empty list is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChainMatch {
    /// The port that they were made to.
    pub destination_port: Option<u32>,
    /// The address that they were made to.
    pub destinations: Vec<Cidr>,
    /// The address that they come from.
    pub sources: Vec<Cidr>,
    /// The address that they come from, whatever a proxy says.
    pub direct_sources: Vec<Cidr>,
    /// Where they come from.
    pub source_type: SourceType,
    /// The port that they come from.
    pub source_ports: Vec<u32>,
    /// The server names that TLS asks for.
    pub server_names: Vec<Box<str>>,
    /// `tls`, `raw_buffer`, or empty for any.
    pub transport_protocol: Box<str>,
    /// The protocols that TLS offers, or that were found by looking.
    pub application_protocols: Vec<Box<str>>,
}

/// Where connections come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SourceType {
    /// Anywhere.
    #[default]
    Any,
    /// The same host.
    SameHost,
    /// Another host.
    External,
}

/// What happens to connections.
#[derive(Clone, Debug)]
pub enum ChainAction {
    /// Their HTTP requests are routed.
    Http(Arc<HttpManager>),
    /// Their bytes are forwarded.
    Tcp(TcpProxy),
    /// Something else, or what cannot be understood, and why; only for sidecars.
    Other(Box<str>),
}

/// Where bytes are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpProxy {
    /// The clusters and their weights. Never empty, no weight is zero, and the sum fits `u32`.
    pub clusters: Vec<(Arc<str>, u32)>,
}

impl ServerListener {
    pub(super) fn from_proto(
        proto: &proto::Listener,
        providers: &CertificateProviders,
        strictness: Strictness,
    ) -> Checked<Self> {
        let internal = matches!(proto.listener_specifier, Some(ListenerSpecifier::InternalListener(_)));
        if proto.address.is_none() && !internal {
            return Err(Invalid::new("a listener needs an api_listener or an address"));
        }
        let direction = match TrafficDirection::try_from(proto.traffic_direction) {
            Ok(TrafficDirection::Inbound) => Direction::Inbound,
            Ok(TrafficDirection::Outbound) => Direction::Outbound,
            _ => Direction::Unsaid,
        };
        let use_original_dst = proto.use_original_dst.as_ref().is_some_and(|flag| flag.value);
        let strictness = match direction {
            // One within Envoy is no gRPC server's.
            Direction::Unsaid if !internal => strictness,
            _ => Strictness::Lenient,
        };
        let address = match internal {
            true => Address::Internal(proto.name.as_str().into()),
            false => address::from_proto(proto.address.as_ref()).at("address")?,
        };
        if strictness == Strictness::Strict {
            if !proto.listener_filters.is_empty() {
                return Err(Invalid::new("is not supported")).at("listener_filters");
            }
            if use_original_dst {
                return Err(Invalid::new("is not supported")).at("use_original_dst");
            }
            if !matches!(address, Address::Ip(_)) {
                return Err(Invalid::new("must be an IP address and a port")).at("address");
            }
        }
        let additional = proto.additional_addresses.iter().enumerate().map(|(index, more)| {
            address::from_proto(more.address.as_ref()).at("address").at_index("additional_addresses", index)
        });
        let additional = additional.collect::<Checked<_>>()?;
        let mut chains = Vec::with_capacity(proto.filter_chains.len());
        for (index, chain) in proto.filter_chains.iter().enumerate() {
            let condition = chain.filter_chain_match.clone().unwrap_or_default();
            if strictness == Strictness::Strict && !can_match(&condition) {
                continue;
            }
            chains.push(
                FilterChain::from_proto(chain, strictness, providers).at_index("filter_chains", index)?,
            );
        }
        if strictness == Strictness::Strict {
            check_overlap(&chains).at("filter_chains")?;
        }
        let default_chain = proto.default_filter_chain.as_ref();
        let default_chain = default_chain.map(|chain| FilterChain::from_proto(chain, strictness, providers));
        let default_chain = default_chain.transpose().at("default_filter_chain")?;
        if strictness == Strictness::Strict && chains.is_empty() && default_chain.is_none() {
            return Err(Invalid::new("no chain can be used, and there is no default_filter_chain"))
                .at("filter_chains");
        }
        let name = proto.name.as_str().into();
        Ok(Self { name, address, additional, direction, use_original_dst, chains, default_chain })
    }
}

/// Whether a gRPC server can have connections that such a chain takes.
fn can_match(proto: &proto::FilterChainMatch) -> bool {
    proto.destination_port.is_none()
        && proto.server_names.is_empty()
        && proto.application_protocols.is_empty()
        && matches!(proto.transport_protocol.as_str(), "" | "raw_buffer")
}

/// Combinations of conditions that the chains of a listener may stand for: each is looked at.
const MAX_COMBINATIONS: usize = 1 << 16;

/// Refuses chains of which no one can tell which takes a connection.
fn check_overlap(chains: &[FilterChain]) -> Checked<()> {
    type Place = (Option<Cidr>, Option<Cidr>, SourceType, Option<Cidr>, Option<u32>);
    fn or_any<T: Copy>(list: &[T]) -> Vec<Option<T>> {
        if list.is_empty() { vec![None] } else { list.iter().copied().map(Some).collect() }
    }
    let mut taken: HashMap<Place, usize> = HashMap::new();
    let mut left = MAX_COMBINATIONS;
    for (index, chain) in chains.iter().enumerate() {
        let condition = &chain.condition;
        let lists = [
            condition.destinations.len(),
            condition.direct_sources.len(),
            condition.sources.len(),
            condition.source_ports.len(),
        ];
        let combinations = lists.iter().fold(1usize, |product, len| product.saturating_mul((*len).max(1)));
        left = left.checked_sub(combinations).ok_or_else(|| {
            Invalid::new(format!("the conditions stand for more than {MAX_COMBINATIONS} combinations"))
        })?;
        for destination in or_any(&condition.destinations) {
            for direct in or_any(&condition.direct_sources) {
                for source in or_any(&condition.sources) {
                    for port in or_any(&condition.source_ports) {
                        let place = (destination, direct, condition.source_type, source, port);
                        if let Some(before) = taken.insert(place, index) {
                            let why = format!("{index} takes connections that {before} takes as well");
                            return Err(Invalid::new(why));
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

impl FilterChain {
    /// Whether it takes connections without TLS to other ports than the proxy's own.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let condition = &self.condition;
        &*condition.transport_protocol != "tls"
            && condition.server_names.is_empty()
            && condition.destination_port.is_none()
    }

    fn from_proto(
        proto: &proto::FilterChain,
        strictness: Strictness,
        providers: &CertificateProviders,
    ) -> Checked<Self> {
        let condition = proto.filter_chain_match.as_ref();
        let condition = condition.map(ChainMatch::from_proto).transpose().at("filter_chain_match")?;
        let read = || {
            let tls = DownstreamTls::from_proto(proto.transport_socket.as_ref(), providers)
                .at("transport_socket")?;
            let action = read_filters(&proto.filters, strictness)?;
            if strictness == Strictness::Strict {
                check_server_tls(tls.as_deref()).at("transport_socket.typed_config")?;
                if !matches!(action, ChainAction::Http(_)) {
                    return Err(Invalid::new("must be one HttpConnectionManager")).at("filters");
                }
            }
            Ok((tls, action))
        };
        let (tls, action) = match (read(), strictness) {
            (Ok(read), _) => read,
            (Err(invalid), Strictness::Strict) => return Err(invalid),
            (Err(invalid), Strictness::Lenient) => (None, ChainAction::Other(invalid.to_string().into())),
        };
        let metadata = proto.metadata.as_ref().and_then(|all| all.filter_metadata.get("istio"));
        let configured = metadata.is_some_and(|istio| istio.fields.contains_key("config"));
        let (name, condition) = (proto.name.as_str().into(), condition.unwrap_or_default());
        Ok(Self { name, condition, tls, action, configured })
    }
}

/// What a gRPC server needs to know of TLS (gRFC A29).
fn check_server_tls(tls: Option<&DownstreamTls>) -> Checked<()> {
    let Some(tls) = tls else { return Ok(()) };
    if tls.require_sni {
        return Err(Invalid::new("is not supported")).at("require_sni");
    }
    if tls.context.identity.is_none() {
        let why = "needs tls_certificate_provider_instance or another certificate";
        return Err(Invalid::new(why)).at("common_tls_context");
    }
    let validation = tls.context.validation.as_ref();
    if tls.require_client_certificate && validation.is_none_or(|validation| validation.roots.is_none()) {
        let why = "callers need a certificate, but no authorities are given";
        return Err(Invalid::new(why)).at("common_tls_context");
    }
    if validation.is_some_and(|validation| !validation.sans.is_empty()) {
        return Err(Invalid::new("match_subject_alt_names is not supported for a server"))
            .at("common_tls_context");
    }
    if validation
        .is_some_and(|validation| matches!(validation.roots, Some(super::tls_context::RootSource::System)))
    {
        return Err(Invalid::new("system_root_certs is not supported for a server")).at("common_tls_context");
    }
    Ok(())
}

/// What the last filter does; those before it only look, or decide.
fn read_filters(protos: &[proto::Filter], strictness: Strictness) -> Checked<ChainAction> {
    let Some((last, before)) = protos.split_last() else {
        return Err(Invalid::new("must not be empty")).at("filters");
    };
    if strictness == Strictness::Strict && !before.is_empty() {
        return Err(Invalid::new("must be one HttpConnectionManager")).at("filters");
    }
    let Some(proto::filter::ConfigType::TypedConfig(any)) = &last.config_type else {
        return Err(Invalid::new("is missing")).at("typed_config").at_index("filters", before.len());
    };
    let read = || {
        let config = Config::of(any)?;
        match config.extension() {
            Some(Extension::HttpConnectionManager) => {
                let side = (strictness == Strictness::Strict).then_some(Side::Server);
                HttpManager::from_proto(&config.decode()?, side).map(Arc::new).map(ChainAction::Http)
            }
            Some(Extension::TcpProxy) => TcpProxy::from_proto(&unpack(&any.value)?).map(ChainAction::Tcp),
            _ => Err(Invalid::new(format!("{:?} is not supported", config.message))),
        }
    };
    read().at("typed_config").at_index("filters", before.len())
}

impl ChainMatch {
    fn from_proto(proto: &proto::FilterChainMatch) -> Checked<Self> {
        use proto::filter_chain_match::ConnectionSourceType as Proto;
        let ranges = |protos: &[CidrRange], name: &str| {
            let protos = protos.iter().enumerate();
            protos.map(|(index, range)| read_cidr(range).at_index(name, index)).collect::<Checked<_>>()
        };
        let texts = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
        Ok(Self {
            destination_port: proto.destination_port.as_ref().map(|port| port.value),
            destinations: ranges(&proto.prefix_ranges, "prefix_ranges")?,
            sources: ranges(&proto.source_prefix_ranges, "source_prefix_ranges")?,
            direct_sources: ranges(&proto.direct_source_prefix_ranges, "direct_source_prefix_ranges")?,
            source_type: match Proto::try_from(proto.source_type) {
                Ok(Proto::Any) => SourceType::Any,
                Ok(Proto::SameIpOrLoopback) => SourceType::SameHost,
                Ok(Proto::External) => SourceType::External,
                Err(_) => {
                    return Err(Invalid::new(format!("{} is unknown", proto.source_type))).at("source_type");
                }
            },
            source_ports: proto.source_ports.clone(),
            server_names: texts(&proto.server_names),
            transport_protocol: proto.transport_protocol.as_str().into(),
            application_protocols: texts(&proto.application_protocols),
        })
    }
}

impl TcpProxy {
    fn from_proto(proto: &tcp::TcpProxy) -> Checked<Self> {
        use tcp::tcp_proxy::ClusterSpecifier;
        let clusters = match &proto.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => vec![(cluster_name(name).at("cluster")?, 1)],
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                weighted_clusters(weighted).at("weighted_clusters")?
            }
            None => return Err(Invalid::new("is missing")).at("cluster_specifier"),
        };
        Ok(Self { clusters })
    }
}

fn weighted_clusters(proto: &tcp::tcp_proxy::WeightedCluster) -> Checked<Vec<(Arc<str>, u32)>> {
    let mut clusters = Vec::with_capacity(proto.clusters.len());
    for (index, cluster) in proto.clusters.iter().enumerate().filter(|(_, cluster)| cluster.weight > 0) {
        let name = cluster_name(&cluster.name).at("name").at_index("clusters", index)?;
        clusters.push((name, cluster.weight));
    }
    check_shares(clusters.iter().map(|(_, weight)| u64::from(*weight)).sum()).at("clusters")?;
    Ok(clusters)
}

fn cluster_name(name: &str) -> Checked<Arc<str>> {
    if name.is_empty() { Err(Invalid::new("must not be empty")) } else { Ok(name.into()) }
}
