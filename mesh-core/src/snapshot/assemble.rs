//! Joins listeners, routes, clusters and endpoints into a snapshot.
//!
//! No call may fail because configuration moves: new routes take over only once every cluster they lead to is known, or
//! known not to exist, and until then the old ones serve. A target without routes gets its first ones at once, and
//! the requests that lead to a cluster that is not here yet wait for that cluster alone.

use super::clusters::{ClusterKey, Clusters};
use super::interest::Interest;
use super::target::{Origin, StaticCluster, TargetId, TargetSpec};
use super::wanted::{Wanted, routes_of, wanted};
use super::{Routes, Snapshot, TargetState, TargetView};
use crate::clock::Instant;
use crate::cluster::Settings;
use crate::endpoint::Endpoint;
use crate::net::Environment;
use crate::resource::Kind;
use crate::resource::cluster::Cluster;
use crate::resource::route::RouteConfig;
use crate::route::{ClusterIndex, RouteTable};
use crate::slots::Slots;
use crate::xds::client::Client;
use crate::xds::load_counts::ClusterCounts;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Joins resources into snapshots.
#[derive(Debug)]
pub(super) struct Assembler {
    targets: BTreeMap<usize, Target>,
    views: Slots<Arc<TargetView>>,
    /// Which targets are made of which resource.
    listeners: Interest,
    routes: Interest,
    /// Targets that have to be looked at.
    due: BTreeSet<usize>,
    /// Targets with routes that wait for their clusters.
    waiting: BTreeSet<usize>,
    clusters: Clusters,
    statics: BTreeMap<Arc<str>, StaticCluster>,
    number: u64,
    /// Whether the next snapshot differs from the last.
    changed: bool,
    control_plane_error: Option<Arc<str>>,
}

#[derive(Debug)]
struct Target {
    id: TargetId,
    spec: TargetSpec,
    view: Arc<TargetView>,
    /// The route configuration that its listener names.
    routes: Option<Arc<str>>,
    in_service: Option<Compiled>,
    /// Routes that wait for their clusters.
    candidate: Option<Compiled>,
    /// What is passed through, so that it is made once.
    passed_through: Option<StaticCluster>,
}

/// Routes and the clusters that they lead to.
#[derive(Clone, Debug)]
struct Compiled {
    config: Arc<RouteConfig>,
    max_stream_duration: Option<Duration>,
    table: Arc<RouteTable>,
    clusters: Vec<ClusterIndex>,
}

impl Assembler {
    pub(super) fn new(
        statics: BTreeMap<Arc<str>, StaticCluster>,
        settings: Settings,
        environment: Environment,
    ) -> Self {
        Self {
            targets: BTreeMap::new(),
            views: Slots::default(),
            listeners: Interest::default(),
            routes: Interest::default(),
            due: BTreeSet::new(),
            waiting: BTreeSet::new(),
            clusters: Clusters::new(settings, environment),
            statics,
            number: 0,
            changed: false,
            control_plane_error: None,
        }
    }

    pub(super) fn add(&mut self, id: TargetId, spec: TargetSpec) {
        // Its place may have been another's, whose removal was not heard of yet.
        self.remove_at(id.slot);
        if let Origin::ControlPlane { listener, .. } = &spec.origin {
            self.listeners.add(listener, id.slot);
        }
        let view = Arc::new(TargetView { id, state: TargetState::Pending });
        self.views.set(id.slot, Some(view.clone()));
        let target =
            Target { id, spec, view, routes: None, in_service: None, candidate: None, passed_through: None };
        self.targets.insert(id.slot, target);
        self.due.insert(id.slot);
    }

    pub(super) fn remove(&mut self, id: TargetId) {
        if self.targets.get(&id.slot).is_some_and(|target| target.id == id) {
            self.remove_at(id.slot);
        }
    }

    fn remove_at(&mut self, slot: usize) {
        let Some(mut target) = self.targets.remove(&slot) else { return };
        if let Origin::ControlPlane { listener, .. } = &target.spec.origin {
            self.listeners.remove(listener, slot);
        }
        self.routes.switch(slot, &mut target.routes, None);
        self.release(target.in_service.take());
        self.release(target.candidate.take());
        self.waiting.remove(&slot);
        self.views.set(slot, None);
        self.changed = true;
    }

    /// A resource is not what it was.
    pub(super) fn hear(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::Listener => self.due.extend(self.listeners.users(name)),
            Kind::Route => self.due.extend(self.routes.users(name)),
            _ => self.clusters.hear(kind, name),
        }
    }

    /// Draws the conclusions from what was heard.
    pub(super) fn run(&mut self, now: Instant, client: Option<&Client<Kind>>) {
        for slot in std::mem::take(&mut self.due) {
            if let Some(mut target) = self.targets.remove(&slot) {
                self.consider(&mut target, client);
                self.targets.insert(slot, target);
            }
        }
        self.changed |= self.clusters.update(now, client);
        for slot in std::mem::take(&mut self.waiting) {
            if let Some(mut target) = self.targets.remove(&slot) {
                self.promote(&mut target);
                self.targets.insert(slot, target);
            }
        }
        self.changed |= self.clusters.sweep();
        let error = client.and_then(Client::error);
        self.changed |= self.control_plane_error.as_ref() != error;
        self.control_plane_error = error.cloned();
    }

    /// Learns what the resources say about a target.
    fn consider(&mut self, target: &mut Target, client: Option<&Client<Kind>>) {
        let routes = routes_of(&target.spec, client);
        self.routes.switch(target.id.slot, &mut target.routes, routes);
        match wanted(&target.spec, &mut target.passed_through, &self.statics, client) {
            Wanted::Unknown => {
                // What is in service stays; what waits may have been overtaken.
                self.release(target.candidate.take());
            }
            Wanted::Failure(failure) => {
                self.release(target.in_service.take());
                self.release(target.candidate.take());
                if !matches!(&target.view.state, TargetState::Failed(before) if *before == failure) {
                    self.show(target, TargetState::Failed(failure));
                }
            }
            Wanted::Routes { config, max_stream_duration, given } => {
                let is = |compiled: &Option<Compiled>| {
                    compiled.as_ref().is_some_and(|compiled| {
                        Arc::ptr_eq(&compiled.config, &config)
                            && compiled.max_stream_duration == max_stream_duration
                    })
                };
                if is(&target.in_service) {
                    self.release(target.candidate.take());
                } else if !is(&target.candidate) {
                    let compiled = self.compile(&target.spec, config, max_stream_duration, given.as_ref());
                    let overtaken = target.candidate.replace(compiled);
                    self.release(overtaken);
                }
                if target.candidate.is_some() {
                    self.waiting.insert(target.id.slot);
                }
            }
        }
    }

    /// Puts waiting routes in service if nothing speaks against it.
    fn promote(&mut self, target: &mut Target) {
        let Some(candidate) = &target.candidate else { return };
        let settled = || candidate.clusters.iter().all(|&index| self.clusters.is_settled(index));
        if target.in_service.is_some() && !settled() {
            self.waiting.insert(target.id.slot);
            return;
        }
        let replaced = std::mem::replace(&mut target.in_service, target.candidate.take());
        self.release(replaced);
        if let Some(compiled) = &target.in_service {
            let routes = Routes {
                host: compiled.table.find_host(&target.spec.name),
                table: compiled.table.clone(),
                max_stream_duration: compiled.max_stream_duration,
            };
            self.show(target, TargetState::Routed(routes));
        }
    }

    fn show(&mut self, target: &mut Target, state: TargetState) {
        target.view = Arc::new(TargetView { id: target.id, state });
        self.views.set(target.id.slot, Some(target.view.clone()));
        self.changed = true;
    }

    /// Lets go of routes.
    fn release(&mut self, compiled: Option<Compiled>) {
        if let Some(compiled) = compiled {
            self.clusters.release(&compiled.clusters);
        }
    }

    fn compile(
        &mut self,
        spec: &TargetSpec,
        config: Arc<RouteConfig>,
        max_stream_duration: Option<Duration>,
        given: Option<&Arc<Cluster>>,
    ) -> Compiled {
        let mut places = BTreeSet::new();
        let table = RouteTable::new(&config, |name| {
            let (name, protocol) = (name.clone(), spec.protocol);
            let key = ClusterKey { name, protocol, discovered: given.is_none() };
            let place = self.clusters.place(key, given);
            places.insert(place);
            place
        });
        let clusters: Vec<_> = places.into_iter().collect();
        self.clusters.keep(&clusters);
        Compiled { config, max_stream_duration, table: Arc::new(table), clusters }
    }

    /// The resources of each kind that are used, to subscribe to.
    pub(super) fn interests(&mut self) -> [(Kind, &mut Interest); 4] {
        let [clusters, assignments] = self.clusters.interests();
        [(Kind::Listener, &mut self.listeners), (Kind::Route, &mut self.routes), clusters, assignments]
    }

    /// When [`run`](Self::run) has something to do even if nothing new is heard.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.clusters.next_timer()
    }

    /// The counts of the clusters whose load is to be reported.
    pub(super) fn reported(&self) -> Vec<Arc<ClusterCounts>> {
        self.clusters.reported()
    }

    /// Every endpoint that somebody uses.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.clusters.endpoints()
    }

    /// The targets and where each stands.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&TargetSpec, &TargetState)> {
        self.targets.values().map(|target| (&target.spec, &target.view.state))
    }

    /// A new snapshot, if anything changed since the last.
    pub(super) fn snapshot(&mut self) -> Option<Snapshot> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.number += 1;
        Some(Snapshot {
            number: self.number,
            control_plane_error: self.control_plane_error.clone(),
            closed: false,
            targets: self.views.clone(),
            clusters: self.clusters.views(),
        })
    }
}
