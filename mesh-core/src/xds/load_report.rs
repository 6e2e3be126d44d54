//! The load reporting service (LRS) as a pure state machine: when to report, and what.
//!
//! One report per interval that the server names says what has happened since the last one; a cluster that the server has
//! not asked for keeps its counts until it does. A cluster that is gone is reported until its last request has ended; one
//! that another server is told of from now on is so once more, and what happens after that is for the other one. Nobody says
//! that a report has arrived, so one that is on its way when the stream breaks may be lost; none is told twice.

use super::load_counts::{ClusterCounts, Counts, Place, Taken};
use crate::bootstrap::{Locality, Node};
use crate::clock::Instant;
use crate::net::Address;
use crate::wire::{duration, duration_to_proto};
use bytes::Bytes;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::endpoint::v3::{
    ClusterStats, UpstreamEndpointStats, UpstreamLocalityStats, cluster_stats::DroppedRequests,
};
use mesh_proto::envoy::service::load_stats::v3::{LoadStatsRequest, LoadStatsResponse};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// The path of the service.
pub const STREAM_LOAD_STATS: &str = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";
/// The shortest time between two load reports, whatever the server asks for.
pub const MIN_LOAD_REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The clusters that are gone and whose counts are kept until a server asks for them. Beyond it the earliest make way, unless
/// requests to them have not ended.
pub const MAX_GONE_CLUSTERS: usize = 1000;

/// Says that a server may ask for all clusters without naming them.
const SEND_ALL_CLUSTERS: &str = "envoy.lrs.supports_send_all_clusters";

/// Reports to one server.
#[derive(Debug)]
pub struct LoadReport {
    node: core::Node,
    clusters: Vec<Reported>,
    stream: Stream,
}

/// A cluster that is reported.
#[derive(Debug)]
struct Reported {
    counts: Arc<ClusterCounts>,
    /// What was reported last happened before this.
    since: Instant,
    term: Term,
}

/// For how long a cluster is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    /// It is in use.
    Current,
    /// Until its last request has ended.
    Ending,
    /// Once more.
    Last,
}

#[derive(Debug)]
enum Stream {
    Closed,
    /// The node has to be sent.
    New,
    /// The server has not said what it wants.
    Introduced,
    Asked(Asked),
}

/// What the server wants.
#[derive(Debug)]
struct Asked {
    /// These clusters; all if `None`.
    clusters: Option<BTreeSet<String>>,
    interval: Duration,
    per_endpoint: bool,
    /// When it was last told something.
    told: Instant,
    /// Whether to report at once.
    hurry: bool,
}

impl LoadReport {
    /// Reports as this node, about nothing yet.
    #[must_use]
    pub fn new(node: &Node) -> Self {
        let mut node = node.to_proto();
        node.client_features.push(SEND_ALL_CLUSTERS.to_owned());
        Self { node, clusters: Vec::new(), stream: Stream::Closed }
    }

    /// Reports about these from now on; about those `elsewhere` others report.
    pub fn set_clusters(
        &mut self,
        now: Instant,
        clusters: &[Arc<ClusterCounts>],
        elsewhere: &[Arc<ClusterCounts>],
    ) {
        let mut new: HashSet<_> = clusters.iter().map(Arc::as_ptr).collect();
        let elsewhere: HashSet<_> = elsewhere.iter().map(Arc::as_ptr).collect();
        for reported in &mut self.clusters {
            let counts = Arc::as_ptr(&reported.counts);
            reported.term = match reported.term {
                _ if new.remove(&counts) => Term::Current,
                Term::Current | Term::Ending if !elsewhere.contains(&counts) => Term::Ending,
                _ => Term::Last,
            };
        }
        let gone = self.clusters.iter().filter(|reported| reported.term == Term::Ending).count();
        let mut too_many = gone.saturating_sub(MAX_GONE_CLUSTERS);
        self.clusters.retain(|reported| {
            let goes = too_many > 0 && reported.term == Term::Ending && !reported.counts.is_in_use();
            too_many -= usize::from(goes);
            !goes
        });
        let new = clusters.iter().filter(|counts| new.remove(&Arc::as_ptr(counts)));
        self.clusters.extend(new.map(|counts| Reported {
            counts: counts.clone(),
            since: now,
            term: Term::Current,
        }));
        self.hurry();
    }

    /// Reports about everything once more, and then no more.
    pub fn end(&mut self) {
        self.clusters.iter_mut().for_each(|reported| reported.term = Term::Last);
        self.hurry();
    }

    /// Sees to it that those of which little is left to say do not wait for that, nor at all if nobody asks for them.
    fn hurry(&mut self) {
        let asked = match &mut self.stream {
            Stream::Asked(asked) => Some(asked),
            _ => None,
        };
        let wanted = |name: &str| asked.as_ref().is_some_and(|asked| asked.wants(name));
        self.clusters.retain(|reported| reported.term != Term::Last || wanted(&reported.counts.name));
        if let Some(asked) = asked {
            asked.hurry |= self.clusters.iter().any(|reported| reported.term == Term::Last)
                || !self.clusters.iter().any(|reported| reported.term == Term::Current);
        }
    }

    /// A stream is open.
    pub fn opened(&mut self) {
        self.stream = Stream::New;
    }

    /// The stream is closed.
    pub fn closed(&mut self) {
        self.stream = Stream::Closed;
        self.hurry();
    }

    /// The server said something.
    ///
    /// # Errors
    ///
    /// If it cannot be understood; the stream is of no use then.
    pub fn receive(&mut self, now: Instant, message: &[u8]) -> Result<(), String> {
        let garbled = |why: &str| format!("the load report server sent what cannot be understood: {why}");
        let response = LoadStatsResponse::decode(message).map_err(|error| garbled(&error.to_string()))?;
        let interval = match response.load_reporting_interval {
            None => MIN_LOAD_REPORT_INTERVAL,
            Some(interval) => duration(&interval)
                .ok_or_else(|| garbled("load_reporting_interval: must be a duration that is not negative"))?
                .max(MIN_LOAD_REPORT_INTERVAL),
        };
        let told = match &self.stream {
            Stream::Asked(before) => before.told,
            _ => now,
        };
        self.stream = Stream::Asked(Asked {
            clusters: (!response.send_all_clusters).then(|| response.clusters.into_iter().collect()),
            interval,
            per_endpoint: response.report_endpoint_granularity,
            told,
            hurry: false,
        });
        self.hurry();
        Ok(())
    }

    /// Whether there is nothing to report any more, or nobody to report it to.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.stream {
            Stream::Asked(_) => self.clusters.is_empty(),
            _ => !self.clusters.iter().any(|reported| reported.term == Term::Current),
        }
    }

    /// When there is something to say; never, if not now and nothing else happens.
    #[must_use]
    pub fn next_timer(&self, now: Instant) -> Option<Instant> {
        match &self.stream {
            Stream::New => Some(now),
            Stream::Asked(asked) if asked.hurry => Some(now),
            Stream::Asked(asked) => asked.told.checked_add(asked.interval),
            Stream::Closed | Stream::Introduced => None,
        }
    }

    /// What to say, if it is time for that.
    pub fn next_request(&mut self, now: Instant) -> Option<Bytes> {
        self.next_timer(now).filter(|at| *at <= now)?;
        let request = match &mut self.stream {
            Stream::Asked(asked) => {
                (asked.told, asked.hurry) = (now, false);
                LoadStatsRequest { node: None, cluster_stats: report(&mut self.clusters, asked, now) }
            }
            _ => {
                self.stream = Stream::Introduced;
                LoadStatsRequest { node: Some(self.node.clone()), cluster_stats: Vec::new() }
            }
        };
        Some(request.encode_to_vec().into())
    }
}

impl Asked {
    fn wants(&self, name: &str) -> bool {
        self.clusters.as_ref().is_none_or(|clusters| clusters.contains(name))
    }
}

/// What has happened to the clusters that the server asked for. Clusters that are gone and cannot change any more, or
/// that nobody asked for, are forgotten.
fn report(clusters: &mut Vec<Reported>, asked: &Asked, now: Instant) -> Vec<ClusterStats> {
    let mut by_name: BTreeMap<(Arc<str>, Arc<str>), (Instant, Taken)> = BTreeMap::new();
    clusters.retain_mut(|reported| {
        let counts = &reported.counts;
        if !asked.wants(&counts.name) {
            return reported.term == Term::Current;
        }
        let name = (counts.name.clone(), counts.service.clone());
        let (since, taken) = by_name.entry(name).or_insert_with(|| (reported.since, Taken::default()));
        *since = (*since).min(reported.since);
        let open = counts.take(taken);
        reported.since = now;
        match reported.term {
            Term::Current => true,
            Term::Ending => open,
            Term::Last => false,
        }
    });
    let news = by_name.into_iter().filter(|(_, (_, taken))| *taken != Taken::default());
    news.map(|((name, service), (since, taken))| ClusterStats {
        cluster_name: name.to_string(),
        cluster_service_name: service.to_string(),
        total_dropped_requests: taken.drops.values().sum(),
        dropped_requests: taken.drops.iter().map(dropped_to_proto).collect(),
        upstream_locality_stats: localities(taken.endpoints, asked.per_endpoint),
        load_report_interval: Some(duration_to_proto(now.saturating_duration_since(since))),
    })
    .collect()
}

fn dropped_to_proto((category, count): (&Arc<str>, &u64)) -> DroppedRequests {
    DroppedRequests { category: category.to_string(), dropped_count: *count }
}

fn localities(endpoints: BTreeMap<Place, Counts>, per_endpoint: bool) -> Vec<UpstreamLocalityStats> {
    let mut sums: BTreeMap<(u32, Arc<Locality>), (Counts, Vec<UpstreamEndpointStats>)> = BTreeMap::new();
    for ((priority, locality, address), counts) in endpoints {
        let (sum, endpoints) = sums.entry((priority, locality)).or_default();
        sum.merge(&counts);
        if per_endpoint {
            endpoints.push(UpstreamEndpointStats {
                address: Some(address_to_proto(&address)),
                metadata: None,
                total_successful_requests: counts.successes,
                total_requests_in_progress: counts.in_progress,
                total_error_requests: counts.errors,
                total_issued_requests: counts.issued,
                load_metric_stats: counts.metrics.named(),
            });
        }
    }
    let to_proto = |((priority, locality), (sum, endpoints)): (_, (Counts, _))| {
        let locality: Arc<Locality> = locality;
        let [cpu_utilization, mem_utilization, application_utilization] = sum.metrics.utilizations();
        UpstreamLocalityStats {
            locality: Some(core::Locality {
                region: locality.region.clone(),
                zone: locality.zone.clone(),
                sub_zone: locality.sub_zone.clone(),
            }),
            total_successful_requests: sum.successes,
            total_requests_in_progress: sum.in_progress,
            total_error_requests: sum.errors,
            total_issued_requests: sum.issued,
            cpu_utilization,
            mem_utilization,
            application_utilization,
            load_metric_stats: sum.metrics.named(),
            upstream_endpoint_stats: endpoints,
            priority,
            ..Default::default()
        }
    };
    sums.into_iter().map(to_proto).collect()
}

fn address_to_proto(address: &Address) -> core::Address {
    use core::address::Address as Specifier;
    let socket = |host: String, port: u16| {
        Specifier::SocketAddress(core::SocketAddress {
            address: host,
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
            ..Default::default()
        })
    };
    let specifier = match address {
        Address::Ip(address) => socket(address.ip().to_string(), address.port()),
        Address::Dns { host, port } => socket(host.to_string(), *port),
        Address::Internal(name) => {
            use core::envoy_internal_address::AddressNameSpecifier::ServerListenerName;
            let (listener, endpoint) = name.split_once('/').unwrap_or((name, ""));
            Specifier::EnvoyInternalAddress(core::EnvoyInternalAddress {
                address_name_specifier: Some(ServerListenerName(listener.to_owned())),
                endpoint_id: endpoint.to_owned(),
            })
        }
        Address::Unix(path) => {
            Specifier::Pipe(core::Pipe { path: path.to_string_lossy().into_owned(), ..Default::default() })
        }
    };
    core::Address { address: Some(specifier) }
}

#[cfg(test)]
#[path = "load_report_tests.rs"]
mod tests;
