//! Sends a request again when that is safe, or worth it.
//!
//! Above the choice of an endpoint, so that each try goes elsewhere. A request that was never processed is sent again at
//! once, whatever its method and policy, up to [`MAX_RESENDS`] times. Other failures are tried again as the policy says:
//! so many times, after a jittered pause, out of a budget that successes fill. The body is kept for that until the
//! response begins; a body too large to keep is sent once. A response that has begun is never taken back.
//!
//! In the stack policy and budget are those of the route and the cluster; alone they are those of the layer. When the
//! tries are used up the last response or error is returned as it is.

use super::{Answered, LayerRequest, Scope};
use crate::body::{DEFAULT_REPLAY_LIMIT, Replay, ReplayBody, SavedHead};
use crate::clock::{Clock, Timer};
use crate::dialect::{Class, Dialect, Http};
use crate::error::{BoxError, Error, Kind};
use crate::overrides::Decision;
use crate::policy::retry::{MAX_GRPC_TRIES, RetryPolicy};
use crate::policy::retry_budget::{RetryBudget, RetryBudgetConfig};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// Times that a request which was never processed is sent again.
pub const MAX_RESENDS: u32 = 5;

/// Makes [`Retry`]s.
#[derive(Clone, Debug)]
pub struct RetryLayer<D = Http> {
    own: Option<Arc<Own>>,
    dialect: D,
    clock: Clock,
    replay_limit: usize,
}

/// Sends a request again when that is safe, or worth it.
#[derive(Clone, Debug)]
pub struct Retry<S, D = Http> {
    inner: S,
    layer: RetryLayer<D>,
}

/// The settings of a layer that is used alone.
#[derive(Debug)]
struct Own {
    policy: RetryPolicy,
    budget: RetryBudget,
}

pin_project! {
    /// The future of a [`Retry`].
    pub struct RetryFuture<S, D, R>
    where
        R: LayerRequest,
        S: Service<R::With<ReplayBody<R::Body>>>,
    {
        service: Retry<S, D>,
        head: SavedHead,
        cx: R::Context,
        replay: Replay<R::Body>,
        retries: u32,
        resends: u32,
        #[pin]
        state: State<S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Trying { #[pin] future: F },
        Pausing { timer: Timer },
    }
}

impl RetryLayer {
    /// Retries by `policy`, out of a budget of its own, for plain HTTP.
    #[must_use]
    pub fn new(policy: RetryPolicy) -> Self {
        let clock = Clock::system();
        let budget = RetryBudget::new(RetryBudgetConfig::default(), clock.now());
        let own = Some(Arc::new(Own { policy, budget }));
        Self { own, dialect: Http, clock, replay_limit: DEFAULT_REPLAY_LIMIT }
    }
}

impl<D> RetryLayer<D> {
    /// Retries by the policy of each route.
    pub(crate) fn routed(dialect: D, clock: Clock) -> Self {
        Self { own: None, dialect, clock, replay_limit: DEFAULT_REPLAY_LIMIT }
    }

    /// Understands responses as `dialect` does.
    #[must_use]
    pub fn dialect<T>(self, dialect: T) -> RetryLayer<T> {
        RetryLayer { own: self.own, dialect, clock: self.clock, replay_limit: self.replay_limit }
    }

    /// Keeps up to `bytes` of a request body. Default: [`DEFAULT_REPLAY_LIMIT`].
    #[must_use]
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.replay_limit = bytes;
        self
    }

    /// Limits retries by a budget of this generosity.
    #[must_use]
    pub fn budget(mut self, config: RetryBudgetConfig) -> Self {
        let budget = RetryBudget::new(config, self.clock.now());
        self.own = self.own.map(|own| Arc::new(Own { policy: own.policy.clone(), budget }));
        self
    }
}

impl<S, D: Clone> Layer<S> for RetryLayer<D> {
    type Service = Retry<S, D>;

    fn layer(&self, inner: S) -> Retry<S, D> {
        Retry { inner, layer: self.clone() }
    }
}

impl<S, D, R, B> Service<R> for Retry<S, D>
where
    S: Service<R::With<ReplayBody<R::Body>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    R: Answered<B>,
    R::Body: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
    D: Dialect,
{
    type Response = Response<B>;
    type Error = Error;
    type Future = RetryFuture<S, D, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::from_boxed(error.into()))
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let (head, body, cx) = request.into_parts();
        let saved = SavedHead::of(&head);
        let replay = Replay::new(body, self.layer.replay_limit);
        let future = self.inner.call(R::from_parts(head, replay.body(), cx.clone()));
        RetryFuture {
            service: self.clone(),
            head: saved,
            cx,
            replay,
            retries: 0,
            resends: 0,
            state: State::Trying { future },
        }
    }
}

impl<S, D, R, B> Future for RetryFuture<S, D, R>
where
    S: Service<R::With<ReplayBody<R::Body>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    R: Answered<B>,
    D: Dialect,
{
    type Output = Result<Response<B>, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProjection::Trying { future } => {
                    let result = ready!(future.poll(cx)).map_err(|error| Error::from_boxed(error.into()));
                    let mut attempt = Attempt {
                        layer: &this.service.layer,
                        cx: this.cx,
                        body_is_whole: this.replay.is_whole(),
                        retries: this.retries,
                        resends: this.resends,
                    };
                    let Some(pause) = attempt.follow::<R, B>(&result) else {
                        this.replay.commit();
                        return Poll::Ready(result);
                    };
                    let resume = this.service.layer.clock.now() + pause;
                    this.state.set(State::Pausing { timer: Timer::at(Some(resume)) });
                }
                StateProjection::Pausing { timer } => {
                    ready!(timer.poll_expired(cx));
                    // A service that is not of the stack may have to make itself ready for each request.
                    let readiness = ready!(this.service.inner.poll_ready(cx));
                    if let Err(error) = readiness {
                        return Poll::Ready(Err(Error::from_boxed(error.into())));
                    }
                    let request = R::from_parts(this.head.to_parts(), this.replay.body(), this.cx.clone());
                    let future = this.service.inner.call(request);
                    this.state.set(State::Trying { future });
                }
            }
        }
    }
}

/// A try that is over, and what went before it.
struct Attempt<'a, D, C> {
    layer: &'a RetryLayer<D>,
    cx: &'a mut C,
    body_is_whole: bool,
    retries: &'a mut u32,
    resends: &'a mut u32,
}

impl<D: Dialect, C: Scope> Attempt<'_, D, C> {
    /// The pause before the next try; none if there is none.
    fn follow<R: Answered<B>, B>(&mut self, result: &Result<Response<B>, Error>) -> Option<Duration> {
        let dialect = self.layer.dialect;
        let (endpoint, outcome, error) = match result {
            Ok(response) => {
                let (endpoint, outcome) = R::answer(response, dialect);
                (endpoint, outcome, None)
            }
            Err(error) => (error.endpoint_label(), Some(dialect.error(error)), Some(error)),
        };
        if error.is_some_and(was_not_processed) && self.body_is_whole && *self.resends < MAX_RESENDS {
            *self.resends += 1;
            return Some(self.again(endpoint, true, Duration::ZERO));
        }
        if error.is_none() && outcome.is_none_or(|outcome| outcome.class == Class::Success) {
            // In the stack the bottom deposits, which has the time at hand.
            if let (None, Some(own)) = (self.cx.routed(), &self.layer.own) {
                own.budget.deposit(self.layer.clock.now());
            }
        }
        // What an endpoint may well answer may still be worth another try.
        let (outcome, policy) = outcome.zip(self.policy())?;
        let picked_out = result
            .as_ref()
            .is_ok_and(|response| policy.picks_out(response.status().as_u16(), response.headers()));
        let covered = picked_out || policy.covers(outcome.status, error.map(Error::kind));
        if !covered || !self.body_is_whole || *self.retries >= self.max_retries(policy) {
            return None;
        }
        let pause = policy.backoff.delay(*self.retries + 1, self.layer.clock.entropy());
        let avoid = endpoint.filter(|_| policy.avoid_previous_hosts);
        let resume = self.layer.clock.now() + pause;
        if self.cx.routed().and_then(|cx| cx.deadline).is_some_and(|deadline| deadline <= resume) {
            // No try would follow in time; what is known now says more than that the time is over.
            return None;
        }
        if !self.withdraw() {
            if let Some(cx) = self.cx.routed() {
                cx.cluster.cluster.budget_exhausted.fetch_add(1, Ordering::Relaxed);
            }
            return None;
        }
        *self.retries += 1;
        Some(self.again(avoid, false, pause))
    }

    /// Prepares the next try, which follows after `pause`.
    fn again(&mut self, avoid: Option<&Arc<str>>, transparent: bool, pause: Duration) -> Duration {
        if let Some(cx) = self.cx.routed_mut() {
            let now = self.layer.clock.now();
            cx.excluded.extend(avoid.cloned());
            cx.previous_tries = *self.retries;
            cx.try_started = now + pause;
            let cluster = &cx.cluster.cluster;
            let counter = if transparent { &cluster.resends } else { &cluster.retries };
            counter.fetch_add(1, Ordering::Relaxed);
            cx.note(now, || Decision::Retry { delay: pause, transparent });
        }
        pause
    }

    fn policy(&self) -> Option<&RetryPolicy> {
        match (self.cx.routed(), &self.layer.own) {
            (Some(cx), _) => cx.retry_policy().map(|policy| &**policy),
            (None, own) => own.as_ref().map(|own| &own.policy),
        }
    }

    fn max_retries(&self, policy: &RetryPolicy) -> u32 {
        if D::GRPC { policy.num_retries.min(MAX_GRPC_TRIES - 1) } else { policy.num_retries }
    }

    /// Takes a retry out of the budget, if there is one in it.
    fn withdraw(&self) -> bool {
        let budget = match (self.cx.routed(), &self.layer.own) {
            (Some(cx), _) => &cx.cluster.cluster.budget,
            (None, Some(own)) => &own.budget,
            (None, None) => return false,
        };
        budget.withdraw(self.layer.clock.now())
    }
}

/// Whether an endpoint did not process the request, so that another one may get it.
fn was_not_processed(error: &Error) -> bool {
    error.retry_safety().is_safe() && matches!(error.kind(), Kind::Connect | Kind::Refused | Kind::Reset)
}

impl<S, D, R> std::fmt::Debug for RetryFuture<S, D, R>
where
    R: LayerRequest,
    S: Service<R::With<ReplayBody<R::Body>>>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RetryFuture").field("retries", &self.retries).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::retry::RetryOn;
    use http::Request;
    use http_body_util::Full;
    use std::collections::VecDeque;
    use std::future::{Ready, ready};
    use tower::ServiceExt;

    /// Answers with these statuses in turn, and only who asked whether it is ready.
    #[derive(Debug)]
    struct Strict {
        statuses: Arc<std::sync::Mutex<VecDeque<u16>>>,
        ready: bool,
    }

    impl Clone for Strict {
        fn clone(&self) -> Self {
            Self { statuses: self.statuses.clone(), ready: false }
        }
    }

    impl<B> Service<Request<B>> for Strict {
        type Response = Response<Full<Bytes>>;
        type Error = Error;
        type Future = Ready<Result<Self::Response, Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            self.ready = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<B>) -> Self::Future {
            assert!(std::mem::take(&mut self.ready), "called without asking");
            let status = self.statuses.lock().unwrap().pop_front().unwrap();
            ready(Ok(Response::builder().status(status).body(Full::default()).unwrap()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_plain_service_is_asked_whether_it_is_ready_before_each_try() {
        let policy =
            RetryPolicy { retry_on: RetryOn::SERVER_ERROR, num_retries: 3, ..RetryPolicy::default() };
        let statuses = Arc::new(std::sync::Mutex::new(VecDeque::from([503, 503, 200])));
        let service = RetryLayer::new(policy).layer(Strict { statuses, ready: false });
        let response = service.oneshot(Request::new(Full::new(Bytes::from_static(b"x")))).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}
