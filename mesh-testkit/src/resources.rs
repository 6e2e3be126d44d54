//! Resources as a control plane would send them.

use mesh_proto::ads::Any;
use mesh_proto::envoy::config::cluster::v3 as cluster;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::endpoint::v3 as endpoint;
use mesh_proto::envoy::config::listener::v3 as listener;
use mesh_proto::envoy::config::route::v3 as route;
use mesh_proto::envoy::extensions::filters::http::router::v3::Router;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use mesh_proto::google::protobuf::{self, UInt32Value};
use mesh_proto::pack_any;
use prost::{Message, Name};
use std::time::Duration;

/// Packs a resource.
pub fn any<M: Message + Name>(resource: &M) -> Any {
    Any { type_url: M::type_url(), value: resource.encode_to_vec().into() }
}

/// A duration.
#[must_use]
pub fn duration(duration: Duration) -> protobuf::Duration {
    protobuf::Duration { seconds: duration.as_secs() as i64, nanos: duration.subsec_nanos() as i32 }
}

fn ads() -> core::ConfigSource {
    core::ConfigSource {
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        ..Default::default()
    }
}

/// A listener whose routes are in the route configuration `routes`.
#[must_use]
pub fn listener(name: &str, routes: &str) -> listener::Listener {
    let rds = hcm::Rds { config_source: Some(ads()), route_config_name: routes.to_owned() };
    listener_with(name, hcm::http_connection_manager::RouteSpecifier::Rds(rds))
}

/// A listener that holds its routes.
#[must_use]
pub fn inline_listener(name: &str, routes: route::RouteConfiguration) -> listener::Listener {
    listener_with(name, hcm::http_connection_manager::RouteSpecifier::RouteConfig(routes))
}

fn listener_with(name: &str, routes: hcm::http_connection_manager::RouteSpecifier) -> listener::Listener {
    let router = hcm::HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(pack_any(Router::default()))),
        ..Default::default()
    };
    let manager = hcm::HttpConnectionManager {
        http_filters: vec![router],
        route_specifier: Some(routes),
        ..Default::default()
    };
    listener::Listener {
        name: name.to_owned(),
        api_listener: Some(listener::ApiListener { api_listener: Some(pack_any(manager)) }),
        ..Default::default()
    }
}

/// A route configuration with one host, `domain`, and these routes.
#[must_use]
pub fn routes(name: &str, domain: &str, routes: Vec<route::Route>) -> route::RouteConfiguration {
    let host = route::VirtualHost {
        name: domain.to_owned(),
        domains: vec![domain.to_owned()],
        routes,
        ..Default::default()
    };
    route::RouteConfiguration { name: name.to_owned(), virtual_hosts: vec![host], ..Default::default() }
}

/// A route of every path that begins with `prefix`, to clusters with weights.
#[must_use]
pub fn route(prefix: &str, clusters: &[(&str, u32)]) -> route::Route {
    use route::route_action::ClusterSpecifier;
    let specifier = match clusters {
        [(cluster, _)] => ClusterSpecifier::Cluster((*cluster).to_owned()),
        _ => ClusterSpecifier::WeightedClusters(route::WeightedCluster {
            clusters: clusters
                .iter()
                .map(|(name, weight)| route::weighted_cluster::ClusterWeight {
                    name: (*name).to_owned(),
                    weight: Some(UInt32Value { value: *weight }),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
    };
    let action = route::RouteAction {
        cluster_specifier: Some(specifier),
        timeout: Some(duration(Duration::ZERO)),
        retry_policy: Some(istio_retry_policy()),
        ..Default::default()
    };
    route::Route {
        r#match: Some(route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Prefix(prefix.to_owned())),
            ..Default::default()
        }),
        action: Some(route::route::Action::Route(action)),
        ..Default::default()
    }
}

/// Changes the action of a forwarding route.
#[must_use]
pub fn with_action(mut route: route::Route, change: impl FnOnce(&mut route::RouteAction)) -> route::Route {
    if let Some(route::route::Action::Route(action)) = &mut route.action {
        change(action);
    }
    route
}

/// The retry policy that istiod gives a route by default.
#[must_use]
pub fn istio_retry_policy() -> route::RetryPolicy {
    route::RetryPolicy {
        retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes".to_owned(),
        num_retries: Some(UInt32Value { value: 2 }),
        retry_host_predicate: vec![route::retry_policy::RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: None,
        }],
        host_selection_retry_max_attempts: 5,
        ..Default::default()
    }
}

/// A cluster whose endpoints are in the assignment of the same name.
#[must_use]
pub fn cluster(name: &str) -> cluster::Cluster {
    cluster::Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::Eds as i32,
        )),
        eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
            eds_config: Some(ads()),
            service_name: name.to_owned(),
        }),
        ..Default::default()
    }
}

/// An assignment with these endpoints (`host:port`) in one priority.
#[must_use]
pub fn assignment(name: &str, endpoints: &[&str]) -> endpoint::ClusterLoadAssignment {
    assignment_by_priority(name, &[endpoints])
}

/// An assignment with these endpoints by priority.
#[must_use]
pub fn assignment_by_priority(name: &str, priorities: &[&[&str]]) -> endpoint::ClusterLoadAssignment {
    let localities =
        priorities.iter().enumerate().map(|(priority, endpoints)| endpoint::LocalityLbEndpoints {
            locality: Some(core::Locality::default()),
            load_balancing_weight: Some(UInt32Value { value: endpoints.len().max(1) as u32 }),
            priority: priority as u32,
            lb_endpoints: endpoints.iter().map(|address| lb_endpoint(address)).collect(),
            ..Default::default()
        });
    endpoint::ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: localities.collect(),
        ..Default::default()
    }
}

fn lb_endpoint(address: &str) -> endpoint::LbEndpoint {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
    let socket = core::SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.parse().unwrap_or(80))),
        ..Default::default()
    };
    let address = core::Address { address: Some(core::address::Address::SocketAddress(socket)) };
    endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint::Endpoint {
            address: Some(address),
            ..Default::default()
        })),
        load_balancing_weight: Some(UInt32Value { value: 1 }),
        ..Default::default()
    }
}
