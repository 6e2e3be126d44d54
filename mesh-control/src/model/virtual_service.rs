//! VirtualService: what becomes of requests to a host.

use super::http_route::HttpRoute;
use super::values::{Labels, PortSelector, Unused};
use serde::Deserialize;

/// `networking.istio.io` VirtualService.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualService {
    /// The names it is about; none if others delegate to it.
    pub hosts: Vec<String>,
    /// The gateways it is for; `mesh`, also if empty, means the clients inside.
    pub gateways: Vec<String>,
    /// Rules for HTTP, in order.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS by SNI.
    pub tls: Option<Unused<Vec<TlsRoute>>>,
    /// Rules for TCP.
    pub tcp: Option<Unused<Vec<TcpRoute>>>,
    /// Who sees it: `*`, `.` or namespaces. Everyone if empty, unless the mesh says otherwise.
    pub export_to: Vec<String>,
}

impl VirtualService {
    /// Whether it is for the clients inside the mesh.
    #[must_use]
    pub fn is_for_mesh(&self) -> bool {
        self.gateways.is_empty() || self.gateways.iter().any(|gateway| gateway == "mesh")
    }
}

/// Where requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Destination {
    /// The service.
    pub host: String,
    /// A subset of its endpoints, from a DestinationRule.
    pub subset: String,
    /// The port; the one that was asked if absent.
    pub port: Option<PortSelector>,
}

/// A rule for TLS connections that are passed through.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TlsRoute {
    /// When it applies: any of these.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatch>,
    /// Where connections go.
    pub route: Vec<RouteDestination>,
}

/// When a TLS rule applies.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsMatch {
    /// The names of the server.
    pub sni_hosts: Vec<String>,
    /// The addresses connected to.
    pub destination_subnets: Vec<String>,
    /// The port connected to.
    pub port: u32,
    /// Labels of the client.
    pub source_labels: Labels,
    /// Gateways passed.
    pub gateways: Vec<String>,
    /// Namespace of the client.
    pub source_namespace: String,
}

/// A rule for TCP connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TcpRoute {
    /// When it applies: any of these, always if empty.
    #[serde(rename = "match")]
    pub matches: Vec<TcpMatch>,
    /// Where connections go.
    pub route: Vec<RouteDestination>,
}

/// When a TCP rule applies.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpMatch {
    /// The addresses connected to.
    pub destination_subnets: Vec<String>,
    /// The port connected to.
    pub port: u32,
    /// The addresses of the client.
    pub source_subnet: String,
    /// Labels of the client.
    pub source_labels: Labels,
    /// Gateways passed.
    pub gateways: Vec<String>,
    /// Namespace of the client.
    pub source_namespace: String,
}

/// A destination with its share.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RouteDestination {
    /// Where to.
    pub destination: Option<Destination>,
    /// The share against the others.
    pub weight: i32,
}
