//! DestinationRules by host, merged and found as istiod does.

use super::export::Export;
use super::hosts::{HostMap, complete};
use super::{by_age, keep};
use crate::model::destination_rule::{DestinationRule, Subset};
use crate::model::traffic_policy::TrafficPolicy;
use crate::model::values::{Labels, subset};
use crate::model::{MeshConfig, Object};
use std::collections::HashMap;
use std::sync::Arc;

/// All DestinationRules of one namespace for one host, in one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) traffic_policy: Option<TrafficPolicy>,
    pub(crate) subsets: Vec<Subset>,
    host: String,
    namespace: String,
    /// Only for clients of its namespace with these labels.
    selector: Option<Labels>,
    export: Export,
}

impl Policy {
    pub(crate) fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    pub(super) fn selector(&self) -> Option<&Labels> {
        self.selector.as_ref()
    }

    /// Takes over what an younger rule has and this one has not.
    fn merge(&mut self, rule: &DestinationRule) {
        for other in &rule.subsets {
            if self.subset(&other.name).is_none() {
                self.subsets.push(other.clone());
            }
        }
        if self.traffic_policy.is_none() {
            self.traffic_policy.clone_from(&rule.traffic_policy);
        }
    }
}

#[derive(Debug, Default)]
struct InNamespace {
    /// For clients of the namespace.
    own: HostMap<Vec<Arc<Policy>>>,
    /// For others.
    exported: HostMap<Vec<Arc<Policy>>>,
}

#[derive(Debug)]
pub(super) struct Policies {
    root: String,
    namespaces: HashMap<String, InNamespace>,
}

impl Policies {
    pub(super) fn new(
        rules: &[Arc<Object<DestinationRule>>],
        mesh: &MeshConfig,
        previous: Option<&Self>,
    ) -> Self {
        let mut merged: Vec<Policy> = Vec::new();
        let mut places: HashMap<(String, String), Vec<usize>> = HashMap::new();
        for rule in by_age(rules) {
            let namespace = &rule.meta.namespace;
            let host = complete(&rule.spec.host, namespace);
            let selector = rule.spec.workload_selector.as_ref().map(|selector| selector.match_labels.clone());
            let export = match selector {
                Some(_) => Export::Own,
                None => {
                    Export::new(&rule.spec.export_to, &mesh.default_destination_rule_export_to, namespace)
                }
            };
            let places = places.entry((namespace.clone(), host.clone())).or_default();
            let same = places
                .iter()
                .find(|place| merged[**place].selector == selector && merged[**place].export == export);
            if let Some(place) = same {
                merged[*place].merge(&rule.spec);
                continue;
            }
            places.push(merged.len());
            let (traffic_policy, subsets) = (rule.spec.traffic_policy.clone(), rule.spec.subsets.clone());
            merged.push(Policy {
                traffic_policy,
                subsets,
                host,
                namespace: namespace.clone(),
                selector,
                export,
            });
        }
        let mut all = Self { root: mesh.root_namespace.clone(), namespaces: HashMap::new() };
        for policy in merged {
            let known = previous.and_then(|previous| previous.namespaces.get(&policy.namespace));
            let known = known.and_then(|known| {
                let known = [known.own.get(&policy.host), known.exported.get(&policy.host)];
                known.into_iter().flatten().flatten().find(|known| ***known == policy)
            });
            let policy = keep(known, policy);
            let here = all.namespaces.entry(policy.namespace.clone()).or_default();
            if policy.export.nearness(&policy.namespace, &policy.namespace).is_some() {
                here.own.entry(&policy.host).push(policy.clone());
            }
            if policy.export != Export::Own {
                here.exported.entry(&policy.host).push(policy.clone());
            }
        }
        all
    }

    /// What may hold for a service when a client in `namespace` calls it: of the client's namespace, else of the service's, else of the root's.
    pub(super) fn find(&self, host: &str, service_namespace: &str, namespace: &str) -> &[Arc<Policy>] {
        let own = self.namespaces.get(namespace).and_then(|here| {
            // Rules of the root namespace are for everyone, and those of the service come before them.
            if namespace == self.root { here.own.exact(host) } else { here.own.matching(host).next() }
        });
        own.or_else(|| self.exported(service_namespace, host, namespace))
            .or_else(|| self.exported(&self.root, host, namespace))
            .map_or(&[], Vec::as_slice)
    }

    /// The most specific of what `owner` lets others see, if `namespace` is among them.
    fn exported(&self, owner: &str, host: &str, namespace: &str) -> Option<&Vec<Arc<Policy>>> {
        let policies = self.namespaces.get(owner)?.exported.matching(host).next()?;
        let seen = policies.iter().any(|policy| policy.export.nearness(owner, namespace).is_some());
        seen.then_some(policies)
    }
}

/// Whether a policy is for a client with these labels.
pub(super) fn selects(selector: &Labels, labels: &Labels) -> bool {
    subset(selector, labels)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
