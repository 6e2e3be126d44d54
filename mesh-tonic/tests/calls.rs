//! Calls through the whole stack, in memory and in virtual time: everything that a client of tonic may do.

use bytes::Bytes;
use mesh_core::clock::now;
use mesh_core::overrides::{CallTrace, Decision, Overrides};
use mesh_core::{ClusterConfig, Kind, Mesh};
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::echo::{DELAY, EchoClient, EchoServer, Message, STATUS, Server};
use mesh_testkit::net::VirtualNet;
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::{Channel, mesh_error};
use std::time::Duration;
use tokio_stream::StreamExt;
use tonic::codegen::{CompressionEncoding, InterceptedService};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};

/// A mesh with one cluster in code.
fn mesh(net: &VirtualNet) -> Mesh {
    let cluster = ClusterConfig::new("echo").endpoint("10.0.0.1:80").unwrap();
    Mesh::builder().dialer(net.dialer()).cluster(cluster).seed(1).build().unwrap()
}

/// A channel to a server made with tonic.
fn tonic_server(server: EchoServer) -> (Channel, Server) {
    let net = VirtualNet::default();
    let running = server.serve_on(net.listen("10.0.0.1:80"));
    (Channel::new(&mesh(&net), "static:///echo").unwrap(), running)
}

fn messages(payloads: &'static [&'static str]) -> impl tokio_stream::Stream<Item = Message> + Send {
    tokio_stream::iter(payloads).map(|payload| Message::new(*payload))
}

/// Bytes that no compression makes small.
fn noise(length: usize) -> Bytes {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_unary_call_to_a_static_cluster() {
    let net = VirtualNet::default();
    let backend = Backend::http2("a", net.listen("10.0.0.1:80"));
    let mut client = EchoClient::new(Channel::new(&mesh(&net), "static:///echo").unwrap());
    let answer = client.unary(Message::new("hello")).await.unwrap();
    assert_eq!(answer.get_ref().payload, "hello");
    assert_eq!(answer.metadata().get("x-backend").unwrap(), "a");
    assert_eq!((backend.requests(), backend.connections()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_to_a_service_that_the_control_plane_knows() {
    let (world, backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    assert_eq!(client.unary(Message::new("hello")).await.unwrap().get_ref().payload, "hello");
    let seen = backends[0].seen().remove(0);
    assert_eq!((&*seen.path, &*seen.authority), ("/mesh.test.Echo/Unary", "echo:80"));
    assert_eq!(world.control.nacks(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn all_four_kinds_of_call() {
    let (channel, _server) = tonic_server(EchoServer::new("s"));
    let mut client = EchoClient::new(channel);
    assert_eq!(client.unary(Message::new("one")).await.unwrap().into_inner().server, "s");

    let joined = client.client_streaming(messages(&["a", "b", "c"])).await.unwrap();
    assert_eq!(joined.get_ref().payload, "abc");

    let pieces = client.server_streaming(Message::new("xyz")).await.unwrap().into_inner();
    let pieces: Vec<_> = pieces.map(|piece| piece.unwrap().payload).collect().await;
    assert_eq!(pieces, ["x", "y", "z"]);

    let answers = client.bidirectional(messages(&["1", "2"])).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap().payload).collect().await;
    assert_eq!(answers, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn both_directions_of_a_stream_are_independent() {
    let (channel, _server) = tonic_server(EchoServer::new("s"));
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers =
        EchoClient::new(channel).bidirectional(Request::new(requests)).await.unwrap().into_inner();
    for payload in ["ping", "pong"] {
        sender.send(Message::new(payload)).await.unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap().payload, payload);
    }
    // What the caller has not sent yet goes out although it does not read.
    drop(sender);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn metadata_goes_both_ways() {
    let net = VirtualNet::default();
    let backend = Backend::http2("a", net.listen("10.0.0.1:80"));
    let mut client = EchoClient::new(Channel::new(&mesh(&net), "static:///echo").unwrap());
    let mut request = Request::new(Message::new(""));
    request.metadata_mut().insert("x-echo", "text".parse().unwrap());
    request.metadata_mut().append("x-many", "1".parse().unwrap());
    request.metadata_mut().append("x-many", "2".parse().unwrap());
    request.metadata_mut().insert_bin("x-data-bin", MetadataValue::from_bytes(&[0, 255, 7]));
    client.unary(request).await.unwrap();
    let headers = backend.seen().remove(0).headers;
    assert_eq!(headers["x-echo"], "text");
    assert_eq!(headers.get_all("x-many").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(headers["x-data-bin"], "AP8H");
    assert_eq!(headers["te"], "trailers");

    let (channel, _server) = tonic_server(EchoServer::new("s"));
    let mut request = Request::new(Message::new(""));
    request.metadata_mut().insert("x-echo", "back".parse().unwrap());
    let response = EchoClient::new(channel).unary(request).await.unwrap();
    assert_eq!(response.metadata().get("x-got-x-echo").unwrap(), "back");
}

#[tokio::test(start_paused = true)]
async fn the_user_agent_is_the_one_asked_for() {
    let net = VirtualNet::default();
    let backend = Backend::http2("a", net.listen("10.0.0.1:80"));
    let channel = Channel::new(&mesh(&net), "static:///echo").unwrap();
    EchoClient::new(channel.clone()).unary(Message::new("")).await.unwrap();
    let mut client = EchoClient::new(channel.user_agent("shop/2".parse().unwrap()));
    client.unary(Message::new("")).await.unwrap();
    let mut request = Request::new(Message::new(""));
    request.metadata_mut().insert("user-agent", "mine/1".parse().unwrap());
    client.unary(request).await.unwrap();
    let seen = backend.seen();
    let agents = seen.iter().map(|seen| seen.headers.get("user-agent").map(|agent| agent.to_str().unwrap()));
    assert_eq!(agents.collect::<Vec<_>>(), [None, Some("shop/2"), Some("mine/1")]);
}

#[tokio::test(start_paused = true)]
async fn a_status_comes_as_the_server_sent_it() {
    let (channel, _server) = tonic_server(EchoServer::new("s"));
    for code in [Code::NotFound, Code::PermissionDenied, Code::DataLoss] {
        let mut request = Request::new(Message::new(""));
        request.metadata_mut().insert(STATUS, (code as i32).to_string().parse().unwrap());
        let status = EchoClient::new(channel.clone()).unary(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, "as asked"));
        assert!(mesh_error(&status).is_none(), "it is the server's");
    }

    let net = VirtualNet::default();
    let backend = Backend::http2("a", net.listen("10.0.0.1:80"));
    let mut client = EchoClient::new(Channel::new(&mesh(&net), "static:///echo").unwrap());
    for (behavior, code) in [
        (Behavior::GrpcStatus(5), Code::NotFound),
        (Behavior::LateGrpcStatus(9), Code::FailedPrecondition),
        (Behavior::HttpStatus(403), Code::PermissionDenied),
    ] {
        backend.set(behavior.clone());
        let status = client.unary(Message::new("")).await.unwrap_err();
        assert_eq!(status.code(), code, "{behavior:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn compressed_both_ways() {
    let gzip = CompressionEncoding::Gzip;
    let (channel, _server) = tonic_server(EchoServer::new("s").compressed(gzip));
    let mut client = EchoClient::new(channel).compressed(gzip);
    let payload = Bytes::from(vec![7; 100_000]);
    let response = client.unary(Message::new(payload.clone())).await.unwrap();
    assert_eq!(response.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(response.get_ref().payload, payload);
}

#[tokio::test(start_paused = true)]
async fn a_message_above_the_limit_is_refused() {
    let (channel, _server) = tonic_server(EchoServer::new("s"));
    let mut client = EchoClient::new(channel).max_decoding_message_size(100);
    let status = client.unary(Message::new(vec![0; 200])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(client.unary(Message::new("small")).await.is_ok(), "the connection is as good as before");
}

#[tokio::test(start_paused = true)]
async fn interceptors_see_requests() {
    let net = VirtualNet::default();
    let backend = Backend::http2("a", net.listen("10.0.0.1:80"));
    let channel = Channel::new(&mesh(&net), "static:///echo").unwrap();
    let add_token = |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", "Bearer x".parse().unwrap());
        Ok(request)
    };
    let mut client = EchoClient::new(InterceptedService::new(channel.clone(), add_token));
    client.unary(Message::new("")).await.unwrap();
    assert_eq!(backend.seen()[0].headers["authorization"], "Bearer x");

    let refuse = |_: Request<()>| Err(Status::unauthenticated("no token"));
    let status = EchoClient::new(InterceptedService::new(channel, refuse)).unary(Message::new("")).await;
    assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(backend.requests(), 1);
}

/// Far more than the windows of a stream and of a connection, and than fits the network at a time.
#[tokio::test(start_paused = true)]
async fn large_messages_flow_both_ways() {
    const SIZE: usize = 12 << 20;
    let net = VirtualNet::default();
    let backend = Backend::http2("a", net.listen("10.0.0.1:80"));
    let channel = Channel::new(&mesh(&net), "static:///echo").unwrap();
    let payload = noise(SIZE);
    let call = |channel: Channel| async {
        let mut client = EchoClient::new(channel).max_decoding_message_size(2 * SIZE);
        client.unary(Message::new(payload.clone())).await.unwrap().into_inner().payload
    };
    let (first, second) = tokio::join!(call(channel.clone()), call(channel.clone()));
    assert!(first == payload && second == payload);
    assert_eq!(backend.connections(), 1);
}

/// A reader that does not read must not let others starve or memory grow: the server can only send the stream's window.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_up_only_its_own_stream() {
    let (channel, _server) = tonic_server(EchoServer::new("s"));
    let requests = tokio_stream::iter((0..64).map(|_| Message::new(vec![1; 100_000])));
    let mut unread = EchoClient::new(channel.clone()).bidirectional(requests).await.unwrap().into_inner();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let quick = EchoClient::new(channel).unary(Message::new("quick")).await.unwrap();
    assert_eq!(quick.get_ref().payload, "quick");
    let mut count = 0;
    while let Some(message) = unread.message().await.unwrap() {
        assert_eq!(message.payload.len(), 100_000);
        count += 1;
    }
    assert_eq!(count, 64);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_resets_its_stream() {
    let net = VirtualNet::default();
    let backend = Backend::http2("a", net.listen("10.0.0.1:80"));
    let channel = Channel::new(&mesh(&net), "static:///echo").unwrap();
    backend.set(Behavior::Stall);
    let mut client = EchoClient::new(channel.clone());
    let call = tokio::time::timeout(Duration::from_millis(50), client.unary(Message::new("")));
    assert!(call.await.is_err());
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((backend.requests(), backend.in_flight()), (1, 0), "the server was told");

    backend.set(Behavior::StallInBody);
    let response = EchoClient::new(channel.clone()).server_streaming(Message::new("")).await.unwrap();
    assert_eq!(backend.in_flight(), 1);
    drop(response);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(backend.in_flight(), 0, "a response that is dropped is reset, too");

    backend.set(Behavior::Echo);
    EchoClient::new(channel).unary(Message::new("")).await.unwrap();
    assert_eq!(backend.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_decisions_about_a_call_can_be_followed() {
    let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
    let mesh = world.mesh().unwrap();
    let trace = CallTrace::default();
    let mut request = Request::new(Message::new(""));
    request.extensions_mut().insert(Overrides::default().trace(&trace));
    EchoClient::new(Channel::new(&mesh, TARGET).unwrap()).unary(request).await.unwrap();
    assert_eq!(trace.endpoint().as_deref(), Some("10.0.0.1:80"));
    let decisions = trace.decisions();
    let routed =
        |(_, decision): &_| matches!(decision, Decision::Route { cluster, .. } if &**cluster == "echo");
    assert!(decisions.iter().any(routed), "{decisions:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_does_not_exist_is_named_after_the_time_for_it() {
    let world = World::default();
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, "xds:///nowhere:1").unwrap());
    let start = now();
    let status = client.unary(Message::new("")).await.unwrap_err();
    let waited = now() - start;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("Listener nowhere:1 does not exist"), "{status}");
    assert!(status.message().contains("target nowhere:1"), "{status}");
    assert!((Duration::from_secs(15)..Duration::from_secs(16)).contains(&waited), "{waited:?}");
    let start = now();
    assert!(client.unary(Message::new("")).await.is_err());
    assert_eq!(now() - start, Duration::ZERO, "known by now");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_not_given_is_named() {
    let net = VirtualNet::default();
    let mesh = mesh(&net);
    let channel = Channel::new(&mesh, "static:///other").unwrap();
    let status = EchoClient::new(channel).unary(Message::new("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no cluster other was given"), "{status}");
    assert_eq!(mesh_error(&status).unwrap().kind(), Kind::NoCluster);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_target_is_refused() {
    let mesh = mesh(&VirtualNet::default());
    for target in
        ["", "echo:80", "http://echo", "xds://authority/echo", "xds:///", "xds:///a b", "xds://echo"]
    {
        let error = Channel::new(&mesh, target).unwrap_err();
        assert_eq!(error.kind(), Kind::Target, "{target}");
        assert!(error.to_string().contains("xds:///host:port"), "{error}");
    }
}

/// In real time, because a paused clock goes on while bytes are under way in the kernel.
#[tokio::test]
async fn over_a_real_socket() {
    let listener = mesh_testkit::net::Listener::loopback().await.unwrap();
    let address = listener.local_address().unwrap();
    let _server = EchoServer::new("real").serve_on(listener);
    let cluster = ClusterConfig::new("echo").endpoint(&address).unwrap();
    let mesh = Mesh::builder().cluster(cluster).build().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, "static:///echo").unwrap());
    let payload = noise(3 << 20);
    let answer = client.unary(Message::new(payload.clone())).await.unwrap().into_inner();
    assert!(answer.payload == payload && answer.server == "real");
    let mut request = Request::new(Message::new(""));
    request.metadata_mut().insert(DELAY, "5".parse().unwrap());
    client.unary(request).await.unwrap();
}
