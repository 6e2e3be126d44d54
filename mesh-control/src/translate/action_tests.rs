use super::super::testing::World;
use super::*;
use route::route::Action;

/// The routes of `a.example:70`, whose rule has these `http` entries and whose policy is `policy`.
fn routes(http: &str, policy: &str) -> Vec<route::Route> {
    let service = |host: &str| {
        format!(
            "hosts: [{host}], resolution: STATIC, ports: [{{number: 70, name: grpc}}, {{number: 80, name: http}}]"
        )
    };
    let (a, b) = (service("a.example"), service("b.example"));
    let (rules, policy) = (
        format!("hosts: [a.example], http: [{http}]"),
        format!("host: a.example, subsets: [{{name: v1}}, {{name: v2}}]{policy}"),
    );
    let mut objects = vec![
        ("ServiceEntry", "shop/a", a.as_str()),
        ("ServiceEntry", "shop/b", b.as_str()),
        ("DestinationRule", "shop/a", policy.as_str()),
    ];
    if !http.is_empty() {
        objects.push(("VirtualService", "shop/a", rules.as_str()));
    }
    World::new(&objects).routes("shop", "70 a.example")
}

fn action(http: &str, policy: &str) -> route::RouteAction {
    match routes(http, policy).remove(0).action {
        Some(Action::Route(action)) => action,
        other => panic!("{other:?}"),
    }
}

/// Where a route leads: a cluster, or clusters with their weights.
fn clusters(http: &str) -> Vec<(String, u32)> {
    match action(http, "").cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => vec![(name, 0)],
        Some(ClusterSpecifier::WeightedClusters(all)) => {
            all.clusters.into_iter().map(|it| (it.name, it.weight.unwrap().value)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn to(text: &str) -> String {
    let of = |one: &str| {
        let mut parts = one.split(' ');
        let (host, more) = (parts.next().unwrap(), parts.next());
        let weight = parts.next().map_or(String::new(), |weight| format!(", weight: {weight}"));
        let more = match more.unwrap_or("-") {
            "-" => String::new(),
            port if port.parse::<u16>().is_ok() => format!(", port: {{number: {port}}}"),
            subset => format!(", subset: {subset}"),
        };
        format!("{{destination: {{host: {host}.example{more}}}{weight}}}")
    };
    format!("{{route: [{}]}}", text.split(", ").map(of).collect::<Vec<_>>().join(", "))
}

#[test]
fn destinations_are_clusters_and_those_without_weight_are_left_out() {
    let key = |text: &str, weight| (format!("outbound|{text}.example"), weight);
    for (text, wanted) in [
        ("a", vec![key("70||a", 0)]),
        ("a v1", vec![key("70|v1|a", 0)]),
        ("b 80", vec![key("80||b", 0)]),
        ("a v1 100", vec![key("70|v1|a", 0)]),
        ("a v1 90, a v2 10", vec![key("70|v1|a", 90), key("70|v2|a", 10)]),
        ("a v1 3, b 80 0, b - 4", vec![key("70|v1|a", 3), key("70||b", 4)]),
        ("a v1 100, a v2 0", vec![key("70|v1|a", 100)]),
        ("a v1 0, a v2 1", vec![key("70|v2|a", 1)]),
    ] {
        assert_eq!(clusters(&to(text)), wanted, "{text}");
    }
}

#[test]
fn a_timeout_is_written_for_both_readers_and_none_is_no_limit() {
    for (more, seconds) in [("", 0), (", timeout: 2s", 2), (", timeout: 1m", 60)] {
        let action = action(&format!("{{route: [{{destination: {{host: a.example}}}}]{more}}}"), "");
        assert_eq!(action.timeout.unwrap().seconds, seconds);
        assert_eq!(action.max_stream_duration.unwrap().max_stream_duration.unwrap().seconds, seconds);
    }
}

#[test]
fn a_route_hashes_by_the_most_specific_of_what_its_destination_says() {
    const HASH: &str = ", trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: whole}}, \
        portLevelSettings: [{port: {number: 80}, loadBalancer: {consistentHash: {httpHeaderName: port}}}]}";
    let hashes = |text: &str| -> (String, bool) {
        let action = action(&to(text), HASH);
        let names = action.hash_policy.into_iter().map(|it| match it.policy_specifier {
            Some(route_action::hash_policy::PolicySpecifier::Header(header)) => header.header_name,
            other => panic!("{other:?}"),
        });
        let again = action.retry_policy.unwrap().retry_host_predicate.is_empty();
        (names.collect::<Vec<_>>().join(" "), again)
    };
    assert_eq!(hashes("a"), ("whole".into(), true));
    assert_eq!(hashes("a 70"), ("whole".into(), true));
    assert_eq!(hashes("a 80"), ("port".into(), true));
    assert_eq!(hashes("b"), (String::new(), false));
    // Several destinations hash each by its own, and a retry may go elsewhere.
    assert_eq!(hashes("a v1 1, b - 1, a 80 1"), ("whole port".into(), false));
}

#[test]
fn a_route_without_rules_hashes_and_may_still_be_retried_elsewhere() {
    let hash = ", trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: false}}}";
    let default = action("", hash);
    assert_eq!((default.hash_policy.len(), default.retry_policy.unwrap().retry_host_predicate.len()), (1, 1));
}

#[test]
fn mirrors_of_nothing_are_left_out() {
    let shares = |more: &str| -> Vec<(String, u32)> {
        let text = format!("{{route: [{{destination: {{host: a.example}}}}], {more}}}");
        let all = action(&text, "").request_mirror_policies.into_iter();
        all.map(|it| (it.cluster, it.runtime_fraction.unwrap().default_value.unwrap().numerator)).collect()
    };
    let b = || "outbound|70||b.example".to_owned();
    let host = "{host: b.example}";
    assert_eq!(shares(&format!("mirror: {host}")), [(b(), 100)]);
    assert_eq!(shares(&format!("mirror: {host}, mirrorPercentage: {{value: 0.5}}")), [(b(), 5000)]);
    assert_eq!(shares(&format!("mirror: {host}, mirrorPercent: 7")), [(b(), 7)]);
    assert_eq!(shares(&format!("mirror: {host}, mirrorPercentage: {{value: 0}}")), []);
    let several =
        format!("mirrors: [{{destination: {host}}}, {{destination: {host}, percentage: {{value: 0}}}}]");
    assert_eq!(shares(&several), [(b(), 100)]);
}

#[test]
fn what_a_route_or_its_only_destination_sets_as_host_is_a_rewrite() {
    let literal = |more: &str, destination: &str| {
        let text = format!("{{route: [{{destination: {{host: a.example}}{destination}}}]{more}}}");
        match action(&text, "").host_rewrite_specifier {
            Some(HostRewriteSpecifier::HostRewriteLiteral(name)) => name,
            None => String::new(),
            other => panic!("{other:?}"),
        }
    };
    let header = |value: &str| format!(", headers: {{request: {{set: {{Host: {value}}}}}}}");
    assert_eq!(literal("", ""), "");
    assert_eq!(literal(&header("route"), ""), "route");
    assert_eq!(literal("", &header("destination")), "destination");
    assert_eq!(literal(&header("route"), &header("destination")), "route");
    assert_eq!(literal(", rewrite: {authority: rewritten}", &header("destination")), "rewritten");
}

#[test]
fn a_redirect_leaves_out_what_goes_without_saying() {
    let redirect = |more: &str| match routes(&format!("{{redirect: {{{more}}}}}"), "").remove(0).action {
        Some(Action::Redirect(it)) => Some((it.port_redirect, it.response_code())),
        None => None,
        other => panic!("{other:?}"),
    };
    use RedirectResponseCode as Code;
    for (more, wanted) in [
        ("uri: /x", Some((0, Code::MovedPermanently))),
        ("uri: /x, port: 80", Some((0, Code::MovedPermanently))),
        ("uri: /x, port: 443", Some((443, Code::MovedPermanently))),
        ("uri: /x, port: 443, scheme: https", Some((0, Code::MovedPermanently))),
        ("uri: /x, derivePort: FROM_REQUEST_PORT, redirectCode: 308", Some((70, Code::PermanentRedirect))),
        ("uri: /x, derivePort: FROM_PROTOCOL_DEFAULT, redirectCode: 303", Some((0, Code::SeeOther))),
        ("uri: /x, redirectCode: 305", None),
    ] {
        assert_eq!(redirect(more), wanted, "{more}");
    }
}

#[test]
fn names_of_matches_follow_the_name_of_their_route() {
    let text = "{name: r, match: [{name: m, uri: {prefix: /a}}, {uri: {prefix: /b}}], route: [{destination: {host: a.example}}]}, \
        {match: [{name: x, uri: {prefix: /c}}], route: [{destination: {host: a.example}}]}, {route: [{destination: {host: a.example}}]}";
    let names: Vec<String> = routes(text, "").into_iter().map(|route| route.name).collect();
    assert_eq!(names, ["r.m", "r", ".x", ""]);
}

#[test]
fn the_redirects_that_cannot_be_written_are_those_that_are_warned_of() {
    for code in 300..400 {
        let rule = format!("{{redirect: {{uri: /x, redirectCode: {code}}}}}");
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\n\
             spec: {{hosts: [a.example], http: [{rule}]}}\n"
        );
        let (_, problems) = crate::model::Config::parse([("f", text.as_str())]);
        let is_written = routes(&rule, "").remove(0).action.is_some();
        assert_eq!(is_written, problems.is_empty(), "{code}: {problems}");
    }
}

#[test]
fn an_answer_has_the_bytes_that_are_written() {
    let body = |body: &str| {
        let text = format!("{{directResponse: {{status: 200, body: {{{body}}}}}}}");
        match routes(&text, "").remove(0).action {
            Some(Action::DirectResponse(it)) => it.body.and_then(|body| body.specifier),
            other => panic!("{other:?}"),
        }
    };
    use self::core::data_source::Specifier;
    assert_eq!(body("string: hello"), Some(Specifier::InlineString("hello".into())));
    assert_eq!(body("bytes: _-8="), Some(Specifier::InlineBytes(vec![0xff, 0xef])));
    assert_eq!(body(""), None);
}

#[test]
fn a_delay_without_time_is_left_out_and_an_abort_stays() {
    use mesh_proto::envoy::extensions::filters::http::fault::v3::HttpFault;
    use prost::Message;
    let fault = |fault: &str| {
        let text = format!("{{fault: {{{fault}}}, route: [{{destination: {{host: a.example}}}}]}}");
        let configs = routes(&text, "").remove(0).typed_per_filter_config;
        HttpFault::decode(configs["envoy.filters.http.fault"].value.as_slice()).unwrap()
    };
    let both = fault("delay: {percentage: {value: 5}}, abort: {httpStatus: 503, percentage: {value: 5}}");
    assert!(both.delay.is_none() && both.abort.is_some());
    let told = fault("delay: {percentage: {value: 5}, fixedDelay: 1s}").delay.unwrap();
    assert!(told.fault_delay_secifier.is_some());
}
