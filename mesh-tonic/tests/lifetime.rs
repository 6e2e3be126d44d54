//! Nothing is left behind: by calls that are given up, by targets that are forgotten, by meshes that end.

use mesh_core::{Kind, Mesh};
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{any, assignment, cluster, inline_listener, route, routes};
use mesh_testkit::world::{CONTROL_PLANE, TARGET, World};
use mesh_tonic::{Channel, mesh_error};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tonic::Code;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Requests in flight, as the load statistics have it.
async fn pending(mesh: &Mesh) -> u32 {
    mesh.report().await.unwrap().endpoints.iter().map(|endpoint| endpoint.load().pending()).sum()
}

async fn call(channel: &Channel) -> Result<(), tonic::Status> {
    EchoClient::new(channel.clone()).unary(Message::new("x")).await.map(|_| ())
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_concurrent_calls_where_streams_are_few() {
    let world = World::default();
    world.cluster("echo", &["10.0.0.1:80", "10.0.0.2:80"]);
    world.route("echo");
    let backends = ["10.0.0.1:80", "10.0.0.2:80"]
        .map(|address| Backend::http2_limited(address, world.net.listen(address), 100));
    backends.iter().for_each(|backend| backend.set(Behavior::Slow(MS(20))));
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..10_000 {
        let channel = channel.clone();
        calls.spawn(async move { call(&channel).await });
    }
    while let Some(result) = calls.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(
        backends.iter().map(Backend::requests).sum::<usize>(),
        10_000,
        "none was refused and sent again"
    );
    for backend in &backends {
        assert!((2..=10).contains(&backend.connections()), "{} connections", backend.connections());
        assert_eq!(backend.in_flight(), 0);
    }
    assert_eq!(pending(&mesh).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_cancellations_leaks_nothing() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80"]);
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    for _ in 0..10 {
        call(&channel).await.unwrap();
    }
    let (tasks, alive) = (mesh.tasks(), Handle::current().metrics().num_alive_tasks());
    for behavior in [Behavior::Stall, Behavior::Slow(MS(7)), Behavior::StallInBody] {
        backends.iter().for_each(|backend| backend.set(behavior.clone()));
        let mut calls = JoinSet::new();
        for number in 0..5_000u64 {
            let channel = channel.clone();
            // Some before they are sent, some while they are, some while they wait or are answered.
            calls.spawn(tokio::time::timeout(Duration::from_micros(number * 4), async move {
                call(&channel).await
            }));
        }
        while calls.join_next().await.is_some() {}
        sleep(MS(20)).await;
        assert_eq!(backends.iter().map(Backend::in_flight).sum::<usize>(), 0, "{behavior:?}");
        assert_eq!(pending(&mesh).await, 0, "{behavior:?}");
        assert_eq!(mesh.tasks(), tasks, "{behavior:?}");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), alive, "{behavior:?}");
    }
    backends.iter().for_each(|backend| backend.set(Behavior::Echo));
    call(&channel).await.unwrap();
    for backend in &backends {
        assert_eq!((backend.connections(), backend.open_connections()), (1, 1));
    }
}

/// A call that is given up while it waits for a stream must not take the stream with it.
#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_for_a_stream_does_not_keep_it_from_others() {
    let world = World::default();
    world.cluster("echo", &["10.0.0.1:80"]);
    world.route("echo");
    let backend = Backend::http2_limited("a", world.net.listen("10.0.0.1:80"), 1);
    backend.set(Behavior::Slow(MS(10)));
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let mut calls = JoinSet::new();
    for number in 0..1_000u64 {
        let channel = channel.clone();
        let limit = if number % 2 == 0 { MS(number / 3) } else { Duration::from_secs(60) };
        calls.spawn(async move { (number, tokio::time::timeout(limit, call(&channel)).await) });
    }
    while let Some(result) = calls.join_next().await {
        let (number, result) = result.unwrap();
        assert!(number % 2 == 0 || matches!(result, Ok(Ok(()))), "{number}: {result:?}");
    }
    assert_eq!((pending(&mesh).await, backend.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_every_task_and_stream() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    let _server = world.control.serve_on(world.net.listen(CONTROL_PLANE));
    sleep(MS(1)).await;
    let before = Handle::current().metrics().num_alive_tasks();
    for remote in [false, true] {
        let mesh = if remote { world.remote_mesh() } else { world.mesh() }.unwrap();
        let channel = Channel::new(&mesh, TARGET).unwrap();
        call(&channel).await.unwrap();
        assert_eq!(world.control.streams(), 1);
        let clone = mesh.clone();
        drop(mesh);
        call(&channel).await.unwrap();
        drop(clone);
        call(&channel).await.unwrap();
        // The channel is the last.
        drop(channel);
        sleep(MS(10)).await;
        assert_eq!((world.control.streams(), backends[0].open_connections()), (0, 0));
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before, "remote: {remote}");
    }
}

#[tokio::test(start_paused = true)]
async fn closing_lets_calls_in_flight_finish() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    backends[0].set(Behavior::Slow(MS(500)));
    let in_flight = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel).await }
    });
    sleep(MS(100)).await;
    let closing = tokio::spawn({
        let mesh = mesh.clone();
        async move { mesh.close(Duration::from_secs(5)).await }
    });
    sleep(MS(100)).await;
    let status = call(&channel).await.unwrap_err();
    assert_eq!((status.code(), mesh_error(&status).unwrap().kind()), (Code::Unavailable, Kind::Closed));
    assert_eq!(world.control.streams(), 0, "nothing is listened to any more");
    in_flight.await.unwrap().unwrap();
    assert!(closing.await.unwrap());
    assert_eq!((mesh.tasks(), backends[0].open_connections()), (0, 0));
    assert!(mesh.close(MS(1)).await, "closed twice");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_finish_in_time_is_cut_off() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    backends[0].set(Behavior::Stall);
    let stalled = tokio::spawn(async move { call(&channel).await });
    sleep(MS(100)).await;
    let start = mesh_core::clock::now();
    assert!(!mesh.close(MS(300)).await);
    assert!(mesh_core::clock::now() - start < MS(320));
    assert_eq!(stalled.await.unwrap().unwrap_err().code(), Code::Unavailable);
    sleep(MS(1)).await;
    assert_eq!((mesh.tasks(), backends[0].open_connections()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn connections_of_a_target_that_is_forgotten_are_closed() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    let other = world.backend("10.0.0.2:80");
    let other_routes = routes("other-routes", "*", vec![route("/", &[("other", 1)])]);
    world.control.set([
        any(&inline_listener("other:80", other_routes)),
        any(&cluster("other")),
        any(&assignment("other", &["10.0.0.2:80"])),
    ]);
    let mesh = world.mesh().unwrap();
    let first = Channel::new(&mesh, TARGET).unwrap();
    for _ in 0..3 {
        let second = Channel::new(&mesh, "xds:///other:80").unwrap();
        call(&first).await.unwrap();
        call(&second).await.unwrap();
        assert_eq!((backends[0].open_connections(), other.open_connections()), (1, 1));
        drop(second);
        sleep(MS(10)).await;
        assert_eq!((backends[0].open_connections(), other.open_connections()), (1, 0));
    }
    assert_eq!((backends[0].connections(), other.connections()), (1, 3));
    let names: Vec<_> =
        mesh.report().await.unwrap().resources.iter().map(|one| one.name.to_string()).collect();
    assert!(!names.iter().any(|name| name.contains("other")), "{names:?}");
}

/// What the application does not read must not keep a connection to the control plane open.
#[tokio::test(start_paused = true)]
async fn a_stream_that_the_control_plane_ends_takes_its_connection_along() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mut listener = world.net.listen(CONTROL_PLANE);
    let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        loop {
            let io = listener.accept().await.unwrap();
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(io).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    // Ends the stream at once, and would keep the connection.
                    respond.send_response(http::Response::new(()), true).unwrap();
                }
                sender.send(()).unwrap();
            });
        }
    });
    let mesh = world.remote_mesh().unwrap();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    for _ in 0..5 {
        tokio::time::timeout(Duration::from_secs(5), ended.recv()).await.unwrap().unwrap();
    }
    server.abort();
}
