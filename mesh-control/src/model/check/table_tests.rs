//! What istioctl says to specs beyond its recorded answers, by the rules of istiod 1.29.

use crate::model::Config;

const SERVICE: &str =
    "hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}]";

/// Whether a spec of a kind is taken.
fn is_taken(kind: &str, spec: &str) -> bool {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec: {{{spec}}}\n"
    );
    Config::parse([("f", text.as_str())]).1.errors.is_empty()
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
