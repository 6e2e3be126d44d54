//! What can be measured: the one table of metrics, and how values of them are written down.
//!
//! Nothing here is counted twice: the values are those that balancing, retrying and configuring keep anyway, read when
//! somebody asks.

use std::fmt::{self, Write};
use std::sync::Arc;

/// Something that can be measured.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name. Those of gRPC's xDS client are as gRFC A78 has them.
    pub name: &'static str,
    /// How its values move.
    pub kind: MetricKind,
    /// What is counted, as UCUM has it: `{request}`, `ms`.
    pub unit: &'static str,
    /// The labels of each value.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// How the values of a metric move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only up.
    Counter,
    /// Up and down.
    Gauge,
}

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Of which metric.
    pub metric: &'static Metric,
    /// The values of its labels, in their order.
    pub labels: Vec<Arc<str>>,
    /// The value.
    pub value: f64,
}

macro_rules! metrics {
    ($($id:ident = $kind:ident $name:literal $unit:literal $labels:tt $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: Metric =
                Metric { name: $name, kind: MetricKind::$kind, unit: $unit, labels: &$labels, help: $help };
        )*

        /// Every metric.
        pub static METRICS: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    CONNECTED = Gauge "grpc.xds_client.connected" "{bool}" ["grpc.xds.server"]
        "Whether the control plane does what it should: 1 from the first stream that is open, 0 once a stream cannot be opened or ends without an answer, 1 again with the first answer; absent while it is let alone because a better one answers (gRFC A78).";
    SERVER_FAILURE = Counter "grpc.xds_client.server_failure" "{failure}" ["grpc.xds.server"]
        "How often a control plane went from healthy to unhealthy (gRFC A78).";
    UPDATES_VALID = Counter "grpc.xds_client.resource_updates_valid" "{resource}" ["grpc.xds.server", "grpc.xds.resource_type"]
        "Resources received that are valid, whether or not they differ from the version before (gRFC A78).";
    UPDATES_INVALID = Counter "grpc.xds_client.resource_updates_invalid" "{resource}" ["grpc.xds.server", "grpc.xds.resource_type"]
        "Resources received that were refused (gRFC A78).";
    RESOURCES = Gauge "grpc.xds_client.resources" "{resource}" ["grpc.xds.authority", "grpc.xds.cache_state", "grpc.xds.resource_type"]
        "Resources subscribed to, by how far the client has come with them: requested, does_not_exist, does_not_exist_but_cached, acked, nacked, nacked_but_cached, received_error, received_error_but_cached, timeout (gRFC A78, A88).";
    SNAPSHOT = Gauge "mesh.snapshot" "{snapshot}" []
        "The number of the configuration in force; it grows with each change.";
    TARGETS = Gauge "mesh.targets" "{target}" ["mesh.state"]
        "Targets in use: pending, routed or failed.";
    CLUSTER_RETRIES = Counter "mesh.cluster.retries" "{request}" ["mesh.cluster"]
        "Requests that were sent again under a retry policy.";
    CLUSTER_RESENDS = Counter "mesh.cluster.resends" "{request}" ["mesh.cluster"]
        "Requests that were sent again because they had never been processed.";
    CLUSTER_BUDGET_EXHAUSTED = Counter "mesh.cluster.retry_budget_exhausted" "{request}" ["mesh.cluster"]
        "Requests that were not sent again because the retry budget was exhausted.";
    CLUSTER_DROPPED = Counter "mesh.cluster.dropped" "{request}" ["mesh.cluster", "mesh.category"]
        "Requests that were dropped because the control plane wants a share of them dropped (drop_overloads), by its category; absent while it wants none.";
    ENDPOINT_REQUESTS = Counter "mesh.endpoint.requests" "{request}" ["mesh.endpoint"]
        "Requests sent to the endpoint, each try counted.";
    ENDPOINT_FAILURES = Counter "mesh.endpoint.failures" "{request}" ["mesh.endpoint"]
        "Requests that the endpoint failed.";
    ENDPOINT_PENDING = Gauge "mesh.endpoint.pending" "{request}" ["mesh.endpoint"]
        "Requests in flight at the endpoint.";
    ENDPOINT_LATENCY = Gauge "mesh.endpoint.latency" "ms" ["mesh.endpoint"]
        "The peak-sensitive average of the endpoint's latency that the balancer sees, the largest if its address is reached in several ways; absent before the first answer.";
    ENDPOINT_CONNECTIONS = Gauge "mesh.endpoint.connections" "{connection}" ["mesh.endpoint"]
        "Open connections to the endpoint.";
    TASKS = Gauge "mesh.tasks" "{task}" []
        "Tasks that the mesh runs.";
}

impl Metric {
    /// A value of it.
    ///
    /// The labels are in the order of [`labels`](Self::labels).
    #[must_use]
    pub fn sample(&'static self, labels: impl IntoIterator<Item = Arc<str>>, value: f64) -> Sample {
        Sample { metric: self, labels: labels.into_iter().collect(), value }
    }
}

/// Writes values in the text format of Prometheus: dots become underscores, counters end in `_total`.
#[must_use]
pub fn prometheus(samples: &[Sample]) -> String {
    let mut text = String::new();
    for metric in METRICS {
        let mut of_it = samples.iter().filter(|sample| sample.metric == *metric).peekable();
        if of_it.peek().is_none() {
            continue;
        }
        let name = PrometheusName(metric);
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", metric.help);
        for sample in of_it {
            let _ = write!(text, "{name}");
            for (index, (label, value)) in metric.labels.iter().zip(&sample.labels).enumerate() {
                let before = if index == 0 { '{' } else { ',' };
                let _ = write!(text, "{before}{}=\"{}\"", label.replace('.', "_"), Escaped(value));
            }
            let end = if metric.labels.is_empty() { "" } else { "}" };
            let _ = writeln!(text, "{end} {}", sample.value);
        }
    }
    text
}

struct PrometheusName<'a>(&'a Metric);

impl fmt::Display for PrometheusName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.0.kind == MetricKind::Counter { "_total" } else { "" };
        write!(f, "{}{suffix}", self.0.name.replace('.', "_"))
    }
}

struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_labels_are_told() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[..index].iter().all(|other| other.name != metric.name), "{}", metric.name);
            assert!(!metric.help.is_empty() && !metric.unit.is_empty());
        }
    }

    #[test]
    fn prometheus_reads_it() {
        let samples = [
            CLUSTER_RETRIES.sample(["a\"b\\c\nd".into()], 3.0),
            SNAPSHOT.sample([], 7.0),
            CLUSTER_RETRIES.sample(["e".into()], 0.5),
        ];
        let expected = concat!(
            "# HELP mesh_snapshot The number of the configuration in force; it grows with each change.\n",
            "# TYPE mesh_snapshot gauge\n",
            "mesh_snapshot 7\n",
            "# HELP mesh_cluster_retries_total Requests that were sent again under a retry policy.\n",
            "# TYPE mesh_cluster_retries_total counter\n",
            "mesh_cluster_retries_total{mesh_cluster=\"a\\\"b\\\\c\\nd\"} 3\n",
            "mesh_cluster_retries_total{mesh_cluster=\"e\"} 0.5\n",
        );
        assert_eq!(prometheus(&samples), expected);
    }
}
