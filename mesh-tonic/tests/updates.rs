//! No call fails because configuration moves.

use mesh_core::clock::now;
use mesh_core::{Kind, Mesh};
use mesh_proto::envoy::config::route::v3::retry_policy::RetryBackOff;
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::load::Load;
use mesh_testkit::resources::{any, assignment, cluster, duration, istio_retry_policy, route, with_action};
use mesh_testkit::world::{CONTROL_PLANE, TARGET, World};
use mesh_tonic::{Channel, mesh_error};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::{Code, Request, Response, Status};

const MS: fn(u64) -> Duration = Duration::from_millis;
const NO_FAILURES: [&str; 0] = [];

async fn ask(mesh: &Mesh) -> String {
    let response =
        EchoClient::new(Channel::new(mesh, TARGET).unwrap()).unary(Message::new("")).await.unwrap();
    response.metadata().get("x-backend").unwrap().to_str().unwrap().to_owned()
}

/// Calls are answered by this backend soon, and by no other from then on.
async fn comes_to(mesh: &Mesh, address: &str) {
    let start = now();
    while ask(mesh).await != address {
        assert!(now() - start < MS(500), "still not at {address}");
        sleep(MS(10)).await;
    }
    for _ in 0..5 {
        assert_eq!(ask(mesh).await, address);
    }
}

/// Every change leads to clusters that come only after the route, and takes older ones away.
#[tokio::test(start_paused = true)]
async fn fifty_changes_of_routes_and_weights_under_load() {
    const ADDRESSES: [&str; 4] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
    let (world, _backends) = World::with_backends(&ADDRESSES);
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let name = |change: usize| if change == 0 { "echo".to_owned() } else { format!("v{change}") };
    let load = Load::echo(&channel, MS(2));
    sleep(MS(100)).await;
    for change in 1..=50 {
        let (new, old) = (name(change), name(change - 1));
        world.routes(match change % 2 {
            0 => vec![route("/", &[(&new, 1)])],
            _ => vec![route("/nothing", &[("unused", 1)]), route("/", &[(&new, 70), (&old, 30)])],
        });
        sleep(MS([1, 30, 120][change % 3])).await;
        world.cluster(&new, &[ADDRESSES[change % 4]]);
        sleep(MS(50)).await;
        if change >= 2 {
            world.remove_cluster(&name(change - 2));
        }
        sleep(MS(10)).await;
    }
    let settled = now();
    sleep(MS(100)).await;
    let record = load.finish().await;
    assert_eq!(record.failures, NO_FAILURES);
    assert!(record.answers.len() > 2_000, "{}", record.answers.len());
    assert_eq!(
        record.shares(settled).into_keys().collect::<Vec<_>>(),
        ["10.0.0.3:80"],
        "the last change holds"
    );
    assert_eq!(world.control.nacks(), NO_FAILURES);
}

#[tokio::test(start_paused = true)]
async fn five_hundred_updates_at_100_hz_under_load() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    backends.iter().for_each(|backend| backend.set(Behavior::Slow(MS(35))));
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    world.cluster("other", &["10.0.0.1:80"]);
    let load = Load::echo(&channel, MS(3));
    sleep(MS(100)).await;
    for update in 0..500 {
        match update % 2 {
            0 => world.cluster("echo", &["10.0.0.1:80", "10.0.0.2:80"]),
            _ => world.cluster("echo", &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]),
        }
        world.routes(vec![route("/", &[("echo", 100 - update % 50), ("other", update % 50)])]);
        sleep(MS(10)).await;
    }
    let record = load.finish().await;
    assert_eq!(record.failures, NO_FAILURES);
    assert!(record.answers.len() > 1_500);
    assert_eq!(backends[0].connections(), 1, "shared by two clusters, and kept");
    assert_eq!(backends[1].connections(), 1);
    let (in_flight, requests) = (backends[2].in_flight(), backends[2].requests());
    assert!(requests > 0 && in_flight == 0, "one that comes and goes finishes what it has");
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_killed_and_comes_back_changed() {
    let (world, _first) = World::with_backends(&["10.0.0.1:80"]);
    let _second = world.backend("10.0.0.2:80");
    let mut server = Some(world.control.serve_on(world.net.listen(CONTROL_PLANE)));
    let mesh = world.remote_mesh().unwrap();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(100));
    sleep(MS(1500)).await;
    let mut last = "10.0.0.1:80";
    for (outage, address) in [(3, "10.0.0.2:80"), (40, "10.0.0.1:80"), (300, "10.0.0.2:80")] {
        drop(server.take());
        world.net.refuse(CONTROL_PLANE);
        world.cluster(address, &[address]);
        world.route(address);
        sleep(Duration::from_secs(outage)).await;
        let before =
            load.so_far().shares(now() - MS(1000)).into_keys().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(before, [last], "the last good configuration is in force");
        server = Some(world.control.serve_on(world.net.listen(CONTROL_PLANE)));
        sleep(MS(1300)).await;
        let back = now();
        sleep(MS(500)).await;
        let after = load.so_far();
        assert_eq!(after.shares(back).into_keys().collect::<Vec<_>>(), [address], "after {outage} s");
        last = address;
    }
    drop(server);
    assert_eq!(load.finish().await.failures, NO_FAILURES);
}

#[tokio::test(start_paused = true)]
async fn a_call_before_the_first_configuration_waits_for_it() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.remote_mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let call = |limit: u64| {
        let mut request = Request::new(Message::new(""));
        request.set_timeout(MS(limit));
        let mut client = EchoClient::new(channel.clone());
        async move { client.unary(request).await }
    };
    let start = now();
    let status = call(1_000).await.unwrap_err();
    assert_eq!((status.code(), now() - start), (Code::DeadlineExceeded, MS(1_000)));
    assert!(status.message().contains("no configuration yet (target echo:80): "), "{status}");
    assert!(status.message().contains("refused"), "the reason is told: {status}");

    let waiting = tokio::spawn(call(5_000));
    sleep(MS(500)).await;
    let _server = world.control.serve_on(world.net.listen(CONTROL_PLANE));
    let start = now();
    waiting.await.unwrap().unwrap();
    assert!(now() - start < MS(1_300), "{:?}", now() - start);
}

#[tokio::test(start_paused = true)]
async fn a_subset_that_does_not_exist_fails_only_its_calls_and_at_once() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let missing = "outbound|80|v9|echo.default.svc.cluster.local";
    world.routes(vec![route("/mesh.test.Echo/ServerStreaming", &[(missing, 1)]), route("/", &[("echo", 1)])]);
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    client.unary(Message::new("")).await.unwrap();
    for _ in 0..3 {
        let start = now();
        let status = client.server_streaming(Message::new("")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains(&format!("Cluster {missing} does not exist")), "{status}");
        assert!(now() - start < MS(300), "{:?}", now() - start);
    }
    // The same while the service is in use: the route takes effect although it leads nowhere in part.
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(5));
    world.routes(vec![route("/mesh.test.Echo/ClientStreaming", &[("gone", 1)]), route("/", &[("echo", 1)])]);
    sleep(MS(500)).await;
    let status = client.client_streaming(tokio_stream::iter([Message::new("")])).await.unwrap_err();
    assert!(status.message().contains("Cluster gone does not exist"), "{status}");
    assert!(client.server_streaming(Message::new("")).await.is_ok());
    assert_eq!(load.finish().await.failures, NO_FAILURES);
}

#[tokio::test(start_paused = true)]
async fn there_and_back_again_leaves_no_stale_state() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80"]);
    world.cluster("echo", &["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let load = Load::echo(&channel, MS(5));
    sleep(MS(100)).await;
    assert_eq!(ask(&mesh).await, "10.0.0.1:80");
    let third = world.backend("10.0.0.3:80");
    for _ in 0..5 {
        world.route("other");
        world.cluster("other", &["10.0.0.2:80"]);
        comes_to(&mesh, "10.0.0.2:80").await;
        world.remove_cluster("echo");
        sleep(MS(50)).await;
        // It comes back under its name, but elsewhere.
        world.cluster("echo", &["10.0.0.3:80"]);
        world.route("echo");
        comes_to(&mesh, "10.0.0.3:80").await;
        world.remove_cluster("other");
        sleep(MS(50)).await;
    }
    assert_eq!(load.finish().await.failures, NO_FAILURES);
    assert_eq!(third.open_connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_removed_finishes_what_is_in_flight() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80"]);
    world.cluster("echo", &["10.0.0.1:80"]);
    backends[0].set(Behavior::Slow(MS(900)));
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    let call = tokio::spawn(async move { client.unary(Message::new("")).await });
    sleep(MS(100)).await;
    world.cluster("echo", &["10.0.0.2:80"]);
    sleep(MS(100)).await;
    assert_eq!(ask(&mesh).await, "10.0.0.2:80");
    assert_eq!(backends[0].in_flight(), 1);
    let response = call.await.unwrap().unwrap();
    assert_eq!(response.metadata().get("x-backend").unwrap(), "10.0.0.1:80");
    drop(response);
    sleep(MS(10)).await;
    assert_eq!(backends[0].open_connections(), 0, "then its connection is closed");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_are_not_healthy_get_nothing() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    let mesh = world.mesh().unwrap();
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), MS(5));
    sleep(MS(500)).await;
    // envoy.config.core.v3.HealthStatus: UNHEALTHY, DRAINING and TIMEOUT.
    for status in [2, 3, 4] {
        let mut marked = assignment("echo", &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        marked.endpoints[0].lb_endpoints[1].health_status = status;
        world.control.set([any(&marked)]);
        sleep(MS(100)).await;
        let (since, before) = (now(), backends[1].requests());
        sleep(MS(500)).await;
        assert_eq!(backends[1].requests(), before, "status {status}");
        assert_eq!(load.so_far().shares(since).len(), 2);
        world.cluster("echo", &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
        sleep(MS(500)).await;
        assert!(backends[1].requests() > before, "healthy again");
    }
    assert_eq!(load.finish().await.failures, NO_FAILURES);
}

#[tokio::test(start_paused = true)]
async fn meshes_of_one_process_do_not_disturb_each_other() {
    let (first, first_backends) = World::with_backends(&["10.0.0.1:80"]);
    let (second, second_backends) = World::with_backends(&["10.0.0.1:80"]);
    let (one, two) = (first.mesh().unwrap(), second.mesh().unwrap());
    let load = Load::echo(&Channel::new(&one, TARGET).unwrap(), MS(5));
    let other = Channel::new(&two, TARGET).unwrap();
    for _ in 0..10 {
        EchoClient::new(other.clone()).unary(Message::new("")).await.unwrap();
    }
    assert_eq!((first.control.streams(), second.control.streams()), (1, 1));
    assert_eq!(second_backends[0].requests(), 10);
    second.control.clear();
    sleep(MS(100)).await;
    assert!(two.close(Duration::from_secs(1)).await);
    let status = EchoClient::new(other).unary(Message::new("")).await.unwrap_err();
    assert_eq!(mesh_error(&status).unwrap().kind(), Kind::Closed);
    sleep(MS(500)).await;
    let record = load.finish().await;
    assert_eq!(record.failures, NO_FAILURES);
    assert_eq!(first_backends[0].requests(), record.answers.len());
    assert_eq!((first.control.streams(), second.control.streams()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_stream_serves_every_target() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let channels: Vec<_> =
        (0..20).map(|n| Channel::new(&mesh, &format!("xds:///other-{n}:80")).unwrap()).collect();
    assert_eq!(ask(&mesh).await, "10.0.0.1:80");
    assert_eq!(world.control.streams(), 1);
    let listeners: Vec<_> = world
        .control
        .requests()
        .into_iter()
        .filter(|request| request.type_url.ends_with("Listener"))
        .collect();
    assert_eq!(listeners.last().unwrap().resource_names.len(), 21);
    drop(channels);
    sleep(MS(100)).await;
    let requests = world.control.requests();
    let last = requests.iter().rfind(|request| request.type_url.ends_with("Listener")).unwrap();
    assert_eq!(last.resource_names, [""; 0], "nobody wants any of them any more");
}

/// A call, and what keeps its target after it.
type Between = (Channel, JoinHandle<Result<Response<Message>, Status>>);

/// A world in which calls to `echo` fail once and are tried again after a long pause, and a call that is in that pause.
async fn call_between_tries() -> (World, Vec<Backend>, Mesh, Between) {
    let (world, backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80"]);
    world.cluster("echo", &["10.0.0.1:80"]);
    world.cluster("other", &["10.0.0.2:80"]);
    let mut policy = istio_retry_policy();
    policy.retry_on = "unavailable".to_owned();
    policy.retry_back_off =
        Some(RetryBackOff { base_interval: Some(duration(MS(60_000))), max_interval: None });
    world.routes(vec![with_action(route("/", &[("echo", 1)]), |action| action.retry_policy = Some(policy))]);
    backends[0].set(Behavior::GrpcStatus(14));
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let mut client = EchoClient::new(channel.clone());
    let call = tokio::spawn(async move { client.unary(Message::new("")).await });
    while backends[0].requests() == 0 {
        sleep(MS(1)).await;
    }
    backends[0].set(Behavior::Echo);
    (world, backends, mesh, (channel, call))
}

fn subscribed_clusters(world: &World) -> Vec<String> {
    let requests = world.control.requests();
    requests.iter().rfind(|request| request.type_url.ends_with("v3.Cluster")).unwrap().resource_names.clone()
}

#[tokio::test(start_paused = true)]
async fn a_call_that_began_stays_with_its_cluster_when_routes_lead_elsewhere() {
    let (world, backends, mesh, (_channel, call)) = call_between_tries().await;
    world.route("other");
    sleep(MS(5_000)).await;
    assert_eq!(ask(&mesh).await, "10.0.0.2:80");
    assert!(!call.is_finished());
    assert_eq!(subscribed_clusters(&world), ["echo", "other"], "somebody is on the way there");
    let response = call.await.unwrap().unwrap();
    assert_eq!(response.metadata().get("x-backend").unwrap(), "10.0.0.1:80");
    assert_eq!(backends[0].requests(), 2);
    sleep(MS(2_000)).await;
    assert_eq!(subscribed_clusters(&world), ["other"], "nobody is any more");
    assert_eq!(backends[0].open_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_began_is_not_harmed_when_its_target_goes() {
    let (world, _backends, mesh, (_channel, call)) = call_between_tries().await;
    world.control.clear();
    sleep(MS(500)).await;
    world.cluster("echo", &["10.0.0.1:80"]);
    let error =
        EchoClient::new(Channel::new(&mesh, TARGET).unwrap()).unary(Message::new("")).await.unwrap_err();
    assert!(error.message().contains("does not exist any more"), "{error}");
    let response = call.await.unwrap().unwrap();
    assert_eq!(response.metadata().get("x-backend").unwrap(), "10.0.0.1:80");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_calls_had_kept_is_the_same_when_routes_lead_there_again() {
    let (world, backends, mesh, (_channel, call)) = call_between_tries().await;
    world.route("other");
    sleep(MS(3_000)).await;
    world.route("echo");
    comes_to(&mesh, "10.0.0.1:80").await;
    call.await.unwrap().unwrap();
    sleep(MS(3_000)).await;
    assert_eq!(subscribed_clusters(&world), ["echo"]);
    assert_eq!(ask(&mesh).await, "10.0.0.1:80");
    assert_eq!(backends[0].connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_still_waits_for_an_endpoint_follows_the_routes() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    world.control.set([any(&cluster("slow"))]);
    world.route("slow");
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    let call = tokio::spawn(async move { client.unary(Message::new("")).await });
    sleep(MS(100)).await;
    assert!(!call.is_finished());
    world.route("echo");
    sleep(MS(100)).await;
    assert!(call.is_finished(), "it need not wait for endpoints that nobody else will use");
    assert_eq!(call.await.unwrap().unwrap().metadata().get("x-backend").unwrap(), "10.0.0.1:80");
}
