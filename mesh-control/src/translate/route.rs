//! Route configurations: one virtual host for each service with the port.

use super::domains;
use super::hash;
use super::key::ClusterKey;
use super::retry;
use super::virtual_service::{self, Context};
use crate::index::{Port, Protocol, Service, View};
use mesh_proto::envoy::config::route::v3 as route;
use mesh_proto::google::protobuf;
use std::collections::HashSet;
use std::sync::Arc;

/// The name of the route of a service without rules.
const DEFAULT_ROUTE: &str = "default";

/// The configuration `outbound|port||host`. It is there for every name of that form: without the service, it lacks the service's virtual host.
pub(super) fn route_configuration(view: &View<'_>, name: &str) -> Option<route::RouteConfiguration> {
    let key = ClusterKey::parse(name).filter(|key| key.subset.is_empty())?;
    let services = view.neighbours(key.port).unwrap_or_else(|| {
        let own = view.service(key.host).filter(|service| service.port(key.port).is_some());
        own.into_iter().collect()
    });
    let (_, client_domain) = view.home();
    let whole_names: HashSet<&str> = services.iter().map(|service| &*service.host).collect();
    let mut taken = HashSet::new();
    let hosts = services.iter().filter_map(|service| {
        let port = service.port(key.port).filter(|port| port.protocol == Protocol::Requests)?;
        let names = domains::domains(service, port.number, client_domain);
        let names = domains::without_taken(names, &service.host, &whole_names, &mut taken);
        (!names.is_empty()).then(|| virtual_host(view, service, port, names))
    });
    let virtual_hosts = hosts.collect();
    Some(route::RouteConfiguration { name: name.to_owned(), virtual_hosts, ..Default::default() })
}

fn virtual_host(
    view: &View<'_>,
    service: &Arc<Service>,
    port: &Port,
    domains: Vec<String>,
) -> route::VirtualHost {
    // The oldest rules that say anything to this client win. Without any, the service is simply called.
    let rules = view.rules(&service.host);
    let ruled =
        rules.iter().map(|rules| virtual_service::routes(&Context { view, rules, port: port.number }));
    let routes = ruled.into_iter().find(|routes| !routes.is_empty());
    route::VirtualHost {
        name: format!("{}:{}", service.host, port.number),
        domains,
        routes: routes.unwrap_or_else(|| vec![default_route(view, service, port)]),
        include_request_attempt_count: true,
        ..Default::default()
    }
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
        retry_policy: retry::policy(view.mesh().default_http_retry_policy.as_ref(), hash.is_some()),
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
