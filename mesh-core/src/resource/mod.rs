//! Resources: bytes from the control plane to validated, documented types, or the reason why not.
//!
//! Each file decodes one resource and holds the types it becomes. A refusal names the field: `routes[3].match: …`.

mod address;
pub mod cluster;
mod cluster_type;
pub mod cors;
pub mod endpoint;
mod endpoint_wire;
pub(crate) mod extension;
pub mod fault;
pub mod fields;
pub mod filter;
mod hcm;
pub mod header_ops;
pub mod http_options;
mod invalid;
mod lb_legacy;
mod lb_parts;
pub mod lb_policy;
pub mod listener;
pub mod matcher;
pub mod metadata;
mod mirror;
pub mod outlier;
pub mod providers;
pub mod rbac;
pub mod re2;
mod re2_class;
pub mod retry;
pub mod route;
mod route_action;
mod route_match;
pub mod secret;
mod server_listener;
pub mod session;
mod sieve;
mod strictness;
pub mod thresholds;
pub mod tls;
pub mod tls_context;

pub use self::address::Cidr;

use self::cluster::Cluster;
use self::endpoint::Assignment;
use self::listener::Listener;
use self::providers::CertificateProviders;
use self::route::RouteConfig;
use self::secret::Secret;
use self::strictness::Strictness;
use crate::xds::kind::ResourceKind;
use bytes::Bytes;
use std::sync::Arc;

/// The kinds of resources that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `envoy.config.listener.v3.Listener`.
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration`.
    Route,
    /// `envoy.config.cluster.v3.Cluster`.
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
    Endpoint,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`.
    Secret,
}

/// A validated resource.
#[derive(Clone, Debug)]
pub enum Resource {
    /// Of [`Kind::Listener`].
    Listener(Arc<Listener>),
    /// Of [`Kind::Route`].
    Route(Arc<RouteConfig>),
    /// Of [`Kind::Cluster`].
    Cluster(Arc<Cluster>),
    /// Of [`Kind::Endpoint`].
    Endpoint(Arc<Assignment>),
    /// Of [`Kind::Secret`].
    Secret(Arc<Secret>),
}

impl Kind {
    /// What people call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "Listener",
            Self::Route => "RouteConfiguration",
            Self::Cluster => "Cluster",
            Self::Endpoint => "ClusterLoadAssignment",
            Self::Secret => "Secret",
        }
    }
}

/// What a process has that resources may refer to, and how its control plane takes it. By default anything may be
/// referred to, and everything has to be understood.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// The certificate providers.
    pub providers: CertificateProviders,
    /// Whether the resources are those of sidecars: what is meant for Envoy only is left out, and refuses nothing.
    pub sidecar: bool,
}

impl ResourceKind for Kind {
    type Value = Resource;
    type Local = Local;

    const ALL: &'static [Self] = &[Self::Listener, Self::Route, Self::Cluster, Self::Endpoint, Self::Secret];

    fn index(self) -> usize {
        self as usize
    }

    fn type_url(self) -> &'static str {
        match self {
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    fn is_complete(self) -> bool {
        matches!(self, Self::Listener | Self::Cluster)
    }

    fn decode_for(
        self,
        local: &Local,
        name: &str,
        bytes: &Bytes,
        previous: Option<&Resource>,
    ) -> Result<Resource, String> {
        let Local { providers, sidecar } = local;
        let strictness = if *sidecar { Strictness::Lenient } else { Strictness::Strict };
        let checked = match self {
            Self::Listener => listener::decode(name, bytes, providers, strictness)
                .map(|value| Resource::Listener(Arc::new(value))),
            Self::Route => {
                route::decode(name, bytes, strictness).map(|value| Resource::Route(Arc::new(value)))
            }
            Self::Cluster => cluster::decode(name, bytes, providers, strictness)
                .map(|value| Resource::Cluster(Arc::new(value))),
            Self::Endpoint => {
                let previous = match previous {
                    Some(Resource::Endpoint(assignment)) => Some(&**assignment),
                    _ => None,
                };
                endpoint::decode(name, bytes, previous, strictness)
                    .map(|value| Resource::Endpoint(Arc::new(value)))
            }
            Self::Secret => {
                secret::decode(name, bytes, providers).map(|value| Resource::Secret(Arc::new(value)))
            }
        };
        checked.map_err(|invalid| invalid.to_string())
    }
}
