//! The client.

use crate::request::{Destination, prepare};
use crate::targets::{TARGET_IDLE_TIME, Targets};
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Empty;
use mesh_core::dialect::Http;
use mesh_core::endpoint::{Protocol, RequestBody};
use mesh_core::snapshot::Fallback;
use mesh_core::stack::{Stack, stack};
use mesh_core::{Error, Kind, Mesh};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, ready};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tower_service::Service;

/// The body of a response.
pub type ResponseBody = mesh_core::body::ResponseBody<Http>;

/// An HTTP client that is a service mesh.
///
/// Cheap to clone; all clones share what they know of the hosts they talk to, and all clients of a mesh share
/// connections. It is a [`tower_service::Service`] too, so that it takes the place of other clients.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

/// Makes a [`Client`].
#[derive(Clone, Debug)]
pub struct Builder {
    mesh: Mesh,
    protocol: Protocol,
    unknown_hosts: UnknownHosts,
}

/// What to do with a request to a host that the mesh does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnknownHosts {
    /// Send it where the name leads by DNS (Istio `outboundTrafficPolicy: ALLOW_ANY`).
    #[default]
    PassThrough,
    /// Fail it (Istio `REGISTRY_ONLY`).
    Refuse,
}

struct Shared {
    mesh: Mesh,
    protocol: Protocol,
    fallback: Fallback,
    targets: Targets,
    /// The task that lets go of targets nobody talks to any more.
    janitor: OnceLock<AbortHandle>,
}

pin_project! {
    /// The future of a response.
    pub struct ResponseFuture<B>
    where
        B: RequestBody,
    {
        #[pin]
        state: State<B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<B>
    where
        B: RequestBody,
    {
        Sent { #[pin] future: <Stack<Http> as Service<Request<B>>>::Future },
        Failed { error: Option<Error> },
    }
}

impl Client {
    /// A client that speaks HTTP/1.1 and passes requests to unknown hosts through.
    #[must_use]
    pub fn new(mesh: &Mesh) -> Self {
        Self::builder(mesh).build()
    }

    /// A client to be configured.
    #[must_use]
    pub fn builder(mesh: &Mesh) -> Builder {
        Builder { mesh: mesh.clone(), protocol: Protocol::Http1, unknown_hosts: UnknownHosts::default() }
    }

    /// Gets a URL.
    ///
    /// # Errors
    ///
    /// Those of [`request`](Self::request).
    pub fn get<U>(&self, url: U) -> ResponseFuture<Empty<Bytes>>
    where
        U: TryInto<Uri>,
        U::Error: Into<http::Error>,
    {
        match url.try_into() {
            Ok(uri) => {
                let mut request = Request::new(Empty::new());
                *request.uri_mut() = uri;
                self.request(request)
            }
            Err(error) => {
                let cause: http::Error = error.into();
                ResponseFuture::failed(
                    Error::new(Kind::Target, "the URL cannot be understood").with_source(cause),
                )
            }
        }
    }

    /// Sends a request. Its URL names the host that the mesh looks for, by `host:port`; the port is 80 where it is not
    /// said. A `Host` header says otherwise what the endpoint sees.
    ///
    /// A body that is not [`Unpin`] can be sent in a [`Box::pin`].
    ///
    /// # Errors
    ///
    /// [`Kind::Target`] if the URL has no host or the mesh does not know it and may not pass it through,
    /// [`Kind::Unsupported`] for `https` and `CONNECT`, and whatever goes wrong on the way: see [`Kind`].
    pub fn request<B: RequestBody>(&self, request: Request<B>) -> ResponseFuture<B> {
        let (mut head, body) = request.into_parts();
        let length = body.size_hint().exact();
        match prepare(&mut head, length, self.shared.protocol, |to| self.shared.stack(to)) {
            Ok(mut stack) => {
                let future = stack.call(Request::from_parts(head, body));
                ResponseFuture { state: State::Sent { future } }
            }
            Err(error) => ResponseFuture::failed(error),
        }
    }
}

impl Builder {
    /// Speaks HTTP/2 with every host, without asking first.
    #[must_use]
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    /// Does this with requests to hosts that the mesh does not know. Default: [`UnknownHosts::PassThrough`].
    #[must_use]
    pub fn unknown_hosts(mut self, unknown_hosts: UnknownHosts) -> Self {
        self.unknown_hosts = unknown_hosts;
        self
    }

    /// Makes the client.
    #[must_use]
    pub fn build(self) -> Client {
        let fallback = match self.unknown_hosts {
            UnknownHosts::PassThrough => Fallback::PassThrough,
            UnknownHosts::Refuse => Fallback::Refuse,
        };
        let Self { mesh, protocol, .. } = self;
        let (targets, janitor) = (Targets::default(), OnceLock::new());
        Client { shared: Arc::new(Shared { mesh, protocol, fallback, targets, janitor }) }
    }
}

impl Shared {
    /// The stack for a destination, as it is or new.
    fn stack(self: &Arc<Self>, to: Destination<'_>) -> Stack<Http> {
        if let Some(stack) = self.targets.get(to.authority) {
            return stack;
        }
        // Outside of a runtime it has to wait for another new target.
        if Handle::try_current().is_ok() {
            self.janitor.get_or_init(|| self.mesh.spawn(sweep(Arc::downgrade(self))));
        }
        self.targets.insert(to.authority, || {
            stack(self.mesh.discovered(&to.name(), self.protocol, self.fallback), Http)
        })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(janitor) = self.janitor.get() {
            janitor.abort();
        }
    }
}

async fn sweep(shared: Weak<Shared>) {
    loop {
        mesh_core::clock::sleep(TARGET_IDLE_TIME).await;
        match shared.upgrade() {
            Some(shared) => shared.targets.sweep(),
            None => return,
        }
    }
}

impl<B: RequestBody> Service<Request<B>> for Client {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Waiting belongs to the call, where the deadline counts.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<B> {
        self.request(request)
    }
}

impl<B: RequestBody> Service<Request<B>> for &Client {
    type Response = Response<ResponseBody>;
    type Error = Error;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<B> {
        self.request(request)
    }
}

impl<B: RequestBody> ResponseFuture<B> {
    fn failed(error: Error) -> Self {
        Self { state: State::Failed { error: Some(error) } }
    }
}

impl<B: RequestBody> Future for ResponseFuture<B> {
    type Output = Result<Response<ResponseBody>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Sent { future } => Poll::Ready(ready!(future.poll(cx))),
            // Polled again after it was done, there is nothing more to say.
            StateProjection::Failed { error } => {
                error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("protocol", &self.shared.protocol)
            .field("unknown_hosts", &self.shared.fallback)
            .field("targets", &self.shared.targets.len())
            .finish_non_exhaustive()
    }
}

impl<B: RequestBody> fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
