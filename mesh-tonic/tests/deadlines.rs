//! The time of a call is limited by its route, its listener and its caller, whatever it waits for.

use mesh_core::clock::now;
use mesh_proto::envoy::config::route::v3::RouteAction;
use mesh_proto::envoy::config::route::v3::route_action::MaxStreamDuration;
use mesh_testkit::backend::Behavior;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{duration, route, with_action};
use mesh_testkit::world::{CONTROL_PLANE, TARGET, World};
use mesh_tonic::Channel;
use std::time::Duration;
use tokio::time::sleep;
use tonic::{Code, Request, Status};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn request(timeout: Option<u64>) -> Request<Message> {
    let mut request = Request::new(Message::new(""));
    if let Some(timeout) = timeout {
        request.set_timeout(MS(timeout));
    }
    request
}

fn with_limits(world: &World, change: impl FnOnce(&mut RouteAction)) {
    world.routes(vec![with_action(route("/", &[("echo", 1)]), change)]);
}

/// The limits of a route and of a caller, and what comes of them by gRFC A31, in milliseconds.
#[tokio::test(start_paused = true)]
async fn the_limit_is_the_one_that_grpc_prescribes() {
    for (timeout, stream, header, caller, expected) in [
        (Some(400), None, None, None, 400),
        (Some(400), None, None, Some(100), 100),
        (Some(400), None, None, Some(900), 400),
        (Some(400), Some(300), None, None, 300),
        (Some(200), Some(300), None, None, 300),
        (Some(400), Some(300), Some(200), None, 200),
        (Some(400), Some(300), Some(500), Some(450), 450),
        (Some(400), Some(0), None, Some(800), 800),
        (None, None, None, Some(700), 700),
        (Some(0), None, None, Some(700), 700),
    ] {
        let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
        backends[0].set(Behavior::Stall);
        let span = |limit: Option<u64>| limit.map(|limit| duration(MS(limit)));
        with_limits(&world, |action| {
            action.timeout = span(timeout);
            action.max_stream_duration = (stream.is_some() || header.is_some()).then(|| MaxStreamDuration {
                max_stream_duration: span(stream),
                grpc_timeout_header_max: span(header),
                ..Default::default()
            });
        });
        let mesh = world.mesh().unwrap();
        let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
        let start = now();
        let status = client.unary(request(caller)).await.unwrap_err();
        let case = (timeout, stream, header, caller);
        assert_eq!((status.code(), now() - start), (Code::DeadlineExceeded, MS(expected)), "{case:?}");
        for part in
            ["the time for the call is over", "target echo:80", "cluster echo", "endpoint 10.0.0.1:80"]
        {
            assert!(status.message().contains(part), "{part}: {status}");
        }
        sleep(MS(1)).await;
        assert_eq!(backends[0].in_flight(), 0, "the stream was reset");
    }
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_is_told_how_much_time_is_left() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.remote_mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    let mut client = EchoClient::new(channel.clone());
    let start = now();
    let early = tokio::spawn(async move { client.unary(request(Some(5_000))).await });
    sleep(MS(300)).await;
    let _server = world.control.serve_on(world.net.listen(CONTROL_PLANE));
    early.await.unwrap().unwrap();
    let waited = (now() - start).as_micros();
    EchoClient::new(channel.clone()).unary(request(Some(250))).await.unwrap();
    EchoClient::new(channel).unary(request(None)).await.unwrap();
    let told: Vec<_> =
        backends[0].seen().iter().map(|seen| seen.headers.get("grpc-timeout").cloned()).collect();
    assert_eq!(told[0].as_ref().unwrap().to_str().unwrap(), format!("{}u", 5_000_000 - waited));
    assert_eq!(told[1].as_ref().unwrap(), "250000u");
    assert_eq!(told[2], None);
}

#[tokio::test(start_paused = true)]
async fn each_try_is_told_what_is_left_for_it() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80", "10.0.0.2:80"]);
    with_limits(&world, |action| {
        action.timeout = Some(duration(MS(900)));
        if let Some(policy) = &mut action.retry_policy {
            policy.per_try_timeout = Some(duration(MS(200)));
        }
    });
    backends.iter().for_each(|backend| backend.set(Behavior::Stall));
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    assert!(client.unary(request(None)).await.is_err());
    let mut told: Vec<u64> = backends
        .iter()
        .flat_map(|backend| backend.seen())
        .map(|seen| seen.headers["grpc-timeout"].to_str().unwrap().trim_end_matches('u').parse().unwrap())
        .collect();
    told.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(told.len(), 3);
    assert_eq!(told[0], 900_000);
    assert!(told[1] <= 700_000 && told[1] > 650_000 && told[2] <= 500_000, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_connection_counts() {
    let world = World::default();
    world.net.black_hole("10.0.0.1:80");
    world.cluster("echo", &["10.0.0.1:80"]);
    world.route("echo");
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    let start = now();
    let status = client.unary(request(Some(700))).await.unwrap_err();
    assert_eq!((status.code(), now() - start), (Code::DeadlineExceeded, MS(700)));
    for part in ["cluster echo", "no endpoint is connected"] {
        assert!(status.message().contains(part), "{part}: {status}");
    }
    // Without a limit of the call, that of the connection counts.
    let status = client.unary(request(None)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no connection to 10.0.0.1:80 within 5s"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_cluster_counts() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    // The cluster is there, its endpoints are not.
    world.control.remove(&mesh_testkit::resources::any(&mesh_testkit::resources::assignment("echo", &[])));
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    let start = now();
    let status = client.unary(request(Some(600))).await.unwrap_err();
    assert_eq!((status.code(), now() - start), (Code::DeadlineExceeded, MS(600)));
    assert!(status.message().contains("the cluster is not configured yet"), "{status}");
    let status = client.unary(request(None)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("ClusterLoadAssignment echo does not exist"), "{status}");
    assert!(now() - start < Duration::from_secs(16));
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_response_is_limited_too() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    with_limits(&world, |action| action.timeout = Some(duration(MS(800))));
    backends[0].set(Behavior::StallInBody);
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    let start = now();
    let mut answers = client.server_streaming(Message::new("")).await.unwrap().into_inner();
    let status: Status = answers.message().await.unwrap_err();
    assert_eq!((status.code(), now() - start), (Code::DeadlineExceeded, MS(800)));
    for part in ["its response is not complete", "cluster echo", "endpoint 10.0.0.1:80"] {
        assert!(status.message().contains(part), "{part}: {status}");
    }
    drop(answers);
    sleep(MS(1)).await;
    assert_eq!(backends[0].in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_over_before_it_begins_is_not_sent() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    client.unary(request(None)).await.unwrap();
    let mut late = Request::new(Message::new(""));
    late.metadata_mut().insert("grpc-timeout", "0n".parse().unwrap());
    let status = client.unary(late).await.unwrap_err();
    assert_eq!((status.code(), backends[0].requests()), (Code::DeadlineExceeded, 1));
}
