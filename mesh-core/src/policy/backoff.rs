//! How long to wait before trying again.

use crate::clock;
use std::time::Duration;

/// Exponential back-off for connections and streams: `base · factor^n`, at most `max`, ± `jitter`.
///
/// The shape of gRPC's connection back-off (gRFC A57 uses it for ADS streams).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub base: Duration,
    /// How much longer each wait is than the one before.
    pub factor: f64,
    /// The longest wait, before jitter.
    pub max: Duration,
    /// The share by which a wait may be shorter or longer, `0.0..=1.0`.
    pub jitter: f64,
}

impl Backoff {
    /// The wait after `failures` failures in a row; none before the first.
    #[must_use]
    pub fn delay(&self, failures: u32, entropy: u64) -> Duration {
        if failures == 0 {
            return Duration::ZERO;
        }
        let exponent = i32::try_from(failures - 1).unwrap_or(i32::MAX);
        let delay = (self.base.as_secs_f64() * self.factor.powi(exponent)).min(self.max.as_secs_f64());
        let spread = 1.0 + self.jitter * (2.0 * clock::unit(entropy) - 1.0);
        Duration::from_secs_f64(delay * spread)
    }
}

/// The shortest base interval between retries; anything shorter counts as this (gRFC A44).
pub const MIN_RETRY_BASE: Duration = Duration::from_millis(1);
/// The base interval between retries where the route does not say (Envoy).
pub const DEFAULT_RETRY_BASE: Duration = Duration::from_millis(25);
/// The longest interval between retries, in base intervals, where the route does not say (Envoy).
pub const DEFAULT_RETRY_MAX_FACTOR: u32 = 10;

/// Fully jittered back-off between retries: before retry `n` a wait drawn evenly from `[0, (2^n − 1) · base)`,
/// the upper end capped at `max` (Envoy's `RetryPolicy.retry_back_off`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBackoff {
    base: Duration,
    max: Duration,
}

impl RetryBackoff {
    /// A back-off from `base`, up to `max` (ten times the base if not given). A base below one millisecond counts as
    /// one millisecond, a maximum below the base as the base.
    #[must_use]
    pub fn new(base: Duration, max: Option<Duration>) -> Self {
        let base = base.max(MIN_RETRY_BASE);
        Self { base, max: max.unwrap_or(base.saturating_mul(DEFAULT_RETRY_MAX_FACTOR)).max(base) }
    }

    /// The wait before retry `retry`, counted from 1.
    #[must_use]
    pub fn delay(&self, retry: u32, entropy: u64) -> Duration {
        let steps = 1u32.checked_shl(retry).map_or(u32::MAX, |power| power - 1);
        let ceiling = self.base.saturating_mul(steps).min(self.max);
        ceiling.mul_f64(clock::unit(entropy))
    }
}

impl Default for RetryBackoff {
    fn default() -> Self {
        Self::new(DEFAULT_RETRY_BASE, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn exponential_up_to_the_maximum() {
        let backoff =
            Backoff { base: Duration::from_secs(1), factor: 1.6, max: Duration::from_secs(120), jitter: 0.2 };
        assert_eq!(backoff.delay(0, 0), Duration::ZERO);
        for (failures, nominal) in [(1, 1.0), (2, 1.6), (3, 2.56), (30, 120.0), (u32::MAX, 120.0)] {
            let low = backoff.delay(failures, 0).as_secs_f64();
            let high = backoff.delay(failures, u64::MAX).as_secs_f64();
            assert!((low - nominal * 0.8).abs() < 1e-6, "{failures}: {low}");
            assert!((high - nominal * 1.2).abs() < 1e-6, "{failures}: {high}");
        }
    }

    #[test]
    fn retries_draw_from_envoys_ranges() {
        let backoff = RetryBackoff::default();
        let clock = Clock::seeded(1);
        for (retry, ceiling) in [(1, 25), (2, 75), (3, 175), (4, 250), (5, 250), (40, 250)] {
            let ceiling = Duration::from_millis(ceiling);
            let draws: Vec<_> = (0..2_000).map(|_| backoff.delay(retry, clock.entropy())).collect();
            assert!(draws.iter().all(|&delay| delay < ceiling), "retry {retry}");
            assert!(draws.iter().any(|&delay| delay < ceiling / 20), "retry {retry}");
            assert!(draws.iter().any(|&delay| delay > ceiling * 19 / 20), "retry {retry}");
        }
    }

    #[test]
    fn odd_settings_are_mended() {
        let ms = Duration::from_millis;
        assert_eq!(RetryBackoff::new(Duration::ZERO, None), RetryBackoff { base: ms(1), max: ms(10) });
        assert_eq!(RetryBackoff::new(ms(100), Some(ms(50))), RetryBackoff { base: ms(100), max: ms(100) });
        assert!(RetryBackoff::new(Duration::MAX, None).delay(9, u64::MAX / 2) <= Duration::MAX);
    }
}
