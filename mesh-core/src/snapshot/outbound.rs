//! What a sidecar's listeners say about a destination.
//!
//! A sidecar is not told about targets by name: it gets the listeners that it would open to catch what its workload
//! sends out, and each says which routes or clusters stand behind an address. This finds the one that a connection to a
//! destination would reach, by the names that stand in it, and by the addresses that others tell the destination to have:
//! nothing is captured here, so addresses alone do not tell.
//!
//! What is a service of the mesh never passes it by because a listener was refused or leads elsewhere. By the name of its cluster,
//! `outbound|PORT||HOST`, it is known to be one.

use super::homes::{Homes, only, ranges};
use crate::net::Address;
use crate::resource::Cidr;
use crate::resource::listener::{ChainAction, Direction, FilterChain, HttpManager, RouteSource};
use crate::resource::listener::{ServerListener, TcpProxy};
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
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
    /// Those of which the clusters tell whom they concern: refused ones, and those that are led elsewhere.
    doubtful: BTreeSet<Arc<str>>,
    homes: Homes,
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
    /// Nobody knows: the listener of this name may be its own, but is led elsewhere.
    Unclear(Arc<str>),
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
        Self {
            domain,
            by_port: BTreeMap::new(),
            ports: BTreeMap::new(),
            catch_all: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            homes: Homes::default(),
        }
    }

    /// What stands behind the destination `name`, which is `host:port`, where `is_cluster` knows the clusters by their names.
    pub(super) fn find<'a>(
        &self,
        name: &str,
        get: impl Fn(&str) -> Option<Told<'a>>,
        is_cluster: impl Fn(&str) -> bool,
    ) -> Option<Behind<'a>> {
        let mut destination = Destination::new(name, &self.domain);
        let clusters = destination.clusters();
        let is_service = LazyCell::new(|| clusters.iter().any(|name| is_cluster(name)));
        let homes = self.homes.of(&destination.spellings);
        if !homes.is_empty() && *is_service {
            destination.homes = homes;
        }
        let found = self.candidates(destination.port).filter_map(|name| match get(name)? {
            Told::Listener(listener) => destination.behind(listener).or_else(|| {
                let unclear = destination.ip.is_none() && self.is_led_elsewhere(listener) && *is_service;
                unclear.then(|| (Fit::Nobody, Behind::Unclear(name.clone())))
            }),
            Told::Refused => {
                let fit = destination.behind_refused(name, || *is_service)?;
                Some((fit, Behind::Refused(name.clone())))
            }
        });
        first_best(found).map(|(_, behind)| behind)
    }

    /// Whether a listener is for addresses of which nobody tells whose they are, because it is led elsewhere.
    fn is_led_elsewhere(&self, listener: &ServerListener) -> bool {
        let unknown = |chain: &FilterChain| {
            is_configured(chain)
                && !ranges(listener, chain).is_empty()
                && !self.homes.are_known(listener, chain)
        };
        !listener.use_original_dst && listener.chains.iter().chain(&listener.default_chain).any(unknown)
    }

    /// Takes note of a listener, or of its end; the ports that it caught before or catches now, none of which may be the
    /// only ones concerned if it catches everything.
    ///
    /// Of one that was refused only the name is known, which istiod ends with the port: `10.96.0.1_8080`. Without one it
    /// is taken to be for every port.
    pub(super) fn note(&mut self, name: &Arc<str>, told: Option<Told<'_>>) -> Concerned {
        let mut ports = BTreeSet::new();
        let told = told.filter(|told| match told {
            Told::Listener(listener) => listener.direction == Direction::Outbound,
            Told::Refused => true,
        });
        let (listener, doubtful) = match told {
            Some(Told::Listener(listener)) => {
                (Some(listener), listener.chains.iter().chain(&listener.default_chain).any(is_configured))
            }
            Some(Told::Refused) => (None, true),
            None => (None, false),
        };
        if doubtful {
            self.doubtful.insert(name.clone());
        } else {
            self.doubtful.remove(name);
        }
        if self.homes.note(name, listener) {
            // The listeners of other ports with this address.
            let address = name.rsplit_once('_').map_or("", |(address, _)| address);
            let others = self.ports.range::<str, _>((Bound::Included(address), Bound::Unbounded));
            let others = others.take_while(|(other, _)| other.starts_with(address));
            ports.extend(others.map(|(_, port)| *port));
        }
        let mut all = self.catch_all.remove(name);
        if let Some(port) = self.ports.remove(name) {
            if let Some(names) = self.by_port.get_mut(&port) {
                names.remove(name);
            }
            ports.insert(port);
        }
        let port = match told {
            Some(Told::Listener(listener)) if listener.use_original_dst => Some(None),
            Some(Told::Listener(listener)) => match listener.address {
                Address::Ip(address) => Some(Some(address.port())),
                _ => None,
            },
            Some(Told::Refused) => Some(parts(name).map(|(_, port)| port)),
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

    /// The port of which targets are concerned by news of a cluster.
    pub(super) fn concerned_by_cluster(&self, name: &str) -> Option<u16> {
        let port = name.strip_prefix("outbound|")?.split('|').next()?.parse().ok()?;
        self.by_port.get(&port)?.iter().any(|name| self.doubtful.contains(name)).then_some(port)
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
    /// It would take something on the port, but nobody can tell what.
    Nobody,
    /// It takes every address of the port.
    Port,
    /// The destination is one of several that it leads to; whether it has an address of its own.
    OneOf(bool),
    /// It leads to the destination only; whether it has an address of its own.
    Only(bool),
    /// It takes an address that the destination is known to have.
    Home,
    /// It takes the address that the destination is written as, and so many bits of it count.
    Address(u8),
}

/// A destination, and what it may be called.
struct Destination<'a> {
    ip: Option<IpAddr>,
    port: u16,
    spellings: Vec<String>,
    host: &'a str,
    /// The addresses that it is known to have.
    homes: BTreeSet<Cidr>,
}

impl<'a> Destination<'a> {
    fn new(name: &'a str, domain: &str) -> Self {
        let (host, port) = split(name);
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let (spellings, homes) = (spellings(host, domain), BTreeSet::new());
        Self { ip: literal.parse().ok(), port, spellings, host, homes }
    }

    /// The clusters one of which there is if this is a service of the mesh, which may have all names below another.
    fn clusters(&self) -> Vec<String> {
        let below = |host: &str| {
            let dots = host.match_indices('.');
            dots.map(|(dot, _)| format!("*{}", &host[dot..])).collect::<Vec<_>>()
        };
        let lower = self.spellings.iter().map(|host| host.to_ascii_lowercase());
        let names = lower.flat_map(|host| below(&host).into_iter().chain([host]));
        names.map(|host| format!("outbound|{}||{host}", self.port)).collect()
    }

    /// How well a listener fits that was refused. One with an address of its own takes nothing else: not what is known to be
    /// elsewhere, nor what is no service of the mesh.
    fn behind_refused(&self, name: &str, is_service: impl Fn() -> bool) -> Option<Fit> {
        match (parts(name).and_then(|(ip, _)| ip).filter(|ip| !ip.is_unspecified()), self.ip) {
            (None, _) => Some(Fit::Nobody),
            (Some(of), Some(ip)) => (of == ip).then_some(Fit::Address(u8::MAX)),
            (Some(of), None) if self.homes.contains(&only(of)) => Some(Fit::Home),
            (Some(_), None) => is_service().then_some(Fit::Nobody),
        }
    }

    fn is(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.host)
            || self.spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(name))
    }

    /// What stands behind the destination by a listener, and how well that fits.
    fn behind<'l>(&self, listener: &'l ServerListener) -> Option<(Fit, Behind<'l>)> {
        // A chain for one port only is for connections to the proxy itself.
        let chains = || listener.chains.iter().filter(|chain| chain.is_open()).chain(&listener.default_chain);
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
        if self.homes.iter().any(|home| if own { *home == only(address.ip()) } else { ranges.contains(home) })
        {
            return Some(Fit::Home);
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

/// Whether something else is said of the bytes that a chain takes than that they go to the service that has its address.
fn is_configured(chain: &FilterChain) -> bool {
    chain.configured && chain.is_open() && matches!(chain.action, ChainAction::Tcp(_))
}

/// The address and the port in the name of a listener, as istiod writes it: `10.96.0.1_8080`.
fn parts(name: &str) -> Option<(Option<IpAddr>, u16)> {
    let (address, port) = name.rsplit_once('_')?;
    Some((address.trim_matches(['[', ']']).parse().ok(), port.parse().ok()?))
}

/// The host in the name of a cluster: `outbound|9080|v1|reviews.default.svc.cluster.local`.
pub(super) fn service(cluster: &str) -> Option<&str> {
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
        find_by(&outbound, world, &format!("{host}:{port}"), |_| true)
    }

    /// What stands behind a destination, of listeners that were noted; one that is not among them was refused.
    fn find_by(
        outbound: &Outbound,
        world: &[ServerListener],
        name: &str,
        is_cluster: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let get = |name: &str| {
            let listener = world.iter().find(|listener| *listener.name == *name);
            Some(listener.map_or(Told::Refused, Told::Listener))
        };
        outbound.find(name, get, is_cluster).map(|behind| match behind {
            Behind::Http(manager) => match &manager.routes {
                RouteSource::Named(name) => name.to_string(),
                RouteSource::Inline(_) => "inline".to_owned(),
            },
            Behind::Tcp(proxy) => {
                proxy.clusters.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(",")
            }
            Behind::Refused(name) => format!("{name} was refused"),
            Behind::Unclear(name) => format!("{name} may be meant"),
        })
    }

    const A: &str = "outbound|9000||a.prod.svc.cluster.local";
    const B: &str = "outbound|9000||b.prod.svc.cluster.local";
    const C: &str = "outbound|9000||c.prod.svc.cluster.local";
    const OTHER_A: &str = "outbound|3306||a.prod.svc.cluster.local";

    /// What a VirtualService leads to a cluster.
    fn led(cluster: &str) -> proto::FilterChain {
        let path = "/apis/networking.istio.io/v1/namespaces/prod/virtual-service/a".to_owned();
        let kind = Some(mesh_proto::google::protobuf::value::Kind::StringValue(path));
        let config = ("config".to_owned(), mesh_proto::google::protobuf::Value { kind });
        let istio = mesh_proto::google::protobuf::Struct { fields: [config].into() };
        let metadata =
            core::Metadata { filter_metadata: [("istio".to_owned(), istio)].into(), ..Default::default() };
        proto::FilterChain { metadata: Some(metadata), ..forward(cluster) }
    }

    fn vip(last: u8, port: u32, chain: proto::FilterChain) -> ServerListener {
        decode(&listener(&format!("240.0.0.{last}"), port, vec![chain]))
    }

    fn catch_all() -> ServerListener {
        world().pop().unwrap()
    }

    fn note(outbound: &mut Outbound, listeners: &[ServerListener]) {
        for listener in listeners {
            outbound.note(&listener.name, Some(Told::Listener(listener)));
        }
    }

    #[test]
    fn a_service_that_is_led_elsewhere_is_known_by_its_address() {
        let mut outbound = Outbound::new(NODE);
        note(&mut outbound, &[vip(1, 9000, forward(A)), vip(2, 9000, forward(B)), vip(3, 9000, forward(C))]);
        let world = [vip(1, 9000, led(B)), vip(2, 9000, led(C)), vip(3, 9000, forward(C)), catch_all()];
        note(&mut outbound, &world);
        let find = |name| find_by(&outbound, &world, name, |_| true).unwrap();
        assert_eq!((find("a.prod:9000").as_str(), find("b.prod:9000").as_str()), (B, C));
        assert_eq!((find("c.prod:9000").as_str(), find("240.0.0.1:9000").as_str()), (C, B));
        assert_eq!(find("A.prod.svc.cluster.local.:9000"), B);
        let find = |name| find_by(&outbound, &world, name, |name| name == B).unwrap();
        assert_eq!(find("a.prod:9000"), "PassthroughCluster", "it is a service no more");

        // The address is given to another service, and then it is given up.
        note(&mut outbound, &[vip(1, 9000, forward(B))]);
        let find = |outbound: &Outbound| find_by(outbound, &world, "a.prod:9000", |_| true).unwrap();
        assert_eq!(find(&outbound), "PassthroughCluster");
        outbound.note(&world[0].name, None);
        outbound.note(&world[1].name, None);
        outbound.note(&world[2].name, None);
        assert!(outbound.homes.of(&["b.prod.svc.cluster.local".to_owned()]).is_empty());
    }

    #[test]
    fn the_listener_of_another_port_tells_whose_an_address_is() {
        let mut outbound = Outbound::new(NODE);
        let world =
            [vip(1, 9000, led(B)), vip(2, 9000, forward(B)), catch_all(), vip(1, 3306, forward(OTHER_A))];
        note(&mut outbound, &world[..3]);
        let find = |outbound: &Outbound, name| {
            find_by(outbound, &world, name, |name| name.starts_with("outbound|9000||a.")).unwrap()
        };
        assert_eq!(find(&outbound, "a.prod:9000"), "240.0.0.1_9000 may be meant");
        assert_eq!(find(&outbound, "example.com:9000"), "PassthroughCluster", "no service of the mesh");
        assert_eq!(find(&outbound, "b.prod:9000"), B);
        assert_eq!(outbound.concerned_by_cluster(A), Some(9000));
        assert_eq!(outbound.concerned_by_cluster(OTHER_A), None);
        let concerned = outbound.note(&world[3].name, Some(Told::Listener(&world[3])));
        assert_eq!(concerned, Concerned::Ports([3306, 9000].into()), "now it is known");
        assert_eq!(find(&outbound, "a.prod:9000"), B);
    }

    #[test]
    fn an_address_range_is_one_of_a_service_as_well() {
        let within = |last: u8, mut chain: proto::FilterChain| {
            let len = Some(mesh_proto::google::protobuf::UInt32Value { value: 32 });
            let range = core::CidrRange { address_prefix: format!("240.0.0.{last}"), prefix_len: len };
            chain.filter_chain_match =
                Some(proto::FilterChainMatch { prefix_ranges: vec![range], ..Default::default() });
            chain
        };
        let of = |a, b| decode(&listener("0.0.0.0", 9000, vec![within(1, a), within(2, b)]));
        let mut outbound = Outbound::new(NODE);
        note(&mut outbound, &[of(forward(A), forward(B))]);
        let world = [of(led(B), led(C)), catch_all()];
        note(&mut outbound, &world);
        let find = |name| find_by(&outbound, &world, name, |_| true).unwrap();
        assert_eq!((find("a.prod:9000").as_str(), find("b.prod:9000").as_str()), (B, C));
    }

    #[test]
    fn a_listener_with_an_address_that_was_refused_fails_what_has_that_address_or_may_have_it() {
        let (mut outbound, world) = (Outbound::new(NODE), [vip(3, 3306, forward(OTHER_A)), catch_all()]);
        note(&mut outbound, &world);
        outbound.note(&"240.0.0.2_3306".into(), Some(Told::Refused));
        let is_cluster = |name: &str| {
            ["outbound|3306||db.prod.svc.cluster.local", "outbound|3306||*.wild.example", OTHER_A]
                .contains(&name)
        };
        let find = |name| find_by(&outbound, &world, name, is_cluster).unwrap();
        for name in
            ["db.prod:3306", "DB.prod.svc.cluster.local:3306", "240.0.0.2:3306", "any.wild.example:3306"]
        {
            assert_eq!(find(name), "240.0.0.2_3306 was refused", "{name}");
        }
        for name in ["example.com:3306", "10.9.9.9:3306", "wild.example:3306"] {
            assert_eq!(find(name), "PassthroughCluster", "{name}");
        }
        assert_eq!(find("a.prod:3306"), OTHER_A);
        assert_eq!(outbound.concerned_by_cluster(OTHER_A), Some(3306));
        // All that the port takes if it is for every address.
        outbound.note(&"0.0.0.0_3306".into(), Some(Told::Refused));
        let find = |name| find_by(&outbound, &world, name, is_cluster).unwrap();
        assert_eq!(find("example.com:3306"), "0.0.0.0_3306 was refused");
        assert_eq!(find("a.prod:3306"), OTHER_A);
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
        let refused = |name: &str| match outbound.find(name, get, |_| true) {
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
