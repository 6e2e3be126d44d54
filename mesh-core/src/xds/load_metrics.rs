//! Which of the metrics that endpoints tell of themselves are reported with their load (gRFC A85), and their sums.

use mesh_proto::envoy::config::endpoint::v3::{EndpointLoadMetricStats, UnnamedEndpointLoadMetricStats};
use mesh_proto::orca::OrcaLoadReport;
use std::collections::{BTreeMap, BTreeSet};

const CPU: &str = "cpu_utilization";
const MEMORY: &str = "mem_utilization";
const APPLICATION: &str = "application_utilization";
const NAMED: &str = "named_metrics.";

/// The metrics of one endpoint's own naming that are summed until they are reported, where a cluster asks for all of them. More
/// than that are left out, the last ones heard of, because an endpoint that makes up a name for each response would take more
/// memory with each. Those asked for by name always count.
pub const MAX_NAMED_METRICS: usize = 256;
/// The longest name, in bytes, of a metric that counts where a cluster asks for all of them.
pub const MAX_METRIC_NAME: usize = 256;

/// Which of the metrics that endpoints tell of themselves are reported: none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricChoice {
    top: BTreeSet<&'static str>,
    all_named: bool,
    named: BTreeSet<Box<str>>,
}

/// The sums of metrics, by their names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricSums(BTreeMap<Box<str>, Sum>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum {
    requests: u64,
    total: f64,
}

impl MetricChoice {
    /// What a cluster asks for in `lrs_report_endpoint_metrics`. What is not known is passed over.
    #[must_use]
    pub fn new<T: AsRef<str>>(names: &[T]) -> Self {
        let mut choice = Self::default();
        for name in names {
            let name = name.as_ref();
            match name.strip_prefix(NAMED) {
                Some("*") => choice.all_named = true,
                Some(key) => drop(choice.named.insert(key.into())),
                None => choice.top.extend([CPU, MEMORY, APPLICATION].iter().find(|known| **known == name)),
            }
        }
        choice
    }

    /// Whether nothing is reported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.top.is_empty() && !self.all_named && self.named.is_empty()
    }
}

impl MetricSums {
    /// Adds what is chosen of the report that came with one response.
    pub fn hear(&mut self, report: &OrcaLoadReport, choice: &MetricChoice) {
        let utilizations = [
            (CPU, report.cpu_utilization),
            (MEMORY, report.mem_utilization),
            (APPLICATION, report.application_utilization),
        ];
        for (name, value) in utilizations {
            // Zero on the wire is the same as nothing.
            if value != 0.0 && choice.top.contains(name) {
                self.add(name, Sum { requests: 1, total: value });
            }
        }
        for (key, value) in &report.named_metrics {
            let asked_for = choice.named.contains(key.as_str());
            if !asked_for && !choice.all_named {
                continue;
            }
            let name = format!("{NAMED}{key}");
            let room = self.0.len() < MAX_NAMED_METRICS && key.len() <= MAX_METRIC_NAME;
            if asked_for || room || self.0.contains_key(&*name) {
                self.add(&name, Sum { requests: 1, total: *value });
            }
        }
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(name, sum)| self.add(name, *sum));
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, name: &str, sum: Sum) {
        match self.0.get_mut(name) {
            Some(known) => {
                known.requests += sum.requests;
                // Numbers that are too large together are still numbers.
                known.total = (known.total + sum.total).clamp(f64::MIN, f64::MAX);
            }
            None => drop(self.0.insert(name.into(), sum)),
        }
    }

    /// Processor, memory and application, which a report of a locality has fields for.
    pub(super) fn utilizations(&self) -> [Option<UnnamedEndpointLoadMetricStats>; 3] {
        [CPU, MEMORY, APPLICATION].map(|name| {
            self.0.get(name).map(|sum| UnnamedEndpointLoadMetricStats {
                num_requests_finished_with_metric: sum.requests,
                total_metric_value: sum.total,
            })
        })
    }

    /// All that have names of their own.
    pub(super) fn named(&self) -> Vec<EndpointLoadMetricStats> {
        let named = self.0.iter().filter(|(name, _)| name.starts_with(NAMED));
        named
            .map(|(name, sum)| EndpointLoadMetricStats {
                metric_name: name.to_string(),
                num_requests_finished_with_metric: sum.requests,
                total_metric_value: sum.total,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(choice: &[&str]) -> MetricSums {
        let report = OrcaLoadReport {
            cpu_utilization: 0.5,
            application_utilization: 0.25,
            named_metrics: [("a".to_owned(), 1.0), ("b".to_owned(), 2.0)].into(),
            ..Default::default()
        };
        let mut sums = MetricSums::default();
        let choice = MetricChoice::new(choice);
        sums.hear(&report, &choice);
        sums.hear(&report, &choice);
        sums
    }

    fn names(sums: &MetricSums) -> Vec<String> {
        sums.named().into_iter().map(|metric| metric.metric_name).collect()
    }

    #[test]
    fn nothing_is_reported_that_was_not_asked_for() {
        assert!(heard(&[]).is_empty());
        assert!(heard(&["unheard_of", "named_metrics", "mem_utilization"]).is_empty());
        assert!(MetricChoice::new(&["unheard_of"]).is_empty());
    }

    #[test]
    fn names_that_are_made_up_without_end_take_no_more_room() {
        let mut sums = MetricSums::default();
        let choice = MetricChoice::new(&["named_metrics.*", "named_metrics.z"]);
        let hear = |sums: &mut MetricSums, key: String| {
            sums.hear(&OrcaLoadReport { named_metrics: [(key, 1.0)].into(), ..Default::default() }, &choice);
        };
        hear(&mut sums, "x".repeat(MAX_METRIC_NAME + 1));
        assert!(sums.is_empty(), "its name is too long");
        for index in 0..10 * MAX_NAMED_METRICS {
            hear(&mut sums, format!("{index:05}"));
        }
        assert_eq!(names(&sums).len(), MAX_NAMED_METRICS);
        hear(&mut sums, "00000".to_owned());
        hear(&mut sums, "z".to_owned());
        let named = sums.named();
        assert_eq!(named[0].num_requests_finished_with_metric, 2, "what is known goes on");
        assert_eq!(
            (named.len(), &*named[MAX_NAMED_METRICS].metric_name),
            (MAX_NAMED_METRICS + 1, "named_metrics.z")
        );
    }

    #[test]
    fn sums_stay_numbers() {
        let mut large = MetricSums::default();
        let report = OrcaLoadReport { cpu_utilization: f64::MAX, ..Default::default() };
        let cpu = MetricChoice::new(&[CPU]);
        large.hear(&report, &cpu);
        large.hear(&report, &cpu);
        assert_eq!(large.utilizations()[0].map(|cpu| cpu.total_metric_value), Some(f64::MAX));
    }

    #[test]
    fn what_was_asked_for_is_summed() {
        let sums = heard(&["named_metrics.b", "cpu_utilization"]);
        assert_eq!(names(&sums), ["named_metrics.b"]);
        let b = &sums.named()[0];
        assert_eq!((b.num_requests_finished_with_metric, b.total_metric_value), (2, 4.0));
        let [cpu, memory, application] = sums.utilizations();
        assert_eq!(
            cpu.map(|cpu| (cpu.num_requests_finished_with_metric, cpu.total_metric_value)),
            Some((2, 1.0))
        );
        assert_eq!((memory, application), (None, None));
        assert_eq!(names(&heard(&["named_metrics.*"])), ["named_metrics.a", "named_metrics.b"]);
    }
}
