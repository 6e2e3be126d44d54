//! VirtualServices by the hosts they are about.

use super::delegate;
use super::export::{Export, Nearness};
use super::hosts::{HostMap, complete};
use super::{by_age, keep};
use crate::model::http_route::HttpRoute;
use crate::model::virtual_service::VirtualService;
use crate::model::{MeshConfig, Object, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;

/// A VirtualService with complete names and the rules it delegates to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) http: Vec<HttpRoute>,
    /// The names they are about.
    pub(crate) hosts: Vec<String>,
    created: Option<Timestamp>,
    export: Export,
}

impl Rules {
    /// Rules with a lesser one come first for clients in `namespace`; `None` if they do not see them. What is theirs
    /// alone comes before what is meant for them and that before what is for everyone; of these the older.
    pub(super) fn rank(&self, namespace: &str) -> Option<impl Ord + use<'_>> {
        let nearness: Nearness = self.export.nearness(&self.namespace, namespace)?;
        Some((nearness, self.created, &self.name, &self.namespace))
    }

    pub(super) fn is_seen_from(&self, namespace: &str) -> bool {
        self.rank(namespace).is_some()
    }
}

#[derive(Debug)]
pub(super) struct AllRules {
    by_name: HashMap<(String, String), Arc<Rules>>,
    by_host: HostMap<Vec<Arc<Rules>>>,
}

impl AllRules {
    pub(super) fn new(
        services: &[Arc<Object<VirtualService>>],
        mesh: &MeshConfig,
        previous: Option<&Self>,
    ) -> Self {
        let complete: Vec<(&Object<VirtualService>, Rules)> = by_age(services)
            .into_iter()
            .map(|service| (&**service, with_complete_names(service, mesh)))
            .collect();
        let delegates: HashMap<(String, String), &Rules> = complete
            .iter()
            .filter(|(service, _)| service.spec.hosts.is_empty())
            .map(|(_, rules)| ((rules.namespace.clone(), rules.name.clone()), rules))
            .collect();
        let mut all = Self { by_name: HashMap::new(), by_host: HostMap::default() };
        for (service, rules) in &complete {
            if service.spec.hosts.is_empty() || !service.spec.is_for_mesh() {
                continue;
            }
            let key = (rules.namespace.clone(), rules.name.clone());
            let http = delegate::resolve(rules, |name, namespace| {
                let target = delegates.get(&(namespace.to_owned(), name.to_owned()))?;
                target.is_seen_from(&rules.namespace).then_some(target.http.as_slice())
            });
            let known = previous.and_then(|previous| previous.by_name.get(&key));
            let rules = keep(known, Rules { http, ..rules.clone() });
            for host in &rules.hosts {
                all.by_host.entry(host).push(rules.clone());
            }
            all.by_name.insert(key, rules);
        }
        all
    }

    /// The rules for a service that clients in `namespace` see, in the order in which they are to be tried.
    ///
    /// All that name the host itself. Only without any of these a wildcard counts, and of those the first of the most specific alone.
    pub(super) fn find(&self, host: &str, namespace: &str) -> Vec<Arc<Rules>> {
        let own = in_order(self.by_host.exact(host).into_iter().flatten(), namespace);
        if !own.is_empty() {
            return own;
        }
        let mut wild = self.by_host.matching(host).map(|rules| in_order(rules, namespace));
        wild.find_map(|rules| rules.into_iter().next()).into_iter().collect()
    }

    /// All rules that clients in `namespace` see, in the order in which they are to be tried.
    pub(super) fn all(&self, namespace: &str) -> Vec<Arc<Rules>> {
        in_order(self.by_name.values(), namespace)
    }
}

/// What clients in `namespace` see of some rules, in the order in which they are to be tried.
pub(super) fn in_order<'a>(
    rules: impl IntoIterator<Item = &'a Arc<Rules>>,
    namespace: &str,
) -> Vec<Arc<Rules>> {
    let mut seen: Vec<_> = rules.into_iter().filter(|rules| rules.is_seen_from(namespace)).cloned().collect();
    seen.sort_by(|one, other| one.rank(namespace).cmp(&other.rank(namespace)));
    seen
}

fn with_complete_names(service: &Object<VirtualService>, mesh: &MeshConfig) -> Rules {
    let namespace = &service.meta.namespace;
    let mut http = service.spec.http.clone();
    for route in &mut http {
        let mirrors = route.mirrors.iter_mut().filter_map(|mirror| mirror.destination.as_mut());
        let routes = route.route.iter_mut().filter_map(|route| route.destination.as_mut());
        for destination in routes.chain(mirrors).chain(route.mirror.as_mut()) {
            destination.host = complete(&destination.host, namespace);
        }
    }
    Rules {
        name: service.meta.name.clone(),
        namespace: namespace.clone(),
        http,
        hosts: service.spec.hosts.iter().map(|host| complete(host, namespace)).collect(),
        created: service.meta.created,
        export: Export::new(&service.spec.export_to, &mesh.default_virtual_service_export_to, namespace),
    }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
