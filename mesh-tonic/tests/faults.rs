//! Endpoints and connections that fail, under load.

use mesh_core::clock::now;
use mesh_core::layer::retry::MAX_RESENDS;
use mesh_core::net::{Address, Connect, ConnectFuture, Dialer};
use mesh_core::telemetry::events::Event;
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::load::Load;
use mesh_testkit::net::{Listener, VirtualNet};
use mesh_testkit::resources::{any, assignment_by_priority, route, with_action};
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tonic::Code;

const MS: fn(u64) -> Duration = Duration::from_millis;
const NO_FAILURES: [&str; 0] = [];

/// Takes the retry policy from the route, so that only what was never sent is sent again.
fn without_retries(world: &World) {
    world.routes(vec![with_action(route("/", &[("echo", 1)]), |action| action.retry_policy = None)]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_killed_and_comes_back_ten_times() {
    let (world, mut backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    backends.iter().for_each(|backend| backend.set(Behavior::Slow(MS(5))));
    let mesh = world.mesh().unwrap();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(4));
    sleep(MS(500)).await;
    for down in [10, 50, 300, 1_000, 3_000, 10, 50, 300, 1_000, 20_000] {
        let killed = backends.pop().unwrap();
        world.net.refuse("10.0.0.3:80");
        killed.kill();
        sleep(MS(down)).await;
        let back = world.backend("10.0.0.3:80");
        back.set(Behavior::Slow(MS(5)));
        let start = now();
        while back.requests() < 20 {
            sleep(MS(10)).await;
            // The back-off, and the time that twenty requests take to come by.
            let limit = MS(800 + (down * 3 / 4).min(6_000));
            assert!(now() - start < limit, "down for {down} ms, and idle for {limit:?}");
        }
        sleep(MS(1_200)).await;
        backends.push(back);
    }
    let record = load.finish().await;
    assert_eq!(record.failures, NO_FAILURES);
    assert!(record.answers.len() > 5_000);
}

#[tokio::test(start_paused = true)]
async fn the_only_endpoint_goes_away_gracefully_ten_times() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    without_retries(&world);
    backends[0].set(Behavior::Slow(MS(40)));
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let load = Load::echo(&channel, MS(2));
    for _ in 0..10 {
        sleep(MS(1_200)).await;
        backends[0].go_away();
    }
    sleep(MS(500)).await;
    let record = load.finish().await;
    assert_eq!(record.failures, NO_FAILURES);
    assert_eq!(record.answers.len(), backends[0].requests(), "none was sent twice");
    assert_eq!((backends[0].connections(), backends[0].open_connections()), (11, 1));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_that_are_reset_cost_no_call() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    without_retries(&world);
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    for round in 1..=20 {
        client.unary(Message::new("")).await.unwrap();
        assert_eq!(backends[0].connections(), round);
        sleep(Duration::from_secs(2)).await;
        backends[0].hang_up();
        if round % 2 == 0 {
            sleep(MS(300)).await;
        }
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn priorities_fail_over_and_back() {
    let (world, mut backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80", "10.0.1.1:80"]);
    let priorities: [&[&str]; 2] = [&["10.0.0.1:80", "10.0.0.2:80"], &["10.0.1.1:80"]];
    world.control.set([any(&assignment_by_priority("echo", &priorities))]);
    let mesh = world.mesh().unwrap();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(5));
    sleep(MS(500)).await;
    let reserve = backends.pop().unwrap();
    assert_eq!(reserve.connections(), 0, "not even connected while it is not needed");
    for _ in 0..3 {
        for (address, backend) in ["10.0.0.1:80", "10.0.0.2:80"].into_iter().zip(backends.drain(..)) {
            world.net.refuse(address);
            drop(backend);
            sleep(MS(200)).await;
        }
        let alone = now();
        sleep(MS(300)).await;
        assert_eq!(load.so_far().shares(alone).into_keys().collect::<Vec<_>>(), ["10.0.1.1:80"]);
        backends = vec![world.backend("10.0.0.1:80"), world.backend("10.0.0.2:80")];
        sleep(MS(1_500)).await;
        let back = now();
        sleep(MS(500)).await;
        let shares = load.so_far();
        assert_eq!(shares.shares(back).into_keys().collect::<Vec<_>>(), ["10.0.0.1:80", "10.0.0.2:80"]);
    }
    assert_eq!(load.finish().await.failures, NO_FAILURES);
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_goes_elsewhere_without_any_policy() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80"]);
    without_retries(&world);
    backends[0].set(Behavior::RefuseStream);
    let mesh = world.mesh().unwrap();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(5));
    sleep(MS(1_000)).await;
    let record = load.finish().await;
    assert_eq!(record.failures, NO_FAILURES);
    assert!(backends[0].requests() > 0, "it was tried");
    assert_eq!(backends[1].requests(), record.answers.len());
}

#[tokio::test(start_paused = true)]
async fn refused_by_everyone_a_request_is_given_up() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    without_retries(&world);
    backends[0].set(Behavior::RefuseStream);
    let mesh = world.mesh().unwrap();
    let status =
        EchoClient::new(Channel::new(&mesh, TARGET).unwrap()).unary(Message::new("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    for part in ["refused the stream", "target echo:80", "cluster echo", "endpoint 10.0.0.1:80"] {
        assert!(status.message().contains(part), "{part}: {status}");
    }
    assert_eq!(backends[0].requests(), 1 + MAX_RESENDS as usize);
}

/// The frames of an HTTP/2 server that takes one request and says that it has not processed it.
async fn go_away_below_the_first_stream(mut listener: Listener) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    const GO_AWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    let mut io = listener.accept().await.unwrap();
    io.write_all(&SETTINGS).await.unwrap();
    io.read_exact(&mut [0; 24]).await.unwrap();
    io.write_all(&SETTINGS_ACK).await.unwrap();
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        io.read_exact(&mut vec![0; length]).await.unwrap();
        if head[3] == HEADERS {
            io.write_all(&GO_AWAY).await.unwrap();
            // Keeps the connection, so that only the frame tells.
            std::future::pending::<()>().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_above_the_last_stream_of_a_goaway_goes_elsewhere() {
    let (world, _backends) = World::with_backends(&["10.0.0.2:80"]);
    without_retries(&world);
    // The second priority, so that the first request has to meet the one that goes away.
    let priorities: [&[&str]; 2] = [&["10.0.0.1:80"], &["10.0.0.2:80"]];
    world.control.set([any(&assignment_by_priority("echo", &priorities))]);
    let first = tokio::spawn(go_away_below_the_first_stream(world.net.listen("10.0.0.1:80")));
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let call = EchoClient::new(channel).unary(Message::new("not idempotent")).await;
    assert_eq!(call.unwrap().metadata().get("x-backend").unwrap(), "10.0.0.2:80");
    first.abort();
}

/// A peer that takes connections and drops each at once is neither called in a loop nor a trap for calls.
#[tokio::test(start_paused = true)]
async fn a_peer_that_always_hangs_up_is_left_alone() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    world.cluster("echo", &["10.0.0.1:80", "10.0.0.9:80"]);
    let mut listener = world.net.listen("10.0.0.9:80");
    let hanging_up = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let mesh = world.mesh().unwrap();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(50));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(load.finish().await.failures, NO_FAILURES);
    let attempts = world.net.dialled("10.0.0.9:80");
    assert!((10..40).contains(&attempts), "{attempts} attempts in a minute");
    hanging_up.abort();
}

#[tokio::test(start_paused = true)]
async fn the_last_endpoint_that_is_down_is_named() {
    let world = World::default();
    world.cluster("echo", &["10.0.0.1:80"]);
    world.route("echo");
    let mesh = world.mesh().unwrap();
    let status =
        EchoClient::new(Channel::new(&mesh, TARGET).unwrap()).unary(Message::new("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    for part in ["no endpoint of the cluster can be reached", "endpoint 10.0.0.1:80", "connection refused"] {
        assert!(status.message().contains(part), "{part}: {status}");
    }
}

/// A network that cannot be used for want of file descriptors.
#[derive(Clone)]
struct NoFileDescriptors {
    net: VirtualNet,
    exhausted: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
}

impl Connect for NoFileDescriptors {
    fn connect(&self, address: &Address) -> ConnectFuture {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        if self.exhausted.load(Ordering::SeqCst) {
            const EMFILE: i32 = 24;
            return Box::pin(async { Err(io::Error::from_raw_os_error(EMFILE)) });
        }
        self.net.connect(address)
    }
}

#[tokio::test(start_paused = true)]
async fn without_file_descriptors_what_is_connected_serves_and_the_rest_is_tried_now_and_then() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80"]);
    world.cluster("echo", &["10.0.0.1:80"]);
    let exhausted = Arc::<AtomicBool>::default();
    let net =
        NoFileDescriptors { net: world.net.clone(), exhausted: exhausted.clone(), attempts: Arc::default() };
    let attempts = net.attempts.clone();
    let mesh = world.builder().dialer(Dialer::custom(net)).build().unwrap();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(50));
    sleep(MS(500)).await;
    let mut events = mesh.events();
    exhausted.store(true, Ordering::SeqCst);
    attempts.store(0, Ordering::SeqCst);
    world.cluster("echo", &["10.0.0.1:80", "10.0.0.2:80"]);
    sleep(Duration::from_secs(60)).await;
    let attempts = attempts.load(Ordering::SeqCst);
    assert!((10..80).contains(&attempts), "{attempts} attempts in a minute");
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let endpoints = told.iter().filter_map(|event| match event {
        Event::EndpointDown { endpoint, reason } => {
            Some((&**endpoint, reason.contains("Too many open files")))
        }
        _ => None,
    });
    assert_eq!(endpoints.collect::<Vec<_>>(), [("10.0.0.2:80", true)], "{told:?}");

    exhausted.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(load.finish().await.failures, NO_FAILURES);
    assert!(backends[1].requests() > 50, "{}", backends[1].requests());
}

/// A second address of the same name as the first backend: connections are told apart by where they lead.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_moves_is_followed() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(5));
    sleep(MS(200)).await;
    let moved = Backend::http2("moved", world.net.listen("10.0.0.7:80"));
    world.cluster("echo", &["10.0.0.7:80"]);
    sleep(MS(200)).await;
    assert_eq!((backends[0].open_connections(), moved.open_connections()), (0, 1));
    assert_eq!(load.finish().await.failures, NO_FAILURES);
}
