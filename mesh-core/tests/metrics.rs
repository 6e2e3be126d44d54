//! `docs/metrics.md` says what the code says.

use mesh_core::telemetry::metrics::{METRICS, MetricKind};
use std::path::Path;

#[test]
fn the_page_says_what_the_code_says() {
    let mut page = String::from(
        "# Metrics\n\n`Mesh::metrics()` reads every value at the moment it is asked; `telemetry::metrics::prometheus` writes them in the text format of \
         Prometheus. A test compares this page with the code and prints it anew when they differ.\n\n\
         | Name | Kind | Unit | Labels | Meaning |\n|---|---|---|---|---|\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, unit, labels, help) = (metric.name, metric.unit, labels.join(" "), metric.help);
        page += &format!("| `{name}` | {kind} | `{unit}` | {labels} | {help} |\n");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/metrics.md should be:\n-----\n{page}-----");
}
