use super::*;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::google::protobuf::{Struct, Value, value};

fn node(namespace: &str) -> NodeView {
    let name = Value { kind: Some(value::Kind::StringValue(namespace.to_owned())) };
    NodeView::from_proto(&core::Node {
        id: format!("sidecar~10.0.0.1~me.{namespace}~{namespace}.svc.cluster.local"),
        metadata: Some(Struct { fields: [("NAMESPACE".to_owned(), name)].into_iter().collect() }),
        ..Default::default()
    })
}

/// Services `s0`, `s1` and so on, each with one endpoint; `changed` has another one than the rest.
fn config(count: usize, changed: Option<usize>) -> Config {
    let documents: Vec<String> = (0..count)
        .map(|index| {
            let address = if changed == Some(index) { "10.0.0.2" } else { "10.0.0.1" };
            format!(
                "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{index}, namespace: shop}}\n\
                 spec: {{hosts: [s{index}.shop.svc.cluster.local], resolution: STATIC, location: MESH_INTERNAL, \
                 ports: [{{number: 80, name: http}}], endpoints: [{{address: {address}}}]}}\n"
            )
        })
        .collect();
    let text = documents.join("---\n");
    let (config, problems) = Config::parse([("test", text.as_str())]);
    assert!(problems.is_empty(), "{problems}");
    config
}

fn name(kind: Kind, index: usize) -> String {
    match kind {
        Kind::Listener => format!("s{index}.shop.svc.cluster.local:80"),
        _ => format!("outbound|80||s{index}.shop.svc.cluster.local"),
    }
}

fn is_same_buffer(one: &Encoded, other: &Encoded) -> bool {
    one.bytes.as_ptr() == other.bytes.as_ptr() && one.bytes.len() == other.bytes.len()
}

#[test]
fn a_change_of_endpoints_touches_one_assignment() {
    let first = Translation::new(&config(120, None), &MeshConfig::default());
    let client = node("shop");
    let ask = |translation: &Translation| -> Vec<Encoded> {
        let all = Kind::ALL.into_iter().flat_map(|kind| (0..120).map(move |index| (kind, index)));
        all.map(|(kind, index)| translation.resource(&client, kind, &name(kind, index)).unwrap()).collect()
    };
    let before = ask(&first);
    let second = first.next(&config(120, Some(7)), &MeshConfig::default());
    assert_eq!(second.version(), 2);
    let after = ask(&second);
    let changed: Vec<&str> = before
        .iter()
        .zip(&after)
        .filter(|(before, after)| !is_same_buffer(before, after))
        .map(|(_, after)| &*after.name)
        .collect();
    assert_eq!(changed, ["outbound|80||s7.shop.svc.cluster.local"]);
    assert_ne!(before[120 * 3 + 7].bytes, after[120 * 3 + 7].bytes);
}

#[test]
fn clients_that_see_the_same_share_one_encoding() {
    let translation = Translation::new(&config(3, None), &MeshConfig::default());
    let ask = |namespace: &str, kind| translation.resource(&node(namespace), kind, &name(kind, 1)).unwrap();
    for kind in [Kind::Listener, Kind::Cluster, Kind::Endpoint] {
        assert!(is_same_buffer(&ask("shop", kind), &ask("other", kind)), "{kind:?}");
    }
    // The names that a service goes by differ.
    assert_ne!(ask("shop", Kind::Route).bytes, ask("other", Kind::Route).bytes);
    assert!(is_same_buffer(&ask("other", Kind::Route), &ask("other", Kind::Route)));
}

#[test]
fn settings_of_the_mesh_reach_the_routes() {
    let first = Translation::new(&config(1, None), &MeshConfig::default());
    let (mesh, _) = MeshConfig::parse("mesh", "defaultHttpRetryPolicy: {attempts: 7}").unwrap();
    let ask =
        |translation: &Translation, kind| translation.resource(&node("shop"), kind, &name(kind, 0)).unwrap();
    let (routes, listener) = (ask(&first, Kind::Route), ask(&first, Kind::Listener));
    let second = first.next(&config(1, None), &mesh);
    assert_ne!(routes.bytes, ask(&second, Kind::Route).bytes);
    assert!(is_same_buffer(&listener, &ask(&second, Kind::Listener)));
}

#[test]
fn among_many_services_a_client_gets_the_one_it_asks_for() {
    use mesh_proto::envoy::config::route::v3::RouteConfiguration;
    use prost::Message;
    let hosts = |count: usize| {
        let translation = Translation::new(&config(count, None), &MeshConfig::default());
        let found = translation.resource(&node("shop"), Kind::Route, &name(Kind::Route, 1)).unwrap();
        RouteConfiguration::decode(found.bytes).unwrap().virtual_hosts.len()
    };
    assert_eq!((hosts(5), hosts(101)), (5, 1));
}

#[test]
fn names_are_those_that_have_an_answer() {
    let translation = Translation::new(&config(3, None), &MeshConfig::default());
    for kind in Kind::ALL {
        let names = translation.names(&node("other"), kind);
        assert_eq!(names.len(), 3);
        assert!(names.iter().all(|name| translation.resource(&node("other"), kind, name).is_some()));
    }
}

#[test]
fn short_names_work_in_their_own_namespace_and_are_answered_as_asked() {
    let translation = Translation::new(&config(1, None), &MeshConfig::default());
    for name in ["s0:80", "s0.shop:80", "s0.shop.svc:80", "S0.shop.svc.cluster.local:80"] {
        let found = translation.resource(&node("shop"), Kind::Listener, name);
        assert_eq!(found.map(|found| found.name), Some(name.into()));
    }
    for name in ["s0:80", "s0.shop:80", "s0.shop.svc:80"] {
        assert_eq!(translation.resource(&node("other"), Kind::Listener, name), None, "{name}");
    }
    for name in ["", "s0", "s0:", "s0:81", "s0:99999999999", ":80", "outbound|80||s0"] {
        assert_eq!(translation.resource(&node("shop"), Kind::Listener, name), None, "{name}");
    }
}

#[test]
fn a_client_at_the_address_of_an_endpoint_has_its_labels() {
    let text = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: shop}
spec: {hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: http}], endpoints: [{address: 10.0.0.1, labels: {app: a}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec: {hosts: [a.example], http: [{match: [{sourceLabels: {app: a}}], directResponse: {status: 204}}]}
";
    let (config, problems) = Config::parse([("test", text)]);
    assert!(problems.is_empty(), "{problems}");
    let translation = Translation::new(&config, &MeshConfig::default());
    let ask = |namespace: &str| {
        translation.resource(&node(namespace), Kind::Route, "outbound|80||a.example").unwrap()
    };
    assert!(ask("shop").bytes.len() > 10);
    assert_ne!(ask("shop").bytes, ask("other").bytes);
}

#[test]
fn what_is_kept_is_bounded_however_many_names_are_asked_for() {
    const LIMIT: usize = 256 << 10;
    let first = Translation {
        cache: Cache::new(LIMIT),
        ..Translation::new(&config(3, None), &MeshConfig::default())
    };
    let ask = |translation: &Translation, client: &NodeView, kind, name: &str| {
        translation.resource(client, kind, name).expect("there is an answer for every name of this form")
    };
    let client = node("shop");
    let wanted = ask(&first, &client, Kind::Route, &name(Kind::Route, 1));
    let mut most = 0;
    for number in 0..2000 {
        let unknown = format!("outbound|80||nobody{number}.example");
        ask(&first, &client, Kind::Route, &unknown);
        ask(&first, &client, Kind::Endpoint, &unknown);
        // A service that is there, written in another way each time, and clients that are never the same.
        let letters = "s1.shop.svc.cluster.local".char_indices();
        let written = letters.map(|(bit, letter)| match number >> bit & 1 {
            1 => letter.to_ascii_uppercase(),
            _ => letter,
        });
        ask(&first, &client, Kind::Listener, &format!("{}:80", written.collect::<String>()));
        ask(&first, &node(&format!("n{number}")), Kind::Route, &name(Kind::Route, 2));
        // What is asked for again and again stays.
        let again = ask(&first, &client, Kind::Route, &name(Kind::Route, 1));
        assert!(is_same_buffer(&wanted, &again), "{number}");
        if number % 50 == 0 {
            let (count, size) = first.cache.extent();
            assert!(size <= LIMIT, "{size} after {number}");
            most = most.max(count);
        }
    }
    assert!(most > 100, "only {most} answers were kept");
    // The next configuration begins with what is left, and has the same bound.
    let second = first.next(&config(3, Some(0)), &MeshConfig::default());
    assert!(is_same_buffer(&wanted, &ask(&second, &client, Kind::Route, &name(Kind::Route, 1))));
    for number in 0..2000 {
        ask(&second, &client, Kind::Endpoint, &format!("outbound|80||other{number}.example"));
    }
    assert!(second.cache.extent().1 <= LIMIT);
}

#[test]
fn an_answer_larger_than_the_bound_is_given_and_not_kept() {
    let translation =
        Translation { cache: Cache::new(1), ..Translation::new(&config(1, None), &MeshConfig::default()) };
    for _ in 0..2 {
        assert!(translation.resource(&node("shop"), Kind::Route, &name(Kind::Route, 0)).is_some());
        assert_eq!(translation.cache.extent(), (0, 0));
    }
}

#[test]
fn of_several_that_run_at_the_address_of_a_client_it_has_the_labels_of_the_oldest() {
    // Where clients of these tests are.
    let spec = |name: &str| {
        format!(
            "hosts: [{name}.example], resolution: STATIC, ports: [{{number: 80, name: http}}], \
             endpoints: [{{address: 10.9.9.9, labels: {{app: {name}}}}}]"
        )
    };
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let rule = |name: &str| {
        format!(
            "{{name: {name}, match: [{{sourceLabels: {{app: {name}}}}}], directResponse: {{status: 204}}}}"
        )
    };
    let rules = format!("hosts: [a.example], http: [{}]", NAMES.map(rule).join(", "));
    for (oldest, wanted) in NAMES.iter().enumerate() {
        let age = |index: usize| (index + NAMES.len() - oldest) % NAMES.len() + 1;
        let names: Vec<String> =
            NAMES.iter().enumerate().map(|(index, name)| format!("shop/{name}@{}", age(index))).collect();
        let specs = NAMES.map(spec);
        let mut objects: Vec<_> = names
            .iter()
            .zip(&specs)
            .map(|(name, spec)| ("ServiceEntry", name.as_str(), spec.as_str()))
            .collect();
        objects.push(("VirtualService", "shop/rules", &rules));
        assert_eq!(testing::World::new(&objects).route_names("shop", "80 a.example"), *wanted);
    }
}
