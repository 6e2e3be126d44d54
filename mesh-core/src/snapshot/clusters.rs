//! The clusters that routes lead to, and where each stands.

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
use crate::xds::cache::{Absence, State};
use crate::xds::client::Client;
use slab::Slab;
use std::collections::{BTreeSet, HashMap};
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
    by_key: HashMap<ClusterKey, usize>,
    registry: Registry,
    settings: Settings,
    environment: Environment,
}

#[derive(Debug)]
struct Entry {
    key: ClusterKey,
    live: LiveCluster,
    view: Arc<ClusterView>,
    /// The cluster that was given with the routes.
    given: Option<Arc<ClusterResource>>,
    /// What the view was made of.
    made_of: Option<(Arc<ClusterResource>, Arc<Assignment>)>,
    /// When the grace of a cluster that was taken away ends.
    gone_at: Option<Instant>,
    marked: bool,
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
            by_key: HashMap::new(),
            registry: Registry::default(),
            settings,
            environment,
        }
    }

    /// The place of a cluster, which is made if it is new.
    pub(super) fn place(&mut self, key: ClusterKey, given: Option<&Arc<ClusterResource>>) -> ClusterIndex {
        if let Some(&index) = self.by_key.get(&key) {
            return ClusterIndex(index);
        }
        let live = LiveCluster::new(key.name.clone(), key.protocol, self.settings, &self.environment);
        let index = self.entries.insert(Entry {
            key: key.clone(),
            view: Arc::new(live.pending()),
            live,
            given: given.cloned(),
            made_of: None,
            gone_at: None,
            marked: true,
        });
        self.by_key.insert(key, index);
        ClusterIndex(index)
    }

    /// Brings every cluster up to date; whether any changed.
    pub(super) fn update(&mut self, now: Instant, client: Option<&Client<Kind>>) -> bool {
        let mut changed = false;
        for (_, entry) in &mut self.entries {
            let gone_at = entry.gone_at.take();
            let view = match entry.verdict(client) {
                Verdict::Wait => continue,
                Verdict::Use(resource, assignment) => {
                    let same = entry.made_of.as_ref().is_some_and(|(before, endpoints)| {
                        Arc::ptr_eq(before, &resource) && Arc::ptr_eq(endpoints, &assignment)
                    });
                    if same {
                        continue;
                    }
                    let view =
                        entry.live.update(&resource, &assignment, &mut self.registry, &self.environment);
                    entry.made_of = Some((resource, assignment));
                    view
                }
                Verdict::Gone(_) if entry.made_of.is_some() && gone_at.is_none_or(|at| now < at) => {
                    entry.gone_at = gone_at.or(Some(now + REMOVAL_GRACE));
                    continue;
                }
                Verdict::Fail(failure) | Verdict::Gone(failure) => {
                    if matches!(&entry.view.state, ClusterState::Failed(before) if *before == failure) {
                        continue;
                    }
                    entry.made_of = None;
                    entry.live.fail(failure)
                }
            };
            entry.view = Arc::new(view);
            changed = true;
        }
        changed
    }

    /// When [`update`](Self::update) has something to do even if nothing new is heard.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|(_, entry)| entry.gone_at).min()
    }

    /// Whether it is known what the cluster in this place is, or that it is not.
    pub(super) fn is_settled(&self, index: ClusterIndex) -> bool {
        !matches!(self.entries[index.0].view.state, ClusterState::Pending)
    }

    /// Lets go of the clusters that are in none of the places `in_use`; whether there were any.
    pub(super) fn sweep(&mut self, in_use: impl Iterator<Item = ClusterIndex>) -> bool {
        for index in in_use {
            self.entries[index.0].marked = true;
        }
        let before = self.entries.len();
        let by_key = &mut self.by_key;
        self.entries.retain(|_, entry| {
            let keep = std::mem::replace(&mut entry.marked, false);
            if !keep {
                by_key.remove(&entry.key);
            }
            keep
        });
        self.entries.len() != before
    }

    /// The names of the clusters and assignments that have to be subscribed to.
    pub(super) fn wanted(&self, client: Option<&Client<Kind>>) -> (BTreeSet<Arc<str>>, BTreeSet<Arc<str>>) {
        let names = || {
            let discovered = self.entries.iter().filter(|(_, entry)| entry.key.discovered);
            discovered.map(|(_, entry)| entry.key.name.clone())
        };
        let assignments = names().filter_map(|name| match client?.get(Kind::Cluster, &name)?.value()? {
            Resource::Cluster(cluster) => match &cluster.endpoints {
                EndpointSource::Named(assignment) => Some(assignment.clone()),
                EndpointSource::Inline(_) => None,
            },
            _ => None,
        });
        (names().collect(), assignments.collect())
    }

    /// Every cluster, in its place.
    pub(super) fn views(&self) -> Vec<Option<Arc<ClusterView>>> {
        let mut views = vec![None; self.entries.capacity()];
        for (index, entry) in &self.entries {
            views[index] = Some(entry.view.clone());
        }
        views
    }

    /// Every endpoint that somebody uses.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.registry.iter()
    }
}

impl Entry {
    fn verdict(&self, client: Option<&Client<Kind>>) -> Verdict {
        let resource = match &self.given {
            Some(given) => given.clone(),
            None => match self.lookup_cluster(client) {
                Ok(resource) => resource,
                Err(verdict) => return verdict,
            },
        };
        let name = match &resource.endpoints {
            EndpointSource::Inline(assignment) => return Verdict::Use(resource.clone(), assignment.clone()),
            EndpointSource::Named(name) => name,
        };
        let Some(entry) = client.and_then(|client| client.get(Kind::Endpoint, name)) else {
            return Verdict::Wait;
        };
        match (&entry.state, &entry.rejection) {
            (State::Present(present), _) => match &present.value {
                Resource::Endpoint(assignment) => Verdict::Use(resource.clone(), assignment.clone()),
                _ => Verdict::Wait,
            },
            (State::Pending, Some(rejection)) => {
                let why = format!("ClusterLoadAssignment {name} was refused: {}", rejection.reason);
                Verdict::Fail(Failure::new(ErrorKind::Rejected, why))
            }
            (State::Pending, None) => Verdict::Wait,
            (State::Absent(absence), _) => {
                let why = format!("ClusterLoadAssignment {name} {}", describe(*absence));
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
                let why = format!("Cluster {name} {}", describe(*absence));
                let failure = Failure::new(ErrorKind::NoCluster, why);
                Err(match absence {
                    Absence::Deleted => Verdict::Gone(failure),
                    _ => Verdict::Fail(failure),
                })
            }
        }
    }
}

/// What became of a resource, to follow its name.
pub(super) fn describe(absence: Absence) -> &'static str {
    match absence {
        Absence::Unlisted => "does not exist: the control plane answered without it",
        Absence::TimedOut => "does not exist: the control plane did not send it in time",
        Absence::Deleted => "does not exist any more: the control plane took it away",
    }
}
