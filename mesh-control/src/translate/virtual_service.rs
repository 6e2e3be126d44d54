//! The routes that a VirtualService means to one client at one port.

use super::action;
use super::fault;
use super::headers;
use super::matching;
use super::proto;
use super::route::decorator;
use crate::index::{Rules, View};
use crate::model::http_route::{HttpMatch, HttpRoute};
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::route::v3 as route;
use route::route_match::PathSpecifier;

/// Who asks, at which port, and whose rules answer.
pub(super) struct Context<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) rules: &'a Rules,
    pub(super) port: u32,
}

/// One route for each match, in order, up to the first that always applies. None if nothing is meant for this client.
pub(super) fn routes(context: &Context<'_>) -> Vec<route::Route> {
    let mut out = Vec::new();
    for http in &context.rules.http {
        if http.matches.is_empty() {
            out.push(one_route(context, http, None));
            return out;
        }
        for matches in http.matches.iter().filter(|it| applies(context, it)) {
            let route = one_route(context, http, Some(matches));
            let last = is_catch_all(&route);
            out.push(route);
            if last {
                return out;
            }
        }
    }
    out
}

/// What is decided here and not by the client: the port, and who the client is.
fn applies(context: &Context<'_>, it: &HttpMatch) -> bool {
    if it.port != 0 && it.port != context.port {
        return false;
    }
    // With gateways named, nothing else of the source counts.
    if !it.gateways.is_empty() {
        return it.gateways.iter().any(|gateway| gateway == "mesh");
    }
    let labels = it.source_labels.is_empty() || context.view.has_labels(&it.source_labels);
    labels && (it.source_namespace.is_empty() || context.view.is_in_namespace(&it.source_namespace))
}

fn is_catch_all(route: &route::Route) -> bool {
    let Some(matches) = &route.r#match else { return false };
    let path = match &matches.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => prefix == "/",
        Some(PathSpecifier::SafeRegex(regex)) => regex.regex == "*" || regex.regex == ".*",
        _ => false,
    };
    path && matches.headers.is_empty() && matches.query_parameters.is_empty()
}

fn one_route(context: &Context<'_>, http: &HttpRoute, matches: Option<&HttpMatch>) -> route::Route {
    let matched = matching::route_match(matches);
    let path = match &matched.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => format!("{prefix}*"),
        Some(PathSpecifier::Path(path)) => path.clone(),
        Some(PathSpecifier::SafeRegex(regex)) => regex.regex.clone(),
        _ => "/*".to_owned(),
    };
    let mut route = route::Route {
        name: name(http, matches),
        r#match: Some(matched),
        metadata: Some(config_metadata(context.rules)),
        stat_prefix: matches.map(|it| it.stat_prefix.clone()).unwrap_or_default(),
        ..Default::default()
    };
    let authority = http.headers.as_ref().and_then(|it| headers::apply_to_route(&mut route, it));
    let target = action::apply(&mut route, context, http, authority);
    route.decorator = Some(match target {
        Some(destination) => decorator(&destination.host, destination.port, &path),
        None => decorator(&context.rules.name, context.port, &path),
    });
    let filters = [
        http.fault.as_ref().map(|it| (fault::FILTER, fault::fault(it))),
        http.cors_policy.as_ref().map(|it| (fault::CORS_FILTER, fault::cors(it))),
    ];
    route.typed_per_filter_config =
        filters.into_iter().flatten().map(|(name, any)| (name.to_owned(), any)).collect();
    route
}

fn name(http: &HttpRoute, matches: Option<&HttpMatch>) -> String {
    match matches {
        Some(matches) if !matches.name.is_empty() => format!("{}.{}", http.name, matches.name),
        _ => http.name.clone(),
    }
}

/// Which object a route comes from.
fn config_metadata(rules: &Rules) -> core::Metadata {
    let config =
        format!("/apis/networking.istio.io/v1/namespaces/{}/virtual-service/{}", rules.namespace, rules.name);
    let filter_metadata = [("istio".to_owned(), proto::strings([("config", config)]))].into_iter().collect();
    core::Metadata { filter_metadata, ..Default::default() }
}
