use super::*;
use crate::model::Config;

/// DestinationRules, each with namespace, name, host, more fields of the spec and the number that tells it.
fn policies(rules: &[(&str, &str, &str, &str, i32)]) -> Policies {
    let documents: Vec<String> = rules
        .iter()
        .map(|(namespace, name, host, more, requests)| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
                 spec: {{host: {host:?}, {more} trafficPolicy: {{connectionPool: {{http: {{http2MaxRequests: {requests}}}}}}}}}\n"
            )
        })
        .collect();
    let text = documents.join("---\n");
    let (config, problems) = Config::parse([("test", text.as_str())]);
    assert!(problems.is_empty(), "{problems}");
    Policies::new(&config.destination_rules, &MeshConfig::default(), None)
}

const HOST: &str = "echo.shop.svc.cluster.local";

/// The number of the rule that a client in `namespace` has.
fn found(policies: &Policies, namespace: &str) -> Option<i32> {
    let policy = policies.find(HOST, "shop", namespace).first()?;
    policy
        .traffic_policy
        .as_ref()?
        .connection_pool
        .as_ref()?
        .http
        .as_ref()
        .map(|http| http.http2_max_requests)
}

#[test]
fn the_clients_namespace_comes_before_the_services_and_that_before_the_root() {
    let policies = policies(&[
        ("istio-system", "root", HOST, "", 1),
        ("shop", "service", "*.shop.svc.cluster.local", "", 2),
        ("client", "client", "*", "", 3),
    ]);
    assert_eq!(found(&policies, "client"), Some(3));
    assert_eq!(found(&policies, "other"), Some(2));
    assert_eq!(found(&policies, "istio-system"), Some(1));
}

#[test]
fn a_wildcard_of_the_services_namespace_comes_before_an_exact_rule_of_the_root() {
    let policies = policies(&[
        ("istio-system", "root", HOST, "", 1),
        ("shop", "hidden", "echo", "exportTo: ['.'],", 2),
        ("shop", "wild", "*.shop.svc.cluster.local", "", 3),
    ]);
    assert_eq!(found(&policies, "shop"), Some(2));
    assert_eq!(found(&policies, "other"), Some(3));
}

#[test]
fn rules_of_one_host_are_merged_and_the_first_counts() {
    let policies = policies(&[
        ("shop", "a", "echo", "subsets: [{name: v1, labels: {version: a}}],", 1),
        ("shop", "b", HOST, "subsets: [{name: v1, labels: {version: b}}, {name: v2}],", 2),
    ]);
    assert_eq!(found(&policies, "shop"), Some(1));
    let policy = &policies.find(HOST, "shop", "shop")[0];
    assert_eq!(policy.subset("v1").unwrap().labels["version"], "a");
    assert!(policy.subset("v2").is_some() && policy.subset("v3").is_none());
}

#[test]
fn a_rule_with_selector_stands_apart_and_stays_at_home() {
    let policies = policies(&[
        ("shop", "a", "echo", "workloadSelector: {matchLabels: {app: x}},", 1),
        ("shop", "b", "echo", "", 2),
    ]);
    assert_eq!(policies.find(HOST, "shop", "shop").len(), 2);
    assert_eq!(found(&policies, "other"), Some(2));
}
