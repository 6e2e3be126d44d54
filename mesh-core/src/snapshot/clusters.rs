//! The clusters that routes lead to, and where each stands.

use super::interest::Interest;
use crate::balance::Registry;
use crate::clock::Instant;
use crate::cluster::{ClusterState, ClusterView, LiveCluster, Settings};
use crate::endpoint::{Endpoint, Protocol};
use crate::error::{Failure, Kind as ErrorKind};
use crate::net::Environment;
use crate::resource::cluster::{Cluster as ClusterResource, EndpointSource};
use crate::resource::endpoint::Assignment;
use crate::resource::{Kind, Resource};
use crate::route::ClusterIndex;
use crate::slots::Slots;
use crate::xds::cache::{Absence, State};
use crate::xds::client::Client;
use crate::xds::load_counts::ClusterCounts;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// A cluster that the control plane takes away while routes lead to it is used for this much longer: the routes that
/// lead elsewhere come with the next message.
pub const REMOVAL_GRACE: Duration = Duration::from_secs(1);

/// What makes a cluster the same cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClusterKey {
    pub(super) name: Arc<str>,
    pub(super) protocol: Protocol,
    /// Whether it comes from the control plane, or was given with the routes.
    pub(super) discovered: bool,
}

/// The clusters that routes lead to, and where each stands.
#[derive(Debug)]
pub(super) struct Clusters {
    entries: Slab<Entry>,
    views: Slots<Arc<ClusterView>>,
    by_key: HashMap<ClusterKey, usize>,
    /// Which of them are made of which resource.
    names: Interest,
    assignments: Interest,
    /// Those that have to be looked at.
    due: BTreeSet<usize>,
    /// Those that were taken away, and when their grace ends.
    leaving: BTreeMap<usize, Instant>,
    /// Those that may not be in use any more.
    idle: Vec<usize>,
    /// Those whose load is to be reported.
    reported: BTreeSet<usize>,
    registry: Registry,
    settings: Settings,
    environment: Arc<Environment>,
}

#[derive(Debug)]
struct Entry {
    key: ClusterKey,
    live: LiveCluster,
    view: Arc<ClusterView>,
    /// The cluster that was given with the routes.
    given: Option<Arc<ClusterResource>>,
    /// The assignment that has its endpoints.
    assignment: Option<Arc<str>>,
    /// What the view was made of.
    made_of: Option<(Arc<ClusterResource>, Arc<Assignment>)>,
    /// The route configurations that lead here.
    uses: usize,
}

/// What is to become of a cluster.
enum Verdict {
    /// It stays as it is until more is known.
    Wait,
    Use(Arc<ClusterResource>, Arc<Assignment>),
    Fail(Failure),
    /// It was taken away.
    Gone(Failure),
}

impl Clusters {
    pub(super) fn new(settings: Settings, environment: Environment) -> Self {
        Self {
            entries: Slab::new(),
            views: Slots::default(),
            by_key: HashMap::new(),
            names: Interest::default(),
            assignments: Interest::default(),
            due: BTreeSet::new(),
            leaving: BTreeMap::new(),
            idle: Vec::new(),
            reported: BTreeSet::new(),
            registry: Registry::default(),
            settings,
            environment: Arc::new(environment),
        }
    }

    /// The place of a cluster, which is made if it is new. It lasts if it is [kept](Self::keep) before the next
    /// [`sweep`](Self::sweep).
    pub(super) fn place(&mut self, key: ClusterKey, given: Option<&Arc<ClusterResource>>) -> ClusterIndex {
        if let Some(&index) = self.by_key.get(&key) {
            return ClusterIndex(index);
        }
        let live = LiveCluster::new(key.name.clone(), key.protocol, self.settings, &self.environment);
        let view = Arc::new(live.pending());
        let index = self.entries.insert(Entry {
            key: key.clone(),
            view: view.clone(),
            live,
            given: given.cloned(),
            assignment: None,
            made_of: None,
            uses: 0,
        });
        self.views.set(index, Some(view));
        if key.discovered {
            self.names.add(&key.name, index);
        }
        self.due.insert(index);
        self.idle.push(index);
        self.by_key.insert(key, index);
        ClusterIndex(index)
    }

    /// Routes lead to these clusters.
    pub(super) fn keep(&mut self, places: &[ClusterIndex]) {
        for place in places {
            self.entries[place.0].uses += 1;
        }
    }

    /// Routes that led to these clusters are gone.
    pub(super) fn release(&mut self, places: &[ClusterIndex]) {
        for place in places {
            self.entries[place.0].uses -= 1;
            self.idle.push(place.0);
        }
    }

    /// A resource is not what it was.
    pub(super) fn hear(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::Cluster => self.due.extend(self.names.users(name)),
            Kind::Endpoint => self.due.extend(self.assignments.users(name)),
            _ => {}
        }
    }

    /// Brings the clusters up to date of which something was heard; whether any changed.
    pub(super) fn update(&mut self, now: Instant, client: Option<&Client<Kind>>) -> bool {
        self.due.extend(self.leaving.iter().filter(|(_, at)| **at <= now).map(|(index, _)| index));
        let mut changed = false;
        for index in std::mem::take(&mut self.due) {
            changed |= self.consider(index, now, client);
        }
        changed
    }

    fn consider(&mut self, index: usize, now: Instant, client: Option<&Client<Kind>>) -> bool {
        let Some(entry) = self.entries.get_mut(index) else { return false };
        let resource = entry.resource(client);
        let assignment = resource.as_ref().ok().and_then(|resource| match &resource.endpoints {
            EndpointSource::Named(name) => Some(name),
            _ => None,
        });
        self.assignments.switch(index, &mut entry.assignment, assignment);
        let gone_at = self.leaving.remove(&index);
        let view = match resource.map_or_else(|verdict| verdict, |resource| Entry::verdict(resource, client))
        {
            Verdict::Wait => return false,
            Verdict::Use(resource, assignment) => {
                let same = entry.made_of.as_ref().is_some_and(|(before, endpoints)| {
                    Arc::ptr_eq(before, &resource) && Arc::ptr_eq(endpoints, &assignment)
                });
                if same {
                    return false;
                }
                let view = entry.live.update(&resource, &assignment, &mut self.registry, &self.environment);
                entry.made_of = Some((resource, assignment));
                view
            }
            Verdict::Gone(_) if entry.made_of.is_some() && gone_at.is_none_or(|at| now < at) => {
                self.leaving.insert(index, gone_at.unwrap_or(now + REMOVAL_GRACE));
                return false;
            }
            Verdict::Fail(failure) | Verdict::Gone(failure) => {
                if matches!(&entry.view.state, ClusterState::Failed(before) if *before == failure) {
                    return false;
                }
                entry.made_of = None;
                entry.live.fail(failure)
            }
        };
        if view.account.reported().next().is_some() {
            self.reported.insert(index);
        } else {
            self.reported.remove(&index);
        }
        entry.view = Arc::new(view);
        self.views.set(index, Some(entry.view.clone()));
        true
    }

    /// When [`update`](Self::update) has something to do even if nothing new is heard.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.leaving.values().min().copied()
    }

    /// Whether it is known what the cluster in this place is, or that it is not.
    pub(super) fn is_settled(&self, index: ClusterIndex) -> bool {
        !matches!(self.entries[index.0].view.state, ClusterState::Pending)
    }

    /// Lets go of the clusters that no routes lead to any more; whether there were any.
    pub(super) fn sweep(&mut self) -> bool {
        let mut swept = false;
        for index in std::mem::take(&mut self.idle) {
            if self.entries.get(index).is_some_and(|entry| entry.uses == 0) {
                let mut entry = self.entries.remove(index);
                self.assignments.switch(index, &mut entry.assignment, None);
                self.names.remove(&entry.key.name, index);
                self.by_key.remove(&entry.key);
                self.leaving.remove(&index);
                self.reported.remove(&index);
                self.views.set(index, None);
                swept = true;
            }
        }
        swept
    }

    /// The resources to subscribe to from now on, and those no more.
    pub(super) fn interests(&mut self) -> [(Kind, &mut Interest); 2] {
        [(Kind::Cluster, &mut self.names), (Kind::Endpoint, &mut self.assignments)]
    }

    /// The counts of the clusters whose load is to be reported; each once.
    pub(super) fn reported(&self) -> Vec<Arc<ClusterCounts>> {
        let mut counts: Vec<&Arc<ClusterCounts>> = Vec::new();
        for index in &self.reported {
            counts.extend(self.entries[*index].view.account.reported());
        }
        // What is made of clusters has what those have.
        counts.sort_by_key(|counts| Arc::as_ptr(counts));
        counts.dedup_by(|a, b| Arc::ptr_eq(a, b));
        counts.into_iter().cloned().collect()
    }

    /// Every cluster, in its place.
    pub(super) fn views(&self) -> Slots<Arc<ClusterView>> {
        self.views.clone()
    }

    /// Every endpoint that somebody uses.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.registry.iter()
    }
}

impl Entry {
    /// The cluster, or why there is none.
    fn resource(&self, client: Option<&Client<Kind>>) -> Result<Arc<ClusterResource>, Verdict> {
        match &self.given {
            Some(given) => Ok(given.clone()),
            None => self.lookup_cluster(client),
        }
    }

    /// What is to become of a cluster that is there.
    fn verdict(resource: Arc<ClusterResource>, client: Option<&Client<Kind>>) -> Verdict {
        let name = match &resource.endpoints {
            EndpointSource::Named(name) => name,
            // A name is looked up with each connection that is made to it.
            other => match other.given() {
                Some(assignment) => {
                    let assignment = assignment.clone();
                    return Verdict::Use(resource, assignment);
                }
                None => {
                    let why =
                        format!("clusters whose endpoints are {} are not supported yet", other.describe());
                    return Verdict::Fail(Failure::new(ErrorKind::Unsupported, why));
                }
            },
        };
        let Some(entry) = client.and_then(|client| client.get(Kind::Endpoint, name)) else {
            return Verdict::Wait;
        };
        match (&entry.state, &entry.rejection) {
            (State::Present(present), _) => match &present.value {
                Resource::Endpoint(assignment) => {
                    let assignment = assignment.clone();
                    Verdict::Use(resource, assignment)
                }
                _ => Verdict::Wait,
            },
            (State::Pending, Some(rejection)) => {
                let why = format!("ClusterLoadAssignment {name} was refused: {}", rejection.reason);
                Verdict::Fail(Failure::new(ErrorKind::Rejected, why))
            }
            (State::Pending, None) => Verdict::Wait,
            (State::Absent(_), _) => {
                let why = format!("ClusterLoadAssignment {name} {}", entry.trouble());
                Verdict::Fail(Failure::new(ErrorKind::NoEndpoint, why))
            }
        }
    }

    fn lookup_cluster(&self, client: Option<&Client<Kind>>) -> Result<Arc<ClusterResource>, Verdict> {
        let name = &self.key.name;
        let Some(entry) = client.and_then(|client| client.get(Kind::Cluster, name)) else {
            return Err(Verdict::Wait);
        };
        match (&entry.state, &entry.rejection) {
            (State::Present(present), _) => match &present.value {
                Resource::Cluster(cluster) => Ok(cluster.clone()),
                _ => Err(Verdict::Wait),
            },
            (State::Pending, Some(rejection)) => {
                let why = format!("Cluster {name} was refused: {}", rejection.reason);
                Err(Verdict::Fail(Failure::new(ErrorKind::Rejected, why)))
            }
            (State::Pending, None) => Err(Verdict::Wait),
            (State::Absent(absence), _) => {
                let why = format!("Cluster {name} {}", entry.trouble());
                let failure = Failure::new(ErrorKind::NoCluster, why);
                Err(match absence {
                    Absence::Deleted => Verdict::Gone(failure),
                    _ => Verdict::Fail(failure),
                })
            }
        }
    }
}
