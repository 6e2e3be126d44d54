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
#[derive(Clone, Debug)]
pub(super) enum Behind<'a> {
    /// Routes.
    Http(&'a HttpManager),
    /// Clusters, whatever is sent.
    Tcp(&'a TcpProxy),
    /// Nobody knows: the listener of this name was refused.
    Refused(Arc<str>),
}

/// What the control plane told of a listener.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told<'a> {
    /// The listener.
    Listener(&'a ServerListener),
    /// What cannot be used.
    Refused,
}

impl Outbound {
    /// No listeners yet. The node's id, `sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local`, ends with what completes
    /// short names of services.
    pub(super) fn new(node_id: &str) -> Self {
        let domain = node_id.rsplit_once('~').map_or("", |(_, domain)| domain).into();
        Self { domain, by_port: BTreeMap::new(), ports: BTreeMap::new(), catch_all: BTreeSet::new() }
    }

    /// What stands behind the destination `name`, which is `host:port`.
    pub(super) fn find<'a>(&self, name: &str, get: impl Fn(&str) -> Option<Told<'a>>) -> Option<Behind<'a>> {
        let destination = Destination::new(name, &self.domain);
        let found = self.candidates(destination.port).filter_map(|name| match get(name)? {
            Told::Listener(listener) => destination.behind(listener),
            Told::Refused => Some((Fit::Refused, Behind::Refused(name.clone()))),
        });
        first_best(found).map(|(_, behind)| behind)
    }

    /// Takes note of a listener, or of its end; the ports that it caught before or catches now, none of which may be the
    /// only ones concerned if it catches everything.
    ///
    /// Of one that was refused only the name is known, which istiod ends with the port: `10.96.0.1_8080`. Without one it
    /// is taken to be for every port.
    pub(super) fn note(&mut self, name: &Arc<str>, told: Option<Told<'_>>) -> Concerned {
        let mut ports = BTreeSet::new();
        let mut all = self.catch_all.remove(name);
        if let Some(port) = self.ports.remove(name) {
            if let Some(names) = self.by_port.get_mut(&port) {
                names.remove(name);
            }
            ports.insert(port);
        }
        let port = match told {
            Some(Told::Listener(listener)) if listener.direction != Direction::Outbound => None,
            Some(Told::Listener(listener)) if listener.use_original_dst => Some(None),
            Some(Told::Listener(listener)) => match listener.address {
                Address::Ip(address) => Some(Some(address.port())),
                _ => None,
            },
            Some(Told::Refused) => Some(name.rsplit_once('_').and_then(|(_, port)| port.parse().ok())),
            None => None,
        };
        match port {
            Some(None) => all |= self.catch_all.insert(name.clone()),
            Some(Some(port)) => {
                self.by_port.entry(port).or_default().insert(name.clone());
                self.ports.insert(name.clone(), port);
                ports.insert(port);
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

/// How well a listener fits a destination; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It takes what no other takes.
    CatchAll,
    /// It would take something on the port, but was refused: nobody can tell what.
    Refused,
    /// It takes every address of the port.
    Port,
    /// The destination is one of several that it leads to; whether it has an address of its own.
    OneOf(bool),
    /// It leads to the destination only; whether it has an address of its own.
    Only(bool),
    /// It takes the address that the destination is written as, and so many bits of it count.
    Address(u8),
}

/// A destination, and what it may be called.
struct Destination<'a> {
    ip: Option<IpAddr>,
    port: u16,
    spellings: Vec<String>,
    host: &'a str,
}

impl<'a> Destination<'a> {
    fn new(name: &'a str, domain: &str) -> Self {
        let (host, port) = split(name);
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Self { ip: literal.parse().ok(), port, spellings: spellings(host, domain), host }
    }

    fn is(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.host)
            || self.spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(name))
    }

    /// What stands behind the destination by a listener, and how well that fits.
    fn behind<'l>(&self, listener: &'l ServerListener) -> Option<(Fit, Behind<'l>)> {
        // A chain for one port only is for connections to the proxy itself.
        let open = |chain: &&FilterChain| {
            let condition = &chain.condition;
            &*condition.transport_protocol != "tls"
                && condition.server_names.is_empty()
                && condition.destination_port.is_none()
        };
        let chains = || listener.chains.iter().filter(open).chain(&listener.default_chain);
        let http = chains().filter_map(|chain| match &chain.action {
            ChainAction::Http(manager) => {
                Some((self.fit(listener, chain, self.fit_http(manager))?, Behind::Http(manager)))
            }
            _ => None,
        });
        let best_http = first_best(http);
        let is_http = best_http.is_some();
        let tcp = chains().filter_map(|chain| match &chain.action {
            // What is not HTTP after all goes there.
            ChainAction::Tcp(_) if is_http && chain.condition.destinations.is_empty() => None,
            ChainAction::Tcp(proxy) => {
                Some((self.fit(listener, chain, self.fit_tcp(proxy))?, Behind::Tcp(proxy)))
            }
            _ => None,
        });
        first_best(best_http.into_iter().chain(tcp))
    }

    /// How well a chain fits, of which it is known by name whether it leads to the destination, and only there.
    fn fit(&self, listener: &ServerListener, chain: &FilterChain, by_name: Option<Only>) -> Option<Fit> {
        if listener.use_original_dst {
            return Some(Fit::CatchAll);
        }
        let Address::Ip(address) = listener.address else { return None };
        let own = !address.ip().is_unspecified();
        let ranges = &chain.condition.destinations;
        if let Some(ip) = self.ip {
            let range = ranges.iter().filter(|range| range.contains(ip)).map(|range| range.len).max();
            return match range {
                Some(len) if !own || address.ip() == ip => Some(Fit::Address(len)),
                None if ranges.is_empty() && address.ip() == ip => Some(Fit::Address(u8::MAX)),
                None if ranges.is_empty() && !own => Some(Fit::Port),
                _ => None,
            };
        }
        match by_name {
            Some(Only(true)) => Some(Fit::Only(own || !ranges.is_empty())),
            Some(Only(false)) => Some(Fit::OneOf(own || !ranges.is_empty())),
            // Addresses that the destination is not known to have.
            None => (!own && ranges.is_empty()).then_some(Fit::Port),
        }
    }

    fn fit_http(&self, manager: &HttpManager) -> Option<Only> {
        let RouteSource::Named(name) = &manager.routes else { return None };
        let (host, port) = name.rsplit_once(':')?;
        (port.parse() == Ok(self.port) && self.is(host)).then_some(Only(true))
    }

    fn fit_tcp(&self, proxy: &TcpProxy) -> Option<Only> {
        let ours = |(cluster, _): &&(Arc<str>, u32)| service(cluster).is_some_and(|host| self.is(host));
        match proxy.clusters.iter().filter(ours).count() {
            0 => None,
            count => Some(Only(count == proxy.clusters.len())),
        }
    }
}

/// Whether something leads nowhere else.
#[derive(Clone, Copy)]
struct Only(bool);

/// The best, and of several that are as good the first.
fn first_best<'a>(found: impl Iterator<Item = (Fit, Behind<'a>)>) -> Option<(Fit, Behind<'a>)> {
    found.reduce(|best, next| if next.0 > best.0 { next } else { best })
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
        find_among(&world(), host, port)
    }

    fn find_among(world: &[ServerListener], host: &str, port: u16) -> Option<String> {
        let mut outbound = Outbound::new(NODE);
        for listener in world {
            outbound.note(&listener.name, Some(Told::Listener(listener)));
        }
        let get = |name: &str| world.iter().find(|listener| *listener.name == *name).map(Told::Listener);
        outbound.find(&format!("{host}:{port}"), get).map(|behind| match behind {
            Behind::Http(manager) => match &manager.routes {
                RouteSource::Named(name) => name.to_string(),
                RouteSource::Inline(_) => "inline".to_owned(),
            },
            Behind::Tcp(proxy) => {
                proxy.clusters.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(",")
            }
            Behind::Refused(name) => format!("{name} was refused"),
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
        assert_eq!(outbound.note(&name, Some(Told::Listener(&world[0]))), Concerned::Ports([8080].into()));
        let moved = ServerListener { address: Address::host_port("0.0.0.0", 9090), ..world[0].clone() };
        assert_eq!(outbound.note(&name, Some(Told::Listener(&moved))), Concerned::Ports([8080, 9090].into()));
        assert_eq!(outbound.candidates(8080).count(), 0);
        assert_eq!(outbound.note(&world[3].name, Some(Told::Listener(&world[3]))), Concerned::All);
        assert_eq!(outbound.candidates(1).count(), 1);
        assert_eq!(outbound.note(&world[3].name, None), Concerned::All);
        assert_eq!(outbound.note(&name, None), Concerned::Ports([9090].into()));
        assert_eq!(outbound.candidates(9090).count(), 0);
    }

    #[test]
    fn hosts_that_share_a_port_have_their_own_chains() {
        let within = |prefix: &str, len, mut chain: proto::FilterChain| {
            chain.filter_chain_match = Some(proto::FilterChainMatch {
                prefix_ranges: vec![core::CidrRange {
                    address_prefix: prefix.to_owned(),
                    prefix_len: Some(mesh_proto::google::protobuf::UInt32Value { value: len }),
                }],
                ..Default::default()
            });
            chain
        };
        let (a, b) = ("outbound|9000||a.example.com", "outbound|9000||b.example.com");
        let chains = vec![
            within("10.0.0.0", 8, forward(a)),
            within("10.1.0.0", 16, forward(b)),
            forward("PassthroughCluster"),
        ];
        let world = [decode(&listener("0.0.0.0", 9000, chains))];
        let find = |host| find_among(&world, host, 9000).unwrap();
        assert_eq!((find("a.example.com").as_str(), find("b.example.com").as_str()), (a, b));
        assert_eq!((find("10.2.0.1").as_str(), find("10.1.0.1").as_str()), (a, b), "the longest range");
        assert_eq!(find("11.0.0.1"), "PassthroughCluster");
        assert_eq!(find("c.example.com"), "PassthroughCluster");
    }

    #[test]
    fn a_share_of_anothers_calls_is_not_the_way_to_a_host() {
        let (a, b) = ("outbound|9000||a.prod.svc.cluster.local", "outbound|9000||b.prod.svc.cluster.local");
        let mut shared = forward(a);
        let weight = |name: &str, weight| tcp::tcp_proxy::weighted_cluster::ClusterWeight {
            name: name.to_owned(),
            weight,
            ..Default::default()
        };
        let clusters = tcp::tcp_proxy::WeightedCluster { clusters: vec![weight(a, 90), weight(b, 10)] };
        let proxy = tcp::TcpProxy {
            stat_prefix: "shared".to_owned(),
            cluster_specifier: Some(tcp::tcp_proxy::ClusterSpecifier::WeightedClusters(clusters)),
            ..Default::default()
        };
        shared.filters[0].config_type = Some(proto::filter::ConfigType::TypedConfig(pack_any(proxy)));
        // In either order of their names.
        for (of_a, of_b) in [("240.0.0.1", "240.0.0.2"), ("240.0.0.2", "240.0.0.1")] {
            let mut world = vec![
                decode(&listener(of_a, 9000, vec![shared.clone()])),
                decode(&listener(of_b, 9000, vec![forward(b)])),
            ];
            assert_eq!(find_among(&world, "b.prod", 9000).unwrap(), b);
            assert_eq!(find_among(&world, "a.prod", 9000).unwrap(), format!("{a},{b}"));
            world.pop();
            assert_eq!(
                find_among(&world, "b.prod", 9000).unwrap(),
                format!("{a},{b}"),
                "better than nothing"
            );
        }
    }

    #[test]
    fn what_was_refused_is_not_passed_by() {
        let world = world();
        let mut outbound = Outbound::new(NODE);
        for name in ["240.0.0.2_3306", "virtual"] {
            outbound.note(&name.into(), Some(Told::Refused));
        }
        assert_eq!(
            outbound.note(&world[0].name, Some(Told::Listener(&world[0]))),
            Concerned::Ports([8080].into())
        );
        outbound.note(&world[3].name, Some(Told::Listener(&world[3])));
        let get = |name: &str| {
            let listener = world.iter().find(|listener| *listener.name == *name && name != "240.0.0.2_3306");
            Some(listener.map_or(Told::Refused, Told::Listener))
        };
        let refused = |name: &str| match outbound.find(name, get) {
            Some(Behind::Refused(name)) => Some(name.to_string()),
            _ => None,
        };
        assert_eq!(refused("db.prod:3306").unwrap(), "240.0.0.2_3306");
        assert_eq!(refused("example.com:443").unwrap(), "virtual");
        assert_eq!(refused("echo:8080"), None, "routes say what stands behind it");
        let mended = outbound.note(&"240.0.0.2_3306".into(), Some(Told::Listener(&world[2])));
        assert_eq!(mended, Concerned::Ports([3306].into()));
    }
}
