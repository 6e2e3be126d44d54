//! A request that is in flight, as its endpoint's statistics see it.

use crate::clock::Instant;
use crate::dialect::Class;
use crate::endpoint::Endpoint;
use std::sync::Arc;

/// A request that is in flight at an endpoint, at the latest until this is dropped.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    since: Instant,
    observed: bool,
    ended: bool,
}

impl InFlight {
    /// A request to `endpoint` begins.
    #[must_use]
    pub fn begin(endpoint: Arc<Endpoint>, now: Instant) -> Self {
        endpoint.load().begin();
        Self { endpoint, since: now, observed: false, ended: false }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The endpoint answered or failed, or its answer turned out to be a failure.
    pub fn observe(&mut self, now: Instant, class: Class) {
        let latency = now.saturating_duration_since(self.since);
        match class {
            Class::Failure => self.endpoint.load().observe_failure(now, latency),
            Class::Success if !self.observed => self.endpoint.load().observe(now, latency),
            Class::Success | Class::Ignored => {}
        }
        self.observed = true;
    }

    /// The exchange is complete.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.endpoint.load().end();
        }
    }

    /// Whether the exchange is complete.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.observed {
            // Given up while waiting: the endpoint takes at least this long.
            let now = self.endpoint.clock().now();
            self.endpoint.load().observe(now, now.saturating_duration_since(self.since));
        }
        self.end();
    }
}
