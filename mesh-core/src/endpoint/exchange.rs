//! One request and its response, whatever the protocol.

use super::body::TransportBody;
use super::http2::{Http2Exchange, Permit};
use super::{Endpoint, Transport};
use crate::error::{BoxError, Error};
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// What the mesh needs of a request body.
pub trait RequestBody: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static {}

impl<B> RequestBody for B where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static
{
}

/// The right to send a request to an endpoint.
#[derive(Debug)]
pub struct Claim(Claimed);

#[derive(Debug)]
enum Claimed {
    /// And how long a new connection may take to be made.
    Http1(Arc<Endpoint>, Option<Duration>),
    Http2(Permit),
}

/// A request on its way, and its response.
pub struct Exchange<B>(Inner<B>);

enum Inner<B> {
    Http1(Pin<Box<dyn Future<Output = Result<Response<TransportBody>, Error>> + Send>>),
    Http2(Http2Exchange<B>),
}

impl Endpoint {
    /// The right to send a request now; none if its connections are all in use or there are none.
    #[must_use]
    pub fn try_claim(self: &Arc<Self>) -> Option<Claim> {
        match self.transport() {
            Transport::Http1(_) => Some(Claim(Claimed::Http1(self.clone(), None))),
            Transport::Http2(http2) => http2.try_claim().map(|permit| Claim(Claimed::Http2(permit))),
        }
    }

    /// Waits for the right to send a request; `None` once the endpoint has no connection any more.
    pub async fn claim(self: &Arc<Self>) -> Option<Claim> {
        let Transport::Http2(http2) = self.transport() else { return self.try_claim() };
        let _waiting = http2.waiting();
        loop {
            // Listening begins before looking, so that nothing is missed in between.
            let mut freed = std::pin::pin!(http2.freed());
            freed.as_mut().enable();
            if let Some(claim) = self.try_claim() {
                return Some(claim);
            }
            if http2.len() == 0 {
                return None;
            }
            http2.ask_for_more(self.wake());
            freed.await;
        }
    }
}

impl Claim {
    /// If a connection has to be made for the request it may take so long. Default: as long as the most patient cluster says that
    /// uses the endpoint.
    #[must_use]
    pub fn within(self, connect_timeout: Option<Duration>) -> Self {
        Self(match self.0 {
            Claimed::Http1(endpoint, _) => Claimed::Http1(endpoint, connect_timeout),
            // Its connection is there already.
            http2 @ Claimed::Http2(_) => http2,
        })
    }

    /// Sends a request. Its URI has to be absolute.
    #[inline]
    pub fn send<B: RequestBody>(self, head: Parts, body: B) -> Result<Exchange<B>, Error> {
        Ok(Exchange(match self.0 {
            Claimed::Http1(endpoint, connect_timeout) => {
                Inner::Http1(Box::pin(super::http1::send(endpoint, connect_timeout, head, body)))
            }
            Claimed::Http2(permit) => Inner::Http2(permit.send(head, body)?),
        }))
    }
}

impl<B: RequestBody> Future for Exchange<B> {
    type Output = Result<Response<TransportBody>, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Http1(exchange) => exchange.as_mut().poll(cx),
            Inner::Http2(exchange) => Pin::new(exchange).poll(cx),
        }
    }
}

impl<B> std::fmt::Debug for Exchange<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exchange")
    }
}
