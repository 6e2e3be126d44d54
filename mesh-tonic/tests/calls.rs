//! Calls through the whole stack, in memory and in virtual time.

use mesh_core::{ClusterConfig, Mesh};
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::net::VirtualNet;
use mesh_tonic::Channel;

#[tokio::test(start_paused = true)]
async fn a_unary_call_to_a_static_cluster() {
    let net = VirtualNet::default();
    let backend = Backend::http2("a", net.listen("10.0.0.1:80"));
    let cluster = ClusterConfig::new("echo").endpoint("10.0.0.1:80").unwrap();
    let mesh = Mesh::builder().dialer(net.dialer()).cluster(cluster).build().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, "static:///echo").unwrap());
    let answer = client.unary(Message::new("hello")).await.unwrap();
    assert_eq!(answer.get_ref().payload, "hello");
    assert_eq!(answer.metadata().get("x-backend").unwrap(), "a");
    assert_eq!((backend.requests(), backend.connections()), (1, 1));
}
