//! What routes do with requests.

use super::cors::CorsPolicy;
use super::endpoint::check_sum;
use super::filter::FilterOverrides;
use super::header_ops::{HeaderOps, header_ops};
use super::invalid::{At, Checked, Invalid, duration};
use super::matcher::Substitution;
use super::metadata::Metadata;
use super::mirror::{self, HashPolicy, Mirror};
use super::retry::{HedgePolicy, Retry, RetryDetail};
use super::secret::DataSource;
use super::strictness::Strictness;
use crate::dialect::TimeLimits;
use crate::policy::retry::RetryPolicy;
use mesh_proto::envoy::config::core::v3::RoutingPriority;
use mesh_proto::envoy::config::route::v3 as proto;
use proto::route_action::{ClusterSpecifier, HostRewriteSpecifier};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send it to one of these clusters.
    Forward(Box<Forward>),
    /// Tell the caller to ask elsewhere.
    Redirect(Box<Redirect>),
    /// Answer it.
    Respond(DirectResponse),
    /// Fail it, because the route asks for what cannot be done.
    Unsupported(&'static str),
}

/// Where to send a request, and how.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// The clusters and their weights. Never empty, no weight is zero, and the sum fits `u32`.
    pub clusters: Vec<WeightedCluster>,
    /// The time it may take; the listener's part is not filled in.
    pub limits: TimeLimits,
    /// The time without traffic after which it fails; zero is any, none is as the listener says.
    pub idle_timeout: Option<Duration>,
    /// When to try again.
    pub retry: Option<Arc<RetryPolicy>>,
    /// What else is said about trying again.
    pub retry_detail: Option<Arc<RetryDetail>>,
    /// When to try several times at once.
    pub hedge: Option<HedgePolicy>,
    /// How its path is changed.
    pub path_rewrite: Option<PathRewrite>,
    /// How its host is changed.
    pub host_rewrite: Option<HostRewrite>,
    /// Whether the host that it had is added as `x-forwarded-host`.
    pub append_forwarded_host: bool,
    /// What of it is hashed, for policies that choose endpoints by a hash.
    pub hash: Vec<HashPolicy>,
    /// Where copies of it go.
    pub mirrors: Vec<Mirror>,
    /// Whether it is of high priority, which has limits of its own.
    pub high_priority: bool,
    /// The labels that its endpoint needs.
    pub subset: Option<Arc<Metadata>>,
    /// Which pages of other origins may call, where the route says so itself.
    pub cors: Option<Arc<CorsPolicy>>,
    /// The HTTP status if the cluster does not exist: 503 (the default), 404 or 500.
    pub not_found_status: u16,
}

/// One of the clusters of a route.
#[derive(Clone, Debug)]
pub struct WeightedCluster {
    /// Its name.
    pub name: Arc<str>,
    /// Its share, against the others.
    pub weight: u32,
    /// What to change in headers.
    pub headers: HeaderOps,
    /// What is said about the listener's filters.
    pub overrides: FilterOverrides,
    /// The host that requests get.
    pub host_rewrite: Option<Arc<str>>,
    /// The labels that endpoints need.
    pub subset: Option<Arc<Metadata>>,
}

/// How a path is changed.
#[derive(Clone, Debug)]
pub enum PathRewrite {
    /// What the condition of the route matched is replaced: a prefix, or the whole path.
    Matched(Box<str>),
    /// What the expression matches is replaced.
    Regex(Substitution),
    /// All of it becomes this, query included.
    Whole(Box<str>),
}

/// How a host is changed.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    /// It becomes this.
    Literal(Arc<str>),
    /// It becomes the host name of the endpoint.
    Endpoint,
    /// It becomes the value of this header.
    Header(Box<str>),
    /// It becomes what the expression makes of the path.
    Path(Substitution),
}

/// Tells the caller to ask elsewhere. What is not said stays as it was.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The HTTP status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The scheme.
    pub scheme: Option<Box<str>>,
    /// The host.
    pub host: Option<Box<str>>,
    /// The port.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<PathRewrite>,
    /// Whether the query is left out.
    pub strip_query: bool,
}

/// Answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// The HTTP status.
    pub status: u16,
    /// The body; none is empty.
    pub body: Option<DataSource>,
}

/// What a route takes over from its virtual host where it says nothing itself.
#[derive(Default)]
pub(super) struct Inherited<'a> {
    pub(super) strictness: Strictness,
    /// The plugins of the route configuration that are optional, but not known.
    pub(super) plugins: BTreeSet<&'a str>,
    pub(super) retry: Option<Retry>,
    pub(super) hedge: Option<HedgePolicy>,
    pub(super) mirrors: Vec<Mirror>,
}

impl WeightedCluster {
    /// A cluster about which nothing else is said.
    #[must_use]
    pub fn new(name: Arc<str>, weight: u32) -> Self {
        Self {
            name,
            weight,
            headers: HeaderOps::default(),
            overrides: FilterOverrides::default(),
            host_rewrite: None,
            subset: None,
        }
    }
}

impl Forward {
    /// Sends requests to `clusters`, and nothing else is said.
    #[must_use]
    pub fn new(clusters: Vec<WeightedCluster>) -> Self {
        Self { clusters, not_found_status: 503, ..Self::default() }
    }

    /// What to do; none if the specification says to ignore a route with such an action.
    pub(super) fn from_proto(proto: &proto::RouteAction, inherited: &Inherited<'_>) -> Checked<Option<Self>> {
        let clusters = match &proto.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) if name.is_empty() => {
                return Err(Invalid::new("must not be empty")).at("cluster");
            }
            Some(ClusterSpecifier::Cluster(name)) => vec![WeightedCluster::new(name.as_str().into(), 1)],
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                weighted_clusters(weighted, inherited.strictness).at("weighted_clusters")?
            }
            Some(ClusterSpecifier::ClusterSpecifierPlugin(name))
                if !inherited.plugins.contains(name.as_str()) =>
            {
                let why = format!("{name:?} is not among the cluster_specifier_plugins");
                return Err(Invalid::new(why)).at("cluster_specifier_plugin");
            }
            // gRFC A28.
            _ => return Ok(None),
        };
        let retry = match &proto.retry_policy {
            Some(policy) => Retry::from_proto(policy).at("retry_policy")?,
            None => inherited.retry.clone(),
        };
        let (retry, retry_detail) = retry.map(|retry| (retry.policy, retry.detail)).unzip();
        let mirrors = mirror::read(&proto.request_mirror_policies)?;
        let hash = proto.hash_policy.iter().enumerate();
        let hash = hash.map(|(index, hash)| HashPolicy::from_proto(hash).at_index("hash_policy", index));
        let hedge =
            proto.hedge_policy.as_ref().map(HedgePolicy::from_proto).transpose().at("hedge_policy")?;
        #[expect(deprecated, reason = "istiod sends cors policies by filter, older control planes here")]
        let cors = proto.cors.as_ref().map(CorsPolicy::from_field).transpose().at("cors")?;
        Ok(Some(Self {
            clusters,
            limits: time_limits(proto)?,
            idle_timeout: duration(proto.idle_timeout.as_ref()).at("idle_timeout")?,
            retry,
            retry_detail,
            hedge: hedge.or(inherited.hedge),
            path_rewrite: path_rewrite(proto)?,
            host_rewrite: host_rewrite(proto)?,
            append_forwarded_host: proto.append_x_forwarded_host,
            hash: hash.collect::<Checked<Vec<_>>>()?.into_iter().flatten().collect(),
            mirrors: if mirrors.is_empty() { inherited.mirrors.clone() } else { mirrors },
            high_priority: proto.priority == RoutingPriority::High as i32,
            subset: Metadata::from_proto(proto.metadata_match.clone()).at("metadata_match")?,
            cors: cors.map(Arc::new),
            not_found_status: match proto.cluster_not_found_response_code {
                1 => 404,
                2 => 500,
                _ => 503,
            },
        }))
    }
}

fn weighted_clusters(
    proto: &proto::WeightedCluster,
    strictness: Strictness,
) -> Checked<Vec<WeightedCluster>> {
    let mut clusters = Vec::with_capacity(proto.clusters.len());
    let mut sum = 0u64;
    for (index, cluster) in proto.clusters.iter().enumerate() {
        let weight = cluster.weight.as_ref().map_or(0, |weight| weight.value);
        if weight == 0 {
            continue;
        }
        sum += u64::from(weight);
        clusters.push(weighted_cluster(cluster, weight, strictness).at_index("clusters", index)?);
    }
    check_shares(sum).at("clusters")?;
    Ok(clusters)
}

/// Weights that clusters share requests by have a sum, and it fits 32 bits.
pub(super) fn check_shares(sum: u64) -> Checked<()> {
    if sum == 0 { Err(Invalid::new("the sum of the weights is zero")) } else { check_sum(sum) }
}

fn weighted_cluster(
    proto: &proto::weighted_cluster::ClusterWeight,
    weight: u32,
    strictness: Strictness,
) -> Checked<WeightedCluster> {
    use proto::weighted_cluster::cluster_weight::HostRewriteSpecifier as Rewrite;
    if !proto.cluster_header.is_empty() {
        return Err(Invalid::new("is not supported")).at("cluster_header");
    }
    if proto.name.is_empty() {
        return Err(Invalid::new("must not be empty")).at("name");
    }
    let host_rewrite = match &proto.host_rewrite_specifier {
        Some(Rewrite::HostRewriteLiteral(host)) if !host.is_empty() => Some(host.as_str().into()),
        _ => None,
    };
    Ok(WeightedCluster {
        name: proto.name.as_str().into(),
        weight,
        headers: header_ops!(proto)?,
        overrides: FilterOverrides::from_proto(&proto.typed_per_filter_config, strictness)?,
        host_rewrite,
        subset: Metadata::from_proto(proto.metadata_match.clone()).at("metadata_match")?,
    })
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

fn path_rewrite(proto: &proto::RouteAction) -> Checked<Option<PathRewrite>> {
    if let Some(regex) = &proto.regex_rewrite {
        return Substitution::from_proto(regex).at("regex_rewrite").map(PathRewrite::Regex).map(Some);
    }
    let text = |text: &String| (!text.is_empty()).then(|| Box::from(text.as_str()));
    let matched = text(&proto.prefix_rewrite).map(PathRewrite::Matched);
    Ok(matched.or_else(|| text(&proto.path_rewrite).map(PathRewrite::Whole)))
}

fn host_rewrite(proto: &proto::RouteAction) -> Checked<Option<HostRewrite>> {
    Ok(match &proto.host_rewrite_specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host) | HostRewriteSpecifier::HostRewrite(host)) => {
            (!host.is_empty()).then(|| HostRewrite::Literal(host.as_str().into()))
        }
        Some(HostRewriteSpecifier::AutoHostRewrite(flag)) => flag.value.then_some(HostRewrite::Endpoint),
        Some(HostRewriteSpecifier::HostRewriteHeader(name)) => {
            (!name.is_empty()).then(|| HostRewrite::Header(name.to_ascii_lowercase().into()))
        }
        Some(HostRewriteSpecifier::HostRewritePathRegex(regex)) => {
            Some(HostRewrite::Path(Substitution::from_proto(regex).at("host_rewrite_path_regex")?))
        }
        None => None,
    })
}

impl Redirect {
    pub(super) fn from_proto(proto: &proto::RedirectAction) -> Checked<Self> {
        use proto::redirect_action::{PathRewriteSpecifier as Path, SchemeRewriteSpecifier as Scheme};
        let text = |text: &String| (!text.is_empty()).then(|| Box::from(text.as_str()));
        let status = match proto.response_code {
            0 => 301,
            1 => 302,
            2 => 303,
            3 => 307,
            4 => 308,
            other => return Err(Invalid::new(format!("{other} is unknown"))).at("response_code"),
        };
        let path = match &proto.path_rewrite_specifier {
            Some(Path::PathRedirect(path) | Path::PathRewrite(path)) => text(path).map(PathRewrite::Whole),
            Some(Path::PrefixRewrite(prefix)) => text(prefix).map(PathRewrite::Matched),
            Some(Path::RegexRewrite(regex)) => {
                Some(PathRewrite::Regex(Substitution::from_proto(regex).at("regex_rewrite")?))
            }
            None => None,
        };
        let port = u16::try_from(proto.port_redirect);
        let port = port.map_err(|_| Invalid::new(format!("{} is no port", proto.port_redirect)));
        Ok(Self {
            status,
            scheme: match &proto.scheme_rewrite_specifier {
                Some(Scheme::HttpsRedirect(true)) => Some("https".into()),
                Some(Scheme::SchemeRedirect(scheme)) => text(scheme),
                _ => None,
            },
            host: text(&proto.host_redirect),
            port: Some(port.at("port_redirect")?).filter(|port| *port != 0),
            path,
            strip_query: proto.strip_query,
        })
    }
}

impl DirectResponse {
    pub(super) fn from_proto(proto: &proto::DirectResponseAction) -> Checked<Self> {
        let status = u16::try_from(proto.status).ok().filter(|status| (200..600).contains(status));
        let Some(status) = status else {
            return Err(Invalid::new(format!("{} is not between 200 and 599", proto.status))).at("status");
        };
        let body = proto.body.as_ref().map(DataSource::from_proto).transpose().at("body")?;
        Ok(Self { status, body })
    }
}
