//! What an endpoint says of its own load in the headers or trailers of a response (ORCA, gRFC A51).

use ::http::HeaderMap;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mesh_proto::orca::OrcaLoadReport;
use prost::Message;

/// The header of a report in base64: gRPC's form.
pub const LOAD_METRICS_BIN: &str = "endpoint-load-metrics-bin";
/// The header of a report that says itself how it is written: `BIN`, `TEXT` or `JSON` goes before it (Envoy).
pub const LOAD_METRICS: &str = "endpoint-load-metrics";

/// gRPC leaves the padding away, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The report in `headers`; none if there is none, or none that can be read.
#[must_use]
pub fn load_report(headers: &HeaderMap) -> Option<OrcaLoadReport> {
    if let Some(value) = headers.get(LOAD_METRICS_BIN) {
        return binary(value.as_bytes());
    }
    let value = headers.get(LOAD_METRICS)?.to_str().ok()?;
    match value.split_once(' ')? {
        ("BIN", rest) => binary(rest.trim().as_bytes()),
        ("TEXT", rest) => text(rest),
        ("JSON", rest) => json(rest),
        _ => None,
    }
}

fn binary(value: &[u8]) -> Option<OrcaLoadReport> {
    let report = OrcaLoadReport::decode(BASE64.decode(value).ok()?.as_slice()).ok()?;
    is_finite(&report).then_some(report)
}

/// Whether every value is a number that can be added to others: one that is not would spoil the sum of a whole locality.
fn is_finite(report: &OrcaLoadReport) -> bool {
    let OrcaLoadReport {
        cpu_utilization,
        mem_utilization,
        application_utilization,
        rps_fractional,
        eps,
        request_cost,
        utilization,
        named_metrics,
        ..
    } = report;
    let maps = [request_cost, utilization, named_metrics].into_iter().flat_map(|map| map.values());
    [cpu_utilization, mem_utilization, application_utilization, rps_fractional, eps]
        .into_iter()
        .chain(maps)
        .all(|value| value.is_finite())
}

/// `name=value` pairs with commas between; entries of maps are called `map.key`.
fn text(value: &str) -> Option<OrcaLoadReport> {
    let mut report = OrcaLoadReport::default();
    for pair in value.split(',') {
        let (name, value) = pair.split_once('=')?;
        set(&mut report, name.trim(), value.trim().parse().ok()?)?;
    }
    Some(report)
}

fn json(value: &str) -> Option<OrcaLoadReport> {
    let mut report = OrcaLoadReport::default();
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(value).ok()?;
    for (name, value) in &object {
        match value {
            serde_json::Value::Object(entries) => {
                for (key, value) in entries {
                    set(&mut report, &format!("{name}.{key}"), value.as_f64()?)?;
                }
            }
            value => set(&mut report, name, value.as_f64()?)?,
        }
    }
    Some(report)
}

/// Sets a value by its name; `None` if it is not finite. A name that is not known says nothing.
fn set(report: &mut OrcaLoadReport, name: &str, value: f64) -> Option<()> {
    if !value.is_finite() {
        return None;
    }
    let (name, key) = name.split_once('.').unwrap_or((name, ""));
    match name {
        "cpu_utilization" | "cpuUtilization" => report.cpu_utilization = value,
        "mem_utilization" | "memUtilization" => report.mem_utilization = value,
        "application_utilization" | "applicationUtilization" => report.application_utilization = value,
        "rps_fractional" | "rpsFractional" => report.rps_fractional = value,
        "eps" => report.eps = value,
        "named_metrics" | "namedMetrics" => drop(report.named_metrics.insert(key.to_owned(), value)),
        "utilization" => drop(report.utilization.insert(key.to_owned(), value)),
        "request_cost" | "requestCost" => drop(report.request_cost.insert(key.to_owned(), value)),
        _ => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::http::HeaderValue;

    fn report() -> OrcaLoadReport {
        OrcaLoadReport {
            cpu_utilization: 0.5,
            named_metrics: [("queues".to_owned(), 3.5)].into(),
            ..Default::default()
        }
    }

    fn read(name: &'static str, value: &str) -> Option<OrcaLoadReport> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::try_from(value).unwrap());
        load_report(&headers)
    }

    #[test]
    fn every_way_to_write_a_report_is_understood() {
        let padded = base64::engine::general_purpose::STANDARD.encode(report().encode_to_vec());
        let bare = padded.trim_end_matches('=');
        assert_ne!(padded, bare);
        assert_eq!(read(LOAD_METRICS_BIN, &padded), Some(report()));
        assert_eq!(read(LOAD_METRICS_BIN, bare), Some(report()));
        assert_eq!(read(LOAD_METRICS, &format!("BIN {bare}")), Some(report()));
        assert_eq!(read(LOAD_METRICS, "TEXT cpu_utilization=0.5, named_metrics.queues=3.5"), Some(report()));
        let json = r#"JSON {"cpu_utilization": 0.5, "named_metrics": {"queues": 3.5}}"#;
        assert_eq!(read(LOAD_METRICS, json), Some(report()));
        let json = r#"JSON {"cpuUtilization": 0.5, "namedMetrics": {"queues": 3.5}}"#;
        assert_eq!(read(LOAD_METRICS, json), Some(report()));
    }

    #[test]
    fn what_cannot_be_read_is_as_good_as_nothing() {
        for (name, value) in [
            (LOAD_METRICS_BIN, "%%%"),
            (LOAD_METRICS_BIN, "////"),
            (LOAD_METRICS, "cpu_utilization=0.5"),
            (LOAD_METRICS, "TEXT cpu_utilization"),
            (LOAD_METRICS, "TEXT cpu_utilization=much"),
            (LOAD_METRICS, "TEXT cpu_utilization=NaN"),
            (LOAD_METRICS, "TEXT named_metrics.a=inf"),
            (LOAD_METRICS, r#"JSON {"eps": 1e999}"#),
            (LOAD_METRICS, "JSON [1]"),
            (LOAD_METRICS, "JSON {\"eps\": \"a\"}"),
        ] {
            assert_eq!(read(name, value), None, "{value}");
        }
        assert_eq!(load_report(&HeaderMap::new()), None);
        let metrics = |value| [("queues".to_owned(), value)].into();
        for report in [
            OrcaLoadReport { cpu_utilization: f64::NAN, ..report() },
            OrcaLoadReport { eps: f64::INFINITY, ..report() },
            OrcaLoadReport { named_metrics: metrics(f64::NEG_INFINITY), ..report() },
            OrcaLoadReport { request_cost: metrics(f64::NAN), ..report() },
        ] {
            let written = base64::engine::general_purpose::STANDARD.encode(report.encode_to_vec());
            assert_eq!(read(LOAD_METRICS_BIN, &written), None, "{report:?}");
            assert_eq!(read(LOAD_METRICS, &format!("BIN {written}")), None, "{report:?}");
        }
    }
}
