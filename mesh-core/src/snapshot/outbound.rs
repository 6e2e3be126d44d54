//! What a sidecar's listeners say about a destination.
//!
//! A sidecar is not told about targets by name: it gets the listeners that it would open to catch what its workload
//! sends out, and each says which routes or clusters stand behind an address. This finds the one that a connection to a
//! destination would reach, by the names that stand in it: nothing is captured here, so addresses alone do not tell.

use crate::net::Address;
use crate::resource::listener::{ChainAction, Direction, FilterChain, HttpManager, RouteSource};
use crate::resource::listener::{ServerListener, TcpProxy};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The port of a destination that names none.
pub(super) const DEFAULT_PORT: u16 = 80;
/// Names of Kubernetes services may be written short; these follow the namespace in the long form.
const SERVICE_INFIX: &str = "svc";

/// The listeners of a sidecar by the port that they catch.
#[derive(Debug)]
pub(super) struct Outbound {
    /// What completes short names of services: `NAMESPACE.svc.cluster.local`.
    domain: Box<str>,
    by_port: BTreeMap<u16, BTreeSet<Arc<str>>>,
    ports: BTreeMap<Arc<str>, u16>,
    /// Those that catch what no other does.
    catch_all: BTreeSet<Arc<str>>,
}

/// What stands behind a destination.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behind<'a> {
    /// Routes.
    Http(&'a HttpManager),
    /// Clusters, whatever is sent.
    Tcp(&'a TcpProxy),
}

impl Outbound {
    /// No listeners yet. The node's id, `sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local`, ends with what completes
    /// short names of services.
    pub(super) fn new(node_id: &str) -> Self {
        let domain = node_id.rsplit_once('~').map_or("", |(_, domain)| domain).into();
        Self { domain, by_port: BTreeMap::new(), ports: BTreeMap::new(), catch_all: BTreeSet::new() }
    }

    /// What stands behind the destination `name`, which is `host:port`.
    pub(super) fn find<'a>(
        &self,
        name: &str,
        get: impl Fn(&str) -> Option<&'a ServerListener>,
    ) -> Option<Behind<'a>> {
        let (host, port) = split(name);
        let listeners = self.candidates(port).filter_map(|name| get(name));
        behind(listeners, host, port, &self.domain)
    }

    /// Takes note of a listener, or of its end; the ports that it caught before or catches now, none of which may be the
    /// only ones concerned if it catches everything.
    pub(super) fn note(&mut self, name: &Arc<str>, listener: Option<&ServerListener>) -> Concerned {
        let mut ports = BTreeSet::new();
        let mut all = self.catch_all.remove(name);
        if let Some(port) = self.ports.remove(name) {
            if let Some(names) = self.by_port.get_mut(&port) {
                names.remove(name);
            }
            ports.insert(port);
        }
        match listener.filter(|listener| listener.direction == Direction::Outbound) {
            Some(listener) if listener.use_original_dst => {
                all |= self.catch_all.insert(name.clone());
            }
            Some(listener) => {
                if let Address::Ip(address) = listener.address {
                    self.by_port.entry(address.port()).or_default().insert(name.clone());
                    self.ports.insert(name.clone(), address.port());
                    ports.insert(address.port());
                }
            }
            None => {}
        }
        if all { Concerned::All } else { Concerned::Ports(ports) }
    }

    /// The names of the listeners that may catch what goes to `port`.
    fn candidates(&self, port: u16) -> impl Iterator<Item = &Arc<str>> {
        self.by_port.get(&port).into_iter().flatten().chain(&self.catch_all)
    }
}

/// Which destinations a change concerns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Concerned {
    /// Those on these ports.
    Ports(BTreeSet<u16>),
    /// All.
    All,
}

/// The host and the port of a destination.
pub(super) fn split(name: &str) -> (&str, u16) {
    let parts = name.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.unwrap_or((name, DEFAULT_PORT))
}

/// What stands behind `host:port`, as `listeners` have it.
fn behind<'a>(
    listeners: impl Iterator<Item = &'a ServerListener>,
    host: &str,
    port: u16,
    domain: &str,
) -> Option<Behind<'a>> {
    let spellings = spellings(host, domain);
    let found = listeners.filter_map(|listener| {
        let behind = action(listener)?;
        Some((fit(listener, behind, &spellings, host, port)?, behind))
    });
    found.max_by_key(|(fit, _)| *fit).map(|(_, behind)| behind)
}

/// How well a listener fits a destination; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It takes what no other takes.
    CatchAll,
    /// It takes every address of the port.
    Port,
    /// It is the destination's own.
    Own,
}

fn fit(
    listener: &ServerListener,
    behind: Behind<'_>,
    spellings: &[String],
    host: &str,
    port: u16,
) -> Option<Fit> {
    if listener.use_original_dst {
        return Some(Fit::CatchAll);
    }
    let Address::Ip(address) = listener.address else { return None };
    let is = |name: &str| spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(name));
    if host.parse::<IpAddr>().is_ok_and(|ip| ip == address.ip()) {
        return Some(Fit::Own);
    }
    let own = match behind {
        Behind::Http(manager) => match &manager.routes {
            RouteSource::Named(name) => {
                name.rsplit_once(':').is_some_and(|(host, of)| of.parse() == Ok(port) && is(host))
            }
            RouteSource::Inline(_) => false,
        },
        Behind::Tcp(proxy) => proxy.clusters.iter().any(|(cluster, _)| service(cluster).is_some_and(is)),
    };
    match own {
        true => Some(Fit::Own),
        false => address.ip().is_unspecified().then_some(Fit::Port),
    }
}

/// What a listener does with connections that are not secured.
fn action(listener: &ServerListener) -> Option<Behind<'_>> {
    let plain = |chain: &&FilterChain| {
        &*chain.condition.transport_protocol != "tls" && chain.condition.server_names.is_empty()
    };
    // A chain for one port only is for connections to the proxy itself.
    let open = |chain: &&FilterChain| chain.condition.destination_port.is_none();
    let chains = || listener.chains.iter().filter(plain).filter(open).chain(&listener.default_chain);
    let http = chains().find_map(|chain| match &chain.action {
        ChainAction::Http(manager) => Some(Behind::Http(manager)),
        _ => None,
    });
    http.or_else(|| {
        chains().find_map(|chain| match &chain.action {
            ChainAction::Tcp(proxy) => Some(Behind::Tcp(proxy)),
            _ => None,
        })
    })
}

/// The host in the name of a cluster: `outbound|9080|v1|reviews.default.svc.cluster.local`.
fn service(cluster: &str) -> Option<&str> {
    let mut parts = cluster.splitn(4, '|');
    (parts.next()? == "outbound").then_some(())?;
    parts.nth(2)
}

/// What a host may be called: itself, and its long forms if it is a short name of a service.
fn spellings(host: &str, domain: &str) -> Vec<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let mut all = vec![host.to_owned()];
    if let Some((_, rest)) = domain.split_once('.') {
        // `rest` is `svc.cluster.local`.
        match host.split('.').collect::<Vec<_>>().as_slice() {
            [_] => all.push(format!("{host}.{domain}")),
            [_, _] => all.push(format!("{host}.{rest}")),
            [_, _, infix] if *infix == SERVICE_INFIX => {
                all.extend(rest.split_once('.').map(|(_, zone)| format!("{host}.{zone}")));
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::listener::Listener;
    use crate::resource::{Kind, Resource};
    use crate::xds::kind::ResourceKind;
    use bytes::Bytes;
    use mesh_proto::envoy::config::core::v3 as core;
    use mesh_proto::envoy::config::listener::v3 as proto;
    use mesh_proto::envoy::extensions::filters::http::router::v3::Router;
    use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
    use mesh_proto::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
    use mesh_proto::pack_any;
    use prost::Message;

    const NODE: &str = "sidecar~127.0.0.1~client.default~default.svc.cluster.local";

    fn chain(
        config: mesh_proto::google::protobuf::Any,
        condition: proto::FilterChainMatch,
    ) -> proto::FilterChain {
        let config_type = Some(proto::filter::ConfigType::TypedConfig(config));
        let filter = proto::Filter { name: "filter".to_owned(), config_type };
        proto::FilterChain {
            filters: vec![filter],
            filter_chain_match: Some(condition),
            ..Default::default()
        }
    }

    fn http(routes: &str) -> proto::FilterChain {
        let ads = core::config_source::ConfigSourceSpecifier::Ads(Default::default());
        let source = core::ConfigSource { config_source_specifier: Some(ads), ..Default::default() };
        let rds = hcm::Rds { config_source: Some(source), route_config_name: routes.to_owned() };
        let router = hcm::http_filter::ConfigType::TypedConfig(pack_any(Router::default()));
        let router =
            hcm::HttpFilter { name: "router".to_owned(), config_type: Some(router), ..Default::default() };
        let manager = hcm::HttpConnectionManager {
            http_filters: vec![router],
            route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(rds)),
            ..Default::default()
        };
        chain(pack_any(manager), Default::default())
    }

    fn forward(cluster: &str) -> proto::FilterChain {
        let specifier = tcp::tcp_proxy::ClusterSpecifier::Cluster(cluster.to_owned());
        let proxy = tcp::TcpProxy {
            stat_prefix: cluster.to_owned(),
            cluster_specifier: Some(specifier),
            ..Default::default()
        };
        chain(pack_any(proxy), Default::default())
    }

    fn listener(ip: &str, port: u32, chains: Vec<proto::FilterChain>) -> proto::Listener {
        use core::socket_address::PortSpecifier;
        let socket = core::SocketAddress {
            address: ip.to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(port)),
            ..Default::default()
        };
        proto::Listener {
            name: format!("{ip}_{port}"),
            address: Some(core::Address { address: Some(core::address::Address::SocketAddress(socket)) }),
            filter_chains: chains,
            traffic_direction: core::TrafficDirection::Outbound as i32,
            ..Default::default()
        }
    }

    fn decode(proto: &proto::Listener) -> ServerListener {
        let bytes = Bytes::from(proto.encode_to_vec());
        match Kind::Listener.decode(&proto.name, &bytes, None).unwrap() {
            Resource::Listener(listener) => match &*listener {
                Listener::Server(server) => (**server).clone(),
                Listener::Api(_) => panic!("not for clients"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn world() -> Vec<ServerListener> {
        let mut catch_all = listener("0.0.0.0", 15001, vec![forward("PassthroughCluster")]);
        catch_all.use_original_dst = Some(mesh_proto::google::protobuf::BoolValue { value: true });
        let blackhole = proto::FilterChainMatch {
            destination_port: Some(mesh_proto::google::protobuf::UInt32Value { value: 15001 }),
            ..Default::default()
        };
        let mut first = forward("BlackHoleCluster");
        first.filter_chain_match = Some(blackhole);
        catch_all.filter_chains.insert(0, first);
        let listeners = [
            listener("0.0.0.0", 8080, vec![http("8080")]),
            listener("240.0.0.1", 8080, vec![http("sniffed.default.svc.cluster.local:8080")]),
            listener("240.0.0.2", 3306, vec![forward("outbound|3306||db.prod.svc.cluster.local")]),
            catch_all,
        ];
        listeners.iter().map(decode).collect()
    }

    fn find(host: &str, port: u16) -> Option<String> {
        let world = world();
        let mut outbound = Outbound::new(NODE);
        for listener in &world {
            outbound.note(&listener.name, Some(listener));
        }
        let get = |name: &str| world.iter().find(|listener| *listener.name == *name);
        outbound.find(&format!("{host}:{port}"), get).map(|behind| match behind {
            Behind::Http(manager) => match &manager.routes {
                RouteSource::Named(name) => name.to_string(),
                RouteSource::Inline(_) => "inline".to_owned(),
            },
            Behind::Tcp(proxy) => proxy.clusters[0].0.to_string(),
        })
    }

    #[test]
    fn the_listener_of_the_destination_wins_over_that_of_its_port() {
        assert_eq!(find("echo", 8080).unwrap(), "8080");
        let sniffed = "sniffed.default.svc.cluster.local:8080";
        for host in ["sniffed", "sniffed.default", "sniffed.default.svc", "240.0.0.1"] {
            assert_eq!(find(host, 8080).unwrap(), sniffed, "{host}");
        }
        assert_eq!(find("sniffed.prod", 8080).unwrap(), "8080");
        assert_eq!(find("Sniffed.Default.svc.cluster.local.", 8080).unwrap(), sniffed);
    }

    #[test]
    fn what_is_not_http_leads_to_its_clusters() {
        let database = "outbound|3306||db.prod.svc.cluster.local";
        assert_eq!(find("db.prod", 3306).unwrap(), database);
        assert_eq!(find("240.0.0.2", 3306).unwrap(), database);
    }

    #[test]
    fn the_rest_is_caught() {
        assert_eq!(find("db", 3306).unwrap(), "PassthroughCluster", "of another namespace");
        assert_eq!(find("example.com", 443).unwrap(), "PassthroughCluster");
    }

    #[test]
    fn a_change_concerns_its_port_or_all() {
        let world = world();
        let mut outbound = Outbound::new(NODE);
        let name = world[0].name.clone();
        assert_eq!(outbound.note(&name, Some(&world[0])), Concerned::Ports([8080].into()));
        let moved = ServerListener { address: Address::host_port("0.0.0.0", 9090), ..world[0].clone() };
        assert_eq!(outbound.note(&name, Some(&moved)), Concerned::Ports([8080, 9090].into()));
        assert_eq!(outbound.candidates(8080).count(), 0);
        assert_eq!(outbound.note(&world[3].name, Some(&world[3])), Concerned::All);
        assert_eq!(outbound.candidates(1).count(), 1);
        assert_eq!(outbound.note(&world[3].name, None), Concerned::All);
        assert_eq!(outbound.note(&name, None), Concerned::Ports([9090].into()));
        assert_eq!(outbound.candidates(9090).count(), 0);
    }
}
