use super::super::testing::World;

const A: &str = "outbound|80||a.example";

fn entry(rest: &str) -> String {
    format!(
        "hosts: [a.example], resolution: STATIC, ports: [{{number: 80, name: http, targetPort: 8080}}], {rest}"
    )
}

#[test]
fn the_port_of_an_endpoint_is_its_own_else_the_target_else_that_of_the_service() {
    let spec = "hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: http, targetPort: 8080}, {number: 90, name: grpc}], endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, ports: {http: 1, grpc: 2}}]";
    let world = World::new(&[("ServiceEntry", "shop/a", spec)]);
    assert_eq!(world.endpoints("shop", A), ["10.0.0.1:8080", "10.0.0.2:1"]);
    assert_eq!(world.endpoints("shop", "outbound|90||a.example"), ["10.0.0.1:90", "10.0.0.2:2"]);
}

#[test]
fn entries_of_one_host_share_endpoints_by_the_names_of_ports() {
    let one = entry("endpoints: [{address: 10.0.0.1}]");
    let two = "hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: http}, {number: 90, name: more}], endpoints: [{address: 10.0.0.2}]";
    let world = World::new(&[("ServiceEntry", "shop/a", &one), ("ServiceEntry", "shop/b", two)]);
    assert_eq!(world.endpoints("shop", A), ["10.0.0.1:8080", "10.0.0.2:80"]);
    assert_eq!(world.endpoints("shop", "outbound|90||a.example"), ["10.0.0.2:90"]);
    assert!(world.has_listener("shop", "a.example:90"));
}

#[test]
fn an_address_that_is_given_twice_is_written_once() {
    let one = entry(
        "endpoints: [{address: 10.0.0.1}, {address: 10.0.0.1, locality: eu}, {address: 10.0.0.1, ports: {http: 1}}]",
    );
    let world = World::new(&[("ServiceEntry", "shop/a", &one), ("ServiceEntry", "shop/b", &one)]);
    assert_eq!(world.endpoints("shop", A), ["10.0.0.1:8080", "10.0.0.1:1"]);
}

#[test]
fn only_workloads_of_the_namespace_with_an_address_of_the_network_are_selected() {
    let spec = entry("workloadSelector: {labels: {app: a}}");
    let world = World::new(&[
        ("ServiceEntry", "shop/a", &spec),
        ("WorkloadEntry", "shop/one", "address: 10.0.0.1, labels: {app: a, version: v1}"),
        ("WorkloadEntry", "shop/two", "address: 10.0.0.2, labels: {app: a, version: v2}, ports: {http: 5}"),
        ("WorkloadEntry", "shop/other", "address: 10.0.0.3, labels: {app: b}"),
        ("WorkloadEntry", "shop/name", "address: host.example, labels: {app: a}"),
        ("WorkloadEntry", "shop/file", "address: 'unix:///run/a', labels: {app: a}"),
        ("WorkloadEntry", "far/one", "address: 10.0.0.4, labels: {app: a}"),
        (
            "DestinationRule",
            "shop/a",
            "host: a.example, subsets: [{name: v2, labels: {version: v2}}, {name: all}]",
        ),
    ]);
    assert_eq!(world.endpoints("shop", A), ["10.0.0.1:8080", "10.0.0.2:5"]);
    assert_eq!(world.endpoints("shop", "outbound|80|v2|a.example"), ["10.0.0.2:5"]);
    assert_eq!(world.endpoints("far", "outbound|80|all|a.example"), ["10.0.0.1:8080", "10.0.0.2:5"]);
    assert_eq!(world.cluster("far", "outbound|80|none|a.example"), None);
}

#[test]
fn a_socket_file_has_no_port() {
    let spec = entry("endpoints: [{address: 'unix:///run/a'}, {address: 10.0.0.1}]");
    let world = World::new(&[("ServiceEntry", "shop/a", &spec)]);
    assert_eq!(world.endpoints("shop", A), ["/run/a", "10.0.0.1:8080"]);
}

#[test]
fn services_that_are_not_given_have_no_endpoints() {
    for resolution in ["NONE", "DNS"] {
        let spec =
            format!("hosts: [a.example], resolution: {resolution}, ports: [{{number: 80, name: http}}]");
        let world = World::new(&[("ServiceEntry", "shop/a", &spec)]);
        assert!(world.endpoints("shop", A).is_empty(), "{resolution}");
        assert!(world.cluster("shop", A).is_some() && world.has_listener("shop", "a.example:80"));
    }
}

/// Where the endpoints of a service with an annotation and a rule are: the priority and the weight of each place.
fn places(annotation: &str, rule: &str) -> String {
    let rule = match rule {
        "" => String::new(),
        rule => format!(
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a, namespace: shop}}\n\
             spec: {{host: a.example, trafficPolicy: {{{rule}}}}}\n"
        ),
    };
    let text = format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a, namespace: shop, annotations: {{networking.istio.io/traffic-distribution: {annotation:?}}}}}
spec:
  hosts: [a.example]
  resolution: STATIC
  ports: [{{number: 80, name: http}}]
  endpoints:
  - {{address: 10.0.0.1, locality: us/a/1, weight: 3}}
  - {{address: 10.0.0.2, locality: eu/a/1}}
  - {{address: 10.0.0.3, locality: eu/b}}
  - {{address: 10.0.0.4, labels: {{istio-locality: eu.a.2}}}}
  - {{address: 10.0.0.5, locality: eu/a/2}}
  - {{address: 10.0.0.6}}
{rule}"
    );
    let found = World::of_yaml(&text).localities("shop", A);
    let told = found.iter().map(|(priority, place, weight)| format!("{priority} {place} {weight}"));
    told.collect::<Vec<_>>().join(", ")
}

#[test]
fn places_are_weighed_by_their_endpoints_and_have_an_order_only_with_outlier_detection() {
    let flat = "0 // 1, 0 eu/a/1 1, 0 eu/a/2 2, 0 eu/b/ 1, 0 us/a/1 3";
    assert_eq!(places("", ""), flat);
    assert_eq!(places("", "loadBalancer: {localityLbSetting: {enabled: true}}"), flat);
    let ordered = "3 // 1, 0 eu/a/1 1, 1 eu/a/2 2, 2 eu/b/ 1, 3 us/a/1 3";
    assert_eq!(places("", "outlierDetection: {}"), ordered);
    let off = "outlierDetection: {}, loadBalancer: {localityLbSetting: {enabled: false}}";
    assert_eq!(places("", off), flat);
}

#[test]
fn an_annotation_asks_for_near_endpoints_unless_a_rule_says_otherwise() {
    let zone = "2 // 1, 0 eu/a/1 1, 0 eu/a/2 2, 1 eu/b/ 1, 2 us/a/1 3";
    assert_eq!(places("PreferClose", ""), zone);
    assert_eq!(places("PreferSameZone", "outlierDetection: {}"), zone);
    assert_eq!(places("PreferSameNode", ""), "3 // 1, 0 eu/a/1 1, 1 eu/a/2 2, 2 eu/b/ 1, 3 us/a/1 3");
    let flat = places("", "");
    assert_eq!(places("PreferClose", "loadBalancer: {localityLbSetting: {enabled: false}}"), flat);
    assert_eq!(places("Any", ""), flat);
}

#[test]
fn shares_go_to_the_places_that_are_named_and_to_no_other() {
    let rule = "loadBalancer: {localityLbSetting: {distribute: [{from: us/*, to: {us/*: 100}}, {from: eu/*, to: {eu/a/*: 70, us/*: 30}}]}}";
    assert_eq!(places("", rule), "0 // 1, 0 eu/a/1 24, 0 eu/a/2 47, 0 eu/b/ 1, 0 us/a/1 30");
}
