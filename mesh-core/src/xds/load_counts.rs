//! What was asked of a cluster since its last load report: counted where requests begin and end, taken by whoever reports.

use super::load_metrics::{MetricChoice, MetricSums};
use crate::bootstrap::Locality;
use crate::net::Address;
use mesh_proto::orca::OrcaLoadReport;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counts of a cluster that are kept for a report though nobody counts there any more, because its endpoint is gone: while
/// nobody takes reports, and for as long as endpoints come and go, there would be ever more of them.
pub const MAX_IDLE_COUNTS: usize = 1000;

/// What was asked of a cluster, and what of it was dropped.
#[derive(Debug)]
pub struct ClusterCounts {
    /// The cluster.
    pub name: Arc<str>,
    /// The name under which its endpoints are known, if that is another one.
    pub service: Arc<str>,
    /// Which metrics its endpoints report.
    pub choice: MetricChoice,
    endpoints: Mutex<Book<Place, EndpointCounts>>,
    drops: Mutex<Book<Arc<str>, DropCount>>,
}

/// Counts of one sort.
#[derive(Debug)]
struct Book<K, C> {
    counts: BTreeMap<K, Arc<C>>,
    /// With so many of them it is time to look for those that nobody uses.
    limit: usize,
}

/// What was asked of one endpoint of a cluster.
#[derive(Debug)]
pub struct EndpointCounts {
    choice: MetricChoice,
    issued: AtomicU64,
    in_progress: AtomicU64,
    successes: AtomicU64,
    errors: AtomicU64,
    metrics: Mutex<MetricSums>,
}

/// Requests that were dropped for one reason.
#[derive(Debug)]
pub struct DropCount {
    category: Arc<str>,
    total: AtomicU64,
    unreported: AtomicU64,
}

/// Where an endpoint is: its priority, its locality and its address.
pub type Place = (u32, Arc<Locality>, Address);

/// What happened at one or several endpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests that began.
    pub issued: u64,
    /// Requests that have not ended, now.
    pub in_progress: u64,
    /// Requests that ended well.
    pub successes: u64,
    /// Requests that did not.
    pub errors: u64,
    /// What the endpoints said of their own load.
    pub metrics: MetricSums,
}

/// What happened to a cluster, or to clusters of the same name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// By endpoint.
    pub endpoints: BTreeMap<Place, Counts>,
    /// By category.
    pub drops: BTreeMap<Arc<str>, u64>,
}

impl ClusterCounts {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(name: Arc<str>, service: Arc<str>, choice: MetricChoice) -> Self {
        Self { name, service, choice, endpoints: Mutex::default(), drops: Mutex::default() }
    }

    /// The counts of an endpoint, as they are or new.
    pub fn endpoint(&self, place: Place) -> Arc<EndpointCounts> {
        let new = || {
            Arc::new(EndpointCounts {
                choice: self.choice.clone(),
                issued: AtomicU64::new(0),
                in_progress: AtomicU64::new(0),
                successes: AtomicU64::new(0),
                errors: AtomicU64::new(0),
                metrics: Mutex::default(),
            })
        };
        lock(&self.endpoints).get(place, new)
    }

    /// The count of a reason to drop requests, as it is or new.
    pub fn dropped(&self, category: &Arc<str>) -> Arc<DropCount> {
        let new = || {
            Arc::new(DropCount {
                category: category.clone(),
                total: AtomicU64::new(0),
                unreported: AtomicU64::new(0),
            })
        };
        lock(&self.drops).get(category.clone(), new)
    }

    /// Every reason for which requests were dropped, and how many were.
    #[must_use]
    pub fn drops(&self) -> Vec<(Arc<str>, u64)> {
        lock(&self.drops).counts.values().map(|count| (count.category.clone(), count.total())).collect()
    }

    /// Whether anything can happen yet.
    pub(super) fn is_in_use(&self) -> bool {
        lock(&self.endpoints).is_in_use() || lock(&self.drops).is_in_use()
    }

    /// Takes what has happened since the last time, and forgets endpoints that nobody counts any more; whether anything
    /// can happen yet.
    pub(super) fn take(&self, taken: &mut Taken) -> bool {
        let endpoints = &mut lock(&self.endpoints).counts;
        endpoints.retain(|place, counts| {
            // Alone with it, it is certain that nothing is added after it was read.
            let in_use = Arc::get_mut(counts).is_none();
            let counts = counts.take();
            if counts != Counts::default() {
                taken.endpoints.entry(place.clone()).or_default().merge(&counts);
            }
            in_use
        });
        let drops = &mut lock(&self.drops).counts;
        let mut open = !endpoints.is_empty();
        for count in drops.values_mut() {
            open |= Arc::get_mut(count).is_none();
            match count.unreported.swap(0, Ordering::Relaxed) {
                0 => {}
                new => *taken.drops.entry(count.category.clone()).or_default() += new,
            }
        }
        open
    }
}

impl<K, C> Default for Book<K, C> {
    fn default() -> Self {
        Self { counts: BTreeMap::new(), limit: MAX_IDLE_COUNTS }
    }
}

impl<K: Ord, C> Book<K, C> {
    /// The count of `key`, as it is or new.
    fn get(&mut self, key: K, new: impl FnOnce() -> Arc<C>) -> Arc<C> {
        if let Some(count) = self.counts.get(&key) {
            return count.clone();
        }
        if self.counts.len() >= self.limit {
            self.counts.retain(|_, count| Arc::get_mut(count).is_none());
            self.limit = self.counts.len() + MAX_IDLE_COUNTS;
        }
        let count = new();
        self.counts.insert(key, count.clone());
        count
    }

    fn is_in_use(&mut self) -> bool {
        self.counts.values_mut().any(|count| Arc::get_mut(count).is_none())
    }
}

impl EndpointCounts {
    /// A request begins.
    pub fn begin(&self) {
        self.issued.fetch_add(1, Ordering::Relaxed);
        self.in_progress.fetch_add(1, Ordering::Relaxed);
    }

    /// A request ends.
    pub fn end(&self, success: bool) {
        let count = if success { &self.successes } else { &self.errors };
        count.fetch_add(1, Ordering::Relaxed);
        self.in_progress.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it matters what the endpoint says of its own load.
    #[must_use]
    pub fn wants_metrics(&self) -> bool {
        !self.choice.is_empty()
    }

    /// The endpoint said this of its own load.
    pub fn hear(&self, report: &OrcaLoadReport) {
        lock(&self.metrics).hear(report, &self.choice);
    }

    fn take(&self) -> Counts {
        Counts {
            issued: self.issued.swap(0, Ordering::Relaxed),
            in_progress: self.in_progress.load(Ordering::Relaxed),
            successes: self.successes.swap(0, Ordering::Relaxed),
            errors: self.errors.swap(0, Ordering::Relaxed),
            metrics: std::mem::take(&mut *lock(&self.metrics)),
        }
    }
}

impl DropCount {
    /// Why they were dropped.
    #[must_use]
    pub fn category(&self) -> &Arc<str> {
        &self.category
    }

    /// A request was dropped.
    pub fn add(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
        self.unreported.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests dropped so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Counts {
    /// Adds what happened elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.issued += other.issued;
        self.in_progress += other.in_progress;
        self.successes += other.successes;
        self.errors += other.errors;
        self.metrics.merge(&other.metrics);
    }
}

/// The locks are never held where something can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        (0, Arc::default(), Address::host_port("10.0.0.1", 80))
    }

    #[test]
    fn what_was_taken_is_not_taken_again_but_what_is_in_progress_is() {
        let cluster = ClusterCounts::new("c".into(), "".into(), MetricChoice::default());
        let endpoint = cluster.endpoint(place());
        endpoint.begin();
        endpoint.begin();
        endpoint.end(true);
        let mut taken = Taken::default();
        assert!(cluster.take(&mut taken));
        let expected = Counts { issued: 2, in_progress: 1, successes: 1, ..Counts::default() };
        assert_eq!(taken.endpoints[&place()], expected);
        let mut taken = Taken::default();
        cluster.take(&mut taken);
        assert_eq!(taken.endpoints[&place()], Counts { in_progress: 1, ..Counts::default() });
        endpoint.end(false);
        let mut taken = Taken::default();
        cluster.take(&mut taken);
        assert_eq!(taken.endpoints[&place()], Counts { errors: 1, ..Counts::default() });
    }

    #[test]
    fn an_endpoint_is_forgotten_once_nobody_counts_it() {
        let cluster = ClusterCounts::new("c".into(), "".into(), MetricChoice::default());
        let endpoint = cluster.endpoint(place());
        endpoint.begin();
        endpoint.end(true);
        assert!(Arc::ptr_eq(&endpoint, &cluster.endpoint(place())));
        drop(endpoint);
        let mut taken = Taken::default();
        assert!(!cluster.take(&mut taken), "nothing can happen any more");
        assert_eq!(taken.endpoints[&place()].successes, 1);
        assert!(lock(&cluster.endpoints).counts.is_empty());
    }

    #[test]
    fn drops_are_counted_for_ever_and_reported_once() {
        let cluster = ClusterCounts::new("c".into(), "".into(), MetricChoice::default());
        let category: Arc<str> = "overload".into();
        cluster.dropped(&category).add();
        cluster.dropped(&category).add();
        let mut taken = Taken::default();
        cluster.take(&mut taken);
        cluster.take(&mut taken);
        assert_eq!(taken.drops, [(category.clone(), 2)].into());
        assert_eq!(cluster.drops(), [(category, 2)]);
    }

    #[test]
    fn endpoints_that_come_and_go_leave_a_bounded_number_of_counts_and_none_in_use_is_lost() {
        let cluster = ClusterCounts::new("c".into(), "".into(), MetricChoice::default());
        let at = |host: usize| (0, Arc::default(), Address::host_port(&format!("host-{host}"), 80));
        let lasting: Vec<_> = (0..5).map(|host| cluster.endpoint(at(host))).collect();
        let overload = cluster.dropped(&"overload".into());
        for host in 5..20 * MAX_IDLE_COUNTS {
            let endpoint = cluster.endpoint(at(host));
            endpoint.begin();
            endpoint.end(true);
            lasting.iter().for_each(|endpoint| endpoint.begin());
            overload.add();
            cluster.dropped(&format!("category {host}").into()).add();
            assert!(lock(&cluster.endpoints).counts.len() <= lasting.len() + MAX_IDLE_COUNTS);
            assert!(lock(&cluster.drops).counts.len() <= 1 + MAX_IDLE_COUNTS);
        }
        let mut taken = Taken::default();
        assert!(cluster.take(&mut taken));
        let begun = 20 * MAX_IDLE_COUNTS as u64 - 5;
        for host in 0..5 {
            assert_eq!(taken.endpoints[&at(host)].issued, begun);
        }
        assert_eq!(taken.drops["overload"], begun);
        assert_eq!(taken.endpoints[&at(20 * MAX_IDLE_COUNTS - 1)].successes, 1, "the latest is reported yet");
    }
}
