//! `docs/metrics.md` says what the code says.

use mesh_core::telemetry::metrics::{METRICS, MetricKind};
use std::path::Path;

#[test]
fn the_page_says_what_the_code_says() {
    let mut page = String::from(
        "# Metrics\n\n`Mesh::metrics()` reads every value at the moment it is asked; `telemetry::metrics::prometheus` writes them in the text format of \
         Prometheus. A test compares this page with the code and prints it anew when they differ.\n\n\
         A metric has at most one value for the same labels. What has them alike is added up: clusters of one name that are used \
         with several protocols, endpoints at one address that are reached in several ways, streams to one control plane for several \
         authorities (of which `connected` is that of the worst).\n\n\
         One departure from gRFC A78: the metrics of the xDS client have no label `grpc.target`. gRPC has an xDS client per target; a \
         mesh has one for all its targets and servers, so there is no target to name.\n\n\
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
