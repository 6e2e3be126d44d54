//! HTTP/1.1 connections to one endpoint, on hyper's connection type.

use super::exchange::RequestBody;
use super::ready::Readiness;
use super::{Endpoint, Transport, TransportBody};
use crate::clock::Instant;
use crate::error::{BoxError, Error, Kind, RetrySafety};
use crate::net::{Environment, Io};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Uri, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::error::Error as StdError;
use std::io::{self, ErrorKind::TimedOut};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// Connections kept open to one endpoint while they are not in use.
pub const MAX_IDLE_CONNECTIONS: usize = 64;
/// A connection that was not in use for this long is not used again: servers close theirs after a while, and a
/// request that meets the closing is lost.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

type ErasedBody = UnsyncBoxBody<Bytes, BoxError>;
type Sender = SendRequest<ErasedBody>;

/// The connections to one endpoint that are not in use.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    idle: Mutex<Vec<Idle>>,
    /// Whether the last attempt to connect succeeded.
    reachable: AtomicBool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection. Dropping it closes it, whatever goes on over it.
#[derive(Debug)]
struct Connection {
    sender: Sender,
    _task: AbortOnDrop,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

/// The body of a response; gives its connection back when it was read to the end.
#[derive(Debug)]
pub struct Http1Body {
    incoming: Incoming,
    connection: Option<(Connection, Arc<Endpoint>)>,
    upload: Arc<UploadState>,
}

/// Whether the request body is out of use: sent, failed or not wanted any more.
#[derive(Debug, Default)]
struct UploadState {
    over: AtomicBool,
}

/// A request body that tells when it is out of use.
struct Upload<B> {
    body: B,
    state: Arc<UploadState>,
}

// ===== impl Http1 =====

impl Http1 {
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether a connection is to be made to find out whether the endpoint is there.
    pub(super) fn wants_connection(&self) -> bool {
        !self.reachable.load(Ordering::Relaxed)
    }

    /// Makes a connection out of a byte stream and keeps it for the first request.
    pub(super) async fn add(&self, io: Io, environment: &Environment) -> Result<(), String> {
        let connection = handshake(io, environment).await.map_err(|error| error.to_string())?;
        self.reachable.store(true, Ordering::Relaxed);
        self.put(connection, environment.clock.now());
        Ok(())
    }

    pub(super) fn clear(&self) {
        self.reachable.store(false, Ordering::Relaxed);
        self.lock().clear();
    }

    /// The connection that was used last, which is the least likely to be closed by the server.
    fn take(&self, now: Instant) -> Option<Connection> {
        let mut idle = self.lock();
        while let Some(Idle { connection, since }) = idle.pop() {
            if now.saturating_duration_since(since) >= IDLE_TIMEOUT {
                // Those below are older still.
                idle.clear();
            } else if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn put(&self, connection: Connection, now: Instant) {
        let mut idle = self.lock();
        idle.retain(|idle| {
            let age = now.saturating_duration_since(idle.since);
            !idle.connection.sender.is_closed() && age < IDLE_TIMEOUT
        });
        if idle.len() < MAX_IDLE_CONNECTIONS && self.reachable.load(Ordering::Relaxed) {
            idle.push(Idle { connection, since: now });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        // The lock is never held where something can panic.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn handshake(io: Io, environment: &Environment) -> Result<Connection, hyper::Error> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await?;
    let task = environment.tasks.spawn_to_end(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP/1.1 connection ended");
        }
    });
    Ok(Connection { sender, _task: AbortOnDrop(task) })
}

/// Sends a request over a connection that is not in use, or over a new one.
pub(super) async fn send<B: RequestBody>(
    endpoint: Arc<Endpoint>,
    connect_timeout: Option<Duration>,
    mut head: Parts,
    body: B,
) -> Result<Response<TransportBody>, Error> {
    let Transport::Http1(http1) = endpoint.transport() else {
        return Err(Error::new(Kind::Protocol, "the endpoint does not speak HTTP/1.1"));
    };
    to_origin_form(&mut head);
    let repeatable = is_idempotent(&head.method);
    let upload = Arc::<UploadState>::default();
    let body = UnsyncBoxBody::new(Upload { body, state: upload.clone() });
    let mut request = Request::from_parts(head, body);
    let environment = &endpoint.environment;
    loop {
        let (mut connection, reused) = match http1.take(environment.clock.now()) {
            Some(connection) => (connection, true),
            None => (connect(&endpoint, connect_timeout).await?, false),
        };
        if let Err(error) = connection.sender.ready().await {
            if reused {
                continue;
            }
            return Err(from_hyper(error, true, false));
        }
        match connection.sender.try_send_request(request).await {
            Ok(response) => {
                let body = |incoming| {
                    let connection = Some((connection, endpoint.clone()));
                    let mut body = Http1Body { incoming, connection, upload };
                    body.give_back();
                    TransportBody::Http1(body)
                };
                return Ok(response.map(body));
            }
            Err(mut error) => match error.take_message() {
                // The connection was closed before the request was written.
                Some(unsent) if reused => request = unsent,
                unsent => return Err(from_hyper(error.into_error(), unsent.is_some(), reused && repeatable)),
            },
        }
    }
}

/// A new connection for one request.
async fn connect(endpoint: &Endpoint, limit: Option<Duration>) -> Result<Connection, Error> {
    let environment = &endpoint.environment;
    let longest = endpoint.connect_timeout();
    let limit = limit.unwrap_or(longest);
    let connect = async {
        let (address, family) = (&endpoint.key.address, endpoint.key.options.family);
        let io = environment.dialer.dial_family(address, family, limit).await?;
        Ok::<_, BoxError>(handshake(io, environment).await?)
    };
    let result = if let Some(why) = &endpoint.key.options.unsupported {
        Err(why.to_string().into())
    } else if endpoint.key.options.tls {
        Err("the cluster asks for TLS, and this process has no identity to secure the connection with".into())
    } else {
        connect.await
    };
    result.map_err(|error| {
        if let Transport::Http1(http1) = endpoint.transport() {
            http1.reachable.store(false, Ordering::Relaxed);
        }
        let too_late = error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == TimedOut);
        // A cluster that is more patient may yet see it.
        if too_late && limit < longest {
            endpoint.give_up(limit, &error.to_string());
        } else {
            endpoint.set_readiness(Readiness::Failed, Some(error.to_string().into()));
        }
        endpoint.wake().notify_one();
        Error::new(Kind::Connect, "cannot connect").with_source(error)
    })
}

/// HTTP/1.1 has the host in a header and only the path in the request line.
fn to_origin_form(head: &mut Parts) {
    head.version = Version::HTTP_11;
    if !head.headers.contains_key(header::HOST)
        && let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(header::HOST, host);
    }
    let path = head.uri.path_and_query().cloned();
    head.uri = path.map_or_else(|| Uri::from_static("/"), Uri::from);
}

/// Methods that may be repeated when a connection that was in use before turns out to be closed (RFC 9110, 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}

fn from_hyper(error: hyper::Error, unsent: bool, stale: bool) -> Error {
    let (kind, detail) = match &error {
        error if error.is_user() || error.is_body_write_aborted() => {
            (Kind::RequestBody, "the request body failed")
        }
        error if error.is_parse() || is_malformed(error) => {
            (Kind::Protocol, "the endpoint does not speak HTTP/1.1")
        }
        _ if unsent => (Kind::Refused, "the endpoint closed the connection before the request was sent"),
        _ => (Kind::Reset, "the connection broke"),
    };
    let safety = match kind {
        Kind::Refused => RetrySafety::NeverSent,
        Kind::Reset if stale && error.is_incomplete_message() => RetrySafety::Refused,
        _ => RetrySafety::Unknown,
    };
    Error::new(kind, detail).with_safety(safety).with_source(error)
}

/// Whether a part of a body, such as the length of a chunk, cannot be understood.
fn is_malformed(error: &hyper::Error) -> bool {
    use std::io::{self, ErrorKind};
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    io.is_some_and(|io| matches!(io.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput))
}

// ===== impl AbortOnDrop =====

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// ===== impl Upload =====

impl<B: RequestBody> Body for Upload<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Upload<B> {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Release);
    }
}

// ===== impl Http1Body =====

impl Http1Body {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match frame {
            Some(Ok(frame)) => {
                self.give_back();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.connection = None;
                Poll::Ready(Some(Err(from_hyper(error, false, false))))
            }
            None => {
                self.give_back();
                Poll::Ready(None)
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    /// Gives the connection back once nothing more comes over it for this response.
    fn give_back(&mut self) {
        if !self.incoming.is_end_stream() {
            return;
        }
        let Some((connection, endpoint)) = self.connection.take() else { return };
        if !self.upload.over.load(Ordering::Acquire) {
            // The endpoint has answered in full and may still want the rest of the request.
            give_back_when_ready(connection, endpoint);
        } else if let Transport::Http1(http1) = endpoint.transport() {
            http1.put(connection, endpoint.environment.clock.now());
        }
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        // A response that nobody reads to its end: the connection may be used again if its rest is there already, which
        // hyper finds out at once. While the request is still being sent, closing is the only way to stop.
        if let Some((connection, endpoint)) = self.connection.take()
            && self.upload.over.load(Ordering::Acquire)
        {
            give_back_when_ready(connection, endpoint);
        }
    }
}

/// Gives a connection back as soon as it can take another request, unless it closes before.
fn give_back_when_ready(mut connection: Connection, endpoint: Arc<Endpoint>) {
    if Handle::try_current().is_err() {
        // Dropped outside of the runtime, where nothing can wait.
        return;
    }
    let tasks = endpoint.environment.tasks.clone();
    tasks.spawn_to_end(async move {
        if connection.sender.ready().await.is_ok()
            && let Transport::Http1(http1) = endpoint.transport()
        {
            http1.put(connection, endpoint.environment.clock.now());
        }
    });
}
