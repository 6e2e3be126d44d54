//! The checklist of what has to be refused, and what must not be: a row of a table for each rule, with the place and the
//! reason that the control plane is told. The rules are those of gRPC's xDS clients (gRFCs A27 to A105), and of Envoy
//! where gRPC is silent.

use bytes::Bytes;
use mesh_core::resource::endpoint::LocalityEndpoints;
use mesh_core::resource::listener::{ChainAction, Listener};
use mesh_core::resource::{Kind, Local, Resource};
use mesh_core::xds::kind::ResourceKind;
use mesh_proto::envoy::config::cluster::v3 as cluster;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::endpoint::v3 as endpoint;
use mesh_proto::envoy::config::listener::v3 as listener;
use mesh_proto::envoy::config::rbac::v3 as rbac;
use mesh_proto::envoy::config::route::v3 as route;
use mesh_proto::envoy::extensions::clusters::aggregate::v3 as aggregate;
use mesh_proto::envoy::extensions::clusters::dns::v3 as dns;
use mesh_proto::envoy::extensions::filters::http::rbac::v3 as rbac_filter;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use mesh_proto::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
use mesh_proto::envoy::extensions::load_balancing_policies as policies;
use mesh_proto::envoy::extensions::transport_sockets::http_11_proxy::v3::Http11ProxyUpstreamTransport;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use mesh_proto::envoy::r#type::matcher::v3 as matcher;
use mesh_proto::envoy::r#type::v3::{FractionalPercent, Percent};
use mesh_proto::google::protobuf::{Any, BoolValue, Duration, UInt32Value, UInt64Value};
use mesh_proto::typed_struct::TypedStruct;
use prost::Message;

/// Accepted.
const GOOD: &str = "";

struct Row<'a> {
    /// The section of the checklist and the rule.
    rule: &'a str,
    kind: Kind,
    bytes: Vec<u8>,
    /// What the control plane is told: how it begins, `…`, and what comes later; or [`GOOD`].
    expected: &'a str,
}

fn check(rows: Vec<Row<'_>>) {
    check_for(&Local::default(), rows);
}

fn check_for(local: &Local, rows: Vec<Row<'_>>) {
    let mut wrong = Vec::new();
    for Row { rule, kind, bytes, expected } in rows {
        let told = kind.decode_for(local, "x", &Bytes::from(bytes), None).err().unwrap_or_default();
        let (start, rest) = expected.split_once('…').unwrap_or((expected, ""));
        let fits = match expected {
            GOOD => told.is_empty(),
            _ => told.strip_prefix(start).is_some_and(|told| told.contains(rest)),
        };
        if !fits {
            wrong.push(format!("{rule}\n  expected {expected:?}\n  told     {told:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn row<'a, M: Message>(rule: &'a str, kind: Kind, proto: M, expected: &'a str) -> Row<'a> {
    Row { rule, kind, bytes: proto.encode_to_vec(), expected }
}

fn any<M: Message>(message: &str, proto: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{message}"), value: proto.encode_to_vec() }
}

fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn ads() -> Option<core::ConfigSource> {
    use core::config_source::ConfigSourceSpecifier;
    let specifier = Some(ConfigSourceSpecifier::Ads(core::AggregatedConfigSource::default()));
    Some(core::ConfigSource { config_source_specifier: specifier, ..Default::default() })
}

fn from_self() -> Option<core::ConfigSource> {
    let specifier = core::config_source::ConfigSourceSpecifier::Self_(core::SelfConfigSource::default());
    Some(core::ConfigSource { config_source_specifier: Some(specifier), ..Default::default() })
}

fn from_a_file() -> Option<core::ConfigSource> {
    let specifier = core::config_source::ConfigSourceSpecifier::PathConfigSource(Default::default());
    Some(core::ConfigSource { config_source_specifier: Some(specifier), ..Default::default() })
}

fn address(host: &str, port: u32) -> Option<core::Address> {
    use core::address::Address;
    use core::socket_address::PortSpecifier;
    let port_specifier = Some(PortSpecifier::PortValue(port));
    let socket = core::SocketAddress { address: host.into(), port_specifier, ..Default::default() };
    Some(core::Address { address: Some(Address::SocketAddress(socket)) })
}

const HCM: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
const FAULT: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";
const RBAC_PER_ROUTE: &str = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute";
const RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";

fn filter_with(name: &str, config: Any) -> hcm::HttpFilter {
    let config_type = Some(hcm::http_filter::ConfigType::TypedConfig(config));
    hcm::HttpFilter { name: name.into(), config_type, ..Default::default() }
}

fn filter(name: &str, message: &str) -> hcm::HttpFilter {
    filter_with(name, any(message, &()))
}

/// A connection manager that is right, as far as `change` leaves it so.
fn manager(change: impl FnOnce(&mut hcm::HttpConnectionManager)) -> hcm::HttpConnectionManager {
    use hcm::http_connection_manager::RouteSpecifier;
    let rds = hcm::Rds { config_source: ads(), route_config_name: "routes".into() };
    let mut manager = hcm::HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(rds)),
        http_filters: vec![filter("router", ROUTER)],
        ..Default::default()
    };
    change(&mut manager);
    manager
}

fn client(change: impl FnOnce(&mut hcm::HttpConnectionManager)) -> listener::Listener {
    let api = listener::ApiListener { api_listener: Some(any(HCM, &manager(change))) };
    listener::Listener { name: "x".into(), api_listener: Some(api), ..Default::default() }
}

#[test]
fn resources_of_any_kind() {
    let mut rows = Vec::new();
    for &kind in Kind::ALL {
        rows.push(Row {
            rule: "2.1 bytes that cannot be decoded",
            kind,
            bytes: vec![0xff; 9],
            expected: "…cannot be decoded",
        });
    }
    // A field that nobody knows, number 2000.
    let mut bytes = cluster_with(|_| ()).encode_to_vec();
    bytes.extend([0x82, 0x7d, 1, b'?']);
    rows.push(Row { rule: "2.1 unknown fields are left aside", kind: Kind::Cluster, bytes, expected: GOOD });
    check(rows);
}

#[test]
fn listeners_of_clients() {
    use hcm::http_connection_manager::RouteSpecifier;
    let row = |rule, proto, expected| row(rule, Kind::Listener, proto, expected);
    let rds = |source, name: &str| {
        let rds = hcm::Rds { config_source: source, route_config_name: name.into() };
        client(move |manager| manager.route_specifier = Some(RouteSpecifier::Rds(rds)))
    };
    let inline = |name: &str| {
        let mut config = routes_with(|_| ());
        config.name = name.into();
        client(move |manager| manager.route_specifier = Some(RouteSpecifier::RouteConfig(config)))
    };
    let filters = |filters: Vec<hcm::HttpFilter>| client(move |manager| manager.http_filters = filters);
    let optional = |mut filter: hcm::HttpFilter| {
        filter.is_optional = true;
        filter
    };
    let other = listener::Listener {
        name: "x".into(),
        api_listener: Some(listener::ApiListener { api_listener: Some(any("example.Other", &())) }),
        ..Default::default()
    };
    let garbage = listener::Listener {
        name: "x".into(),
        api_listener: Some(listener::ApiListener {
            api_listener: Some(Any { value: vec![0xff], ..any(HCM, &()) }),
        }),
        ..Default::default()
    };
    let router = || filter("router", ROUTER);
    let typed_struct = |message: &str| {
        let inner = any(message, &());
        let inner = TypedStruct { type_url: inner.type_url, value: None };
        filter_with("a", any("xds.type.v3.TypedStruct", &inner))
    };
    check(vec![
        row("2.2 good", client(|_| ()), GOOD),
        row("2.2 another message", other, "api_listener.api_listener: …is not an HttpConnectionManager"),
        row("2.2 undecodable", garbage, "api_listener.api_listener: cannot be decoded"),
        row(
            "2.2 trusted hops",
            client(|manager| manager.xff_num_trusted_hops = 1),
            "api_listener.api_listener.xff_num_trusted_hops: is not supported",
        ),
        row(
            "2.2 detection of original addresses",
            client(|manager| manager.original_ip_detection_extensions = vec![Default::default()]),
            "api_listener.api_listener.original_ip_detection_extensions: is not supported",
        ),
        row(
            "2.2 no routes",
            client(|manager| manager.route_specifier = None),
            "api_listener.api_listener.route_specifier: is missing",
        ),
        row(
            "2.2 scoped routes",
            client(|manager| {
                manager.route_specifier = Some(RouteSpecifier::ScopedRoutes(Default::default()));
            }),
            "api_listener.api_listener.scoped_routes: is not supported",
        ),
        row(
            "2.2 rds without source",
            rds(None, "a"),
            "api_listener.api_listener.rds.config_source: must be ads",
        ),
        row(
            "2.2 rds without name",
            rds(ads(), ""),
            "api_listener.api_listener.rds.route_config_name: must not",
        ),
        row("2.2 rds from the same server", rds(from_self(), "a"), GOOD),
        row(
            "2.2 rds from elsewhere",
            rds(from_a_file(), "a"),
            "api_listener.api_listener.rds.config_source: must be ads or self",
        ),
        row(
            "2.2 nothing for clients",
            listener::Listener {
                name: "x".into(),
                api_listener: Some(Default::default()),
                address: address("127.0.0.1", 80),
                ..Default::default()
            },
            "api_listener.api_listener: is missing",
        ),
        row("2.2 inline routes", inline("a"), GOOD),
        row(
            "2.2 inline routes that are wrong",
            client(|manager| {
                let config = routes_with(|host| host.routes[0].r#match = None);
                manager.route_specifier = Some(RouteSpecifier::RouteConfig(config));
            }),
            "api_listener.api_listener.route_config.virtual_hosts[0].routes[0].match: is missing",
        ),
        row("2.2 inline routes without name", inline(""), GOOD),
        row("2.2 no filters", filters(vec![]), "api_listener.api_listener.http_filters: the chain must end"),
        row(
            "2.2 filter without name",
            filters(vec![filter("", FAULT), router()]),
            "api_listener.api_listener.http_filters[0].name: must not be empty",
        ),
        row(
            "2.2 filters of the same name",
            filters(vec![filter("a", FAULT), filter("a", FAULT), router()]),
            "api_listener.api_listener.http_filters[1].name: \"a\" is the name of two",
        ),
        row(
            "2.2 unknown filter",
            filters(vec![filter("a", "example.A"), router()]),
            "api_listener.api_listener.http_filters[0].typed_config: \"example.A\" is not supported",
        ),
        row(
            "2.2 filter that is to be asked for",
            filters(vec![
                hcm::HttpFilter {
                    name: "a".into(),
                    config_type: Some(hcm::http_filter::ConfigType::ConfigDiscovery(Default::default())),
                    ..Default::default()
                },
                router(),
            ]),
            "api_listener.api_listener.http_filters[0].typed_config: \"\" is not supported",
        ),
        row(
            "2.2 filter without configuration",
            filters(vec![hcm::HttpFilter { name: "a".into(), ..Default::default() }, router()]),
            "api_listener.api_listener.http_filters[0].typed_config: \"\" is not supported and not optional",
        ),
        row(
            "2.2 unknown filter in a TypedStruct",
            filters(vec![typed_struct("example.A"), router()]),
            "api_listener.api_listener.http_filters[0].typed_config: \"example.A\" is not supported and not",
        ),
        row(
            "2.2 unknown optional filter in a TypedStruct",
            filters(vec![optional(typed_struct("example.A")), router()]),
            GOOD,
        ),
        row("2.2 router in a TypedStruct", filters(vec![typed_struct(ROUTER)]), GOOD),
        row(
            "2.2 filter whose configuration cannot be read in a TypedStruct",
            filters(vec![typed_struct(FAULT), router()]),
            "api_listener.api_listener.http_filters[0].typed_config: envoy.extensions.filters.http.fault",
        ),
        row(
            "2.2 what the router is told is not looked at",
            filters(vec![filter_with("router", Any { value: vec![0xff], ..any(ROUTER, &()) })]),
            GOOD,
        ),
        row(
            "2.2 no time for a call is any time",
            client(|manager| {
                let max_stream_duration = seconds(0);
                manager.common_http_protocol_options =
                    Some(core::HttpProtocolOptions { max_stream_duration, ..Default::default() });
            }),
            GOOD,
        ),
        row("2.2 unknown optional filter", filters(vec![optional(filter("a", "example.A")), router()]), GOOD),
        row(
            "2.2 last filter is not terminal",
            filters(vec![filter("a", FAULT)]),
            "api_listener.api_listener.http_filters: the chain must end in the router",
        ),
        row(
            "2.2 terminal filter is not last",
            filters(vec![router(), filter("a", FAULT)]),
            "api_listener.api_listener.http_filters: the chain must end in the router",
        ),
        row(
            "2.2 filter whose configuration is wrong",
            filters(vec![filter_with("a", Any { value: vec![0xff], ..any(FAULT, &()) }), router()]),
            "api_listener.api_listener.http_filters[0].typed_config: cannot be decoded",
        ),
        row(
            "2.2 negative duration",
            client(|manager| {
                let max_stream_duration = seconds(-1);
                manager.common_http_protocol_options =
                    Some(core::HttpProtocolOptions { max_stream_duration, ..Default::default() });
            }),
            "api_listener.api_listener.common_http_protocol_options.max_stream_duration: -1s",
        ),
    ]);
}

fn chain(change: impl FnOnce(&mut listener::FilterChain)) -> listener::FilterChain {
    use hcm::http_connection_manager::RouteSpecifier;
    let manager = manager(|manager| {
        manager.route_specifier = Some(RouteSpecifier::RouteConfig(routes_with(|_| ())));
    });
    let config_type = Some(listener::filter::ConfigType::TypedConfig(any(HCM, &manager)));
    let mut chain = listener::FilterChain {
        filters: vec![listener::Filter { name: "hcm".into(), config_type }],
        ..Default::default()
    };
    change(&mut chain);
    chain
}

fn server(chains: Vec<listener::FilterChain>) -> listener::Listener {
    listener::Listener {
        name: "x".into(),
        address: address("127.0.0.1", 80),
        filter_chains: chains,
        ..Default::default()
    }
}

fn server_tls(change: impl FnOnce(&mut tls::DownstreamTlsContext)) -> listener::Listener {
    let mut context = tls::DownstreamTlsContext {
        common_tls_context: Some(tls::CommonTlsContext {
            tls_certificate_provider_instance: plugin(),
            ..Default::default()
        }),
        ..Default::default()
    };
    change(&mut context);
    let message = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    let socket = socket(any(message, &context));
    server(vec![chain(|chain| chain.transport_socket = socket)])
}

const HTTP11_PROXY: &str = "envoy.extensions.transport_sockets.http_11_proxy.v3.Http11ProxyUpstreamTransport";

fn socket(config: Any) -> Option<core::TransportSocket> {
    let config_type = Some(core::transport_socket::ConfigType::TypedConfig(config));
    Some(core::TransportSocket { name: "envoy.transport_sockets.tls".into(), config_type })
}

/// Callers need a certificate of the plugin's authority, as far as `change` leaves it so.
fn accepting(
    context: &mut tls::DownstreamTlsContext,
    change: impl FnOnce(&mut tls::CertificateValidationContext),
) {
    let mut validation = tls::CertificateValidationContext {
        ca_certificate_provider_instance: plugin(),
        ..Default::default()
    };
    change(&mut validation);
    context.common_tls_context.get_or_insert_default().validation_context_type =
        Some(tls::common_tls_context::ValidationContextType::ValidationContext(validation));
}

fn exactly(text: &str) -> matcher::StringMatcher {
    let pattern = matcher::string_matcher::MatchPattern::Exact(text.into());
    matcher::StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

fn dns_name(name: &str) -> tls::SubjectAltNameMatcher {
    tls::SubjectAltNameMatcher { san_type: 2, matcher: Some(exactly(name)), ..Default::default() }
}

fn plugin() -> Option<tls::CertificateProviderPluginInstance> {
    Some(tls::CertificateProviderPluginInstance { instance_name: "default".into(), ..Default::default() })
}

#[test]
fn listeners_of_servers() {
    let row = |rule, proto, expected| row(rule, Kind::Listener, proto, expected);
    let with = |change: fn(&mut listener::Listener)| {
        let mut listener = server(vec![chain(|_| ())]);
        change(&mut listener);
        listener
    };
    let matching = |change: fn(&mut listener::FilterChainMatch)| {
        chain(|chain| change(chain.filter_chain_match.get_or_insert_default()))
    };
    let range =
        |prefix: &str, len| core::CidrRange { address_prefix: prefix.into(), prefix_len: number(len) };
    let destination = |ranges: Vec<core::CidrRange>| {
        chain(|chain| chain.filter_chain_match.get_or_insert_default().prefix_ranges = ranges)
    };
    let policy = |policy: rbac::Policy, action: i32| {
        let rules = rbac::Rbac { action, policies: [("p".to_owned(), policy)].into(), ..Default::default() };
        let rbac = rbac_filter::Rbac { rules: Some(rules), ..Default::default() };
        filtered_server(vec![filter_with("rbac", any(RBAC, &rbac))])
    };
    let of_header = |name: &str| route::HeaderMatcher {
        name: name.into(),
        header_match_specifier: Some(route::header_matcher::HeaderMatchSpecifier::PresentMatch(true)),
        ..Default::default()
    };
    let header = |name: &str| rbac::Policy {
        permissions: vec![rbac::Permission { rule: Some(rbac::permission::Rule::Header(of_header(name))) }],
        ..Default::default()
    };
    check(vec![
        row("2.3 good", server(vec![chain(|_| ())]), GOOD),
        row("2.3 good with TLS", server_tls(|_| ()), GOOD),
        row("2.3 neither client nor server", with(|l| l.address = None), "a listener needs"),
        row(
            "2.3 listener filters",
            with(|l| l.listener_filters = vec![Default::default()]),
            "listener_filters: is not",
        ),
        row(
            "2.3 original destination",
            with(|l| l.use_original_dst = Some(BoolValue { value: true })),
            "use_original_dst: is not supported",
        ),
        row(
            "2.3 address that is a name",
            with(|l| l.address = address("localhost", 1)),
            "address: must be an IP",
        ),
        row(
            "2.3 address without port",
            with(|l| l.address = address("::1", 70_000)),
            "address.socket_address.port",
        ),
        row(
            "2.3 address with the name of a port",
            with(|l| {
                use core::address::Address::SocketAddress;
                use core::socket_address::PortSpecifier::NamedPort;
                let Some(SocketAddress(socket)) = &mut l.address.as_mut().unwrap().address else {
                    unreachable!()
                };
                socket.port_specifier = Some(NamedPort("http".into()));
            }),
            "address.socket_address.named_port: is not supported",
        ),
        row(
            "2.3 address of a Unix socket",
            with(|l| {
                let pipe = core::Pipe { path: "/p".into(), mode: 0 };
                l.address = Some(core::Address { address: Some(core::address::Address::Pipe(pipe)) });
            }),
            "address: must be an IP address and a port",
        ),
        row("2.3 no chain", server(vec![]), "filter_chains: no chain can be used"),
        row("2.3 only a default chain", with(|l| l.default_filter_chain = l.filter_chains.pop()), GOOD),
        row(
            "2.3 no network filter",
            server(vec![chain(|c| c.filters.clear())]),
            "filter_chains[0].filters: must not",
        ),
        row(
            "2.3 two network filters",
            server(vec![chain(|c| c.filters.extend(c.filters.clone()))]),
            "filter_chains[0].filters: must be one HttpConnectionManager",
        ),
        row(
            "2.3 another network filter",
            server(vec![chain(|c| {
                let proxy = tcp::TcpProxy {
                    cluster_specifier: Some(tcp::tcp_proxy::ClusterSpecifier::Cluster("a".into())),
                    ..Default::default()
                };
                let proxy = any("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", &proxy);
                c.filters[0].config_type = Some(listener::filter::ConfigType::TypedConfig(proxy));
            })]),
            "filter_chains[0].filters: must be one HttpConnectionManager",
        ),
        row(
            "2.3 unknown network filter",
            server(vec![chain(|c| {
                c.filters[0].config_type =
                    Some(listener::filter::ConfigType::TypedConfig(any("example.F", &())));
            })]),
            "filter_chains[0].filters[0].typed_config: \"example.F\" is not supported",
        ),
        row(
            "2.3 network filter without configuration",
            server(vec![chain(|c| c.filters[0].config_type = None)]),
            "filter_chains[0].filters[0].typed_config: is missing",
        ),
        row(
            "2.3 default chain that is wrong",
            with(|l| {
                l.default_filter_chain = Some(chain(|c| c.filters.clear()));
            }),
            "default_filter_chain.filters: must not be empty",
        ),
        row(
            "2.3 routes of a server that are wrong",
            server(vec![chain(|c| {
                use hcm::http_connection_manager::RouteSpecifier;
                let manager = manager(|manager| {
                    let routes = routes_with(|host| host.routes[0].r#match = None);
                    manager.route_specifier = Some(RouteSpecifier::RouteConfig(routes));
                });
                c.filters[0].config_type =
                    Some(listener::filter::ConfigType::TypedConfig(any(HCM, &manager)));
            })]),
            "filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0].match: is missing",
        ),
        row(
            "2.3 chains with the same match",
            server(vec![chain(|_| ()), chain(|_| ())]),
            "filter_chains: 1 takes connections that 0 takes",
        ),
        row(
            "2.3 ranges that are the same once their last bits are gone",
            server(vec![destination(vec![range("10.1.0.0", 8)]), destination(vec![range("10.2.0.0", 8)])]),
            "filter_chains: 1 takes connections that 0 takes",
        ),
        row(
            "2.3 more conditions than can be looked at",
            server(vec![chain(|c| {
                let condition = c.filter_chain_match.get_or_insert_default();
                condition.source_ports = (1..=60_000).collect();
                condition.prefix_ranges = vec![range("10.0.0.0", 8), range("11.0.0.0", 8)];
            })]),
            "filter_chains: the conditions stand for more than 65536",
        ),
        row(
            "2.3 ranges that differ",
            server(vec![destination(vec![range("10.1.0.0", 8)]), destination(vec![range("10.1.0.0", 16)])]),
            GOOD,
        ),
        row(
            "2.3 bad range",
            server(vec![destination(vec![range("10.1.0.0", 33)])]),
            "filter_chains[0].filter_chain_match.prefix_ranges[0].prefix_len: 33 is more than 32",
        ),
        row(
            "2.3 range of no address",
            server(vec![destination(vec![range("a.b", 8)])]),
            "filter_chains[0].filter_chain_match.prefix_ranges[0].address_prefix: ",
        ),
        row(
            "2.3 no chain that a connection can reach",
            server(vec![matching(|m| m.destination_port = number(1))]),
            "filter_chains: no chain can be used",
        ),
        row(
            "2.3 unknown source type",
            server(vec![matching(|m| m.source_type = 9)]),
            "filter_chains[0].filter_chain_match.source_type: 9 is unknown",
        ),
        row(
            "2.3 chains that no connection can reach are left out",
            server(vec![
                matching(|m| m.destination_port = number(1)),
                matching(|m| m.server_names = vec!["a".into()]),
                matching(|m| m.application_protocols = vec!["h2".into()]),
                matching(|m| m.transport_protocol = "tls".into()),
                matching(|m| m.transport_protocol = "raw_buffer".into()),
            ]),
            GOOD,
        ),
        row(
            "2.3 a listener within Envoy",
            listener::Listener {
                name: "x".into(),
                listener_specifier: Some(listener::listener::ListenerSpecifier::InternalListener(
                    Default::default(),
                )),
                filter_chains: vec![listener::FilterChain::default()],
                ..Default::default()
            },
            GOOD,
        ),
        row(
            "2.3 another transport socket",
            server(vec![chain(|c| c.transport_socket = socket(any("example.Socket", &())))]),
            "filter_chains[0].transport_socket.typed_config: \"example.Socket\" is not supported",
        ),
        row(
            "2.3 server name required",
            server_tls(|c| c.require_sni = Some(BoolValue { value: true })),
            "filter_chains[0].transport_socket.typed_config.require_sni: is not supported",
        ),
        row(
            "2.3 stapling",
            server_tls(|c| c.ocsp_staple_policy = 1),
            "filter_chains[0].transport_socket.typed_config.ocsp_staple_policy: only",
        ),
        row(
            "2.3 no TLS context",
            server_tls(|c| c.common_tls_context = None),
            "filter_chains[0].transport_socket.typed_config.common_tls_context: is missing",
        ),
        row(
            "2.3 no identity",
            server_tls(|c| c.common_tls_context = Some(Default::default())),
            "filter_chains[0].transport_socket.typed_config.common_tls_context: needs",
        ),
        row(
            "2.3 client certificate without roots",
            server_tls(|c| c.require_client_certificate = Some(BoolValue { value: true })),
            "filter_chains[0].transport_socket.typed_config.common_tls_context: callers need a certificate",
        ),
        row(
            "2.3 client certificate of an authority",
            server_tls(|c| {
                c.require_client_certificate = Some(BoolValue { value: true });
                accepting(c, |_| ());
            }),
            GOOD,
        ),
        #[expect(deprecated, reason = "it is refused")]
        row(
            "2.3 names of callers",
            server_tls(|c| accepting(c, |v| v.match_subject_alt_names = vec![exactly("a")])),
            "filter_chains[0].transport_socket.typed_config.common_tls_context: match_subject_alt_names is not",
        ),
        row(
            "2.3 names of callers by their kind",
            server_tls(|c| accepting(c, |v| v.match_typed_subject_alt_names = vec![dns_name("a")])),
            "filter_chains[0].transport_socket.typed_config.common_tls_context: match_subject_alt_names is not",
        ),
        row(
            "2.3 system roots",
            server_tls(|c| {
                accepting(c, |v| {
                    v.ca_certificate_provider_instance = None;
                    v.system_root_certs = Some(Default::default());
                });
            }),
            "filter_chains[0].transport_socket.typed_config.common_tls_context: system_root_certs is not",
        ),
        row("2.3 RBAC good", policy(header("a"), 0), GOOD),
        row("2.3 RBAC log", policy(header("a"), 2), GOOD),
        row(
            "2.3 RBAC unknown action",
            policy(header("a"), 7),
            "filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.rules.action: 7 is unknown",
        ),
        row(
            "2.3 RBAC condition",
            policy(rbac::Policy { condition: Some(Default::default()), ..Default::default() }, 0),
            "filter_chains[0].…http_filters[0].typed_config.rules.policies[p].condition: is not",
        ),
        row(
            "2.3 RBAC checked condition",
            policy(rbac::Policy { checked_condition: Some(Default::default()), ..Default::default() }, 0),
            "filter_chains[0].…http_filters[0].typed_config.rules.policies[p].checked_condition: is not",
        ),
        row(
            "2.3 RBAC on :scheme",
            policy(header(":scheme"), 0),
            "filter_chains[0].…http_filters[0].typed_config.rules.policies[p].permissions[0].header.name: \":scheme\" may",
        ),
        row(
            "2.3 RBAC on a header of gRPC",
            policy(header("grpc-timeout"), 0),
            "filter_chains[0].…http_filters[0].typed_config.rules.policies[p].permissions[0].header.name: \"grpc-",
        ),
        row(
            "2.3 RBAC on a caller's header of gRPC, deep down",
            policy(
                rbac::Policy {
                    principals: vec![rbac::Principal {
                        identifier: Some(rbac::principal::Identifier::AndIds(rbac::principal::Set {
                            ids: vec![
                                rbac::Principal { identifier: Some(rbac::principal::Identifier::Any(true)) },
                                rbac::Principal {
                                    identifier: Some(rbac::principal::Identifier::Header(of_header(
                                        "Grpc-X",
                                    ))),
                                },
                            ],
                        })),
                    }],
                    ..Default::default()
                },
                0,
            ),
            "filter_chains[0].…rules.policies[p].principals[0].and_ids.ids[1].header.name: \"grpc-x\" may",
        ),
    ]);
}

/// A server whose calls pass through these filters.
fn filtered_server(filters: Vec<hcm::HttpFilter>) -> listener::Listener {
    use hcm::http_connection_manager::RouteSpecifier;
    let manager = manager(|manager| {
        manager.route_specifier = Some(RouteSpecifier::RouteConfig(routes_with(|_| ())));
        manager.http_filters.splice(0..0, filters);
    });
    server(vec![chain(|chain| {
        chain.filters[0].config_type = Some(listener::filter::ConfigType::TypedConfig(any(HCM, &manager)));
    })])
}

#[test]
fn filters_stand_on_the_side_where_they_work() {
    const CLIENT: &str = "api_listener.api_listener.http_filters[0].typed_config: \"";
    const SERVER: &str = "filter_chains[0].filters[0].typed_config.http_filters[0].typed_config: \"";
    let messages = [
        ("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", true, true),
        ("istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", true, true),
        ("envoy.extensions.filters.http.cors.v3.Cors", true, true),
        (FAULT, true, false),
        ("envoy.extensions.filters.http.stateful_session.v3.StatefulSession", true, false),
        (RBAC, false, true),
        // What routes say about filters is no filter.
        ("envoy.extensions.filters.http.rbac.v3.RBACPerRoute", false, false),
        ("envoy.extensions.filters.http.cors.v3.CorsPolicy", false, false),
        ("envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute", false, false),
    ];
    let mut rows = Vec::new();
    for (message, for_clients, for_servers) in messages {
        let of = |is_optional| hcm::HttpFilter { is_optional, ..filter("a", message) };
        let on_client = |is_optional| client(|manager| manager.http_filters.insert(0, of(is_optional)));
        let on_server = |is_optional| filtered_server(vec![of(is_optional)]);
        let (client, server) =
            (if for_clients { GOOD } else { CLIENT }, if for_servers { GOOD } else { SERVER });
        rows.extend([
            row(message, Kind::Listener, on_client(false), client),
            row(message, Kind::Listener, on_client(true), GOOD),
            row(message, Kind::Listener, on_server(false), server),
            row(message, Kind::Listener, on_server(true), GOOD),
        ]);
    }
    check(rows);
}

/// A listener that forwards bytes and does not say in which direction it looks.
fn forwarding_listener(specifier: Option<tcp::tcp_proxy::ClusterSpecifier>) -> listener::Listener {
    let proxy = tcp::TcpProxy { cluster_specifier: specifier, ..Default::default() };
    let proxy = any("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", &proxy);
    server(vec![chain(|chain| {
        chain.filters[0].config_type = Some(listener::filter::ConfigType::TypedConfig(proxy));
    })])
}

/// What a sidecar's listener says instead of the forwarding that one of its chains asks for.
fn forwarding(specifier: Option<tcp::tcp_proxy::ClusterSpecifier>) -> Option<String> {
    let mut listener = forwarding_listener(specifier);
    listener.traffic_direction = core::TrafficDirection::Outbound as i32;
    let bytes = Bytes::from(listener.encode_to_vec());
    let Resource::Listener(read) = Kind::Listener.decode("x", &bytes, None).unwrap() else { unreachable!() };
    let Listener::Server(read) = &*read else { panic!("not for sidecars") };
    match &read.chains[0].action {
        ChainAction::Tcp(proxy) => {
            assert!(proxy.clusters.iter().all(|(name, weight)| !name.is_empty() && *weight > 0));
            None
        }
        ChainAction::Other(why) => Some(why.to_string()),
        ChainAction::Http(_) => panic!("not for bytes"),
    }
}

#[test]
fn chains_of_sidecars_that_cannot_be_used_are_left_out() {
    use tcp::tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight};
    let weighted = |weights: &[(&str, u32)]| {
        let clusters = weights.iter().map(|(name, weight)| ClusterWeight {
            name: (*name).to_owned(),
            weight: *weight,
            ..Default::default()
        });
        Some(ClusterSpecifier::WeightedClusters(WeightedCluster { clusters: clusters.collect() }))
    };
    let sum = "filters[0].typed_config.weighted_clusters.clusters: the sum of the weights";
    for (specifier, expected) in [
        (Some(ClusterSpecifier::Cluster("a".into())), None),
        (weighted(&[("a", u32::MAX), ("", 0)]), None),
        (weighted(&[("a", u32::MAX), ("b", 1)]), Some(sum)),
        (weighted(&[("a", 0), ("b", 0)]), Some(sum)),
        (weighted(&[]), Some(sum)),
        (
            weighted(&[("a", 1), ("", 1)]),
            Some("filters[0].typed_config.weighted_clusters.clusters[1].name: must"),
        ),
        (
            Some(ClusterSpecifier::Cluster(String::new())),
            Some("filters[0].typed_config.cluster: must not be"),
        ),
        (None, Some("filters[0].typed_config.cluster_specifier: is missing")),
    ] {
        let told = forwarding(specifier.clone());
        let fits = match expected {
            Some(start) => told.as_ref().is_some_and(|told| told.starts_with(start)),
            None => told.is_none(),
        };
        assert!(fits, "{specifier:?}\n  expected {expected:?}\n  told     {told:?}");
    }
}

fn action(change: impl FnOnce(&mut route::RouteAction)) -> route::Route {
    use route::route_action::ClusterSpecifier;
    let mut action = route::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster("a".into())),
        ..Default::default()
    };
    change(&mut action);
    route::Route {
        r#match: Some(route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".into())),
            ..Default::default()
        }),
        action: Some(route::route::Action::Route(action)),
        ..Default::default()
    }
}

/// Routes that are right, as far as `change` leaves them so.
fn routes_with(change: impl FnOnce(&mut route::VirtualHost)) -> route::RouteConfiguration {
    let mut host =
        route::VirtualHost { domains: vec!["*".into()], routes: vec![action(|_| ())], ..Default::default() };
    change(&mut host);
    route::RouteConfiguration { name: "x".into(), virtual_hosts: vec![host], ..Default::default() }
}

#[test]
fn routes() {
    use route::route_match::PathSpecifier as Path;
    let row = |rule, proto, expected| row(rule, Kind::Route, proto, expected);
    let matching = |change: fn(&mut route::RouteMatch)| {
        routes_with(|host| change(host.routes[0].r#match.as_mut().unwrap()))
    };
    let path = |path| routes_with(|host| host.routes[0].r#match.as_mut().unwrap().path_specifier = path);
    let regex = |regex: &str| {
        let regex = matcher::RegexMatcher { regex: regex.into(), ..Default::default() };
        path(Some(Path::SafeRegex(regex)))
    };
    let domains = |domains: &[&str]| {
        let domains = domains.iter().map(|&domain| domain.to_owned()).collect();
        routes_with(|host| host.domains = domains)
    };
    let header = |name: &str, specifier| {
        let header = route::HeaderMatcher {
            name: name.into(),
            header_match_specifier: specifier,
            ..Default::default()
        };
        routes_with(|host| host.routes[0].r#match.as_mut().unwrap().headers = vec![header])
    };
    use route::header_matcher::HeaderMatchSpecifier as Header;
    let with = |change: fn(&mut route::RouteAction)| routes_with(|host| host.routes[0] = action(change));
    let weighted = |weights: &[u32]| {
        let clusters = weights.iter().map(|&weight| route::weighted_cluster::ClusterWeight {
            name: "a".into(),
            weight: number(weight),
            ..Default::default()
        });
        let weighted = route::WeightedCluster { clusters: clusters.collect(), ..Default::default() };
        routes_with(|host| {
            host.routes[0] = action(|action| {
                action.cluster_specifier =
                    Some(route::route_action::ClusterSpecifier::WeightedClusters(weighted));
            });
        })
    };
    let plugin = |name: &str, is_optional| route::ClusterSpecifierPlugin {
        extension: Some(core::TypedExtensionConfig {
            name: name.into(),
            typed_config: Some(any("example.P", &())),
        }),
        is_optional,
    };
    let plugged = |plugins: Vec<route::ClusterSpecifierPlugin>| {
        let mut config = with(|action| {
            let plugin = route::route_action::ClusterSpecifier::ClusterSpecifierPlugin("p".into());
            action.cluster_specifier = Some(plugin);
        });
        config.cluster_specifier_plugins = plugins;
        config
    };
    let retry = |base: Option<Duration>, max: Option<Duration>| {
        let back_off = route::retry_policy::RetryBackOff { base_interval: base, max_interval: max };
        let policy = route::RetryPolicy {
            retry_on: "unavailable".into(),
            retry_back_off: Some(back_off),
            ..Default::default()
        };
        routes_with(|host| host.routes[0] = action(|action| action.retry_policy = Some(policy)))
    };
    let overridden = |config: Any| {
        routes_with(|host| host.routes[0].typed_per_filter_config = [("f".to_owned(), config)].into())
    };
    let wrapped = |is_optional| {
        let config = Some(any("example.Unknown", &()));
        any(
            "envoy.config.route.v3.FilterConfig",
            &route::FilterConfig { config, is_optional, disabled: false },
        )
    };
    check(vec![
        row("2.4 good", routes_with(|_| ()), GOOD),
        row(
            "2.4 good apart from the sum that is stated",
            with(|action| {
                #[expect(deprecated, reason = "it does not count")]
                let clusters = route::WeightedCluster {
                    clusters: vec![
                        route::weighted_cluster::ClusterWeight { weight: number(0), ..Default::default() },
                        route::weighted_cluster::ClusterWeight {
                            name: "a".into(),
                            weight: number(1),
                            ..Default::default()
                        },
                    ],
                    total_weight: number(7),
                    ..Default::default()
                };
                action.cluster_specifier =
                    Some(route::route_action::ClusterSpecifier::WeightedClusters(clusters));
            }),
            GOOD,
        ),
        row(
            "2.4 unknown plugin",
            plugged(vec![plugin("p", false)]),
            "cluster_specifier_plugins[0]: …not optional",
        ),
        row("2.4 unknown optional plugin", plugged(vec![plugin("p", true)]), GOOD),
        row(
            "2.4 undeclared plugin",
            plugged(vec![]),
            "virtual_hosts[0].routes[0].route.cluster_specifier_plugin: \"p\" is not among",
        ),
        row("2.4 every kind of domain", domains(&["a.b", "*.b", "a.*", "*"]), GOOD),
        row("2.4 wildcard in the middle", domains(&["a", "a*b"]), "virtual_hosts[0].domains[1]: …wildcard"),
        row("2.4 two wildcards", domains(&["*a*"]), "virtual_hosts[0].domains[0]: …wildcard"),
        row("2.4 empty domain", domains(&[""]), "virtual_hosts[0].domains[0]: must not be empty"),
        row("2.4 no domain", domains(&[]), "virtual_hosts[0].domains: at least one"),
        row(
            "2.4 no match",
            routes_with(|h| h.routes[0].r#match = None),
            "virtual_hosts[0].routes[0].match: is missing",
        ),
        row("2.4 no path", path(None), "virtual_hosts[0].routes[0].match.path_specifier: is missing"),
        row(
            "2.4 connect matcher",
            path(Some(Path::ConnectMatcher(Default::default()))),
            "virtual_hosts[0].routes[0].match.connect_matcher: is not supported",
        ),
        row(
            "2.4 path template",
            path(Some(Path::PathMatchPolicy(Default::default()))),
            "virtual_hosts[0].routes[0].match.path_match_policy: is not supported",
        ),
        row("2.4 segments", path(Some(Path::PathSeparatedPrefix("/a".into()))), GOOD),
        row(
            "2.4 segments with a slash at the end",
            path(Some(Path::PathSeparatedPrefix("/a/".into()))),
            "virtual_hosts[0].routes[0].match.path_separated_prefix: must begin",
        ),
        row("2.4 expression", regex("/a.*"), GOOD),
        row("2.4 bad expression", regex("/a("), "virtual_hosts[0].routes[0].match.safe_regex.regex: "),
        row(
            "2.4 query parameters",
            matching(|m| m.query_parameters = vec![Default::default()]),
            "virtual_hosts[0].routes[0].match.query_parameters[0].name: must",
        ),
        row(
            "2.4 header without condition",
            header("a", None),
            "virtual_hosts[0].routes[0].match.headers[0].header_match_specifier: a condition",
        ),
        row(
            "2.4 header with empty condition",
            header("a", Some(Header::StringMatch(Default::default()))),
            "virtual_hosts[0].routes[0].match.headers[0].string_match: one of",
        ),
        row(
            "2.4 header with a bad expression",
            header("a", {
                let regex = matcher::RegexMatcher { regex: "/a(".into(), ..Default::default() };
                let pattern = Some(matcher::string_matcher::MatchPattern::SafeRegex(regex));
                Some(Header::StringMatch(matcher::StringMatcher {
                    match_pattern: pattern,
                    ..Default::default()
                }))
            }),
            "virtual_hosts[0].routes[0].match.headers[0].string_match.safe_regex.regex: ",
        ),
        #[expect(deprecated, reason = "older control planes send it")]
        row(
            "2.4 header with a bad expression of its own",
            header(
                "a",
                Some(Header::SafeRegexMatch(matcher::RegexMatcher {
                    regex: "(".into(),
                    ..Default::default()
                })),
            ),
            "virtual_hosts[0].routes[0].match.headers[0].safe_regex_match.regex: ",
        ),
        row(
            "2.4 header in a range",
            header(
                "a",
                Some(Header::RangeMatch(mesh_proto::envoy::r#type::v3::Int64Range { start: 1, end: 0 })),
            ),
            GOOD,
        ),
        row(
            "2.4 header without name",
            header("", Some(Header::PresentMatch(true))),
            "virtual_hosts[0].routes[0].match.headers[0].name: must not be empty",
        ),
        row("2.4 header that is there", header("a", Some(Header::PresentMatch(true))), GOOD),
        row(
            "2.4 unknown denominator",
            matching(|m| {
                let default_value = Some(FractionalPercent { numerator: 1, denominator: 9 });
                m.runtime_fraction =
                    Some(core::RuntimeFractionalPercent { default_value, ..Default::default() });
            }),
            "virtual_hosts[0].routes[0].match.runtime_fraction.default_value.denominator: 9 is unknown",
        ),
        row(
            "2.4 more than everything",
            matching(|m| {
                let default_value = Some(FractionalPercent { numerator: u32::MAX, denominator: 0 });
                m.runtime_fraction =
                    Some(core::RuntimeFractionalPercent { default_value, ..Default::default() });
            }),
            GOOD,
        ),
        row(
            "2.4 an action that cannot be done fails that route alone",
            routes_with(|host| {
                host.routes[0].action = Some(route::route::Action::FilterAction(Default::default()));
            }),
            GOOD,
        ),
        row("2.4 no action fails that route alone", routes_with(|host| host.routes[0].action = None), GOOD),
        row(
            "2.4 cluster by header: the route is left out",
            with(|action| {
                let header = route::route_action::ClusterSpecifier::ClusterHeader("h".into());
                action.cluster_specifier = Some(header);
            }),
            GOOD,
        ),
        row(
            "2.4 no weight",
            weighted(&[0, 0]),
            "virtual_hosts[0].routes[0].route.weighted_clusters.clusters: the sum",
        ),
        row(
            "2.4 no clusters",
            weighted(&[]),
            "virtual_hosts[0].routes[0].route.weighted_clusters.clusters: the sum",
        ),
        row(
            "2.4 huge weights",
            weighted(&[u32::MAX, 1]),
            "virtual_hosts[0].routes[0].route.weighted_clusters.clusters: the sum",
        ),
        row("2.4 largest weight", weighted(&[u32::MAX, 0]), GOOD),
        row(
            "2.4 empty cluster",
            with(|action| {
                action.cluster_specifier =
                    Some(route::route_action::ClusterSpecifier::Cluster(String::new()));
            }),
            "virtual_hosts[0].routes[0].route.cluster: must not be empty",
        ),
        row(
            "2.4 hash of an unknown filter state",
            with(|action| {
                use route::route_action::hash_policy::{FilterState, PolicySpecifier};
                let state = PolicySpecifier::FilterState(FilterState { key: "other".into() });
                action.hash_policy =
                    vec![route::route_action::HashPolicy { policy_specifier: Some(state), terminal: false }];
            }),
            GOOD,
        ),
        row(
            "2.4 hash of something newer",
            with(|action| action.hash_policy = vec![Default::default()]),
            GOOD,
        ),
        row(
            "2.4 hash of what a bad expression leaves",
            with(|action| {
                use route::route_action::hash_policy::{Header, PolicySpecifier};
                let pattern = Some(matcher::RegexMatcher { regex: "/a(".into(), ..Default::default() });
                let rewrite = matcher::RegexMatchAndSubstitute { pattern, substitution: "x".into() };
                let header = Header { header_name: "a".into(), regex_rewrite: Some(rewrite) };
                let header = PolicySpecifier::Header(header);
                action.hash_policy =
                    vec![route::route_action::HashPolicy { policy_specifier: Some(header), terminal: false }];
            }),
            "virtual_hosts[0].routes[0].route.hash_policy[0].header.regex_rewrite.pattern.regex: ",
        ),
        row(
            "2.4 a policy of no retries limits the time of the only try",
            with(|action| {
                let policy = route::RetryPolicy { num_retries: number(0), ..Default::default() };
                action.retry_policy = Some(route::RetryPolicy { per_try_timeout: seconds(1), ..policy });
            }),
            GOOD,
        ),
        row(
            "2.4 a policy for nothing that is known",
            with(|action| {
                let policy = route::RetryPolicy { retry_on: "odd,other".into(), ..Default::default() };
                action.retry_policy = Some(policy);
            }),
            GOOD,
        ),
        row(
            "2.4 a choice of priorities that is not known",
            with(|action| {
                use route::retry_policy::{RetryPriority, retry_priority::ConfigType};
                let config_type = Some(ConfigType::TypedConfig(any("example.P", &())));
                let priority = RetryPriority { name: "p".into(), config_type };
                let policy = route::RetryPolicy { retry_on: "5xx".into(), ..Default::default() };
                action.retry_policy = Some(route::RetryPolicy { retry_priority: Some(priority), ..policy });
            }),
            GOOD,
        ),
        row(
            "2.4 back-off of a virtual host",
            routes_with(|host| {
                host.retry_policy = Some(route::RetryPolicy {
                    retry_back_off: Some(Default::default()),
                    ..Default::default()
                });
            }),
            "virtual_hosts[0].retry_policy.retry_back_off.base_interval: must be more",
        ),
        row("2.4 back-off", retry(seconds(1), seconds(2)), GOOD),
        row(
            "2.4 back-off without base",
            retry(None, None),
            "virtual_hosts[0].routes[0].route.retry_policy.retry_back_off.base_interval: must be more",
        ),
        row(
            "2.4 back-off from zero",
            retry(seconds(0), None),
            "virtual_hosts[0].routes[0].route.retry_policy.retry_back_off.base_interval: must be more",
        ),
        row(
            "2.4 back-off that falls",
            retry(seconds(2), seconds(1)),
            "virtual_hosts[0].routes[0].route.retry_policy.retry_back_off.max_interval: must not be less",
        ),
        row(
            "2.4 override of an unknown filter",
            overridden(any("example.Unknown", &())),
            "virtual_hosts[0].routes[0].typed_per_filter_config[f]: \"example.Unknown\"",
        ),
        row(
            "2.4 override that is not optional",
            overridden(wrapped(false)),
            "virtual_hosts[0].routes[0].typed_per_filter_config[f]: \"example.Unknown\"",
        ),
        row("2.4 override of a filter that nobody has", overridden(any(RBAC_PER_ROUTE, &())), GOOD),
        row(
            "2.4 override that is optional and garbage",
            overridden(any(
                "envoy.config.route.v3.FilterConfig",
                &route::FilterConfig {
                    config: Some(Any { value: vec![0xff], ..any(FAULT, &()) }),
                    is_optional: true,
                    disabled: false,
                },
            )),
            "virtual_hosts[0].routes[0].typed_per_filter_config[f]: cannot be decoded",
        ),
        row("2.4 override that is optional", overridden(wrapped(true)), GOOD),
        row(
            "2.4 override that is garbage",
            overridden(Any { value: vec![0xff], ..any(FAULT, &()) }),
            "virtual_hosts[0].routes[0].typed_per_filter_config[f]: cannot be decoded",
        ),
        row(
            "2.4 negative timeout",
            with(|action| action.timeout = seconds(-1)),
            "virtual_hosts[0].routes[0].route.timeout: -1s",
        ),
        row(
            "2.4 header that may not be added",
            routes_with(|host| {
                host.request_headers_to_remove = vec![":path".into()];
            }),
            "virtual_hosts[0].request_headers_to_remove[0]: \":path\" is no name",
        ),
    ]);
}

/// A cluster that is right, as far as `change` leaves it so.
fn cluster_with(change: impl FnOnce(&mut cluster::Cluster)) -> cluster::Cluster {
    use cluster::cluster::{ClusterDiscoveryType, DiscoveryType, EdsClusterConfig};
    let mut cluster = cluster::Cluster {
        name: "x".into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: ads(), service_name: String::new() }),
        ..Default::default()
    };
    change(&mut cluster);
    cluster
}

fn load_balanced(policies: Vec<Any>) -> cluster::Cluster {
    let list = list_of(policies);
    cluster_with(|cluster| cluster.load_balancing_policy = Some(list))
}

fn list_of(policies: Vec<Any>) -> cluster::LoadBalancingPolicy {
    let policies = policies.into_iter().map(|config| cluster::load_balancing_policy::Policy {
        typed_extension_config: Some(core::TypedExtensionConfig {
            name: "p".into(),
            typed_config: Some(config),
        }),
    });
    cluster::LoadBalancingPolicy { policies: policies.collect() }
}

#[test]
fn clusters() {
    use cluster::cluster::{ClusterDiscoveryType, DiscoveryType, LbConfig, LbPolicy};
    let row = |rule, proto, expected| row(rule, Kind::Cluster, proto, expected);
    let of_type = |kind: DiscoveryType, hosts: &[(&str, u32)]| {
        let endpoints = hosts.iter().map(|(host, port)| lb_endpoint(host, *port)).collect();
        cluster_with(|cluster| {
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind as i32));
            cluster.load_assignment = Some(assignment_of(vec![endpoints]));
        })
    };
    let resolved_by = |kind: DiscoveryType, resolver: &str| {
        let mut cluster = of_type(kind, &[("a.b", 1)]);
        let assignment = cluster.load_assignment.as_mut().unwrap();
        socket_of(&mut assignment.endpoints[0].lb_endpoints[0]).resolver_name = resolver.into();
        cluster
    };
    let custom = |config: Any| {
        let custom = cluster::cluster::CustomClusterType { name: "c".into(), typed_config: Some(config) };
        cluster_with(|cluster| {
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::ClusterType(custom));
        })
    };
    let dns_cluster = |change: fn(&mut dns::DnsCluster)| {
        let mut dns = dns::DnsCluster::default();
        change(&mut dns);
        let mut cluster = custom(any("envoy.extensions.clusters.dns.v3.DnsCluster", &dns));
        cluster.load_assignment = Some(assignment_of(vec![vec![lb_endpoint("a.b", 1)]]));
        cluster
    };
    let aggregate = |names: &[&str]| {
        let clusters = names.iter().map(|&name| name.to_owned()).collect();
        custom(any(
            "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
            &aggregate::ClusterConfig { clusters },
        ))
    };
    let legacy = |policy: LbPolicy, config: Option<LbConfig>| {
        cluster_with(|cluster| {
            cluster.lb_policy = policy as i32;
            cluster.lb_config = config;
        })
    };
    let ring = |min: u64, max: u64| {
        LbConfig::RingHashLbConfig(cluster::cluster::RingHashLbConfig {
            minimum_ring_size: Some(UInt64Value { value: min }),
            maximum_ring_size: Some(UInt64Value { value: max }),
            hash_function: 0,
        })
    };
    let least = |choices| {
        LbConfig::LeastRequestLbConfig(cluster::cluster::LeastRequestLbConfig {
            choice_count: number(choices),
            ..Default::default()
        })
    };
    let ring_message = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash";
    let new_ring = |hash_function| {
        any(ring_message, &policies::ring_hash::v3::RingHash { hash_function, ..Default::default() })
    };
    let locality = "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality";
    let nested = |depth: usize| {
        (0..depth).fold(new_ring(1), |inner, _| {
            let inner = list_of(vec![inner]);
            any(locality, &policies::wrr_locality::v3::WrrLocality { endpoint_picking_policy: Some(inner) })
        })
    };
    let outlier = |change: fn(&mut cluster::OutlierDetection)| {
        cluster_with(|cluster| change(cluster.outlier_detection.get_or_insert_default()))
    };
    let limits = |max_connections| {
        let thresholds = cluster::circuit_breakers::Thresholds { max_connections, ..Default::default() };
        let per_host_thresholds = vec![thresholds];
        cluster_with(|cluster| {
            cluster.circuit_breakers =
                Some(cluster::CircuitBreakers { per_host_thresholds, ..Default::default() });
        })
    };
    let limits_of = |priority| {
        let thresholds = cluster::circuit_breakers::Thresholds { priority, ..Default::default() };
        cluster_with(|cluster| {
            cluster.circuit_breakers =
                Some(cluster::CircuitBreakers { thresholds: vec![thresholds], ..Default::default() });
        })
    };
    let least_message = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest";
    let selected_by = |selection_method| {
        let policy = policies::least_request::v3::LeastRequest { selection_method, ..Default::default() };
        any(least_message, &policy)
    };
    let zone_aware = |percent| {
        use policies::common::v3::locality_lb_config as localities;
        let zones = localities::ZoneAwareLbConfig {
            routing_enabled: Some(Percent { value: percent }),
            ..Default::default()
        };
        let specifier = Some(localities::LocalityConfigSpecifier::ZoneAwareLbConfig(zones));
        let localities = policies::common::v3::LocalityLbConfig { locality_config_specifier: specifier };
        let locality_lb_config = Some(localities);
        let policy = policies::least_request::v3::LeastRequest { locality_lb_config, ..Default::default() };
        any(least_message, &policy)
    };
    check(vec![
        row("2.5 good", cluster_with(|_| ()), GOOD),
        row(
            "2.5 unknown type",
            cluster_with(|cluster| {
                cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(77));
            }),
            "type: 77 is unknown",
        ),
        row(
            "2.5 unknown custom type",
            custom(any("example.Type", &())),
            "cluster_type.typed_config: \"example.Type\"",
        ),
        row(
            "2.5 EDS from elsewhere",
            cluster_with(|cluster| cluster.eds_cluster_config = None),
            "eds_cluster_config.eds_config: must be ads",
        ),
        row(
            "2.5 EDS from the same server",
            cluster_with(|cluster| cluster.eds_cluster_config.as_mut().unwrap().eds_config = from_self()),
            GOOD,
        ),
        row(
            "2.5 EDS from a file",
            cluster_with(|cluster| cluster.eds_cluster_config.as_mut().unwrap().eds_config = from_a_file()),
            "eds_cluster_config.eds_config: must be ads or self",
        ),
        row(
            "2.5 logical DNS without a list",
            cluster_with(|cluster| {
                let kind = DiscoveryType::LogicalDns as i32;
                cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(kind));
            }),
            "load_assignment: is missing",
        ),
        row(
            "2.5 logical DNS with two localities",
            {
                let mut cluster = of_type(DiscoveryType::LogicalDns, &[("a.b", 1)]);
                cluster.load_assignment.as_mut().unwrap().endpoints.push(endpoint::LocalityLbEndpoints {
                    locality: Some(core::Locality { zone: "b".into(), ..Default::default() }),
                    ..Default::default()
                });
                cluster
            },
            "load_assignment: needs exactly one locality with one endpoint",
        ),
        row(
            "2.5 an address without port",
            of_type(DiscoveryType::LogicalDns, &[("10.0.0.1", 0)]),
            "load_assignment: 10.0.0.1:0 has no port",
        ),
        row("2.5 the default of an enumeration of DNS is no error", dns_cluster(|_| ()), GOOD),
        row(
            "2.5 unknown family of addresses",
            dns_cluster(|dns| dns.dns_lookup_family = 77),
            "cluster_type.typed_config.dns_lookup_family: 76 is unknown",
        ),
        row("2.5 logical DNS", of_type(DiscoveryType::LogicalDns, &[("a.b", 1)]), GOOD),
        row(
            "2.5 logical DNS with two endpoints",
            of_type(DiscoveryType::LogicalDns, &[("a", 1), ("b", 1)]),
            "load_assignment: needs exactly one",
        ),
        row(
            "2.5 logical DNS without endpoint",
            of_type(DiscoveryType::LogicalDns, &[]),
            "load_assignment: needs exactly one",
        ),
        row(
            "2.5 DNS without port",
            of_type(DiscoveryType::StrictDns, &[("a", 0)]),
            "load_assignment: a:0 has no port",
        ),
        row(
            "2.5 DNS without host",
            of_type(DiscoveryType::LogicalDns, &[("", 1)]),
            "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: must not",
        ),
        row(
            "2.5 logical DNS with a resolver",
            resolved_by(DiscoveryType::LogicalDns, "x"),
            "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.resolver_name: is not",
        ),
        row(
            "2.5 strict DNS with a resolver",
            resolved_by(DiscoveryType::StrictDns, "x"),
            "load_assignment.endpoints[0].lb_endpoints[0].endpoint.address.socket_address.resolver_name: is not",
        ),
        row("2.5 DNS without resolver", resolved_by(DiscoveryType::LogicalDns, ""), GOOD),
        row("2.5 aggregate", aggregate(&["a", "b"]), GOOD),
        row(
            "2.5 aggregate of one without name",
            aggregate(&["a", ""]),
            "cluster_type.typed_config.clusters[1]: must not be empty",
        ),
        row("2.5 empty aggregate", aggregate(&[]), "cluster_type.typed_config.clusters: must not be empty"),
        row("2.5 ring hash", legacy(LbPolicy::RingHash, Some(ring(1, 1))), GOOD),
        row(
            "2.5 ring too large",
            legacy(LbPolicy::RingHash, Some(ring(1, 8_388_609))),
            "ring_hash_lb_config.maximum_ring_size: must not",
        ),
        row(
            "2.5 least ring too large",
            legacy(LbPolicy::RingHash, Some(ring(8_388_609, 8_388_609))),
            "ring_hash_lb_config.minimum_ring_size: must not",
        ),
        row(
            "2.5 ring sizes the wrong way round",
            legacy(LbPolicy::RingHash, Some(ring(2, 1))),
            "ring_hash_lb_config.minimum_ring_size: 2 is more",
        ),
        row("2.5 least request", legacy(LbPolicy::LeastRequest, Some(least(2))), GOOD),
        row(
            "2.5 least request of one",
            legacy(LbPolicy::LeastRequest, Some(least(1))),
            "least_request_lb_config.choice_count: 1 is less",
        ),
        row("2.5 unknown policy", cluster_with(|cluster| cluster.lb_policy = 99), "lb_policy: 99 is unknown"),
        row(
            "2.5 a new policy that is not there",
            cluster_with(|cluster| cluster.lb_policy = LbPolicy::LoadBalancingPolicyConfig as i32),
            "load_balancing_policy: is missing",
        ),
        row(
            "2.5 unknown hash function of the old kind",
            legacy(
                LbPolicy::RingHash,
                Some(LbConfig::RingHashLbConfig(cluster::cluster::RingHashLbConfig {
                    hash_function: 9,
                    ..Default::default()
                })),
            ),
            "ring_hash_lb_config.hash_function: 9 is unknown",
        ),
        row(
            "2.5 a new policy makes the old field irrelevant",
            {
                let mut cluster = load_balanced(vec![new_ring(1)]);
                cluster.lb_policy = 99;
                cluster
            },
            GOOD,
        ),
        row("2.5 the default of an enumeration is no error", load_balanced(vec![new_ring(0)]), GOOD),
        row(
            "2.5 unknown hash function",
            load_balanced(vec![new_ring(9)]),
            "load_balancing_policy.policies[0].typed_extension_config.typed_config.hash_function: 9",
        ),
        row(
            "2.5 the first known policy counts",
            load_balanced(vec![any("example.Policy", &()), new_ring(1)]),
            GOOD,
        ),
        row(
            "2.5 no known policy",
            load_balanced(vec![any("example.Policy", &())]),
            "load_balancing_policy.policies: none of these is supported: example.Policy",
        ),
        row(
            "2.5 no policy",
            load_balanced(vec![]),
            "load_balancing_policy.policies: none of these is supported",
        ),
        row(
            "2.5 a policy without configuration",
            cluster_with(|cluster| {
                let policies = vec![Default::default()];
                cluster.load_balancing_policy = Some(cluster::LoadBalancingPolicy { policies });
            }),
            "load_balancing_policy.policies[0].typed_extension_config: is missing",
        ),
        row(
            "2.5 a policy whose configuration is garbage",
            load_balanced(vec![Any { value: vec![0xff], ..new_ring(1) }, new_ring(1)]),
            "load_balancing_policy.policies[0].typed_extension_config.typed_config: cannot be decoded",
        ),
        row(
            "2.5 a policy in a TypedStruct is none that is known",
            load_balanced(vec![
                any(
                    "xds.type.v3.TypedStruct",
                    &TypedStruct { type_url: "example.org/my_policy".into(), value: None },
                ),
                new_ring(1),
            ]),
            GOOD,
        ),
        row(
            "2.5 a policy within another that is not known",
            load_balanced(vec![any(
                locality,
                &policies::wrr_locality::v3::WrrLocality {
                    endpoint_picking_policy: Some(list_of(vec![any("example.Policy", &())])),
                },
            )]),
            "load_balancing_policy.policies[0].typed_extension_config.typed_config.endpoint_picking_policy.policies: none",
        ),
        row(
            "2.5 a policy around nothing",
            load_balanced(vec![any(locality, &())]),
            "load_balancing_policy.policies[0].typed_extension_config.typed_config.endpoint_picking_policy: is missing",
        ),
        row(
            "2.5 new least request of one",
            load_balanced(vec![any(
                least_message,
                &policies::least_request::v3::LeastRequest { choice_count: number(1), ..Default::default() },
            )]),
            "load_balancing_policy.policies[0].typed_extension_config.typed_config.choice_count: 1 is less than 2",
        ),
        row(
            "2.5 new ring too large",
            load_balanced(vec![any(
                ring_message,
                &policies::ring_hash::v3::RingHash {
                    maximum_ring_size: Some(UInt64Value { value: 8_388_609 }),
                    ..Default::default()
                },
            )]),
            "load_balancing_policy.policies[0].typed_extension_config.typed_config.maximum_ring_size: must not",
        ),
        row("2.5 nested policies", load_balanced(vec![nested(10)]), GOOD),
        row(
            "2.5 policies nested too deep",
            load_balanced(vec![nested(16)]),
            "load_balancing_policy.…nested more than 16 deep",
        ),
        row(
            "2.5 load reports elsewhere",
            cluster_with(|cluster| cluster.lrs_server = ads()),
            "lrs_server: must be self",
        ),
        row(
            "2.5 load reports to the same server",
            cluster_with(|cluster| cluster.lrs_server = from_self()),
            GOOD,
        ),
        row(
            "2.5 metrics of endpoints that are not known",
            cluster_with(|cluster| cluster.lrs_report_endpoint_metrics = vec!["odd".into()]),
            GOOD,
        ),
        row(
            "2.5 options of HTTP/2 at their place",
            cluster_with(|cluster| {
                use mesh_proto::envoy::extensions::upstreams::http::v3 as upstreams;
                use upstreams::http_protocol_options as options;
                let keepalive = core::KeepaliveSettings { interval: seconds(-1), ..Default::default() };
                let http2 = core::Http2ProtocolOptions {
                    connection_keepalive: Some(keepalive),
                    ..Default::default()
                };
                let protocol = options::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(http2);
                let explicit = options::ExplicitHttpConfig { protocol_config: Some(protocol) };
                let http = upstreams::HttpProtocolOptions {
                    upstream_protocol_options: Some(options::UpstreamProtocolOptions::ExplicitHttpConfig(
                        explicit,
                    )),
                    ..Default::default()
                };
                let http = any("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", &http);
                cluster.typed_extension_protocol_options = [("h".to_owned(), http)].into();
            }),
            "typed_extension_protocol_options[h].explicit_http_config.http2_protocol_options.connection_keepalive.interval: -1s",
        ),
        row("2.5 outlier detection", outlier(|_| ()), GOOD),
        row("2.5 outlier interval", outlier(|o| o.interval = seconds(-1)), "outlier_detection.interval: -1s"),
        row(
            "2.5 outlier interval of no time",
            outlier(|o| o.interval = seconds(0)),
            "outlier_detection.interval: must be more",
        ),
        row(
            "2.5 outlier base time of no time",
            outlier(|o| o.base_ejection_time = seconds(0)),
            "outlier_detection.base_ejection_time: must be more",
        ),
        row(
            "2.5 outlier longest time of no time",
            outlier(|o| o.max_ejection_time = seconds(0)),
            "outlier_detection.max_ejection_time: must be more",
        ),
        row(
            "2.5 outlier base time",
            outlier(|o| o.base_ejection_time = seconds(-1)),
            "outlier_detection.base_ejection_time: -1s",
        ),
        row(
            "2.5 outlier longest time",
            outlier(|o| o.max_ejection_time = seconds(-1)),
            "outlier_detection.max_ejection_time: -1s",
        ),
        row(
            "2.5 outlier share",
            outlier(|o| o.max_ejection_percent = number(101)),
            "outlier_detection.max_ejection_percent: 101",
        ),
        row(
            "2.5 outlier enforcement",
            outlier(|o| o.enforcing_success_rate = number(101)),
            "outlier_detection.enforcing_success_rate: 101",
        ),
        row(
            "2.5 outlier threshold",
            outlier(|o| o.failure_percentage_threshold = number(101)),
            "outlier_detection.failure_percentage_threshold: 101",
        ),
        row(
            "2.5 outlier failures",
            outlier(|o| o.enforcing_failure_percentage = number(101)),
            "outlier_detection.enforcing_failure_percentage: 101",
        ),
        row("2.5 limits of a priority", limits_of(1), GOOD),
        row(
            "2.5 limits of an unknown priority",
            limits_of(2),
            "circuit_breakers.thresholds[0].priority: 2 is unknown",
        ),
        row("2.5 zones", load_balanced(vec![zone_aware(100.0)]), GOOD),
        row(
            "2.5 share of zones",
            load_balanced(vec![zone_aware(250.0)]),
            "load_balancing_policy.…locality_lb_config.zone_aware_lb_config.routing_enabled: 250 is not",
        ),
        row(
            "2.5 share of zones that is no number",
            load_balanced(vec![zone_aware(f64::NAN)]),
            "load_balancing_policy.…locality_lb_config.zone_aware_lb_config.routing_enabled: NaN is not",
        ),
        row("2.5 full scan", load_balanced(vec![selected_by(1)]), GOOD),
        row(
            "2.5 unknown way to select",
            load_balanced(vec![selected_by(2)]),
            "load_balancing_policy.…selection_method: 2 is unknown",
        ),
        row("2.5 connections per host", limits(number(1)), GOOD),
        row(
            "2.5 no connections per host",
            limits(number(0)),
            "circuit_breakers.per_host_thresholds[0].max_connections: must not",
        ),
        row(
            "2.5 xdstp without service name",
            {
                let mut cluster = cluster_with(|_| ());
                cluster.name = "x".into();
                cluster
            },
            GOOD,
        ),
    ]);
    let bytes = cluster_with(|cluster| cluster.name = "xdstp://a/b".into()).encode_to_vec();
    let told = Kind::Cluster.decode("xdstp://a/b", &Bytes::from(bytes), None).unwrap_err();
    assert!(told.starts_with("eds_cluster_config.service_name: must not be empty"), "{told}");
}

#[test]
fn transport_sockets() {
    let row = |rule, proto, expected| row(rule, Kind::Cluster, proto, expected);
    let message = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    let upstream = |change: fn(&mut tls::UpstreamTlsContext)| {
        use tls::common_tls_context::ValidationContextType;
        let validation = tls::CertificateValidationContext {
            ca_certificate_provider_instance: plugin(),
            ..Default::default()
        };
        let mut context = tls::UpstreamTlsContext {
            common_tls_context: Some(tls::CommonTlsContext {
                validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
                ..Default::default()
            }),
            ..Default::default()
        };
        change(&mut context);
        let socket = socket(any(message, &context));
        cluster_with(|cluster| cluster.transport_socket = socket)
    };
    fn common(context: &mut tls::UpstreamTlsContext) -> &mut tls::CommonTlsContext {
        context.common_tls_context.as_mut().unwrap()
    }
    fn validation(context: &mut tls::UpstreamTlsContext) -> &mut tls::CertificateValidationContext {
        use tls::common_tls_context::ValidationContextType;
        match &mut common(context).validation_context_type {
            Some(ValidationContextType::ValidationContext(validation)) => validation,
            _ => unreachable!(),
        }
    }
    let any_certificate = || upstream(|c| validation(c).ca_certificate_provider_instance = None);
    check(vec![
        row("2.5 TLS good", upstream(|_| ()), GOOD),
        row(
            "2.5 other socket",
            cluster_with(|cluster| {
                cluster.transport_socket = socket(any("example.Socket", &()));
            }),
            "transport_socket.typed_config: \"example.Socket\"",
        ),
        row(
            "2.5 no TLS context",
            upstream(|c| c.common_tls_context = None),
            "transport_socket.typed_config.common_tls_context: is missing",
        ),
        row(
            "2.5 TLS handshaker",
            upstream(|c| common(c).custom_handshaker = Some(Default::default())),
            "transport_socket.typed_config.common_tls_context.custom_handshaker: is not",
        ),
        row(
            "2.5 TLS choice of certificates",
            upstream(|c| common(c).custom_tls_certificate_selector = Some(Default::default())),
            "transport_socket.typed_config.common_tls_context.custom_tls_certificate_selector: is not",
        ),
        row(
            "2.5 unknown version of TLS",
            upstream(|c| {
                let tls_params =
                    tls::TlsParameters { tls_minimum_protocol_version: 77, ..Default::default() };
                common(c).tls_params = Some(tls_params);
            }),
            "transport_socket.typed_config.common_tls_context.tls_params.tls_minimum_protocol_version: 77 is",
        ),
        #[expect(deprecated, reason = "it is refused")]
        row(
            "2.5 provider of roots without an instance",
            upstream(|c| {
                common(c).validation_context_type = Some(
                    tls::common_tls_context::ValidationContextType::ValidationContextCertificateProvider(
                        Default::default(),
                    ),
                );
            }),
            "transport_socket.typed_config.common_tls_context.validation_context_certificate_provider: is not",
        ),
        row(
            "2.5 name of an unknown kind",
            upstream(|c| {
                validation(c).match_typed_subject_alt_names =
                    vec![tls::SubjectAltNameMatcher { san_type: 77, ..dns_name("a") }];
            }),
            "transport_socket.…validation_context.match_typed_subject_alt_names[0].san_type: 77 is not",
        ),
        row(
            "2.5 secret without name",
            upstream(|c| common(c).tls_certificate_sds_secret_configs = vec![Default::default()]),
            "transport_socket.…tls_certificate_sds_secret_configs[0].name: must not be empty",
        ),
        row(
            "2.5 no roots",
            upstream(|c| common(c).validation_context_type = None),
            "transport_socket.typed_config.common_tls_context: ",
        ),
        row(
            "2.5 names, but no roots",
            upstream(|c| {
                validation(c).ca_certificate_provider_instance = None;
                validation(c).match_typed_subject_alt_names = vec![dns_name("a")];
            }),
            "transport_socket.typed_config.common_tls_context: ",
        ),
        row(
            "2.5 any certificate",
            any_certificate(),
            "transport_socket.typed_config.common_tls_context: does not say whose certificates to accept",
        ),
        row(
            "2.5 any certificate for some endpoints",
            cluster_with(|cluster| {
                cluster.transport_socket_matches = vec![cluster::cluster::TransportSocketMatch {
                    transport_socket: any_certificate().transport_socket,
                    ..Default::default()
                }];
            }),
            "transport_socket_matches[0].transport_socket.typed_config.common_tls_context: does not say",
        ),
        // Departures: connections fail only where such a socket is needed.
        row(
            "2.5 proxy protocol",
            cluster_with(|cluster| {
                let message =
                    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
                cluster.transport_socket = socket(any(message, &()));
            }),
            GOOD,
        ),
        row(
            "2.5 another socket for some endpoints",
            cluster_with(|cluster| {
                cluster.transport_socket_matches = vec![cluster::cluster::TransportSocketMatch {
                    name: "hbone".into(),
                    transport_socket: socket(any("example.Socket", &())),
                    ..Default::default()
                }];
            }),
            GOOD,
        ),
        row(
            "2.5 a proxy of HTTP around nothing",
            cluster_with(|cluster| cluster.transport_socket = socket(any(HTTP11_PROXY, &()))),
            GOOD,
        ),
        row(
            "2.5 a proxy of HTTP around another socket",
            cluster_with(|cluster| {
                let proxy = Http11ProxyUpstreamTransport {
                    transport_socket: socket(any("example.Socket", &())),
                    ..Default::default()
                };
                cluster.transport_socket = socket(any(HTTP11_PROXY, &proxy));
            }),
            "transport_socket.typed_config.transport_socket.typed_config: \"example.Socket\"",
        ),
        row(
            "2.5 provider without an instance",
            #[expect(deprecated, reason = "it is refused")]
            upstream(|c| common(c).tls_certificate_certificate_provider = Some(Default::default())),
            "transport_socket.…tls_certificate_certificate_provider: is not",
        ),
        row(
            "2.5 provider beside an instance",
            #[expect(deprecated, reason = "it is refused")]
            upstream(|c| {
                common(c).tls_certificate_provider_instance = plugin();
                common(c).tls_certificate_certificate_provider = Some(Default::default());
            }),
            "transport_socket.…tls_certificate_certificate_provider: is not",
        ),
        row(
            "2.5 system roots",
            upstream(|c| {
                validation(c).ca_certificate_provider_instance = None;
                validation(c).system_root_certs = Some(Default::default());
            }),
            GOOD,
        ),
        row(
            "2.5 spki",
            upstream(|c| validation(c).verify_certificate_spki = vec!["a".into()]),
            "transport_socket.…verify_certificate_spki: is not",
        ),
        row(
            "2.5 hash",
            upstream(|c| validation(c).verify_certificate_hash = vec!["a".into()]),
            "transport_socket.…verify_certificate_hash: is not",
        ),
        row(
            "2.5 timestamps",
            upstream(|c| {
                validation(c).require_signed_certificate_timestamp = Some(BoolValue { value: true });
            }),
            "transport_socket.…timestamp: is not",
        ),
        row(
            "2.5 revocations",
            upstream(|c| validation(c).crl = Some(Default::default())),
            "transport_socket.…crl: is not",
        ),
        row(
            "2.5 validator",
            upstream(|c| validation(c).custom_validator_config = Some(Default::default())),
            "transport_socket.…custom_validator_config: is not",
        ),
        row(
            "2.5 long server name",
            upstream(|c| c.sni = "a".repeat(256)),
            "transport_socket.typed_config.sni: is longer",
        ),
        row(
            "2.5 plugin without name",
            upstream(|c| common(c).tls_certificate_provider_instance = Some(Default::default())),
            "transport_socket.…tls_certificate_provider_instance.instance_name: must not",
        ),
        row(
            "2.5 what is ignored",
            upstream(|c| {
                common(c).alpn_protocols = vec!["h2".into()];
                validation(c).allow_expired_certificate = true;
                c.allow_renegotiation = true;
                c.max_session_keys = number(1);
            }),
            GOOD,
        ),
    ]);
    // A departure: it is Istio's `insecureSkipVerify`. The cluster stands, its connections fail.
    let sidecar = Local { sidecar: true, ..Default::default() };
    check_for(&sidecar, vec![row("2.5 any certificate", any_certificate(), GOOD)]);
}

fn lb_endpoint(host: &str, port: u32) -> endpoint::LbEndpoint {
    use endpoint::lb_endpoint::HostIdentifier;
    let endpoint = endpoint::Endpoint { address: address(host, port), ..Default::default() };
    endpoint::LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..Default::default() }
}

fn socket_of(endpoint: &mut endpoint::LbEndpoint) -> &mut core::SocketAddress {
    use endpoint::lb_endpoint::HostIdentifier;
    let Some(HostIdentifier::Endpoint(endpoint)) = &mut endpoint.host_identifier else { unreachable!() };
    match endpoint.address.as_mut().unwrap().address.as_mut().unwrap() {
        core::address::Address::SocketAddress(socket) => socket,
        _ => unreachable!(),
    }
}

/// As ambient workloads have them.
fn internal_endpoint() -> endpoint::LbEndpoint {
    use core::envoy_internal_address::AddressNameSpecifier::ServerListenerName;
    use endpoint::lb_endpoint::HostIdentifier;
    let internal = core::EnvoyInternalAddress {
        address_name_specifier: Some(ServerListenerName("connect_originate".into())),
        endpoint_id: "10.0.0.1:80".into(),
    };
    let address = core::Address { address: Some(core::address::Address::EnvoyInternalAddress(internal)) };
    let endpoint = endpoint::Endpoint { address: Some(address), ..Default::default() };
    endpoint::LbEndpoint { host_identifier: Some(HostIdentifier::Endpoint(endpoint)), ..Default::default() }
}

/// A priority for each list of endpoints.
fn assignment_of(priorities: Vec<Vec<endpoint::LbEndpoint>>) -> endpoint::ClusterLoadAssignment {
    let endpoints = (0..).zip(priorities).map(|(priority, lb_endpoints)| endpoint::LocalityLbEndpoints {
        locality: Some(core::Locality { zone: "a".into(), ..Default::default() }),
        lb_endpoints,
        load_balancing_weight: number(1),
        priority,
        ..Default::default()
    });
    endpoint::ClusterLoadAssignment {
        cluster_name: "x".into(),
        endpoints: endpoints.collect(),
        ..Default::default()
    }
}

#[test]
fn assignments() {
    let row = |rule, proto, expected| row(rule, Kind::Endpoint, proto, expected);
    let one = || vec![lb_endpoint("10.0.0.1", 80)];
    let with = |change: fn(&mut endpoint::ClusterLoadAssignment)| {
        let mut assignment =
            assignment_of(vec![vec![lb_endpoint("10.0.0.1", 80)], vec![lb_endpoint("10.0.0.2", 80)]]);
        change(&mut assignment);
        assignment
    };
    let weighted = |weights: &[u32]| {
        let endpoints = (1..).zip(weights).map(|(port, &weight)| endpoint::LbEndpoint {
            load_balancing_weight: number(weight),
            ..lb_endpoint("10.0.0.1", port)
        });
        assignment_of(vec![endpoints.collect()])
    };
    fn drop_of(denominator: i32) -> Option<endpoint::cluster_load_assignment::Policy> {
        use endpoint::cluster_load_assignment::policy::DropOverload;
        let drop_percentage = Some(FractionalPercent { numerator: 1, denominator });
        let drop_overloads = vec![DropOverload { category: "c".into(), drop_percentage }];
        Some(endpoint::cluster_load_assignment::Policy { drop_overloads, ..Default::default() })
    }
    fn overprovisioned(factor: u32) -> Option<endpoint::cluster_load_assignment::Policy> {
        let overprovisioning_factor = number(factor);
        Some(endpoint::cluster_load_assignment::Policy { overprovisioning_factor, ..Default::default() })
    }
    check(vec![
        row("2.6 good", assignment_of(vec![one()]), GOOD),
        row("2.6 no endpoints", assignment_of(vec![]), GOOD),
        row("2.6 an endpoint within Envoy", assignment_of(vec![vec![internal_endpoint()]]), GOOD),
        row("2.6 two priorities", with(|_| ()), GOOD),
        row("2.6 a locality that is not stated has no name", with(|a| a.endpoints[0].locality = None), GOOD),
        row(
            "2.6 gap between priorities",
            with(|a| a.endpoints[1].priority = 2),
            "endpoints: there is a priority 2",
        ),
        row(
            "2.6 no best priority",
            with(|a| {
                a.endpoints.remove(0);
            }),
            "endpoints: there is a priority 1",
        ),
        row(
            "2.6 a locality without weight does not count",
            with(|a| {
                a.endpoints[1].load_balancing_weight = None;
                a.endpoints[1].priority = 7;
                a.endpoints[1].lb_endpoints[0].host_identifier = None;
            }),
            GOOD,
        ),
        row(
            "2.6 same locality twice",
            with(|a| a.endpoints[1].priority = 0),
            "endpoints[1].locality: …comes twice",
        ),
        row(
            "2.6 sum of the weights of localities",
            with(|a| {
                a.endpoints[1].priority = 0;
                a.endpoints[1].locality = None;
                a.endpoints[1].load_balancing_weight = number(u32::MAX);
            }),
            "endpoints: the sum of the weights",
        ),
        row("2.6 weights", weighted(&[u32::MAX - 1, 1]), GOOD),
        row(
            "2.6 sum of the weights of endpoints",
            weighted(&[u32::MAX, 1]),
            "endpoints[0].lb_endpoints: the sum of the weights",
        ),
        row(
            "2.6 weight of zero",
            weighted(&[1, 0]),
            "endpoints[0].lb_endpoints[1].load_balancing_weight: must not be zero",
        ),
        row(
            "2.6 no endpoint",
            with(|a| a.endpoints[0].lb_endpoints[0].host_identifier = None),
            "endpoints[0].lb_endpoints[0].endpoint: is missing",
        ),
        row(
            "2.6 no address",
            assignment_of(vec![vec![endpoint::LbEndpoint {
                host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(Default::default())),
                ..Default::default()
            }]]),
            "endpoints[0].lb_endpoints[0].endpoint.address: is missing",
        ),
        row(
            "2.6 port",
            assignment_of(vec![vec![lb_endpoint("a", 70_000)]]),
            "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.port_value: 70000",
        ),
        row(
            "2.6 same address twice",
            assignment_of(vec![one(), one()]),
            "endpoints: …10.0.0.1:80 comes twice",
        ),
        row(
            "2.6 same additional address twice",
            {
                let mut assignment = assignment_of(vec![one()]);
                let Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint)) =
                    &mut assignment.endpoints[0].lb_endpoints[0].host_identifier
                else {
                    unreachable!()
                };
                let more = endpoint::endpoint::AdditionalAddress { address: address("10.0.0.1", 80) };
                endpoint.additional_addresses = vec![more];
                assignment
            },
            "endpoints: …10.0.0.1:80 comes twice",
        ),
        row(
            "2.6 UDP",
            with(|a| socket_of(&mut a.endpoints[0].lb_endpoints[0]).protocol = 1),
            "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.protocol: only TCP",
        ),
        row(
            "2.6 no overprovisioning",
            with(|a| a.policy = overprovisioned(0)),
            "policy.overprovisioning_factor: must not be zero",
        ),
        row(
            "2.6 drops of nothing",
            with(|a| {
                use endpoint::cluster_load_assignment::{Policy, policy::DropOverload};
                let drop_overloads = vec![DropOverload { category: "c".into(), drop_percentage: None }];
                a.policy = Some(Policy { drop_overloads, ..Default::default() });
            }),
            GOOD,
        ),
        row("2.6 overprovisioning", with(|a| a.policy = overprovisioned(1)), GOOD),
        row("2.6 drops", with(|a| a.policy = drop_of(2)), GOOD),
        row(
            "2.6 drops with unknown denominator",
            with(|a| a.policy = drop_of(5)),
            "policy.drop_overloads[0].drop_percentage.denominator: 5",
        ),
    ]);
}

/// The clusters that the routes of a configuration lead to, one after the other.
fn led_to(config: &route::RouteConfiguration) -> Vec<String> {
    let bytes = Bytes::from(config.encode_to_vec());
    let Ok(Resource::Route(read)) = Kind::Route.decode("x", &bytes, None) else { panic!("refused") };
    read.clusters().map(ToString::to_string).collect()
}

#[test]
fn entries_without_weight_lead_nowhere() {
    use route::route_action::ClusterSpecifier;
    let entry = |name: &str, weight| route::weighted_cluster::ClusterWeight {
        name: name.into(),
        weight,
        ..Default::default()
    };
    let clusters = vec![entry("a", number(0)), entry("b", number(2)), entry("c", None)];
    let clusters = route::WeightedCluster { clusters, ..Default::default() };
    let config = routes_with(|host| {
        host.routes[0] =
            action(|action| action.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(clusters)));
    });
    assert_eq!(led_to(&config), ["b"]);
}

#[test]
fn conditions_on_headers_that_are_empty_or_not_there() {
    use route::header_matcher::HeaderMatchSpecifier as Header;
    for (specifier, invert_match, missing_is_empty, empty, missing) in [
        (Header::PresentMatch(true), false, false, true, false),
        (Header::PresentMatch(true), true, false, false, true),
        (Header::PresentMatch(true), false, true, true, true),
        (Header::PresentMatch(false), false, false, false, true),
        (Header::StringMatch(exactly("")), false, false, true, false),
        (Header::StringMatch(exactly("")), false, true, true, true),
        (Header::StringMatch(exactly("a")), true, false, true, false),
        (Header::StringMatch(exactly("a")), true, true, true, true),
    ] {
        let header = route::HeaderMatcher {
            name: "h".into(),
            header_match_specifier: Some(specifier),
            invert_match,
            treat_missing_header_as_empty: missing_is_empty,
        };
        let config =
            routes_with(|host| host.routes[0].r#match.as_mut().unwrap().headers = vec![header.clone()]);
        let bytes = Bytes::from(config.encode_to_vec());
        let Ok(Resource::Route(read)) = Kind::Route.decode("x", &bytes, None) else { panic!("refused") };
        let condition = &read.virtual_hosts[0].routes[0].condition.headers[0];
        let holds = (condition.matches(Some("".into())), condition.matches(None));
        assert_eq!(holds, (empty, missing), "{header:?}");
    }
}

#[test]
fn routes_that_are_left_out_leave_the_others() {
    use route::route_action::ClusterSpecifier;
    let to = |specifier| action(|action| action.cluster_specifier = Some(specifier));
    let left_out = [
        ("a cluster by a header", ClusterSpecifier::ClusterHeader("h".into())),
        ("an optional plugin that is not known", ClusterSpecifier::ClusterSpecifierPlugin("p".into())),
        ("a plugin of its own", ClusterSpecifier::InlineClusterSpecifierPlugin(Default::default())),
    ];
    for (what, specifier) in left_out {
        let next = to(ClusterSpecifier::Cluster("b".into()));
        let mut config = routes_with(|host| host.routes.extend([to(specifier), next]));
        let typed_config = Some(any("example.P", &()));
        config.cluster_specifier_plugins = vec![route::ClusterSpecifierPlugin {
            extension: Some(core::TypedExtensionConfig { name: "p".into(), typed_config }),
            is_optional: true,
        }];
        assert_eq!(led_to(&config), ["a", "b"], "{what}");
    }
    let no_specifier = action(|action| action.cluster_specifier = None);
    let config = routes_with(|host| host.routes.insert(0, no_specifier));
    assert_eq!(led_to(&config), ["a"], "no cluster");
}

#[test]
fn metadata_of_a_known_type() {
    const ADDRESS: &str = "envoy.config.core.v3.Address";
    let given = |host: &str, port| any(ADDRESS, &address(host, port).unwrap());
    let garbage = |message: &str| Any { value: vec![0xff], ..any(message, &()) };
    let attached = |what| core::Metadata {
        typed_filter_metadata: [("k".to_owned(), what)].into(),
        ..Default::default()
    };
    let mut rows = Vec::new();
    for (rule, what, why) in [
        ("an address", given("10.0.0.1", 80), GOOD),
        ("another type is left aside", garbage("example.Unknown"), GOOD),
        ("2.5 an address that is garbage", garbage(ADDRESS), "cannot be decoded"),
        ("2.1 a wrapper that is garbage", garbage("xds.type.v3.TypedStruct"), "cannot be decoded"),
        ("2.6 a name", given("a.b", 80), "a.b:80 is not an IP address"),
        ("2.6 no port", given("10.0.0.1", 70_000), "socket_address.port_value: 70000 is no port"),
        ("2.6 nothing", any(ADDRESS, &()), "is missing"),
    ] {
        let mut add = |kind, bytes: Vec<u8>, path: &str| {
            let expected = match why {
                GOOD => GOOD.to_owned(),
                _ => format!("{path}.typed_filter_metadata[k]…{why}"),
            };
            rows.push((rule, kind, bytes, expected));
        };
        let metadata = || Some(attached(what.clone()));
        let of_cluster = cluster_with(|cluster| cluster.metadata = metadata());
        add(Kind::Cluster, of_cluster.encode_to_vec(), "metadata");
        let mut assignment = assignment_of(vec![vec![lb_endpoint("10.0.0.1", 80)]]);
        assignment.endpoints[0].lb_endpoints[0].metadata = metadata();
        add(Kind::Endpoint, assignment.encode_to_vec(), "endpoints[0].lb_endpoints[0].metadata");
        assignment.endpoints[0].lb_endpoints[0].metadata = None;
        assignment.endpoints[0].metadata = metadata();
        add(Kind::Endpoint, assignment.encode_to_vec(), "endpoints[0].metadata");
        let mut config = routes_with(|_| ());
        config.metadata = metadata();
        add(Kind::Route, config.encode_to_vec(), "metadata");
        let config = routes_with(|host| host.metadata = metadata());
        add(Kind::Route, config.encode_to_vec(), "virtual_hosts[0].metadata");
        let config = routes_with(|host| host.routes[0].metadata = metadata());
        add(Kind::Route, config.encode_to_vec(), "virtual_hosts[0].routes[0].metadata");
        let config = routes_with(|host| {
            host.routes[0] = action(|action| action.metadata_match = metadata());
        });
        add(Kind::Route, config.encode_to_vec(), "virtual_hosts[0].routes[0].route.metadata_match");
    }
    let rows = rows.iter().map(|(rule, kind, bytes, expected)| Row {
        rule,
        kind: *kind,
        bytes: bytes.clone(),
        expected,
    });
    check(rows.collect());
}

#[test]
fn sidecars_may_do_without_what_is_for_envoy() {
    let overrides = |config: Any| [("f".to_owned(), config)].into();
    let unknown = || any("example.Unknown", &());
    let garbage = || Any { value: vec![0xff], ..any(FAULT, &()) };
    let weighted = |config| {
        let cluster = route::weighted_cluster::ClusterWeight {
            name: "a".into(),
            weight: number(1),
            typed_per_filter_config: overrides(config),
            ..Default::default()
        };
        let clusters = route::WeightedCluster { clusters: vec![cluster], ..Default::default() };
        routes_with(|host| {
            host.routes[0] = action(|action| {
                action.cluster_specifier =
                    Some(route::route_action::ClusterSpecifier::WeightedClusters(clusters));
            });
        })
    };
    let twice = || {
        assignment_of(vec![
            vec![lb_endpoint("10.0.0.1", 80), lb_endpoint("10.0.0.2", 80), lb_endpoint("10.0.0.1", 80)],
            vec![lb_endpoint("10.0.0.2", 80), lb_endpoint("10.0.0.3", 80)],
        ])
    };
    let inline = cluster_with(|cluster| {
        cluster.cluster_discovery_type = None;
        cluster.load_assignment = Some(twice());
    });
    let with_gaps = || {
        let mut assignment =
            assignment_of(vec![vec![lb_endpoint("10.0.0.1", 80)], vec![lb_endpoint("10.0.0.2", 80)]]);
        (assignment.endpoints[0].priority, assignment.endpoints[1].priority) = (7, 2);
        assignment
    };
    let inline_with_gaps = cluster_with(|cluster| {
        cluster.cluster_discovery_type = None;
        cluster.load_assignment = Some(with_gaps());
    });
    let sidecar = Local { sidecar: true, ..Default::default() };
    let anyone =
        tls::UpstreamTlsContext { common_tls_context: Some(Default::default()), ..Default::default() };
    let message = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    let anyone = socket(any(message, &anyone));
    let added = forwarding_listener(Some(tcp::tcp_proxy::ClusterSpecifier::Cluster("a".into())));
    check(vec![row(
        "a listener of a server forwards bytes",
        Kind::Listener,
        added.clone(),
        "filter_chains[0].filters: must be one HttpConnectionManager",
    )]);
    check_for(
        &sidecar,
        vec![
            row("gaps between priorities", Kind::Endpoint, with_gaps(), GOOD),
            row("gaps between priorities in a cluster", Kind::Cluster, inline_with_gaps, GOOD),
            row("a listener without a direction", Kind::Listener, added, GOOD),
            row(
                "credentialName with insecureSkipVerify",
                Kind::Cluster,
                cluster_with(|cluster| cluster.transport_socket = anyone),
                GOOD,
            ),
            row(
                "override of an unknown filter by a route",
                Kind::Route,
                routes_with(|host| host.routes[0].typed_per_filter_config = overrides(unknown())),
                GOOD,
            ),
            row(
                "override of an unknown filter by a virtual host",
                Kind::Route,
                routes_with(|host| host.typed_per_filter_config = overrides(unknown())),
                GOOD,
            ),
            row("override of an unknown filter by a cluster", Kind::Route, weighted(unknown()), GOOD),
            row(
                "override that is garbage",
                Kind::Route,
                weighted(garbage()),
                "virtual_hosts[0].routes[0].route.weighted_clusters.clusters[0].typed_per_filter_config[f]: ",
            ),
            row("the same address twice", Kind::Endpoint, twice(), GOOD),
            row("the same address twice in a cluster", Kind::Cluster, inline, GOOD),
        ],
    );
    let bytes = Bytes::from(with_gaps().encode_to_vec());
    let Ok(Resource::Endpoint(read)) = Kind::Endpoint.decode_for(&sidecar, "x", &bytes, None) else {
        panic!("refused");
    };
    let first = |locality: &LocalityEndpoints| locality.endpoints.iter().next().unwrap().address.to_string();
    let priorities: Vec<Vec<_>> =
        read.priorities.iter().map(|localities| localities.iter().map(first).collect()).collect();
    assert_eq!(priorities, [["10.0.0.2:80"], ["10.0.0.1:80"]], "in their order");

    let bytes = Bytes::from(twice().encode_to_vec());
    let Ok(Resource::Endpoint(read)) = Kind::Endpoint.decode_for(&sidecar, "x", &bytes, None) else {
        panic!("refused");
    };
    let addresses: Vec<Vec<_>> = read
        .localities()
        .map(|locality| locality.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect())
        .collect();
    assert_eq!(addresses, [vec!["10.0.0.1:80", "10.0.0.2:80"], vec!["10.0.0.3:80"]], "the first ones");

    // What was left out is there once the other one is gone.
    let mut proto = twice();
    proto.endpoints[0].lb_endpoints.remove(0);
    let bytes = Bytes::from(proto.encode_to_vec());
    let before = Resource::Endpoint(read);
    let Ok(Resource::Endpoint(read)) = Kind::Endpoint.decode_for(&sidecar, "x", &bytes, Some(&before)) else {
        panic!("refused");
    };
    assert_eq!(read.localities().map(|locality| locality.endpoints.len()).sum::<usize>(), 3);
}

#[test]
fn secrets() {
    use core::data_source::Specifier;
    use tls::secret::Type;
    let row = |rule, content, expected| {
        row(rule, Kind::Secret, tls::Secret { name: "x".into(), r#type: content }, expected)
    };
    let file = || {
        Some(core::DataSource { specifier: Some(Specifier::Filename("a.pem".into())), ..Default::default() })
    };
    let certificate = |change: fn(&mut tls::TlsCertificate)| {
        let mut certificate =
            tls::TlsCertificate { certificate_chain: file(), private_key: file(), ..Default::default() };
        change(&mut certificate);
        Some(Type::TlsCertificate(certificate))
    };
    check(vec![
        row("certificate", certificate(|_| ()), GOOD),
        row("nothing", None, "type: is missing"),
        row("no key", certificate(|c| c.private_key = None), "tls_certificate.private_key: is missing"),
        row(
            "empty file",
            certificate(|c| c.certificate_chain = Some(Default::default())),
            "tls_certificate.certificate_chain.specifier: is missing",
        ),
        row(
            "key of a provider",
            certificate(|c| c.private_key_provider = Some(Default::default())),
            "tls_certificate.private_key_provider: is not",
        ),
        row("ticket keys", Some(Type::SessionTicketKeys(Default::default())), GOOD),
    ]);
}
