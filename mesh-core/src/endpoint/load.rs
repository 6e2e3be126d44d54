//! How busy and how slow an endpoint is: what balancers compare.

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
///
/// Moments are microseconds of the mesh's clock ([`Clock::micros`](crate::clock::Clock::micros)).
#[derive(Debug, Default)]
pub struct Load {
    pending: AtomicU32,
    latency: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
    /// What began before does not count.
    fresh_since: AtomicU64,
    /// When the last failure happened; zero once a later request went well.
    failed_at: AtomicU64,
}

impl Load {
    /// The endpoint is connected anew: how it did before says nothing about how it does now, and without this its last
    /// failures would keep requests away for minutes.
    pub fn forget(&self, now: u64) {
        self.fresh_since.store(now, Ordering::Relaxed);
        self.failed_at.store(0, Ordering::Relaxed);
        self.latency.store(PeakEwma::default().to_bits(), Ordering::Relaxed);
    }

    /// The cost of one more request: latency times requests, in microseconds (Finagle's peak EWMA).
    #[must_use]
    pub fn cost(&self, now: u64) -> f32 {
        let pending = self.pending.load(Ordering::Relaxed) as f32;
        let penalty = FAILURE_PENALTY.as_micros() as u64;
        match self.failed_at.load(Ordering::Relaxed) {
            0 => {}
            failed if now < failed + penalty => return penalty as f32 * (pending + 1.0),
            _ => return if pending == 0.0 { 0.0 } else { UNMEASURED + pending },
        }
        let latency = PeakEwma::from_bits(self.latency.load(Ordering::Relaxed));
        match latency.is_empty() {
            true if pending == 0.0 => 0.0,
            true => UNMEASURED + pending,
            false => latency.get(ewma::stamp(now), DEFAULT_DECAY) * (pending + 1.0),
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
    pub fn observe(&self, now: u64, latency: Duration) {
        let Some(began) = self.began(now, latency) else { return };
        let failed = self.failed_at.load(Ordering::Relaxed);
        if failed != 0 && failed <= began {
            // Another failure in the same instant is as good as one before.
            self.failed_at.store(0, Ordering::Relaxed);
        }
        let stamp = ewma::stamp(now);
        let next = |bits| Some(PeakEwma::from_bits(bits).observe(stamp, latency, DEFAULT_DECAY).to_bits());
        // Never fails: `next` always returns a value.
        let _ = self.latency.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// A request failed after `latency`.
    pub fn observe_failure(&self, now: u64, latency: Duration) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.began(now, latency).is_some() {
            self.failed_at.store(now.max(1), Ordering::Relaxed);
        }
    }

    /// When a request began that took `latency` until now; none if that was too long ago to count.
    fn began(&self, now: u64, latency: Duration) -> Option<u64> {
        let began = now.saturating_sub(latency.as_micros() as u64);
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
    pub fn latency(&self, now: u64) -> Option<Duration> {
        let latency = PeakEwma::from_bits(self.latency.load(Ordering::Relaxed));
        let micros = latency.get(ewma::stamp(now), DEFAULT_DECAY);
        (!latency.is_empty()).then(|| Duration::from_secs_f32(micros / 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const NOW: u64 = 1_000_000;

    /// So many milliseconds after [`NOW`].
    fn at(millis: u64) -> u64 {
        NOW + millis * 1_000
    }

    #[test]
    fn an_unmeasured_endpoint_gets_one_request_first() {
        let (new, known) = (Load::default(), Load::default());
        known.observe(NOW, MS(100));
        assert!(new.cost(NOW) < known.cost(NOW), "worth a try");
        new.begin();
        assert!(new.cost(NOW) > known.cost(NOW), "but one at a time");
        new.observe(NOW, MS(10));
        new.end();
        assert!(new.cost(NOW) < known.cost(NOW));
    }

    #[test]
    fn cost_grows_with_latency_and_requests() {
        let load = Load::default();
        load.observe(NOW, MS(10));
        assert_eq!(load.cost(NOW), 10_000.0);
        load.begin();
        load.begin();
        assert_eq!(load.cost(NOW), 30_000.0);
        assert_eq!((load.pending(), load.totals()), (2, (2, 0)));
    }

    #[test]
    fn what_was_before_a_new_connection_is_forgotten() {
        let load = Load::default();
        load.observe_failure(at(10), MS(5));
        load.forget(at(100));
        assert_eq!((load.cost(at(100)), load.totals().1), (0.0, 1));
        load.observe_failure(at(110), MS(20));
        assert_eq!(load.cost(at(110)), 0.0, "it began before");
        load.observe_failure(at(120), MS(20));
        assert_eq!(load.cost(at(120)), 5e6);
    }

    #[test]
    fn a_failure_is_worse_than_a_slow_answer() {
        let load = Load::default();
        load.observe(NOW, MS(10));
        load.observe_failure(at(1), MS(1));
        assert_eq!((load.cost(at(1)), load.totals().1), (5e6, 1));
    }

    #[test]
    fn after_a_failure_one_request_finds_out_whether_it_is_over() {
        let load = Load::default();
        load.observe(NOW, MS(10));
        load.observe_failure(at(100), MS(1));
        load.observe(at(110), MS(50));
        assert_eq!(load.cost(at(110)), 5e6, "what began before the failure proves nothing");
        let later = at(100) + FAILURE_PENALTY.as_micros() as u64;
        assert_eq!(load.cost(later), 0.0, "worth a try");
        load.begin();
        assert!(load.cost(later) > 5e6, "but one at a time");
        load.observe(later + at(10) - NOW, MS(10));
        load.end();
        assert!(load.cost(later + at(10) - NOW) < 60_000.0, "forgiven");
        load.observe_failure(later + at(20) - NOW, MS(1));
        assert_eq!(load.cost(later + at(20) - NOW), 5e6);
    }
}
