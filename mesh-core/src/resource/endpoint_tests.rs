use super::*;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::google::protobuf::{Struct, UInt32Value, Value, value};

/// An endpoint as istiod describes it.
fn lb_endpoint(number: u32, weight: u32) -> proto::LbEndpoint {
    let host = format!("10.{}.{}.{}", number >> 16, (number >> 8) & 0xff, number & 0xff);
    let text = |text: &str| Value { kind: Some(value::Kind::StringValue(text.to_owned())) };
    let labels = Struct { fields: [("tlsMode".to_owned(), text("istio"))].into() };
    let socket = core::SocketAddress {
        address: host,
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(8080)),
        ..Default::default()
    };
    let address = core::Address { address: Some(core::address::Address::SocketAddress(socket)) };
    proto::LbEndpoint {
        host_identifier: Some(proto::lb_endpoint::HostIdentifier::Endpoint(proto::Endpoint {
            address: Some(address),
            ..Default::default()
        })),
        metadata: Some(core::Metadata {
            filter_metadata: [("envoy.transport_socket_match".to_owned(), labels)].into(),
            ..Default::default()
        }),
        load_balancing_weight: Some(UInt32Value { value: weight }),
        ..Default::default()
    }
}

/// One locality for each list of endpoints.
fn encode(localities: &[Vec<(u32, u32)>]) -> Bytes {
    let endpoints = (0..).zip(localities).map(|(zone, endpoints): (u32, _)| proto::LocalityLbEndpoints {
        locality: Some(core::Locality { zone: zone.to_string(), ..Default::default() }),
        lb_endpoints: endpoints.iter().map(|&(number, weight)| lb_endpoint(number, weight)).collect(),
        load_balancing_weight: Some(UInt32Value { value: 1 }),
        ..Default::default()
    });
    let proto = proto::ClusterLoadAssignment {
        cluster_name: "a".to_owned(),
        endpoints: endpoints.collect(),
        ..Default::default()
    };
    proto.encode_to_vec().into()
}

fn read(localities: &[Vec<(u32, u32)>], previous: Option<&Assignment>) -> Assignment {
    decode("a", &encode(localities), previous, Strictness::Strict).unwrap()
}

/// Pieces of `new` that are not of `old`.
fn decoded(new: &Assignment, old: &Assignment) -> usize {
    let pieces = |assignment: &Assignment| -> Vec<_> {
        assignment.localities().flat_map(|locality| locality.endpoints.pieces().cloned()).collect()
    };
    let old = pieces(old);
    pieces(new).iter().filter(|piece| !old.iter().any(|other| Arc::ptr_eq(piece, other))).count()
}

fn many(count: u32) -> Vec<(u32, u32)> {
    (0..count).map(|number| (number, 1)).collect()
}

#[test]
fn what_did_not_change_is_shared() {
    let localities = [many(1000), (5000..5100).map(|number| (number, 1)).collect()];
    let before = read(&localities, None);
    assert_eq!(decoded(&read(&localities, Some(&before)), &before), 0);
    type Change = fn(&mut [Vec<(u32, u32)>]);
    let changes: [(&str, Change); 6] = [
        ("a weight", |l| l[0][500].1 = 200),
        ("another address", |l| l[0][0].0 = 9000),
        ("one more at the end", |l| l[0].push((9000, 1))),
        ("one more in the middle", |l| l[1].insert(50, (9000, 1))),
        ("one less", |l| {
            l[0].remove(700);
        }),
        ("one moves to another locality", |l| {
            let moved = l[0].remove(999);
            l[1].push(moved);
        }),
    ];
    for (what, change) in changes {
        let mut localities = localities.clone();
        change(&mut localities);
        let after = read(&localities, Some(&before));
        assert!(decoded(&after, &before) <= 4, "{what}: {} pieces", decoded(&after, &before));
        let alone = read(&localities, None);
        for (after, alone) in after.localities().zip(alone.localities()) {
            assert!(after.endpoints.iter().eq(alone.endpoints.iter()), "{what}");
        }
    }
}

#[test]
fn an_address_that_comes_twice_is_found_among_what_is_shared() {
    let before = read(&[many(200)], None);
    for twice in [0, 100, 198] {
        let mut localities = [many(200)];
        localities[0][199].0 = twice;
        let error =
            decode("a", &encode(&localities), Some(&before), Strictness::Strict).unwrap_err().to_string();
        assert!(error.contains("comes twice"), "{error}");
    }
    // More of them than are looked for one by one.
    let mut localities = [many(200)];
    localities[0].extend((1000..1010).map(|number| (number, 1)));
    localities[0].push((3, 1));
    assert!(decode("a", &encode(&localities), Some(&before), Strictness::Strict).is_err());
}

#[test]
fn many_changes_do_not_wear_it_out() {
    let mut localities = [many(160)];
    let mut before = read(&localities, None);
    for number in 0..100 {
        localities[0].insert((number * 7 % 160) as usize, (10_000 + number, 1));
        localities[0].remove((number * 13 % 160) as usize);
        let after = read(&localities, Some(&before));
        let alone = read(&localities, None);
        let (after_list, alone) = (&after.priorities[0][0].endpoints, &alone.priorities[0][0].endpoints);
        assert!(after_list.iter().eq(alone.iter()));
        assert!(after_list.pieces().count() < 50, "{} pieces", after_list.pieces().count());
        before = after;
    }
}

#[test]
fn endpoints_keep_what_is_said_of_them() {
    let assignment = read(&[many(3)], None);
    let endpoint = assignment.priorities[0][0].endpoints.iter().next().unwrap();
    assert_eq!(endpoint.address.to_string(), "10.0.0.0:8080");
    let metadata = endpoint.metadata.as_ref().unwrap();
    assert_eq!(metadata.text("envoy.transport_socket_match", "tlsMode"), Some("istio"));
    let last = assignment.priorities[0][0].endpoints.iter().last().unwrap();
    assert!(Arc::ptr_eq(metadata, last.metadata.as_ref().unwrap()), "the same metadata are kept once");
}
