//! Several control planes, and all that can go wrong with one: calls go on, in memory and in virtual time.

use mesh_core::bootstrap::{Bootstrap, DiskCache};
use mesh_core::clock::Clock;
use mesh_core::net::{Address, Connect, ConnectFuture, DEFAULT_CONNECT_TIMEOUT, Dialer};
use mesh_core::telemetry::events::Event;
use mesh_core::telemetry::metrics::CLUSTER_RETRIES;
use mesh_core::xds::directory::Directory;
use mesh_core::xds::disk_format::{Record, encode};
use mesh_core::xds::session::HEALTHY_STREAM;
use mesh_core::{Mesh, mesh};
use mesh_proto::ads::{Any, DiscoveryRequest, DiscoveryResponse};
use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::config::listener::v3::{ApiListener, Listener};
use mesh_proto::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use mesh_proto::pack_any;
use mesh_testkit::ads::{Resources, Script, Server, name_of};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::load::Load;
use mesh_testkit::log::Lines;
use mesh_testkit::net::{Listener as Socket, VirtualNet};
use mesh_testkit::resources::{any, assignment, cluster, listener, route, routes};
use mesh_testkit::world::{CONTROL_PLANE as FIRST, TARGET, World};
use mesh_tonic::Channel;
use prost::Message as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

const SECOND: &str = "10.255.0.2:15010";
const BACKENDS: [&str; 2] = ["10.0.0.1:80", "10.0.0.2:80"];

fn bootstrap(servers: &[&str], more: &str) -> Bootstrap {
    let server =
        |uri: &&str| format!(r#"{{"server_uri": "{uri}", "channel_creds": [{{"type": "insecure"}}]}}"#);
    let servers: Vec<_> = servers.iter().map(server).collect();
    let json = format!(r#"{{"node": {{"id": "n"}}, "xds_servers": [{}]{more}}}"#, servers.join(","));
    Bootstrap::from_json(&json).unwrap()
}

fn builder(net: &VirtualNet, servers: &[&str]) -> mesh::Builder {
    Mesh::builder().bootstrap(bootstrap(servers, "")).dialer(net.dialer()).seed(1)
}

/// The resources of a service `NAME:80` with these endpoints.
fn service(name: &str, endpoints: &[&str]) -> Vec<Any> {
    let host = format!("{name}:80");
    let table = format!("{name}-routes");
    vec![
        any(&listener(&host, &table)),
        any(&routes(&table, &host, vec![route("/", &[(name, 1)])])),
        any(&cluster(name)),
        any(&assignment(name, endpoints)),
    ]
}

async fn call(mesh: &Mesh, target: &str, limit: Duration) -> Result<String, Status> {
    let mut client = EchoClient::new(Channel::new(mesh, target).unwrap());
    let mut request = Request::new(Message::new("x"));
    request.set_timeout(limit);
    let answer = client.unary(request).await?;
    Ok(answer.metadata().get("x-backend").unwrap().to_str().unwrap().to_owned())
}

fn drain(events: &mut Receiver<Event>) -> Vec<Event> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

fn downs(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::ControlPlaneDown(_))).count()
}

#[tokio::test(start_paused = true)]
async fn another_control_plane_takes_over_and_hands_back_without_a_failed_call() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    world.control.set(service("other", &BACKENDS[..1]));
    let second = Resources::new();
    second.set(service("echo", &BACKENDS[1..]).into_iter().chain(service("other", &BACKENDS[1..])));
    // The names of the routes are those of the world.
    let first_server = world.control.serve_on(world.net.listen(FIRST));
    let _second_server = second.serve_on(world.net.listen(SECOND));
    let mesh = builder(&world.net, &[FIRST, SECOND]).build().unwrap();
    let mut events = mesh.events();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let load = Load::echo(&channel, Duration::from_millis(10));
    sleep(Duration::from_secs(5)).await;
    assert_eq!((world.control.streams(), second.streams()), (1, 0), "the first is enough");

    drop(first_server);
    world.net.refuse(FIRST);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(second.streams(), 0, "everything needed is known");
    let error = mesh.published().load().outages.of(TARGET).cloned().unwrap();
    assert!(error.contains(FIRST) && error.contains("refused"), "{error}");

    // Something that is not known makes the second one be asked.
    assert_eq!(call(&mesh, "xds:///other:80", Duration::from_secs(5)).await.unwrap(), BACKENDS[1]);
    assert_eq!(second.streams(), 1);
    assert_eq!(mesh.published().load().outages.of(TARGET), None);
    let taken_over = mesh.clock().now();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        load.so_far().shares(taken_over + Duration::from_secs(1)).keys().copied().collect::<Vec<_>>(),
        [BACKENDS[1]]
    );

    let _first_server = world.control.serve_on(world.net.listen(FIRST));
    sleep(Duration::from_secs(40)).await;
    assert_eq!((world.control.streams(), second.streams()), (1, 0), "the second one was let go");
    assert_eq!(call(&mesh, "xds:///other:80", Duration::from_secs(5)).await.unwrap(), BACKENDS[0]);

    let record = load.finish().await;
    assert!(record.failures.is_empty(), "{:?}", record.failures);
    let events = drain(&mut events);
    let changed = |uri: &str| events.contains(&Event::ControlPlaneChanged(uri.into()));
    assert!(changed(FIRST) && changed(SECOND) && downs(&events) == 1, "{events:?}");
    assert!(mesh.close(Duration::from_secs(10)).await);
    assert_eq!(mesh.tasks(), 0);
}

/// Counts the connections through a network.
#[derive(Clone)]
struct Counting {
    net: VirtualNet,
    attempts: Arc<AtomicUsize>,
    /// The address that fails because there are no file descriptors.
    exhausted: Option<&'static str>,
}

impl Connect for Counting {
    fn connect(&self, address: &Address) -> ConnectFuture {
        if address.to_string() == FIRST {
            self.attempts.fetch_add(1, Ordering::SeqCst);
        }
        if self.exhausted.is_some_and(|exhausted| exhausted == address.to_string()) {
            const EMFILE: i32 = 24;
            return Box::pin(async { Err(io::Error::from_raw_os_error(EMFILE)) });
        }
        self.net.connect(address)
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Refuses,
    BlackHole,
    NoFileDescriptors,
    AcceptsAndCloses,
    SendsNoise,
    NeverAnswers,
    AnswersGarbage,
    /// Says something that is no answer, and ends the stream when that is no failure any more.
    AnswersNothing,
    EndsStreams,
}

/// Lets the first control plane misbehave; what is returned has to be kept.
fn misbehave(net: &VirtualNet, fault: Fault) -> Option<Server> {
    use tokio::io::AsyncWriteExt;
    let each = |mut listener: Socket, noise: &'static [u8]| {
        tokio::spawn(async move {
            while let Ok(mut io) = listener.accept().await {
                // It may be gone already.
                let _ = io.write_all(noise).await;
            }
        });
    };
    match fault {
        Fault::Refuses | Fault::NoFileDescriptors => {}
        Fault::BlackHole => net.black_hole(FIRST),
        Fault::AcceptsAndCloses => each(net.listen(FIRST), b""),
        Fault::SendsNoise => each(net.listen(FIRST), b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        Fault::NeverAnswers => {
            return Some(Server::start(net.listen(FIRST), |stream| {
                tokio::spawn(async move {
                    let _stream = stream;
                    std::future::pending::<()>().await;
                })
            }));
        }
        Fault::AnswersGarbage => {
            return Some(Server::start(net.listen(FIRST), |stream| {
                tokio::spawn(async move {
                    let _ = stream.responses.send(vec![0xFF; 100].into()).await;
                    std::future::pending::<()>().await;
                })
            }));
        }
        Fault::AnswersNothing => {
            return Some(Server::start(net.listen(FIRST), |stream| {
                tokio::spawn(async move {
                    let _ = stream.responses.send(Default::default()).await;
                    sleep(HEALTHY_STREAM + Duration::from_millis(100)).await;
                })
            }));
        }
        Fault::EndsStreams => {
            return Some(Server::start(net.listen(FIRST), |stream| {
                tokio::spawn(async move { drop(stream) })
            }));
        }
    }
    None
}

/// The attempts that may be made in ten minutes. The back-off goes up to 30 seconds for a control plane that is there and
/// does not do well, and up to one second for one that cannot be connected to, so that it is used as soon as it is back.
fn most_attempts(fault: Fault) -> usize {
    match fault {
        Fault::AnswersGarbage | Fault::AnswersNothing | Fault::EndsStreams => 60,
        _ => 720,
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_first_control_plane_does_the_second_one_serves() {
    for fault in [
        Fault::Refuses,
        Fault::BlackHole,
        Fault::NoFileDescriptors,
        Fault::AcceptsAndCloses,
        Fault::SendsNoise,
        Fault::NeverAnswers,
        Fault::AnswersGarbage,
        Fault::AnswersNothing,
        Fault::EndsStreams,
    ] {
        let (world, _backends) = World::with_backends(&BACKENDS);
        let _first = misbehave(&world.net, fault);
        let _second = world.control.serve_on(world.net.listen(SECOND));
        let attempts = Arc::<AtomicUsize>::default();
        let exhausted = matches!(fault, Fault::NoFileDescriptors).then_some(FIRST);
        let dialer =
            Dialer::custom(Counting { net: world.net.clone(), attempts: attempts.clone(), exhausted });
        let mesh = builder(&world.net, &[FIRST, SECOND]).dialer(dialer).build().unwrap();
        let mut events = mesh.events();
        let answer = call(&mesh, TARGET, Duration::from_secs(10)).await;
        assert!(answer.is_ok(), "{fault:?}: {answer:?}");

        sleep(Duration::from_secs(600)).await;
        let attempts = attempts.load(Ordering::SeqCst);
        assert!((1..=most_attempts(fault)).contains(&attempts), "{fault:?}: {attempts} in ten minutes");
        let told = drain(&mut events);
        let changes = told.iter().filter(|event| matches!(event, Event::ControlPlaneChanged(_))).count();
        // At first nothing is needed, so nobody else is asked.
        assert!(changes == 1 && downs(&told) <= 1, "{fault:?}: {told:?}");
        assert!(mesh.close(Duration::from_secs(10)).await, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_was_silent_before_it_was_needed_is_passed_over_all_the_same() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    let _first = misbehave(&world.net, Fault::NeverAnswers);
    let _second = world.control.serve_on(world.net.listen(SECOND));
    let mesh = builder(&world.net, &[FIRST, SECOND]).build().unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.control.streams(), 0, "nothing is needed");
    let answer = call(&mesh, TARGET, Duration::from_secs(10)).await;
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn the_log_names_the_control_plane_that_is_connected() {
    let (log, _guard) = Lines::capture();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let _second = world.control.serve_on(world.net.listen(SECOND));
    let mesh = builder(&world.net, &[FIRST, SECOND]).build().unwrap();
    assert!(call(&mesh, TARGET, Duration::from_secs(10)).await.is_ok());
    let lines = log.take();
    let connected: Vec<_> = lines.iter().filter(|line| line.contains("control plane connected")).collect();
    assert!(connected.len() == 1 && connected[0].contains(SECOND), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn one_control_plane_that_misbehaves_is_told_of_once() {
    let (log, _guard) = Lines::capture();
    for fault in [
        Fault::Refuses,
        Fault::NoFileDescriptors,
        Fault::AcceptsAndCloses,
        Fault::AnswersGarbage,
        Fault::AnswersNothing,
    ] {
        let (world, _backends) = World::with_backends(&BACKENDS);
        let first = misbehave(&world.net, fault);
        let attempts = Arc::<AtomicUsize>::default();
        let exhausted = matches!(fault, Fault::NoFileDescriptors).then_some(FIRST);
        let dialer =
            Dialer::custom(Counting { net: world.net.clone(), attempts: attempts.clone(), exhausted });
        let mesh = builder(&world.net, &[FIRST]).dialer(dialer).build().unwrap();
        let mut events = mesh.events();
        let status = call(&mesh, TARGET, Duration::from_secs(20)).await.unwrap_err();
        assert!(matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded), "{fault:?}: {status}");
        sleep(Duration::from_secs(600)).await;
        let range = 10..=most_attempts(fault);
        assert!(range.contains(&attempts.load(Ordering::SeqCst)), "{fault:?}: {attempts:?}");
        let told = drain(&mut events);
        assert_eq!(downs(&told), 1, "{fault:?}: {told:?}");
        let lines = log.take();
        let (connected, lost): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with("INFO "));
        assert!(lost.len() == 1 && lost[0].starts_with("WARN no control plane"), "{fault:?}: {lines:?}");
        // What is no answer comes over a connection that is up until then.
        let is_up = matches!(fault, Fault::AnswersGarbage | Fault::AnswersNothing);
        assert_eq!(connected.len(), usize::from(is_up), "{fault:?}: {lines:?}");

        if exhausted.is_none() {
            drop(first);
            let _server = world.control.serve_on(world.net.listen(FIRST));
            assert!(call(&mesh, TARGET, Duration::from_secs(60)).await.is_ok(), "{fault:?}");
            let lines = log.take();
            assert!(lines.len() == 1 && lines[0].starts_with("INFO control plane connected"), "{lines:?}");
        }
    }
}

/// While nobody can be asked, nothing else waits: not what is wanted anew, not the one who closes.
#[tokio::test(start_paused = true)]
async fn what_is_wanted_while_the_control_plane_is_away_is_told_and_served_later() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    let mesh = builder(&world.net, &[FIRST]).build().unwrap();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    sleep(Duration::from_secs(300)).await;
    let status = call(&mesh, TARGET, Duration::from_secs(1)).await.unwrap_err();
    for part in [FIRST, "connection refused"] {
        assert!(status.message().contains(part), "{part}: {status}");
    }
    world.control.set(service("late", &BACKENDS));
    let waiting = {
        let mesh = mesh.clone();
        tokio::spawn(async move { call(&mesh, "xds:///late:80", Duration::from_secs(10)).await })
    };
    sleep(Duration::from_secs(3)).await;
    let server = world.control.serve_on(world.net.listen(FIRST));
    assert!(waiting.await.unwrap().is_ok(), "it waited for the control plane");

    drop(server);
    world.net.refuse(FIRST);
    sleep(Duration::from_secs(300)).await;
    let before = mesh.clock().now();
    assert!(mesh.close(Duration::from_secs(10)).await);
    assert_eq!((mesh.tasks(), mesh.clock().now() - before), (0, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn two_hundred_targets_begin_at_once() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    let names: Vec<_> = (0..200).map(|number| format!("s{number}")).collect();
    names.iter().for_each(|name| world.control.set(service(name, &BACKENDS)));
    let _server = world.control.serve_on(world.net.listen(FIRST));
    let mesh = builder(&world.net, &[FIRST]).build().unwrap();
    let mut calls = JoinSet::new();
    for name in names {
        let mesh = mesh.clone();
        calls.spawn(async move { call(&mesh, &format!("xds:///{name}:80"), Duration::from_secs(10)).await });
    }
    let outcomes = calls.join_all().await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(world.control.streams(), 1);
    let requests = world.control.requests().len();
    assert!(requests < 20, "{requests} requests");
}

#[tokio::test(start_paused = true)]
async fn streams_that_end_now_and_then_are_not_noticed() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    let mut server = world.control.serve_on(world.net.listen(FIRST));
    let mesh = builder(&world.net, &[FIRST]).build().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let load = Load::echo(&channel, Duration::from_secs(1));
    sleep(Duration::from_secs(5)).await;
    let mut events = mesh.events();
    for round in 0..5 {
        sleep(Duration::from_secs(1800)).await;
        drop(server);
        server = world.control.serve_on(world.net.listen(FIRST));
        world.cluster("echo", &BACKENDS[round % 2..]);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.control.streams(), 1, "it is back at once");
        assert_eq!(mesh.published().load().outages.of(TARGET), None);
    }
    let record = load.finish().await;
    assert!(record.failures.is_empty(), "{:?}", record.failures);
    let told = drain(&mut events);
    assert!(
        told.iter().all(|event| matches!(
            event,
            Event::Snapshot(_) | Event::EndpointUp(_) | Event::EndpointDown { .. }
        )),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_half_open_is_noticed() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    let mut silent = world.net.listen(FIRST);
    let held = tokio::spawn(async move {
        let io = silent.accept().await.unwrap();
        let mut connection = h2::server::handshake(io).await.unwrap();
        let stream = connection.accept().await;
        // From now on nobody reads what comes.
        std::future::pending::<()>().await;
        drop((connection, stream));
    });
    let mesh = builder(&world.net, &[FIRST]).build().unwrap();
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    let mut events = mesh.events();
    sleep(Duration::from_secs(300)).await;
    assert_eq!(downs(&drain(&mut events)), 0);
    sleep(Duration::from_secs(40)).await;
    let told = drain(&mut events);
    let reason = told.iter().find_map(|event| match event {
        Event::ControlPlaneDown(reason) => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.as_ref().is_some_and(|reason| reason.contains("no answer to a ping")), "{told:?}");
    held.abort();
    let _server = world.control.serve_on(world.net.listen(FIRST));
    until(async || call(&mesh, TARGET, Duration::from_secs(5)).await.is_ok()).await;
}

async fn until(what: impl AsyncFn() -> bool) {
    let wait = async {
        while !what().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(120), wait).await.expect("it happens in time");
}

#[tokio::test(start_paused = true)]
async fn a_process_starts_from_disk_and_moves_on_when_a_control_plane_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::new(folder.path().join("cache"));
    let (world, _backends) = World::with_backends(&BACKENDS);
    world.cluster("echo", &BACKENDS[..1]);
    let server = world.control.serve_on(world.net.listen(FIRST));
    let with_disk = || builder(&world.net, &[FIRST]).disk_cache(cache.clone()).build().unwrap();
    let mesh = with_disk();
    assert_eq!(call(&mesh, TARGET, Duration::from_secs(5)).await.unwrap(), BACKENDS[0]);
    until(async || cache.path.exists()).await;
    assert!(mesh.close(Duration::from_secs(5)).await);
    drop((server, mesh));
    world.net.refuse(FIRST);

    // What is the same as in the file leaves the file alone.
    let (mesh, server) = (with_disk(), world.control.serve_on(world.net.listen(FIRST)));
    let saved = std::fs::read(&cache.path).unwrap();
    std::fs::remove_file(&cache.path).unwrap();
    assert_eq!(call(&mesh, TARGET, Duration::from_secs(5)).await.unwrap(), BACKENDS[0]);
    sleep(Duration::from_secs(30)).await;
    assert!(!cache.path.exists());
    std::fs::write(&cache.path, saved).unwrap();
    assert!(mesh.close(Duration::from_secs(5)).await);
    drop((server, mesh));
    world.net.refuse(FIRST);

    // Nobody is there, and yet calls succeed.
    let mesh = with_disk();
    let mut events = mesh.events();
    assert_eq!(call(&mesh, TARGET, Duration::from_secs(5)).await.unwrap(), BACKENDS[0]);
    let _kept = Channel::new(&mesh, TARGET).unwrap();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(call(&mesh, TARGET, Duration::from_secs(5)).await.unwrap(), BACKENDS[0]);
    let told = drain(&mut events);
    assert!(told.contains(&Event::FromDisk(4)) && downs(&told) == 1, "{told:?}");
    assert_eq!(mesh.report().await.unwrap().control_plane.unwrap().from_disk, 4);

    // What has changed meanwhile is taken over without a failed call.
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let load = Load::echo(&channel, Duration::from_millis(10));
    world.cluster("echo", &BACKENDS[1..]);
    let server = world.control.serve_on(world.net.listen(FIRST));
    until(async || call(&mesh, TARGET, Duration::from_secs(5)).await.unwrap() == BACKENDS[1]).await;
    let record = load.finish().await;
    assert!(record.failures.is_empty(), "{:?}", record.failures);
    assert_eq!(mesh.report().await.unwrap().control_plane.unwrap().from_disk, 0);
    assert!(mesh.close(Duration::from_secs(5)).await);
    drop((server, mesh));
    world.net.refuse(FIRST);

    // What was taken away meanwhile is gone once the control plane has answered.
    let mesh = with_disk();
    assert!(call(&mesh, TARGET, Duration::from_secs(5)).await.is_ok());
    world.control.clear();
    let _server = world.control.serve_on(world.net.listen(FIRST));
    until(async || call(&mesh, TARGET, Duration::from_secs(30)).await.is_err()).await;
    let status = call(&mesh, TARGET, Duration::from_secs(30)).await.unwrap_err();
    assert!(status.message().contains("Listener echo:80"), "{status}");
}

/// However long the process was down.
#[tokio::test(start_paused = true)]
async fn what_is_on_disk_lives_no_longer_than_the_control_plane_said() {
    let folder = tempfile::tempdir().unwrap();
    let (world, _backends) = World::with_backends(&BACKENDS[..1]);
    world.net.refuse(FIRST);
    let bootstrap = bootstrap(&[FIRST], "");
    let origin = Directory::new(&bootstrap).fingerprint(&bootstrap.node);
    let today = Clock::system().wall().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    for (name, expires, lives) in [("for long", today + 60_000, true), ("over", today - 1000, false)] {
        let cache = DiskCache::new(folder.path().join(name));
        let record = |any: Any| {
            let (name, resource) = (name_of(&any), any.value.clone());
            Record { type_url: any.type_url, name, resource, expires }
        };
        let records: Vec<_> = service("echo", &BACKENDS[..1]).into_iter().map(record).collect();
        std::fs::write(&cache.path, encode(&origin, 1, &records)).unwrap();
        let mesh = builder(&world.net, &[FIRST]).disk_cache(cache).build().unwrap();
        let _kept = Channel::new(&mesh, TARGET).unwrap();
        let outcome = call(&mesh, TARGET, Duration::from_secs(5)).await;
        assert_eq!(outcome.is_ok(), lives, "{name}: {outcome:?}");
        if lives {
            sleep(Duration::from_secs(60)).await;
            let why = call(&mesh, TARGET, Duration::from_secs(5)).await.unwrap_err();
            let expected = "is out of date: the control plane did not renew it within its time to live";
            assert!(why.message().contains(expected), "{why}");
        } else {
            assert_eq!(mesh.report().await.unwrap().control_plane.unwrap().from_disk, 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_control_plane_has_not_answered_yet_counts_as_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::new(folder.path().join("cache"));
    let (world, _backends) = World::with_backends(&BACKENDS);
    let with_disk = || builder(&world.net, &[FIRST]).disk_cache(cache.clone()).build().unwrap();
    let server = world.control.serve_on(world.net.listen(FIRST));
    let mesh = with_disk();
    assert!(call(&mesh, TARGET, Duration::from_secs(5)).await.is_ok());
    assert!(mesh.close(Duration::from_secs(5)).await);
    drop(server);

    // It answers what was asked first, and no more.
    let (script, mut streams) = Script::new();
    let _server = script.serve_on(world.net.listen(FIRST));
    let mesh = with_disk();
    assert!(call(&mesh, TARGET, Duration::from_secs(5)).await.is_ok());
    let _kept = Channel::new(&mesh, TARGET).unwrap();
    let from_disk = async || mesh.report().await.unwrap().control_plane.unwrap().from_disk;
    assert_eq!(from_disk().await, 4);
    let mut stream = streams.recv().await.unwrap();
    let request = DiscoveryRequest::decode(stream.requests.recv().await.unwrap()).unwrap();
    let response = DiscoveryResponse {
        version_info: "1".to_owned(),
        resources: vec![any(&listener("echo:80", "echo-routes"))],
        type_url: request.type_url,
        nonce: "1".to_owned(),
        control_plane: None,
    };
    stream.responses.send(response.encode_to_vec().into()).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(from_disk().await, 3);
    assert!(call(&mesh, TARGET, Duration::from_secs(5)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_disk_cache_that_cannot_be_used_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let _server = world.control.serve_on(world.net.listen(FIRST));
    let paths = ["damaged", "missing/cache", ".", "bootstrap.json"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], b"mesh-xds and then something else").unwrap();
    std::fs::write(&paths[3], b"{}").unwrap();
    let (log, _guard) = Lines::capture();
    for path in &paths {
        drop(log.take());
        let mesh = builder(&world.net, &[FIRST]).disk_cache(DiskCache::new(path)).build().unwrap();
        assert!(call(&mesh, TARGET, Duration::from_secs(5)).await.is_ok(), "{path:?}");
        assert_eq!(mesh.report().await.unwrap().control_plane.unwrap().from_disk, 0);
        sleep(Duration::from_secs(5)).await;
        world.cluster("echo", &BACKENDS);
        sleep(Duration::from_secs(5)).await;
        assert!(mesh.close(Duration::from_secs(5)).await);
        let told = log.take();
        let warnings = told.iter().filter(|line| line.starts_with("WARN ") && line.contains("disk cache"));
        assert_eq!(warnings.count(), 1, "{path:?}: {told:?}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "nothing but the one good path was written"
    );
    assert_eq!(std::fs::read(&paths[3]).unwrap(), b"{}", "what is no disk cache is not touched");
    assert!(std::fs::read(&paths[0]).unwrap().len() > 100, "a damaged one is written anew");
}

#[tokio::test(start_paused = true)]
async fn the_disk_cache_is_written_however_the_mesh_ends() {
    for end in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let cache = DiskCache::new(folder.path().join("cache"));
        let (world, _backends) = World::with_backends(&BACKENDS[..1]);
        let server = world.control.serve_on(world.net.listen(FIRST));
        let mesh = builder(&world.net, &[FIRST]).disk_cache(cache.clone()).build().unwrap();
        assert!(call(&mesh, TARGET, Duration::from_secs(5)).await.is_ok());
        assert!(!cache.path.exists(), "it is too soon for that");
        match end {
            0 => assert!(mesh.close(Duration::from_secs(5)).await),
            1 => drop(mesh.close(Duration::ZERO).await),
            _ => {
                drop(mesh);
                until(async || cache.path.exists()).await;
            }
        }
        assert!(cache.path.exists(), "{end}");
        drop(server);
        world.net.refuse(FIRST);
        let mesh = builder(&world.net, &[FIRST]).disk_cache(cache).build().unwrap();
        assert!(call(&mesh, TARGET, Duration::from_secs(5)).await.is_ok(), "{end}: all of it was written");
    }
}

#[tokio::test(start_paused = true)]
async fn authorities_have_control_planes_and_names_of_their_own() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    let _default = world.control.serve_on(world.net.listen(FIRST));
    let name = |kind: &str, id: &str| format!("xdstp://a.example/envoy.config.{kind}/{id}?b=2&a=1");
    let (host, table) = (name("listener.v3.Listener", "svc:80"), name("route.v3.RouteConfiguration", "r"));
    let (group, endpoints) =
        (name("cluster.v3.Cluster", "c"), name("endpoint.v3.ClusterLoadAssignment", "c"));
    let canonical = |name: &str| name.replace("b=2&a=1", "a=1&b=2");
    let mut eds_cluster = cluster(&canonical(&group));
    if let Some(config) = &mut eds_cluster.eds_cluster_config {
        config.service_name = endpoints.clone();
    }
    let own = Resources::new();
    own.set([
        any(&listener(&canonical(&host), &table)),
        any(&routes(&canonical(&table), "svc:80", vec![route("/", &[(&group, 1)])])),
        any(&eds_cluster),
        any(&assignment(&canonical(&endpoints), &BACKENDS[1..])),
        any(&listener(
            "xdstp://a.example/envoy.config.listener.v3.Listener/lost:80?a=1&b=2",
            "xdstp://x/envoy.config.route.v3.RouteConfiguration/r",
        )),
    ]);
    let _own = own.serve_on(world.net.listen(SECOND));
    let authorities = format!(
        r#", "authorities": {{
            "a.example": {{
                "client_listener_resource_name_template": "xdstp://a.example/envoy.config.listener.v3.Listener/%s?b=2&a=1",
                "xds_servers": [{{"server_uri": "{SECOND}", "channel_creds": [{{"type": "insecure"}}]}}]
            }},
            "shared": {{}}
        }}"#
    );
    let mesh = Mesh::builder()
        .bootstrap(bootstrap(&[FIRST], &authorities))
        .dialer(world.net.dialer())
        .seed(1)
        .build()
        .unwrap();
    let limit = Duration::from_secs(5);
    let answer = call(&mesh, "xds://a.example/svc:80", limit).await;
    assert_eq!(answer.as_deref().ok(), Some(BACKENDS[1]), "{answer:?}");
    assert!(call(&mesh, TARGET, limit).await.is_ok());
    assert_eq!((world.control.streams(), own.streams()), (1, 1));

    let error = Channel::new(&mesh, "xds://nobody/svc:80").unwrap_err().to_string();
    assert!(error.contains("no authority \"nobody\""), "{error}");
    let status = call(&mesh, "xds://a.example/lost:80", limit).await.unwrap_err();
    assert!(status.message().contains("authority"), "{status}");

    // An authority without servers of its own shares the stream of the others.
    let status = call(&mesh, "xds://shared/svc:80", Duration::from_secs(30)).await.unwrap_err();
    assert!(status.message().contains("xdstp://shared/envoy.config.listener.v3.Listener/svc:80"), "{status}");
    assert_eq!((world.control.streams(), own.streams()), (1, 1));
    let report = mesh.report().await.unwrap();
    assert_eq!(report.control_plane.unwrap().source, FIRST);
    assert_eq!(report.authorities.iter().map(|plane| &*plane.source).collect::<Vec<_>>(), [SECOND]);
}

fn with_authority(servers: &str) -> Bootstrap {
    bootstrap(&[FIRST], &format!(r#", "authorities": {{"a": {{{servers}}}}}"#))
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_away_is_blamed_for_its_own_names_alone() {
    let server = format!(
        r#""xds_servers": [{{"server_uri": "{SECOND}", "channel_creds": [{{"type": "insecure"}}]}}]"#
    );
    let limit = Duration::from_secs(5);
    for (away, there) in [(FIRST, SECOND), (SECOND, FIRST)] {
        let (world, mut backends) = World::with_backends(&BACKENDS[..1]);
        let name = |kind: &str| format!("xdstp://a/envoy.config.{kind}/svc:80");
        let (group, endpoints) = (name("cluster.v3.Cluster"), name("endpoint.v3.ClusterLoadAssignment"));
        let mut eds_cluster = cluster(&group);
        if let Some(config) = &mut eds_cluster.eds_cluster_config {
            config.service_name = endpoints.clone();
        }
        world.control.set([
            any(&listener(&name("listener.v3.Listener"), &name("route.v3.RouteConfiguration"))),
            any(&routes(&name("route.v3.RouteConfiguration"), "svc:80", vec![route("/", &[(&group, 1)])])),
            any(&eds_cluster),
            any(&assignment(&endpoints, &BACKENDS[..1])),
        ]);
        world.net.refuse(away);
        let _server = world.control.serve_on(world.net.listen(there));
        let mesh = Mesh::builder().bootstrap(with_authority(&server)).dialer(world.net.dialer()).build();
        let mesh = mesh.unwrap();
        let mut targets = [TARGET, "xds://a/svc:80"];
        if away == FIRST {
            targets.reverse();
        }
        let [good, lost] = targets;
        let why = call(&mesh, lost, limit).await.unwrap_err();
        assert!(why.message().contains(&format!("the control plane: {away}: connection refused")), "{why}");

        call(&mesh, good, limit).await.unwrap();
        world.net.refuse(BACKENDS[0]);
        backends.remove(0).kill();
        let why = call(&mesh, good, limit).await.unwrap_err();
        assert!(why.message().contains("connection refused") && !why.message().contains(away), "{why}");
    }
}

/// However often a name is written in other ways than the one that is asked for.
#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_name_is_told_once_and_as_it_was_written() {
    let (log, _guard) = Lines::capture();
    let world = World::default();
    let _server = world.control.serve_on(world.net.listen(FIRST));
    let template = r#""client_listener_resource_name_template": "xdstp://a/envoy.config.listener.v3.Listener/%s?b=2&a=1""#;
    let mesh =
        Mesh::builder().bootstrap(with_authority(template)).dialer(world.net.dialer()).build().unwrap();
    let mut events = mesh.events();
    let wrong = ApiListener { api_listener: Some(pack_any(cluster("x"))) };
    let of = |context: &str| format!("xdstp://a/envoy.config.listener.v3.Listener/svc:80?{context}");
    let refused = Listener { api_listener: Some(wrong), ..listener(&of("a=1&b=2"), "r") };
    for _ in 0..2 {
        world.control.set([any(&refused)]);
        let why = call(&mesh, "xds://a/svc:80", Duration::from_secs(5)).await.unwrap_err();
        assert!(why.message().contains("was refused"), "{why}");
        let lines = log.take();
        let told: Vec<_> = lines.iter().filter(|line| line.contains("svc:80")).collect();
        assert!(told.len() == 1 && told[0].contains("b=2&a=1"), "{told:?}");
        let refusals = drain(&mut events).into_iter().filter_map(|event| match event {
            Event::Rejected { name, .. } => Some(name.to_string()),
            _ => None,
        });
        assert_eq!(refusals.collect::<Vec<_>>(), [of("b=2&a=1")]);
        // Nobody wants it any more, and then somebody does again.
        sleep(Duration::from_secs(5)).await;
        let _ = log.take();
    }
}

/// There is nobody else to ask.
#[tokio::test(start_paused = true)]
async fn a_control_plane_in_the_process_answers_for_every_authority() {
    let (world, _backends) = World::with_backends(&BACKENDS[..1]);
    let name = |kind: &str, context: &str| format!("xdstp://any/envoy.config.{kind}/c{context}");
    let (group, endpoints) =
        (name("cluster.v3.Cluster", "?a=1&b=2"), name("endpoint.v3.ClusterLoadAssignment", ""));
    let mut eds_cluster = cluster(&group);
    if let Some(config) = &mut eds_cluster.eds_cluster_config {
        config.service_name = endpoints.clone();
    }
    world.control.set([any(&eds_cluster), any(&assignment(&endpoints, &BACKENDS[..1]))]);
    world.route(&name("cluster.v3.Cluster", "?b=2&a=1"));
    let mesh = world.mesh().unwrap();
    let answer = call(&mesh, TARGET, Duration::from_secs(5)).await;
    assert_eq!(answer.as_deref().ok(), Some(BACKENDS[0]), "{answer:?}");
}

/// The names of the clusters that are in use, each as often as it is.
async fn live_clusters(mesh: &Mesh) -> Vec<String> {
    let samples = mesh.metrics().await.unwrap().into_iter();
    let of_clusters = samples.filter(|sample| sample.metric.name == CLUSTER_RETRIES.name);
    of_clusters.map(|sample| sample.labels[0].to_string()).collect()
}

/// Routes write the name of one cluster in several ways.
#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_once_however_it_is_written() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    let spelling = |context: &str| format!("xdstp://a/envoy.config.cluster.v3.Cluster/c{context}");
    let spellings = ["?x=1&y=2", "?y=2&x=1", "?y=%32&x=1#way"].map(spelling);
    let mut group = cluster(&spellings[0]);
    if let Some(config) = &mut group.eds_cluster_config {
        config.service_name = "c".to_owned();
    }
    world.control.set([any(&group), any(&assignment("c", &BACKENDS[..1]))]);
    let custom = proto::cluster::CustomClusterType {
        name: "envoy.clusters.aggregate".to_owned(),
        typed_config: Some(pack_any(ClusterConfig { clusters: vec![spellings[2].clone()] })),
    };
    world.control.set([any(&proto::Cluster {
        cluster_discovery_type: Some(proto::cluster::ClusterDiscoveryType::ClusterType(custom)),
        eds_cluster_config: None,
        lb_policy: proto::cluster::LbPolicy::ClusterProvided as i32,
        ..cluster("made of it")
    })]);
    let made_of_it = "made of it".to_owned();
    let to = |spellings: &[&String]| {
        let weights: Vec<_> = spellings.iter().map(|name| (name.as_str(), 1)).collect();
        world.routes(vec![route("/", &weights)]);
    };
    to(&[&spellings[1], &spellings[2]]);
    let _server = world.control.serve_on(world.net.listen(FIRST));
    let bootstrap = bootstrap(&[FIRST], r#", "authorities": {"a": {}}"#);
    let mesh = Mesh::builder().bootstrap(bootstrap).dialer(world.net.dialer()).seed(1).build().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let load = Load::echo(&channel, Duration::from_millis(1));
    for used in [vec![&spellings[1]], vec![&spellings[2], &spellings[0]], vec![&spellings[0]]] {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(live_clusters(&mesh).await, [&spellings[0][..]], "they are one");
        to(&used);
    }
    sleep(Duration::from_secs(1)).await;
    to(&[&spellings[1], &made_of_it]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        live_clusters(&mesh).await,
        [&made_of_it[..], &spellings[0][..]],
        "nor does it matter who leads there"
    );
    world.control.set([any(&assignment("c", &BACKENDS[1..]))]);
    sleep(Duration::from_secs(1)).await;
    let record = load.finish().await;
    assert!(record.failures.is_empty(), "{:?}", record.failures);
    assert_eq!(record.answers.last().unwrap().1, BACKENDS[1]);
    for request in world.control.requests() {
        if request.type_url.ends_with(".Cluster") {
            let names = request.resource_names.iter().filter(|name| **name != made_of_it);
            assert!(names.eq([&spellings[0]]), "{:?}", request.resource_names);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_is_read_again_for_every_stream() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let (world, _backends) = World::with_backends(&BACKENDS);
    let server = world.control.serve_on(world.net.listen(FIRST));
    let json = format!(
        r#"{{"xds_servers": [{{"server_uri": "{FIRST}", "channel_creds": [{{"type": "insecure"}}], "call_creds": [
            {{"type": "jwt_token_file", "config": {{"jwt_token_file": {token:?}, "mesh.allow_insecure": true}}}}]}}]}}"#
    );
    let bootstrap = Bootstrap::from_json(&json).unwrap();
    let mesh = Mesh::builder().bootstrap(bootstrap).dialer(world.net.dialer()).seed(1).build().unwrap();
    let mut events = mesh.events();
    let limit = Duration::from_secs(60);
    let shown = |server: &Server| server.heads().last().map(|head| head["authorization"].clone());

    sleep(Duration::from_secs(5)).await;
    let told = format!("{:?}", drain(&mut events));
    assert!(told.contains("jwt_token_file") && told.contains("No such file"), "{told}");
    std::fs::write(&token, "first\n").unwrap();
    assert!(call(&mesh, TARGET, limit).await.is_ok());
    assert_eq!(shown(&server).unwrap(), "Bearer first");

    std::fs::write(&token, "second").unwrap();
    drop(server);
    let server = world.control.serve_on(world.net.listen(FIRST));
    until(async || shown(&server).is_some()).await;
    assert_eq!(shown(&server).unwrap(), "Bearer second");
}

/// Lets time go by. On its own it would stand still for as long as a thread hangs.
#[cfg(unix)]
async fn pass(time: Duration) {
    const STEP: Duration = Duration::from_millis(50);
    for _ in 0..time.div_duration_f64(STEP) as usize {
        tokio::time::advance(STEP).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_read_in_time_leads_to_the_next_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    let [token, pipe, other] = ["token", "pipe", "other"].map(|name| folder.path().join(name));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&pipe, &token).unwrap();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let first = world.control.serve_on(world.net.listen(FIRST));
    let _second = world.control.serve_on(world.net.listen(SECOND));
    let json = format!(
        r#"{{"xds_servers": [
            {{"server_uri": "{FIRST}", "channel_creds": [{{"type": "insecure"}}], "call_creds": [
                {{"type": "jwt_token_file", "config": {{"jwt_token_file": {token:?}, "mesh.allow_insecure": true}}}}]}},
            {{"server_uri": "{SECOND}", "channel_creds": [{{"type": "insecure"}}]}}]}}"#
    );
    let bootstrap = Bootstrap::from_json(&json).unwrap();
    let mesh = Mesh::builder().bootstrap(bootstrap).dialer(world.net.dialer()).build().unwrap();
    let caller = mesh.clone();
    let answer = tokio::spawn(async move { call(&caller, TARGET, Duration::from_secs(60)).await });
    pass(DEFAULT_CONNECT_TIMEOUT + Duration::from_secs(1)).await;
    let answered = answer.is_finished();
    std::fs::write(&other, "late").unwrap();
    std::fs::rename(&other, &token).unwrap();
    // With a writer at the other end, whoever hangs reads what there is: nothing.
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap());
    assert!(answered, "whoever reads hangs, and all others wait");
    assert!(answer.await.unwrap().is_ok());
    until(async || first.heads().last().is_some_and(|head| head["authorization"] == "Bearer late")).await;
}
