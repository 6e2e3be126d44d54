//! Requests and responses over both protocols, passed through to servers on a virtual network.

use crate::common::{Server, echo, get, read, settle, text};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use mesh_core::error::Chain;
use mesh_core::overrides::Overrides;
use mesh_core::{Kind, Mesh};
use mesh_hyper::Client;
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::net::{Listener, VirtualNet};
use std::future::pending;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt;

const URL: &str = "http://server/path?query";

struct World {
    net: VirtualNet,
    mesh: Mesh,
    client: Client,
    http2: bool,
}

impl World {
    fn new(http2: bool) -> Self {
        let net = VirtualNet::default();
        let mesh = Mesh::builder().dialer(net.dialer()).seed(1).build().unwrap();
        let builder = Client::builder(&mesh);
        let client = if http2 { builder.http2_prior_knowledge() } else { builder }.build();
        Self { net, mesh, client, http2 }
    }

    fn both() -> [Self; 2] {
        [Self::new(false), Self::new(true)]
    }

    fn listen(&self) -> Listener {
        self.net.listen("server:80")
    }
}

type Sender = mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>;
type Streamed = StreamBody<ReceiverStream<Result<Frame<Bytes>, std::io::Error>>>;

/// A body that is written piece by piece.
fn channel() -> (Sender, Streamed) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, StreamBody::new(ReceiverStream::new(receiver)))
}

fn data(data: impl Into<Bytes>) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(data.into()))
}

#[tokio::test(start_paused = true)]
async fn get_and_post() {
    for world in World::both() {
        let _server = Server::http(world.listen(), world.http2, |request| async move {
            let (method, uri) = (request.method().clone(), request.uri().path_and_query().unwrap().clone());
            let length = request.headers().get("content-length").cloned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            text(format!("{method} {uri} {length:?} {}", String::from_utf8_lossy(&body)))
        });
        assert_eq!(get(&world.client, URL).await.unwrap(), "GET /path?query None ");
        let post = Request::post(URL).body(Full::from("hello")).unwrap();
        let answer = read(world.client.request(post).await.unwrap()).await;
        assert_eq!(answer, "POST /path?query Some(\"5\") hello");
        let service = world.client.clone().oneshot(Request::get(URL).body(Empty::<Bytes>::new()).unwrap());
        assert_eq!(service.await.unwrap().status(), StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn the_host_is_the_callers() {
    for world in World::both() {
        let backend = if world.http2 { Backend::http2 } else { Backend::http1 }("a", world.listen());
        world.client.get("http://server/").await.unwrap();
        world.client.get("http://Server:80/").await.unwrap();
        let request = Request::get("http://server/").header("host", "other.example");
        world.client.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
        let seen: Vec<_> = backend.seen().into_iter().map(|seen| seen.authority).collect();
        assert_eq!(seen, ["server", "Server:80", "other.example"]);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_are_streamed_both_ways_with_trailers() {
    for world in World::both() {
        let _server = Server::http(world.listen(), world.http2, echo);
        let (sender, body) = channel();
        // HTTP/1.1 carries trailers that both sides have announced.
        let request = Request::post(URL).header("trailer", "x-sum").header("te", "trailers");
        let call = tokio::spawn(world.client.request(request.body(body).unwrap()));
        sender.send(data("first")).await.unwrap();
        let mut answer = call.await.unwrap().unwrap().into_body();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        sender.send(data("second")).await.unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "second");
        let sum = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("11"))]);
        sender.send(Ok(Frame::trailers(sum))).await.unwrap();
        drop(sender);
        let rest = answer.collect().await.unwrap();
        if world.http2 {
            assert_eq!(rest.trailers().unwrap()["x-sum"], "11");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_larger_than_every_window_arrives_whole() {
    for world in World::both() {
        let _server = Server::http(world.listen(), world.http2, echo);
        let piece = Bytes::from(vec![7; 1 << 20]);
        let (sender, body) = channel();
        let call = world.client.request(Request::post(URL).body(body).unwrap());
        let write = async {
            for _ in 0..24 {
                sender.send(data(piece.clone())).await.unwrap();
            }
            drop(sender);
        };
        let read = async {
            let mut body = call.await.unwrap().into_body();
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                length += frame.unwrap().into_data().unwrap().len();
            }
            length
        };
        let ((), length) = tokio::join!(write, read);
        assert_eq!(length, 24 << 20);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_are_used_again() {
    for world in World::both() {
        let server = Server::http(world.listen(), world.http2, echo);
        for _ in 0..20 {
            let post = Request::post(URL).body(Full::from("hello")).unwrap();
            assert_eq!(read(world.client.request(post).await.unwrap()).await, "hello");
        }
        assert_eq!(server.accepted(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_does_not_cost_the_connection() {
    for world in World::both() {
        let server = Server::http(world.listen(), world.http2, |_| async { text("unread") });
        for _ in 0..5 {
            drop(world.client.get(URL).await.unwrap());
            settle().await;
        }
        assert_eq!(server.accepted(), 1);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_idle_connections_costs_no_request() {
    let world = World::new(false);
    // Answers, waits a moment, and closes.
    let server = Server::raw(world.listen(), |mut io| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut request = [0; 1024];
        if io.read(&mut request).await.is_ok_and(|length| length > 0) {
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    for pause in [0, 5, 9, 10, 11, 50, 10, 10] {
        assert_eq!(get(&world.client, URL).await.unwrap(), "ok");
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    assert!(server.accepted() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_meets_the_closing_is_sent_again_if_that_is_safe() {
    let world = World::new(false);
    // Answers the first request of a connection and closes it upon the second.
    let server = Server::raw(world.listen(), |mut io| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut request = [0; 1024];
        if io.read(&mut request).await.is_ok_and(|length| length > 0) {
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            let _ = io.read(&mut request).await;
        }
    });
    for _ in 0..5 {
        assert_eq!(get(&world.client, URL).await.unwrap(), "ok");
    }
    assert!(server.accepted() >= 5);
    let post = Request::post(URL).body(Full::from("once")).unwrap();
    let error = world.client.request(post).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Reset, "it may have been processed");
}

#[tokio::test(start_paused = true)]
async fn responses_without_a_body() {
    for world in World::both() {
        let server = Server::http(world.listen(), world.http2, |request| async move {
            let mut answer = text("");
            if request.method() == Method::HEAD {
                answer.headers_mut().insert("content-length", HeaderValue::from_static("7"));
            }
            *answer.status_mut() = match request.uri().path() {
                "/204" => StatusCode::NO_CONTENT,
                "/304" => StatusCode::NOT_MODIFIED,
                _ => StatusCode::OK,
            };
            answer
        });
        for path in ["/204", "/304"] {
            let response = world.client.get(format!("http://server{path}")).await.unwrap();
            assert_eq!(response.status().as_str(), &path[1..]);
            assert_eq!(read(response).await, "");
        }
        let head = Request::head("http://server/").body(Empty::<Bytes>::new()).unwrap();
        let response = world.client.request(head).await.unwrap();
        assert_eq!(response.headers()["content-length"], "7");
        assert_eq!(read(response).await, "");
        assert_eq!(get(&world.client, "http://server/").await.unwrap(), "");
        assert_eq!(server.accepted(), 1, "each leaves the connection in order");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_before_the_request_is_complete() {
    for world in World::both() {
        let server = Server::http(world.listen(), world.http2, |mut request| async move {
            tokio::spawn(async move { while request.body_mut().frame().await.is_some() {} });
            text("early")
        });
        let (sender, body) = channel();
        sender.send(data("first")).await.unwrap();
        let response = world.client.request(Request::post(URL).body(body).unwrap()).await.unwrap();
        assert_eq!(read(response).await, "early");
        // A connection that is still sending is not used for another request.
        assert_eq!(get(&world.client, URL).await.unwrap(), "early");
        let _ = sender.send(data("second")).await;
        drop(sender);
        settle().await;
        assert_eq!(get(&world.client, URL).await.unwrap(), "early");
        assert!(server.accepted() <= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_does_not_pass_for_complete() {
    for world in World::both() {
        let (seen, mut got) = mpsc::unbounded_channel();
        let _server = Server::http(world.listen(), world.http2, move |request| {
            let seen = seen.clone();
            async move {
                seen.send(request.into_body().collect().await.is_ok()).unwrap();
                text("done")
            }
        });
        // The error is there at once, later, or after a piece.
        for late in [false, true] {
            let (sender, body) = channel();
            let request = world.client.request(Request::post(URL).body(body).unwrap());
            let write = async {
                sender.send(data("12345")).await.unwrap();
                if late {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                sender.send(Err(std::io::Error::other("broken"))).await.unwrap();
            };
            let (result, ()) = tokio::join!(request, write);
            let error = result.unwrap_err();
            assert_eq!(error.kind(), Kind::RequestBody, "{}", Chain(&error));
            assert!(Chain(&error).to_string().contains("broken"), "{}", Chain(&error));
            let got = tokio::time::timeout(Duration::from_secs(1), got.recv()).await;
            assert_ne!(got, Ok(Some(true)), "to the server it must not look complete");
        }
        let pieces = [data("12345"), Err(std::io::Error::other("broken"))];
        let body = StreamBody::new(tokio_stream::iter(pieces));
        let error = world.client.request(Request::post(URL).body(body).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::RequestBody, "{}", Chain(&error));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_given_up_leaves_nothing_in_use() {
    for world in World::both() {
        let server = Server::http(world.listen(), world.http2, |request| async move {
            match request.uri().path() {
                "/stall" => pending().await,
                "/endless" => {
                    let (sender, body) = mpsc::channel::<Result<Frame<Bytes>, hyper::Error>>(1);
                    tokio::spawn(async move {
                        while sender.send(Ok(Frame::data(Bytes::from_static(&[1; 1024])))).await.is_ok() {}
                    });
                    http::Response::new(http_body_util::combinators::UnsyncBoxBody::new(StreamBody::new(
                        ReceiverStream::new(body),
                    )))
                }
                _ => text("ok"),
            }
        });
        get(&world.client, "http://server/").await.unwrap();
        let (tasks, open) = (world.mesh.tasks(), server.open());
        for path in ["/stall", "/endless", "/endless"] {
            let url = format!("http://server{path}");
            let call = tokio::time::timeout(Duration::from_secs(1), world.client.get(url));
            if let Ok(response) = call.await {
                let mut body = response.unwrap().into_body();
                body.frame().await.unwrap().unwrap();
            }
            let (_sender, body) = channel();
            let url = format!("http://server{path}");
            let request = world.client.request(Request::post(url).body(body).unwrap());
            drop(tokio::time::timeout(Duration::from_secs(1), request).await);
        }
        // Time for the servers to notice.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(world.mesh.tasks() <= tasks, "{} tasks, {tasks} before", world.mesh.tasks());
        assert!(server.open() <= open, "{} connections, {open} before", server.open());
        assert_eq!(get(&world.client, "http://server/").await.unwrap(), "ok");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_http_are_errors_of_the_protocol() {
    for answer in [
        b"SSH-2.0-OpenSSH_9.0\r\n".as_slice(),
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\0\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        let world = World::new(false);
        let _server = Server::bytes(world.listen(), answer);
        let error = get(&world.client, URL).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{:?}: {}", String::from_utf8_lossy(answer), Chain(&error));
        assert_eq!(error.endpoint(), Some("server:80"));
    }
    // To an HTTP/2 client, an HTTP/1.1 server is not there.
    let world = World::new(true);
    let _server = Server::bytes(world.listen(), b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = get(&world.client, URL).await.unwrap_err();
    assert!(Chain(&error).to_string().contains("HTTP/2"), "{}", Chain(&error));
}

#[tokio::test(start_paused = true)]
async fn a_response_cut_short_is_an_error() {
    for answer in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345".as_slice(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ] {
        let world = World::new(false);
        let _server = Server::bytes(world.listen(), answer);
        let error = get(&world.client, URL).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Reset, "{}", Chain(&error));
    }
}

#[tokio::test(start_paused = true)]
async fn http_1_0_answers_are_understood() {
    let world = World::new(false);
    let server = Server::bytes(world.listen(), b"HTTP/1.0 200 OK\r\n\r\nold but gold");
    for _ in 0..3 {
        assert_eq!(get(&world.client, URL).await.unwrap(), "old but gold");
    }
    assert_eq!(server.accepted(), 3, "none can be used again");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_covers_head_and_body_and_names_where_it_was() {
    for world in World::both() {
        let backend = if world.http2 { Backend::http2 } else { Backend::http1 }("a", world.listen());
        backend.set(Behavior::Stall);
        let overrides = Overrides::default().timeout(Duration::from_millis(300));
        let request = || Request::get(URL).extension(overrides.clone()).body(Empty::<Bytes>::new()).unwrap();
        let start = mesh_core::clock::now();
        let error = world.client.request(request()).await.unwrap_err();
        assert_eq!(mesh_core::clock::now() - start, Duration::from_millis(300));
        assert_eq!(error.kind(), Kind::Deadline);
        assert_eq!((error.endpoint(), error.cluster()), (Some("server:80"), Some("passthrough|server:80")));
    }
    let world = World::new(true);
    let backend = Backend::http2("a", world.listen());
    backend.set(Behavior::StallInBody);
    let overrides = Overrides::default().timeout(Duration::from_millis(300));
    let request = Request::get(URL).extension(overrides).body(Empty::<Bytes>::new()).unwrap();
    let error = world.client.request(request).await.unwrap().into_body().collect().await.unwrap_err();
    assert_eq!((error.kind(), error.cluster()), (Kind::Deadline, Some("passthrough|server:80")));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_closed() {
    for world in World::both() {
        let server = Server::http(world.listen(), world.http2, echo);
        get(&world.client, URL).await.unwrap();
        settle().await;
        assert_eq!(server.open(), 1);
        let before = world.mesh.tasks();
        tokio::time::sleep(2 * mesh_hyper::TARGET_IDLE_TIME + Duration::from_secs(1)).await;
        settle().await;
        assert_eq!(server.open(), 0, "an idle target is let go");
        get(&world.client, URL).await.unwrap();
        settle().await;
        assert_eq!((server.open(), world.mesh.tasks()), (1, before));
        drop(world.client);
        settle().await;
        assert_eq!((server.open(), world.mesh.tasks()), (0, 1), "the owner of the configuration is left");
        let tasks = world.mesh.clone();
        assert!(tasks.close(Duration::from_secs(1)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn closing_the_mesh_closes_the_client() {
    let world = World::new(false);
    let server = Server::http(world.listen(), false, echo);
    get(&world.client, URL).await.unwrap();
    assert!(world.mesh.close(Duration::from_secs(1)).await);
    assert_eq!(world.client.get(URL).await.unwrap_err().kind(), Kind::Closed);
    settle().await;
    assert_eq!((server.open(), world.mesh.tasks()), (0, 0));
}
