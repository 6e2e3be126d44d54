//! Headers that a route changes.

use crate::model::http_route::{HeaderOperations, Headers, is_authority};
use mesh_proto::envoy::config::core::v3::{self as core, header_value_option::HeaderAppendAction};
use mesh_proto::envoy::config::route::v3 as route;
use route::weighted_cluster::{ClusterWeight, cluster_weight};
use std::collections::BTreeMap;

/// Adds the changes to a route's. Returns the authority that they set, if any.
pub(super) fn apply_to_route(route: &mut route::Route, headers: &Headers) -> Option<String> {
    route.request_headers_to_add.extend(added(&headers.request));
    route.request_headers_to_remove.extend(removed(&headers.request));
    route.response_headers_to_add.extend(added(&headers.response));
    route.response_headers_to_remove.extend(removed(&headers.response));
    authority(&headers.request)
}

/// The changes of one destination among several.
pub(super) fn apply_to_cluster(cluster: &mut ClusterWeight, headers: &Headers) {
    cluster.request_headers_to_add = added(&headers.request).collect();
    cluster.request_headers_to_remove = removed(&headers.request).collect();
    cluster.response_headers_to_add = added(&headers.response).collect();
    cluster.response_headers_to_remove = removed(&headers.response).collect();
    cluster.host_rewrite_specifier =
        authority(&headers.request).map(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral);
}

/// The authority is no header that could be added: it is rewritten.
fn authority(operations: &HeaderOperations) -> Option<String> {
    let find = |map: &BTreeMap<String, String>| {
        let named = map.iter().find(|(name, _)| is_authority(name));
        named.map(|(_, value)| value.clone())
    };
    find(&operations.set).or_else(|| find(&operations.add)).filter(|authority| !authority.is_empty())
}

fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}

fn added(operations: &HeaderOperations) -> impl Iterator<Item = core::HeaderValueOption> {
    let of = |map: &BTreeMap<String, String>, action: HeaderAppendAction| {
        let usable = map.iter().filter(|(name, _)| !is_internal(name));
        let option = |(key, value): (&String, &String)| core::HeaderValueOption {
            header: Some(core::HeaderValue { key: key.clone(), value: value.clone(), ..Default::default() }),
            append_action: action.into(),
            ..Default::default()
        };
        usable.map(option).collect::<Vec<_>>()
    };
    let set = of(&operations.set, HeaderAppendAction::OverwriteIfExistsOrAdd);
    set.into_iter().chain(of(&operations.add, HeaderAppendAction::AppendIfExistsOrAdd))
}

fn removed(operations: &HeaderOperations) -> impl Iterator<Item = String> {
    operations.remove.iter().filter(|name| !is_internal(name)).cloned()
}
