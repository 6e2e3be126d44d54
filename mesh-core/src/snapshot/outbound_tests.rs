use super::*;
use crate::resource::Resource;
use crate::resource::listener::Listener;
use crate::resource::listener::RouteSource;
use crate::resource::route::VirtualHost;
use crate::resource::route::{Domain, RouteConfig};
use crate::xds::Listed;
use crate::xds::kind::ResourceKind;
use bytes::Bytes;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::listener::v3 as proto;
use mesh_proto::envoy::extensions::filters::http::router::v3::Router;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use mesh_proto::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
use mesh_proto::google::protobuf::{Any, BoolValue, UInt32Value};
use mesh_proto::pack_any;
use prost::Message;

const NODE: &str = "sidecar~127.0.0.1~client.default~default.svc.cluster.local";

fn chain(config: Any, condition: proto::FilterChainMatch) -> proto::FilterChain {
    let config_type = Some(proto::filter::ConfigType::TypedConfig(config));
    let filter = proto::Filter { name: "filter".to_owned(), config_type };
    proto::FilterChain { filters: vec![filter], filter_chain_match: Some(condition), ..Default::default() }
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

fn forward(clusters: &[(&str, u32)]) -> proto::FilterChain {
    use tcp::tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight};
    let weight =
        |&(name, weight): &(&str, u32)| ClusterWeight { name: name.to_owned(), weight, ..Default::default() };
    let specifier = match clusters {
        [(name, _)] => ClusterSpecifier::Cluster((*name).to_owned()),
        _ => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: clusters.iter().map(weight).collect(),
        }),
    };
    let proxy = tcp::TcpProxy {
        stat_prefix: "tcp".to_owned(),
        cluster_specifier: Some(specifier),
        ..Default::default()
    };
    chain(pack_any(proxy), Default::default())
}

fn to(cluster: &str) -> proto::FilterChain {
    forward(&[(cluster, 1)])
}

fn within(prefix: &str, len: u32, mut chain: proto::FilterChain) -> proto::FilterChain {
    chain.filter_chain_match = Some(proto::FilterChainMatch {
        prefix_ranges: vec![core::CidrRange {
            address_prefix: prefix.to_owned(),
            prefix_len: Some(UInt32Value { value: len }),
        }],
        ..Default::default()
    });
    chain
}

/// The last chain is the default one.
fn listener(ip: &str, port: u32, mut chains: Vec<proto::FilterChain>) -> proto::Listener {
    use core::socket_address::PortSpecifier;
    let socket = core::SocketAddress {
        address: ip.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..Default::default()
    };
    proto::Listener {
        name: format!("{ip}_{port}"),
        address: Some(core::Address { address: Some(core::address::Address::SocketAddress(socket)) }),
        default_filter_chain: chains.pop(),
        filter_chains: chains,
        traffic_direction: core::TrafficDirection::Outbound as i32,
        ..Default::default()
    }
}

/// The listener for what no other takes.
fn rest(cluster: &str) -> proto::Listener {
    let mut first = to("BlackHoleCluster");
    first.filter_chain_match = Some(proto::FilterChainMatch {
        destination_port: Some(UInt32Value { value: 15001 }),
        ..Default::default()
    });
    proto::Listener {
        name: "virtualOutbound".to_owned(),
        use_original_dst: Some(BoolValue { value: true }),
        ..listener("0.0.0.0", 15001, vec![first, to(cluster)])
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

/// What a control plane has told.
struct World {
    listeners: Vec<ServerListener>,
    refused: BTreeSet<&'static str>,
    /// None was refused or is on its way.
    routes: BTreeMap<&'static str, Option<RouteConfig>>,
    clusters: BTreeSet<&'static str>,
    listed: [Listed; 2],
}

impl World {
    fn new(listeners: &[proto::Listener]) -> Self {
        Self {
            listeners: listeners.iter().map(decode).collect(),
            refused: BTreeSet::new(),
            routes: BTreeMap::new(),
            clusters: BTreeSet::new(),
            listed: [Listed::All; 2],
        }
    }

    /// With virtual hosts of these names, which are their domains too, and one for the rest.
    fn routes(mut self, name: &'static str, hosts: &[&str], others: &str) -> Self {
        let host = |host: &&str| {
            let domain = match host.strip_prefix('*') {
                Some(suffix) => Domain::Suffix(suffix.into()),
                None => Domain::Exact((*host).into()),
            };
            VirtualHost::new((*host).into(), vec![domain], Vec::new())
        };
        let mut hosts: Vec<_> = hosts.iter().map(host).collect();
        hosts.push(VirtualHost::new(others.into(), vec![Domain::Any], Vec::new()));
        let mut config = RouteConfig::new(name.into(), hosts);
        config.ignore_port = true;
        self.routes.insert(name, Some(config));
        self
    }

    fn clusters(mut self, clusters: &[&'static str]) -> Self {
        self.clusters.extend(clusters);
        self
    }

    fn listed(mut self, listeners: Listed, clusters: Listed) -> Self {
        self.listed = [listeners, clusters];
        self
    }

    fn refused(mut self, name: &'static str) -> Self {
        self.refused.insert(name);
        self
    }

    /// All listeners are heard of.
    fn tell(&self, outbound: &mut Outbound) {
        let listeners = self.listeners.iter().map(|listener| &*listener.name);
        for name in listeners.chain(self.refused.iter().copied()) {
            outbound.note(&name.into(), self.listener(name));
        }
    }

    fn find(&self, name: &str) -> String {
        let mut outbound = Outbound::new(NODE);
        self.tell(&mut outbound);
        self.find_by(&outbound, name)
    }

    fn find_by(&self, outbound: &Outbound, name: &str) -> String {
        match outbound.find(name, self).behind {
            Behind::Http(manager) => match &manager.routes {
                RouteSource::Named(name) => format!("routes {name}"),
                RouteSource::Inline(_) => "inline".to_owned(),
            },
            Behind::Tcp(proxy) => {
                proxy.clusters.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(",")
            }
            Behind::Cluster(name) => format!("own {name}"),
            Behind::Refused(name) => format!("{name} was refused"),
            Behind::Unclear(name) => format!("{name} may be meant"),
            other => format!("{other:?}"),
        }
    }
}

impl Told for World {
    fn listener(&self, name: &str) -> Heard<&ServerListener> {
        if self.refused.contains(name) {
            return Heard::Open;
        }
        self.listeners.iter().find(|listener| *listener.name == *name).map_or(Heard::Gone, Heard::There)
    }

    fn routes(&self, name: &str) -> Heard<&RouteConfig> {
        match self.routes.get(name) {
            Some(Some(config)) => Heard::There(config),
            Some(None) => Heard::Open,
            None => Heard::Gone,
        }
    }

    fn has_cluster(&self, name: &str) -> bool {
        self.clusters.contains(name)
    }

    fn listed(&self, kind: Kind) -> Listed {
        self.listed[usize::from(kind == Kind::Cluster)]
    }
}

const PASSTHROUGH: &str = "PassthroughCluster";
const SNIFFED: &str = "sniffed.default.svc.cluster.local:8080";
const DB: &str = "outbound|3306||db.prod.svc.cluster.local";

/// As istiod has it where it allows everything.
fn world() -> World {
    let listeners = [
        listener("0.0.0.0", 8080, vec![http("8080"), to(PASSTHROUGH)]),
        listener(
            "240.0.0.1",
            8080,
            vec![http(SNIFFED), to("outbound|8080||sniffed.default.svc.cluster.local")],
        ),
        listener("240.0.0.2", 3306, vec![to(DB)]),
        rest(PASSTHROUGH),
    ];
    World::new(&listeners)
        .routes("8080", &["echo", "*.wild.example.com"], "allow_any")
        .clusters(&["outbound|8080||echo.default.svc.cluster.local", DB])
}

#[test]
fn the_listener_of_the_destination_wins_over_that_of_its_port() {
    let world = world();
    assert_eq!(world.find("echo:8080"), "routes 8080");
    for host in ["sniffed", "sniffed.default", "sniffed.default.svc", "240.0.0.1"] {
        assert_eq!(world.find(&format!("{host}:8080")), format!("routes {SNIFFED}"), "{host}");
    }
    assert_eq!(world.find("Sniffed.Default.svc.cluster.local.:8080"), format!("routes {SNIFFED}"));
    assert_eq!(world.find("sniffed.prod:8080"), "routes 8080");
    assert_eq!(world.find("x.wild.example.com:8080"), "routes 8080");
}

#[test]
fn what_is_not_http_leads_to_its_clusters() {
    for host in ["db.prod", "240.0.0.2"] {
        assert_eq!(world().find(&format!("{host}:3306")), DB);
    }
}

#[test]
fn the_rest_is_caught() {
    let world = world();
    assert_eq!(world.find("db:3306"), PASSTHROUGH, "of another namespace");
    assert_eq!(world.find("example.com:443"), PASSTHROUGH);
    assert_eq!(World::new(&[]).find("example.com:443"), "Nothing");
}

#[test]
fn a_change_concerns_its_port_or_all() {
    let world = world();
    let mut outbound = Outbound::new(NODE);
    let name = world.listeners[0].name.clone();
    let there = Heard::There;
    assert_eq!(outbound.note(&name, there(&world.listeners[0])), Concerned::Ports([8080].into()));
    let moved = ServerListener { address: Address::host_port("0.0.0.0", 9090), ..world.listeners[0].clone() };
    assert_eq!(outbound.note(&name, there(&moved)), Concerned::Ports([8080, 9090].into()));
    assert_eq!(outbound.candidates(8080).count(), 0);
    let rest = &world.listeners[3];
    assert_eq!(outbound.note(&rest.name, there(rest)), Concerned::All);
    assert_eq!(outbound.candidates(1).count(), 1);
    assert_eq!(outbound.note(&rest.name, Heard::Gone), Concerned::All);
    assert_eq!(outbound.note(&name, Heard::Gone), Concerned::Ports([9090].into()));
    assert_eq!(outbound.candidates(9090).count(), 0);
    assert_eq!(outbound.note(&"240.0.0.2_3306".into(), Heard::Open), Concerned::Ports([3306].into()));
}

#[test]
fn hosts_that_share_a_port_have_their_own_chains() {
    let (a, b) = ("outbound|9000||a.example.com", "outbound|9000||b.example.com");
    let chains = vec![within("10.0.0.0", 8, to(a)), within("10.1.0.0", 16, to(b)), to(PASSTHROUGH)];
    let world = World::new(&[listener("0.0.0.0", 9000, chains)]);
    let find = |host| world.find(&format!("{host}:9000"));
    assert_eq!((find("a.example.com").as_str(), find("b.example.com").as_str()), (a, b));
    assert_eq!((find("10.2.0.1").as_str(), find("10.1.0.1").as_str()), (a, b), "the longest range");
    assert_eq!(find("11.0.0.1"), PASSTHROUGH);
    assert_eq!(find("c.example.com"), PASSTHROUGH);
}

#[test]
fn a_share_of_anothers_calls_is_not_the_way_to_a_host() {
    let (a, b) = ("outbound|9000||a.prod.svc.cluster.local", "outbound|9000||b.prod.svc.cluster.local");
    let both = format!("{a},{b}");
    // In either order of their names.
    for (of_a, of_b) in [("240.0.0.1", "240.0.0.2"), ("240.0.0.2", "240.0.0.1")] {
        let shared = listener(of_a, 9000, vec![forward(&[(a, 90), (b, 10)])]);
        let world = World::new(&[shared.clone(), listener(of_b, 9000, vec![to(b)])]).clusters(&[a, b]);
        assert_eq!((world.find("b.prod:9000"), world.find("a.prod:9000")), (b.to_owned(), both.clone()));
        let routed = [shared, listener("0.0.0.0", 9000, vec![http("9000"), to(PASSTHROUGH)])];
        let routed = World::new(&routed).clusters(&[a, b]).routes("9000", &["b.prod"], "allow_any");
        assert_eq!(
            (routed.find("b.prod:9000"), routed.find("a.prod:9000")),
            ("routes 9000".to_owned(), both.clone())
        );
    }
}

/// istiod has one such service in the listener, and the clusters of all.
#[test]
fn services_without_addresses_do_not_take_each_others_calls() {
    let [a, b] = ["outbound|5432||db-a.example.com", "outbound|5432||db-b.example.com"];
    let world = World::new(&[listener("0.0.0.0", 5432, vec![to(a)]), rest(PASSTHROUGH)]).clusters(&[a, b]);
    assert_eq!(world.find("db-a.example.com:5432"), a);
    assert_eq!(world.find("db-b.example.com:5432"), format!("own {b}"));
    assert_eq!(world.find("nobody.example.com:5432"), PASSTHROUGH);
    assert_eq!(world.find("10.0.0.1:5432"), PASSTHROUGH);
}

#[test]
fn an_egress_proxy_takes_every_host() {
    let egress = "outbound|443||egress.istio-system.svc.cluster.local";
    let listeners = [listener("0.0.0.0", 5432, vec![to(egress)]), rest(egress)];
    let world = World::new(&listeners).clusters(&[egress]);
    assert_eq!(world.find("db.example.com:5432"), egress);
    assert_eq!(world.find("db.example.com:1"), egress);
}

#[test]
fn a_service_without_an_address_shares_a_port_with_routes() {
    let db = "outbound|9000||db-a.default.svc.cluster.local";
    let listeners = [listener("0.0.0.0", 9000, vec![http("9000"), to(db)]), rest(PASSTHROUGH)];
    let world = World::new(&listeners).clusters(&[db]).routes("9000", &["web"], "allow_any");
    assert_eq!(world.find("db-a:9000"), db);
    assert_eq!(world.find("web:9000"), "routes 9000");
    assert_eq!(world.find("other:9000"), "routes 9000", "for every host");
    let sniffed = World::new(&listeners).clusters(&[db]).routes("9000", &["db-a"], "allow_any");
    assert_eq!(sniffed.find("db-a:9000"), "routes 9000");
    let mut late = world;
    late.routes.insert("9000", None);
    assert_eq!(late.find("db-a:9000"), "routes 9000", "which are waited for");
}

#[test]
fn listeners_of_a_workload_that_nothing_captures_are_bound_to_loopback() {
    let listeners =
        [listener("127.0.0.1", 9080, vec![http("9080")]), listener("127.0.0.1", 3306, vec![to(DB)])];
    let world = World::new(&listeners).routes("9080", &["echo"], "allow_any").clusters(&[DB]);
    assert_eq!(world.find("echo:9080"), "routes 9080");
    assert_eq!(world.find("other:9080"), "routes 9080", "for every host");
    assert_eq!(world.find("db.prod:3306"), DB);
    assert_eq!(world.find("db-b.prod:3306"), "Nothing");
}

#[test]
fn a_listener_is_judged_by_its_own_address() {
    let [v1, all, other] = [
        "outbound|9000|v1|db.default.svc.cluster.local",
        "outbound|9000||db.default.svc.cluster.local",
        "outbound|9000|v2|db.default.svc.cluster.local",
    ];
    let chains = |last| vec![within("10.0.0.0", 8, to(v1)), last];
    let world = World::new(&[listener("240.240.0.1", 9000, chains(to(all)))]);
    assert_eq!((world.find("db:9000"), world.find("240.240.0.1:9000")), (all.to_owned(), all.to_owned()));
    let world = World::new(&[listener("240.240.0.1", 9000, chains(within("240.0.0.0", 4, to(other))))]);
    assert_eq!((world.find("db:9000"), world.find("240.240.0.1:9000")), (other.to_owned(), other.to_owned()));
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
    proto::FilterChain { metadata: Some(metadata), ..to(cluster) }
}

fn vip(last: u8, port: u32, chain: proto::FilterChain) -> proto::Listener {
    listener(&format!("240.0.0.{last}"), port, vec![chain])
}

#[test]
fn a_service_that_is_led_elsewhere_is_known_by_its_address() {
    let mut outbound = Outbound::new(NODE);
    World::new(&[vip(1, 9000, to(A)), vip(2, 9000, to(B)), vip(3, 9000, to(C))]).tell(&mut outbound);
    let listeners = [vip(1, 9000, led(B)), vip(2, 9000, led(C)), vip(3, 9000, to(C)), rest(PASSTHROUGH)];
    let world = World::new(&listeners).clusters(&[A, B, C]);
    world.tell(&mut outbound);
    for (name, found) in [
        ("a.prod:9000", B),
        ("b.prod:9000", C),
        ("c.prod:9000", C),
        ("240.0.0.1:9000", B),
        ("A.prod.svc.cluster.local.:9000", B),
    ] {
        assert_eq!(world.find_by(&outbound, name), found, "{name}");
    }
    let fewer = World::new(&listeners).clusters(&[B, C]);
    assert_eq!(fewer.find_by(&outbound, "a.prod:9000"), PASSTHROUGH, "it is a service no more");

    // The address is given to another service, and then it is given up.
    World::new(&[vip(1, 9000, to(B))]).tell(&mut outbound);
    assert_eq!(world.find_by(&outbound, "a.prod:9000"), format!("own {A}"));
    for listener in &world.listeners {
        outbound.note(&listener.name, Heard::Gone);
    }
    assert!(outbound.homes.of(&["b.prod.svc.cluster.local".to_owned()]).is_empty());
}

#[test]
fn the_listener_of_another_port_tells_whose_an_address_is() {
    let mut outbound = Outbound::new(NODE);
    let world = World::new(&[vip(1, 9000, led(B)), vip(2, 9000, to(B)), rest(PASSTHROUGH)]).clusters(&[A, B]);
    world.tell(&mut outbound);
    assert_eq!(world.find_by(&outbound, "a.prod:9000"), "240.0.0.1_9000 may be meant");
    assert_eq!(world.find_by(&outbound, "example.com:9000"), PASSTHROUGH, "no service of the mesh");
    assert_eq!(world.find_by(&outbound, "b.prod:9000"), B);
    let other = decode(&vip(1, 3306, to(OTHER_A)));
    let concerned = outbound.note(&other.name, Heard::There(&other));
    assert_eq!(concerned, Concerned::Ports([3306, 9000].into()), "now it is known");
    assert_eq!(world.find_by(&outbound, "a.prod:9000"), B);
}

#[test]
fn an_address_range_is_one_of_a_service_as_well() {
    let of = |a, b| {
        let chains = vec![within("240.0.0.1", 32, a), within("240.0.0.2", 32, b), to(PASSTHROUGH)];
        World::new(&[listener("0.0.0.0", 9000, chains)]).clusters(&[A, B, C])
    };
    let mut outbound = Outbound::new(NODE);
    of(to(A), to(B)).tell(&mut outbound);
    let world = of(led(B), led(C));
    world.tell(&mut outbound);
    assert_eq!(
        (world.find_by(&outbound, "a.prod:9000"), world.find_by(&outbound, "b.prod:9000")),
        (B.to_owned(), C.to_owned())
    );
}

/// One of two listeners that lead to a service in different ways is another's, and which one no address tells.
#[test]
fn who_is_led_to_another_service_is_not_taken_for_that() {
    let v2 = "outbound|9000|v2|b.prod.svc.cluster.local";
    for (first, second) in [(B, v2), (v2, B)] {
        let world = World::new(&[vip(1, 9000, led(first)), vip(2, 9000, led(second))]).clusters(&[A, B, v2]);
        assert_eq!(world.find("b.prod:9000"), "240.0.0.1_9000 may be meant", "{first}");
        assert_eq!(world.find("a.prod:9000"), "240.0.0.1_9000 may be meant", "{first}");
        let world = World::new(&[vip(1, 9000, led(first)), vip(2, 9000, to(B))]).clusters(&[A, B, v2]);
        assert_eq!(world.find("b.prod:9000"), B, "{first}");
    }
}

#[test]
fn a_refused_listener_with_an_address_fails_what_has_that_address_or_may_have_it() {
    let db = "outbound|3306||db.prod.svc.cluster.local";
    let listeners = [vip(3, 3306, to(OTHER_A)), rest(PASSTHROUGH)];
    let world = || {
        World::new(&listeners)
            .clusters(&[db, "outbound|3306||*.wild.example", OTHER_A])
            .refused("240.0.0.2_3306")
    };
    for name in ["db.prod:3306", "DB.prod.svc.cluster.local:3306", "240.0.0.2:3306", "any.wild.example:3306"]
    {
        assert_eq!(world().find(name), "240.0.0.2_3306 was refused", "{name}");
    }
    for name in ["example.com:3306", "10.9.9.9:3306", "wild.example:3306"] {
        assert_eq!(world().find(name), PASSTHROUGH, "{name}");
    }
    assert_eq!(world().find("a.prod:3306"), OTHER_A);
    // All that the port takes if it is for every address.
    let world = world().refused("0.0.0.0_3306");
    assert_eq!(world.find("example.com:3306"), "0.0.0.0_3306 was refused");
    assert_eq!(world.find("a.prod:3306"), OTHER_A);
}

#[test]
fn wildcards_stand_behind_names() {
    let [wild, deep, exact, far] = [
        "outbound|5432||*.example.com",
        "outbound|5432||*.db.example.com",
        "outbound|5432||x.db.example.com",
        "outbound|5432||*.far.org",
    ];
    let chains = vec![within("10.1.0.0", 16, to(wild)), within("10.2.0.0", 16, to(deep)), to(PASSTHROUGH)];
    let sniffed = listener("240.0.0.1", 8080, vec![http("*.db.example.com:8080")]);
    let listeners = [listener("0.0.0.0", 5432, chains), sniffed, rest(PASSTHROUGH)];
    let world = World::new(&listeners).clusters(&[wild, deep, far]);
    assert_eq!(world.find("y.example.com:5432"), wild);
    assert_eq!(world.find("x.db.example.com:5432"), deep);
    assert_eq!(world.find("x.db.example.com:8080"), "routes *.db.example.com:8080");
    assert_eq!(world.find("y.far.org:5432"), format!("own {far}"));
    assert_eq!(world.find("far.org:5432"), PASSTHROUGH);
    assert_eq!(world.clusters(&[exact]).find("x.db.example.com:5432"), format!("own {exact}"));
}

#[test]
fn what_is_not_known_may_not_be_called_where_only_what_is_known_may() {
    let listeners = [
        listener("0.0.0.0", 8080, vec![http("8080"), to("BlackHoleCluster")]),
        listener("0.0.0.0", 5432, vec![to("outbound|5432||db.example.com")]),
        listener("0.0.0.0", 5433, vec![to("BlackHoleCluster")]),
        rest("BlackHoleCluster"),
    ];
    let world = World::new(&listeners).routes("8080", &["echo"], "block_all");
    assert_eq!(world.find("echo:8080"), "routes 8080");
    for name in ["hidden:8080", "hidden:5432", "hidden:5433", "hidden:1"] {
        assert_eq!(world.find(name), "Blocked", "{name}");
    }
}

#[test]
fn clusters_alone_are_enough_once_there_are_no_listeners() {
    let own = "outbound|7070||echo.default.svc.cluster.local";
    for (listeners, found) in [(Listed::Open, "Unknown"), (Listed::All, own), (Listed::Silent, own)] {
        for clusters in [Listed::Open, Listed::All, Listed::Silent] {
            let world = World::new(&[]).clusters(&[own]).listed(listeners, clusters);
            assert!(world.find("echo:7070").ends_with(found), "{listeners:?} {clusters:?}");
        }
    }
    let other = |listeners, clusters| World::new(&[]).listed(listeners, clusters).find("other:7070");
    assert_eq!(other(Listed::All, Listed::All), "Nothing");
    assert_eq!(other(Listed::All, Listed::Open), "Unknown");
    assert_eq!(other(Listed::All, Listed::Silent), "Silent(Cluster)");
    assert_eq!(other(Listed::Silent, Listed::All), "Silent(Listener)");
    // Routes that there are not are waited for no longer.
    let listeners = [listener("0.0.0.0", 7070, vec![http("7070"), to(PASSTHROUGH)])];
    let mut world = World::new(&listeners).clusters(&[own]);
    assert_eq!(
        (world.find("echo:7070"), world.find("other:7070")),
        (format!("own {own}"), "routes 7070".to_owned())
    );
    world.routes.insert("7070", None);
    assert_eq!(world.find("echo:7070"), "routes 7070");
}

#[test]
fn the_name_needs_no_list_and_all_else_does() {
    let world = world().listed(Listed::Open, Listed::Open);
    assert_eq!(world.find("echo:8080"), "routes 8080");
    assert_eq!(world.find("sniffed:8080"), format!("routes {SNIFFED}"));
    assert_eq!(world.find("db.prod:3306"), DB);
    for name in ["other:8080", "db:3306", "example.com:443"] {
        assert_eq!(world.find(name), "Unknown", "{name}");
    }
    assert_eq!(world.listed(Listed::All, Listed::Open).find("other:8080"), "Unknown");
}

#[test]
fn what_was_refused_is_not_passed_by() {
    let world = world().refused("240.0.0.2_3306").refused("virtual");
    assert_eq!(world.find("db.prod:3306"), "240.0.0.2_3306 was refused");
    assert_eq!(world.find("240.0.0.2:3306"), "240.0.0.2_3306 was refused");
    assert_eq!(world.find("240.0.0.3:3306"), "virtual was refused");
    assert_eq!(world.find("example.com:443"), "virtual was refused");
    assert_eq!(world.find("echo:8080"), "routes 8080", "which say what stands behind it");
}

#[test]
fn what_was_refused_for_one_service_is_of_no_concern_to_others() {
    let world = world().refused("240.0.0.9_8080").refused("240.0.0.9_5432").refused("0.0.0.0_5433");
    assert_eq!(world.find("other:8080"), "routes 8080");
    assert_eq!(world.find("other:5432"), PASSTHROUGH);
    assert_eq!(world.find("other:5433"), "0.0.0.0_5433 was refused", "that may be meant for it");
    let world = world.clusters(&["outbound|5432||other.default.svc.cluster.local"]);
    assert_eq!(world.find("other:5432"), "240.0.0.9_5432 was refused", "that may be its own");
}

#[test]
fn all_that_was_asked_for_is_told() {
    let (world, mut outbound) = (world(), Outbound::new(NODE));
    world.tell(&mut outbound);
    let asked = |name: &str| {
        let owned = |names: Vec<Arc<str>>| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let asked = outbound.find(name, &world).asked;
        (owned(asked.routes), owned(asked.clusters))
    };
    assert_eq!(asked("echo:8080"), (vec!["8080".to_owned()], vec![]));
    let (routes, clusters) = asked("db.prod:3306");
    assert!(routes.is_empty());
    assert_eq!(clusters[1], DB, "whether it is still a service");
    let (routes, clusters) = asked("a.b:8080");
    assert_eq!(routes, ["8080"]);
    assert_eq!(clusters.iter().collect::<BTreeSet<_>>().len(), clusters.len(), "each once");
    assert_eq!(
        &clusters[..3],
        ["outbound|8080||a.b", "outbound|8080||a.b.svc.cluster.local", "outbound|8080||*.b"]
    );
}
