//! Which virtual hosts there are, whose routes they have, and by which names.

use super::super::testing::World;

const SE: &str = "ServiceEntry";
const VS: &str = "VirtualService";

fn service(host: &str, ports: &str) -> String {
    let ports: Vec<String> =
        ports.split(' ').map(|port| format!("{{number: {port}, name: p{port}}}")).collect();
    format!("hosts: [{host}], resolution: STATIC, ports: [{}]", ports.join(", "))
}

fn rules(hosts: &str, name: &str) -> String {
    format!("hosts: [{hosts}], http: [{{name: {name}, route: [{{destination: {{host: a.example}}}}]}}]")
}

#[test]
fn hosts_of_a_rule_that_are_no_service_at_the_port_have_a_virtual_host_beside_those_that_are() {
    let (a, b) = (service("a.example", "70"), service("b.example", "80"));
    let both = rules("a.example, b.example, none.example", "both");
    let world = World::new(&[(SE, "shop/a", &a), (SE, "shop/b", &b), (VS, "shop/v", &both)]);
    let wanted = ["a.example:70", "b.example:70", "none.example:70"];
    assert_eq!(world.host_names("shop", "70 a.example"), wanted);
    let extra = world.hosts("shop", "70 a.example").into_iter().find(|it| it.name == wanted[2]).unwrap();
    assert_eq!(extra.domains, ["none.example", "none.example:70"]);
    assert_eq!(extra.routes[0].name, "both");
    // A port without any of its services knows nothing of the rule.
    assert!(world.host_names("shop", "90 a.example").is_empty());
}

#[test]
fn at_port_80_rules_hold_for_hosts_without_service() {
    let (web, far) = (service("web.example", "80"), rules("far.example, '*.wild.example'", "far"));
    let gateway = format!("gateways: [g], {}", rules("gone.example", "gone"));
    let (web, hidden) = (web.as_str(), format!("exportTo: ['.'], {}", rules("hidden.example", "hidden")));
    let world = World::new(&[
        (SE, "shop/web", web),
        (VS, "shop/far", &far),
        (VS, "shop/gate", &gateway),
        (VS, "other/hidden", &hidden),
    ]);
    let wanted = ["*.wild.example:80", "far.example:80", "web.example:80"];
    assert_eq!(world.host_names("shop", "80 web.example"), wanted);
}

#[test]
fn what_is_a_clients_own_comes_before_what_is_for_everyone_and_then_the_older() {
    let a = service("a.example", "70");
    let named = |name: &str, export: &str| format!("exportTo: [{export}], {}", rules("a.example", name));
    let (old, own, meant) = (named("old", "'*'"), named("own", "'.'"), named("meant", "friend"));
    let world = World::new(&[
        (SE, "shop/a", &a),
        (VS, "shop/old@1", &old),
        (VS, "shop/own@3", &own),
        (VS, "shop/meant@2", &meant),
    ]);
    for (client, wanted) in [("shop", "own"), ("friend", "meant"), ("other", "old")] {
        assert_eq!(world.route_names(client, "70 a.example"), wanted, "{client}");
    }
}

#[test]
fn a_rule_that_says_nothing_to_a_client_leaves_the_host_to_the_next() {
    let a = service("a.example", "70");
    let first = "hosts: [a.example], http: [{name: first, match: [{sourceNamespace: other}], route: [{destination: {host: a.example}}]}]";
    let (second, wild) = (rules("a.example", "second"), rules("'*.example'", "wild"));
    let world = World::new(&[
        (SE, "shop/a", &a),
        (VS, "shop/first@1", first),
        (VS, "shop/second@2", &second),
        (VS, "shop/wild@3", &wild),
    ]);
    assert_eq!(world.route_names("other", "70 a.example"), "first");
    assert_eq!(world.route_names("shop", "70 a.example"), "second");
    // A wildcard does not step in for rules of the host itself.
    let world = World::new(&[(SE, "shop/a", &a), (VS, "shop/first@1", first), (VS, "shop/wild@3", &wild)]);
    assert_eq!(world.route_names("shop", "70 a.example"), "default");
}

#[test]
fn a_service_answers_to_the_last_of_its_addresses() {
    let a = format!("addresses: [10.0.0.1, '2001:db8::1'], {}", service("a.example", "70"));
    let b = format!("addresses: [10.1.0.0/16], {}", service("b.example", "70"));
    let world = World::new(&[(SE, "shop/a", &a), (SE, "shop/b", &b)]);
    let hosts = world.hosts("shop", "70 a.example");
    let domains = |name: &str| hosts.iter().find(|host| host.name == name).unwrap().domains.clone();
    assert_eq!(
        domains("a.example:70"),
        ["a.example", "a.example:70", "a.example.", "a.example.:70", "[2001:db8::1]", "[2001:db8::1]:70"]
    );
    assert_eq!(domains("b.example:70")[4..], ["10.1.0.0/16", "10.1.0.0/16:70"]);
}

#[test]
fn an_address_of_two_services_is_the_one_with_rules() {
    let shared = |host: &str| format!("addresses: [10.0.0.1], {}", service(host, "70"));
    let (a, b, ruled) = (shared("a.example"), shared("b.example"), rules("b.example", "b"));
    let world = World::new(&[(SE, "shop/a", &a), (SE, "shop/b", &b), (VS, "shop/b", &ruled)]);
    let hosts = world.hosts("shop", "70 a.example");
    let with_address = |name: &str| {
        let host = hosts.iter().find(|host| host.name == name).unwrap();
        host.domains.iter().any(|domain| domain == "10.0.0.1")
    };
    assert!(with_address("b.example:70") && !with_address("a.example:70"));
}

#[test]
fn a_host_of_one_word_is_found_as_it_is_written() {
    let (one, two) = (service("one", "70"), service("a.b.shop.svc.cluster.local", "70"));
    let world = World::new(&[(SE, "shop/one", &one), (SE, "shop/two", &two)]);
    for (name, wanted) in [
        ("one:70", true),
        ("One:70", true),
        ("one.shop:70", false),
        ("a.b:70", false),
        ("a.b.shop:70", true),
        ("a.b.shop.svc:70", true),
        ("xshop:70", false),
        (".shop:70", false),
    ] {
        assert_eq!(world.has_listener("shop", name), wanted, "{name}");
    }
}

#[test]
fn names_and_rules_do_not_look_at_upper_and_lower_case() {
    let (a, ruled) = (service("A.Example", "70"), rules("a.EXAMPLE", "ruled"));
    let world = World::new(&[(SE, "shop/a", &a), (VS, "shop/v", &ruled)]);
    assert_eq!(world.route_names("shop", "70 a.example"), "ruled");
}

#[test]
fn ports_are_told_apart_by_the_protocol_that_is_written() {
    let spec = "hosts: [a.example], addresses: [10.0.0.1], resolution: STATIC, ports: [{number: 70, name: tcp-x}, {number: 80, name: http, protocol: TCP}, {number: 90, name: x, protocol: grpc-web}]";
    let world = World::new(&[(SE, "shop/a", spec)]);
    for (port, wanted) in [(70, 1), (80, 0), (90, 1)] {
        assert_eq!(world.hosts("shop", &format!("{port} a.example")).len(), wanted, "{port}");
        assert!(world.has_listener("shop", &format!("a.example:{port}")), "{port}");
    }
}

#[test]
fn a_host_without_port_stands_for_its_listeners_in_the_spelling_asked() {
    let a = service("a.shop.svc.cluster.local", "70 80");
    let world = World::new(&[(SE, "shop/a", &a)]);
    assert_eq!(world.listeners("shop", "a"), ["a:70", "a:80"]);
    assert_eq!(world.listeners("far", "a.shop.svc.cluster.local").len(), 2);
    for (client, host) in [("far", "a"), ("shop", "b"), ("shop", "")] {
        assert!(world.listeners(client, host).is_empty(), "{client} {host}");
    }
}
