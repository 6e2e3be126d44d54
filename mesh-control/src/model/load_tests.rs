use super::*;
use proptest::prelude::*;

const ECHO: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo, namespace: shop}
spec:
  hosts: [echo.shop.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
";

fn parse(text: &str) -> (Config, Problems) {
    Config::parse([("a.yaml", text)])
}

#[test]
fn an_object_knows_where_it_stands() {
    let (config, problems) = parse(&format!("# first\n---\n{ECHO}"));
    assert!(problems.is_empty(), "{problems}");
    let entry = &config.service_entries[0];
    assert_eq!((entry.meta.namespace.as_str(), &*entry.place), ("shop", "a.yaml:3"));
}

#[test]
fn an_unknown_field_is_told_with_file_line_and_path() {
    let (_, problems) = parse(&ECHO.replace("  resolution", "  resolutoin"));
    assert_eq!(problems.errors, ["a.yaml:6: ServiceEntry shop/echo: spec.resolutoin: unknown field"]);
    let (_, problems) = parse(&format!("{ECHO}notes: x\n"));
    assert_eq!(problems.errors, ["a.yaml:8: ServiceEntry shop/echo: notes: unknown field"]);
}

#[test]
fn a_field_not_acted_on_is_a_warning_that_names_it() {
    let (config, problems) = parse(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: echo, namespace: shop}
spec: {host: echo, trafficPolicy: {connectionPool: {http: {maxRetries: 3}}}}
",
    );
    assert_eq!(
        problems.warnings,
        [
            "a.yaml:4: DestinationRule shop/echo: spec.trafficPolicy.connectionPool.http.maxRetries: known, but not acted on yet"
        ]
    );
    assert_eq!((problems.errors.len(), config.destination_rules.len()), (0, 1));
}

#[test]
fn a_name_given_twice_names_both_places() {
    let (_, problems) = Config::parse([("a.yaml", ECHO), ("b.yaml", ECHO)]);
    assert_eq!(
        problems.errors,
        ["b.yaml:3: ServiceEntry shop/echo: metadata.name: the same name is already taken at a.yaml:1"]
    );
}

#[test]
fn a_failed_check_has_the_line_of_its_field() {
    let (_, problems) = parse(&ECHO.replace("number: 80", "number: 0"));
    assert_eq!(
        problems.errors,
        ["a.yaml:7: ServiceEntry shop/echo: spec.ports[0].number: the port 0 is not in the range 1 to 65535"]
    );
}

#[test]
fn a_list_is_unpacked() {
    let items: String = ECHO
        .lines()
        .enumerate()
        .map(|(index, line)| format!("{} {line}\n", if index == 0 { "-" } else { " " }))
        .collect();
    let (config, problems) = parse(&format!("apiVersion: v1\nkind: List\nitems:\n{items}"));
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(&*config.service_entries[0].place, "a.yaml:4");
}

#[test]
fn known_kinds_are_warned_of_and_unknown_ones_refused() {
    let (_, problems) = parse(
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a}\nspec: {anything: goes}\n",
    );
    assert_eq!(problems.warnings, ["a.yaml:1: Sidecar default/a: this kind is known, but not acted on yet"]);
    for (text, why) in [
        ("apiVersion: networking.istio.io/v1\nkind: Virtualservice\n", "unknown"),
        ("apiVersion: v1\nkind: VirtualService\n", "write networking.istio.io/v1"),
        ("apiVersion: networking.istio.io/v7\nkind: VirtualService\n", "no version \"v7\""),
        ("metadata: {name: a}\n", "kind: required"),
        ("kind: VirtualService\n", "apiVersion: required"),
        ("- a\n", "wants a mapping"),
        (
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nspec: {hosts: [a]}\n",
            "metadata.name: required",
        ),
    ] {
        let (_, problems) = parse(text);
        assert!(problems.errors.len() == 1 && problems.errors[0].contains(why), "{text}: {problems}");
    }
}

#[test]
fn kinds_of_others_are_left_alone() {
    for text in [
        "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\n",
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nnotes: any\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n",
        "apiVersion: autoscaling/v2beta2\nkind: HorizontalPodAutoscaler\n",
    ] {
        let (_, problems) = parse(text);
        assert!(problems.errors.is_empty(), "{text}: {problems}");
        assert!(
            problems.warnings.len() == 1 && problems.warnings[0].ends_with("is left alone"),
            "{problems}"
        );
    }
}

#[test]
fn metadata_is_read_strictly_too() {
    let with = |metadata: &str| parse(&ECHO.replace("namespace: shop", metadata)).1.errors;
    assert!(with("namespace: shop, uid: x, managed_fields: [{}], creationTimestamp: null").is_empty());
    assert!(with("creationTimestamp: 2026-01-01T00:00:00Z").is_empty());
    assert_eq!(
        with("nmaespace: shop"),
        ["a.yaml:3: ServiceEntry default/echo: metadata.nmaespace: unknown field"]
    );
    let wrong = with("creationTimestamp: yesterday");
    assert!(
        wrong[0].starts_with("a.yaml:3: ServiceEntry: metadata.creationTimestamp: \"yesterday\" is not"),
        "{wrong:?}"
    );
}

#[test]
fn nothing_is_nothing() {
    let (config, problems) = parse("---\n# a comment\n---\n");
    assert!(problems.is_empty() && config.service_entries.is_empty());
}

/// Pieces of documents, right and wrong, that are put together at random.
fn pieces() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "apiVersion: networking.istio.io/v1",
        "kind: VirtualService",
        "kind: List",
        "kind: ServiceEntry",
        "spec:",
        "metadata:",
        "name: a",
        "- ",
        "  ",
        "\n",
        "\n  ",
        "\n    ",
        "hosts: [a]",
        "http:",
        "match:",
        "uri: {prefix: /}",
        "*a",
        "&a",
        "<<: *a",
        "!!str 1",
        "? ",
        ": ",
        "|",
        ">",
        "'",
        "\"",
        "{",
        "}",
        "[",
        "]",
        "---",
        "...",
        "\t",
        "\u{0}",
        "é",
        "%",
        "timeout: 1s",
    ];
    let word = proptest::sample::select(WORDS).prop_map(str::to_owned);
    proptest::collection::vec(prop_oneof![4 => word, 1 => ".{0,8}"], 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in pieces()) {
        let _ = parse(&text);
    }

    #[test]
    fn no_damage_to_a_document_makes_it_panic(at in 0..ECHO.len(), cut in 0..40_usize, put in ".{0,6}") {
        let mut text = ECHO.to_owned();
        text.replace_range(at..(at + cut).min(ECHO.len()), &put);
        let _ = parse(&text);
    }
}
