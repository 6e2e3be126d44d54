//! Control planes over TLS: who trusts whom, and what is said when somebody does not.

use mesh_core::Mesh;
use mesh_core::bootstrap::Bootstrap;
use mesh_core::telemetry::events::Event;
use mesh_testkit::ads::Server;
use mesh_testkit::ca::{Ca, Issued};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::net::Listener;
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

const PLACE: &str = "istiod.test:15012";
const HOST: &str = "istiod.test";
const BACKENDS: [&str; 1] = ["10.0.0.1:80"];

fn pki(folder: &TempDir, name: &str, content: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn mesh(world: &World, place: &str, config: &str) -> Mesh {
    let json = format!(
        r#"{{"xds_servers": [{{"server_uri": "{place}", "channel_creds": [{{"type": "tls", "config": {config}}}]}}]}}"#
    );
    Mesh::builder()
        .bootstrap(Bootstrap::from_json(&json).unwrap())
        .dialer(world.net.dialer())
        .seed(1)
        .build()
        .unwrap()
}

fn serve(world: &World, identity: &Issued, clients: Option<&Ca>) -> Server {
    world.control.serve_on(world.net.listen(PLACE).with_tls(identity, clients, b"h2").unwrap())
}

async fn answers(mesh: &Mesh) -> bool {
    let mut client = EchoClient::new(Channel::new(mesh, TARGET).unwrap());
    matches!(timeout(Duration::from_secs(30), client.unary(Message::new("x"))).await, Ok(Ok(_)))
}

/// Why the control plane of a new mesh cannot be reached.
async fn failure(world: &World, place: &str, config: &str) -> String {
    let mesh = mesh(world, place, config);
    let mut events = mesh.events();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    let down = async {
        loop {
            if let Event::ControlPlaneDown(reason) = events.recv().await.unwrap() {
                return reason.to_string();
            }
        }
    };
    timeout(Duration::from_secs(60), down).await.expect("it fails")
}

#[tokio::test(start_paused = true)]
async fn both_ends_prove_who_they_are_and_what_was_exchanged_on_disk_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let (ca, clients, others) = (Ca::new("a").unwrap(), Ca::new("b").unwrap(), Ca::new("c").unwrap());
    let server = serve(&world, &ca.issue(&[HOST]).unwrap(), Some(&clients));
    let us = clients.issue(&["us"]).unwrap();
    let config = format!(
        r#"{{"ca_certificate_file": {:?}, "certificate_file": {:?}, "private_key_file": {:?}}}"#,
        pki(&folder, "ca", &ca.pem()),
        pki(&folder, "chain", &us.certificate),
        pki(&folder, "key", &us.key),
    );
    let mesh = mesh(&world, PLACE, &config);
    assert!(answers(&mesh).await);

    // The server moves to other authorities; the files follow, and the next connection reads them.
    let mut events = mesh.events();
    let theirs = others.issue(&["us"]).unwrap();
    pki(&folder, "ca", &others.pem());
    pki(&folder, "chain", &theirs.certificate);
    pki(&folder, "key", &theirs.key);
    drop(server);
    let _server = serve(&world, &others.issue(&[HOST]).unwrap(), Some(&others));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.control.streams(), 1);
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, Event::ControlPlaneDown(_)), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let (ca, other) = (Ca::new("a").unwrap(), Ca::new("b").unwrap());
    let roots = pki(&folder, "ca", &ca.pem());
    let trusting = format!(r#"{{"ca_certificate_file": {roots:?}}}"#);
    let good = ca.issue(&[HOST, "10.255.0.9"]).unwrap();

    let _server = serve(&world, &other.issue(&[HOST]).unwrap(), None);
    let why = failure(&world, PLACE, &trusting).await;
    assert!(
        why.contains("istiod.test: the peer's certificate is not signed by a trusted authority"),
        "{why}"
    );

    let _server = serve(&world, &ca.issue(&["another.test"]).unwrap(), None);
    let why = failure(&world, PLACE, &trusting).await;
    assert!(why.contains("for another name") && why.contains("another.test"), "{why}");

    let _server = serve(&world, &ca.issue_expired(&[HOST]).unwrap(), None);
    let why = failure(&world, PLACE, &trusting).await;
    assert!(why.contains("the peer's certificate has expired"), "{why}");

    let _server = serve(&world, &good, Some(&other));
    let why = failure(&world, PLACE, &trusting).await;
    assert!(why.to_lowercase().contains("certificate"), "{why}");

    let _server = world.control.serve_on(world.net.listen(PLACE).with_tls(&good, None, b"http/1.1").unwrap());
    let why = failure(&world, PLACE, &trusting).await;
    assert!(why.contains("istiod.test"), "{why}");

    let _server = world.control.serve_on(world.net.listen(PLACE));
    let why = failure(&world, PLACE, &trusting).await;
    assert!(why.contains("the peer does not speak TLS"), "{why}");

    let missing = folder.path().join("missing");
    let why = failure(&world, PLACE, &format!(r#"{{"ca_certificate_file": {missing:?}}}"#)).await;
    assert!(why.contains("ca_certificate_file") && why.contains("missing"), "{why}");

    let empty = pki(&folder, "empty", "no certificate here");
    let why = failure(&world, PLACE, &format!(r#"{{"ca_certificate_file": {empty:?}}}"#)).await;
    assert!(why.contains("holds no certificate in PEM"), "{why}");

    let files = |chain: &str, key: &str| {
        format!(
            r#"{{"ca_certificate_file": {roots:?}, "certificate_file": {chain:?}, "private_key_file": {key:?}}}"#
        )
    };
    let chain = pki(&folder, "chain", &good.certificate);
    let why = failure(&world, PLACE, &files(&chain, &empty)).await;
    assert!(why.contains("private_key_file"), "{why}");
    let foreign = pki(&folder, "foreign", &other.issue(&["x"]).unwrap().key);
    let why = failure(&world, PLACE, &files(&chain, &foreign)).await;
    assert!(why.contains("private_key_file") && why.contains(Path::new(&foreign).to_str().unwrap()), "{why}");
}

#[tokio::test(start_paused = true)]
async fn the_name_may_be_given_and_an_address_is_a_name_too() {
    let folder = tempfile::tempdir().unwrap();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let ca = Ca::new("a").unwrap();
    let roots = pki(&folder, "ca", &ca.pem());
    let place = "10.255.0.9:15012";
    let listen = |identity: &Issued| world.net.listen(place).with_tls(identity, None, b"h2").unwrap();

    let _server = world.control.serve_on(listen(&ca.issue(&["10.255.0.9"]).unwrap()));
    assert!(answers(&mesh(&world, place, &format!(r#"{{"ca_certificate_file": {roots:?}}}"#))).await);

    let _server = world.control.serve_on(listen(&ca.issue(&["istiod.istio-system.svc"]).unwrap()));
    let named =
        format!(r#"{{"ca_certificate_file": {roots:?}, "mesh.server_name": "istiod.istio-system.svc"}}"#);
    assert!(answers(&mesh(&world, place, &named)).await);
    let why = failure(&world, place, &format!(r#"{{"ca_certificate_file": {roots:?}}}"#)).await;
    assert!(why.contains("for another name"), "{why}");
    let why = failure(
        &world,
        place,
        &format!(r#"{{"ca_certificate_file": {roots:?}, "mesh.server_name": "a b"}}"#),
    )
    .await;
    assert!(why.contains("cannot be the name in a certificate"), "{why}");
}

#[tokio::test]
async fn a_real_socket_on_loopback_works_too() {
    let folder = tempfile::tempdir().unwrap();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let ca = Ca::new("a").unwrap();
    let listener = Listener::loopback().await.unwrap();
    let port = listener.local_address().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let _server =
        world.control.serve_on(listener.with_tls(&ca.issue(&["localhost"]).unwrap(), None, b"h2").unwrap());
    let json = format!(
        r#"{{"xds_servers": [{{"server_uri": "dns:///localhost:{port}", "channel_creds": [
            {{"type": "tls", "config": {{"ca_certificate_file": {:?}}}}}]}}]}}"#,
        pki(&folder, "ca", &ca.pem())
    );
    let mesh = Mesh::from_bootstrap(Bootstrap::from_json(&json).unwrap()).unwrap();
    let mut events = mesh.events();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    let up = async { while !matches!(events.recv().await, Ok(Event::ControlPlaneUp)) {} };
    timeout(Duration::from_secs(30), up).await.expect("the control plane is reached");
    timeout(Duration::from_secs(30), async {
        while world.control.requests().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is asked");
}
