//! DestinationRules by host, merged and found as istiod does.

use super::hosts::{HostMap, complete};
use super::{by_age, keep};
use crate::model::destination_rule::{DestinationRule, Subset};
use crate::model::traffic_policy::TrafficPolicy;
use crate::model::values::Labels;
use crate::model::{MeshConfig, Object};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// DestinationRules of one namespace for one host, in one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) traffic_policy: Option<TrafficPolicy>,
    pub(crate) subsets: Vec<Subset>,
    host: String,
    namespace: String,
    /// Only for clients of its namespace with these labels.
    selector: Option<Labels>,
    /// The namespaces that see it; all if empty or if `*` is among them.
    export_to: BTreeSet<String>,
}

impl Policy {
    fn new(rule: &Object<DestinationRule>) -> Self {
        let (spec, namespace) = (&rule.spec, &rule.meta.namespace);
        let selector = spec.workload_selector.as_ref().map(|selector| selector.match_labels.clone());
        let whole = |name: &String| if name == "." { namespace.clone() } else { name.clone() };
        let export_to = match selector {
            Some(_) => BTreeSet::from([namespace.clone()]),
            None if spec.export_to.iter().any(|name| name == "*") => BTreeSet::from(["*".to_owned()]),
            None => spec.export_to.iter().map(whole).collect(),
        };
        Self {
            traffic_policy: spec.traffic_policy.clone(),
            subsets: spec.subsets.clone(),
            host: complete(&spec.host, namespace),
            namespace: namespace.clone(),
            selector,
            export_to,
        }
    }

    pub(crate) fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// The labels that clients in `namespace` need to have, if it is for some of these only.
    pub(super) fn selector(&self, namespace: &str) -> Option<&Labels> {
        self.selector.as_ref().filter(|_| self.namespace == namespace)
    }

    pub(super) fn is_for_all_workloads(&self) -> bool {
        self.selector.is_none()
    }

    fn is_seen_from(&self, namespace: &str) -> bool {
        self.export_to.is_empty() || self.export_to.contains("*") || self.export_to.contains(namespace)
    }

    /// Takes over what a younger rule has and this one has not.
    fn merge(&mut self, rule: &Self) {
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

/// Policies by host. Several of one host differ in who sees them.
type ByHost = HostMap<Vec<Arc<Policy>>>;

#[derive(Debug, Default)]
pub(super) struct Policies {
    root: String,
    /// By namespace, for clients of it.
    own: HashMap<String, ByHost>,
    /// By namespace, for clients of others.
    exported: HashMap<String, ByHost>,
    /// Of the root namespace, for its own clients alone.
    in_root: ByHost,
}

impl Policies {
    pub(super) fn new(
        rules: &[Arc<Object<DestinationRule>>],
        mesh: &MeshConfig,
        previous: Option<&Self>,
    ) -> Self {
        let (mut own, mut exported, mut in_root) =
            (HashMap::<_, Drafts>::new(), HashMap::<_, Drafts>::new(), Drafts::default());
        let private_by_default = mesh.default_destination_rule_export_to.iter().any(|name| name == ".");
        let mut rules = by_age(rules);
        // Those for some workloads come before those for all.
        rules.sort_by_key(|rule| rule.spec.workload_selector.is_none());
        for rule in rules {
            let policy = Policy::new(rule);
            let namespace = policy.namespace.clone();
            let private = match policy.export_to.len() {
                0 => private_by_default,
                many => many == 1 && policy.export_to.contains(&namespace),
            };
            if policy.is_seen_from(&namespace) {
                add(own.entry(namespace.clone()).or_default(), policy.clone());
            }
            if !private {
                add(exported.entry(namespace).or_default(), policy);
            } else if namespace == mesh.root_namespace {
                add(&mut in_root, policy);
            }
        }
        let all = |drafts: HashMap<String, Drafts>, previous: Option<&HashMap<String, ByHost>>| {
            let shared = |(namespace, drafts): (String, Drafts)| {
                let known = previous.and_then(|previous| previous.get(&namespace));
                (namespace, share(drafts, known))
            };
            drafts.into_iter().map(shared).collect()
        };
        Self {
            root: mesh.root_namespace.clone(),
            own: all(own, previous.map(|previous| &previous.own)),
            exported: all(exported, previous.map(|previous| &previous.exported)),
            in_root: share(in_root, previous.map(|previous| &previous.in_root)),
        }
    }

    /// What may hold for a service when a client in `namespace` calls it: of the client's namespace, else of the service's, else of the root's.
    pub(super) fn find(&self, host: &str, service_namespace: &str, namespace: &str) -> Vec<&Arc<Policy>> {
        // Rules of the root namespace are for everyone, and those of the service come before them.
        let own = if namespace == self.root { Some(&self.in_root) } else { self.own.get(namespace) };
        if let Some(found) = own.and_then(|own| own.matching(host).next()) {
            return found.iter().collect();
        }
        let found = self.exported(service_namespace, host, namespace);
        if found.is_empty() { self.exported(&self.root, host, namespace) } else { found }
    }

    /// Of the most specific that `owner` lets others see, those that `namespace` sees.
    fn exported(&self, owner: &str, host: &str, namespace: &str) -> Vec<&Arc<Policy>> {
        let policies = self.exported.get(owner).and_then(|exported| exported.matching(host).next());
        policies.into_iter().flatten().filter(|policy| policy.is_seen_from(namespace)).collect()
    }
}

/// Policies under construction, by host.
type Drafts = BTreeMap<String, Vec<Policy>>;

/// Merges a rule into the older ones of its host with which it goes together, and lets it stand beside the others.
fn add(drafts: &mut Drafts, mut rule: Policy) {
    let known = drafts.entry(rule.host.clone()).or_default();
    let mut stands = true;
    for policy in known.iter_mut() {
        let same = rule.export_to == policy.export_to;
        let wider = !policy.export_to.is_empty() && rule.export_to.is_superset(&policy.export_to);
        let other_workloads = rule.selector.is_some() && rule.selector != policy.selector;
        if !(same || wider) || other_workloads {
            continue;
        }
        policy.merge(&rule);
        if rule.selector != policy.selector {
            // What some workloads have now, the others need too.
            continue;
        }
        // Where the older one is seen, the rule is part of it.
        rule.export_to.retain(|name| !policy.export_to.contains(name));
        stands &= !same && !rule.export_to.is_empty();
    }
    if stands {
        known.push(rule);
    }
}

/// Takes the allocations of before for what is the same as before.
fn share(drafts: Drafts, previous: Option<&ByHost>) -> ByHost {
    let mut by_host = ByHost::default();
    for (host, policies) in drafts {
        let known = previous.and_then(|previous| previous.get(&host));
        let shared = |policy: Policy| {
            let known = known.and_then(|known| known.iter().find(|known| ***known == policy));
            keep(known, policy)
        };
        *by_host.entry(&host) = policies.into_iter().map(shared).collect();
    }
    by_host
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
