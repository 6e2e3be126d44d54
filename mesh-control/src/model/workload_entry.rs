//! WorkloadEntry: one process that serves, also written inside a ServiceEntry.

use super::values::Labels;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `networking.istio.io` WorkloadEntry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadEntry {
    /// An IP address, a host name, or `unix:///path`.
    pub address: String,
    /// Its ports, by the names of the service's ports.
    pub ports: BTreeMap<String, u32>,
    /// Its labels, by which subsets choose.
    pub labels: Labels,
    /// Its network.
    pub network: String,
    /// `region/zone/subzone`.
    pub locality: String,
    /// Its share of the load against the others of its locality; 0 counts as 1.
    pub weight: u32,
    /// The account it runs under, which becomes its identity.
    pub service_account: String,
}
