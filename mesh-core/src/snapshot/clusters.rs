//! The clusters that routes lead to, and where each stands.

mod compose;

use super::aggregates::Aggregates;
use super::entry::{ClusterKey, Entry, Scope};
use super::interest::Interest;
use super::meant::follow;
use super::reported::Reported;
use super::sources::Sources;
use super::verdict::{MadeOf, Verdict, look_up, verdict};
use crate::balance::Registry;
use crate::clock::Instant;
use crate::cluster::{Account, ClusterState, ClusterView, LiveCluster, Settings};
use crate::endpoint::Endpoint;
use crate::error::{Failure, Kind as ErrorKind};
use crate::net::Environment;
use crate::resource::Kind;
use crate::resource::cluster::{Cluster as ClusterResource, EndpointSource};
use crate::route::ClusterIndex;
use crate::slots::Slots;
use crate::xds::client::Client;
use crate::xds::load_counts::ClusterCounts;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A cluster that the control plane takes away while routes lead to it is used for this much longer: the routes that
/// lead elsewhere come with the next message.
pub const REMOVAL_GRACE: Duration = Duration::from_secs(1);

/// How often it is looked whether calls still go to a cluster that no route leads to any more.
pub const RETIREMENT_CHECK: Duration = Duration::from_secs(1);

/// The clusters that routes lead to, and where each stands.
#[derive(Debug)]
pub(super) struct Clusters {
    entries: Slab<Entry>,
    views: Slots<Arc<ClusterView>>,
    by_key: HashMap<ClusterKey, usize>,
    /// Which of them are made of which resource.
    names: Interest,
    sources: Sources,
    aggregates: Aggregates,
    /// Those whose clusters would lead back to themselves.
    astray: BTreeSet<usize>,
    /// Whether the control plane has listed all that there are.
    listed: bool,
    /// Those that have to be looked at.
    due: BTreeSet<usize>,
    /// Those made of clusters, of which some are not what they were.
    split: BTreeSet<usize>,
    /// Those that were taken away, and when their grace ends.
    leaving: BTreeMap<usize, Instant>,
    /// Those that may not be in use any more.
    idle: Vec<usize>,
    /// Those that no route leads to any more, but calls that began before, and when to look again.
    retired: BTreeMap<usize, Instant>,
    /// Those whose load is to be reported.
    reported: Reported,
    /// Those that turned out to lead to whatever their callers mean, and are shared all the same; and the reverse.
    misplaced: Vec<usize>,
    registry: Registry,
    settings: Settings,
    environment: Arc<Environment>,
}

impl Clusters {
    pub(super) fn new(settings: Settings, environment: Environment) -> Self {
        Self {
            entries: Slab::new(),
            views: Slots::default(),
            by_key: HashMap::new(),
            names: Interest::default(),
            sources: Sources::default(),
            aggregates: Aggregates::default(),
            astray: BTreeSet::new(),
            listed: false,
            due: BTreeSet::new(),
            split: BTreeSet::new(),
            leaving: BTreeMap::new(),
            idle: Vec::new(),
            retired: BTreeMap::new(),
            reported: Reported::default(),
            misplaced: Vec::new(),
            registry: Registry::default(),
            settings,
            environment: Arc::new(environment),
        }
    }

    /// The place of a cluster, which is made if it is new. It lasts if it is [kept](Self::keep) before the next
    /// [`sweep`](Self::sweep).
    pub(super) fn place(
        &mut self,
        key: ClusterKey,
        given: Option<Result<Arc<ClusterResource>, Failure>>,
    ) -> ClusterIndex {
        if let Some(&index) = self.by_key.get(&key) {
            return ClusterIndex(index);
        }
        let live = LiveCluster::new(key.name.clone(), key.protocol, self.settings, &self.environment);
        let entry = Entry::new(key.clone(), live, given);
        let view = entry.view.clone();
        let index = self.entries.insert(entry);
        self.views.set(index, Some(view));
        if key.scope != Scope::Given {
            self.names.add(&key.name, index);
        }
        self.due.insert(index);
        self.idle.push(index);
        self.by_key.insert(key, index);
        ClusterIndex(index)
    }

    /// Routes lead to these clusters.
    pub(super) fn keep(&mut self, places: &[ClusterIndex]) {
        for &ClusterIndex(index) in places {
            self.entries[index].uses += 1;
            if self.retired.remove(&index).is_some() {
                self.show(index, self.entries[index].view.retire(false));
            }
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
            Kind::Endpoint => self.due.extend(self.sources.assignments.users(name)),
            _ => {}
        }
    }

    /// The host names to look up now, at most `room`; each has to be [resolved](Self::resolved).
    pub(super) fn lookups(&mut self, now: Instant, room: usize) -> Vec<Arc<str>> {
        self.sources.dns.due(now, room)
    }

    /// A host name was looked up.
    pub(super) fn resolved(&mut self, host: &str, answer: Result<Vec<IpAddr>, String>, now: Instant) {
        if self.sources.dns.answered(host, answer, now, self.environment.clock.entropy()) {
            self.due.extend(self.sources.dns.users(host));
        }
    }

    /// Brings the clusters up to date of which something was heard; whether any changed.
    pub(super) fn update(&mut self, now: Instant, client: Option<&Client<Kind>>) -> bool {
        self.due.extend(self.leaving.iter().filter(|(_, at)| **at <= now).map(|(index, _)| index));
        let listed = client.is_some_and(|client| client.lists_all(Kind::Cluster));
        let before = std::mem::replace(&mut self.listed, listed);
        if listed && !before {
            self.due.extend(self.entries.iter().map(|(index, _)| index));
        }
        let mut changed = false;
        loop {
            while let Some(index) = self.due.pop_first() {
                if self.consider(index, now, client) {
                    changed = true;
                    self.concern(index);
                }
            }
            let Some(index) = self.split.pop_first() else { return changed };
            changed |= self.join(index);
        }
    }

    fn consider(&mut self, index: usize, now: Instant, client: Option<&Client<Kind>>) -> bool {
        let Some(entry) = self.entries.get_mut(index) else { return false };
        let resource = match (&entry.given, entry.key.scope.clone()) {
            (Some(Ok(given)), _) => Ok(given.clone()),
            (Some(Err(failure)), _) => Err(Verdict::Fail(failure.clone())),
            (None, Scope::Meant(name)) => follow(entry, &name, client, || self.misplaced.push(index)),
            (None, _) => look_up(&entry.key.name, client),
        };
        let in_use = entry.made_of.is_some();
        let gone_at = self.leaving.remove(&index);
        let verdict = match resource {
            Ok(resource) => match self.take_parts(index, Some(&resource.endpoints), now) {
                Ok(()) => self.judge(index, resource, client),
                Err(failure) => Verdict::Fail(failure),
            },
            Err(Verdict::Gone(_)) if in_use && gone_at.is_none_or(|at| now < at) => {
                self.leaving.insert(index, gone_at.unwrap_or(now + REMOVAL_GRACE));
                Verdict::Wait
            }
            Err(verdict) => self.take_parts(index, None, now).map_or_else(Verdict::Fail, |()| verdict),
        };
        let changed = self.conclude(index, verdict);
        if changed {
            self.serve(index, Vec::new());
        }
        changed
    }

    /// Does what is to become of a cluster; whether it is not what it was.
    fn conclude(&mut self, index: usize, verdict: Verdict) -> bool {
        let Some(entry) = self.entries.get_mut(index) else { return false };
        let view = match verdict {
            // Why it failed is no longer so: what is missing is on its way.
            Verdict::Wait if matches!(entry.view.state, ClusterState::Failed(_)) => entry.live.pending(),
            Verdict::Wait => return false,
            Verdict::Anew if matches!(entry.view.state, ClusterState::Pending) => return false,
            Verdict::Anew => {
                entry.made_of = None;
                entry.live.pending()
            }
            Verdict::Use(made_of) => {
                if entry.made_of.as_ref().is_some_and(|before| made_of.left(before)) {
                    return false;
                }
                let view = match &made_of {
                    MadeOf::Endpoints(resource, assignment, _) => {
                        entry.live.update(resource, assignment, &mut self.registry, &self.environment)
                    }
                    MadeOf::Clusters(views) => entry.live.join(views),
                };
                entry.made_of = Some(made_of.trace());
                made_of.tell(view)
            }
            Verdict::Fail(failure) | Verdict::Gone(failure) => {
                if matches!(&entry.view.state, ClusterState::Failed(before) if *before == failure) {
                    return false;
                }
                entry.made_of = None;
                entry.live.fail(failure)
            }
        };
        self.reported.note(index, view.account.reported().next().is_some());
        self.show(index, view.retire(self.retired.contains_key(&index)));
        true
    }

    fn show(&mut self, index: usize, view: ClusterView) {
        let view = Arc::new(view);
        self.views.set(index, Some(view.clone()));
        self.entries[index].view = view;
    }

    /// What is to become of a cluster that is there. One that is made of clusters waits until all of them were looked at.
    fn judge(
        &mut self,
        index: usize,
        resource: Arc<ClusterResource>,
        client: Option<&Client<Kind>>,
    ) -> Verdict {
        match &resource.endpoints {
            EndpointSource::Aggregate(_) => {
                self.split.insert(index);
                Verdict::Wait
            }
            EndpointSource::OriginalDestination(_) => {
                self.misplaced.push(index);
                let why = "it leads to whatever address its callers mean, and none is known";
                Verdict::Fail(Failure::new(ErrorKind::Unsupported, why))
            }
            _ => verdict(resource, &self.sources.dns, client),
        }
    }

    /// When there is something to do even if nothing new is heard. Names wait until there is `room`.
    pub(super) fn next_timer(&self, room: usize) -> Option<Instant> {
        let times = self.leaving.values().chain(self.retired.values()).copied();
        let dns = self.sources.dns.next_timer().filter(|_| room > 0);
        times.chain(dns).min()
    }

    /// The clusters that turned out not to be the same for all, since this was asked last.
    pub(super) fn take_misplaced(&mut self) -> Vec<ClusterIndex> {
        self.misplaced.drain(..).map(ClusterIndex).collect()
    }

    /// Whether it is known what the cluster in this place is, or that it is not.
    pub(super) fn is_settled(&self, index: ClusterIndex) -> bool {
        !matches!(self.entries[index.0].view.state, ClusterState::Pending)
    }

    /// Lets go of clusters that nothing leads to and no call is on its way to any more; whether any is not what it was.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        self.idle.extend(self.retired.iter().filter(|(_, at)| **at <= now).map(|(index, _)| index));
        let (mut moved, mut removed) = (false, false);
        while !self.idle.is_empty() {
            let idle = BTreeSet::from_iter(self.idle.drain(..));
            let idle =
                idle.into_iter().filter(|index| self.entries.get(*index).is_some_and(|it| it.uses == 0));
            // Who is called is looked at first: each change below has views held by two snapshots for a moment.
            let (called, free): (Vec<_>, Vec<_>) = idle.partition(|index| self.entries[*index].is_called());
            removed |= !free.is_empty();
            free.into_iter().for_each(|index| self.remove(index));
            for index in called {
                // It may only be the last snapshot that looks like a call, which is gone when the next is published.
                let again = self.retired.contains_key(&index) && !removed;
                self.retired.insert(index, if again { now + RETIREMENT_CHECK } else { now });
                if !self.entries[index].view.retired {
                    self.show(index, self.entries[index].view.retire(true));
                    moved = true;
                }
            }
        }
        moved | removed
    }

    fn remove(&mut self, index: usize) {
        let children = self.aggregates.replace(ClusterIndex(index), Vec::new());
        self.release(&children);
        self.serve(index, Vec::new());
        let mut entry = self.entries.remove(index);
        self.sources.let_go(index, &mut entry.held);
        self.names.remove(&entry.key.name, index);
        self.by_key.remove(&entry.key);
        self.leaving.remove(&index);
        self.astray.remove(&index);
        self.retired.remove(&index);
        self.reported.note(index, false);
        self.due.remove(&index);
        self.split.remove(&index);
        self.views.set(index, None);
    }

    /// The resources to subscribe to from now on, and those no more.
    pub(super) fn interests(&mut self) -> [(Kind, &mut Interest); 2] {
        [(Kind::Cluster, &mut self.names), (Kind::Endpoint, &mut self.sources.assignments)]
    }

    /// The counts of the clusters whose load is to be reported, each once; none if they are what they were.
    pub(super) fn reported(&mut self) -> Option<Vec<Arc<ClusterCounts>>> {
        let reported = self.reported.news()?.iter().map(|index| &self.entries[*index].view.account);
        Some(Account::reported_once(reported))
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
