//! The values of the metrics, out of what is kept anyway.

use super::report::{Report, ResourceReport};
use super::{Snapshot, TargetState};
use crate::clock::Instant;
use crate::resource::Kind;
use crate::telemetry::metrics::{self, Metric, Sample};
use crate::xds::cache::Status;
use crate::xds::kind::ResourceKind;
use crate::xds::name::FederatedName;
use crate::xds::server_status::ServerStatus;
use std::collections::BTreeMap;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The authority of names that have none (gRFC A78).
const NO_AUTHORITY: &str = "#old";

/// One value for each metric and its labels, however many things have the labels alike: who reads the values wants each once.
#[derive(Debug, Default)]
struct Tally {
    values: BTreeMap<(&'static str, Vec<Arc<str>>), Sample>,
}

impl Report {
    /// The values of the metrics, each metric with the same labels once.
    #[must_use]
    pub fn samples(&self, snapshot: &Snapshot, now: Instant) -> Vec<Sample> {
        let mut tally = Tally::default();
        tally.add(&metrics::SNAPSHOT, [], snapshot.number as f64);
        let control_planes = self.control_plane.iter().chain(&self.authorities);
        for server in control_planes.flat_map(|control_plane| &control_plane.servers) {
            of_server(server, &mut tally);
        }
        for resource in &self.resources {
            let authority = FederatedName::parse(&resource.name).map_or(NO_AUTHORITY, |name| name.authority);
            let labels = [authority, cache_state(resource), resource.kind.type_name()].map(Arc::from);
            tally.add(&metrics::RESOURCES, labels, 1.0);
        }
        for (_, state) in &self.targets {
            let state = match state {
                TargetState::Pending => "pending",
                TargetState::Routed(_) => "routed",
                TargetState::Failed(_) => "failed",
            };
            tally.add(&metrics::TARGETS, [state.into()], 1.0);
        }
        for view in snapshot.clusters() {
            let cluster = &view.cluster;
            let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
            let name = || [cluster.name.clone()];
            tally.add(&metrics::CLUSTER_RETRIES, name(), load(&cluster.retries));
            tally.add(&metrics::CLUSTER_RESENDS, name(), load(&cluster.resends));
            tally.add(&metrics::CLUSTER_BUDGET_EXHAUSTED, name(), load(&cluster.budget_exhausted));
        }
        of_drops(snapshot, &mut tally);
        for endpoint in &self.endpoints {
            let (requests, failures) = endpoint.load().totals();
            let name = || [endpoint.label().clone()];
            tally.add(&metrics::ENDPOINT_REQUESTS, name(), requests as f64);
            tally.add(&metrics::ENDPOINT_FAILURES, name(), failures as f64);
            tally.add(&metrics::ENDPOINT_PENDING, name(), f64::from(endpoint.load().pending()));
            tally.add(&metrics::ENDPOINT_CONNECTIONS, name(), endpoint.connections() as f64);
            if let Some(latency) = endpoint.load().latency(endpoint.clock().micros(now)) {
                tally.merge(&metrics::ENDPOINT_LATENCY, name(), latency.as_secs_f64() * 1e3, f64::max);
            }
        }
        tally.values.into_values().collect()
    }
}

impl Tally {
    /// A value, to be added to another one with the same labels.
    fn add(&mut self, metric: &'static Metric, labels: impl IntoIterator<Item = Arc<str>>, value: f64) {
        self.merge(metric, labels, value, f64::add);
    }

    fn merge(
        &mut self,
        metric: &'static Metric,
        labels: impl IntoIterator<Item = Arc<str>>,
        value: f64,
        both: fn(f64, f64) -> f64,
    ) {
        let new = metric.sample(labels, value);
        let key = (metric.name, new.labels.clone());
        let merge = |known: &mut Sample| known.value = both(known.value, value);
        self.values.entry(key).and_modify(merge).or_insert(new);
    }
}

/// How far the client has come with a resource, as gRFC A78 and A88 call it.
fn cache_state(resource: &ResourceReport) -> &'static str {
    match (resource.client_status, resource.bytes.is_some()) {
        (Status::Requested, _) => "requested",
        (Status::DoesNotExist, false) => "does_not_exist",
        (Status::DoesNotExist, true) => "does_not_exist_but_cached",
        (Status::Acked, _) => "acked",
        (Status::Nacked, false) => "nacked",
        (Status::Nacked, true) => "nacked_but_cached",
        (Status::ReceivedError, false) => "received_error",
        (Status::ReceivedError, true) => "received_error_but_cached",
        (Status::Timeout, _) => "timeout",
    }
}

/// What was dropped, once for each cluster although those that are made of it have it, too.
fn of_drops(snapshot: &Snapshot, tally: &mut Tally) {
    let mut counts: Vec<_> = snapshot.clusters().flat_map(|view| view.account.dropping()).collect();
    counts.sort_by_key(|counts| Arc::as_ptr(counts));
    counts.dedup_by(|a, b| Arc::ptr_eq(a, b));
    for cluster in counts {
        for (category, count) in cluster.drops() {
            tally.add(&metrics::CLUSTER_DROPPED, [cluster.name.clone(), category], count as f64);
        }
    }
}

fn of_server(status: &ServerStatus<Kind>, tally: &mut Tally) {
    let server: Arc<str> = status.source.as_str().into();
    if let Some(connected) = status.connected {
        tally.merge(&metrics::CONNECTED, [server.clone()], f64::from(u8::from(connected)), f64::min);
    }
    tally.add(&metrics::SERVER_FAILURE, [server.clone()], status.outages as f64);
    for (kind, received) in &status.received {
        let labels = || [server.clone(), kind.type_name().into()];
        tally.add(&metrics::UPDATES_VALID, labels(), received.valid as f64);
        tally.add(&metrics::UPDATES_INVALID, labels(), received.invalid as f64);
    }
}
