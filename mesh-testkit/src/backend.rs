//! Backends that do as they are told: answer, refuse, reset, go away, stall, be slow.
//!
//! Over HTTP/2 they speak gRPC without knowing the messages: the request body comes back as it was, with an OK status.
//! Over HTTP/1.1 they answer with their name and the path, or echo a body.

mod http1;

use self::http1::serve_http1;
use crate::net::Listener;
use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use mesh_core::net::Io;
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinHandle, JoinSet};

/// The header by which a backend tells its name.
pub const NAME_HEADER: &str = "x-backend";

/// What a backend does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Answers with what it got.
    Echo,
    /// Waits, then answers.
    Slow(Duration),
    /// Answers with this gRPC status and nothing else.
    GrpcStatus(u8),
    /// Sends a response head, then this gRPC status in trailers.
    LateGrpcStatus(u8),
    /// Echoes, and says this in the trailer `endpoint-load-metrics`.
    TellLoad(&'static str),
    /// Answers with this HTTP status.
    HttpStatus(u16),
    /// Refuses the stream: nothing was processed.
    RefuseStream,
    /// Resets the stream.
    ResetStream(Reason),
    /// Never answers.
    Stall,
    /// Sends a response head and a part of the body, then nothing.
    StallInBody,
    /// Drops the connection.
    Hangup,
}

/// A running backend. Dropping it kills it.
#[derive(Debug)]
pub struct Backend {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    commands: broadcast::Sender<Command>,
}

#[derive(Clone, Copy, Debug)]
enum Command {
    GoAway,
    HangUp,
}

#[derive(Debug)]
struct Shared {
    name: String,
    http2: bool,
    max_streams: Option<u32>,
    behavior: watch::Sender<Behavior>,
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
    in_flight: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
}

/// A request that a backend got.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its path and query.
    pub path: String,
    /// Its authority, or `Host` header.
    pub authority: String,
    /// Its headers.
    pub headers: HeaderMap,
}

impl Backend {
    /// A gRPC backend.
    #[must_use]
    pub fn http2(name: &str, listener: Listener) -> Self {
        Self::start(name, listener, true, None)
    }

    /// A gRPC backend that takes so many streams on a connection at a time.
    #[must_use]
    pub fn http2_limited(name: &str, listener: Listener, max_streams: u32) -> Self {
        Self::start(name, listener, true, Some(max_streams))
    }

    /// An HTTP/1.1 backend.
    #[must_use]
    pub fn http1(name: &str, listener: Listener) -> Self {
        Self::start(name, listener, false, None)
    }

    fn start(name: &str, mut listener: Listener, http2: bool, max_streams: Option<u32>) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            http2,
            max_streams,
            behavior: watch::Sender::new(Behavior::Echo),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            seen: Mutex::default(),
        });
        let commands = broadcast::Sender::new(16);
        let (state, orders) = (shared.clone(), commands.clone());
        let task = tokio::spawn(async move {
            // Dropped with the task, and with it every connection.
            let mut connections = JoinSet::new();
            while let Ok(io) = listener.accept().await {
                state.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(state.clone(), io, orders.subscribe()));
                while connections.try_join_next().is_some() {}
            }
            while connections.join_next().await.is_some() {}
        });
        Self { shared, task, commands }
    }

    /// Does this with every request from now on, those in flight that wait included.
    pub fn set(&self, behavior: Behavior) {
        self.shared.behavior.send_replace(behavior);
    }

    /// Announces on every connection that it goes away; what is in flight finishes.
    pub fn go_away(&self) {
        // Fails only without connections.
        let _ = self.commands.send(Command::GoAway);
    }

    /// Drops every connection and goes on listening.
    pub fn hang_up(&self) {
        // Fails only without connections.
        let _ = self.commands.send(Command::HangUp);
    }

    /// Drops every connection and listens no more.
    pub fn kill(self) {
        drop(self);
    }

    /// Connections taken so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Requests got so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Requests being served.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }

    /// Forgets the requests seen so far.
    pub fn forget_seen(&self) {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The requests got so far, oldest first.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Counts something while it lives.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(crate) fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(shared: Arc<Shared>, io: Io, commands: broadcast::Receiver<Command>) {
    let _open = Counted::new(&shared.open);
    if shared.http2 {
        serve_http2(&shared, io, commands).await;
    } else {
        serve_http1(&shared, io, commands).await;
    }
}

impl Shared {
    fn note(&self, request: &Request<()>) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        let seen = Seen {
            path: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            authority: request.uri().authority().map_or(host.unwrap_or_default(), |a| a.as_str()).to_owned(),
            headers: request.headers().clone(),
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }

    /// What to do now, once any wait is over.
    async fn decide(&self) -> Behavior {
        let mut behavior = self.behavior.subscribe();
        loop {
            let now = behavior.borrow_and_update().clone();
            match now {
                Behavior::Slow(delay) => {
                    tokio::time::sleep(delay).await;
                    return Behavior::Echo;
                }
                Behavior::Stall => {
                    if behavior.changed().await.is_err() {
                        pending::<()>().await;
                    }
                }
                other => return other,
            }
        }
    }
}

// ===== HTTP/2 =====

async fn serve_http2(shared: &Arc<Shared>, io: Io, mut commands: broadcast::Receiver<Command>) {
    let mut builder = h2::server::Builder::new();
    if let Some(max) = shared.max_streams {
        builder.max_concurrent_streams(max);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
    let (hang_up, mut hung_up) = broadcast::channel::<()>(1);
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            request = connection.accept() => match request {
                Some(Ok((request, respond))) => {
                    streams.spawn(answer_http2(shared.clone(), request, respond, hang_up.clone()));
                }
                _ => break,
            },
            Ok(command) = commands.recv() => match command {
                Command::GoAway => connection.graceful_shutdown(),
                Command::HangUp => return,
            },
            _ = hung_up.recv() => return,
            Some(_) = streams.join_next() => {}
        }
    }
}

async fn answer_http2(
    shared: Arc<Shared>,
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    hang_up: broadcast::Sender<()>,
) {
    let _in_flight = Counted::new(&shared.in_flight);
    let (head, mut body) = request.into_parts();
    shared.note(&Request::from_parts(head, ()));
    let behavior = tokio::select! {
        behavior = shared.decide() => behavior,
        // The client gave up.
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let response = |status: StatusCode| {
        let name = HeaderValue::from_str(&shared.name).unwrap_or(HeaderValue::from_static("?"));
        Response::builder()
            .status(status)
            .header(http::header::CONTENT_TYPE, "application/grpc")
            .header(NAME_HEADER, name)
            .body(())
            .unwrap_or_default()
    };
    let trailers = |code: u8| {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from(u16::from(code)),
        )])
    };
    // Fails only if the stream is over, and then there is nobody to tell.
    let _: Result<(), h2::Error> = async {
        match behavior {
            Behavior::RefuseStream => respond.send_reset(Reason::REFUSED_STREAM),
            Behavior::ResetStream(reason) => respond.send_reset(reason),
            Behavior::Hangup => {
                drop(hang_up.send(()));
                // The connection goes first, or else the stream would be cancelled.
                pending::<()>().await;
            }
            Behavior::GrpcStatus(code) => {
                let mut head = response(StatusCode::OK);
                head.headers_mut().extend(trailers(code));
                respond.send_response(head, true)?;
            }
            Behavior::LateGrpcStatus(code) => {
                let mut stream = respond.send_response(response(StatusCode::OK), false)?;
                stream.send_trailers(trailers(code))?;
            }
            Behavior::HttpStatus(status) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                respond.send_response(response(status), true)?;
            }
            Behavior::StallInBody => {
                let mut stream = respond.send_response(response(StatusCode::OK), false)?;
                stream.send_data(Bytes::from_static(&[0, 0, 0, 0, 100]), false)?;
                poll_fn(|cx| stream.poll_reset(cx)).await?;
            }
            Behavior::Echo | Behavior::TellLoad(_) | Behavior::Slow(_) | Behavior::Stall => {
                let mut stream = respond.send_response(response(StatusCode::OK), false)?;
                while let Some(data) = body.data().await {
                    let mut data = data?;
                    body.flow_control().release_capacity(data.len())?;
                    while !data.is_empty() {
                        stream.reserve_capacity(data.len());
                        if stream.capacity() == 0 && poll_fn(|cx| stream.poll_capacity(cx)).await.is_none() {
                            return Ok(());
                        }
                        let part = data.split_to(stream.capacity().min(data.len()));
                        stream.send_data(part, false)?;
                    }
                }
                let mut trailers = trailers(0);
                if let Behavior::TellLoad(load) = behavior {
                    trailers.insert("endpoint-load-metrics", HeaderValue::from_static(load));
                }
                stream.send_trailers(trailers)?;
            }
        }
        Ok(())
    }
    .await;
}
