//! Many calls at a pace.

use super::caller::Caller;
use super::summary::Summary;
use crate::cmd::interrupted;
use mesh_core::clock::{Clock, Instant};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// How many calls to make, and how fast.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) count: u64,
    pub(super) rate: Option<f64>,
    pub(super) concurrency: u32,
}

impl Plan {
    /// When a call is due, by its number.
    fn due(&self, start: Instant, number: u64) -> Option<Instant> {
        // A call that is due in thousands of years is due at the end of time.
        let after = |rate| Duration::try_from_secs_f64(number as f64 / rate).unwrap_or(Duration::MAX);
        self.rate.map(|rate| start.checked_add(after(rate)).unwrap_or(start + Duration::from_secs(1 << 32)))
    }
}

/// Makes the calls; ends early, with what is there, when the user interrupts it.
pub(super) async fn run(caller: Caller, plan: Plan, clock: Clock) -> Summary {
    let start = clock.now();
    let (summary, next) = (Arc::new(Mutex::new(Summary::default())), Arc::new(AtomicU64::new(0)));
    let mut workers = JoinSet::new();
    for _ in 0..u64::from(plan.concurrency).min(plan.count) {
        let (caller, clock, summary, next) = (caller.clone(), clock.clone(), summary.clone(), next.clone());
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= plan.count {
                    return;
                }
                let mut begin = clock.now();
                if let Some(due) = plan.due(start, number) {
                    sleep_until(due).await;
                    begin = due;
                }
                let outcome = caller.call().await;
                let latency = clock.now().saturating_duration_since(begin);
                summary.lock().unwrap_or_else(PoisonError::into_inner).add(outcome, latency);
            }
        });
    }
    let all = async { while workers.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = interrupted() => {}
    }
    let mut summary = std::mem::take(&mut *summary.lock().unwrap_or_else(PoisonError::into_inner));
    summary.took(clock.now().saturating_duration_since(start));
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_due_at_the_rate() {
        let start = Clock::seeded(1).now();
        let plan = Plan { count: 10, rate: Some(4.0), concurrency: 1 };
        assert_eq!(plan.due(start, 0), Some(start));
        assert_eq!(plan.due(start, 3), Some(start + Duration::from_millis(750)));
        assert_eq!(Plan { rate: None, ..plan }.due(start, 3), None);
        assert!(Plan { rate: Some(1e-300), ..plan }.due(start, 3) > Some(start));
    }
}
