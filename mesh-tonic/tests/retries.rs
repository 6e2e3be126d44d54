//! What is tried again, how often, where and when.

use mesh_core::clock::now;
use mesh_core::overrides::{CallTrace, Decision, Overrides};
use mesh_core::policy::retry_budget::RetryBudgetConfig;
use mesh_proto::envoy::config::route::v3::RetryPolicy;
use mesh_proto::envoy::config::route::v3::retry_policy::RetryBackOff;
use mesh_proto::google::protobuf::UInt32Value;
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{duration, istio_retry_policy, route, with_action};
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use std::time::Duration;
use tonic::{Code, Request, Status};

const MS: fn(u64) -> Duration = Duration::from_millis;
const ENDPOINTS: [&str; 3] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];

/// A policy that retries `on`, so many times.
fn policy(on: &str, num_retries: u32) -> RetryPolicy {
    RetryPolicy {
        retry_on: on.to_owned(),
        num_retries: Some(UInt32Value { value: num_retries }),
        ..istio_retry_policy()
    }
}

/// A service with these backends and this policy.
fn world(addresses: &[&str], policy: RetryPolicy) -> (World, Vec<Backend>) {
    let (world, backends) = World::with_backends(addresses);
    let with_policy = with_action(route("/", &[("echo", 1)]), |action| action.retry_policy = Some(policy));
    world.routes(vec![with_policy]);
    (world, backends)
}

async fn call(world: &World) -> Result<(), Status> {
    let mesh = world.mesh().unwrap();
    EchoClient::new(Channel::new(&mesh, TARGET).unwrap()).unary(Message::new("x")).await.map(|_| ())
}

fn requests(backends: &[Backend]) -> Vec<usize> {
    backends.iter().map(Backend::requests).collect()
}

/// With the condition a failure that passes is not seen; without it, it is.
#[tokio::test(start_paused = true)]
async fn each_condition_covers_its_failure_and_no_other() {
    use h2::Reason;
    for (condition, behavior, code) in [
        ("reset", Behavior::ResetStream(Reason::INTERNAL_ERROR), Code::Unavailable),
        ("reset", Behavior::Hangup, Code::Unavailable),
        ("unavailable", Behavior::GrpcStatus(14), Code::Unavailable),
        ("cancelled", Behavior::GrpcStatus(1), Code::Cancelled),
        ("cancelled", Behavior::ResetStream(Reason::CANCEL), Code::Cancelled),
        ("deadline-exceeded", Behavior::GrpcStatus(4), Code::DeadlineExceeded),
        ("resource-exhausted", Behavior::GrpcStatus(8), Code::ResourceExhausted),
        ("internal", Behavior::GrpcStatus(13), Code::Internal),
        ("retriable-status-codes", Behavior::HttpStatus(429), Code::Unavailable),
    ] {
        for (on, covered) in [(condition, true), ("retriable-4xx", false)] {
            let mut policy = policy(on, 2);
            policy.retriable_status_codes = vec![429];
            let (world, backends) = world(&ENDPOINTS[..2], policy);
            backends.iter().for_each(|backend| backend.set(behavior.clone()));
            let mesh = world.mesh().unwrap();
            let channel = Channel::new(&mesh, TARGET).unwrap();
            let call = async {
                let mut client = EchoClient::new(channel);
                client.unary(Message::new("x")).await
            };
            let heal = async {
                while requests(&backends) == [0, 0] {
                    tokio::task::yield_now().await;
                }
                tokio::task::yield_now().await;
                backends.iter().for_each(|backend| backend.set(Behavior::Echo));
            };
            let (result, ()) = tokio::join!(call, heal);
            match covered {
                true => assert!(result.is_ok(), "{on}, {behavior:?}: {result:?}"),
                false => assert_eq!(result.unwrap_err().code(), code, "{on}, {behavior:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_made_is_tried_again_under_its_condition() {
    for (on, covered) in [("connect-failure", true), ("reset", false)] {
        let mut policy = policy(on, 3);
        policy.retry_back_off =
            Some(RetryBackOff { base_interval: Some(duration(MS(400))), max_interval: None });
        let world = World::default();
        world.cluster("echo", &["10.0.0.1:80"]);
        let with_policy =
            with_action(route("/", &[("echo", 1)]), |action| action.retry_policy = Some(policy));
        world.routes(vec![with_policy]);
        let mesh = world.mesh().unwrap();
        let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
        let call = tokio::spawn(async move { client.unary(Message::new("x")).await });
        tokio::time::sleep(MS(20)).await;
        let _backend = world.backend("10.0.0.1:80");
        let result = call.await.unwrap();
        assert_eq!(result.is_ok(), covered, "{on}: {result:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_refused_again_and_again_is_tried_again_under_its_condition() {
    for (on, expected) in [("refused-stream", 1 + 5 + 2), ("unavailable", 1 + 5 + 2), ("cancelled", 1 + 5)] {
        let (world, backends) = world(&ENDPOINTS[..1], policy(on, 2));
        backends[0].set(Behavior::RefuseStream);
        assert_eq!(call(&world).await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(requests(&backends), [expected], "{on}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_times_and_no_more() {
    for (retries, tries) in [(0, 1), (1, 2), (2, 3), (4, 5), (50, 5)] {
        let (world, backends) = world(&ENDPOINTS[..1], policy("unavailable", retries));
        backends[0].set(Behavior::GrpcStatus(14));
        assert_eq!(call(&world).await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(requests(&backends), [tries], "{retries} retries; gRPC has five tries at most");
        let headers: Vec<_> = backends[0]
            .seen()
            .iter()
            .map(|seen| seen.headers.get("grpc-previous-rpc-attempts").map_or(0, |n| n.as_bytes()[0] - b'0'))
            .collect();
        assert_eq!(headers, (0..tries as u8).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn each_try_goes_to_an_endpoint_that_has_not_failed() {
    let (world, backends) = world(&ENDPOINTS, policy("unavailable", 2));
    backends.iter().for_each(|backend| backend.set(Behavior::GrpcStatus(14)));
    for calls in 1..=20 {
        assert!(call(&world).await.is_err());
        assert_eq!(requests(&backends), [calls; 3]);
    }
    backends[1].set(Behavior::Echo);
    for _ in 0..20 {
        call(&world).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn when_every_endpoint_has_failed_any_is_better_than_none() {
    let (world, backends) = world(&ENDPOINTS[..2], policy("unavailable", 4));
    backends.iter().for_each(|backend| backend.set(Behavior::GrpcStatus(14)));
    assert!(call(&world).await.is_err());
    assert_eq!(requests(&backends).iter().sum::<usize>(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_takes_too_long_is_repeated_elsewhere() {
    let mut policy = policy("reset", 2);
    policy.per_try_timeout = Some(duration(MS(100)));
    let (world, backends) = world(&ENDPOINTS[..2], policy);
    let mesh = world.mesh().unwrap();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    EchoClient::new(channel.clone()).unary(Message::new("warm")).await.unwrap();
    backends[0].set(Behavior::Stall);
    let mut stalled = 0;
    for _ in 0..20 {
        let (start, before) = (now(), backends[0].requests());
        EchoClient::new(channel.clone()).unary(Message::new("x")).await.unwrap();
        let (took, tried) = (now() - start, backends[0].requests() - before);
        assert!(tried <= 1, "not there again");
        stalled += tried;
        match tried {
            0 => assert!(took < MS(10), "{took:?}"),
            _ => assert!((MS(100)..MS(130)).contains(&took), "{took:?}"),
        }
    }
    assert!(stalled > 0);
    assert_eq!(backends[0].in_flight(), 0, "the try that was given up was reset");

    backends[1].set(Behavior::Stall);
    let status = EchoClient::new(channel).unary(Message::new("x")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    for part in ["the time for one try is over", "cluster echo", "endpoint 10.0.0."] {
        assert!(status.message().contains(part), "{part}: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_are_drawn_at_random() {
    const CALLS: usize = 100;
    let mut policy = policy("unavailable", 4);
    policy.retry_back_off =
        Some(RetryBackOff { base_interval: Some(duration(MS(100))), max_interval: Some(duration(MS(500))) });
    let (world, backends) = world(&ENDPOINTS[..1], policy);
    backends[0].set(Behavior::GrpcStatus(14));
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    let mut pauses = vec![Vec::new(); 4];
    for _ in 0..CALLS {
        let trace = CallTrace::default();
        let mut request = Request::new(Message::new("x"));
        request.extensions_mut().insert(Overrides::default().trace(&trace));
        let start = now();
        assert!(client.unary(request).await.is_err());
        let took = now() - start;
        let of_call: Vec<_> = trace
            .decisions()
            .into_iter()
            .filter_map(|(_, decision)| match decision {
                Decision::Retry { delay, .. } => Some(delay),
                _ => None,
            })
            .collect();
        // A timer goes off in the next whole millisecond.
        let sum: Duration = of_call.iter().sum();
        assert!(took >= sum && took <= sum + MS(5), "{took:?}, {sum:?}");
        of_call.into_iter().zip(&mut pauses).for_each(|(pause, all)| all.push(pause));
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    for (all, bound) in pauses.iter().zip([100, 300, 500, 500]) {
        assert_eq!(all.len(), CALLS);
        assert!(all.iter().all(|pause| *pause < MS(bound)), "{bound}: {all:?}");
        let (min, max) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!(*max > MS(bound * 2 / 3) && *min < MS(bound / 3), "spread out: {min:?} … {max:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn retries_stop_when_the_budget_is_spent() {
    for (per_second, ratio, expected) in [(0, 0.0, 0), (1, 0.0, 10), (0, 0.5, 0)] {
        let (world, backends) = world(&ENDPOINTS[..1], policy("unavailable", 2));
        let budget =
            RetryBudgetConfig { min_retries_per_second: per_second, ratio, ..RetryBudgetConfig::default() };
        let mesh = world.builder().retry_budget(budget).build().unwrap();
        let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
        backends[0].set(Behavior::GrpcStatus(14));
        for _ in 0..50 {
            assert!(client.unary(Message::new("x")).await.is_err());
        }
        assert_eq!(backends[0].requests(), 50 + expected);
    }
    // Successes fill it.
    let (world, backends) = world(&ENDPOINTS[..1], policy("unavailable", 2));
    let budget = RetryBudgetConfig { min_retries_per_second: 0, ratio: 0.5, ..RetryBudgetConfig::default() };
    let mesh = world.builder().retry_budget(budget).build().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    for _ in 0..8 {
        client.unary(Message::new("x")).await.unwrap();
    }
    backends[0].set(Behavior::GrpcStatus(14));
    for _ in 0..50 {
        assert!(client.unary(Message::new("x")).await.is_err());
    }
    assert_eq!(backends[0].requests(), 8 + 50 + 4);
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_to_keep_is_sent_once() {
    for (size, tries) in [(60 << 10, 3), (70 << 10, 1)] {
        let (world, backends) = world(&ENDPOINTS[..1], policy("unavailable", 2));
        backends[0].set(Behavior::GrpcStatus(14));
        let mesh = world.mesh().unwrap();
        let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
        let status = client.unary(Message::new(vec![0; size])).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(requests(&backends), [tries], "{size} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_has_begun_is_never_taken_back() {
    let (world, backends) = world(&ENDPOINTS, policy("unavailable,reset", 2));
    backends.iter().for_each(|backend| backend.set(Behavior::LateGrpcStatus(14)));
    assert_eq!(call(&world).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(requests(&backends).iter().sum::<usize>(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_requests_is_repeated_while_all_of_it_is_kept() {
    let (world, backends) = world(&ENDPOINTS, policy("unavailable", 2));
    backends.iter().for_each(|backend| backend.set(Behavior::GrpcStatus(14)));
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    let messages = || tokio_stream::iter((0..3).map(|n| Message::new(vec![n; 10])));
    assert!(client.client_streaming(messages()).await.is_err());
    assert_eq!(requests(&backends), [1, 1, 1]);
}

/// No pause is begun that would outlast the call.
#[tokio::test(start_paused = true)]
async fn a_retry_that_would_come_too_late_is_not_waited_for() {
    let mut policy = policy("unavailable", 4);
    policy.retry_back_off = Some(RetryBackOff {
        base_interval: Some(duration(Duration::from_secs(3600))),
        max_interval: Some(duration(Duration::from_secs(7200))),
    });
    let (world, backends) = world(&ENDPOINTS[..1], policy);
    backends[0].set(Behavior::GrpcStatus(14));
    let mesh = world.mesh().unwrap();
    let mut request = Request::new(Message::new("x"));
    request.set_timeout(MS(500));
    let start = now();
    let status = EchoClient::new(Channel::new(&mesh, TARGET).unwrap()).unary(request).await.unwrap_err();
    assert_eq!((status.code(), requests(&backends)), (Code::Unavailable, vec![1]), "the server's own answer");
    assert!(now() - start < MS(50));
}
