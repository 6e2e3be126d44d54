//! Extensions: the one list of those that are understood, by the type of the message that configures them.

use super::invalid::{Checked, Invalid, unpack};
use mesh_proto::google::protobuf::Any;
use mesh_proto::typed_struct::{TypedStruct, UDPA_TYPE_URL, XDS_TYPE_URL};
use std::borrow::Cow;

/// What precedes the name of a message in a type URL.
pub(super) const PREFIX: &str = "type.googleapis.com/";

macro_rules! extensions {
    ($($(#[$doc:meta])* $variant:ident = $message:literal,)*) => {
        /// An extension that is understood.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Extension {
            $($(#[$doc])* $variant,)*
        }

        impl Extension {
            /// Every extension that is understood.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The full name of the message that configures it.
            pub(crate) fn message(self) -> &'static str {
                match self {
                    $(Self::$variant => $message,)*
                }
            }

            /// The extension that a message configures.
            pub(crate) fn of_message(message: &str) -> Option<Self> {
                match message {
                    $($message => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

extensions! {
    // Filters of connections.
    HttpConnectionManager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    TcpProxy = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    // Filters of requests.
    Router = "envoy.extensions.filters.http.router.v3.Router",
    Fault = "envoy.extensions.filters.http.fault.v3.HTTPFault",
    Cors = "envoy.extensions.filters.http.cors.v3.Cors",
    CorsPolicy = "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    GrpcStats = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    StatefulSession = "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
    StatefulSessionPerRoute = "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
    SessionCookie = "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
    SessionHeader = "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState",
    Rbac = "envoy.extensions.filters.http.rbac.v3.RBAC",
    RbacPerRoute = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
    Alpn = "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    // Kinds of clusters.
    Aggregate = "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
    DnsCluster = "envoy.extensions.clusters.dns.v3.DnsCluster",
    DynamicForwardProxy = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
    // Transport sockets.
    RawBuffer = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
    UpstreamTls = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    DownstreamTls = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    Http11Proxy = "envoy.extensions.transport_sockets.http_11_proxy.v3.Http11ProxyUpstreamTransport",
    ProxyProtocol = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
    // Balancing.
    RoundRobin = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
    LeastRequest = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
    Random = "envoy.extensions.load_balancing_policies.random.v3.Random",
    RingHash = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash",
    Maglev = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
    PickFirst = "envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst",
    WrrLocality = "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality",
    ClientSideWeighted =
        "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin",
    OverrideHost = "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
    // Connections to endpoints.
    HttpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    // Retries.
    PreviousHosts = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    OmitCanaryHosts = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate",
    PreviousPriorities = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
    // Metadata.
    Address = "envoy.config.core.v3.Address",
}

/// The configuration of an extension, unpacked from `Any` and from the `TypedStruct` that may hide in it.
#[derive(Debug)]
pub(super) struct Config<'a> {
    /// The full name of the message.
    pub(super) message: Cow<'a, str>,
    /// The message; none if it came as a `TypedStruct`.
    pub(super) bytes: Option<&'a [u8]>,
}

impl<'a> Config<'a> {
    pub(super) fn of(any: &'a Any) -> Checked<Self> {
        Ok(match any.type_url.as_str() {
            XDS_TYPE_URL | UDPA_TYPE_URL => {
                let url = unpack::<TypedStruct>(&any.value)?.type_url;
                Self { message: Cow::Owned(message_name(&url).to_owned()), bytes: None }
            }
            url => Self { message: Cow::Borrowed(message_name(url)), bytes: Some(&any.value) },
        })
    }

    /// Which extension it is, if it is understood.
    pub(super) fn extension(&self) -> Option<Extension> {
        Extension::of_message(&self.message)
    }

    /// Decodes the message.
    pub(super) fn decode<M: prost::Message + Default>(&self) -> Checked<M> {
        match self.bytes {
            Some(bytes) => unpack(bytes),
            None => Err(Invalid::new(format!("{} is not supported as a TypedStruct", self.message))),
        }
    }
}

/// The full name of a message in its type URL.
pub(super) fn message_name(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn every_extension_is_found_by_its_message() {
        for &extension in Extension::ALL {
            assert_eq!(Extension::of_message(extension.message()), Some(extension));
        }
        assert_eq!(Extension::of_message("example.Unknown"), None);
    }

    #[test]
    fn a_typed_struct_is_looked_into() {
        for url in [XDS_TYPE_URL, UDPA_TYPE_URL] {
            let inner =
                TypedStruct { type_url: format!("{PREFIX}{}", Extension::Fault.message()), value: None };
            let any = Any { type_url: url.to_owned(), value: inner.encode_to_vec() };
            assert_eq!(Config::of(&any).unwrap().extension(), Some(Extension::Fault));
            assert!(Config::of(&Any { value: vec![0xff], ..any }).is_err());
        }
    }
}
