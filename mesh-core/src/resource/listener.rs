//! `Listener`: how calls to a target are routed.

use super::filter::{self, HttpFilter};
use super::invalid::{At, Checked, Invalid, duration, unpack};
use super::route::RouteConfig;
use mesh_proto::envoy::config::core::v3::{ConfigSource, config_source::ConfigSourceSpecifier};
use mesh_proto::envoy::config::listener::v3 as proto;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use std::sync::Arc;
use std::time::Duration;

const HTTP_CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// How calls to a target are routed, or how a server listens.
#[derive(Clone, Debug)]
pub enum Listener {
    /// For a client.
    Api(ApiListener),
    /// For a server; kept for later.
    Server,
}

/// How calls to a target are routed.
#[derive(Clone, Debug)]
pub struct ApiListener {
    /// Where the routes are.
    pub routes: RouteSource,
    /// The time that a call may take where its route does not say.
    pub max_stream_duration: Option<Duration>,
    /// The filters, the router last.
    pub filters: Vec<HttpFilter>,
}

/// Where the routes of a listener are.
#[derive(Clone, Debug)]
pub enum RouteSource {
    /// In the route configuration of this name.
    Named(Arc<str>),
    /// In the listener itself.
    Inline(Arc<RouteConfig>),
}

/// Decodes the resource `name`.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Checked<Listener> {
    let proto: proto::Listener = unpack(bytes)?;
    if proto.name != name {
        return Err(Invalid::new("is given twice")).at("name");
    }
    let Some(api) = &proto.api_listener else {
        return match proto.address {
            Some(_) => Ok(Listener::Server),
            None => Err(Invalid::new("a listener needs an api_listener or an address")),
        };
    };
    let check = || {
        let any = api.api_listener.as_ref().ok_or_else(|| Invalid::new("is missing"))?;
        if any.type_url != HTTP_CONNECTION_MANAGER {
            return Err(Invalid::new(format!("{:?} is not an HttpConnectionManager", any.type_url)));
        }
        read_manager(&unpack(&any.value)?)
    };
    check().at("api_listener").at("api_listener").map(Listener::Api)
}

fn read_manager(proto: &hcm::HttpConnectionManager) -> Checked<ApiListener> {
    if proto.xff_num_trusted_hops != 0 {
        return Err(Invalid::new("is not supported")).at("xff_num_trusted_hops");
    }
    if !proto.original_ip_detection_extensions.is_empty() {
        return Err(Invalid::new("is not supported")).at("original_ip_detection_extensions");
    }
    let filters = filter::chain(&proto.http_filters)?;
    let common = proto.common_http_protocol_options.unwrap_or_default();
    let max_stream_duration = duration(common.max_stream_duration.as_ref())
        .at("max_stream_duration")
        .at("common_http_protocol_options")?;
    use hcm::http_connection_manager::RouteSpecifier;
    let routes = match &proto.route_specifier {
        Some(RouteSpecifier::Rds(rds)) => {
            check_source(rds.config_source.as_ref()).at("config_source").at("rds")?;
            if rds.route_config_name.is_empty() {
                return Err(Invalid::new("must not be empty")).at("route_config_name").at("rds");
            }
            RouteSource::Named(rds.route_config_name.as_str().into())
        }
        Some(RouteSpecifier::RouteConfig(config)) => {
            RouteSource::Inline(Arc::new(RouteConfig::from_proto(config).at("route_config")?))
        }
        Some(RouteSpecifier::ScopedRoutes(_)) => {
            return Err(Invalid::new("is not supported")).at("scoped_routes");
        }
        None => return Err(Invalid::new("is missing")).at("route_specifier"),
    };
    Ok(ApiListener { routes, max_stream_duration, filters })
}

/// Whatever refers to another resource must say that it comes over the same stream.
pub(super) fn check_source(source: Option<&ConfigSource>) -> Checked<()> {
    match source.and_then(|source| source.config_source_specifier.as_ref()) {
        Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)) => Ok(()),
        _ => Err(Invalid::new("must be ads or self")),
    }
}
