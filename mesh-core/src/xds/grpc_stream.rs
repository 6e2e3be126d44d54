//! One ADS stream over HTTP/2, directly on the `h2` crate.
//!
//! Our own and not tonic's `Channel`, because a stream needs none of what a channel adds (a queue, a worker, a
//! reconnection with a back-off of its own) and because here the size of a message is known before it is received.

use crate::bootstrap::{ChannelCredentials, Server};
use crate::net::h2_driver::{self, Driver, KeepAlive, Vitals};
use crate::net::{DEFAULT_CONNECT_TIMEOUT, Environment};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode, header};
use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};

/// The largest message that is accepted. istiod sends a few kilobytes per service; a mesh of ten thousand services
/// stays below this.
pub const MAX_MESSAGE: usize = 64 << 20;

/// Length of the prefix of a gRPC message: a flag and the length of the message.
const PREFIX: usize = 5;

/// One ADS stream over HTTP/2.
#[derive(Debug)]
pub(super) struct GrpcStream {
    send: SendStream<Bytes>,
    receive: Receive,
    buffer: BytesMut,
    /// What has not fitted the flow-control window yet.
    outgoing: Bytes,
}

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
        let ChannelCredentials::Insecure = server.credentials;
        let connect = connect(server, environment);
        let mut handle = tokio::time::timeout(DEFAULT_CONNECT_TIMEOUT, connect)
            .await
            .map_err(|_| format!("no HTTP/2 connection within {DEFAULT_CONNECT_TIMEOUT:?}"))??;
        let request = Request::post(format!("http://{}{path}", server.address.authority()))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header(header::USER_AGENT, concat!("mesh-rust/", env!("CARGO_PKG_VERSION")))
            .body(())
            .map_err(|error| format!("the control plane's address cannot be an authority: {error}"))?;
        let (head, send) = handle.send_request(request, false).map_err(|error| error.to_string())?;
        let receive = Receive::Head(head);
        Ok(Self { send, receive, buffer: BytesMut::new(), outgoing: Bytes::new() })
    }

    /// Ready when a message may be sent.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        while !self.outgoing.is_empty() {
            self.send.reserve_capacity(self.outgoing.len());
            if self.send.capacity() == 0 {
                match ready!(self.send.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Poll::Ready(Err(error.to_string())),
                    None => return Poll::Ready(Err("the stream is closed".to_owned())),
                }
            }
            let part = self.outgoing.split_to(self.send.capacity().min(self.outgoing.len()));
            self.send.send_data(part, false).map_err(|error| error.to_string())?;
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

    /// The next message. An error ends the stream.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        loop {
            if let Some(message) = self.take_message()? {
                return Poll::Ready(Ok(message));
            }
            match &mut self.receive {
                Receive::Head(head) => {
                    let response = ready!(Pin::new(head).poll(cx)).map_err(|error| error.to_string())?;
                    let (head, body) = response.into_parts();
                    if head.status != StatusCode::OK || head.headers.contains_key("grpc-status") {
                        return Poll::Ready(Err(describe_end(head.status, &head.headers)));
                    }
                    self.receive = Receive::Body(body);
                }
                Receive::Body(body) => match ready!(body.poll_data(cx)) {
                    Some(data) => {
                        let data = data.map_err(|error| error.to_string())?;
                        // Fails only when the stream is gone, which the next read tells.
                        let _ = body.flow_control().release_capacity(data.len());
                        self.buffer.extend_from_slice(&data);
                    }
                    None => {
                        let trailers = ready!(body.poll_trailers(cx)).map_err(|error| error.to_string())?;
                        let trailers = trailers.unwrap_or_default();
                        return Poll::Ready(Err(describe_end(StatusCode::OK, &trailers)));
                    }
                },
            }
        }
    }

    fn take_message(&mut self) -> Result<Option<Bytes>, String> {
        let Some((&[compressed, a, b, c, d], rest)) = self.buffer.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if compressed != 0 {
            return Err("the control plane sent a compressed message, which was not offered".to_owned());
        }
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if len > MAX_MESSAGE {
            return Err(format!("a message of {len} bytes exceeds the limit of {MAX_MESSAGE} bytes"));
        }
        if rest.len() < len {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }
}

/// A connection whose peer has answered.
async fn connect(server: &Server, environment: &Environment) -> Result<SendRequest<Bytes>, String> {
    let io =
        environment.dialer.dial(&server.address, DEFAULT_CONNECT_TIMEOUT).await.map_err(|e| e.to_string())?;
    let (handle, connection) =
        h2_driver::builder().handshake(io).await.map_err(|error| format!("HTTP/2 handshake: {error}"))?;
    let vitals = Vitals::new();
    vitals.claim();
    let (keepalive, clock) = (KeepAlive::default(), environment.clock.clone());
    // Nobody opens a second stream, so nobody needs to know beforehand whether there can be one.
    let driver = Driver::new(connection, Weak::new(), vitals.clone(), keepalive, clock, |_| {});
    environment.tasks.spawn(driver);
    if vitals.settled().await {
        Ok(handle)
    } else {
        Err("the peer hung up, or does not speak HTTP/2".to_owned())
    }
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
