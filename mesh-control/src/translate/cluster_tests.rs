use super::super::testing::World;
use super::*;

/// How the cluster of a service, or of its subset, balances.
fn balancing(rule: &str, subset: &str) -> (LbPolicy, Option<LbConfig>) {
    let spec =
        "hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: http}, {number: 90, name: grpc}]";
    let world = World::new(&[("ServiceEntry", "shop/a", spec), ("DestinationRule", "shop/a", rule)]);
    let (subset, port) = subset.split_once(':').unwrap();
    let cluster = world.cluster("shop", &format!("outbound|{port}|{subset}|a.example")).unwrap();
    (cluster.lb_policy(), cluster.lb_config)
}

#[test]
fn a_balancer_that_this_dialect_lacks_is_left_to_the_client() {
    for (name, wanted) in [
        ("ROUND_ROBIN", LbPolicy::RoundRobin),
        ("LEAST_REQUEST", LbPolicy::LeastRequest),
        ("RANDOM", LbPolicy::RoundRobin),
        ("PASSTHROUGH", LbPolicy::RoundRobin),
        ("LEAST_CONN", LbPolicy::RoundRobin),
        ("UNSPECIFIED", LbPolicy::RoundRobin),
    ] {
        let rule = format!("host: a.example, trafficPolicy: {{loadBalancer: {{simple: {name}}}}}");
        assert_eq!(balancing(&rule, ":80"), (wanted, None), "{name}");
    }
}

#[test]
fn the_nearest_policy_counts_and_that_of_a_port_replaces_all() {
    let rule = "host: a.example, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}, portLevelSettings: [{port: {number: 90}, connectionPool: {http: {http2MaxRequests: 1}}}]}, \
        subsets: [{name: own, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}, {name: heir, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}, \
        {name: port, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}, portLevelSettings: [{port: {number: 90}, loadBalancer: {simple: LEAST_REQUEST}}]}}]";
    for (subset, wanted) in [
        (":80", LbPolicy::LeastRequest),
        (":90", LbPolicy::RoundRobin),
        ("own:80", LbPolicy::RoundRobin),
        ("heir:80", LbPolicy::LeastRequest),
        ("heir:90", LbPolicy::RoundRobin),
        ("port:80", LbPolicy::RoundRobin),
        ("port:90", LbPolicy::LeastRequest),
    ] {
        assert_eq!(balancing(rule, subset).0, wanted, "{subset}");
    }
}

#[test]
fn sizes_of_hashing_balancers_are_those_given_else_left_open() {
    let hash = |more: &str| {
        let rule = format!(
            "host: a.example, trafficPolicy: {{loadBalancer: {{consistentHash: {{httpHeaderName: x{more}}}}}}}"
        );
        balancing(&rule, ":80")
    };
    let ring = |size| {
        let minimum_ring_size = Some(proto::uint64(size));
        Some(LbConfig::RingHashLbConfig(RingHashLbConfig { minimum_ring_size, ..Default::default() }))
    };
    assert_eq!(hash(""), (LbPolicy::RingHash, ring(1024)));
    assert_eq!(hash(", minimumRingSize: 7"), (LbPolicy::RingHash, ring(7)));
    assert_eq!(hash(", ringHash: {minimumRingSize: 8}"), (LbPolicy::RingHash, ring(8)));
    assert_eq!(hash(", ringHash: {}"), (LbPolicy::RingHash, None));
    let table = MaglevLbConfig { table_size: Some(proto::uint64(7)) };
    assert_eq!(hash(", maglev: {tableSize: 7}"), (LbPolicy::Maglev, Some(LbConfig::MaglevLbConfig(table))));
}

#[test]
fn a_rule_for_a_host_without_dot_is_for_the_service_of_its_namespace() {
    let of = |host: &str| {
        format!("hosts: [{host}.svc.cluster.local], resolution: STATIC, ports: [{{number: 80, name: http}}]")
    };
    let (a, b) = (of("a.shop"), of("a.other"));
    let world = World::new(&[
        ("ServiceEntry", "shop/a", &a),
        ("ServiceEntry", "other/a", &b),
        ("DestinationRule", "shop/a", "host: a, trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}"),
    ]);
    let policy = |client: &str, host: &str| {
        world.cluster(client, &format!("outbound|80||{host}.svc.cluster.local")).unwrap().lb_policy()
    };
    assert_eq!(policy("other", "a.shop"), LbPolicy::LeastRequest);
    assert_eq!(policy("shop", "a.other"), LbPolicy::RoundRobin);
}
