//! How busy and how slow an endpoint is: what balancers compare.

use crate::clock::Instant;
use crate::policy::ewma::{self, DEFAULT_DECAY, PeakEwma};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A failure counts as an answer that took this long (linkerd's load-biaser), because an endpoint that fails fast
/// would otherwise look like the best one. After as long, one request finds out whether the endpoint does better: a peak
/// that only decays would keep requests away for more than a minute.
pub const FAILURE_PENALTY: Duration = Duration::from_secs(5);

/// The load of an endpoint that has requests in flight and no answer yet: more than any measured one, so that one
/// request goes there and the others wait for what it finds.
const UNMEASURED: f32 = 1e12;

/// How busy and how slow an endpoint is. Every request writes to it; no two endpoints share a cache line, because each
/// is an allocation of its own of several.
#[derive(Debug)]
pub struct Load {
    epoch: Instant,
    pending: AtomicU32,
    latency: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
    /// Microseconds since the epoch, before which nothing counts.
    fresh_since: AtomicU64,
    /// When the last failure happened, in microseconds since the epoch; zero once a later request went well.
    failed_at: AtomicU64,
}

impl Load {
    /// The load of an endpoint that was never used.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            pending: AtomicU32::new(0),
            latency: AtomicU64::new(PeakEwma::default().to_bits()),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            fresh_since: AtomicU64::new(0),
            failed_at: AtomicU64::new(0),
        }
    }

    /// The endpoint is connected anew: how it did before says nothing about how it does now, and without this its last
    /// failures would keep requests away for minutes.
    pub fn forget(&self, now: Instant) {
        self.fresh_since.store(self.micros(now), Ordering::Relaxed);
        self.failed_at.store(0, Ordering::Relaxed);
        self.latency.store(PeakEwma::default().to_bits(), Ordering::Relaxed);
    }

    fn micros(&self, instant: Instant) -> u64 {
        let elapsed = instant.saturating_duration_since(self.epoch);
        elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros())
    }

    /// The cost of one more request: latency times requests, in microseconds (Finagle's peak EWMA).
    #[must_use]
    pub fn cost(&self, now: Instant) -> f32 {
        let pending = self.pending.load(Ordering::Relaxed) as f32;
        let penalty = FAILURE_PENALTY.as_micros() as u64;
        match self.failed_at.load(Ordering::Relaxed) {
            0 => {}
            failed if self.micros(now) < failed + penalty => return penalty as f32 * (pending + 1.0),
            _ => return if pending == 0.0 { 0.0 } else { UNMEASURED + pending },
        }
        let latency = PeakEwma::from_bits(self.latency.load(Ordering::Relaxed));
        match latency.is_empty() {
            true if pending == 0.0 => 0.0,
            true => UNMEASURED + pending,
            false => latency.get(ewma::stamp(self.micros(now)), DEFAULT_DECAY) * (pending + 1.0),
        }
    }

    /// A request begins.
    pub fn begin(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is over.
    pub fn end(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    /// An answer came after `latency`.
    pub fn observe(&self, now: Instant, latency: Duration) {
        let micros = self.micros(now);
        let Some(began) = self.began(micros, latency) else { return };
        let failed = self.failed_at.load(Ordering::Relaxed);
        if failed != 0 && failed <= began {
            // Another failure in the same instant is as good as one before.
            self.failed_at.store(0, Ordering::Relaxed);
        }
        let stamp = ewma::stamp(micros);
        let next = |bits| Some(PeakEwma::from_bits(bits).observe(stamp, latency, DEFAULT_DECAY).to_bits());
        // Never fails: `next` always returns a value.
        let _ = self.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// A request failed after `latency`.
    pub fn observe_failure(&self, now: Instant, latency: Duration) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let micros = self.micros(now);
        if self.began(micros, latency).is_some() {
            self.failed_at.store(micros.max(1), Ordering::Relaxed);
        }
    }

    /// When a request began that took `latency` until now, `micros` after the epoch; none if that was too long ago to
    /// count.
    fn began(&self, micros: u64, latency: Duration) -> Option<u64> {
        let began = micros.saturating_sub(latency.as_micros() as u64);
        (began >= self.fresh_since.load(Ordering::Relaxed)).then_some(began)
    }

    /// Requests in flight.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Requests and failures so far.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.failures.load(Ordering::Relaxed))
    }

    /// The latency that the balancer sees; none if nothing was measured.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        let latency = PeakEwma::from_bits(self.latency.load(Ordering::Relaxed));
        let micros = latency.get(ewma::stamp(self.micros(now)), DEFAULT_DECAY);
        (!latency.is_empty()).then(|| Duration::from_secs_f32(micros / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn an_unmeasured_endpoint_gets_one_request_first() {
        let now = Clock::system().now();
        let (new, known) = (Load::new(now), Load::new(now));
        known.observe(now, MS(100));
        assert!(new.cost(now) < known.cost(now), "worth a try");
        new.begin();
        assert!(new.cost(now) > known.cost(now), "but one at a time");
        new.observe(now, MS(10));
        new.end();
        assert!(new.cost(now) < known.cost(now));
    }

    #[test]
    fn cost_grows_with_latency_and_requests() {
        let now = Clock::system().now();
        let load = Load::new(now);
        load.observe(now, MS(10));
        assert_eq!(load.cost(now), 10_000.0);
        load.begin();
        load.begin();
        assert_eq!(load.cost(now), 30_000.0);
        assert_eq!((load.pending(), load.totals()), (2, (2, 0)));
    }

    #[test]
    fn what_was_before_a_new_connection_is_forgotten() {
        let start = Clock::system().now();
        let load = Load::new(start);
        load.observe_failure(start + MS(10), MS(5));
        load.forget(start + MS(100));
        assert_eq!((load.cost(start + MS(100)), load.totals().1), (0.0, 1));
        load.observe_failure(start + MS(110), MS(20));
        assert_eq!(load.cost(start + MS(110)), 0.0, "it began before");
        load.observe_failure(start + MS(120), MS(20));
        assert_eq!(load.cost(start + MS(120)), 5e6);
    }

    #[test]
    fn a_failure_is_worse_than_a_slow_answer() {
        let now = Clock::system().now();
        let load = Load::new(now);
        load.observe(now, MS(10));
        load.observe_failure(now + MS(1), MS(1));
        assert_eq!((load.cost(now + MS(1)), load.totals().1), (5e6, 1));
    }

    #[test]
    fn after_a_failure_one_request_finds_out_whether_it_is_over() {
        let now = Clock::system().now();
        let load = Load::new(now);
        load.observe(now, MS(10));
        load.observe_failure(now + MS(100), MS(1));
        load.observe(now + MS(110), MS(50));
        assert_eq!(load.cost(now + MS(110)), 5e6, "what began before the failure proves nothing");
        let later = now + MS(100) + FAILURE_PENALTY;
        assert_eq!(load.cost(later), 0.0, "worth a try");
        load.begin();
        assert!(load.cost(later) > 5e6, "but one at a time");
        load.observe(later + MS(10), MS(10));
        load.end();
        assert!(load.cost(later + MS(10)) < 60_000.0, "forgiven");
        load.observe_failure(later + MS(20), MS(1));
        assert_eq!(load.cost(later + MS(20)), 5e6);
    }
}
