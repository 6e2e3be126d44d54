//! The embedded control plane.

use bytes::Bytes;
use mesh_control::Embedded;
use mesh_core::xds::in_process::{self, ControlPlane, Protocol};
use mesh_proto::ads::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use mesh_proto::envoy::config::core::v3::Node;
use prost::Message;
use std::time::Duration;
use tokio::time::timeout;

/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(20);
const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

fn node() -> Option<Node> {
    Some(Node { id: "me".to_owned(), ..Default::default() })
}

async fn exchange(control_plane: &Embedded, protocol: Protocol, request: Vec<u8>) -> Option<Bytes> {
    let (mut client, server) = in_process::stream(protocol);
    control_plane.serve(server);
    client.requests.send(request.into()).await.unwrap();
    timeout(LONG, client.responses.recv()).await.expect("no answer")
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_served_in_the_protocol_that_it_speaks() {
    let control_plane = Embedded::from_yaml("").unwrap();
    let request = DeltaDiscoveryRequest {
        node: node(),
        type_url: CLUSTER.to_owned(),
        resource_names_subscribe: vec!["nothing".to_owned()],
        ..Default::default()
    };
    let answer = exchange(&control_plane, Protocol::Delta, request.encode_to_vec()).await.unwrap();
    assert_eq!(DeltaDiscoveryResponse::decode(answer).unwrap().removed_resources, ["nothing"]);
    let request = DiscoveryRequest {
        node: node(),
        type_url: CLUSTER.to_owned(),
        resource_names: vec!["nothing".to_owned()],
        ..Default::default()
    };
    let answer = exchange(&control_plane, Protocol::StateOfTheWorld, request.encode_to_vec()).await.unwrap();
    let answer = DiscoveryResponse::decode(answer).unwrap();
    assert_eq!((answer.resources.len(), answer.version_info.as_str()), (0, "1"));
    assert_eq!(exchange(&control_plane, Protocol::Delta, vec![0xff]).await, None, "garbage ends the stream");
}

#[tokio::test]
async fn a_broken_configuration_is_shown_and_the_last_good_one_stays() {
    let control_plane = Embedded::from_yaml("").unwrap();
    let problems = control_plane.replace("kind: Nonsense").unwrap_err();
    assert!(!problems.errors.is_empty());
    assert_eq!((control_plane.version(), control_plane.problems()), (1, problems));
    control_plane.clone().replace("").unwrap();
    assert_eq!(control_plane.version(), 2, "clones share the configuration");
    assert!(control_plane.problems().errors.is_empty());
    assert!(Embedded::from_yaml("a: [").is_err());
}

#[tokio::test]
async fn a_directory_is_not_replaced_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let control_plane = Embedded::open(dir.path()).unwrap();
    let problems = control_plane.replace("").unwrap_err();
    assert!(problems.errors[0].contains("directory"), "{problems:?}");
    assert_eq!(control_plane.version(), 1);
}
