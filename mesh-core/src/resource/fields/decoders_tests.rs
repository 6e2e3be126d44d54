//! What the table says of a field is what the decoders do with it: each field is set in a resource that has its message,
//! and the resource is then refused, or means something else, or the same.

use super::{Message, Use, all, cluster, endpoint, listener, route, tls};
use crate::resource::{Kind, Local, Resource};
use crate::wire::{Fields, Value};
use crate::xds::kind::ResourceKind;
use bytes::Bytes;
use mesh_proto::google::protobuf::Any;
use prost::Message as _;
use prost::encoding::encode_varint;
use std::collections::BTreeSet;

/// Resources that are valid and have every message in them, in the words of [`Text`]. What comes first counts where the
/// resource has to stay the same.
const BASES: &[(Kind, &str)] = &[
    (Kind::Endpoint, ASSIGNMENT),
    (Kind::Listener, CLIENT),
    (Kind::Listener, CLIENT_BY_NAME),
    (Kind::Listener, SERVER),
    (Kind::Listener, SIDECAR),
    (Kind::Route, ROUTES),
    (Kind::Route, PLAIN_ROUTE),
    (Kind::Cluster, EDS),
    (Kind::Cluster, DNS),
    (Kind::Cluster, DNS_EXTENSION),
    (Kind::Cluster, AGGREGATE),
    (Kind::Cluster, DYNAMIC_FORWARD_PROXY),
    (Kind::Cluster, THROUGH_A_PROXY),
    (Kind::Cluster, PROXY_PROTOCOL),
    (Kind::Cluster, ORIGINAL_DESTINATION),
    (Kind::Cluster, ORIGINAL_DESTINATION_BY_HEADER),
    (Kind::Cluster, LEAST_REQUEST),
    (Kind::Cluster, ROUND_ROBIN),
    (Kind::Cluster, RING_HASH),
    (Kind::Cluster, MAGLEV),
    (Kind::Cluster, NEW_RING_HASH),
    (Kind::Cluster, NEW_RING_ALONE),
    (Kind::Cluster, NEW_MAGLEV),
    (Kind::Cluster, NEW_RANDOM),
    (Kind::Cluster, NEW_ROUND_ROBIN),
    (Kind::Cluster, NEW_LEAST_REQUEST),
    (Kind::Cluster, NEW_PICK_FIRST),
    (Kind::Cluster, NEW_CLIENT_SIDE),
    (Kind::Cluster, NEW_OVERRIDE_HOST),
    (Kind::Cluster, SECRETS),
    (Kind::Cluster, OLD_PROVIDERS),
    (Kind::Cluster, NEW_PROVIDERS),
    (Kind::Cluster, PLAIN_HTTP),
    (Kind::Cluster, AUTO_HTTP),
    (Kind::Cluster, DOWNSTREAM_HTTP),
    (Kind::Secret, CERTIFICATE),
    (Kind::Secret, VALIDATION),
];

const CLIENT: &str = "name:'x' api_listener{api_listener@HttpConnectionManager{
    common_http_protocol_options{}
    route_config{virtual_hosts{domains:'*'}}
    http_filters{name:'f' typed_config@HTTPFault{
        delay{fixed_delay{#1:1} percentage{numerator:1}} abort{http_status:503 percentage{numerator:1}}
        headers{name:'h' present_match:1}}}
    http_filters{name:'s' typed_config@StatefulSession{session_state{name:'c'
        typed_config@CookieBasedSessionState{cookie{name:'c'}}}}}
    http_filters{name:'t' typed_config@StatefulSession{session_state{name:'h'
        typed_config@HeaderBasedSessionState{name:'h'}}}}
    http_filters{name:'g' typed_config@grpc_stats.v3.FilterConfig{}}
    http_filters{name:'c' typed_config@cors.v3.Cors{}}
    http_filters{name:'r' typed_config@Router{}}}}";

const CLIENT_BY_NAME: &str = "name:'x' api_listener{api_listener@HttpConnectionManager{
    rds{config_source{ads{}} route_config_name:'r'}
    http_filters{name:'r' typed_config@Router{}}}}";

const SERVER: &str = "name:'x' address{socket_address{address:'127.0.0.1' port_value:80}}
    filter_chains{filter_chain_match{prefix_ranges{address_prefix:'10.0.0.0' prefix_len{#1:8}}}
        transport_socket{name:'t' typed_config@DownstreamTlsContext{common_tls_context{
            tls_certificate_provider_instance{instance_name:'i'} tls_params{}
            validation_context{ca_certificate_provider_instance{instance_name:'i'}}}}}
        filters{name:'h' typed_config@HttpConnectionManager{
            route_config{virtual_hosts{domains:'*'}}
            http_filters{name:'a' typed_config@rbac.v3.RBAC{rules{policies{key:'p' value{
                permissions{and_rules{rules{any:1}}} permissions{url_path{path{exact:'/'}}}
                permissions{metadata{filter:'f'}}
                principals{and_ids{ids{any:1}}} principals{authenticated{principal_name{exact:'a'}}}
                principals{filter_state{key:'io.istio.peer_principal' string_match{exact:'a'}}}}}}}}
            http_filters{name:'r' typed_config@Router{}}}}}";

const SIDECAR: &str =
    "name:'x' address{socket_address{address:'127.0.0.1' port_value:80}} traffic_direction:2
    additional_addresses{address{socket_address{address:'127.0.0.2' port_value:80}}}
    filter_chains{filter_chain_match{}
        transport_socket{name:'t' typed_config@DownstreamTlsContext{common_tls_context{}}}
        filters{name:'t' typed_config@TcpProxy{weighted_clusters{clusters{name:'a' weight:1}}}}}";

const ROUTES: &str = "name:'x' virtual_hosts{name:'v' domains:'*'
    retry_policy{retry_on:'5xx'} cors{allow_methods:'GET'} hedge_policy{}
    routes{name:'a' match{prefix:'/' headers{name:'h' string_match{exact:'a'}}
            headers{name:'r' safe_regex_match{regex:'a'}}
            query_parameters{name:'q' string_match{exact:'a'}}
            runtime_fraction{default_value{numerator:1}}}
        metadata{} decorator{}
        request_headers_to_add{header{key:'k'}}
        route{weighted_clusters{clusters{name:'a' weight{#1:1}}}
            regex_rewrite{pattern{regex:'a'}} max_stream_duration{}
            hash_policy{header{header_name:'h'}} hash_policy{cookie{name:'c'}}
            hash_policy{connection_properties{}}
            hash_policy{query_parameter{name:'q'}} hash_policy{filter_state{key:'io.grpc.channel_id'}}
            request_mirror_policies{cluster:'m' runtime_fraction{}}
            retry_policy{retry_on:'5xx' num_retries{#1:2} retry_back_off{base_interval{#1:1}}
                rate_limited_retry_back_off{reset_headers{name:'h'}}
                retry_host_predicate{name:'p' typed_config@PreviousHostsPredicate{}}
                retry_host_predicate{name:'p' typed_config@OmitCanaryHostsPredicate{}}
                retry_priority{name:'p' typed_config@PreviousPrioritiesConfig{}}}}}
    routes{name:'b' match{prefix:'/'} redirect{}}
    routes{name:'c' match{prefix:'/'} direct_response{status:200 body{inline_string:'a'}}
        typed_per_filter_config{key:'r' value@RBACPerRoute{rbac{}}}
        typed_per_filter_config{key:'c' value@filters.http.cors.v3.CorsPolicy{}}
        typed_per_filter_config{key:'s' value@StatefulSessionPerRoute{stateful_session{session_state{name:'c'
            typed_config@CookieBasedSessionState{cookie{name:'c'}}}}}}
        typed_per_filter_config{key:'f' value@route.v3.FilterConfig{config@filters.http.cors.v3.Cors{}}}}}";

const PLAIN_ROUTE: &str = "name:'x' virtual_hosts{domains:'*' retry_policy{retry_on:'5xx'}
    routes{match{prefix:'/'} route{cluster:'a'}}}";

const EDS: &str = "name:'x' type:3 eds_cluster_config{eds_config{ads{}}}
    transport_socket_matches{name:'m' match{#1{#1:'k' #2{#3:'v'}}}
        transport_socket{name:'t' typed_config@RawBuffer{}}}
    transport_socket{name:'t' typed_config@UpstreamTlsContext{common_tls_context{tls_params{}
        tls_certificates{certificate_chain{inline_string:'a'} private_key{inline_string:'a'}}
        validation_context{trusted_ca{inline_string:'a'} match_subject_alt_names{exact:'a'}}}}}
    circuit_breakers{thresholds{retry_budget{}} per_host_thresholds{}} outlier_detection{}
    lb_subset_config{subset_selectors{keys:'k'}} metadata{}
    common_lb_config{zone_aware_lb_config{}}
    upstream_connection_options{tcp_keepalive{}}
    common_http_protocol_options{} http_protocol_options{} http2_protocol_options{connection_keepalive{}}
    upstream_http_protocol_options{}";

const DNS: &str = "name:'x' type:1 load_assignment{endpoints{lb_endpoints{endpoint{
    address{socket_address{address:'a' port_value:80}}}}}}";
const DNS_EXTENSION: &str = "name:'x' cluster_type{name:'c' typed_config@DnsCluster{}}
    load_assignment{endpoints{lb_endpoints{endpoint{address{socket_address{address:'a' port_value:80}}}}}}";
const AGGREGATE: &str =
    "name:'x' cluster_type{name:'c' typed_config@aggregate.v3.ClusterConfig{clusters:'a'}}";
const DYNAMIC_FORWARD_PROXY: &str =
    "name:'x' cluster_type{name:'c' typed_config@dynamic_forward_proxy.v3.ClusterConfig{}}";
const THROUGH_A_PROXY: &str = "name:'x' transport_socket{name:'t'
    typed_config@Http11ProxyUpstreamTransport{transport_socket{name:'t' typed_config@RawBuffer{}}}}";
const PROXY_PROTOCOL: &str =
    "name:'x' transport_socket{name:'t' typed_config@ProxyProtocolUpstreamTransport{}}";
const ORIGINAL_DESTINATION: &str = "name:'x' type:4 original_dst_lb_config{}";
const ORIGINAL_DESTINATION_BY_HEADER: &str = "name:'x' type:4 original_dst_lb_config{use_http_header:1}";

const LEAST_REQUEST: &str = "name:'x' lb_policy:1 least_request_lb_config{active_request_bias{}
    slow_start_config{slow_start_window{#1:1} aggression{default_value:2.0}}}";
const ROUND_ROBIN: &str = "name:'x' round_robin_lb_config{slow_start_config{slow_start_window{#1:1}}}";
const RING_HASH: &str =
    "name:'x' lb_policy:2 ring_hash_lb_config{} common_lb_config{consistent_hashing_lb_config{}}";
const MAGLEV: &str = "name:'x' lb_policy:5 maglev_lb_config{}";

const NEW_RING_ALONE: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@RingHash{}}}}";
const NEW_RING_HASH: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@WrrLocality{endpoint_picking_policy{policies{typed_extension_config{name:'p'
    typed_config@RingHash{}}}}}}}}";
const NEW_MAGLEV: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@v3.Maglev{consistent_hashing_lb_config{}}}}}";
const NEW_RANDOM: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@v3.Random{}}}}";
const NEW_ROUND_ROBIN: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@round_robin.v3.RoundRobin{slow_start_config{slow_start_window{#1:1}}}}}}";
const NEW_LEAST_REQUEST: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@v3.LeastRequest{locality_lb_config{zone_aware_lb_config{}}}}}}";
const NEW_PICK_FIRST: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@v3.PickFirst{}}}}";
const NEW_CLIENT_SIDE: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@ClientSideWeightedRoundRobin{}}}}";
const NEW_OVERRIDE_HOST: &str = "name:'x' load_balancing_policy{policies{typed_extension_config{name:'p'
    typed_config@OverrideHost{override_host_sources{header:'h'} fallback_policy{policies{
    typed_extension_config{name:'p' typed_config@v3.Random{}}}}}}}}";

const SECRETS: &str = "name:'x' transport_socket{name:'t' typed_config@UpstreamTlsContext{common_tls_context{
    tls_certificate_sds_secret_configs{name:'c'}
    combined_validation_context{validation_context_sds_secret_config{name:'r'}
        default_validation_context{match_typed_subject_alt_names{san_type:2 matcher{exact:'a'}}}}}}}";
const OLD_PROVIDERS: &str = "name:'x' transport_socket{name:'t' typed_config@UpstreamTlsContext{
    common_tls_context{tls_certificate_certificate_provider_instance{instance_name:'i'}
    validation_context_certificate_provider_instance{instance_name:'i'}}}}";
const NEW_PROVIDERS: &str = "name:'x' transport_socket{name:'t' typed_config@UpstreamTlsContext{
    common_tls_context{tls_certificate_provider_instance{instance_name:'i'}
    validation_context{ca_certificate_provider_instance{instance_name:'i'}}}}}";

const PLAIN_HTTP: &str =
    "name:'x' typed_extension_protocol_options{key:'h' value@upstreams.http.v3.HttpProtocolOptions{
    common_http_protocol_options{} upstream_http_protocol_options{}
    explicit_http_config{http2_protocol_options{connection_keepalive{}}}}}";
const AUTO_HTTP: &str =
    "name:'x' typed_extension_protocol_options{key:'h' value@upstreams.http.v3.HttpProtocolOptions{
    auto_config{http2_protocol_options{}}}}";
const DOWNSTREAM_HTTP: &str =
    "name:'x' typed_extension_protocol_options{key:'h' value@upstreams.http.v3.HttpProtocolOptions{
    use_downstream_protocol_config{http2_protocol_options{}}}}";

const ASSIGNMENT: &str = "cluster_name:'x' policy{drop_overloads{category:'c' drop_percentage{numerator:1}}}
    endpoints{load_balancing_weight{#1:1} lb_endpoints{metadata{}
        endpoint{address{socket_address{address:'10.0.0.1' port_value:80}}
            additional_addresses{address{pipe{path:'/p'}}}}}}
    endpoints{locality{#2:'z'} load_balancing_weight{#1:1}}";

const CERTIFICATE: &str =
    "name:'x' tls_certificate{certificate_chain{inline_string:'a'} private_key{inline_string:'a'}}";
const VALIDATION: &str = "name:'x' validation_context{trusted_ca{inline_string:'a'}}";

/// Values for fields that mean nothing, or are not valid, with the ordinary ones: `message/field`, and the field.
const VALUES: &[(&str, &str)] = &[
    ("FaultAbort/http_status", "http_status:504"),
    ("CidrRange/address_prefix", "address_prefix:'11.0.0.0'"),
    ("v3.RetryPolicy/retry_on", "retry_on:'reset'"),
    ("DirectResponseAction/status", "status:204"),
    ("v3.Cluster/lrs_server", "lrs_server{#5{}}"),
    ("v3.Cluster/lrs_report_endpoint_metrics", "lrs_report_endpoint_metrics:'cpu_utilization'"),
    ("v3.Cluster/dns_failure_refresh_rate", "dns_failure_refresh_rate{#1{#1:3}}"),
    ("DnsCluster/dns_failure_refresh_rate", "dns_failure_refresh_rate{#1{#1:3}}"),
    ("TransportSocketMatch/match", "match{#1{#1:'j' #2{#3:'v'}}}"),
    ("RingHashLbConfig/maximum_ring_size", "maximum_ring_size{#1:2000}"),
    ("RingHash/maximum_ring_size", "maximum_ring_size{#1:2000}"),
];

/// What cannot be shown so, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("HttpFilter", "is_optional", "counts for filters that are not known"),
    ("FilterConfig", "is_optional", "counts for filters that are not known"),
    ("FilterStateMatcher", "key", "one is understood, which the resource has"),
    ("RouteConfiguration", "cluster_specifier_plugins", "counts with the routes that name them"),
    ("RouteAction", "cluster_specifier_plugin", "counts with the list of them"),
    ("RetryHostPredicate", "name", "counts where there is no configuration"),
    ("RetryPriority", "name", "counts where there is no configuration"),
    ("ClusterLoadAssignment", "cluster_name", "is what the resource was asked for by"),
    ("ConfigSource", "ads", "one of the two has to be there"),
    ("ConfigSource", "self", "one of the two has to be there"),
    ("Secret", "session_ticket_keys", "takes the place of what the resource has"),
    ("Secret", "generic_secret", "takes the place of what the resource has"),
    ("Listener", "listener_filters", "refused for servers, reported for sidecars"),
];

/// What is told of a value of another type.
const UNDECODABLE: &str = "cannot be decoded";

/// What comes of setting a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    /// The resource means something else.
    Changed,
    /// It means the same.
    Same,
    /// It is refused.
    Refused,
}

#[test]
fn the_table_says_what_the_decoders_do() {
    let bases: Vec<_> = BASES.iter().map(|(kind, text)| Base::new(*kind, text)).collect();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for message in all() {
        let bases: Vec<_> = bases.iter().filter(|base| base.with(message, &[]).is_some()).collect();
        if bases.is_empty() {
            wrong.push(format!("no resource has a {}", message.name));
            continue;
        }
        for (how, fields) in message.groups {
            for field in *fields {
                if EXCEPTIONS.iter().any(|(of, name, _)| message.name.ends_with(of) && field.name == *name) {
                    continue;
                }
                let values = values(message, field.number, field.name);
                let effects: Vec<_> = bases.iter().map(|base| base.effects(message, &values)).collect();
                let first = effects[0].clone();
                let anywhere: BTreeSet<_> = effects.into_iter().flatten().collect();
                let fits = match how {
                    // What is in it is looked at on its own.
                    Use::Acted | Use::Kept if field.child.is_some() => continue,
                    Use::Acted | Use::Kept => anywhere.contains(&Effect::Changed),
                    Use::Refused => first.contains(&Effect::Refused) && !first.contains(&Effect::Changed),
                    Use::Reported | Use::Ignored => first.iter().all(|effect| *effect == Effect::Same),
                    Use::Unknown => false,
                };
                checked += 1;
                if !fits {
                    wrong.push(format!("{} {}: {how}, but {first:?} {anywhere:?}", message.name, field.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 500, "{checked}");
}

/// A valid resource.
struct Base {
    kind: Kind,
    bytes: Vec<u8>,
    /// What it means.
    meaning: String,
}

impl Base {
    fn new(kind: Kind, text: &str) -> Self {
        let bytes = Text::new(text).message(root(kind));
        match decode(kind, &bytes) {
            Ok(meaning) => Self { kind, bytes, meaning },
            Err(why) => panic!("{text}\nis refused: {why}"),
        }
    }

    /// The same with `extra` at the end of the first `message` in it; none if there is none.
    fn with(&self, message: &Message, extra: &[u8]) -> Option<Vec<u8>> {
        extend(root(self.kind), &self.bytes, message, extra)
    }

    fn effects(&self, message: &Message, values: &[Vec<u8>]) -> BTreeSet<Effect> {
        let changed = values.iter().filter_map(|value| self.with(message, value));
        changed
            .filter_map(|bytes| match decode(self.kind, &bytes) {
                Ok(meaning) if meaning == self.meaning => Some(Effect::Same),
                Ok(_) => Some(Effect::Changed),
                // The value is of another type.
                Err(why) if why.contains(UNDECODABLE) => None,
                Err(_) => Some(Effect::Refused),
            })
            .collect()
    }
}

fn root(kind: Kind) -> &'static Message {
    match kind {
        Kind::Listener => &listener::LISTENER,
        Kind::Route => &route::ROUTE_CONFIGURATION,
        Kind::Cluster => &cluster::CLUSTER,
        Kind::Endpoint => &endpoint::CLUSTER_LOAD_ASSIGNMENT,
        Kind::Secret => &tls::SECRET,
    }
}

/// What a resource means; it may have any name.
fn decode(kind: Kind, bytes: &[u8]) -> Result<String, String> {
    let name = Fields::of(bytes).map_while(Result::ok).filter(|field| field.number == 1).last();
    let name = match name.map(|field| field.value) {
        Some(Value::Bytes(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    };
    let decoded = kind.decode_for(&Local::default(), &name, &Bytes::copy_from_slice(bytes), None);
    decoded.and_then(|resource| match resource {
        Resource::Endpoint(assignment) => {
            let localities = assignment.localities().map(|locality| {
                let endpoints: Vec<_> = locality.endpoints.iter().collect();
                let (place, weight, metadata) = (&locality.locality, locality.weight, &locality.metadata);
                format!("{place:?} {weight} {:?} {metadata:?} {endpoints:?}", locality.proximity)
            });
            let localities: Vec<_> = localities.collect();
            let priorities: Vec<_> = assignment.priorities.iter().map(Vec::len).collect();
            let (drops, factor) = (&assignment.drops, assignment.overprovisioning);
            Ok(format!("{priorities:?} {localities:?} {drops:?} {factor}"))
        }
        other => match format!("{other:?}") {
            // A sidecar's listener says so of a chain.
            why if why.contains(UNDECODABLE) => Err(why),
            meaning => Ok(meaning),
        },
    })
}

/// Adds `extra` to the end of the first `wanted` in a message.
fn extend(message: &Message, bytes: &[u8], wanted: &Message, extra: &[u8]) -> Option<Vec<u8>> {
    if message.name == wanted.name {
        return Some([bytes, extra].concat());
    }
    if message.name == super::ANY.name {
        let any = Any::decode(bytes).ok()?;
        let inner = find(any.type_url.rsplit('/').next()?)?;
        let value = extend(inner, &any.value, wanted, extra)?;
        return Some(Any { value, ..any }.encode_to_vec());
    }
    let mut start = 0;
    for field in Fields::of(bytes).map_while(Result::ok) {
        let end = start + field.whole.len();
        let child = message.find(field.number).and_then(|(_, field)| field.child);
        if let (Some(child), Value::Bytes(value)) = (child, field.value)
            && let Some(extended) = extend(child, value, wanted, extra)
        {
            let mut whole = bytes[..start].to_vec();
            put_bytes(&mut whole, field.number, &extended);
            whole.extend_from_slice(&bytes[end..]);
            return Some(whole);
        }
        start = end;
    }
    None
}

/// The message of this name, of which the beginning may be left out.
fn find(name: &str) -> Option<&'static Message> {
    let ends = |message: &&Message| {
        message.name.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    all().find(|message| message.name == name).or_else(|| all().find(ends))
}

/// What a field is set to: those for it alone, or one of each type, and of each wrapper.
fn values(message: &'static Message, number: u32, name: &str) -> Vec<Vec<u8>> {
    let own = VALUES.iter().filter(|(of, _)| {
        of.rsplit_once('/').is_some_and(|(of, field)| message.name.ends_with(of) && field == name)
    });
    let own: Vec<_> = own.map(|(_, text)| Text::new(text).message(message)).collect();
    if !own.is_empty() {
        return own;
    }
    let key = |wire_type: u32| {
        let mut bytes = Vec::new();
        encode_varint(u64::from((number << 3) | wire_type), &mut bytes);
        bytes
    };
    let numbers = [1, 2, 151].map(|value| {
        let mut bytes = key(0);
        encode_varint(value, &mut bytes);
        bytes
    });
    let double = [key(1), 50f64.to_le_bytes().to_vec()].concat();
    let float = [key(5), 0.5f32.to_le_bytes().to_vec()].concat();
    let wrapped: [&[u8]; 8] =
        [b"", b"x", b"/x", &[8, 1], &[8, 151, 1], &[10, 1, b'x'], &[18, 1, b'x'], &[13, 0, 0, 0, 63]];
    let wrapped = wrapped.into_iter().map(<[u8]>::to_vec);
    let doubles = [[&[9][..], &50f64.to_le_bytes()].concat()];
    let wrapped = wrapped.chain(doubles).map(|value| {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, number, &value);
        bytes
    });
    numbers.into_iter().chain([double, float]).chain(wrapped).collect()
}

fn put_bytes(to: &mut Vec<u8>, number: u32, value: &[u8]) {
    encode_varint(u64::from((number << 3) | 2), to);
    encode_varint(value.len() as u64, to);
    to.extend_from_slice(value);
}

/// A message, written down: `name:'text'`, `name:1`, `name:1.0`, `name{…}` and, where any message may stand,
/// `name@type{…}`; `#1` instead of a name is the field of that number.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Up to the closing bracket, or the end.
    fn message(&mut self, message: &'static Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            self.0 = self.0.trim_start();
            if self.0.is_empty() || self.take("}") {
                return bytes;
            }
            let name = self.word();
            let (number, child) = match name.strip_prefix('#') {
                Some(number) => (number.parse().unwrap(), None),
                None => {
                    let fields = message.groups.iter().flat_map(|(_, fields)| *fields);
                    let field = fields.into_iter().find(|field| field.name == name);
                    let field = field.unwrap_or_else(|| panic!("{} has no {name}", message.name));
                    (field.number, field.child)
                }
            };
            self.field(number, child.unwrap_or(&NOTHING), &mut bytes);
        }
    }

    fn field(&mut self, number: u32, child: &'static Message, bytes: &mut Vec<u8>) {
        if self.take("{") {
            let value = self.message(child);
            return put_bytes(bytes, number, &value);
        }
        if self.take("@") {
            let name = self.word();
            let inner = find(name).unwrap_or_else(|| panic!("no message {name}"));
            assert!(self.take("{"), "{}", self.0);
            let value = self.message(inner);
            let any = Any { type_url: format!("type.googleapis.com/{}", inner.name), value };
            return put_bytes(bytes, number, &any.encode_to_vec());
        }
        assert!(self.take(":"), "{}", self.0);
        if self.take("'") {
            let (text, rest) = self.0.split_once('\'').unwrap();
            self.0 = rest;
            return put_bytes(bytes, number, text.as_bytes());
        }
        let value = self.word();
        match value.parse::<u64>() {
            Ok(value) => {
                encode_varint(u64::from(number << 3), bytes);
                encode_varint(value, bytes);
            }
            Err(_) => {
                encode_varint(u64::from((number << 3) | 1), bytes);
                bytes.extend(value.parse::<f64>().unwrap().to_le_bytes());
            }
        }
    }

    fn take(&mut self, what: &str) -> bool {
        let rest = self.0.strip_prefix(what);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn word(&mut self) -> &'a str {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "#_.".contains(c);
        let (word, rest) = self.0.split_at(self.0.find(|c| !is_word(c)).unwrap_or(self.0.len()));
        self.0 = rest;
        word
    }
}

/// A message of which the fields have no names.
static NOTHING: Message = Message { name: "", groups: &[] };
