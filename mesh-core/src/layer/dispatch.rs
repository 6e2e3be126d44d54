//! The bottom of the stack: chooses an endpoint, sends the request, and records how it went.
//!
//! In the common case, an endpoint that is connected and has room, nothing waits and nothing is allocated. Otherwise the
//! call waits for configuration, a connection or a stream; the layers above limit how long. While it waits it looks at
//! every new snapshot, so an update never strands it.

use super::{Call, CallContext};
use crate::balance::PickContext;
use crate::body::{InFlight, ResponseBody};
use crate::clock::{Instant, sleep_until};
use crate::cluster::{ClusterView, Pick};
use crate::dialect::{Class, Dialect};
use crate::endpoint::{Claim, Endpoint, Exchange, RequestBody, TransportBody};
use crate::error::{Chain, Error, Kind, RetrySafety};
use crate::overrides::Decision;
use crate::route::RequestHead;
use crate::snapshot::handle::Routing;
use crate::xds::load_counts::EndpointCounts;
use http::Response;
use http::request::Parts;
use http_body::Body;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// The bottom of the stack.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch<D> {
    dialect: D,
}

/// The future of [`Dispatch`].
pub struct DispatchFuture<D, B> {
    dialect: D,
    cx: Arc<CallContext>,
    state: State<B>,
}

enum State<B> {
    Sent { exchange: Exchange<B>, in_flight: Option<InFlight> },
    // In a box, because it is rare and large, and every future is as large as its largest state.
    Waiting(Box<Waiting<B>>),
    Failed(Option<Error>),
}

/// A request, and the choice it waits for.
struct Waiting<B> {
    choice: WaitFuture,
    request: Option<(Parts, B)>,
}

type WaitFuture = Pin<Box<dyn Future<Output = Result<Choice, NoChoice>> + Send>>;

/// An endpoint and the right to send a request to it.
struct Choice {
    endpoint: Arc<Endpoint>,
    claim: Claim,
    /// Where the request is counted, if it is.
    counts: Option<Arc<EndpointCounts>>,
}

impl<D> Dispatch<D> {
    /// Sends requests in `dialect`.
    pub fn new(dialect: D) -> Self {
        Self { dialect }
    }
}

impl<D: Dialect, B: RequestBody> Service<Call<B>> for Dispatch<D> {
    type Response = Response<ResponseBody<D>>;
    type Error = Error;
    type Future = DispatchFuture<D, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, call: Call<B>) -> Self::Future {
        let Call { head, body, cx } = call;
        let state = begin(self.dialect, &cx, cx.try_started, head, body);
        DispatchFuture { dialect: self.dialect, cx, state }
    }
}

/// What came of choosing an endpoint at once.
enum Choosing {
    Done(Choice),
    /// There will be one. Whether the request is one of those to be dropped has been decided if it is `admitted`.
    Wait {
        admitted: bool,
    },
    Failed(Error),
}

/// Why there is no endpoint after waiting for one.
enum NoChoice {
    /// The cluster is not in the configuration any more, or soon will not be.
    Gone,
    Failed(Error),
}

/// Sends the request, or waits for a place to send it.
#[inline]
fn begin<D: Dialect, B: RequestBody>(
    dialect: D,
    cx: &Arc<CallContext>,
    now: Instant,
    head: Parts,
    body: B,
) -> State<B> {
    match choose(cx, &cx.cluster, now) {
        Choosing::Done(choice) => send(dialect, cx, choice, now, head, body),
        Choosing::Wait { admitted } => {
            cx.note(now, || Decision::Wait);
            State::Waiting(Box::new(Waiting {
                choice: Box::pin(wait(cx.clone(), admitted)),
                request: Some((head, body)),
            }))
        }
        Choosing::Failed(error) => State::Failed(Some(error)),
    }
}

fn choose(cx: &CallContext, view: &ClusterView, now: Instant) -> Choosing {
    match view.pick(&pick_context(cx, now)) {
        Pick::Endpoint(endpoint) => match view.account.refuse(endpoint, cx.target.clock()) {
            Some(error) => Choosing::Failed(error),
            None => match endpoint.try_claim() {
                Some(claim) => Choosing::Done(Choice::new(view, endpoint.clone(), claim)),
                None => Choosing::Wait { admitted: true },
            },
        },
        Pick::Connecting(_) | Pick::Pending => Choosing::Wait { admitted: false },
        Pick::None(error) => Choosing::Failed(error),
    }
}

impl Choice {
    fn new(view: &ClusterView, endpoint: Arc<Endpoint>, claim: Claim) -> Self {
        let counts = view.account.counts(&endpoint);
        let claim = claim.within(view.connect_timeout);
        Self { endpoint, claim, counts }
    }
}

fn pick_context(cx: &CallContext, now: Instant) -> PickContext<'_> {
    let clock = cx.target.clock();
    PickContext {
        now: clock.micros(now),
        entropy: clock.entropy(),
        excluded: &cx.excluded,
        hash: None,
        metadata: &[],
    }
}

/// Waits until there is an endpoint and a right to use it. Unless it is `admitted`, the request may yet be dropped.
async fn wait(cx: Arc<CallContext>, mut admitted: bool) -> Result<Choice, NoChoice> {
    let mut view = cx.cluster.clone();
    loop {
        // Listening begins before looking, so that nothing is missed in between.
        let mut snapshot = std::pin::pin!(cx.target.published().changed().notified());
        snapshot.as_mut().enable();
        view = cx.target.refresh(cx.index, &view).ok_or(NoChoice::Gone)?;
        let pick = view.pick(&pick_context(&cx, cx.target.clock().now()));
        if view.retired && !matches!(pick, Pick::Endpoint(_)) {
            // No route leads here any more, and where the present one leads there may be an endpoint.
            return Err(NoChoice::Gone);
        }
        match pick {
            Pick::Endpoint(endpoint) => {
                if !std::mem::replace(&mut admitted, true)
                    && let Some(error) = view.account.refuse(endpoint, cx.target.clock())
                {
                    return Err(NoChoice::Failed(error));
                }
                let endpoint = endpoint.clone();
                tokio::select! {
                    biased;
                    claim = endpoint.claim() => match claim {
                        Some(claim) => return Ok(Choice::new(&view, endpoint, claim)),
                        // It has just lost its last connection; who tells the ready view may be on this thread.
                        None => tokio::task::yield_now().await,
                    },
                    () = snapshot => {}
                }
            }
            Pick::Connecting(members) => {
                let mut ready = std::pin::pin!(members.ready().changed().notified());
                ready.as_mut().enable();
                if members.ready().is_empty() && !members.ready().all_failed() {
                    tokio::select! {
                        () = ready => {}
                        () = snapshot => {}
                    }
                }
            }
            Pick::Pending => {
                tokio::select! {
                    () = snapshot => {}
                    () = sleep_until(cx.started + cx.target.published().timeout) => {
                        return Err(NoChoice::Failed(unconfigured(&cx)));
                    }
                }
            }
            Pick::None(error) => return Err(NoChoice::Failed(error)),
        }
    }
}

fn unconfigured(cx: &CallContext) -> Error {
    let timeout = cx.target.published().timeout;
    let error = Error::new(Kind::Unconfigured, format!("no configuration within {timeout:?}"));
    blame_control_plane(cx, error)
}

/// Adds to an error, if the control plane cannot be reached, that it cannot.
fn blame_control_plane(cx: &CallContext, error: Error) -> Error {
    match cx.target.published().load().outage(cx.target.spec(), Some(&cx.cluster.cluster.name)) {
        Some(reason) => error.with_note(&format!("the control plane: {reason}")),
        None => error,
    }
}

#[inline]
fn send<D: Dialect, B: RequestBody>(
    dialect: D,
    cx: &CallContext,
    Choice { endpoint, claim, counts }: Choice,
    now: Instant,
    mut head: Parts,
    body: B,
) -> State<B> {
    let remaining = cx.deadline.map(|deadline| deadline.saturating_duration_since(now));
    if remaining.is_some_and(|remaining| remaining.is_zero()) {
        let error = Error::new(Kind::Deadline, "the time for the call is over");
        return State::Failed(Some(error.with_safety(RetrySafety::NeverSent)));
    }
    dialect.stamp(&mut head.headers, remaining, cx.previous_tries);
    cx.note(now, || Decision::Try(endpoint.label().clone()));
    if let Some(tried) = &cx.tried {
        tried.set(endpoint.label());
    }
    let mut in_flight = InFlight::begin(endpoint, counts, now);
    match claim.send(head, body) {
        Ok(exchange) => State::Sent { exchange, in_flight: Some(in_flight) },
        Err(error) => {
            // It says nothing about how fast the endpoint answers.
            in_flight.observe(now, Class::Ignored);
            State::Failed(Some(error.with_endpoint(in_flight.endpoint().label())))
        }
    }
}

impl<D: Dialect, B: RequestBody> Future for DispatchFuture<D, B> {
    type Output = Result<Response<ResponseBody<D>>, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Sent { exchange, in_flight } => {
                    let result = ready!(Pin::new(exchange).poll(cx));
                    // Polled again after it was done, there is nothing more to say.
                    let Some(in_flight) = in_flight.take() else { return Poll::Pending };
                    return Poll::Ready(this.finish(result, in_flight));
                }
                State::Waiting(waiting) => {
                    let choice = ready!(waiting.choice.as_mut().poll(cx));
                    let Some((head, body)) = waiting.request.take() else { return Poll::Pending };
                    let now = this.cx.target.clock().now();
                    this.state = match choice {
                        Ok(choice) => send(this.dialect, &this.cx, choice, now, head, body),
                        Err(NoChoice::Gone) => match this.reroute(&head) {
                            Ok(()) => begin(this.dialect, &this.cx, now, head, body),
                            Err(error) => State::Failed(Some(error)),
                        },
                        Err(NoChoice::Failed(error)) => State::Failed(Some(error)),
                    };
                }
                State::Failed(error) => {
                    let Some(error) = error.take() else { return Poll::Pending };
                    return Poll::Ready(Err(this.explain(error)));
                }
            }
        }
    }
}

impl<D: Dialect, B> DispatchFuture<D, B> {
    fn finish(
        &self,
        result: Result<Response<TransportBody>, Error>,
        mut in_flight: InFlight,
    ) -> Result<Response<ResponseBody<D>>, Error> {
        let now = in_flight.endpoint().clock().now();
        match result {
            Ok(response) => {
                let ended = || response.body().is_end_stream();
                let outcome = self.dialect.head(response.status(), response.headers(), ended);
                let class = outcome.map_or(Class::Success, |outcome| outcome.class);
                in_flight.observe(now, class);
                in_flight.hear(response.headers());
                if let Some(outcome) = outcome {
                    in_flight.settle(outcome);
                }
                if class == Class::Success {
                    self.cx.cluster.cluster.budget.deposit(now);
                }
                self.cx.note(now, || Decision::Answer { status: response.status().as_u16() });
                let deadline = self.cx.deadline;
                let cluster = self.cx.cluster.cluster.clone();
                let body =
                    |body| ResponseBody::new(body, in_flight, cluster, self.dialect, outcome, deadline);
                Ok(response.map(body))
            }
            Err(error) => {
                in_flight.observe(now, self.dialect.error(&error).class);
                Err(self.explain(error.with_endpoint(in_flight.endpoint().label())))
            }
        }
    }

    fn explain(&self, error: Error) -> Error {
        let now = self.cx.target.clock().now();
        // Whom it does not know of, a control plane that is away cannot have told.
        let error = match error.kind() {
            Kind::NoEndpoint | Kind::Unreachable => blame_control_plane(&self.cx, error),
            _ => error,
        };
        self.cx.note(now, || Decision::Failure(Chain(&error).to_string().into()));
        self.cx.explain(error)
    }

    /// Routes the request once more, because the configuration moved on while it waited.
    fn reroute(&mut self, head: &Parts) -> Result<(), Error> {
        let cx = Arc::make_mut(&mut self.cx);
        let snapshot = cx.target.published().load();
        let entropy = cx.target.clock().entropy();
        let head = RequestHead::of(head, &cx.target.spec().name, D::GRPC);
        match cx.target.route(&snapshot, &head, entropy) {
            Routing::Found { route, index, cluster, .. } => {
                (cx.route, cx.index, cx.cluster) = (route, index, cluster);
                Ok(())
            }
            Routing::Pending => Err(unconfigured(cx)),
            Routing::Failed(error) => Err(error),
        }
    }
}

impl<D, B> std::fmt::Debug for DispatchFuture<D, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DispatchFuture").field("cx", &self.cx).finish_non_exhaustive()
    }
}
