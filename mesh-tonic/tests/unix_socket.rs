//! A control plane behind a Unix domain socket, where Istio's agent has its own.
#![cfg(unix)]

use mesh_core::Mesh;
use mesh_core::bootstrap::Bootstrap;
use mesh_core::telemetry::events::Event;
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::net::Listener;
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(30);

fn mesh(socket: &Path, slashes: &str) -> Mesh {
    let json = format!(
        r#"{{"xds_servers": [{{"server_uri": "unix:{slashes}{}", "channel_creds": [{{"type": "insecure"}}]}}]}}"#,
        socket.display()
    );
    Mesh::from_bootstrap(Bootstrap::from_json(&json).unwrap()).unwrap()
}

fn client(mesh: &Mesh) -> EchoClient<Channel> {
    EchoClient::new(Channel::new(mesh, TARGET).unwrap())
}

/// A call, and who answered it.
async fn call(client: &mut EchoClient<Channel>) -> String {
    let answer = timeout(LONG, client.unary(Message::new("x"))).await.unwrap().unwrap();
    answer.metadata().get("x-backend").unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_call_finds_its_way_by_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("XDS");
    let listener = Listener::loopback().await.unwrap();
    let backend = listener.local_address().unwrap();
    let _backend = Backend::http2("a", listener);
    let world = World::default();
    world.cluster("echo", &[&backend]);
    world.route("echo");
    let control = world.control.serve_on(Listener::unix(&socket).unwrap());
    for slashes in ["", "//"] {
        assert_eq!(call(&mut client(&mesh(&socket, slashes))).await, "a");
    }

    // The agent goes, takes its socket along, and comes back with another one.
    let mesh = mesh(&socket, "");
    let mut client = client(&mesh);
    assert_eq!(call(&mut client).await, "a");
    let mut events = mesh.events();
    drop(control);
    fs::remove_file(&socket).unwrap();
    let down = async { while !matches!(events.recv().await.unwrap(), Event::ControlPlaneDown(_)) {} };
    timeout(LONG, down).await.unwrap();
    assert_eq!(call(&mut client).await, "a", "what is known stays in force");
    let _control = world.control.serve_on(Listener::unix(&socket).unwrap());
    let up = async { while events.recv().await.unwrap() != Event::ControlPlaneUp {} };
    timeout(LONG, up).await.unwrap();
    assert_eq!(call(&mut client).await, "a");
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("XDS");
    let mesh = mesh(&socket, "");
    let mut events = mesh.events();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    let reason = async {
        loop {
            if let Event::ControlPlaneDown(reason) = events.recv().await.unwrap() {
                return reason;
            }
        }
    };
    let reason = timeout(LONG, reason).await.unwrap();
    assert!(reason.contains(socket.to_str().unwrap()), "{reason}");
}
