//! What a route does with a request.

use super::key::ClusterKey;
use super::virtual_service::Context;
use super::{hash, headers, proto, retry};
use crate::model::http_route::{DerivePort, DirectResponse, HttpRoute, Redirect};
use crate::model::values::Percent;
use crate::model::virtual_service::Destination;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::route::v3 as route;
use mesh_proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use mesh_proto::envoy::r#type::v3::FractionalPercent;
use route::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use route::route_action::{self, ClusterSpecifier, HostRewriteSpecifier};
use route::weighted_cluster::ClusterWeight;

/// The one service that a route leads to.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u32,
}

/// Gives a route its action. `authority` is what the route's headers set. Returns the target if there is exactly one.
pub(super) fn apply(
    route: &mut route::Route,
    context: &Context<'_>,
    http: &HttpRoute,
    authority: Option<String>,
) -> Option<Target> {
    if let Some(redirect) = &http.redirect {
        route.action = self::redirect(redirect, context.port).map(route::route::Action::Redirect);
        return None;
    }
    if let Some(response) = &http.direct_response {
        route.action = Some(route::route::Action::DirectResponse(direct_response(response)));
        return None;
    }
    let mut action = route::RouteAction::default();
    let timeout = http.timeout.map(proto::duration).unwrap_or_default();
    action.timeout = Some(timeout);
    // The field that gRPC reads.
    action.max_stream_duration =
        Some(route_action::MaxStreamDuration { max_stream_duration: Some(timeout), ..Default::default() });
    let mut authority = authority;
    if let Some(rewrite) = &http.rewrite {
        if let Some(regex) = &rewrite.uri_regex_rewrite {
            action.regex_rewrite = Some(RegexMatchAndSubstitute {
                pattern: Some(proto::regex(&regex.pattern)),
                substitution: regex.rewrite.clone(),
            });
        } else {
            action.prefix_rewrite.clone_from(&rewrite.uri);
        }
        if !rewrite.authority.is_empty() {
            authority = Some(rewrite.authority.clone());
        }
    }
    action.request_mirror_policies = mirrors(context, http);
    let (target, hashes) = match http.route.as_slice() {
        [one] => single(route, &mut action, context, one, authority.is_none()),
        several => {
            let clusters = several.iter().filter(|to| to.weight > 0);
            let clusters = clusters.map(|to| weighted(&mut action.hash_policy, context, to)).collect();
            action.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(route::WeightedCluster {
                clusters,
                ..Default::default()
            }));
            // One hash for several clusters: a retry may go elsewhere.
            (None, false)
        }
    };
    if let Some(authority) = authority {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(authority));
    }
    let retries = http.retries.as_ref().or(context.view.mesh().default_http_retry_policy.as_ref());
    action.retry_policy = retry::policy(retries, hashes);
    route.action = Some(route::route::Action::Route(action));
    target
}

/// The only destination: its header changes become those of the route.
fn single(
    route: &mut route::Route,
    action: &mut route::RouteAction,
    context: &Context<'_>,
    to: &crate::model::http_route::HttpDestination,
    authority_is_free: bool,
) -> (Option<Target>, bool) {
    let Some(destination) = &to.destination else { return (None, false) };
    let port = port(context, destination);
    action.cluster_specifier = Some(ClusterSpecifier::Cluster(cluster(destination, port)));
    let authority = to.headers.as_ref().and_then(|it| headers::apply_to_route(route, it));
    if let Some(authority) = authority.filter(|_| authority_is_free) {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(authority));
    }
    let hashes = add_hash(&mut action.hash_policy, context, destination);
    (Some(Target { host: destination.host.clone(), port }), hashes)
}

fn weighted(
    hashes: &mut Vec<route_action::HashPolicy>,
    context: &Context<'_>,
    to: &crate::model::http_route::HttpDestination,
) -> ClusterWeight {
    let nowhere = Destination::default();
    let destination = to.destination.as_ref().unwrap_or(&nowhere);
    add_hash(hashes, context, destination);
    let mut weight = ClusterWeight {
        name: cluster(destination, port(context, destination)),
        weight: Some(proto::uint32(u32::try_from(to.weight).unwrap_or(0))),
        ..Default::default()
    };
    if let Some(it) = &to.headers {
        headers::apply_to_cluster(&mut weight, it);
    }
    weight
}

fn cluster(destination: &Destination, port: u32) -> String {
    ClusterKey { port, subset: &destination.subset, host: &destination.host }.to_string()
}

/// The port that a destination names, else the one that was asked. Where the service lacks that one and has a single other, it is that: istiod would lead nowhere.
fn port(context: &Context<'_>, destination: &Destination) -> u32 {
    if let Some(port) = destination.port {
        return port.number;
    }
    match context.view.service(&destination.host).as_ref().map(|service| service.ports.as_slice()) {
        Some([only]) => only.number,
        _ => context.port,
    }
}

/// Adds what a destination is hashed by. Whether it is, even if nothing is said to hash.
fn add_hash(
    hashes: &mut Vec<route_action::HashPolicy>,
    context: &Context<'_>,
    destination: &Destination,
) -> bool {
    let Some(service) = context.view.service(&destination.host) else { return false };
    let policy = context.view.policy(&service);
    let hash = policy.as_deref().and_then(|policy| hash::of_destination(policy, destination));
    hashes.extend(hash.and_then(hash::policy_of));
    hash.is_some()
}

fn mirrors(context: &Context<'_>, http: &HttpRoute) -> Vec<route_action::RequestMirrorPolicy> {
    let one = http.mirror.as_ref().map(|mirror| (mirror, http.mirror_percentage, http.mirror_percent));
    let several = http
        .mirrors
        .iter()
        .filter_map(|mirror| Some((mirror.destination.as_ref()?, mirror.percentage, None)));
    let mirror = |(destination, percentage, old): (&Destination, Option<Percent>, Option<u32>)| {
        Some(route_action::RequestMirrorPolicy {
            cluster: cluster(destination, port(context, destination)),
            runtime_fraction: Some(core::RuntimeFractionalPercent {
                default_value: Some(mirrored_share(percentage, old)?),
                ..Default::default()
            }),
            trace_sampled: Some(proto::boolean(false)),
            disable_shadow_host_suffix_append: true,
            ..Default::default()
        })
    };
    one.into_iter().chain(several).filter_map(mirror).collect()
}

/// Everything where nothing is said; `None` where nothing is mirrored.
fn mirrored_share(percentage: Option<Percent>, old: Option<u32>) -> Option<FractionalPercent> {
    match (percentage, old) {
        (Some(percentage), _) => (percentage.value > 0.0).then(|| proto::percent(percentage.value)),
        (None, Some(percent)) => (percent > 0).then(|| proto::whole_percent(percent)),
        (None, None) => Some(proto::whole_percent(100)),
    }
}

/// `None` if the status is one that xDS has no word for.
fn redirect(redirect: &Redirect, listener_port: u32) -> Option<route::RedirectAction> {
    let mut port = match (redirect.port, redirect.derive_port) {
        (Some(port), _) => port,
        (None, Some(DerivePort::FromRequestPort)) => listener_port,
        (None, _) => 0,
    };
    // The scheme's own port is not written out.
    let scheme = if redirect.scheme.is_empty() { "http" } else { &redirect.scheme };
    if (port, scheme) == (80, "http") || (port, scheme) == (443, "https") {
        port = 0;
    }
    let code = match redirect.redirect_code {
        0 | 301 => RedirectResponseCode::MovedPermanently,
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => return None,
    };
    Some(route::RedirectAction {
        host_redirect: redirect.authority.clone(),
        port_redirect: port,
        response_code: code.into(),
        // An empty one keeps the path.
        path_rewrite_specifier: Some(PathRewriteSpecifier::PathRedirect(redirect.uri.clone())),
        scheme_rewrite_specifier: (!redirect.scheme.is_empty())
            .then(|| SchemeRewriteSpecifier::SchemeRedirect(redirect.scheme.clone())),
        ..Default::default()
    })
}

fn direct_response(response: &DirectResponse) -> route::DirectResponseAction {
    let body = response.body.as_ref().and_then(|body| {
        let text = body.string.clone().map(core::data_source::Specifier::InlineString);
        let bytes = || body.bytes.clone().map(|bytes| core::data_source::Specifier::InlineBytes(bytes.0));
        Some(core::DataSource { specifier: Some(text.or_else(bytes)?), ..Default::default() })
    });
    route::DirectResponseAction { status: response.status, body, ..Default::default() }
}

#[cfg(test)]
#[path = "action_tests.rs"]
mod tests;
