use crate::index::{Client, Index, View};
use crate::model::{Config, MeshConfig};
use crate::translate::NodeView;
use mesh_proto::envoy::config::core::v3 as core;
use std::sync::Arc;

/// VirtualServices, each with namespace, name, time of creation, host and who sees it.
fn index(services: &[[&str; 5]]) -> Index {
    let documents: Vec<String> = services
        .iter()
        .map(|[namespace, name, created, host, export]| {
            let export = if export.is_empty() { String::new() } else { format!("exportTo: [{export:?}], ") };
            format!(
                "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
                 metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: {created}}}\n\
                 spec: {{hosts: [{host:?}], {export}http: [{{route: [{{destination: {{host: a}}}}]}}]}}\n"
            )
        })
        .collect();
    let text = documents.join("---\n");
    let (config, problems) = Config::parse([("test", text.as_str())]);
    assert!(problems.is_empty(), "{problems}");
    Index::new(&config, &MeshConfig::default(), None)
}

/// The names of the rules for a host that a client in a namespace has.
fn rules(index: &Index, host: &str, namespace: &str) -> String {
    let node = core::Node {
        id: format!("sidecar~10.0.0.1~me.{namespace}~{namespace}.svc.cluster.local"),
        ..Default::default()
    };
    let client = Client::new(&NodeView::from_proto(&node), index);
    let rules = View::new(index, &client).rules(&Arc::from(host));
    rules.iter().map(|rules| rules.name.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_oldest_counts_first_wherever_it_lives() {
    let index = index(&[
        ["shop", "b", "2026-02-01T00:00:00Z", "echo.shop.svc.cluster.local", ""],
        ["other", "z", "2026-01-01T00:00:00Z", "echo.shop.svc.cluster.local", ""],
        ["shop", "a", "2026-02-01T00:00:00Z", "echo", ""],
    ]);
    assert_eq!(rules(&index, "echo.shop.svc.cluster.local", "shop"), "z a b");
}

#[test]
fn an_exact_host_beats_wildcards_and_the_longest_of_those_the_others() {
    let index = index(&[
        ["shop", "all", "", "*.svc.cluster.local", ""],
        ["shop", "mine", "2026-02-01T00:00:00Z", "*.shop.svc.cluster.local", ""],
        ["shop", "mine-too", "2026-03-01T00:00:00Z", "*.shop.svc.cluster.local", ""],
        ["shop", "exact", "2026-03-01T00:00:00Z", "echo.shop.svc.cluster.local", ""],
    ]);
    assert_eq!(rules(&index, "echo.shop.svc.cluster.local", "shop"), "exact");
    assert_eq!(rules(&index, "x.shop.svc.cluster.local", "shop"), "mine");
    assert_eq!(rules(&index, "x.other.svc.cluster.local", "shop"), "all");
    assert_eq!(rules(&index, "example.com", "shop"), "");
}

#[test]
fn what_a_client_does_not_see_does_not_count() {
    let index = index(&[
        ["shop", "hidden", "", "echo.shop.svc.cluster.local", "."],
        ["shop", "shown", "2026-02-01T00:00:00Z", "echo.shop.svc.cluster.local", "other"],
        ["shop", "wild", "", "*.shop.svc.cluster.local", ""],
    ]);
    assert_eq!(rules(&index, "echo.shop.svc.cluster.local", "shop"), "hidden");
    assert_eq!(rules(&index, "echo.shop.svc.cluster.local", "other"), "shown");
    assert_eq!(rules(&index, "echo.shop.svc.cluster.local", "third"), "wild");
}
