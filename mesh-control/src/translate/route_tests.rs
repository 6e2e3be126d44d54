use super::super::{Kind, NodeView, Translation};
use super::*;
use crate::model::{Config, MeshConfig};
use mesh_proto::envoy::config::core::v3 as core;
use prost::Message;
use route::route::Action;
use route::route_action::ClusterSpecifier;

const SERVICES: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo, namespace: shop}
spec: {hosts: [echo.shop.svc.cluster.local], resolution: STATIC, ports: [{number: 80, name: http}, {number: 90, name: tcp, protocol: TCP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: one, namespace: shop}
spec: {hosts: [one.shop.svc.cluster.local], resolution: STATIC, ports: [{number: 8080, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: shop}
spec:
  hosts: [echo]
  http:
";

fn routes(rules: &str, name: &str) -> RouteNames {
    let text = format!("{SERVICES}{rules}");
    let (config, problems) = Config::parse([("test", text.as_str())]);
    assert!(problems.errors.is_empty(), "{problems}");
    let translation = Translation::new(&config, &MeshConfig::default());
    let node =
        core::Node { id: "sidecar~10.0.0.1~me.shop~shop.svc.cluster.local".into(), ..Default::default() };
    let found = translation.resource(&NodeView::from_proto(&node), Kind::Route, name).unwrap();
    let found = route::RouteConfiguration::decode(found.bytes).unwrap();
    let hosts =
        found.virtual_hosts.into_iter().map(|host| (host.name, host.routes.iter().map(described).collect()));
    hosts.collect()
}

type RouteNames = Vec<(String, Vec<String>)>;

fn described(route: &route::Route) -> String {
    let cluster = match &route.action {
        Some(Action::Route(action)) => match &action.cluster_specifier {
            Some(ClusterSpecifier::Cluster(name)) => name.clone(),
            _ => "?".to_owned(),
        },
        _ => "-".to_owned(),
    };
    format!("{} {cluster}", route.name)
}

#[test]
fn nothing_follows_the_first_rule_that_always_applies() {
    let rules = "  - {name: a, match: [{uri: {prefix: /a}}, {uri: {prefix: /}}], route: [{destination: {host: echo}}]}
  - {name: b, route: [{destination: {host: echo}}]}\n";
    let found = routes(rules, "outbound|80||echo.shop.svc.cluster.local");
    let echo = "outbound|80||echo.shop.svc.cluster.local";
    assert_eq!(
        found,
        [("echo.shop.svc.cluster.local:80".to_owned(), vec![format!("a {echo}"), format!("a {echo}")])]
    );
}

#[test]
fn rules_that_say_nothing_to_a_client_leave_the_default() {
    let rules = "  - {name: a, match: [{sourceNamespace: other}, {port: 81}, {sourceLabels: {app: x}}], route: [{destination: {host: one}}]}\n";
    let found = routes(rules, "outbound|80||echo.shop.svc.cluster.local");
    assert_eq!(found[0].1, ["default outbound|80||echo.shop.svc.cluster.local"]);
}

#[test]
fn a_destination_without_port_has_the_one_that_was_asked_or_its_only_one() {
    let rules = "  - {name: a, match: [{uri: {prefix: /a}}], route: [{destination: {host: one}}]}
  - {name: b, route: [{destination: {host: echo}}]}\n";
    let found = routes(rules, "outbound|80||echo.shop.svc.cluster.local");
    assert_eq!(
        found[0].1,
        ["a outbound|8080||one.shop.svc.cluster.local", "b outbound|80||echo.shop.svc.cluster.local"]
    );
}

#[test]
fn ports_of_connections_and_unknown_services_have_no_virtual_host() {
    let rules = "  - {route: [{destination: {host: echo}}]}\n";
    assert!(routes(rules, "outbound|90||echo.shop.svc.cluster.local").is_empty());
    assert!(routes(rules, "outbound|1234||nobody.example").is_empty());
}
