//! `HttpConnectionManager`: how the HTTP requests of a listener are routed.

use super::filter::{self, HttpFilter, Side};
use super::invalid::{At, Checked, Invalid, duration};
use super::route::RouteConfig;
use super::strictness::Strictness;
use mesh_proto::envoy::config::core::v3::{ConfigSource, config_source::ConfigSourceSpecifier};
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as proto;
use std::sync::Arc;
use std::time::Duration;

/// How the HTTP requests of a listener are routed.
#[derive(Clone, Debug)]
pub struct HttpManager {
    /// Where the routes are.
    pub routes: RouteSource,
    /// The time that a call may take where its route does not say.
    pub max_stream_duration: Option<Duration>,
    /// The time without traffic after which an exchange fails, where its route does not say; zero is any.
    pub stream_idle_timeout: Option<Duration>,
    /// The time without requests after which a connection is closed.
    pub idle_timeout: Option<Duration>,
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

impl HttpManager {
    /// For `side`; none is a sidecar, which may do without what cannot be understood.
    pub(super) fn from_proto(proto: &proto::HttpConnectionManager, side: Option<Side>) -> Checked<Self> {
        let strictness = if side.is_some() { Strictness::Strict } else { Strictness::Lenient };
        if side.is_some() {
            if proto.xff_num_trusted_hops != 0 {
                return Err(Invalid::new("is not supported")).at("xff_num_trusted_hops");
            }
            if !proto.original_ip_detection_extensions.is_empty() {
                return Err(Invalid::new("is not supported")).at("original_ip_detection_extensions");
            }
        }
        let filters = filter::chain(&proto.http_filters, side)?;
        let common = proto.common_http_protocol_options.unwrap_or_default();
        let time =
            |value: Option<&_>, name: &str| duration(value).at(name).at("common_http_protocol_options");
        use proto::http_connection_manager::RouteSpecifier;
        let routes = match &proto.route_specifier {
            Some(RouteSpecifier::Rds(rds)) => {
                check_source(rds.config_source.as_ref()).at("config_source").at("rds")?;
                if rds.route_config_name.is_empty() {
                    return Err(Invalid::new("must not be empty")).at("route_config_name").at("rds");
                }
                RouteSource::Named(rds.route_config_name.as_str().into())
            }
            Some(RouteSpecifier::RouteConfig(config)) => {
                let config = RouteConfig::from_proto(config, strictness).at("route_config")?;
                RouteSource::Inline(Arc::new(config))
            }
            Some(RouteSpecifier::ScopedRoutes(_)) => {
                return Err(Invalid::new("is not supported")).at("scoped_routes");
            }
            None => return Err(Invalid::new("is missing")).at("route_specifier"),
        };
        Ok(Self {
            routes,
            max_stream_duration: time(common.max_stream_duration.as_ref(), "max_stream_duration")?,
            stream_idle_timeout: duration(proto.stream_idle_timeout.as_ref()).at("stream_idle_timeout")?,
            idle_timeout: time(common.idle_timeout.as_ref(), "idle_timeout")?,
            filters,
        })
    }
}

/// Whatever refers to another resource must say that it comes over the same stream.
pub(super) fn check_source(source: Option<&ConfigSource>) -> Checked<()> {
    match source.and_then(|source| source.config_source_specifier.as_ref()) {
        Some(ConfigSourceSpecifier::Ads(_) | ConfigSourceSpecifier::Self_(_)) => Ok(()),
        _ => Err(Invalid::new("must be ads or self")),
    }
}
