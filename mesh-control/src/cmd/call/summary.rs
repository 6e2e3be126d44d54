//! What became of many calls.

use super::caller::Outcome;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Statuses that are told apart; the rest is counted together.
const MAX_STATUSES: usize = 50;
/// The longest latency that is told apart, in microseconds: an hour.
const MAX_LATENCY: u64 = 3_600_000_000;
/// Digits to which latencies are exact.
const PRECISION: u8 = 3;
/// The quantiles that are printed.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// What became of many calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    calls: u64,
    failed: u64,
    answered: BTreeMap<(Arc<str>, Arc<str>), u64>,
    statuses: BTreeMap<(String, String), u64>,
    /// In microseconds; none before the first call.
    latency: Option<Histogram<u64>>,
    took: Duration,
}

impl Summary {
    /// Counts a call.
    pub(super) fn add(&mut self, outcome: Outcome, latency: Duration) {
        self.calls += 1;
        self.failed += u64::from(!outcome.ok);
        if let Some(who) = outcome.answered {
            *self.answered.entry(who).or_default() += 1;
        }
        let mut status = (outcome.status, outcome.message);
        if self.statuses.len() >= MAX_STATUSES && !self.statuses.contains_key(&status) {
            status.1 = "(other messages)".to_owned();
        }
        *self.statuses.entry(status).or_default() += 1;
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1);
        if self.latency.is_none() {
            // Fails only for bounds and precisions that make no sense.
            self.latency = Histogram::new_with_bounds(1, MAX_LATENCY, PRECISION).ok();
        }
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(micros);
        }
    }

    /// Notes how long it all took.
    pub(super) fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// Calls that failed.
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64().max(1e-6)
    }

    /// Milliseconds by name.
    fn latencies(&self) -> Vec<(&'static str, f64)> {
        let Some(latency) = &self.latency else { return Vec::new() };
        let ms = |micros: f64| micros / 1e3;
        let quantile = |(name, at)| (name, ms(latency.value_at_quantile(at) as f64));
        let mut all: Vec<_> = QUANTILES.into_iter().map(quantile).collect();
        all.push(("max", ms(latency.max() as f64)));
        all.push(("mean", ms(latency.mean())));
        all
    }

    /// For people.
    pub(super) fn text(&self, what: &str) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{what}: {} call{}, {} failed, {:.2} s, {:.1}/s",
            self.calls,
            if self.calls == 1 { "" } else { "s" },
            self.failed,
            self.took.as_secs_f64(),
            self.rate()
        );
        let _ = writeln!(out, "\nanswered by");
        if self.answered.is_empty() {
            let _ = writeln!(out, "{:>10}  nobody", self.calls);
        }
        for ((endpoint, cluster), calls) in &self.answered {
            let _ = writeln!(out, "{calls:>10}  {endpoint}  {cluster}");
        }
        let _ = writeln!(out, "\nstatus");
        for ((status, message), calls) in &self.statuses {
            let colon = if message.is_empty() { "" } else { ": " };
            let _ = writeln!(out, "{calls:>10}  {status}{colon}{message}");
        }
        let _ = writeln!(out, "\nlatency (ms)");
        let columns: Vec<_> = self.latencies().iter().map(|(name, ms)| format!("{name} {ms:.3}")).collect();
        let _ = writeln!(out, "  {}", columns.join("   "));
        out
    }

    /// For programs.
    pub(super) fn json(&self, what: &str) -> Value {
        json!({
            "target": what,
            "calls": self.calls,
            "failed": self.failed,
            "seconds": self.took.as_secs_f64(),
            "calls_per_second": self.rate(),
            "answered_by": self.answered.iter().map(|((endpoint, cluster), calls)| {
                json!({"endpoint": &**endpoint, "cluster": &**cluster, "calls": calls})
            }).collect::<Vec<_>>(),
            "statuses": self.statuses.iter().map(|((status, message), calls)| {
                json!({"status": status, "message": message, "calls": calls})
            }).collect::<Vec<_>>(),
            "latency_ms": self.latencies().into_iter().map(|(name, ms)| (name.to_owned(), json!(ms)))
                .collect::<serde_json::Map<_, _>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(endpoint: &str, status: &str, message: &str) -> Outcome {
        Outcome {
            ok: status == "OK",
            status: status.to_owned(),
            message: message.to_owned(),
            answered: (!endpoint.is_empty()).then(|| (endpoint.into(), "cluster".into())),
        }
    }

    #[test]
    fn it_counts_who_answered_and_what() {
        let mut summary = Summary::default();
        for _ in 0..3 {
            summary.add(outcome("a:1", "OK", ""), Duration::from_millis(2));
        }
        summary.add(outcome("b:1", "OK", ""), Duration::from_millis(4));
        summary.add(outcome("", "UNAVAILABLE", "no such thing"), Duration::from_millis(8));
        summary.took(Duration::from_secs(2));
        assert_eq!(summary.failed(), 1);
        let json = summary.json("it");
        assert_eq!(json["answered_by"][0], json!({"endpoint": "a:1", "cluster": "cluster", "calls": 3}));
        let unavailable = json!({"status": "UNAVAILABLE", "message": "no such thing", "calls": 1});
        assert_eq!(json["statuses"][1], unavailable);
        assert_eq!((&json["calls"], &json["calls_per_second"]), (&json!(5), &json!(2.5)));
        assert!((json["latency_ms"]["p50"].as_f64().unwrap() - 2.0).abs() < 0.01);
        let text = summary.text("it");
        for part in ["it: 5 calls, 1 failed", "3  a:1  cluster", "1  UNAVAILABLE: no such thing", "p99 8.0"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn messages_that_always_differ_do_not_fill_the_memory() {
        let mut summary = Summary::default();
        for number in 0..1000 {
            summary.add(outcome("", "UNKNOWN", &number.to_string()), Duration::ZERO);
        }
        assert_eq!(summary.statuses.len(), MAX_STATUSES + 1);
        assert_eq!(summary.statuses.values().sum::<u64>(), 1000);
    }

    #[test]
    fn nothing_is_a_result_too() {
        assert!(Summary::default().text("it").contains("0 calls"));
        assert_eq!(Summary::default().json("it")["latency_ms"], json!({}));
    }
}
