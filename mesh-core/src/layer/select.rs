//! Chooses the route, once for each call; every try then sees the same.
//!
//! The top of the stack: it turns a plain request into a [`Call`]. A call that comes before the configuration waits for
//! it, within the caller's time limit and at most [`CONFIGURATION_TIMEOUT`](crate::xds::CONFIGURATION_TIMEOUT); the time of the call runs from the start, the
//! wait included.
//!
//! Errors: what [`TargetHandle::route`] says; [`Kind::Unconfigured`]; [`Kind::Deadline`] while waiting.

use super::{Call, CallContext};
use crate::clock::{Instant, sleep_until};
use crate::dialect::{Dialect, TimeLimits};
use crate::endpoint::RequestBody;
use crate::error::{Error, Kind};
use crate::overrides::{CallTrace, Decision, Overrides};
use crate::route::{Action, RequestHead, Route};
use crate::snapshot::handle::{Routing, TargetHandle};
use http::request::Parts;
use http::uri::{self, Scheme, Uri};
use http::{Request, Response};
use pin_project_lite::pin_project;
use smallvec::SmallVec;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_service::Service;

/// Chooses the route.
#[derive(Clone, Debug)]
pub struct Select<S, D> {
    inner: S,
    target: Arc<TargetHandle>,
    dialect: D,
}

pin_project! {
    /// The future of a [`Select`].
    pub struct SelectFuture<S, B>
    where
        S: Service<Call<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        // In a box, because it is rare.
        Waiting { waiting: Box<Waiting<S, B>> },
        // In a box, because callers move the future about, and it is large.
        Running { future: Pin<Box<F>> },
        Failed { error: Option<Error> },
    }
}

/// A request, and the route it waits for.
struct Waiting<S, B> {
    route: WaitFuture,
    request: Option<(S, Parts, B)>,
}

type WaitFuture = Pin<Box<dyn Future<Output = Result<Arc<CallContext>, Error>> + Send>>;

/// What is known of a call before it is routed.
#[derive(Clone, Debug)]
struct Start<D> {
    target: Arc<TargetHandle>,
    dialect: D,
    at: Instant,
    timeout: Option<Duration>,
    trace: Option<CallTrace>,
}

impl<S, D> Select<S, D> {
    /// Routes requests to `target`.
    pub fn new(inner: S, target: Arc<TargetHandle>, dialect: D) -> Self {
        Self { inner, target, dialect }
    }

    /// What requests are sent to.
    pub fn target(&self) -> &Arc<TargetHandle> {
        &self.target
    }
}

impl<S, D, B, R> Service<Request<B>> for Select<S, D>
where
    S: Service<Call<B>, Response = Response<R>, Error = Error> + Clone,
    D: Dialect,
    B: RequestBody,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = SelectFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let start = Start::new(&self.target, self.dialect, &head);
        make_absolute(&mut head.uri, &self.target);
        let state = match start.route(&head, start.at) {
            Ok(Some(cx)) => State::Running { future: Box::pin(self.inner.call(Call { head, body, cx })) },
            Ok(None) => {
                let route = Box::pin(start.wait(copy_for_routing(&head)));
                let request = Some((self.inner.clone(), head, body));
                State::Waiting { waiting: Box::new(Waiting { route, request }) }
            }
            Err(error) => State::Failed { error: Some(error) },
        };
        SelectFuture { state }
    }
}

impl<S, B> Future for SelectFuture<S, B>
where
    S: Service<Call<B>, Error = Error>,
{
    type Output = Result<S::Response, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Running { future } => return future.as_mut().poll(cx),
                StateProjection::Waiting { waiting } => {
                    let Waiting { route, request } = &mut **waiting;
                    let route = ready!(route.as_mut().poll(cx));
                    // Polled again after it was done, there is nothing more to say.
                    let Some((mut service, head, body)) = request.take() else { return Poll::Pending };
                    match route {
                        Ok(cx) => State::Running { future: Box::pin(service.call(Call { head, body, cx })) },
                        Err(error) => State::Failed { error: Some(error) },
                    }
                }
                StateProjection::Failed { error } => {
                    let Some(error) = error.take() else { return Poll::Pending };
                    return Poll::Ready(Err(error));
                }
            };
            state.set(next);
        }
    }
}

impl<D: Dialect> Start<D> {
    fn new(target: &Arc<TargetHandle>, dialect: D, head: &Parts) -> Self {
        let overrides = if head.extensions.is_empty() { None } else { head.extensions.get::<Overrides>() };
        let caller = dialect.caller_timeout(&head.headers);
        let timeout = match (caller, overrides.and_then(|overrides| overrides.timeout)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self {
            target: target.clone(),
            dialect,
            at: target.clock().now(),
            timeout,
            trace: overrides.and_then(|overrides| overrides.trace.clone()),
        }
    }

    /// The context of the call, which goes on at `now`; none while there is no configuration.
    fn route(&self, head: &Parts, now: Instant) -> Result<Option<Arc<CallContext>>, Error> {
        let target = &self.target;
        let head = RequestHead::of(head, &target.spec().name, D::GRPC);
        let routing = target.route(&target.published().load(), &head, target.clock().entropy());
        let (route, index, cluster, listener) = match routing {
            Routing::Found { route, index, cluster, max_stream_duration } => {
                (route, index, cluster, max_stream_duration)
            }
            Routing::Pending => return Ok(None),
            Routing::Failed(error) => return Err(error),
        };
        let limits = match &route.action {
            Action::Forward(forward) => {
                TimeLimits { listener_max_stream_duration: listener, ..forward.limits }
            }
            Action::Unsupported(_) => TimeLimits::default(),
        };
        let timeout = self.dialect.timeout(&limits, self.timeout);
        let cx = Arc::new(CallContext {
            started: self.at,
            try_started: now,
            deadline: timeout.and_then(|timeout| self.at.checked_add(timeout)),
            target: target.clone(),
            index,
            cluster,
            previous_tries: 0,
            excluded: SmallVec::new(),
            trace: self.trace.clone(),
            tried: (timeout.is_some() || limits_tries(&route)).then(Arc::default),
            route,
        });
        cx.note(now, || Decision::Route {
            route: cx.route.name.clone(),
            origin: cx.route.origin.clone(),
            cluster: cx.cluster.cluster.name.clone(),
        });
        Ok(Some(cx))
    }

    /// The context of the call, once there is configuration.
    async fn wait(self, head: Parts) -> Result<Arc<CallContext>, Error> {
        if let Some(trace) = &self.trace {
            trace.note(self.at, Decision::Wait);
        }
        let limit = self.at + self.target.published().timeout;
        let deadline = self
            .timeout
            .and_then(|timeout| self.at.checked_add(timeout))
            .filter(|deadline| *deadline <= limit);
        let mut expired = std::pin::pin!(sleep_until(deadline.unwrap_or(limit)));
        loop {
            // Listening begins before looking, so that nothing is missed in between.
            let mut changed = std::pin::pin!(self.target.published().changed().notified());
            changed.as_mut().enable();
            if let Some(cx) = self.route(&head, self.target.clock().now())? {
                return Ok(cx);
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = &mut expired => return Err(self.unconfigured(deadline.is_some())),
            }
        }
    }

    fn unconfigured(&self, deadline: bool) -> Error {
        let error = match deadline {
            true => {
                Error::new(Kind::Deadline, "the time for the call is over, and there is no configuration yet")
            }
            false => {
                let timeout = self.target.published().timeout;
                Error::new(Kind::Unconfigured, format!("no configuration within {timeout:?}"))
            }
        };
        let error = error.with_target(&self.target.spec().name);
        match self.target.published().load().outage(self.target.spec(), None) {
            Some(reason) => error.with_source(format!("the control plane: {reason}")),
            None => error,
        }
    }
}

/// Whether the route limits the time of each try.
fn limits_tries(route: &Route) -> bool {
    match &route.action {
        Action::Forward(forward) => {
            forward.retry.as_ref().is_some_and(|policy| policy.per_try_timeout.is_some())
        }
        Action::Unsupported(_) => false,
    }
}

/// Fills in what the URI of a request lacks to be sent.
fn make_absolute(uri: &mut Uri, target: &TargetHandle) {
    if uri.authority().is_some() {
        return;
    }
    let mut parts = uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(target.authority().clone());
    parts.path_and_query = uri.path_and_query().cloned();
    if let Ok(absolute) = Uri::from_parts(parts) {
        *uri = absolute;
    }
}

/// What routes look at, for as long as a call waits.
fn copy_for_routing(head: &Parts) -> Parts {
    let (mut copy, ()) = Request::new(()).into_parts();
    copy.method = head.method.clone();
    copy.uri = head.uri.clone();
    copy.headers = head.headers.clone();
    copy
}

impl<S: Service<Call<B>>, B> std::fmt::Debug for SelectFuture<S, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SelectFuture")
    }
}
