//! Checks of traffic policies.

use super::super::parts::Parts;
use super::super::traffic_policy::{
    ConnectionPool, ConsistentHash, H2Upgrade, LoadBalancer, LocalityLb, Outlier, PortPolicy, Simple, Tls,
    TlsMode, TrafficPolicy, Tunnel, Warmup,
};
use super::super::values::Unused;
use super::{Check, names};
use std::net::IpAddr;

const MAX_TABLE: u64 = 5_000_011;
/// The labels that tell regions, which the older `failover` tells too.
const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

pub(super) fn traffic_policy(policy: &TrafficPolicy, check: &mut Check) {
    if *policy == TrafficPolicy::default() {
        check.error("", "is empty");
    }
    parts(policy.into(), check);
    if let Some(Unused(it)) = &policy.tunnel {
        check.within("tunnel", |check| tunnel(it, check));
        if policy.proxy_protocol.is_some() {
            check.error("proxyProtocol", "give either tunnel or proxyProtocol");
        }
    }
    check.each("portLevelSettings", &policy.port_level_settings, port_policy);
}

fn port_policy(policy: &PortPolicy, check: &mut Check) {
    if policy.port.is_none() {
        check.error("port", "required");
    }
    if (PortPolicy { port: None, ..policy.clone() }) == PortPolicy::default() {
        check.error("", "is empty");
    }
    parts(policy.into(), check);
}

fn parts(parts: Parts<'_>, check: &mut Check) {
    let outlier = parts.outlier_detection.is_some();
    check.given("loadBalancer", parts.load_balancer, |it, check| load_balancer(it, outlier, check));
    check.given("connectionPool", parts.connection_pool, connection_pool);
    check.given("outlierDetection", parts.outlier_detection, outlier_detection);
    check.given("tls", parts.tls, tls);
}

fn load_balancer(balancer: &LoadBalancer, outlier: bool, check: &mut Check) {
    if let Some(Simple::Random | Simple::Passthrough | Simple::LeastConn) = balancer.simple {
        check.warn("simple", "not acted on for clients that balance themselves, which take turns instead");
    }
    check.given("consistentHash", balancer.consistent_hash.as_ref(), consistent_hash);
    check.given("warmup", balancer.warmup.as_ref(), |Unused(it), check| warmup(it, check));
    let locality = balancer.locality_lb_setting.as_ref();
    check.given("localityLbSetting", locality, |it, check| locality_lb(it, outlier, check));
}

fn consistent_hash(hash: &ConsistentHash, check: &mut Check) {
    if hash.minimum_ring_size != 0 {
        check.warn("minimumRingSize", "an old form of ringHash.minimumRingSize");
        if hash.ring_hash.is_some() || hash.maglev.is_some() {
            check.error("minimumRingSize", "give either minimumRingSize or ringHash or maglev");
        }
    }
    let hashed = [
        hash.http_header_name.as_ref().is_some_and(|name| !name.is_empty()),
        hash.http_cookie.is_some(),
        hash.use_source_ip.is_some(),
        hash.http_query_parameter_name.is_some(),
    ];
    if !hashed.contains(&true) {
        check.warn(
            "",
            "hashes nothing: give httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName",
        );
    }
    if let Some(cookie) = &hash.http_cookie {
        check.within("httpCookie", |check| {
            if cookie.name.is_empty() {
                check.error("name", "required");
            }
            if cookie.ttl.is_some_and(|ttl| ttl.as_nanos() < 0) {
                check.error("ttl", "must not be negative");
            }
            for (index, attribute) in cookie.attributes.iter().enumerate() {
                if attribute.name.is_empty() {
                    check.error(&format!("attributes[{index}].name"), "required");
                } else if cookie.attributes[..index].iter().any(|other| other.name == attribute.name) {
                    check.error(
                        &format!("attributes[{index}].name"),
                        format!("{:?} is given twice", attribute.name),
                    );
                }
            }
        });
    }
    if let Some(maglev) = &hash.maglev {
        let size = maglev.table_size;
        if size >= MAX_TABLE {
            check.error("maglev.tableSize", format!("must be less than {MAX_TABLE}"));
        } else if !is_prime(size) {
            check.error("maglev.tableSize", format!("{size} is no prime number"));
        }
    }
}

fn is_prime(number: u64) -> bool {
    // istiod, as Envoy, takes 1 for one.
    number >= 1
        && (2..).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
}

fn warmup(warmup: &Warmup, check: &mut Check) {
    if warmup.duration.is_none() {
        check.error("duration", "required");
    }
    check.duration("duration", warmup.duration);
    if warmup.minimum_percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        check.error("minimumPercent", "must be in the range 0 to 100");
    }
    if warmup.aggression.is_some_and(|aggression| aggression.is_nan() || aggression < 1.0) {
        check.error("aggression", "must be 1 at least");
    }
}

fn locality_lb(setting: &LocalityLb, outlier: bool, check: &mut Check) {
    let failover = !setting.failover.is_empty() || !setting.failover_priority.is_empty();
    if !setting.failover.is_empty() && !setting.distribute.is_empty() {
        check.error("distribute", "give either distribute or failover");
    }
    let label = setting.failover_priority.iter().find(|label| TOPOLOGY.contains(&label.as_str()));
    if let (false, Some(label)) = (setting.failover.is_empty(), label) {
        check.error("failoverPriority", format!("{label:?} tells the same as failover; give either"));
    }
    let mut from: Vec<&str> = Vec::new();
    for (index, distribute) in setting.distribute.iter().enumerate() {
        check.within(format!("distribute[{index}]"), |check| {
            locality("from", &distribute.from, &from, check);
            from.push(&distribute.from);
            let mut to: Vec<&str> = Vec::new();
            for (name, weight) in &distribute.to {
                locality("to", name, &to, check);
                to.push(name);
                if !(1..=100).contains(weight) {
                    check.error("to", format!("the share {weight} of {name:?} is not in the range 1 to 100"));
                }
            }
            let total: u64 = distribute.to.values().map(|weight| u64::from(*weight)).sum();
            if total != 100 {
                check.error("to", format!("the sum is {total}, not 100"));
            }
        });
    }
    check.each("failover", &setting.failover, |failover, check| {
        if failover.from == failover.to {
            check.error("to", "must be another region");
        }
        for (field, region) in [("from", &failover.from), ("to", &failover.to)] {
            if region.contains(['/', '*']) {
                check.error(field, format!("{region:?} is no region"));
            }
        }
    });
    if failover && !outlier {
        check.warn("", "has an effect only together with outlierDetection");
    }
}

/// A locality, that may end in `*` and must not overlap another one.
fn locality(field: &str, name: &str, others: &[&str], check: &mut Check) {
    if name.split('/').any(str::is_empty) {
        check.error(field, format!("{name:?} has an empty part"));
    }
    if name.strip_suffix('*').unwrap_or(name).contains('*') {
        check.error(field, format!("{name:?}: `*` can stand at the end only"));
    }
    let stem = |name: &str| name.trim_end_matches('*').trim_end_matches('/').to_owned();
    let within = |inner: &str, outer: &str| {
        inner == outer || outer.is_empty() || inner.starts_with(&format!("{outer}/"))
    };
    let own = stem(name);
    if name == "*" && !others.contains(&"*") {
        // What no other one covers, if it stands last.
        return;
    }
    if let Some(other) = others.iter().find(|other| within(&own, &stem(other)) || within(&stem(other), &own))
    {
        check.error(field, format!("{name:?} overlaps {other:?}"));
    }
}

fn connection_pool(pool: &ConnectionPool, check: &mut Check) {
    if pool.tcp.is_none() && pool.http.is_none() {
        check.error("", "is empty");
    }
    let mut count = |field: &str, value: i32| {
        if value < 0 {
            check.error(field, "must not be negative");
        }
    };
    if let Some(Unused(tcp)) = &pool.tcp {
        count("tcp.maxConnections", tcp.max_connections);
    }
    if let Some(http) = &pool.http {
        let value = |field: &Option<Unused<i32>>| field.as_ref().map_or(0, |field| field.0);
        count("http.http1MaxPendingRequests", value(&http.http1_max_pending_requests));
        count("http.http2MaxRequests", http.http2_max_requests);
        count("http.maxRequestsPerConnection", value(&http.max_requests_per_connection));
        count("http.maxRetries", value(&http.max_retries));
        count("http.maxConcurrentStreams", value(&http.max_concurrent_streams));
        let upgrade = http.h2_upgrade_policy.as_ref().is_some_and(|policy| policy.0 == H2Upgrade::Upgrade);
        if upgrade && http.use_client_protocol.as_ref().is_some_and(|keep| keep.0) {
            check.error("http.useClientProtocol", "cannot be kept while h2UpgradePolicy is UPGRADE");
        }
        check.duration("http.idleTimeout", http.idle_timeout.as_ref().map(|timeout| timeout.0));
        if let Some(Unused(keepalive)) = &http.http2_keep_alive {
            for (field, value) in [("interval", keepalive.interval), ("timeout", keepalive.timeout)] {
                if value.is_none() {
                    check.error(&format!("http.http2KeepAlive.{field}"), "required");
                }
            }
        }
    }
    if let Some(Unused(tcp)) = &pool.tcp {
        check.duration("tcp.connectTimeout", tcp.connect_timeout);
        check.duration("tcp.maxConnectionDuration", tcp.max_connection_duration);
        // 0 switches it off.
        check.duration("tcp.idleTimeout", tcp.idle_timeout.filter(|timeout| timeout.as_millis() != 0));
        if let Some(keepalive) = &tcp.tcp_keepalive {
            check.duration("tcp.tcpKeepalive.time", keepalive.time);
            check.duration("tcp.tcpKeepalive.interval", keepalive.interval);
        }
    }
}

fn outlier_detection(outlier: &Outlier, check: &mut Check) {
    if outlier.consecutive_errors.is_some() {
        check.warn("consecutiveErrors", "an old form of consecutiveGatewayErrors and consecutive5xxErrors");
    }
    let split = outlier.split_external_local_origin_errors.as_ref().is_some_and(|split| split.0);
    if outlier.consecutive_local_origin_failures.as_ref().is_some_and(|count| count.0 > 0) && !split {
        check.error("consecutiveLocalOriginFailures", "needs splitExternalLocalOriginErrors");
    }
    check.duration("interval", outlier.interval.as_ref().map(|it| it.0));
    check.duration("baseEjectionTime", outlier.base_ejection_time.as_ref().map(|it| it.0));
    for (field, percent) in [
        ("maxEjectionPercent", &outlier.max_ejection_percent),
        ("minHealthPercent", &outlier.min_health_percent),
    ] {
        if percent.as_ref().is_some_and(|percent| !(0..=100).contains(&percent.0)) {
            check.error(field, "must be in the range 0 to 100");
        }
    }
}

fn tls(tls: &Tls, check: &mut Check) {
    let files = [&tls.client_certificate, &tls.private_key, &tls.ca_certificates, &tls.ca_crl];
    let names_trust = match tls.mode {
        TlsMode::Simple => !tls.credential_name.is_empty() || names_trusted(tls),
        // The credential may be that of the client alone.
        TlsMode::Mutual => names_trusted(tls),
        TlsMode::Disable | TlsMode::IstioMutual => false,
    };
    if tls.insecure_skip_verify == Some(true) && names_trust {
        check.error(
            "insecureSkipVerify",
            "leaves no use for caCertificates, credentialName and subjectAltNames",
        );
    }
    if matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual) {
        check.warn("mode", "not acted on yet: calls go in plain text");
    }
    match tls.mode {
        TlsMode::Disable => without_effect(tls, "has no effect with mode DISABLE", check),
        TlsMode::IstioMutual => {
            without_effect(tls, "has no effect with mode ISTIO_MUTUAL: the mesh says who is who", check);
            return;
        }
        TlsMode::Simple | TlsMode::Mutual => {}
    }
    if matches!(tls.mode, TlsMode::Simple | TlsMode::Mutual)
        && !tls.credential_name.is_empty()
        && files.iter().any(|file| !file.is_empty())
    {
        check.error("credentialName", "give either credentialName or files");
    }
    if tls.mode == TlsMode::Mutual && tls.credential_name.is_empty() {
        for (field, file) in
            [("clientCertificate", &tls.client_certificate), ("privateKey", &tls.private_key)]
        {
            if file.is_empty() {
                check.error(field, "required for MUTUAL");
            }
        }
    }
}

/// Warns of everything but the mode.
fn without_effect(tls: &Tls, why: &str, check: &mut Check) {
    for (field, given) in [
        ("clientCertificate", !tls.client_certificate.is_empty()),
        ("privateKey", !tls.private_key.is_empty()),
        ("caCertificates", !tls.ca_certificates.is_empty()),
        ("credentialName", !tls.credential_name.is_empty()),
        ("subjectAltNames", !tls.subject_alt_names.is_empty()),
        ("sni", !tls.sni.is_empty()),
        ("insecureSkipVerify", tls.insecure_skip_verify == Some(true)),
        ("caCrl", !tls.ca_crl.is_empty()),
    ] {
        if given {
            check.warn(field, why);
        }
    }
}

fn names_trusted(tls: &Tls) -> bool {
    !tls.ca_certificates.is_empty() || !tls.subject_alt_names.is_empty()
}

fn tunnel(tunnel: &Tunnel, check: &mut Check) {
    if !matches!(tunnel.protocol.as_str(), "" | "CONNECT" | "POST") {
        check.error("protocol", "must be CONNECT or POST");
    }
    if tunnel.target_host.parse::<IpAddr>().is_err() {
        check.must("targetHost", names::fqdn(&tunnel.target_host));
    }
    check.port("targetPort", tunnel.target_port);
}
