//! Listeners: which route configuration a target has.

use super::key::ClusterKey;
use super::proto;
use crate::index::{Service, View};
use mesh_proto::envoy::config::listener::v3 as listener;
use mesh_proto::envoy::extensions::filters::http::{fault::v3::HttpFault, router::v3::Router};
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use mesh_proto::pack_any;
use std::sync::Arc;

/// Where a service listens that has no address of its own.
const UNSPECIFIED: &str = "0.0.0.0";

/// The listener `host:port`. Short names are those of the client's own namespace.
pub(super) fn listener(view: &View<'_>, name: &str) -> Option<listener::Listener> {
    let (host, port) = name.rsplit_once(':')?;
    let port: u32 = port.parse().ok()?;
    let service = service(view, host)?;
    service.port(port)?;
    let routes = ClusterKey { port, subset: "", host: &service.host }.to_string();
    let filters = [
        ("envoy.filters.http.fault", pack_any(HttpFault::default())),
        ("envoy.filters.http.router", pack_any(Router::default())),
    ];
    let manager = hcm::HttpConnectionManager {
        http_filters: filters
            .map(|(name, config)| hcm::HttpFilter {
                name: name.to_owned(),
                config_type: Some(hcm::http_filter::ConfigType::TypedConfig(config)),
                ..Default::default()
            })
            .into(),
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(proto::ads()),
            route_config_name: routes,
        })),
        ..Default::default()
    };
    let address = service.address.as_deref().unwrap_or(UNSPECIFIED).to_owned();
    Some(listener::Listener {
        name: name.to_owned(),
        address: Some(proto::socket_address(address, port)),
        api_listener: Some(listener::ApiListener { api_listener: Some(pack_any(manager)) }),
        ..Default::default()
    })
}

/// The listeners that a host without port stands for.
pub(super) fn listeners(view: &View<'_>, host: &str) -> Vec<Arc<str>> {
    let service = service(view, host);
    let ports = service.iter().flat_map(|service| &service.ports);
    ports.map(|port| format!("{host}:{}", port.number).into()).collect()
}

/// The service that a client calls so.
fn service(view: &View<'_>, host: &str) -> Option<Arc<Service>> {
    let host = host.to_ascii_lowercase();
    view.service(&host).or_else(|| view.service(&whole_name(view, &host)?))
}

/// `name`, `name.namespace` and `name.namespace.svc` completed, if the namespace is the client's.
fn whole_name(view: &View<'_>, host: &str) -> Option<String> {
    let (namespace, domain) = view.home();
    let name = match host.contains('.') {
        false => host,
        true => host.strip_suffix(".svc").unwrap_or(host).strip_suffix(namespace)?.strip_suffix('.')?,
    };
    Some(format!("{name}.{domain}"))
}
