//! What a broken control plane sends changes nothing, is named, and is not asked for in a loop.

use bytes::Bytes;
use mesh_core::Mesh;
use mesh_core::bootstrap::{Bootstrap, Node};
use mesh_core::telemetry::events::Event;
use mesh_core::xds::in_process::{ControlPlane, ServerStream};
use mesh_proto::ads::{Any, DiscoveryRequest, DiscoveryResponse};
use mesh_testkit::ads::{Script, Server};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::load::Load;
use mesh_testkit::log::Lines;
use mesh_testkit::resources::{any, assignment, cluster, inline_listener, listener, route, routes};
use mesh_testkit::world::{CONTROL_PLANE, TARGET, World};
use mesh_tonic::Channel;
use prost::Message as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{sleep, timeout};

const MS: fn(u64) -> Duration = Duration::from_millis;
const NO_FAILURES: [&str; 0] = [];

/// A control plane that serves the world's resources, until it is told to send something else first on each new stream.
#[derive(Clone)]
struct Saboteur {
    world: World,
    bad: Arc<Mutex<Option<Bytes>>>,
    streams: Arc<AtomicUsize>,
}

impl ControlPlane for Saboteur {
    fn serve(&self, stream: ServerStream) {
        self.streams.fetch_add(1, Ordering::SeqCst);
        let bad = self.bad.lock().unwrap().clone();
        match bad {
            None => self.world.control.serve(stream),
            Some(bad) => {
                tokio::spawn(async move {
                    let ServerStream { mut requests, responses, .. } = stream;
                    // Fails only if the client hung up.
                    let _ = responses.send(bad).await;
                    while requests.recv().await.is_some() {}
                });
            }
        }
    }
}

fn response(type_url: &str, resources: Vec<Any>) -> Bytes {
    let response = DiscoveryResponse {
        version_info: "bad".to_owned(),
        type_url: type_url.to_owned(),
        resources,
        nonce: "n".to_owned(),
        ..Default::default()
    };
    response.encode_to_vec().into()
}

/// Messages that no control plane should send; after them the stream is closed by the client.
#[tokio::test(start_paused = true)]
async fn garbage_closes_the_stream_and_changes_nothing() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let saboteur = Saboteur { world: world.clone(), bad: Arc::default(), streams: Arc::default() };
    let serve = saboteur.clone();
    let server = |serve: Saboteur| {
        Server::start(world.net.listen(CONTROL_PLANE), move |stream| {
            serve.serve(stream);
            tokio::spawn(async {})
        })
    };
    let mut running = Some(server(serve));
    let mesh = world.remote_mesh().unwrap();
    let mut events = mesh.events();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(100));
    sleep(MS(2_000)).await;
    for (bad, why) in [
        (Bytes::from_static(b"\xff\xff\xff\xff garbage"), "not a discovery response"),
        (Bytes::from_static(b"\x0a\x7f"), "not a discovery response"),
    ] {
        *saboteur.bad.lock().unwrap() = Some(bad);
        drop(running.take());
        sleep(MS(10)).await;
        while events.try_recv().is_ok() {}
        let before = saboteur.streams.load(Ordering::SeqCst);
        running = Some(server(saboteur.clone()));
        sleep(Duration::from_secs(120)).await;
        let attempts = saboteur.streams.load(Ordering::SeqCst) - before;
        assert!((2..100).contains(&attempts), "{attempts} attempts in two minutes");
        let error = mesh.report().await.unwrap().control_plane.unwrap().error.unwrap();
        assert!(error.contains(why), "{error}");
        let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        let is_news = |event: &Event| matches!(event, Event::ControlPlaneUp | Event::ControlPlaneDown(_));
        assert!(!told.iter().any(is_news), "it is away as before: {told:?}");
    }
    *saboteur.bad.lock().unwrap() = None;
    world.cluster("new", &["10.0.0.2:80"]);
    world.route("new");
    let _backend = world.backend("10.0.0.2:80");
    sleep(Duration::from_secs(40)).await;
    let record = load.finish().await;
    assert_eq!(record.failures, NO_FAILURES);
    assert_eq!(record.answers.last().unwrap().1, "10.0.0.2:80", "once it is sane it is listened to");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_100_megabytes_is_not_taken_in() {
    let world = World::default();
    let streams = Arc::new(AtomicUsize::new(0));
    let counted = streams.clone();
    let _server = Server::start(world.net.listen(CONTROL_PLANE), move |stream: ServerStream| {
        counted.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let _ = stream.responses.send(Bytes::from(vec![0; 100 << 20])).await;
            stream.responses.closed().await;
        })
    });
    let mesh = world.remote_mesh().unwrap();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    sleep(Duration::from_secs(20)).await;
    let error = mesh.report().await.unwrap().control_plane.unwrap().error.unwrap();
    assert!(error.contains("104857600 bytes exceeds the limit of 67108864 bytes"), "{error}");
    assert!((2..40).contains(&streams.load(Ordering::SeqCst)));
}

/// A control plane that is not there: attempts are few, and each is spread by chance.
#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_away_is_not_called_in_a_loop() {
    let world = World::default();
    let mesh = world.remote_mesh().unwrap();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    sleep(Duration::from_secs(600)).await;
    let attempts = world.net.dialled(CONTROL_PLANE);
    assert!((20..=800).contains(&attempts), "{attempts} attempts in ten minutes");
    let error = mesh.report().await.unwrap().control_plane.unwrap().error.unwrap();
    assert!(error.contains("connection refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_resource_is_refused_by_name_and_its_neighbours_are_not() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let mut events = mesh.events();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let load = Load::echo(&channel, MS(10));
    sleep(MS(200)).await;

    let mut broken = cluster("echo");
    broken.lb_policy = 99;
    world.cluster("neighbour", &["10.0.0.1:80"]);
    world.control.set([any(&broken)]);
    world.routes(vec![route("/x", &[("neighbour", 1)]), route("/", &[("echo", 1)])]);
    sleep(MS(200)).await;
    let nacks = world.control.nacks();
    assert!(nacks.iter().any(|nack| nack.starts_with("echo: lb_policy: 99")), "{nacks:?}");
    let rejected = std::iter::from_fn(|| events.try_recv().ok())
        .find(|event| matches!(event, Event::Rejected { name, .. } if &**name == "echo"));
    assert!(rejected.is_some(), "it is told");
    // Who comes later gets the last good version, too.
    let late = inline_listener("late:80", routes("r", "*", vec![route("/", &[("echo", 1)])]));
    world.control.set([any(&late)]);
    let mut client = EchoClient::new(Channel::new(&mesh, "xds:///late:80").unwrap());
    client.unary(Message::new("")).await.unwrap();

    let mut no_condition = route("/", &[("echo", 1)]);
    no_condition.r#match = None;
    world.control.set([any(&routes("echo-routes", "echo:80", vec![no_condition]))]);
    let mut gap = assignment("echo", &["10.0.0.1:80"]);
    gap.endpoints[0].priority = 7;
    world.control.set([any(&gap)]);
    sleep(MS(200)).await;
    let nacks = world.control.nacks();
    assert!(nacks.iter().any(|nack| nack.starts_with("echo-routes: ")), "{nacks:?}");
    assert!(nacks.iter().any(|nack| nack.contains("priority")), "{nacks:?}");
    assert_eq!(load.finish().await.failures, NO_FAILURES);
    let report = mesh.report().await.unwrap();
    let refused: Vec<_> =
        report.resources.iter().filter(|one| one.rejection.is_some()).map(|one| &*one.name).collect();
    assert_eq!(refused, ["echo-routes", "echo", "echo"], "shown, with what is in force beside it");
    assert!(report.resources.iter().all(|one| one.status == "present"));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_never_good_says_why() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mut broken = cluster("echo");
    broken.lb_policy = 99;
    world.control.set([any(&broken)]);
    let mesh = world.mesh().unwrap();
    let status =
        EchoClient::new(Channel::new(&mesh, TARGET).unwrap()).unary(Message::new("")).await.unwrap_err();
    assert!(status.message().contains("Cluster echo was refused: lb_policy: 99"), "{status}");
}

/// The next request of a kind, skipping others.
async fn next_request(stream: &mut ServerStream, kind: &str) -> DiscoveryRequest {
    loop {
        let bytes = timeout(Duration::from_secs(5), stream.requests.recv()).await.unwrap().unwrap();
        let request = DiscoveryRequest::decode(bytes).unwrap();
        if request.type_url.ends_with(kind) {
            return request;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_types_and_empty_messages_are_answered_or_ignored() {
    let (script, mut streams) = Script::new();
    let world = World::default();
    let mesh = Mesh::builder().control_plane(script).dialer(world.net.dialer()).seed(1).build().unwrap();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    let mut stream = streams.recv().await.unwrap();
    let kind = next_request(&mut stream, ".Listener").await.type_url;

    // Nothing at all, a type nobody asked for, a type that does not exist.
    for ignored in [Bytes::new(), response("type.googleapis.com/x.Unknown", vec![]), response("", vec![])] {
        stream.responses.send(ignored).await.unwrap();
    }
    // A cluster in a response of listeners, and a resource without a name.
    let no_name = any(&listener("", "r"));
    stream.responses.send(response(&kind, vec![any(&cluster("echo:80")), no_name])).await.unwrap();
    let nack = next_request(&mut stream, ".Listener").await;
    let message = nack.error_detail.unwrap().message;
    assert!(message.contains("resource 0: type_url: "), "{message}");
    assert!(message.contains("resource 1: name: missing"), "{message}");
    assert_eq!((&*nack.response_nonce, &*nack.version_info), ("n", ""), "nothing was accepted");
    assert!(mesh.report().await.unwrap().control_plane.unwrap().connected, "and the stream lives");

    // The same resource twice in a message, once right and once wrong.
    let good = inline_listener("echo:80", routes("r", "*", vec![route("/", &[("c", 1)])]));
    stream.responses.send(response(&kind, vec![any(&good), any(&good)])).await.unwrap();
    let message = next_request(&mut stream, ".Listener").await.error_detail.unwrap().message;
    assert!(message.contains("echo:80: the response mentions this resource twice"), "{message}");
}

/// A control plane that sends bad versions one after the other, without waiting for an answer.
#[tokio::test(start_paused = true)]
async fn a_storm_of_bad_versions_is_a_line_in_the_log_and_takes_no_room() {
    let (log, _guard) = Lines::capture();
    let (script, mut streams) = Script::new();
    let world = World::default();
    let mesh = Mesh::builder().control_plane(script).dialer(world.net.dialer()).seed(1).build().unwrap();
    let mut events = mesh.events();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    let mut stream = streams.recv().await.unwrap();
    let url = next_request(&mut stream, ".Listener").await.type_url;
    let bad = |more: u32| {
        let mut bad = listener("echo:80", "");
        bad.stat_prefix = format!("{more}");
        any(&bad)
    };
    assert_eq!(log.take().len(), 1, "connected");
    let mut answers = 0;
    for round in 0..1000 {
        stream.responses.send(response(&url, vec![bad(round)])).await.unwrap();
        while stream.requests.try_recv().is_ok() {
            answers += 1;
        }
    }
    sleep(MS(100)).await;
    assert!(answers < 1000);
    let lines = log.take();
    assert!(lines.len() == 1 && lines[0].contains("resource refused"), "{lines:?}");
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let refused = told.iter().filter(|event| matches!(event, Event::Rejected { .. })).count();
    assert_eq!(refused, 1000, "who watches is told of each");
    let report = mesh.report().await.unwrap();
    assert_eq!(report.resources.len(), 1, "whatever came was about one resource");
    assert_eq!(
        report.resources[0].rejection.as_ref().unwrap().bytes,
        bad(999).value,
        "the last one is shown"
    );

    // Another reason is no news while it is refused, and the same one is once it was good.
    let mut worse = inline_listener("echo:80", routes("r", "*", vec![]));
    worse.api_listener = None;
    let good = inline_listener("echo:80", routes("r", "*", vec![route("/", &[("c", 1)])]));
    let versions =
        [any(&worse), bad(1000), any(&worse), bad(1001), any(&good), any(&good), any(&worse), bad(1002)];
    for version in versions {
        stream.responses.send(response(&url, vec![version])).await.unwrap();
        sleep(MS(10)).await;
    }
    let lines = log.take();
    let [good, worse] = &lines[..] else { panic!("{lines:?}") };
    assert!(good.contains("resource accepted again") && worse.contains("resource refused"), "{lines:?}");
}

/// An empty answer takes everything away, which is what the protocol says; it is told by name, and mended by the next.
#[tokio::test(start_paused = true)]
async fn an_empty_answer_takes_services_away_until_the_next() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    client.unary(Message::new("")).await.unwrap();
    world.control.clear();
    sleep(Duration::from_secs(2)).await;
    let status = client.unary(Message::new("")).await.unwrap_err();
    assert!(status.message().contains("Listener echo:80 does not exist any more"), "{status}");
    world.cluster("echo", &["10.0.0.1:80"]);
    world.route("echo");
    sleep(MS(100)).await;
    client.unary(Message::new("")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn names_may_have_any_character() {
    let world = World::default();
    let _backend = world.backend("10.0.0.1:80");
    for name in ["outbound|80||echo.default.svc", "größe/a?b#c=%20&d", "\u{1F600}", "a\"b\\c", "%s%n"] {
        let list = routes(name, "*", vec![route("/", &[(name, 1)])]);
        world.control.set([any(&listener(name, name)), any(&list)]);
        world.cluster(name, &["10.0.0.1:80"]);
        let mesh = world.mesh().unwrap();
        let channel = Channel::new(&mesh, &format!("xds:///{name}")).unwrap();
        EchoClient::new(channel)
            .unary(Message::new(""))
            .await
            .unwrap_or_else(|status| panic!("{name}: {status}"));
    }
    let long = "x".repeat(100_000);
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, &format!("xds:///{long}")).unwrap();
    let status = EchoClient::new(channel).unary(Message::new("")).await.unwrap_err();
    assert!(status.message().contains("does not exist"));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_none_is_refused() {
    for (uri, part) in [("", "\"\""), ("host", "port"), ("host:99999", "99999"), ("http://h:1/x", "http")] {
        let error = Bootstrap::new(uri, Node::default()).unwrap_err().to_string();
        assert!(error.starts_with("server_uri: ") && error.contains(part), "{uri}: {error}");
    }
}
