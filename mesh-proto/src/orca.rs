//! ORCA load reports (`xds.data.orca.v3` and `xds.service.orca.v3`), which `envoy-types` lacks.

use std::collections::BTreeMap;

/// `xds.data.orca.v3.OrcaLoadReport`: what a backend says of its own load.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OrcaLoadReport {
    /// CPU in use, 1.0 being all that is reserved.
    #[prost(double, tag = "1")]
    pub cpu_utilization: f64,
    /// Memory in use, 1.0 being all that is reserved.
    #[prost(double, tag = "2")]
    pub mem_utilization: f64,
    /// What this request cost, by application-defined name.
    #[prost(btree_map = "string, double", tag = "4")]
    pub request_cost: BTreeMap<String, f64>,
    /// Utilization by application-defined name, 1.0 being all.
    #[prost(btree_map = "string, double", tag = "5")]
    pub utilization: BTreeMap<String, f64>,
    /// Requests per second.
    #[prost(double, tag = "6")]
    pub rps_fractional: f64,
    /// Errors per second.
    #[prost(double, tag = "7")]
    pub eps: f64,
    /// Opaque metrics by name.
    #[prost(btree_map = "string, double", tag = "8")]
    pub named_metrics: BTreeMap<String, f64>,
    /// The application's own measure of utilization; may exceed 1.0.
    #[prost(double, tag = "9")]
    pub application_utilization: f64,
}

/// `xds.service.orca.v3.OrcaLoadReportRequest`: asks for reports out of band.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OrcaLoadReportRequest {
    /// How often to report.
    #[prost(message, optional, tag = "1")]
    pub report_interval: Option<crate::google::protobuf::Duration>,
    /// Costs to report; none means all.
    #[prost(string, repeated, tag = "2")]
    pub request_cost_names: Vec<String>,
}
