//! Limits the time of one try.
//!
//! Below the retries, so that a try that takes too long can be followed by another. It covers the choice of an endpoint,
//! the wait for a connection and the wait for the response head. In the stack the limit is the one of the route's retry
//! policy; alone it is the one of the layer.
//!
//! Errors: [`Kind::TryTimeout`].

use super::{CallContext, LayerRequest};
use crate::clock::{self, Timer};
use crate::error::{BoxError, Error, Kind};
use http::Response;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_layer::Layer;
use tower_service::Service;

/// Makes [`PerTryTimeout`]s.
#[derive(Clone, Debug)]
pub struct PerTryTimeoutLayer {
    timeout: Option<Duration>,
}

/// Limits the time of one try.
#[derive(Clone, Debug)]
pub struct PerTryTimeout<S> {
    inner: S,
    timeout: Option<Duration>,
}

pin_project! {
    /// The future of a [`PerTryTimeout`].
    #[derive(Debug)]
    pub struct PerTryTimeoutFuture<F> {
        #[pin]
        inner: F,
        timer: Timer,
        // Says what the try was about; there if it is routed and its time is limited.
        cx: Option<Arc<CallContext>>,
    }
}

impl PerTryTimeoutLayer {
    /// Limits tries that no route says anything about to `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout: Some(timeout) }
    }

    /// Limits only what routes limit.
    #[must_use]
    pub(crate) fn routed() -> Self {
        Self { timeout: None }
    }
}

impl<S> Layer<S> for PerTryTimeoutLayer {
    type Service = PerTryTimeout<S>;

    fn layer(&self, inner: S) -> PerTryTimeout<S> {
        PerTryTimeout { inner, timeout: self.timeout }
    }
}

impl<S, R, B> Service<R> for PerTryTimeout<S>
where
    S: Service<R, Response = Response<B>>,
    S::Error: Into<BoxError>,
    R: LayerRequest,
{
    type Response = Response<B>;
    type Error = Error;
    type Future = PerTryTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::from_boxed(error.into()))
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let timeout = match request.routed() {
            Some(cx) => cx.retry_policy().and_then(|policy| policy.per_try_timeout),
            None => self.timeout,
        };
        let start = request.routed().map_or_else(clock::now, |cx| cx.try_started);
        let deadline = timeout.and_then(|timeout| start.checked_add(timeout));
        let cx = deadline.and_then(|_| request.routed().cloned());
        PerTryTimeoutFuture { inner: self.inner.call(request), timer: Timer::at(deadline), cx }
    }
}

impl<F, T, E> Future for PerTryTimeoutFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result.map_err(|error| Error::from_boxed(error.into())));
        }
        this.timer.poll_expired(cx).map(|()| {
            let error = Error::new(Kind::TryTimeout, "the time for one try is over");
            Err(match this.cx {
                Some(cx) => cx.explain_timeout(error),
                None => error,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use std::convert::Infallible;
    use tower::{ServiceExt, service_fn};

    #[tokio::test(start_paused = true)]
    async fn a_try_ends_in_time() {
        let start = clock::now();
        let stuck = service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, Infallible>>());
        let service = PerTryTimeoutLayer::new(Duration::from_millis(200)).layer(stuck);
        let error = service.oneshot(Request::new(())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::TryTimeout);
        assert_eq!(clock::now() - start, Duration::from_millis(200));
    }
}
