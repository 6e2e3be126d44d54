//! Rules that hand over to another VirtualService.

use super::rules::Rules;
use crate::model::http_route::{HttpMatch, HttpRoute};
use crate::model::values::StringMatch;
use std::collections::BTreeMap;

/// The rules with each delegation replaced by what it leads to. One that leads nowhere disappears, and nothing else with it.
pub(super) fn resolve<'a>(
    rules: &Rules,
    find: impl Fn(&str, &str) -> Option<&'a [HttpRoute]>,
) -> Vec<HttpRoute> {
    let mut out = Vec::with_capacity(rules.http.len());
    for route in &rules.http {
        let Some(delegate) = &route.delegate else {
            out.push(route.clone());
            continue;
        };
        let namespace = if delegate.namespace.is_empty() { &rules.namespace } else { &delegate.namespace };
        let inner = find(&delegate.name, namespace).unwrap_or_default();
        out.extend(inner.iter().filter_map(|inner| join(route, inner)));
    }
    out
}

/// An inner rule under an outer one, `None` if they exclude each other. What the inner one says counts.
fn join(outer: &HttpRoute, inner: &HttpRoute) -> Option<HttpRoute> {
    let mut route = inner.clone();
    route.matches = join_matches(&outer.matches, &inner.matches)?;
    route.name = join_names(&outer.name, &inner.name);
    fn inherit<T: Clone>(own: &mut Option<T>, outer: &Option<T>) {
        if own.is_none() {
            own.clone_from(outer);
        }
    }
    inherit(&mut route.rewrite, &outer.rewrite);
    inherit(&mut route.direct_response, &outer.direct_response);
    inherit(&mut route.timeout, &outer.timeout);
    inherit(&mut route.retries, &outer.retries);
    inherit(&mut route.fault, &outer.fault);
    inherit(&mut route.mirror, &outer.mirror);
    inherit(&mut route.mirror_percent, &outer.mirror_percent);
    inherit(&mut route.mirror_percentage, &outer.mirror_percentage);
    inherit(&mut route.cors_policy, &outer.cors_policy);
    inherit(&mut route.headers, &outer.headers);
    if route.mirrors.is_empty() {
        route.mirrors.clone_from(&outer.mirrors);
    }
    Some(route)
}

fn join_names(outer: &str, inner: &str) -> String {
    [outer, inner].into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join("-")
}

/// Every pair that can hold together. `None` if an inner match fits no outer one: then the whole rule is void.
fn join_matches(outer: &[HttpMatch], inner: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if outer.is_empty() || inner.is_empty() {
        return Some(if outer.is_empty() { inner } else { outer }.to_vec());
    }
    let mut out = Vec::new();
    for inner in inner {
        let before = out.len();
        out.extend(outer.iter().filter(|outer| fits(outer, inner)).map(|outer| join_match(outer, inner)));
        if out.len() == before {
            return None;
        }
    }
    Some(out)
}

fn join_match(outer: &HttpMatch, inner: &HttpMatch) -> HttpMatch {
    let or =
        |inner: &Option<StringMatch>, outer: &Option<StringMatch>| inner.clone().or_else(|| outer.clone());
    let text = |inner: &String, outer: &String| if inner.is_empty() { outer.clone() } else { inner.clone() };
    fn both<V: Clone>(outer: &BTreeMap<String, V>, inner: &BTreeMap<String, V>) -> BTreeMap<String, V> {
        outer.iter().chain(inner).map(|(key, value)| (key.clone(), value.clone())).collect()
    }
    HttpMatch {
        name: join_names(&outer.name, &inner.name),
        uri: or(&inner.uri, &outer.uri),
        scheme: or(&inner.scheme, &outer.scheme),
        method: or(&inner.method, &outer.method),
        authority: or(&inner.authority, &outer.authority),
        headers: both(&outer.headers, &inner.headers),
        port: if inner.port == 0 { outer.port } else { inner.port },
        source_labels: both(&outer.source_labels, &inner.source_labels),
        gateways: if inner.gateways.is_empty() { outer.gateways.clone() } else { inner.gateways.clone() },
        query_params: both(&outer.query_params, &inner.query_params),
        ignore_uri_case: inner.ignore_uri_case,
        without_headers: both(&outer.without_headers, &inner.without_headers),
        source_namespace: text(&inner.source_namespace, &outer.source_namespace),
        stat_prefix: text(&inner.stat_prefix, &outer.stat_prefix),
    }
}

/// Whether the inner match is narrower than the outer one, wherever both say something; and of the namespace that the
/// outer one names, the inner one must name the same.
fn fits(outer: &HttpMatch, inner: &HttpMatch) -> bool {
    let narrower = |outer: &Option<StringMatch>, inner: &Option<StringMatch>| match (outer, inner) {
        (Some(outer), Some(inner)) => is_narrower(outer, inner),
        _ => true,
    };
    let all_narrower = |outer: &BTreeMap<String, StringMatch>, inner: &BTreeMap<String, StringMatch>| {
        inner.iter().all(|(key, inner)| outer.get(key).is_none_or(|outer| is_narrower(outer, inner)))
    };
    let labels = inner
        .source_labels
        .iter()
        .all(|(key, inner)| outer.source_labels.get(key).is_none_or(|it| it == inner));
    let gateways =
        outer.gateways.is_empty() || inner.gateways.iter().all(|gateway| outer.gateways.contains(gateway));
    narrower(&outer.uri, &inner.uri)
        && narrower(&outer.scheme, &inner.scheme)
        && narrower(&outer.method, &inner.method)
        && narrower(&outer.authority, &inner.authority)
        && all_narrower(&outer.headers, &inner.headers)
        && all_narrower(&outer.without_headers, &inner.without_headers)
        && all_narrower(&outer.query_params, &inner.query_params)
        && outer.ignore_uri_case == inner.ignore_uri_case
        && (outer.port == 0 || inner.port == 0 || outer.port == inner.port)
        && (outer.source_namespace.is_empty() || outer.source_namespace == inner.source_namespace)
        && labels
        && gateways
}

fn is_narrower(outer: &StringMatch, inner: &StringMatch) -> bool {
    // Whether one expression is within another cannot be told, and istiod does not look into a mere presence either.
    if outer.regex.is_some() || inner.regex.is_some() {
        return false;
    }
    match (&outer.exact, &outer.prefix) {
        (Some(outer), _) => inner.exact.as_ref() == Some(outer),
        (None, Some(prefix)) => inner
            .exact
            .as_ref()
            .or(inner.prefix.as_ref())
            .is_some_and(|inner| inner.starts_with(prefix.as_str())),
        (None, None) => false,
    }
}

#[cfg(test)]
#[path = "delegate_tests.rs"]
mod tests;
