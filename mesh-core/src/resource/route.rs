//! `RouteConfiguration`: which requests go where.

use super::cors::CorsPolicy;
use super::filter::FilterOverrides;
use super::header_ops::{HeaderOps, header_ops};
use super::invalid::{At, Checked, Invalid, check_name, unpack};
use super::metadata::Metadata;
use super::mirror;
use super::retry::{HedgePolicy, Retry};
use super::route_action::Inherited;
use super::strictness::Strictness;
use mesh_proto::envoy::config::route::v3 as proto;
use std::collections::BTreeSet;
use std::sync::Arc;

pub use super::mirror::{HashPolicy, HashSource, Mirror};
pub use super::retry::{RateLimitedBackoff, ResetHeader, RetryDetail};
pub use super::route_action::{
    Action, DirectResponse, Forward, HostRewrite, PathRewrite, Redirect, WeightedCluster,
};
pub use super::route_match::{PathMatch, RouteMatch};

/// Which requests go where.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// Its name; may be empty where a listener holds it inline.
    pub name: Arc<str>,
    /// The hosts it serves.
    pub virtual_hosts: Vec<VirtualHost>,
    /// What to change in headers, after what virtual hosts and routes change.
    pub headers: HeaderOps,
    /// Whether what is more specific changes headers last, instead of first.
    pub specific_headers_last: bool,
    /// Whether the port of a host does not count.
    pub ignore_port: bool,
    /// What is said about the listener's filters.
    pub overrides: FilterOverrides,
    /// What is attached.
    pub metadata: Option<Arc<Metadata>>,
}

/// The routes of some hosts.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    /// Its name.
    pub name: Arc<str>,
    /// The hosts.
    pub domains: Vec<Domain>,
    /// The routes; the first that matches counts.
    pub routes: Vec<Route>,
    /// What to change in headers, after what routes change.
    pub headers: HeaderOps,
    /// What is said about the listener's filters.
    pub overrides: FilterOverrides,
    /// Whether requests carry the number of the try, in `x-envoy-attempt-count`.
    pub request_attempt_count: bool,
    /// Whether responses carry the number of tries, in `x-envoy-attempt-count`.
    pub response_attempt_count: bool,
    /// Bytes of a request that are kept for retries; none is as the client says.
    pub buffer_limit: Option<u64>,
    /// Which pages of other origins may call.
    pub cors: Option<Arc<CorsPolicy>>,
    /// What is attached.
    pub metadata: Option<Arc<Metadata>>,
}

/// A pattern of host names, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// One host.
    Exact(Box<str>),
    /// `*.example.com` as `.example.com`: every host that ends so and is longer.
    Suffix(Box<str>),
    /// `example.*` as `example.`: every host that begins so and is longer.
    Prefix(Box<str>),
    /// Every host.
    Any,
}

/// What to do with the requests that a condition selects.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name; often empty.
    pub name: Arc<str>,
    /// The Istio resource it was made from, as istiod says in the metadata.
    pub origin: Option<Arc<str>>,
    /// The condition.
    pub condition: RouteMatch,
    /// What to do.
    pub action: Action,
    /// What to change in headers.
    pub headers: HeaderOps,
    /// What is said about the listener's filters.
    pub overrides: FilterOverrides,
    /// What traces call the operation.
    pub operation: Option<Arc<str>>,
    /// Bytes of a request that are kept for retries; none is as the virtual host says.
    pub buffer_limit: Option<u64>,
    /// What is attached.
    pub metadata: Option<Arc<Metadata>>,
}

impl RouteConfig {
    /// These hosts, and nothing else said.
    #[must_use]
    pub fn new(name: Arc<str>, virtual_hosts: Vec<VirtualHost>) -> Self {
        Self {
            name,
            virtual_hosts,
            headers: HeaderOps::default(),
            specific_headers_last: false,
            ignore_port: false,
            overrides: FilterOverrides::default(),
            metadata: None,
        }
    }

    pub(super) fn from_proto(proto: &proto::RouteConfiguration, strictness: Strictness) -> Checked<Self> {
        let mut plugins = BTreeSet::new();
        for (index, plugin) in proto.cluster_specifier_plugins.iter().enumerate() {
            let name = plugin.extension.as_ref().map_or("", |extension| extension.name.as_str());
            if !plugin.is_optional {
                let why = format!("the plugin {name:?} is not supported and not optional");
                return Err(Invalid::new(why)).at_index("cluster_specifier_plugins", index);
            }
            plugins.insert(name);
        }
        let inherited = Inherited {
            strictness,
            plugins,
            mirrors: mirror::read(&proto.request_mirror_policies)?,
            ..Default::default()
        };
        let hosts = proto.virtual_hosts.iter().enumerate();
        let virtual_hosts = hosts
            .map(|(index, host)| VirtualHost::from_proto(host, &inherited).at_index("virtual_hosts", index))
            .collect::<Checked<_>>()?;
        Ok(Self {
            name: proto.name.as_str().into(),
            virtual_hosts,
            headers: header_ops!(proto)?,
            specific_headers_last: proto.most_specific_header_mutations_wins,
            ignore_port: proto.ignore_port_in_host_matching,
            overrides: FilterOverrides::from_proto(&proto.typed_per_filter_config, strictness)?,
            metadata: Metadata::from_proto(proto.metadata.clone()).at("metadata")?,
        })
    }

    /// The names of the clusters that the routes lead to; a name may come several times.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        let routes = self.virtual_hosts.iter().flat_map(|host| &host.routes);
        routes
            .flat_map(|route| match &route.action {
                Action::Forward(forward) => forward.clusters.as_slice(),
                _ => &[],
            })
            .map(|cluster| &cluster.name)
    }
}

impl VirtualHost {
    /// These routes, and nothing else said.
    #[must_use]
    pub fn new(name: Arc<str>, domains: Vec<Domain>, routes: Vec<Route>) -> Self {
        Self {
            name,
            domains,
            routes,
            headers: HeaderOps::default(),
            overrides: FilterOverrides::default(),
            request_attempt_count: false,
            response_attempt_count: false,
            buffer_limit: None,
            cors: None,
            metadata: None,
        }
    }

    fn from_proto(proto: &proto::VirtualHost, above: &Inherited<'_>) -> Checked<Self> {
        let domains = proto.domains.iter().enumerate();
        let domains = domains
            .map(|(index, domain)| Domain::parse(domain).at_index("domains", index))
            .collect::<Checked<Vec<_>>>()?;
        if domains.is_empty() {
            return Err(Invalid::new("at least one domain is needed")).at("domains");
        }
        let mirrors = mirror::read(&proto.request_mirror_policies)?;
        let retry = proto.retry_policy.as_ref().map(Retry::from_proto).transpose().at("retry_policy")?;
        let inherited = Inherited {
            strictness: above.strictness,
            plugins: above.plugins.clone(),
            retry: retry.flatten(),
            hedge: proto.hedge_policy.as_ref().map(HedgePolicy::from_proto).transpose().at("hedge_policy")?,
            mirrors: if mirrors.is_empty() { above.mirrors.clone() } else { mirrors },
        };
        let mut routes = Vec::with_capacity(proto.routes.len());
        for (index, route) in proto.routes.iter().enumerate() {
            routes.extend(Route::from_proto(route, &inherited).at_index("routes", index)?);
        }
        #[expect(deprecated, reason = "older control planes send these")]
        let (cors, limit) = (proto.cors.as_ref(), proto.per_request_buffer_limit_bytes.as_ref());
        let limit = limit.map(|limit| u64::from(limit.value));
        Ok(Self {
            name: proto.name.as_str().into(),
            domains,
            routes,
            headers: header_ops!(proto)?,
            overrides: FilterOverrides::from_proto(&proto.typed_per_filter_config, above.strictness)?,
            request_attempt_count: proto.include_request_attempt_count,
            response_attempt_count: proto.include_attempt_count_in_response,
            buffer_limit: proto.request_body_buffer_limit.as_ref().map(|limit| limit.value).or(limit),
            cors: cors.map(CorsPolicy::from_field).transpose().at("cors")?.map(Arc::new),
            metadata: Metadata::from_proto(proto.metadata.clone()).at("metadata")?,
        })
    }
}

impl Domain {
    fn parse(text: &str) -> Checked<Self> {
        let text = text.to_ascii_lowercase();
        let wild = |rest: &str| rest.contains('*');
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            _ if text.is_empty() => Err(Invalid::new("must not be empty")),
            (Some(""), _) => Ok(Self::Any),
            (Some(suffix), _) if !wild(suffix) => Ok(Self::Suffix(suffix.into())),
            (_, Some(prefix)) if !wild(prefix) => Ok(Self::Prefix(prefix.into())),
            (None, None) if !wild(&text) => Ok(Self::Exact(text.into())),
            _ => {
                Err(Invalid::new(format!("{text:?}: a wildcard stands at the beginning or at the end, once")))
            }
        }
    }
}

impl Route {
    /// This condition and action, and nothing else said.
    #[must_use]
    pub fn new(name: Arc<str>, condition: RouteMatch, action: Action) -> Self {
        Self {
            name,
            origin: None,
            condition,
            action,
            headers: HeaderOps::default(),
            overrides: FilterOverrides::default(),
            operation: None,
            buffer_limit: None,
            metadata: None,
        }
    }

    /// The route; none if the specification says to act as if it were not there.
    fn from_proto(proto: &proto::Route, inherited: &Inherited<'_>) -> Checked<Option<Self>> {
        let overrides = FilterOverrides::from_proto(&proto.typed_per_filter_config, inherited.strictness)?;
        let condition = proto.r#match.as_ref().ok_or_else(|| Invalid::new("is missing"));
        let Some(condition) = condition.and_then(RouteMatch::from_proto).at("match")? else {
            return Ok(None);
        };
        use proto::route::Action as Specifier;
        let action = match &proto.action {
            Some(Specifier::Route(action)) => match Forward::from_proto(action, inherited).at("route")? {
                Some(forward) => Action::Forward(Box::new(forward)),
                None => return Ok(None),
            },
            Some(Specifier::Redirect(redirect)) => {
                Action::Redirect(Box::new(Redirect::from_proto(redirect).at("redirect")?))
            }
            Some(Specifier::DirectResponse(response)) => {
                Action::Respond(DirectResponse::from_proto(response).at("direct_response")?)
            }
            Some(Specifier::FilterAction(_)) => Action::Unsupported("filter_action"),
            Some(Specifier::NonForwardingAction(_)) => Action::Unsupported("non_forwarding_action"),
            None => Action::Unsupported("no action"),
        };
        let metadata = Metadata::from_proto(proto.metadata.clone()).at("metadata")?;
        let decorator = proto.decorator.as_ref().filter(|decorator| !decorator.operation.is_empty());
        #[expect(deprecated, reason = "older control planes send this")]
        let limit = proto.per_request_buffer_limit_bytes.as_ref().map(|limit| u64::from(limit.value));
        Ok(Some(Self {
            name: proto.name.as_str().into(),
            origin: metadata.as_ref().and_then(|metadata| metadata.text("istio", "config")).map(Into::into),
            condition,
            action,
            headers: header_ops!(proto)?,
            overrides,
            operation: decorator.map(|decorator| decorator.operation.as_str().into()),
            buffer_limit: proto.request_body_buffer_limit.as_ref().map(|limit| limit.value).or(limit),
            metadata,
        }))
    }
}

/// Decodes the resource `name`.
pub(super) fn decode(name: &str, bytes: &[u8], strictness: Strictness) -> Checked<RouteConfig> {
    let proto: proto::RouteConfiguration = unpack(bytes)?;
    check_name(&proto.name, name).at("name")?;
    RouteConfig::from_proto(&proto, strictness)
}
