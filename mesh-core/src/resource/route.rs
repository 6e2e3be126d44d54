//! `RouteConfiguration`: which requests go where.

use super::filter;
use super::invalid::{At, Checked, Invalid, duration, unpack};
use super::matcher::{Fraction, HeaderMatch, QueryMatch, full_match};
use super::retry;
use crate::dialect::TimeLimits;
use crate::policy::retry::RetryPolicy;
use mesh_proto::envoy::config::route::v3 as proto;
use mesh_proto::google::protobuf::value::Kind as ValueKind;
use proto::route_action::ClusterSpecifier;
use regex::Regex;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Which requests go where.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// Its name; may be empty where a listener holds it inline.
    pub name: Arc<str>,
    /// The hosts it serves.
    pub virtual_hosts: Vec<VirtualHost>,
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
}

/// The condition of a route. All of its parts have to hold.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// On the path, without the query.
    pub path: PathMatch,
    /// On headers.
    pub headers: Vec<HeaderMatch>,
    /// On query parameters.
    pub query: Vec<QueryMatch>,
    /// The share of requests.
    pub fraction: Option<Fraction>,
    /// Whether only gRPC requests match.
    pub grpc_only: bool,
}

/// A condition on a path; the flag says whether case is ignored.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(Box<str>, bool),
    /// How it begins.
    Prefix(Box<str>, bool),
    /// How it begins, up to a `/` or its end.
    SegmentPrefix(Box<str>, bool),
    /// The whole path, by expression.
    Regex(Regex),
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send it to one of these clusters.
    Forward(Forward),
    /// Fail it, because the route asks for what cannot be done.
    Unsupported(&'static str),
}

/// Where to send a request, and how.
#[derive(Clone, Debug)]
pub struct Forward {
    /// The clusters and their weights. Never empty, no weight is zero, and the sum fits `u32`.
    pub clusters: Vec<(Arc<str>, u32)>,
    /// The time it may take; the listener's part is not filled in.
    pub limits: TimeLimits,
    /// When to try again.
    pub retry: Option<Arc<RetryPolicy>>,
}

impl RouteConfig {
    pub(super) fn from_proto(proto: &proto::RouteConfiguration) -> Checked<Self> {
        let mut plugins = BTreeSet::new();
        for (index, plugin) in proto.cluster_specifier_plugins.iter().enumerate() {
            let name = plugin.extension.as_ref().map_or("", |extension| extension.name.as_str());
            if !plugin.is_optional {
                let why = format!("the plugin {name:?} is not supported and not optional");
                return Err(Invalid::new(why)).at_index("cluster_specifier_plugins", index);
            }
            plugins.insert(name);
        }
        filter::check_overrides(&proto.typed_per_filter_config)?;
        let hosts = proto.virtual_hosts.iter().enumerate();
        let virtual_hosts = hosts
            .map(|(index, host)| VirtualHost::from_proto(host, &plugins).at_index("virtual_hosts", index))
            .collect::<Checked<_>>()?;
        Ok(Self { name: proto.name.as_str().into(), virtual_hosts })
    }

    /// The names of the clusters that the routes lead to; a name may come several times.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        let routes = self.virtual_hosts.iter().flat_map(|host| &host.routes);
        routes
            .flat_map(|route| match &route.action {
                Action::Forward(forward) => forward.clusters.as_slice(),
                Action::Unsupported(_) => &[],
            })
            .map(|(name, _)| name)
    }
}

impl VirtualHost {
    fn from_proto(proto: &proto::VirtualHost, plugins: &BTreeSet<&str>) -> Checked<Self> {
        let domains = proto.domains.iter().enumerate();
        let domains = domains
            .map(|(index, domain)| Domain::parse(domain).at_index("domains", index))
            .collect::<Checked<Vec<_>>>()?;
        if domains.is_empty() {
            return Err(Invalid::new("at least one domain is needed")).at("domains");
        }
        filter::check_overrides(&proto.typed_per_filter_config)?;
        let retry = proto.retry_policy.as_ref();
        let retry = retry.map(retry::from_proto).transpose().at("retry_policy")?.flatten().map(Arc::new);
        let mut routes = Vec::with_capacity(proto.routes.len());
        for (index, route) in proto.routes.iter().enumerate() {
            routes.extend(Route::from_proto(route, plugins, retry.as_ref()).at_index("routes", index)?);
        }
        Ok(Self { name: proto.name.as_str().into(), domains, routes })
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
    /// The route; none if the specification says to act as if it were not there.
    fn from_proto(
        proto: &proto::Route,
        plugins: &BTreeSet<&str>,
        inherited_retry: Option<&Arc<RetryPolicy>>,
    ) -> Checked<Option<Self>> {
        filter::check_overrides(&proto.typed_per_filter_config)?;
        let condition = proto.r#match.as_ref().ok_or_else(|| Invalid::new("is missing"));
        let Some(condition) = condition.and_then(RouteMatch::from_proto).at("match")? else {
            return Ok(None);
        };
        use proto::route::Action as Specifier;
        let action = match &proto.action {
            Some(Specifier::Route(action)) => {
                match Forward::from_proto(action, plugins, inherited_retry).at("route")? {
                    Some(forward) => Action::Forward(forward),
                    None => return Ok(None),
                }
            }
            Some(Specifier::Redirect(_)) => Action::Unsupported("redirect"),
            Some(Specifier::DirectResponse(_)) => Action::Unsupported("direct_response"),
            Some(Specifier::FilterAction(_)) => Action::Unsupported("filter_action"),
            Some(Specifier::NonForwardingAction(_)) => Action::Unsupported("non_forwarding_action"),
            None => Action::Unsupported("no action"),
        };
        Ok(Some(Self { name: proto.name.as_str().into(), origin: origin(proto), condition, action }))
    }
}

/// `metadata.filter_metadata["istio"].config`.
fn origin(proto: &proto::Route) -> Option<Arc<str>> {
    let istio = proto.metadata.as_ref()?.filter_metadata.get("istio")?;
    match istio.fields.get("config")?.kind.as_ref()? {
        ValueKind::StringValue(path) => Some(path.as_str().into()),
        _ => None,
    }
}

impl RouteMatch {
    /// The condition; none if part of it cannot be evaluated here, so that it never holds.
    fn from_proto(proto: &proto::RouteMatch) -> Checked<Option<Self>> {
        use proto::route_match::PathSpecifier as Path;
        let ignore_case = proto.case_sensitive.as_ref().is_some_and(|flag| !flag.value);
        let text = |path: &String| Box::<str>::from(path.as_str());
        let path = match &proto.path_specifier {
            Some(Path::Prefix(prefix)) => PathMatch::Prefix(text(prefix), ignore_case),
            Some(Path::Path(path)) => PathMatch::Exact(text(path), ignore_case),
            Some(Path::PathSeparatedPrefix(prefix)) => {
                if !prefix.starts_with('/') || prefix.ends_with('/') {
                    let why = "must begin with a slash and not end with one";
                    return Err(Invalid::new(why)).at("path_separated_prefix");
                }
                PathMatch::SegmentPrefix(text(prefix), ignore_case)
            }
            Some(Path::SafeRegex(regex)) => {
                PathMatch::Regex(full_match(&regex.regex).at("regex").at("safe_regex")?)
            }
            Some(Path::ConnectMatcher(_)) => {
                return Err(Invalid::new("is not supported")).at("connect_matcher");
            }
            Some(Path::PathMatchPolicy(_)) => {
                return Err(Invalid::new("is not supported")).at("path_match_policy");
            }
            None => return Err(Invalid::new("is missing")).at("path_specifier"),
        };
        let headers = proto.headers.iter().enumerate();
        let headers = headers
            .map(|(index, header)| HeaderMatch::from_proto(header).at_index("headers", index))
            .collect::<Checked<_>>()?;
        let query = proto.query_parameters.iter().enumerate();
        let query = query
            .map(|(index, query)| QueryMatch::from_proto(query).at_index("query_parameters", index))
            .collect::<Checked<_>>()?;
        let fraction = proto.runtime_fraction.as_ref().and_then(|fraction| fraction.default_value.as_ref());
        let fraction =
            fraction.map(Fraction::from_proto).transpose().at("default_value").at("runtime_fraction")?;
        let beyond_us = !proto.cookies.is_empty()
            || proto.tls_context.is_some()
            || !proto.dynamic_metadata.is_empty()
            || !proto.filter_state.is_empty();
        let grpc_only = proto.grpc.is_some();
        Ok((!beyond_us).then_some(Self { path, headers, query, fraction, grpc_only }))
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = |ignored: &bool| if *ignored { " (any case)" } else { "" };
        match self {
            Self::Exact(path, ignore_case) => write!(f, "{path}{}", case(ignore_case)),
            Self::Prefix(prefix, ignore_case) => write!(f, "{prefix}*{}", case(ignore_case)),
            Self::SegmentPrefix(prefix, ignore_case) => write!(f, "{prefix}/*{}", case(ignore_case)),
            Self::Regex(regex) => write!(f, "~ {regex}"),
        }
    }
}

impl Forward {
    /// What to do; none if the specification says to ignore a route with such an action.
    fn from_proto(
        proto: &proto::RouteAction,
        plugins: &BTreeSet<&str>,
        inherited_retry: Option<&Arc<RetryPolicy>>,
    ) -> Checked<Option<Self>> {
        let clusters = match &proto.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) if name.is_empty() => {
                return Err(Invalid::new("must not be empty")).at("cluster");
            }
            Some(ClusterSpecifier::Cluster(name)) => vec![(name.as_str().into(), 1)],
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                weighted_clusters(weighted).at("weighted_clusters")?
            }
            Some(ClusterSpecifier::ClusterSpecifierPlugin(name)) if !plugins.contains(name.as_str()) => {
                let why = format!("{name:?} is not among the cluster_specifier_plugins");
                return Err(Invalid::new(why)).at("cluster_specifier_plugin");
            }
            _ => return Ok(None),
        };
        let retry = match &proto.retry_policy {
            Some(policy) => retry::from_proto(policy).at("retry_policy")?.map(Arc::new),
            None => inherited_retry.cloned(),
        };
        Ok(Some(Self { clusters, limits: time_limits(proto)?, retry }))
    }
}

fn weighted_clusters(proto: &proto::WeightedCluster) -> Checked<Vec<(Arc<str>, u32)>> {
    let mut clusters = Vec::with_capacity(proto.clusters.len());
    let mut sum = 0u64;
    for (index, cluster) in proto.clusters.iter().enumerate() {
        let weight = cluster.weight.as_ref().map_or(0, |weight| weight.value);
        if weight == 0 {
            continue;
        }
        if cluster.name.is_empty() {
            return Err(Invalid::new("must not be empty")).at("name").at_index("clusters", index);
        }
        sum += u64::from(weight);
        clusters.push((cluster.name.as_str().into(), weight));
    }
    match sum {
        0 => Err(Invalid::new("the sum of the weights is zero")).at("clusters"),
        sum if sum > u64::from(u32::MAX) => {
            Err(Invalid::new(format!("the sum of the weights, {sum}, exceeds {}", u32::MAX))).at("clusters")
        }
        _ => Ok(clusters),
    }
}

#[expect(deprecated, reason = "istiod sends `max_grpc_timeout` on default routes")]
fn time_limits(proto: &proto::RouteAction) -> Checked<TimeLimits> {
    let stream = proto.max_stream_duration.unwrap_or_default();
    let header_max = duration(stream.grpc_timeout_header_max.as_ref()).at("grpc_timeout_header_max");
    let whole = duration(stream.max_stream_duration.as_ref()).at("max_stream_duration");
    Ok(TimeLimits {
        timeout: duration(proto.timeout.as_ref()).at("timeout")?,
        max_stream_duration: whole.at("max_stream_duration")?,
        grpc_timeout_header_max: match header_max.at("max_stream_duration")? {
            None if proto.max_stream_duration.is_none() => {
                duration(proto.max_grpc_timeout.as_ref()).at("max_grpc_timeout")?
            }
            max => max,
        },
        listener_max_stream_duration: None,
    })
}

/// Decodes the resource `name`.
pub(super) fn decode(name: &str, bytes: &[u8]) -> Checked<RouteConfig> {
    let proto: proto::RouteConfiguration = unpack(bytes)?;
    if proto.name != name {
        return Err(Invalid::new("is given twice")).at("name");
    }
    RouteConfig::from_proto(&proto)
}
