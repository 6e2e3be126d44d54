//! What istioctl says to specs beyond its recorded answers, by the rules of istiod 1.29; and of what we warn.

use crate::model::{Config, Problems};

const SERVICE: &str =
    "hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]";

fn problems(kind: &str, spec: &str) -> Problems {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec: {{{spec}}}\n"
    );
    Config::parse([("f", text.as_str())]).1
}

/// Whether a spec of a kind is taken.
fn is_taken(kind: &str, spec: &str) -> bool {
    problems(kind, spec).errors.is_empty()
}

/// The fields of a good spec that are warned of, each as it follows on `under`.
fn warned(kind: &str, spec: &str, under: &str) -> String {
    let found = problems(kind, spec);
    assert!(found.errors.is_empty(), "{spec}: {found}");
    let start = format!("f:4: {kind} shop/a: spec.{under}");
    let field = |told: &String| {
        let field = told.strip_prefix(&start).unwrap_or_else(|| panic!("{told} is not about {under}"));
        field.split(": ").next().unwrap().trim_start_matches('.').to_owned()
    };
    found.warnings.iter().map(field).collect::<Vec<_>>().join(" ")
}

fn judge(kind: &str, cases: &[(&str, bool)]) {
    for (spec, wanted) in cases {
        assert_eq!(is_taken(kind, spec), *wanted, "{spec}");
    }
}

#[test]
fn services() {
    judge(
        "ServiceEntry",
        &[
            (SERVICE, true),
            (
                "hosts: [a.example, b.example], resolution: STATIC, ports: [{number: 80, name: a, protocol: GRPC}]",
                true,
            ),
            ("hosts: [a.example, b.example], resolution: STATIC, ports: [{number: 80, name: a}]", false),
            ("hosts: [a.example, b.example], resolution: NONE, ports: [{number: 80, name: a}]", true),
            (
                "hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: a, protocol: HTTP_PROXY}]",
                true,
            ),
            (
                "hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: a, protocol: thrift}]",
                false,
            ),
            (
                "hosts: ['*.example'], resolution: DNS, workloadSelector: {labels: {a: b}}, ports: [{number: 80, name: a}]",
                false,
            ),
            (
                "hosts: [a.example], resolution: DNS, endpoints: [{address: 'unix:///a'}], ports: [{number: 80, name: a}]",
                false,
            ),
            (
                "hosts: [a.example], resolution: DNS, endpoints: [{network: n}], ports: [{number: 80, name: a}]",
                false,
            ),
            (
                "hosts: ['*.example'], resolution: DYNAMIC_DNS, ports: [{number: 80, name: a, protocol: GRPC}]",
                false,
            ),
            (
                "hosts: ['*.example'], resolution: DYNAMIC_DNS, ports: [{number: 80, name: a, protocol: TLS}]",
                true,
            ),
        ],
    );
}

#[test]
fn rules_for_requests() {
    const TO: &str = "route: [{destination: {host: a}}]";
    let with = |more: &str| format!("hosts: [a], http: [{{{TO}, {more}}}]");
    for (more, wanted) in [
        ("match: [{headers: {':status': {exact: x}}}]", true),
        ("match: [{headers: {':other': {exact: x}}}]", false),
        ("match: [{headers: {x.y: {exact: x}}}]", true),
        ("match: [{headers: {'x y': {exact: x}}}]", false),
        ("match: [{gateways: [mesh, shop/g]}]", true),
        ("match: [{gateways: [./g]}]", false),
        ("retries: {attempts: 1, retryOn: '430'}", false),
        ("retries: {attempts: 1, retryOn: '425,508'}", true),
        ("retries: {attempts: 1, retryOn: '509'}", false),
        ("headers: {request: {set: {a: '%START_TIME(%s)%'}}}", true),
        ("headers: {response: {set: {a: '50%'}}}", false),
        ("headers: {response: {add: {':a': b}}}", false),
    ] {
        assert_eq!(is_taken("VirtualService", &with(more)), wanted, "{more}");
    }
    judge(
        "VirtualService",
        &[
            ("hosts: [a], http: [{redirect: {uri: /a, port: 65536}}]", false),
            ("hosts: [a], http: [{redirect: {port: 8080}}]", true),
            ("hosts: [a], http: [{delegate: {name: b}, directResponse: {status: 200}}]", true),
            ("hosts: [a], http: [{delegate: {name: b}, redirect: {uri: /a}}]", false),
            ("hosts: [a], gateways: [a/b/c], http: [{route: [{destination: {host: a}}]}]", false),
        ],
    );
    let body = |size: usize| {
        format!(
            "hosts: [a], http: [{{directResponse: {{status: 200, body: {{string: {}}}}}}}]",
            "x".repeat(size)
        )
    };
    assert!(is_taken("VirtualService", &body(1 << 20)) && !is_taken("VirtualService", &body((1 << 20) + 1)));
}

#[test]
fn rules_for_calls() {
    let with = |policy: &str| format!("host: a, trafficPolicy: {{{policy}}}");
    for (policy, wanted) in [
        ("portLevelSettings: [{port: {}, loadBalancer: {simple: RANDOM}}]", true),
        ("portLevelSettings: [{loadBalancer: {simple: RANDOM}}]", false),
        ("connectionPool: {tcp: {idleTimeout: 0s}}", true),
        ("connectionPool: {tcp: {idleTimeout: 1us}}", true),
        ("connectionPool: {tcp: {tcpKeepalive: {time: 0s}}}", false),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: a, attributes: [{name: '', value: b}]}}}",
            false,
        ),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1}}}", true),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 9}}}", false),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: us/*, to: {us/*: 100}}, {from: '*', to: {eu/*: 100}}]}}",
            true,
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: '*', to: {us/*: 100}}, {from: us/*, to: {eu/*: 100}}]}}",
            false,
        ),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: us, to: {us: 100}}], failoverPriority: [a]}}",
            true,
        ),
        ("tls: {mode: MUTUAL, insecureSkipVerify: true, credentialName: a}", true),
        ("tls: {mode: SIMPLE, insecureSkipVerify: true, credentialName: a}", false),
        ("tunnel: {targetHost: 10.0.0.1, targetPort: 80}", true),
        ("tunnel: {targetHost: 'a b', targetPort: 80}", false),
    ] {
        assert_eq!(is_taken("DestinationRule", &with(policy)), wanted, "{policy}");
    }
    let selector = "workloadSelector: {matchLabels: {a: b}}, trafficPolicy: {tls: {mode: DISABLE}}";
    for (export, wanted) in [("'.'", true), ("shop", true), ("other", false), ("'*'", false)] {
        let spec = format!("host: a, exportTo: [{export}], {selector}");
        assert_eq!(is_taken("DestinationRule", &spec), wanted, "{export}");
    }
}

#[test]
fn rules_for_requests_of_which_a_part_is_lost_are_warned_of() {
    for (more, fields) in [
        ("timeout: 1s", ""),
        ("corsPolicy: {allowOrigins: [{exact: 'https://a.example'}]}", "corsPolicy"),
        ("fault: {abort: {httpStatus: 503, percentage: {value: 0}}}", ""),
        ("fault: {abort: {httpStatus: 503}}", "fault.abort"),
        ("fault: {abort: {percentage: {value: 5}}}", "fault.abort"),
        ("fault: {delay: {fixedDelay: 1s, percentage: {value: 5}}}", ""),
        ("fault: {delay: {fixedDelay: 1s}}", "fault.delay"),
        ("fault: {delay: {fixedDelay: 1s, percent: 5}}", "fault.delay.percent"),
        ("fault: {delay: {percentage: {value: 5}}}", "fault.delay"),
        ("mirror: {host: b}, mirrorPercent: 5", "mirrorPercent"),
    ] {
        let spec = format!("hosts: [a], http: [{{route: [{{destination: {{host: a}}}}], {more}}}]");
        assert_eq!(warned("VirtualService", &spec, "http[0]"), fields, "{more}");
    }
    for (code, fields) in [
        ("", ""),
        ("redirectCode: 0", ""),
        ("redirectCode: 300", "redirect.redirectCode"),
        ("redirectCode: 301", ""),
        ("redirectCode: 302", ""),
        ("redirectCode: 303", ""),
        ("redirectCode: 304", "redirect.redirectCode"),
        ("redirectCode: 306", "redirect.redirectCode"),
        ("redirectCode: 307", ""),
        ("redirectCode: 308", ""),
        ("redirectCode: 309", "redirect.redirectCode"),
        ("redirectCode: 399", "redirect.redirectCode"),
    ] {
        let spec = format!("hosts: [a], http: [{{redirect: {{uri: /a, {code}}}}}]");
        assert_eq!(warned("VirtualService", &spec, "http[0]"), fields, "{code}");
    }
    for (gateways, fields) in [("", ""), ("mesh", ""), ("shop/g, mesh", ""), ("shop/g", "gateways")] {
        let spec =
            format!("hosts: [a], gateways: [{gateways}], http: [{{route: [{{destination: {{host: a}}}}]}}]");
        assert_eq!(warned("VirtualService", &spec, ""), fields, "{gateways}");
    }
}

#[test]
fn rules_for_calls_of_which_a_part_is_lost_are_warned_of() {
    for (policy, fields) in [
        ("tls: {mode: ISTIO_MUTUAL}", ""),
        ("tls: {mode: ISTIO_MUTUAL, insecureSkipVerify: false}", ""),
        ("tls: {mode: ISTIO_MUTUAL, sni: a.example}", "tls.sni"),
        ("tls: {mode: ISTIO_MUTUAL, subjectAltNames: [a], sni: b}", "tls.subjectAltNames tls.sni"),
        (
            "tls: {mode: ISTIO_MUTUAL, clientCertificate: a, privateKey: b, caCertificates: c}",
            "tls.clientCertificate tls.privateKey tls.caCertificates",
        ),
        ("tls: {mode: ISTIO_MUTUAL, credentialName: a, caCrl: b}", "tls.credentialName tls.caCrl"),
        ("tls: {mode: ISTIO_MUTUAL, insecureSkipVerify: true}", "tls.insecureSkipVerify"),
        ("tls: {mode: DISABLE}", ""),
        ("tls: {mode: DISABLE, sni: a}", "tls.sni"),
        ("tls: {subjectAltNames: [a]}", "tls.subjectAltNames"),
        ("tls: {mode: SIMPLE, sni: a}", "tls.mode"),
        ("loadBalancer: {consistentHash: {httpHeaderName: a}}", ""),
        ("loadBalancer: {consistentHash: {useSourceIp: false}}", ""),
        ("loadBalancer: {consistentHash: {maglev: {tableSize: 7}}}", "loadBalancer.consistentHash"),
        ("loadBalancer: {consistentHash: {httpHeaderName: ''}}", "loadBalancer.consistentHash"),
        ("portLevelSettings: [{port: {number: 1}, tls: {sni: a}}]", "portLevelSettings[0].tls.sni"),
    ] {
        let spec = format!("host: a, trafficPolicy: {{{policy}}}");
        assert_eq!(warned("DestinationRule", &spec, "trafficPolicy"), fields, "{policy}");
    }
}

#[test]
fn workloads_that_are_no_endpoints_are_warned_of() {
    for (address, fields) in
        [("10.0.0.1", ""), ("'2001:db8::1'", ""), ("a.example", "address"), ("unix:///a", "address")]
    {
        assert_eq!(warned("WorkloadEntry", &format!("address: {address}"), ""), fields, "{address}");
    }
}

#[test]
fn bytes_of_an_answer_must_be_base64() {
    let answer = |bytes: &str| {
        problems(
            "VirtualService",
            &format!("hosts: [a], http: [{{directResponse: {{status: 200, body: {{bytes: {bytes}}}}}}}]"),
        )
    };
    assert!(answer("aGVsbG8=").is_empty());
    let told = answer("'not it'").errors;
    let field = "f:4: VirtualService shop/a: spec.http[0].directResponse.body.bytes: is not Base64: ";
    assert!(told.len() == 1 && told[0].starts_with(field), "{told:?}");
    // What counts for the size is what is sent.
    let size = |bytes: usize| answer(&"A".repeat(bytes / 3 * 4)).errors.len();
    assert_eq!((size((1 << 20) - 1), size((1 << 20) + 2)), (0, 1));
}
