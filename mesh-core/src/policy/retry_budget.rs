//! A budget for retries: a share of recent successes plus a floor (Finagle's `RetryBudget`).
//!
//! Retries amplify an outage unless they are rationed by what still works. Each success deposits a share of a retry;
//! each retry withdraws a whole one; deposits expire after a window. Depositing on success only, not on every
//! request, is what keeps a full outage at about 1.0 times its load instead of 1.2.
//!
//! Lock-free: withdrawing is one compare-and-swap on the balance, so the budget is never over-granted, whatever the
//! number of threads.

use crate::clock::Instant;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// How long a deposit counts (Finagle `ttl`).
pub const DEFAULT_BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// Retries granted per second of the window even without any success (Finagle `minRetriesPerSec`).
pub const DEFAULT_MIN_RETRIES_PER_SECOND: u32 = 10;
/// Retries granted per success (Finagle `percentCanRetry`).
pub const DEFAULT_RETRY_RATIO: f64 = 0.2;

/// The window is kept in this many parts; a deposit expires with its part.
const SLOTS: u64 = 10;
/// Fixed-point unit: what one retry costs.
const RETRY: i64 = 1_000_000;

/// How generous a [`RetryBudget`] is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudgetConfig {
    /// How long a deposit counts.
    pub window: Duration,
    /// Retries granted per second of the window even without any success.
    pub min_retries_per_second: u32,
    /// Retries granted per success; more than one is legal.
    pub ratio: f64,
}

impl Default for RetryBudgetConfig {
    fn default() -> Self {
        Self {
            window: DEFAULT_BUDGET_WINDOW,
            min_retries_per_second: DEFAULT_MIN_RETRIES_PER_SECOND,
            ratio: DEFAULT_RETRY_RATIO,
        }
    }
}

/// A budget shared by everything that repeats requests to one cluster.
#[derive(Debug)]
pub struct RetryBudget {
    epoch: Instant,
    /// The length of a slot in nanoseconds; never zero.
    slot: u64,
    deposit: i64,
    /// What may be spent now: the reserve and what the slots hold.
    balance: AtomicI64,
    /// The newest slot that was opened, counted from the epoch.
    newest: AtomicU64,
    /// Net deposits of each slot that still count.
    slots: [AtomicI64; SLOTS as usize],
}

impl RetryBudget {
    /// A full budget that starts at `now`.
    #[must_use]
    pub fn new(config: RetryBudgetConfig, now: Instant) -> Self {
        let window = config.window.max(Duration::from_millis(SLOTS));
        let reserve = f64::from(config.min_retries_per_second) * window.as_secs_f64() * RETRY as f64;
        Self {
            epoch: now,
            slot: u64::try_from(window.as_nanos()).unwrap_or(u64::MAX) / SLOTS,
            deposit: (config.ratio.max(0.0) * RETRY as f64) as i64,
            balance: AtomicI64::new(reserve as i64),
            newest: AtomicU64::new(0),
            slots: Default::default(),
        }
    }

    /// Records a success.
    pub fn deposit(&self, now: Instant) {
        let slot = self.advance(now);
        self.slots[slot].fetch_add(self.deposit, Ordering::Relaxed);
        self.balance.fetch_add(self.deposit, Ordering::Relaxed);
    }

    /// Takes one retry out of the budget; `false` if it is exhausted.
    #[must_use]
    pub fn withdraw(&self, now: Instant) -> bool {
        let slot = self.advance(now);
        let granted = self
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |balance| {
                (balance >= RETRY).then_some(balance - RETRY)
            })
            .is_ok();
        if granted {
            self.slots[slot].fetch_sub(RETRY, Ordering::Relaxed);
        }
        granted
    }

    /// Retries that could be withdrawn at `now`.
    #[must_use]
    pub fn balance(&self, now: Instant) -> u64 {
        self.advance(now);
        u64::try_from(self.balance.load(Ordering::Relaxed) / RETRY).unwrap_or(0)
    }

    /// Opens the slot of `now` and lets those expire that it replaces; what was withdrawn in them comes back.
    fn advance(&self, now: Instant) -> usize {
        // Nanoseconds fit for centuries.
        let current = now.saturating_duration_since(self.epoch).as_nanos() as u64 / self.slot;
        let newest = self.newest.load(Ordering::Acquire);
        if current > newest
            && self.newest.compare_exchange(newest, current, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            for expired in newest + 1..=current.min(newest + SLOTS) {
                let held = self.slots[(expired % SLOTS) as usize].swap(0, Ordering::Relaxed);
                self.balance.fetch_sub(held, Ordering::Relaxed);
            }
        }
        (current.max(newest) % SLOTS) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use std::sync::atomic::AtomicUsize;

    fn config(ratio: f64, min: u32) -> RetryBudgetConfig {
        RetryBudgetConfig { ratio, min_retries_per_second: min, ..Default::default() }
    }

    fn drain(budget: &RetryBudget, now: Instant) -> usize {
        (0..1_000_000).take_while(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn grants_the_ratio_exactly() {
        for ratio in [0.05, 0.1, 0.2, 0.25, 0.3, 0.34, 0.5, 0.7, 1.0, 2.5] {
            let now = Clock::system().now();
            let budget = RetryBudget::new(config(ratio, 0), now);
            (0..1_000).for_each(|_| budget.deposit(now));
            let granted = drain(&budget, now) as f64;
            assert!((granted - 1_000.0 * ratio).abs() <= 1.0, "{ratio}: {granted}");
        }
    }

    #[test]
    fn the_reserve_is_per_window() {
        let start = Clock::system().now();
        let budget = RetryBudget::new(config(0.2, 10), start);
        assert_eq!(drain(&budget, start), 100);
        assert_eq!(drain(&budget, start + Duration::from_secs(9)), 0);
        assert_eq!(drain(&budget, start + Duration::from_secs(10)), 100);
    }

    #[test]
    fn deposits_expire() {
        let start = Clock::system().now();
        let budget = RetryBudget::new(config(1.0, 0), start);
        (0..50).for_each(|_| budget.deposit(start));
        assert_eq!(budget.balance(start + Duration::from_secs(9)), 50);
        assert_eq!(budget.balance(start + Duration::from_secs(10)), 0);
        assert!(!budget.withdraw(start + Duration::from_secs(3_600)));
    }

    #[test]
    fn a_full_outage_is_hardly_amplified() {
        let start = Clock::system().now();
        let budget = RetryBudget::new(RetryBudgetConfig::default(), start);
        let mut sent = 0u64;
        for second in 0..60 {
            for request in 0..1_000u64 {
                let now = start + Duration::from_secs(second) + Duration::from_millis(request);
                sent += 1 + u64::from(budget.withdraw(now));
            }
        }
        let amplification = sent as f64 / 60_000.0;
        assert!(amplification <= 1.012, "{amplification}");
    }

    #[test]
    fn never_over_granted_by_racing_threads() {
        let now = Clock::system().now();
        let budget = RetryBudget::new(config(0.0, 10), now);
        let granted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| granted.fetch_add(drain(&budget, now), Ordering::Relaxed));
            }
        });
        assert_eq!(granted.into_inner(), 100);
    }

    #[test]
    fn absurd_settings_do_no_harm() {
        let now = Clock::system().now();
        let budget = RetryBudget::new(
            RetryBudgetConfig { window: Duration::ZERO, min_retries_per_second: 0, ratio: -1.0 },
            now,
        );
        budget.deposit(now);
        assert!(!budget.withdraw(now));
    }
}
