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
pub struct Claim {
    claimed: Claimed,
    connect_timeout: Option<Duration>,
}

#[derive(Debug)]
enum Claimed {
    Http1(Arc<Endpoint>),
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
            Transport::Http1(_) => Some(Claim::new(Claimed::Http1(self.clone()))),
            Transport::Http2(http2) => http2.try_claim().map(|permit| Claim::new(Claimed::Http2(permit))),
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
    fn new(claimed: Claimed) -> Self {
        Self { claimed, connect_timeout: None }
    }

    /// If a connection has to be made for the request it may take so long. Default: as long as the most patient cluster says that
    /// uses the endpoint.
    #[must_use]
    pub fn within(self, connect_timeout: Option<Duration>) -> Self {
        Self { connect_timeout, ..self }
    }

    /// Sends a request. Its URI has to be absolute.
    #[inline]
    pub fn send<B: RequestBody>(self, head: Parts, body: B) -> Result<Exchange<B>, Error> {
        Ok(Exchange(match self.claimed {
            Claimed::Http1(endpoint) => {
                Inner::Http1(Box::pin(super::http1::send(endpoint, self.connect_timeout, head, body)))
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
