//! Peak-sensitive moving average of latency (Finagle's `PeakEwma`).
//!
//! A plain average hides a replica that stalls now and then, because many quick answers outvote a few slow ones.
//! This one is *reset* to a sample that exceeds it and decays only with time: quick to be pessimistic, slow to
//! forgive. Reading does not change it (linkerd's variant), so it can be read without a lock.

use std::time::Duration;

/// The time in which the average forgets all but 37 % of a peak (Finagle `p2cPeakEwma`).
pub const DEFAULT_DECAY: Duration = Duration::from_secs(10);

/// The average at one moment: 64 bits, so that it fits an atomic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeakEwma {
    /// Microseconds; zero means that nothing was measured yet.
    cost: f32,
    /// Milliseconds since an epoch that the owner chooses; wraps after 49 days, which only makes one value stale.
    stamp: u32,
}

/// The stamp of a moment so many microseconds after the epoch, in wrapping milliseconds.
#[must_use]
pub fn stamp(micros: u64) -> u32 {
    (micros / 1_000) as u32
}

impl PeakEwma {
    /// Restores what [`to_bits`](Self::to_bits) made.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self { cost: f32::from_bits((bits >> 32) as u32), stamp: bits as u32 }
    }

    /// The whole state as a number.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.cost.to_bits()) << 32 | u64::from(self.stamp)
    }

    /// Whether nothing was measured yet.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.cost == 0.0
    }

    /// The average in microseconds, as decayed at `stamp`.
    #[must_use]
    pub fn get(self, stamp: u32, decay: Duration) -> f32 {
        self.cost * self.weight(stamp, decay)
    }

    /// The average after one more sample.
    #[must_use]
    pub fn observe(self, stamp: u32, sample: Duration, decay: Duration) -> Self {
        // Not zero, which would mean "nothing measured".
        let sample = (sample.as_secs_f32() * 1e6).max(f32::MIN_POSITIVE);
        let weight = self.weight(stamp, decay);
        let decayed = self.cost * weight;
        let cost = if sample > decayed { sample } else { sample * (1.0 - weight) + decayed };
        Self { cost, stamp }
    }

    fn weight(self, stamp: u32, decay: Duration) -> f32 {
        let elapsed = stamp.wrapping_sub(self.stamp);
        // A reader may hold a `now` slightly older than the last sample.
        if elapsed == 0 || elapsed > u32::MAX / 2 {
            return 1.0;
        }
        (-(elapsed as f32) / decay.as_millis() as f32).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn a_peak_is_taken_at_once_and_forgotten_slowly() {
        let steady = PeakEwma::default().observe(0, MS(10), DEFAULT_DECAY);
        assert_eq!(steady.get(0, DEFAULT_DECAY), 10_000.0);
        let peak = steady.observe(1_000, MS(200), DEFAULT_DECAY);
        assert_eq!(peak.get(1_000, DEFAULT_DECAY), 200_000.0);
        let after = peak.observe(2_000, MS(10), DEFAULT_DECAY);
        let expected = 200_000.0 * (-0.1f32).exp() + 10_000.0 * (1.0 - (-0.1f32).exp());
        assert!((after.get(2_000, DEFAULT_DECAY) - expected).abs() < 1.0);
    }

    #[test]
    fn reading_decays_without_changing() {
        let ewma = PeakEwma::default().observe(0, MS(100), DEFAULT_DECAY);
        let later = ewma.get(23_026, DEFAULT_DECAY);
        assert!((later - 10_000.0).abs() < 10.0, "{later}");
        assert_eq!(ewma.get(0, DEFAULT_DECAY), 100_000.0);
    }

    #[test]
    fn empty_until_the_first_sample_however_small() {
        assert!(PeakEwma::default().is_empty());
        assert!(!PeakEwma::default().observe(0, Duration::ZERO, DEFAULT_DECAY).is_empty());
    }

    #[test]
    fn survives_the_bits_the_wrap_and_an_older_reader() {
        let ewma = PeakEwma::default().observe(u32::MAX - 10, MS(5), DEFAULT_DECAY);
        assert_eq!(PeakEwma::from_bits(ewma.to_bits()), ewma);
        assert!(ewma.get(10, DEFAULT_DECAY) > 4_900.0);
        assert_eq!(ewma.get(u32::MAX - 20, DEFAULT_DECAY), 5_000.0);
    }
}
