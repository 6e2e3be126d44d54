//! One gRPC stream to a control plane over HTTP/2, directly on the `h2` crate.
//!
//! Our own and not tonic's `Channel`, because a stream needs none of what a channel adds (a queue, a worker, a
//! reconnection with a back-off of its own) and because here the size of a message is known before it is received.

use super::inbox::{Inbox, PREFIX};
use crate::bootstrap::{CallCredentials, ChannelCredentials, Server};
use crate::clock::Instant;
use crate::net::h2_driver::{self, Drained, Driver, KeepAlive, Vitals};
use crate::net::tls::ALPN_H2;
use crate::net::{DEFAULT_CONNECT_TIMEOUT, Environment};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};
use tokio::time::timeout_at;

/// The largest frame that is accepted: whatever fits the window, so that a large message of a server that makes use of it
/// comes in one piece.
const MAX_FRAME: u32 = h2_driver::STREAM_WINDOW;

/// One stream over HTTP/2.
#[derive(Debug)]
pub(super) struct GrpcStream {
    send: SendStream<Bytes>,
    receive: Receive,
    inbox: Inbox,
    /// What has not fitted the flow-control window yet.
    outgoing: Bytes,
    ended: Ended,
}

/// Why the connection ended, once it has: says more than the errors of its streams.
#[derive(Clone, Debug, Default)]
struct Ended(Arc<OnceLock<String>>);

#[derive(Debug)]
enum Receive {
    Head(ResponseFuture),
    Body(RecvStream),
}

impl GrpcStream {
    pub(super) async fn open(
        server: &Server,
        path: &'static str,
        environment: &Environment,
    ) -> Result<Self, String> {
        let ended = Ended::default();
        let deadline = environment.clock.now() + DEFAULT_CONNECT_TIMEOUT;
        let tokens = read_tokens(server, deadline).await?;
        let connect = connect(server, environment, &ended);
        let mut handle = timeout_at(deadline, connect)
            .await
            .map_err(|_| format!("no HTTP/2 connection within {DEFAULT_CONNECT_TIMEOUT:?}"))??;
        let scheme = match server.credentials {
            ChannelCredentials::Insecure => "http",
            ChannelCredentials::Tls(_) => "https",
        };
        let mut request = Request::post(format!("{scheme}://{}{path}", server.address.authority()))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header(header::USER_AGENT, concat!("mesh-rust/", env!("CARGO_PKG_VERSION")));
        for token in tokens {
            request = request.header(header::AUTHORIZATION, token);
        }
        let request = request
            .body(())
            .map_err(|error| format!("the control plane's address cannot be an authority: {error}"))?;
        let (head, send) = handle.send_request(request, false).map_err(|error| ended.explain(error))?;
        let receive = Receive::Head(head);
        Ok(Self { send, receive, inbox: Inbox::default(), outgoing: Bytes::new(), ended })
    }

    /// Ready when a message may be sent.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        while !self.outgoing.is_empty() {
            self.send.reserve_capacity(self.outgoing.len());
            if self.send.capacity() == 0 {
                match ready!(self.send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(self.ended.explain(error))),
                    None => return Poll::Ready(Err(self.ended.explain("the stream is closed"))),
                }
            }
            let part = self.outgoing.split_to(self.send.capacity().min(self.outgoing.len()));
            self.send.send_data(part, false).map_err(|error| self.ended.explain(error))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends a message; only when [`poll_ready`](Self::poll_ready) is.
    pub(super) fn send(&mut self, message: &[u8]) {
        let mut framed = BytesMut::with_capacity(PREFIX + message.len());
        framed.put_u8(0);
        framed.put_u32(message.len() as u32);
        framed.put_slice(message);
        self.outgoing = framed.freeze();
    }

    /// Says that nothing more will be sent; only when [`poll_ready`](Self::poll_ready) is.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        self.send.send_data(Bytes::new(), true).map_err(|error| self.ended.explain(error))
    }

    /// The next message. An error ends the stream.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        loop {
            if let Some(message) = self.inbox.next()? {
                return Poll::Ready(Ok(message));
            }
            match &mut self.receive {
                Receive::Head(head) => {
                    let response =
                        ready!(Pin::new(head).poll(cx)).map_err(|error| self.ended.explain(error))?;
                    let (head, body) = response.into_parts();
                    if head.status != StatusCode::OK || head.headers.contains_key("grpc-status") {
                        return Poll::Ready(Err(describe_end(head.status, &head.headers)));
                    }
                    self.receive = Receive::Body(body);
                }
                Receive::Body(body) => match ready!(body.poll_data(cx)) {
                    Some(data) => {
                        let data = data.map_err(|error| self.ended.explain(error))?;
                        // Fails only when the stream is gone, which the next read tells.
                        let _ = body.flow_control().release_capacity(data.len());
                        self.inbox.push(data);
                    }
                    None => {
                        let trailers =
                            ready!(body.poll_trailers(cx)).map_err(|error| self.ended.explain(error))?;
                        let trailers = trailers.unwrap_or_default();
                        return Poll::Ready(Err(describe_end(StatusCode::OK, &trailers)));
                    }
                },
            }
        }
    }
}

impl Ended {
    fn explain(&self, error: impl ToString) -> String {
        self.0.get().cloned().unwrap_or_else(|| error.to_string())
    }
}

/// A connection whose peer has answered.
async fn connect(
    server: &Server,
    environment: &Environment,
    ended: &Ended,
) -> Result<SendRequest<Bytes>, String> {
    let address = &server.address;
    let mut io =
        environment.dialer.dial(address, DEFAULT_CONNECT_TIMEOUT).await.map_err(|e| e.to_string())?;
    if let ChannelCredentials::Tls(files) = &server.credentials {
        io = files.connect(io, address, ALPN_H2, &server.files).await?;
    }
    let handshake = h2_driver::builder().max_frame_size(MAX_FRAME).handshake(io).await;
    let (handle, connection) = handshake.map_err(|error| format!("HTTP/2 handshake: {error}"))?;
    let vitals = Vitals::new();
    vitals.claim();
    let (keepalive, clock) = (KeepAlive::default(), environment.clock.clone());
    let reason = ended.clone();
    let on_drain = move |why: Drained| {
        // The first reason is the cause of all others.
        let _ = reason.0.set(why.to_string());
    };
    // Nobody opens a second stream, so nobody needs to know beforehand whether there can be one.
    let driver = Driver::new(connection, Weak::new(), vitals.clone(), keepalive, clock, on_drain);
    // It ends with its stream, and not before: that of a report of load has a last word when the mesh ends.
    environment.tasks.spawn_to_end(driver);
    if vitals.settled().await {
        Ok(handle)
    } else {
        Err(format!("no HTTP/2 connection: {}", ended.explain("the peer hung up")))
    }
}

/// What to show as `authorization`: the tokens as their files have them now.
async fn read_tokens(server: &Server, deadline: Instant) -> Result<Vec<HeaderValue>, String> {
    let mut tokens = Vec::new();
    for CallCredentials::TokenFile(path) in &server.call_credentials {
        let fail = |why: &dyn fmt::Display| format!("jwt_token_file {}: {why}", path.display());
        let file = path.clone();
        let read = timeout_at(deadline, server.files.run(move || std::fs::read_to_string(file)));
        let late = |_| fail(&format_args!("it could not be read within {DEFAULT_CONNECT_TIMEOUT:?}"));
        let token = read.await.map_err(late)??.map_err(|error| fail(&error))?;
        if token.trim().is_empty() {
            return Err(fail(&"the file is empty"));
        }
        let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
        let mut value = value.map_err(|_| fail(&"the file does not hold one token"))?;
        value.set_sensitive(true);
        tokens.push(value);
    }
    Ok(tokens)
}

/// Why the server ended the stream, from its status.
fn describe_end(status: StatusCode, headers: &HeaderMap) -> String {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let message = text("grpc-message").unwrap_or_default();
    let message = percent_encoding::percent_decode_str(&message).decode_utf8_lossy();
    match text("grpc-status").as_deref() {
        Some("0") | None if status == StatusCode::OK => "the control plane ended the stream".to_owned(),
        Some(code) if message.is_empty() => format!("the control plane ended the stream: gRPC status {code}"),
        Some(code) => format!("the control plane ended the stream: gRPC status {code}: {message}"),
        None => format!("the control plane answered HTTP status {status}, which is no gRPC"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_end_is_described() {
        let headers = |code: &'static str, message: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", HeaderValue::from_static(code));
            headers.insert("grpc-message", HeaderValue::from_static(message));
            headers
        };
        let ok = StatusCode::OK;
        assert_eq!(describe_end(ok, &HeaderMap::new()), "the control plane ended the stream");
        assert_eq!(describe_end(ok, &headers("0", "")), "the control plane ended the stream");
        assert!(describe_end(ok, &headers("16", "no%20token")).ends_with("gRPC status 16: no token"));
        assert!(describe_end(StatusCode::NOT_FOUND, &HeaderMap::new()).contains("404"));
    }
}
