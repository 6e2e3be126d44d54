//! ServiceEntry: a service, its ports and where it runs.

use super::values::Selector;
use super::workload_entry::WorkloadEntry;
use serde::Deserialize;

/// `networking.istio.io` ServiceEntry.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceEntry {
    /// The names of the service, which share ports and endpoints.
    pub hosts: Vec<String>,
    /// Virtual addresses or CIDR blocks.
    pub addresses: Vec<String>,
    /// The ports.
    pub ports: Vec<ServicePort>,
    /// Inside or outside of the mesh.
    pub location: Location,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// The endpoints.
    pub endpoints: Vec<WorkloadEntry>,
    /// Or which WorkloadEntries of the namespace are the endpoints.
    pub workload_selector: Option<Selector>,
    /// Who sees the service: `*`, `.`, `~` or namespaces. Everyone if empty, unless the mesh says otherwise.
    pub export_to: Vec<String>,
    /// Names to expect in the certificates of the endpoints, beside those of their accounts.
    pub subject_alt_names: Vec<String>,
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    /// The port that clients name.
    pub number: u32,
    /// What is spoken there; if empty, requests are taken for HTTP.
    pub protocol: String,
    /// The name, by which endpoints may give it another number.
    pub name: String,
    /// The port of the endpoints, if it is another one.
    pub target_port: u32,
}

/// Where a service runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// Outside: no mutual TLS.
    #[default]
    MeshExternal,
    /// Inside.
    MeshInternal,
}

/// How the endpoints of a service are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// Not at all: traffic goes where it was sent.
    #[default]
    None,
    /// They are given.
    Static,
    /// By DNS, all addresses.
    Dns,
    /// By DNS, one address for each new connection.
    DnsRoundRobin,
    /// By DNS at the time of each request, for wildcard hosts.
    DynamicDns,
}
