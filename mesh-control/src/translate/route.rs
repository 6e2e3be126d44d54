//! Route configurations: virtual hosts for each service with the port, and for hosts that rules are about and that are no service.

use super::domains;
use super::hash;
use super::key::ClusterKey;
use super::retry;
use super::virtual_service::{self, Context};
use crate::index::{Port, Protocol, Rules, Service, View, covers};
use mesh_proto::envoy::config::route::v3 as route;
use mesh_proto::google::protobuf;
use std::collections::HashSet;
use std::sync::Arc;

/// The name of the route of a service without rules.
const DEFAULT_ROUTE: &str = "default";
/// The port at which rules hold for their hosts also if there is no service.
const OPEN_PORT: u32 = 80;

/// The configuration `outbound|port||host`. It is there for every name of that form: without the service, it lacks the service's virtual host.
pub(super) fn route_configuration(view: &View<'_>, name: &str) -> Option<route::RouteConfiguration> {
    let key = ClusterKey::parse(name).filter(|key| key.subset.is_empty())?;
    let neighbours = view.neighbours(key.port);
    let alone = neighbours.is_none();
    let services = neighbours.unwrap_or_else(|| {
        let own = view.service(key.host).filter(|service| service.port(key.port).is_some());
        own.into_iter().collect()
    });
    let mut hosts = Hosts::new(view, key.port, services);
    hosts.add_ruled(alone);
    hosts.add_others();
    Some(route::RouteConfiguration { name: name.to_owned(), virtual_hosts: hosts.done, ..Default::default() })
}

/// The virtual hosts of one port, which must not share names.
struct Hosts<'a> {
    view: &'a View<'a>,
    port: u32,
    client_domain: &'a str,
    services: Vec<Arc<Service>>,
    /// The hosts of those to which requests can be routed.
    whole_names: HashSet<Arc<str>>,
    /// The names of virtual hosts, and the domains, that are in use.
    names: HashSet<String>,
    domains: HashSet<String>,
    done: Vec<route::VirtualHost>,
}

impl<'a> Hosts<'a> {
    fn new(view: &'a View<'a>, port: u32, services: Vec<Arc<Service>>) -> Self {
        let routed = services.iter().filter(|service| request_port(service, port).is_some());
        let whole_names = routed.map(|service| service.host.clone()).collect();
        let (_, client_domain) = view.home();
        let (names, domains) = (HashSet::new(), HashSet::new());
        Self { view, port, client_domain, services, whole_names, names, domains, done: Vec::new() }
    }

    /// What rules are about: rule by rule, first its hosts that are no service here, then its services. What an earlier
    /// rule is about already stays so. Rules that say nothing to this client do not count.
    fn add_ruled(&mut self, alone: bool) {
        let ruled: Vec<(Arc<Service>, Vec<Arc<Rules>>)> = self
            .services
            .iter()
            .filter(|service| request_port(service, self.port).is_some())
            .map(|service| (service.clone(), self.view.rules(&service.host)))
            .collect();
        let of_services = ruled.iter().flat_map(|(_, rules)| rules.iter().cloned()).collect::<Vec<_>>();
        let open = (self.port == OPEN_PORT && !alone).then(|| self.view.all_rules()).flatten();
        let all = match open {
            Some(rules) => rules,
            None => self.view.in_order(&of_services),
        };
        for rules in &all {
            let context = Context { view: self.view, rules, port: self.port };
            let routes = virtual_service::routes(&context);
            if routes.is_empty() {
                continue;
            }
            if !alone {
                for host in
                    rules.hosts.iter().filter(|host| !self.is_service(host)).cloned().collect::<Vec<_>>()
                {
                    let domains = domains::of_host(&host, self.port);
                    self.add(&host, domains, || routes.clone());
                }
            }
            let is_it = |it: &&(Arc<Service>, Vec<Arc<Rules>>)| it.1.iter().any(|it| Arc::ptr_eq(it, rules));
            for (service, _) in ruled.iter().filter(is_it) {
                self.add_service(service, || routes.clone());
            }
        }
    }

    /// Services without rules are simply called.
    fn add_others(&mut self) {
        for service in self.services.clone() {
            if let Some(port) = request_port(&service, self.port).cloned() {
                let view = self.view;
                self.add_service(&service, || vec![default_route(view, &service, &port)]);
            }
        }
    }

    /// Whether a host of a rule is a service at this port, or covers one.
    fn is_service(&self, host: &str) -> bool {
        let is_it = |service: &Arc<Service>| match host.starts_with('*') {
            true => covers(host, &service.host) || covers(&service.host, host),
            false => *service.host == *host,
        };
        self.services.iter().any(is_it)
    }

    fn add_service(&mut self, service: &Service, routes: impl FnOnce() -> Vec<route::Route>) {
        let Some(port) = service.port(self.port) else { return };
        let domains = domains::domains(service, port, self.client_domain);
        let domains = domains::without_foreign(domains, &service.host, &self.whole_names);
        self.add(&service.host, domains, routes);
    }

    /// Adds a virtual host, unless there is one of that name or none of its domains is free.
    fn add(&mut self, host: &str, domains: Vec<String>, routes: impl FnOnce() -> Vec<route::Route>) {
        let name = domains::with_port(host, self.port);
        if !self.names.insert(name.clone()) {
            return;
        }
        let free = domains.into_iter().filter(|domain| self.domains.insert(domain.clone()));
        let domains: Vec<String> = free.collect();
        if !domains.is_empty() {
            self.done.push(route::VirtualHost {
                name,
                domains,
                routes: routes(),
                include_request_attempt_count: true,
                ..Default::default()
            });
        }
    }
}

/// A port of a service, if requests can be routed there.
fn request_port(service: &Service, port: u32) -> Option<&Port> {
    service.port(port).filter(|port| port.protocol == Protocol::Requests)
}

/// All requests go to the service.
fn default_route(view: &View<'_>, service: &Arc<Service>, port: &Port) -> route::Route {
    let key = ClusterKey { port: port.number, subset: "", host: &service.host };
    let hash = view.policy(service).and_then(|policy| hash::of_service(&policy, port.number));
    // A deprecated field, but the one that istiod sets here and that clients read.
    #[allow(deprecated)]
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(key.to_string())),
        timeout: Some(protobuf::Duration::default()),
        max_grpc_timeout: Some(protobuf::Duration::default()),
        // Also with a hash a retry may go elsewhere here.
        retry_policy: retry::policy(view.mesh().default_http_retry_policy.as_ref(), false),
        hash_policy: hash.into_iter().collect(),
        ..Default::default()
    };
    route::Route {
        name: DEFAULT_ROUTE.to_owned(),
        r#match: Some(route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
            ..Default::default()
        }),
        action: Some(route::route::Action::Route(action)),
        decorator: Some(decorator(&service.host, port.number, "/*")),
        ..Default::default()
    }
}

/// What traces call a route.
pub(super) fn decorator(name: &str, port: u32, path: &str) -> route::Decorator {
    route::Decorator { operation: format!("{name}:{port}{path}"), ..Default::default() }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "host_tests.rs"]
mod host_tests;
