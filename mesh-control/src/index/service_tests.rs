use super::*;
use crate::model::Config;

/// ServiceEntries, each with namespace, name, time of creation and the rest of its spec.
fn services(entries: &[[&str; 4]]) -> Services {
    let documents: Vec<String> = entries
        .iter()
        .map(|[namespace, name, created, rest]| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
                 metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: {created}}}\n\
                 spec: {{hosts: [a.example], resolution: STATIC, {rest}}}\n"
            )
        })
        .collect();
    let text = documents.join("---\n");
    let (config, problems) = Config::parse([("test", text.as_str())]);
    assert!(problems.errors.is_empty(), "{problems}");
    Services::new(&config.service_entries, &MeshConfig::default(), None)
}

const HTTP: &str = "ports: [{number: 80, name: http}]";

/// Whose service clients in `namespace` see.
fn owner<'a>(services: &'a Services, namespace: &str) -> &'a str {
    services.find("a.example", namespace).map_or("nobody", |service| &service.namespace)
}

#[test]
fn of_one_host_in_several_namespaces_the_own_counts_then_one_meant_for_the_client_then_the_oldest() {
    let services = services(&[
        ["old", "x", "2026-01-01T00:00:00Z", HTTP],
        ["own", "x", "2026-03-01T00:00:00Z", HTTP],
        ["giver", "x", "2026-02-01T00:00:00Z", "exportTo: [friend], ports: [{number: 80, name: http}]"],
    ]);
    for (client, wanted) in [("own", "own"), ("friend", "giver"), ("third", "old"), ("giver", "old")] {
        assert_eq!(owner(&services, client), wanted, "{client}");
    }
}

#[test]
fn of_the_same_age_the_namespace_decides_and_not_the_name() {
    let services = services(&[["b", "a", "", HTTP], ["a", "z", "", HTTP]]);
    assert_eq!(owner(&services, "third"), "a");
}

#[test]
fn entries_of_one_namespace_make_one_service_with_all_their_ports() {
    let services = services(&[
        ["shop", "a", "", "addresses: [10.0.0.1, 10.0.0.2/32], ports: [{number: 80, name: http}]"],
        [
            "shop",
            "b",
            "",
            "addresses: [10.0.0.3], ports: [{number: 80, name: web}, {number: 90, name: more}]",
        ],
        ["shop", "c", "", "exportTo: ['*'], ports: [{number: 100, name: other}]"],
    ]);
    let service = services.find("a.example", "third").unwrap();
    let ports: Vec<(u32, &str, &str)> = service
        .ports
        .iter()
        .map(|port| (port.number, &*port.name, port.address.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(ports, [(80, "http", "10.0.0.3"), (90, "more", "10.0.0.3")]);
    assert_eq!(service.address.as_deref(), Some("10.0.0.1"));
}

#[test]
fn a_block_of_one_address_is_that_address() {
    for (written, wanted) in [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("::1/128", "::1"),
    ] {
        assert_eq!(single(written), wanted);
    }
}
