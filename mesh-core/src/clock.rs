//! Time and randomness: the only file that reads a clock or seeds a generator.
//!
//! Everything below takes `now` and `entropy` as arguments, so that tests run in virtual time and a seed replays
//! every decision.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::time::Sleep;

/// A point in time that follows tokio's clock, paused ones included.
pub use tokio::time::Instant;

/// The increment of the SplitMix64 sequence.
const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Where the mesh gets its time and its randomness from. Cheap to clone; clones draw from one sequence.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sequence: AtomicU64,
    epoch: Instant,
}

impl Clock {
    /// A clock whose randomness differs from run to run.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that seeds")]
    pub fn system() -> Self {
        Self::seeded(rand::random())
    }

    /// A clock whose randomness is the same for the same seed and order of draws.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { shared: Arc::new(Shared { sequence: AtomicU64::new(seed), epoch: now() }) }
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Instant {
        now()
    }

    /// A moment in microseconds since the clock was made, which take less room and are compared faster; zero before that.
    #[must_use]
    pub fn micros(&self, instant: Instant) -> u64 {
        let elapsed = instant.saturating_duration_since(self.shared.epoch);
        elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros())
    }

    /// The present as a calendar date, for people.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    /// 64 fresh random bits: SplitMix64 over a shared counter, so one atomic addition and no lock.
    ///
    /// Good enough to spread load; not for secrets.
    #[must_use]
    pub fn entropy(&self) -> u64 {
        let mut z =
            self.shared.sequence.fetch_add(GOLDEN_GAMMA, Ordering::Relaxed).wrapping_add(GOLDEN_GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// A point in time to wait for, or none, which costs nothing.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the task that waits is registered already.
    registered: bool,
}

impl Timer {
    /// Waits for `instant`; without one it never fires.
    #[must_use]
    pub fn at(instant: Option<Instant>) -> Self {
        Self { sleep: instant.map(|instant| Box::pin(tokio::time::sleep_until(instant))), registered: false }
    }

    /// Waits for `instant` instead of what it waited for.
    pub fn reset(&mut self, instant: Option<Instant>) {
        match (&mut self.sleep, instant) {
            (Some(sleep), Some(instant)) => {
                sleep.as_mut().reset(instant);
                self.registered = false;
            }
            (_, instant) => *self = Self::at(instant),
        }
    }

    /// Ready once the point in time is reached.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// The same for a timer that is always polled by one task, which is woken for other reasons far more often: after the
    /// first time it only looks.
    pub fn poll_expired_by_task(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sleep {
            Some(sleep) if self.registered && !sleep.is_elapsed() => Poll::Pending,
            Some(sleep) => {
                self.registered = true;
                sleep.as_mut().poll(cx)
            }
            None => Poll::Pending,
        }
    }
}

/// The present.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits until `instant`.
pub async fn sleep_until(instant: Instant) {
    tokio::time::sleep_until(instant).await;
}

/// Waits until `instant`; without one for ever.
pub async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Waits for `duration`.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Maps random bits to `0..n` without bias worth mentioning; `0` when `n` is zero.
#[must_use]
pub fn below(entropy: u32, n: u32) -> u32 {
    ((u64::from(entropy) * u64::from(n)) >> 32) as u32
}

/// Maps random bits to `[0, 1)`.
#[must_use]
pub fn unit(entropy: u64) -> f64 {
    (entropy >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays() {
        let (a, b) = (Clock::seeded(7), Clock::seeded(7));
        let draws: Vec<_> = (0..100).map(|_| a.entropy()).collect();
        assert_eq!(draws, (0..100).map(|_| b.entropy()).collect::<Vec<_>>());
        assert_ne!(draws[0], Clock::seeded(8).entropy());
        let clone = a.clone();
        assert_ne!(clone.entropy(), a.entropy());
    }

    #[test]
    fn draws_are_even() {
        let clock = Clock::seeded(1);
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[below(clock.entropy() as u32, 10) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (9_500..10_500).contains(&count)), "{counts:?}");
        let mean = (0..10_000).map(|_| unit(clock.entropy())).sum::<f64>() / 10_000.0;
        assert!((0.49..0.51).contains(&mean), "{mean}");
        assert_eq!(below(u32::MAX, 0), 0);
        assert_eq!(below(u32::MAX, 3), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_fires_at_its_instant() {
        let clock = Clock::system();
        let start = clock.now();
        let mut timer = Timer::at(Some(start + Duration::from_secs(5)));
        std::future::poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(clock.now() - start, Duration::from_secs(5));
        timer.reset(Some(start + Duration::from_secs(7)));
        std::future::poll_fn(|cx| timer.poll_expired_by_task(cx)).await;
        assert_eq!(clock.now() - start, Duration::from_secs(7));
        timer.reset(None);
        let waited =
            tokio::time::timeout(Duration::from_secs(60), std::future::poll_fn(|cx| timer.poll_expired(cx)));
        assert!(waited.await.is_err());
    }
}
