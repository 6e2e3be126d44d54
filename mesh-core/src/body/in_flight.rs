//! A request that is in flight, as its endpoint's statistics see it.

use crate::clock::Instant;
use crate::dialect::orca::load_report;
use crate::dialect::{Class, Outcome};
use crate::endpoint::Endpoint;
use crate::xds::load_counts::EndpointCounts;
use http::HeaderMap;
use std::sync::Arc;

/// A request that is in flight at an endpoint, at the latest until this is dropped.
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    /// Where it is counted for the load report, if somebody wants one.
    counts: Option<Arc<EndpointCounts>>,
    since: Instant,
    observed: bool,
    success: bool,
    heard: bool,
    ended: bool,
}

impl InFlight {
    /// A request to `endpoint` begins.
    #[must_use]
    pub fn begin(endpoint: Arc<Endpoint>, counts: Option<Arc<EndpointCounts>>, now: Instant) -> Self {
        endpoint.load().begin();
        if let Some(counts) = &counts {
            counts.begin();
        }
        Self { endpoint, counts, since: now, observed: false, success: false, heard: false, ended: false }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The endpoint answered or failed, or its answer turned out to be a failure.
    pub fn observe(&mut self, now: Instant, class: Class) {
        let latency = now.saturating_duration_since(self.since);
        let micros = self.endpoint.clock().micros(now);
        match class {
            Class::Failure => {
                self.success = false;
                self.endpoint.load().observe_failure(micros, latency);
            }
            Class::Success if !self.observed => self.endpoint.load().observe(micros, latency),
            Class::Success | Class::Ignored => {}
        }
        self.observed = true;
    }

    /// This is the outcome, unless something goes wrong later.
    pub fn settle(&mut self, outcome: Outcome) {
        self.success = outcome.is_success();
    }

    /// The headers or trailers of the response are here, in which the endpoint may tell of its load. The first to do so
    /// counts.
    #[inline]
    pub fn hear(&mut self, headers: &HeaderMap) {
        let Some(counts) = self.counts.as_ref().filter(|_| !self.heard) else { return };
        if counts.wants_metrics()
            && let Some(report) = load_report(headers)
        {
            counts.hear(&report);
            self.heard = true;
        }
    }

    /// The exchange is complete.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.endpoint.load().end();
            if let Some(counts) = &self.counts {
                counts.end(self.success);
            }
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
            let clock = self.endpoint.clock();
            let now = clock.now();
            self.endpoint.load().observe(clock.micros(now), now.saturating_duration_since(self.since));
        }
        self.end();
    }
}
