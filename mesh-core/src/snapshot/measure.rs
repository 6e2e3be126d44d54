//! The values of the metrics, out of what is kept anyway.

use super::report::{ControlPlaneReport, Report};
use super::{Snapshot, TargetState};
use crate::clock::Instant;
use crate::resource::Kind;
use crate::telemetry::metrics::{self, Sample};
use crate::xds::cache::Status;
use crate::xds::kind::ResourceKind;
use crate::xds::name::FederatedName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The authority of names that have none (gRFC A78).
const NO_AUTHORITY: &str = "#old";

impl Report {
    /// The values of the metrics.
    #[must_use]
    pub fn samples(&self, snapshot: &Snapshot, now: Instant) -> Vec<Sample> {
        let mut samples = vec![metrics::SNAPSHOT.sample([], snapshot.number as f64)];
        for control_plane in self.control_plane.iter().chain(&self.authorities) {
            of_control_plane(control_plane, &mut samples);
        }
        self.of_resources(&mut samples);
        let mut targets: BTreeMap<&str, f64> = BTreeMap::new();
        for (_, state) in &self.targets {
            let state = match state {
                TargetState::Pending => "pending",
                TargetState::Routed(_) => "routed",
                TargetState::Failed(_) => "failed",
            };
            *targets.entry(state).or_default() += 1.0;
        }
        samples
            .extend(targets.into_iter().map(|(state, count)| metrics::TARGETS.sample([state.into()], count)));
        for view in snapshot.clusters() {
            let cluster = &view.cluster;
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
            let name = || [cluster.name.clone()];
            samples.push(metrics::CLUSTER_RETRIES.sample(name(), load(&cluster.retries)));
            samples.push(metrics::CLUSTER_RESENDS.sample(name(), load(&cluster.resends)));
            samples.push(metrics::CLUSTER_BUDGET_EXHAUSTED.sample(name(), load(&cluster.budget_exhausted)));
        }
        of_drops(snapshot, &mut samples);
        for endpoint in &self.endpoints {
            let (requests, failures) = endpoint.load().totals();
            let name = || [endpoint.label().clone()];
            samples.push(metrics::ENDPOINT_REQUESTS.sample(name(), requests as f64));
            samples.push(metrics::ENDPOINT_FAILURES.sample(name(), failures as f64));
            samples.push(metrics::ENDPOINT_PENDING.sample(name(), f64::from(endpoint.load().pending())));
            samples.push(metrics::ENDPOINT_CONNECTIONS.sample(name(), endpoint.connections() as f64));
            if let Some(latency) = endpoint.load().latency(endpoint.clock().micros(now)) {
                samples.push(metrics::ENDPOINT_LATENCY.sample(name(), latency.as_secs_f64() * 1e3));
            }
        }
        samples
    }

    fn of_resources(&self, samples: &mut Vec<Sample>) {
        let mut counts: BTreeMap<(Arc<str>, &str, &str), f64> = BTreeMap::new();
        for resource in &self.resources {
            let state = match resource.client_status {
                Status::Requested => "requested",
                Status::DoesNotExist => "does_not_exist",
                Status::Acked => "acked",
                Status::Nacked if resource.bytes.is_some() => "nacked_but_cached",
                Status::Nacked => "nacked",
                Status::ReceivedError => "received_error",
                Status::Timeout => "timeout",
            };
            let authority = FederatedName::parse(&resource.name).map_or(NO_AUTHORITY, |name| name.authority);
            *counts.entry((authority.into(), state, type_of(resource.kind))).or_default() += 1.0;
        }
        samples.extend(counts.into_iter().map(|((authority, state, kind), count)| {
            metrics::RESOURCES.sample([authority, state.into(), kind.into()], count)
        }));
    }
}

/// The full name of a type: `envoy.config.listener.v3.Listener`.
fn type_of(kind: Kind) -> &'static str {
    let url = kind.type_url();
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

/// What was dropped, once for each cluster although those that are made of it have it, too.
fn of_drops(snapshot: &Snapshot, samples: &mut Vec<Sample>) {
    let mut counts: Vec<_> = snapshot.clusters().flat_map(|view| view.account.dropping()).collect();
    counts.sort_by_key(|counts| Arc::as_ptr(counts));
    counts.dedup_by(|a, b| Arc::ptr_eq(a, b));
    let mut dropped: BTreeMap<(Arc<str>, Arc<str>), u64> = BTreeMap::new();
    for cluster in counts {
        for (category, count) in cluster.drops() {
            *dropped.entry((cluster.name.clone(), category)).or_default() += count;
        }
    }
    samples.extend(dropped.into_iter().map(|((cluster, category), count)| {
        metrics::CLUSTER_DROPPED.sample([cluster, category], count as f64)
    }));
}

fn of_control_plane(report: &ControlPlaneReport, samples: &mut Vec<Sample>) {
    let server: Arc<str> = report.source.as_str().into();
    let connected = report.connected && report.error.is_none();
    samples.push(metrics::CONNECTED.sample([server.clone()], f64::from(u8::from(connected))));
    samples.push(metrics::SERVER_FAILURE.sample([server.clone()], report.outages as f64));
    for (kind, received) in &report.received {
        let labels = || [server.clone(), type_of(*kind).into()];
        samples.push(metrics::UPDATES_VALID.sample(labels(), received.valid as f64));
        samples.push(metrics::UPDATES_INVALID.sample(labels(), received.invalid as f64));
    }
}
