//! The order of the layers: the only place where it is written.
//!
//! From the caller down to the socket:
//!
//! | Layer | Why here |
//! |---|---|
//! | [`Select`] | A call is routed once, and every try sees the same route, cluster and limits. It is above the deadline because only the route says what the deadline is; the wait for configuration counts from the start of the call and is limited by the caller's own time. |
//! | [`Deadline`] | Everything below counts against the time of the call: connections, tries, and the pauses between them. |
//! | [`Retry`] | Above the choice of an endpoint, so that each try goes elsewhere; below the deadline, so that no try begins after it. |
//! | [`PerTryTimeout`] | Below the retries, so that a try that takes too long is followed by another; above the choice, so that waiting for a connection counts. |
//! | [`Dispatch`] | Chooses the endpoint, waits for it if it must, sends, and tells the endpoint's statistics how it went. What the layers above refuse never gets here, so it is never held against an endpoint. |
//!
//! What the order does for one request is data: the route's policies, pinned by [`Select`]. A layer whose policy is absent
//! costs one branch.

use crate::dialect::Dialect;
use crate::layer::deadline::{Deadline, DeadlineLayer};
use crate::layer::dispatch::Dispatch;
use crate::layer::per_try_timeout::{PerTryTimeout, PerTryTimeoutLayer};
use crate::layer::retry::{Retry, RetryLayer};
use crate::layer::select::Select;
use crate::snapshot::handle::TargetHandle;
use std::sync::Arc;
use tower_layer::Layer;

/// The whole stack for one target.
pub type Stack<D> = Select<Deadline<Retry<PerTryTimeout<Dispatch<D>>, D>>, D>;

/// Puts the layers on top of each other.
#[must_use]
pub fn stack<D: Dialect>(target: Arc<TargetHandle>, dialect: D) -> Stack<D> {
    let dispatch = Dispatch::new(dialect);
    let per_try = PerTryTimeoutLayer::routed().layer(dispatch);
    let retry = RetryLayer::routed(dialect, target.clock().clone()).layer(per_try);
    let deadline = DeadlineLayer::routed().layer(retry);
    Select::new(deadline, target, dialect)
}
