//! The channel.

use crate::body::ResponseBody;
use crate::status::status;
use http::header::{HeaderValue, USER_AGENT};
use http::{Request, Response};
use mesh_core::dialect::Grpc;
use mesh_core::endpoint::Protocol;
use mesh_core::stack::{Stack, stack};
use mesh_core::{Error, Mesh};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::Status;
use tower_service::Service;

/// A gRPC channel that is a service mesh.
///
/// Cheap to clone; all clones, and all channels to the same target, share connections. A call goes straight to a
/// connection: there is no worker task and no queue in between. No `user-agent` is sent unless [`user_agent`](Self::user_agent)
/// or the call asks for one: it tells the endpoint nothing that the connection does not, and each call would pay for it.
#[derive(Clone)]
pub struct Channel {
    stack: Stack<Grpc>,
    user_agent: Option<HeaderValue>,
}

pin_project! {
    /// The future of a call.
    pub struct ResponseFuture {
        #[pin]
        inner: <Stack<Grpc> as Service<Request<tonic::body::Body>>>::Future,
    }
}

impl Channel {
    /// A channel to `target`: `xds:///host:port` for a service that the control plane knows, `static:///name` for a
    /// cluster that was given to the mesh in code.
    ///
    /// Does not wait: a call made before the configuration is here waits for it.
    ///
    /// # Errors
    ///
    /// [`Kind::Target`](mesh_core::Kind::Target) if `target` is neither.
    pub fn new(mesh: &Mesh, target: &str) -> Result<Self, Error> {
        let target = mesh.target(target, Protocol::Http2)?;
        Ok(Self { stack: stack(target, Grpc), user_agent: None })
    }

    /// Tells the endpoints who calls, where a call does not say so itself. Default: nothing.
    #[must_use]
    pub fn user_agent(mut self, user_agent: HeaderValue) -> Self {
        self.user_agent = Some(user_agent);
        self
    }
}

impl Service<Request<tonic::body::Body>> for Channel {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // Waiting belongs to the call, where the deadline counts.
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, mut request: Request<tonic::body::Body>) -> ResponseFuture {
        if let Some(user_agent) = &self.user_agent {
            request.headers_mut().entry(USER_AGENT).or_insert_with(|| user_agent.clone());
        }
        ResponseFuture { inner: self.stack.call(request) }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<ResponseBody>, Status>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.project().inner.poll(cx)) {
            Ok(response) => Ok(response.map(ResponseBody::new)),
            Err(error) => Err(status(error)),
        })
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("target", &self.stack.target().spec().name).finish_non_exhaustive()
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
