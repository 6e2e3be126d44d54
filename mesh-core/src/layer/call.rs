//! A request on its way down the stack.

use crate::body::ResponseBody;
use crate::clock::Instant;
use crate::cluster::{ClusterState, ClusterView};
use crate::dialect::{Dialect, Outcome};
use crate::error::{Error, RetrySafety};
use crate::overrides::{CallTrace, Decision};
use crate::policy::retry::RetryPolicy;
use crate::route::{Action, ClusterIndex, Route};
use crate::snapshot::handle::TargetHandle;
use http::request::Parts;
use http::{Extensions, Request, Response};
use http_body::Body;
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, PoisonError};

/// A request that was routed: the request, and beside it what the layers need to know.
#[derive(Debug)]
pub struct Call<B> {
    /// The request without its body.
    pub head: Parts,
    /// Its body.
    pub body: B,
    /// What was decided about it; shared, so that every layer may keep it at no cost.
    pub cx: Arc<CallContext>,
}

/// What was decided about a call. Pinned when it was routed: every try sees the same.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// When it began.
    pub started: Instant,
    /// When this try of it began.
    pub try_started: Instant,
    /// When it has to be over.
    pub deadline: Option<Instant>,
    /// What it was sent to.
    pub target: Arc<TargetHandle>,
    /// The route that matched.
    pub route: Arc<Route>,
    /// The place of the cluster in the snapshot.
    pub index: ClusterIndex,
    /// The cluster that was chosen.
    pub cluster: Arc<ClusterView>,
    /// Tries before this one.
    pub previous_tries: u32,
    /// Endpoints that this try should avoid, by their labels.
    pub excluded: SmallVec<[Arc<str>; 2]>,
    /// Where decisions are written down.
    pub trace: Option<CallTrace>,
    /// The endpoint that was tried last, for those above who end the call; there if the time of the call or of its tries
    /// is limited.
    pub tried: Option<Arc<LastTried>>,
}

/// The endpoint that was tried last, by its label.
#[derive(Debug, Default)]
pub struct LastTried(Mutex<Option<Arc<str>>>);

/// A request as layers see it: plain, or as a [`Call`] of the stack.
pub trait LayerRequest: Sized {
    /// The body of the request.
    type Body;
    /// What travels beside the head and the body.
    type Context: Scope;
    /// The same request with another body.
    type With<B>;

    /// Takes the request apart.
    fn into_parts(self) -> (Parts, Self::Body, Self::Context);

    /// Puts a request together.
    fn from_parts<B>(head: Parts, body: B, cx: Self::Context) -> Self::With<B>;

    /// What was decided about the request; none if it is plain, and each layer's own settings apply.
    fn routed(&self) -> Option<&Arc<CallContext>>;
}

/// A request whose responses, with the body `R`, may tell where they came from.
pub trait Answered<R>: LayerRequest {
    /// The label of the endpoint that a response came from, if that is known, and its outcome as far as the head tells it.
    fn answer<D: Dialect>(response: &Response<R>, dialect: D) -> (Option<&Arc<str>>, Option<Outcome>);
}

/// What travels beside the head and the body of a request.
pub trait Scope: Clone {
    /// What was decided about the request; none if it is plain.
    fn routed(&self) -> Option<&CallContext>;
    /// The same, to change it.
    fn routed_mut(&mut self) -> Option<&mut CallContext>;
}

impl CallContext {
    /// Writes a decision down, if somebody wants to know.
    pub fn note(&self, now: Instant, decision: impl FnOnce() -> Decision) {
        if let Some(trace) = &self.trace {
            trace.note(now, decision());
        }
    }

    /// Names target, route and cluster in an error.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        error
            .with_target(&self.target.spec().name)
            .with_route(&self.route.name)
            .with_cluster(&self.cluster.cluster.name)
    }

    /// Names what is known to whoever gives up waiting.
    #[must_use]
    pub(crate) fn explain_timeout(&self, error: Error) -> Error {
        let endpoint = self.tried.as_ref().and_then(|tried| tried.get());
        let error = self.explain(error);
        match endpoint {
            Some(endpoint) => error.with_endpoint(&endpoint),
            None => self.what_it_waits_for(error.with_safety(RetrySafety::NeverSent)),
        }
    }

    /// Adds to the error of a call that was not sent why it was not.
    fn what_it_waits_for(&self, error: Error) -> Error {
        let view = self.target.refresh(self.index, &self.cluster).unwrap_or_else(|| self.cluster.clone());
        match (view.obstacle(), &view.state) {
            (Some((endpoint, reason)), _) => error.with_endpoint(endpoint.label()).with_source(&*reason),
            (None, ClusterState::Pending) => error.with_source("the cluster is not configured yet"),
            (None, _) => error.with_source("no endpoint is connected and has room yet"),
        }
    }

    /// When to try again, by the route.
    #[must_use]
    pub fn retry_policy(&self) -> Option<&Arc<RetryPolicy>> {
        match &self.route.action {
            Action::Forward(forward) => forward.retry.as_ref(),
            Action::Unsupported(_) => None,
        }
    }
}

// ===== impl LastTried =====

impl LastTried {
    /// An endpoint is tried.
    pub(crate) fn set(&self, endpoint: &Arc<str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint.clone());
    }

    fn get(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// ===== impl LayerRequest =====

impl<B> LayerRequest for Call<B> {
    type Body = B;
    type Context = Arc<CallContext>;
    type With<T> = Call<T>;

    fn into_parts(self) -> (Parts, B, Arc<CallContext>) {
        (self.head, self.body, self.cx)
    }

    fn from_parts<T>(head: Parts, body: T, cx: Arc<CallContext>) -> Call<T> {
        Call { head, body, cx }
    }

    fn routed(&self) -> Option<&Arc<CallContext>> {
        Some(&self.cx)
    }
}

impl<B, T: Dialect> Answered<ResponseBody<T>> for Call<B> {
    fn answer<D: Dialect>(
        response: &Response<ResponseBody<T>>,
        _: D,
    ) -> (Option<&Arc<str>>, Option<Outcome>) {
        (Some(response.body().endpoint().label()), response.body().outcome())
    }
}

impl<B> LayerRequest for Request<B> {
    type Body = B;
    type Context = Extensions;
    type With<T> = Request<T>;

    fn into_parts(self) -> (Parts, B, Extensions) {
        let (head, body) = self.into_parts();
        let extensions = head.extensions.clone();
        (head, body, extensions)
    }

    fn from_parts<T>(mut head: Parts, body: T, extensions: Extensions) -> Request<T> {
        head.extensions = extensions;
        Request::from_parts(head, body)
    }

    fn routed(&self) -> Option<&Arc<CallContext>> {
        None
    }
}

impl<B, R: Body> Answered<R> for Request<B> {
    fn answer<D: Dialect>(response: &Response<R>, dialect: D) -> (Option<&Arc<str>>, Option<Outcome>) {
        let ended = || response.body().is_end_stream();
        (None, dialect.head(response.status(), response.headers(), ended))
    }
}

impl Scope for Arc<CallContext> {
    fn routed(&self) -> Option<&CallContext> {
        Some(self)
    }

    fn routed_mut(&mut self) -> Option<&mut CallContext> {
        // Others keep what they have.
        Some(Arc::make_mut(self))
    }
}

impl Scope for Extensions {
    fn routed(&self) -> Option<&CallContext> {
        None
    }

    fn routed_mut(&mut self) -> Option<&mut CallContext> {
        None
    }
}
