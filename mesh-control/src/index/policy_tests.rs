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
    let policies = policies.find(HOST, "shop", namespace);
    let policy = policies.iter().rfind(|policy| policy.is_for_all_workloads())?;
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
    assert_eq!(found(&policies, "istio-system"), Some(2));
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

#[test]
fn clients_of_the_root_namespace_have_its_own_rules_only_after_those_of_the_service() {
    let both = [("istio-system", "root", HOST, "", 1), ("shop", "wild", "*.shop.svc.cluster.local", "", 2)];
    assert_eq!(found(&policies(&both), "istio-system"), Some(2));
    let private = [("istio-system", "root", "*", "exportTo: ['.'],", 1), both[1]];
    assert_eq!(found(&policies(&private), "istio-system"), Some(1));
    assert_eq!(found(&policies(&private), "third"), Some(2));
}

#[test]
fn rules_for_different_namespaces_stand_side_by_side() {
    let policies = policies(&[
        ("shop", "a", HOST, "exportTo: [one],", 1),
        ("shop", "b", HOST, "exportTo: [two],", 2),
        ("shop", "c", HOST, "exportTo: [two, three], subsets: [{name: v1}],", 3),
    ]);
    let of = |namespace| (found(&policies, namespace), policies.find(HOST, "shop", namespace).len());
    assert_eq!(of("one"), (Some(1), 1));
    assert_eq!(of("two"), (Some(2), 1));
    assert_eq!(of("three"), (Some(3), 1));
    assert_eq!(of("four"), (None, 0));
    // What is merged is seen where the older rule is.
    assert!(policies.find(HOST, "shop", "two")[0].subset("v1").is_some());
}

#[test]
fn of_rules_that_do_not_go_together_the_youngest_counts() {
    let policies = policies(&[("shop", "a", HOST, "exportTo: ['.'],", 1), ("shop", "b", HOST, "", 2)]);
    assert_eq!((found(&policies, "shop"), found(&policies, "other")), (Some(2), Some(2)));
}
