//! Limits the time of a whole call.
//!
//! Everything below counts: waiting for a connection, every try and the pauses between them. In the stack the limit is
//! the shorter of the route's and the caller's, and it runs from the moment the call was made; alone it is the one of
//! the layer. The response body is not covered by the layer alone; in the stack the body itself keeps the time.
//!
//! Errors: [`Kind::Deadline`].

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

/// Makes [`Deadline`]s.
#[derive(Clone, Debug)]
pub struct DeadlineLayer {
    timeout: Option<Duration>,
}

/// Limits the time of a whole call.
#[derive(Clone, Debug)]
pub struct Deadline<S> {
    inner: S,
    timeout: Option<Duration>,
}

pin_project! {
    /// The future of a [`Deadline`].
    #[derive(Debug)]
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: F,
        timer: Timer,
        // Says what the call was about; there if it is routed and its time is limited.
        cx: Option<Arc<CallContext>>,
    }
}

impl DeadlineLayer {
    /// Limits calls that no route says anything about to `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout: Some(timeout) }
    }

    /// Limits only what routes and callers limit.
    #[must_use]
    pub(crate) fn routed() -> Self {
        Self { timeout: None }
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { inner, timeout: self.timeout }
    }
}

impl<S, R, B> Service<R> for Deadline<S>
where
    S: Service<R, Response = Response<B>>,
    S::Error: Into<BoxError>,
    R: LayerRequest,
{
    type Response = Response<B>;
    type Error = Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::from_boxed(error.into()))
    }

    #[inline]
    fn call(&mut self, request: R) -> Self::Future {
        let deadline = match request.routed() {
            Some(cx) => cx.deadline,
            None => self.timeout.and_then(|timeout| clock::now().checked_add(timeout)),
        };
        let cx = deadline.and_then(|_| request.routed().cloned());
        DeadlineFuture { inner: self.inner.call(request), timer: Timer::at(deadline), cx }
    }
}

impl<F, T, E> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: Into<BoxError>,
{
    type Output = Result<T, Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // The answer wins if both are there.
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result.map_err(|error| Error::from_boxed(error.into())));
        }
        this.timer.poll_expired(cx).map(|()| {
            let error = Error::new(Kind::Deadline, "the time for the call is over");
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

    async fn call(takes: Duration, limit: Duration) -> Result<Response<()>, Error> {
        let slow = service_fn(move |_: Request<()>| async move {
            tokio::time::sleep(takes).await;
            Ok::<_, Infallible>(Response::new(()))
        });
        DeadlineLayer::new(limit).layer(slow).oneshot(Request::new(())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline() {
        let start = clock::now();
        let error = call(Duration::from_secs(60), Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Deadline);
        assert_eq!(clock::now() - start, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_beyond_all_time_is_none() {
        assert!(call(Duration::from_secs(1), Duration::MAX).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_in_time_is_left_alone() {
        assert!(call(Duration::from_secs(1), Duration::from_secs(2)).await.is_ok());
        assert!(call(Duration::from_secs(1), Duration::from_secs(1)).await.is_ok(), "the answer wins");
    }
}
