//! Names of any kind in every place that has one: borne, or refused with a reason, and no harm to the neighbours.

use mesh_core::Mesh;
use mesh_core::telemetry::metrics::prometheus;
use mesh_proto::ads::Any;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{any, assignment, cluster, listener, route, routes};
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{Code, Status};

const BACKEND: &str = "10.0.0.1:80";

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Listener,
    Routes,
    Cluster,
    Service,
    Host,
}

const PLACES: [Place; 5] = [Place::Listener, Place::Routes, Place::Cluster, Place::Service, Place::Host];

/// The resources of a target that has the name `name` in one place and good ones in all others; and the target.
fn service(place: Place, name: &str) -> (Vec<Any>, String) {
    let mut names = ["odd:80", "odd-routes", "odd-cluster", "odd-service", "10.0.0.1"];
    names[place as usize] = name;
    let [target, table, of_cluster, service, host] = names;
    let mut proto = cluster(of_cluster);
    proto.eds_cluster_config.as_mut().unwrap().service_name = service.to_owned();
    let resources = vec![
        any(&listener(target, table)),
        any(&routes(table, "*", vec![route("/", &[(of_cluster, 1)])])),
        any(&proto),
        any(&assignment(if service.is_empty() { of_cluster } else { service }, &[&format!("{host}:80")])),
    ];
    (resources, format!("xds:///{target}"))
}

async fn call(mesh: &Mesh, target: &str) -> Result<(), Status> {
    let mut client =
        EchoClient::new(Channel::new(mesh, target).map_err(|error| Status::internal(error.to_string()))?);
    timeout(Duration::from_secs(60), client.unary(Message::new("x"))).await.expect("it ends").map(drop)
}

/// Lines of the text format: nothing of a name begins one.
fn check_metrics(text: &str) {
    for line in text.lines() {
        let begins = line.starts_with("# ") || line.starts_with("grpc_") || line.starts_with("mesh_");
        assert!(begins, "{:?}", line.chars().take(100).collect::<String>());
    }
}

#[tokio::test(start_paused = true)]
async fn names_of_any_length_and_alphabet_are_borne_everywhere() {
    let (long, foreign) = ("x".repeat(64 << 10), "ü".repeat(32 << 10));
    for name in ["größe/日本?q=%20#\u{1F600}", "a\"b\\c\nd\te", &long, &foreign] {
        for place in PLACES {
            let what = format!("{place:?} {:?}", name.chars().take(20).collect::<String>());
            let (world, _backends) = World::with_backends(&[BACKEND]);
            let (resources, target) = service(place, name);
            world.control.set(resources);
            let mesh = world.mesh().unwrap();
            let mut neighbour = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
            neighbour.unary(Message::new("x")).await.unwrap();
            let outcome = call(&mesh, &target).await;
            match place {
                Place::Listener if name.contains('\n') => {
                    let status = outcome.unwrap_err();
                    assert!(
                        status.message().contains("has a character that names cannot have"),
                        "{what}: {status}"
                    );
                }
                // There is no such host.
                Place::Host => {
                    let status = outcome.unwrap_err();
                    let (code, message) = (status.code(), status.message());
                    assert!(code == Code::Unavailable && message.contains(name), "{what}: {status}");
                }
                _ => assert!(outcome.is_ok(), "{what}: {outcome:?}"),
            }
            neighbour.unary(Message::new("x")).await.unwrap();
            assert!(world.control.nacks().is_empty(), "{what}: {:?}", world.control.nacks());
            check_metrics(&prometheus(&mesh.metrics().await.unwrap()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_name_is_refused_where_one_is_needed() {
    for (place, reason) in [
        (Place::Listener, "is not a target: its name is empty"),
        (
            Place::Routes,
            "Listener odd:80 was refused: api_listener.api_listener.rds.route_config_name: must not",
        ),
        (Place::Cluster, "virtual_hosts[0].routes[0].route.cluster: must not be empty"),
        // The name of the cluster is that of its endpoints.
        (Place::Service, ""),
        (
            Place::Host,
            "endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: must not be empty",
        ),
    ] {
        let (world, _backends) = World::with_backends(&[BACKEND]);
        let (resources, target) = service(place, "");
        world.control.set(resources);
        let mesh = world.mesh().unwrap();
        let mut neighbour = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
        neighbour.unary(Message::new("x")).await.unwrap();
        match call(&mesh, &target).await {
            Ok(()) => assert_eq!(reason, "", "{place:?}"),
            Err(status) => {
                assert!(!reason.is_empty() && status.message().contains(reason), "{place:?}: {status}");
            }
        }
        neighbour.unary(Message::new("x")).await.unwrap();
    }
}
