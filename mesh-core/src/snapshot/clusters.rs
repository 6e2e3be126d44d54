//! The clusters that routes lead to, and where each stands.

use super::interest::Interest;
use super::sources::{Held, Sources};
use super::verdict::{MadeOf, Verdict, join, look_up, verdict};
use crate::balance::Registry;
use crate::clock::Instant;
use crate::cluster::{ClusterState, ClusterView, LiveCluster, Settings};
use crate::endpoint::{Endpoint, Protocol};
use crate::error::{Failure, Kind as ErrorKind};
use crate::net::Environment;
use crate::resource::Kind;
use crate::resource::cluster::{Cluster as ClusterResource, EndpointSource};
use crate::route::ClusterIndex;
use crate::slots::Slots;
use crate::xds::client::Client;
use crate::xds::load_counts::ClusterCounts;
use crate::xds::name::canonical;
use slab::Slab;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A cluster that the control plane takes away while routes lead to it is used for this much longer: the routes that
/// lead elsewhere come with the next message.
pub const REMOVAL_GRACE: Duration = Duration::from_secs(1);

/// How deep clusters may be made of clusters (gRFC A37).
pub const MAX_AGGREGATE_DEPTH: usize = 16;

/// What makes a cluster the same cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClusterKey {
    pub(super) name: Arc<str>,
    pub(super) protocol: Protocol,
    pub(super) scope: Scope,
}

/// Who shares a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// All: it comes from the control plane.
    Shared,
    /// All who were given it: it was not asked for.
    Given,
    /// One authority: the cluster leads to whatever its callers mean.
    Meant(Arc<str>),
}

/// The clusters that routes lead to, and where each stands.
#[derive(Debug)]
pub(super) struct Clusters {
    entries: Slab<Entry>,
    views: Slots<Arc<ClusterView>>,
    by_key: HashMap<ClusterKey, usize>,
    /// Which of them are made of which resource.
    names: Interest,
    sources: Sources,
    /// Whether the control plane has listed all that there are.
    listed: bool,
    /// Those that have to be looked at.
    due: BTreeSet<usize>,
    /// Those that were taken away, and when their grace ends.
    leaving: BTreeMap<usize, Instant>,
    /// Those that may not be in use any more.
    idle: Vec<usize>,
    /// Those whose load is to be reported.
    reported: BTreeSet<usize>,
    /// Those that turned out to lead to whatever their callers mean, and are shared all the same.
    misplaced: Vec<ClusterIndex>,
    registry: Registry,
    settings: Settings,
    environment: Arc<Environment>,
}

#[derive(Debug)]
struct Entry {
    key: ClusterKey,
    live: LiveCluster,
    view: Arc<ClusterView>,
    /// The cluster if it need not be asked for, or why it cannot be used.
    given: Option<Result<Arc<ClusterResource>, Failure>>,
    /// What its endpoints are made of.
    held: Held,
    /// The clusters that it is made of, if it is made of clusters.
    children: Vec<ClusterIndex>,
    /// The clusters that are made of it.
    parents: Vec<usize>,
    /// What the view was made of.
    made_of: Option<MadeOf>,
    /// The route configurations and clusters that lead here.
    uses: usize,
}

impl Clusters {
    pub(super) fn new(settings: Settings, environment: Environment) -> Self {
        Self {
            entries: Slab::new(),
            views: Slots::default(),
            by_key: HashMap::new(),
            names: Interest::default(),
            sources: Sources::default(),
            listed: false,
            due: BTreeSet::new(),
            leaving: BTreeMap::new(),
            idle: Vec::new(),
            reported: BTreeSet::new(),
            misplaced: Vec::new(),
            registry: Registry::default(),
            settings,
            environment: Arc::new(environment),
        }
    }

    /// The place of a cluster, which is made if it is new. It lasts if it is [kept](Self::keep) before the next
    /// [`sweep`](Self::sweep). However routes and clusters write its name, it is one.
    pub(super) fn place(
        &mut self,
        mut key: ClusterKey,
        given: Option<Result<Arc<ClusterResource>, Failure>>,
    ) -> ClusterIndex {
        if let Cow::Owned(name) = canonical(&key.name) {
            key.name = name.into();
        }
        if let Some(&index) = self.by_key.get(&key) {
            return ClusterIndex(index);
        }
        let live = LiveCluster::new(key.name.clone(), key.protocol, self.settings, &self.environment);
        let view = Arc::new(live.pending());
        let index = self.entries.insert(Entry {
            key: key.clone(),
            view: view.clone(),
            live,
            given,
            held: Held::default(),
            children: Vec::new(),
            parents: Vec::new(),
            made_of: None,
            uses: 0,
        });
        self.views.set(index, Some(view));
        if key.scope == Scope::Shared {
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
            Kind::Endpoint => self.due.extend(self.sources.assignments.users(name)),
            _ => {}
        }
    }

    /// The host names to look up now; each has to be [resolved](Self::resolved).
    pub(super) fn lookups(&mut self, now: Instant) -> Vec<Arc<str>> {
        self.sources.dns.due(now)
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
        while let Some(index) = self.due.pop_first() {
            if self.consider(index, now, client) {
                changed = true;
                self.due.extend(&self.entries[index].parents);
            }
        }
        changed
    }

    fn consider(&mut self, index: usize, now: Instant, client: Option<&Client<Kind>>) -> bool {
        let Some(entry) = self.entries.get_mut(index) else { return false };
        let resource = match &entry.given {
            Some(Ok(given)) => Ok(given.clone()),
            Some(Err(failure)) => Err(Verdict::Fail(failure.clone())),
            None => look_up(&entry.key.name, client),
        };
        let source = resource.as_ref().ok().map(|resource| &resource.endpoints);
        self.sources.hold(index, &mut entry.held, source, now);
        let adopted = self.adopt(index, source);
        let verdict = match (resource, adopted) {
            (Err(verdict), _) => verdict,
            (Ok(_), Err(failure)) => Verdict::Fail(failure),
            (Ok(resource), Ok(())) => self.judge(index, resource, client),
        };
        let gone_at = self.leaving.remove(&index);
        let Some(entry) = self.entries.get_mut(index) else { return false };
        let view = match verdict {
            // Why it failed is no longer so: what is missing is on its way.
            Verdict::Wait if matches!(entry.view.state, ClusterState::Failed(_)) => entry.live.pending(),
            Verdict::Wait => return false,
            Verdict::Use(made_of) => {
                if entry.made_of.as_ref().is_some_and(|before| before.is_same(&made_of)) {
                    return false;
                }
                let view = match &made_of {
                    MadeOf::Endpoints(resource, assignment) => {
                        entry.live.update(resource, assignment, &mut self.registry, &self.environment)
                    }
                    MadeOf::Clusters(views) => entry.live.join(views),
                };
                entry.made_of = Some(made_of);
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

    /// What is to become of a cluster that is there.
    fn judge(
        &mut self,
        index: usize,
        resource: Arc<ClusterResource>,
        client: Option<&Client<Kind>>,
    ) -> Verdict {
        match &resource.endpoints {
            EndpointSource::Aggregate(_) => {
                let children = self.entries[index].children.iter();
                join(children.map(|child| self.entries[child.0].view.clone()).collect())
            }
            EndpointSource::OriginalDestination(_) => {
                self.misplaced.push(ClusterIndex(index));
                let why = "it leads to whatever address its callers mean, and none is known";
                Verdict::Fail(Failure::new(ErrorKind::Unsupported, why))
            }
            _ => verdict(resource, &self.sources.dns, client),
        }
    }

    /// Sees to it that a cluster has the clusters that it is made of, in their order.
    fn adopt(&mut self, index: usize, source: Option<&EndpointSource>) -> Result<(), Failure> {
        let names: &[Arc<str>] = match source {
            Some(EndpointSource::Aggregate(names)) => names,
            _ => &[],
        };
        let protocol = self.entries[index].key.protocol;
        let mut children = Vec::with_capacity(names.len());
        for name in names {
            let key = ClusterKey { name: name.clone(), protocol, scope: Scope::Shared };
            children.push(self.place(key, None));
        }
        let astray = children.iter().find_map(|child| self.leads_astray(child.0, index, 1));
        if astray.is_some() {
            children.clear();
        }
        if self.entries[index].children != children {
            self.keep(&children);
            for child in &children {
                self.entries[child.0].parents.push(index);
            }
            let before = std::mem::replace(&mut self.entries[index].children, children);
            self.disown(index, &before);
        }
        match astray {
            Some(why) => Err(Failure::new(ErrorKind::Rejected, format!("its clusters {why}"))),
            None => Ok(()),
        }
    }

    /// Lets go of the clusters that a cluster was made of.
    fn disown(&mut self, index: usize, children: &[ClusterIndex]) {
        for child in children {
            let parents = &mut self.entries[child.0].parents;
            if let Some(position) = parents.iter().position(|parent| *parent == index) {
                parents.swap_remove(position);
            }
        }
        self.release(children);
    }

    /// What speaks against `from` being part of `to`.
    fn leads_astray(&self, from: usize, to: usize, depth: usize) -> Option<&'static str> {
        if from == to {
            return Some("lead back to itself");
        }
        if depth >= MAX_AGGREGATE_DEPTH {
            return Some("are made of clusters too deeply");
        }
        let children = self.entries[from].children.iter();
        children.copied().find_map(|child| self.leads_astray(child.0, to, depth + 1))
    }

    /// When there is something to do even if nothing new is heard.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.leaving.values().min().copied().into_iter().chain(self.sources.dns.next_timer()).min()
    }

    /// The clusters that turned out not to be the same for all, since this was asked last.
    pub(super) fn take_misplaced(&mut self) -> Vec<ClusterIndex> {
        std::mem::take(&mut self.misplaced)
    }

    /// Whether it is known what the cluster in this place is, or that it is not.
    pub(super) fn is_settled(&self, index: ClusterIndex) -> bool {
        !matches!(self.entries[index.0].view.state, ClusterState::Pending)
    }

    /// Lets go of the clusters that nothing leads to any more; whether there were any.
    pub(super) fn sweep(&mut self) -> bool {
        let mut swept = false;
        while let Some(index) = self.idle.pop() {
            if self.entries.get(index).is_some_and(|entry| entry.uses == 0) {
                let children = std::mem::take(&mut self.entries[index].children);
                self.disown(index, &children);
                let mut entry = self.entries.remove(index);
                self.sources.let_go(index, &mut entry.held);
                self.names.remove(&entry.key.name, index);
                self.by_key.remove(&entry.key);
                self.leaving.remove(&index);
                self.reported.remove(&index);
                self.due.remove(&index);
                self.views.set(index, None);
                swept = true;
            }
        }
        swept
    }

    /// The resources to subscribe to from now on, and those no more.
    pub(super) fn interests(&mut self) -> [(Kind, &mut Interest); 2] {
        [(Kind::Cluster, &mut self.names), (Kind::Endpoint, &mut self.sources.assignments)]
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
