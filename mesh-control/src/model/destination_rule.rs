//! DestinationRule: how a service is called.

use super::traffic_policy::TrafficPolicy;
use super::values::{Labels, MatchLabels};
use serde::Deserialize;

/// `networking.istio.io` DestinationRule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DestinationRule {
    /// The service, or a wildcard such as `*.example.com`.
    pub host: String,
    /// How it is called.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named parts of its endpoints.
    pub subsets: Vec<Subset>,
    /// Who sees it: `*`, `.` or namespaces. Everyone if empty, unless the mesh says otherwise.
    pub export_to: Vec<String>,
    /// Only for clients of the same namespace with these labels.
    pub workload_selector: Option<MatchLabels>,
}

/// A part of a service's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subset {
    /// Its name.
    pub name: String,
    /// The labels that its endpoints have.
    pub labels: Labels,
    /// How it is called, where it differs from the rest.
    pub traffic_policy: Option<TrafficPolicy>,
}
