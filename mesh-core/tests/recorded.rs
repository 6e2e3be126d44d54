//! Every answer that was recorded from a real istiod decodes, in both of its dialects, and means what it says.

mod answers;

use answers::{Answer, answers};
use mesh_core::resource::cluster::{EndpointSource, Picking};
use mesh_core::resource::endpoint::Health;
use mesh_core::resource::fields::{Use, scan};
use mesh_core::resource::listener::{ChainAction, Direction, Listener, RouteSource};
use mesh_core::resource::route::{Action, PathMatch, Route};
use mesh_core::resource::tls::TransportSocket;
use mesh_core::resource::{Kind, Resource};
use mesh_core::xds::kind::ResourceKind;
use mesh_proto::envoy::config::cluster::v3 as cluster;
use mesh_proto::envoy::config::endpoint::v3 as endpoint;
use mesh_proto::envoy::config::listener::v3 as listener;
use mesh_proto::envoy::config::route::v3 as route;
use prost::Message;
use std::time::Duration;

fn decode(answer: &Answer) -> Resource {
    match answer.kind.decode(&answer.name, &answer.bytes, None) {
        Ok(resource) => resource,
        Err(reason) => panic!("{}: {} is refused: {reason}", answer.file, answer.name),
    }
}

/// Every recorded resource of one kind, as it came and as it was read.
fn each<M: Message + Default>(kind: Kind, mut check: impl FnMut(&str, M, Resource)) {
    let mut seen = 0;
    for answer in answers().iter().filter(|answer| answer.kind == kind) {
        let place = format!("{}: {}", answer.file, answer.name);
        check(&place, M::decode(&answer.bytes[..]).unwrap(), decode(answer));
        seen += 1;
    }
    assert!(seen > 100, "{seen} of {kind:?}");
}

#[test]
fn nothing_is_refused() {
    let answers = answers();
    for answer in &answers {
        decode(answer);
    }
    for dialect in ["grpc", "sidecar"] {
        for kind in [Kind::Listener, Kind::Route, Kind::Cluster, Kind::Endpoint] {
            let found = |answer: &&Answer| answer.kind == kind && answer.file.contains(dialect);
            assert!(answers.iter().filter(found).count() > 30, "{dialect} {kind:?}");
        }
    }
}

#[test]
fn every_field_is_in_the_table() {
    let mut seen = [0; 6];
    for answer in answers() {
        for (path, how) in scan(answer.kind, &answer.bytes) {
            assert!(
                !path.contains('#'),
                "{}: {}: {path} is not in the table of fields",
                answer.file,
                answer.name
            );
            assert_ne!(how, Use::Refused, "{}: {}: {path}", answer.file, answer.name);
            seen[how as usize] += 1;
        }
    }
    assert!(seen[Use::Acted as usize] > 1000 && seen[Use::Kept as usize] > 1000, "{seen:?}");
}

#[test]
fn listeners_lead_to_routes_or_clusters() {
    let (mut named, mut inline, mut tcp) = (0, 0, 0);
    each(Kind::Listener, |place, proto: listener::Listener, read| {
        let Resource::Listener(read) = read else { panic!("{place}") };
        let server = match &*read {
            Listener::Api(manager) => {
                assert!(proto.api_listener.is_some());
                assert!(
                    matches!(&manager.routes, RouteSource::Named(name) if name.starts_with("outbound|")),
                    "{place}"
                );
                assert!(manager.filters.last().unwrap().is_router());
                return;
            }
            Listener::Server(server) => server,
        };
        assert_eq!(server.chains.len(), proto.filter_chains.len(), "{place}");
        if place.contains("/grpc/") {
            assert_eq!(server.direction, Direction::Unsaid);
        } else {
            assert_ne!(server.direction, Direction::Unsaid, "{place}");
        }
        for chain in server.chains.iter().chain(&server.default_chain) {
            match &chain.action {
                ChainAction::Http(manager) => match &manager.routes {
                    RouteSource::Named(name) => named += usize::from(!name.is_empty()),
                    RouteSource::Inline(config) => inline += config.virtual_hosts.len(),
                },
                ChainAction::Tcp(proxy) => tcp += proxy.clusters.len(),
                ChainAction::Other(why) => panic!("{place}: {why}"),
            }
        }
    });
    assert!(named > 50 && inline > 50 && tcp > 50, "{named} {inline} {tcp}");
}

#[test]
fn routes_mean_what_they_say() {
    let mut actions = [0; 4];
    each(Kind::Route, |place, proto: route::RouteConfiguration, read| {
        let Resource::Route(read) = read else { panic!("{place}") };
        assert_eq!(read.virtual_hosts.len(), proto.virtual_hosts.len());
        assert_eq!(read.ignore_port, place.contains("/sidecar/"), "{place}");
        for (host, proto) in read.virtual_hosts.iter().zip(&proto.virtual_hosts) {
            assert_eq!(host.domains.len(), proto.domains.len());
            assert_eq!(host.request_attempt_count, proto.include_request_attempt_count);
            assert_eq!(host.routes.len(), proto.routes.len(), "{place}: a route was left out");
            for (route, proto) in host.routes.iter().zip(&proto.routes) {
                check_route(place, route, proto);
                match route.action {
                    Action::Forward(_) => actions[0] += 1,
                    Action::Redirect(_) => actions[1] += 1,
                    Action::Respond(_) => actions[2] += 1,
                    Action::Unsupported(_) => actions[3] += 1,
                }
            }
        }
    });
    assert!(actions[0] > 200 && actions[1] > 0 && actions[2] > 0 && actions[3] == 0, "{actions:?}");
}

fn check_route(place: &str, read: &Route, proto: &route::Route) {
    use route::route_action::ClusterSpecifier;
    use route::route_match::PathSpecifier;
    let condition = proto.r#match.as_ref().unwrap();
    assert_eq!(read.condition.headers.len(), condition.headers.len());
    assert_eq!(read.condition.query.len(), condition.query_parameters.len());
    match (&read.condition.path, condition.path_specifier.as_ref().unwrap()) {
        (PathMatch::Prefix(read, _), PathSpecifier::Prefix(proto))
        | (PathMatch::Exact(read, _), PathSpecifier::Path(proto))
        | (PathMatch::SegmentPrefix(read, _), PathSpecifier::PathSeparatedPrefix(proto)) => {
            assert_eq!(**read, *proto);
        }
        (PathMatch::Regex(_), PathSpecifier::SafeRegex(_)) => {}
        (read, proto) => panic!("{place}: {read:?} is not {proto:?}"),
    }
    assert_eq!(read.headers.request.add.len(), proto.request_headers_to_add.len());
    assert_eq!(read.headers.response.add.len(), proto.response_headers_to_add.len());
    assert_eq!(read.headers.request.remove.len(), proto.request_headers_to_remove.len());
    assert_eq!(read.overrides.iter().count(), proto.typed_per_filter_config.len());
    let (Action::Forward(forward), Some(route::route::Action::Route(proto))) = (&read.action, &proto.action)
    else {
        return;
    };
    let clusters: Vec<_> = forward.clusters.iter().map(|cluster| (&*cluster.name, cluster.weight)).collect();
    match proto.cluster_specifier.as_ref().unwrap() {
        ClusterSpecifier::Cluster(name) => assert_eq!(clusters, [(name.as_str(), 1)]),
        ClusterSpecifier::WeightedClusters(weighted) => {
            let weight = |cluster: &route::weighted_cluster::ClusterWeight| {
                cluster.weight.as_ref().map_or(0, |w| w.value)
            };
            let expected = weighted.clusters.iter().map(|cluster| (cluster.name.as_str(), weight(cluster)));
            assert_eq!(clusters, expected.filter(|(_, weight)| *weight > 0).collect::<Vec<_>>());
        }
        other => panic!("{place}: {other:?}"),
    }
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let expected = proto.timeout.as_ref().map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9);
    assert_eq!(seconds(forward.limits.timeout), expected, "{place}");
    assert_eq!(forward.mirrors.len(), proto.request_mirror_policies.len());
    assert_eq!(forward.hash.len(), proto.hash_policy.len());
    if let Some(policy) = &proto.retry_policy {
        let retries = policy.num_retries.as_ref().unwrap().value;
        assert_eq!(forward.retry.as_ref().map_or(0, |retry| retry.num_retries), retries, "{place}");
        let detail = forward.retry_detail.iter().flat_map(|detail| &detail.unknown_conditions);
        assert_eq!(detail.count(), 0, "{place}: {}", policy.retry_on);
    }
}

#[test]
fn clusters_mean_what_they_say() {
    let (mut outlier, mut tls, mut matches, mut dns, mut given) = (0, 0, 0, 0, 0);
    each(Kind::Cluster, |place, proto: cluster::Cluster, read| {
        use cluster::cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy};
        let Resource::Cluster(read) = read else { panic!("{place}") };
        let Some(ClusterDiscoveryType::Type(kind)) = proto.cluster_discovery_type else { panic!("{place}") };
        match (DiscoveryType::try_from(kind).unwrap(), &read.endpoints) {
            (DiscoveryType::Eds, EndpointSource::Named(name)) => {
                let service = &proto.eds_cluster_config.as_ref().unwrap().service_name;
                assert!(**name == *service || service.is_empty());
            }
            (DiscoveryType::Static, EndpointSource::Inline(_)) => given += 1,
            (DiscoveryType::StrictDns | DiscoveryType::LogicalDns, EndpointSource::Dns(_)) => dns += 1,
            (DiscoveryType::OriginalDst, EndpointSource::OriginalDestination(_)) => {}
            (kind, read) => panic!("{place}: {read:?} is not {kind:?}"),
        }
        match (LbPolicy::try_from(proto.lb_policy).unwrap(), &read.policy.picker) {
            (LbPolicy::RoundRobin, Picking::RoundRobin(_))
            | (LbPolicy::LeastRequest, Picking::LeastRequest(_))
            | (LbPolicy::Random, Picking::Random)
            | (LbPolicy::RingHash, Picking::RingHash(_))
            | (LbPolicy::Maglev, Picking::Maglev(_))
            | (LbPolicy::ClusterProvided, Picking::ClusterProvided) => {}
            (proto, read) => panic!("{place}: {read:?} is not {proto:?}"),
        }
        assert_eq!(read.outlier.is_some(), proto.outlier_detection.is_some());
        if let (Some(read), Some(proto)) = (&read.outlier, &proto.outlier_detection) {
            outlier += 1;
            let number = proto.consecutive_5xx.as_ref().map_or(5, |number| number.value);
            assert_eq!(read.consecutive_5xx.threshold, number, "{place}");
        }
        if let Some(threshold) = proto.circuit_breakers.as_ref().and_then(|limits| limits.thresholds.first())
        {
            let requests = threshold.max_requests.as_ref().map(|max| max.value);
            assert_eq!(read.limits.default.max_requests, requests, "{place}");
        }
        assert_eq!(read.connect_timeout.is_some(), proto.connect_timeout.is_some());
        assert_eq!(read.transport.matches.len(), proto.transport_socket_matches.len());
        for found in &read.transport.matches {
            let mode = found.criteria.get("tlsMode").and_then(|mode| mode.as_str());
            assert_eq!(found.socket.is_tls(), mode == Some("istio"), "{place}: {found:?}");
            matches += 1;
        }
        assert_eq!(read.transport.otherwise.is_tls(), proto.transport_socket.is_some(), "{place}");
        if let TransportSocket::Tls(context) = &read.transport.otherwise {
            tls += 1;
            assert!(context.context.validation.as_ref().unwrap().roots.is_some(), "{place}");
        }
        assert_eq!(read.metadata.is_some(), proto.metadata.is_some());
    });
    assert!(
        outlier > 2 && tls > 2 && matches > 50 && dns > 2 && given > 30,
        "{outlier} {tls} {matches} {dns} {given}"
    );
}

#[test]
fn assignments_mean_what_they_say() {
    let (mut healthy, mut labelled) = (0, 0);
    each(Kind::Endpoint, |place, proto: endpoint::ClusterLoadAssignment, read| {
        let Resource::Endpoint(read) = read else { panic!("{place}") };
        let weighs = |group: &&endpoint::LocalityLbEndpoints| {
            group.load_balancing_weight.as_ref().is_some_and(|weight| weight.value > 0)
        };
        let mut expected: Vec<_> = proto.endpoints.iter().filter(weighs).collect();
        expected.sort_by_key(|group| group.priority);
        assert_eq!(read.localities().count(), expected.len());
        for (read, proto) in read.localities().zip(expected) {
            let locality = proto.locality.clone().unwrap_or_default();
            assert_eq!(read.locality.zone, locality.zone, "{place}");
            assert_eq!(read.weight, proto.load_balancing_weight.as_ref().unwrap().value);
            assert_eq!(read.endpoints.len(), proto.lb_endpoints.len());
            for (read, proto) in read.endpoints.iter().zip(&proto.lb_endpoints) {
                let weight = proto.load_balancing_weight.as_ref().map_or(1, |weight| weight.value);
                assert_eq!(read.weight, weight);
                healthy += usize::from(read.health == Health::Healthy);
                let mode =
                    read.metadata.as_ref().and_then(|m| m.text("envoy.transport_socket_match", "tlsMode"));
                labelled += usize::from(mode == Some("istio"));
            }
        }
    });
    assert!(healthy > 100 && labelled > 0, "{healthy} {labelled}");
}
