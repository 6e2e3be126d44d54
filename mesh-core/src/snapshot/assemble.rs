//! Joins listeners, routes, clusters and endpoints into a snapshot.
//!
//! No call may fail because configuration moves: new routes take over only once every cluster they lead to is known, or
//! known not to exist, and until then the old ones serve. A target without routes gets its first ones at once, and
//! the requests that lead to a cluster that is not here yet wait for that cluster alone.

use super::asked::{Asked, Askers};
use super::clusters::Clusters;
use super::destination::split;
use super::entry::{ClusterKey, Scope};
use super::interest::Interest;
use super::meant::{original_destination, refusal};
use super::outbound::{Concerned, Outbound};
use super::target::{Origin, StaticCluster, TargetId, TargetSpec};
use super::told::Told;
use super::wanted::{Own, Wanted, wanted};
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
use crate::xds::Listed;
use crate::xds::client::Client;
use crate::xds::load_counts::ClusterCounts;
use crate::xds::name::is_federated;
use crate::xds::outages::Outages;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Joins resources into snapshots.
#[derive(Debug)]
pub(super) struct Assembler {
    targets: BTreeMap<usize, Target>,
    views: Slots<Arc<TargetView>>,
    /// Which targets are made of which resource.
    askers: Askers,
    /// The listeners, if the control plane treats us as a sidecar.
    outbound: Outbound,
    /// Those that are not what they were.
    heard: Vec<Arc<str>>,
    /// How much of all listeners and of all clusters is known.
    listed: [Listed; 2],
    /// The targets whose listeners are found by port.
    by_port: BTreeMap<u16, BTreeSet<usize>>,
    /// Targets that have to be looked at.
    due: BTreeSet<usize>,
    /// Targets with routes that wait for their clusters.
    waiting: BTreeSet<usize>,
    clusters: Clusters,
    statics: BTreeMap<Arc<str>, StaticCluster>,
    number: u64,
    /// Whether the next snapshot differs from the last.
    changed: bool,
    outages: Outages,
}

#[derive(Debug)]
struct Target {
    id: TargetId,
    spec: TargetSpec,
    view: Arc<TargetView>,
    /// What decides where it leads, beside listeners.
    asked: Asked,
    in_service: Option<Compiled>,
    /// Routes that wait for their clusters.
    candidate: Option<Compiled>,
    own: Own,
}

/// The routes of a target and the clusters that they lead to.
#[derive(Clone, Debug)]
struct Compiled {
    config: Arc<RouteConfig>,
    max_stream_duration: Option<Duration>,
    table: Arc<RouteTable>,
    clusters: Vec<ClusterIndex>,
    /// Whether it has to be compiled anew, because a cluster is not what it seemed to be.
    stale: bool,
}

impl Assembler {
    pub(super) fn new(
        statics: BTreeMap<Arc<str>, StaticCluster>,
        node_id: &str,
        settings: Settings,
        environment: Environment,
    ) -> Self {
        Self {
            targets: BTreeMap::new(),
            views: Slots::default(),
            askers: Askers::default(),
            outbound: Outbound::new(node_id),
            heard: Vec::new(),
            listed: [Listed::Open; 2],
            by_port: BTreeMap::new(),
            due: BTreeSet::new(),
            waiting: BTreeSet::new(),
            clusters: Clusters::new(settings, environment),
            statics,
            number: 0,
            changed: false,
            outages: Outages::default(),
        }
    }

    pub(super) fn add(&mut self, id: TargetId, spec: TargetSpec) {
        // Its place may have been another's, whose removal was not heard of yet.
        self.remove_at(id.slot);
        match &spec.origin {
            Origin::ControlPlane { listener, .. } => self.askers.listeners.add(listener, id.slot),
            Origin::Sidecar { .. } => {
                self.by_port.entry(split(&spec.name).1).or_default().insert(id.slot);
            }
            Origin::Static(_) => {}
        }
        let view = Arc::new(TargetView { id, state: TargetState::Pending });
        self.views.set(id.slot, Some(view.clone()));
        let target = Target {
            id,
            spec,
            view,
            asked: Asked::default(),
            in_service: None,
            candidate: None,
            own: Own::default(),
        };
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
        match &target.spec.origin {
            Origin::ControlPlane { listener, .. } => self.askers.listeners.remove(listener, slot),
            Origin::Sidecar { .. } => {
                if let Some(slots) = self.by_port.get_mut(&split(&target.spec.name).1) {
                    slots.remove(&slot);
                }
            }
            Origin::Static(_) => {}
        }
        self.askers.replace(slot, &mut target.asked, Asked::default());
        self.release(target.in_service.take());
        self.release(target.candidate.take());
        self.waiting.remove(&slot);
        self.views.set(slot, None);
        self.changed = true;
    }

    /// A resource is not what it was.
    pub(super) fn hear(&mut self, kind: Kind, name: &Arc<str>) {
        self.due.extend(self.askers.of(kind, name));
        // Listeners of other authorities are none that a sidecar would open.
        if kind == Kind::Listener && !is_federated(name) {
            self.heard.push(name.clone());
        }
        self.clusters.hear(kind, name);
    }

    /// Draws the conclusions from what was heard.
    pub(super) fn run(&mut self, now: Instant, client: Option<&Client<Kind>>) {
        self.learn_outbound(client);
        for slot in std::mem::take(&mut self.due) {
            if let Some(mut target) = self.targets.remove(&slot) {
                self.consider(&mut target, client);
                self.targets.insert(slot, target);
            }
        }
        self.changed |= self.clusters.update(now, client);
        if self.recompile_misplaced(client) {
            self.changed |= self.clusters.update(now, client);
        }
        for slot in std::mem::take(&mut self.waiting) {
            if let Some(mut target) = self.targets.remove(&slot) {
                self.promote(&mut target);
                self.targets.insert(slot, target);
            }
        }
        self.changed |= self.clusters.sweep(now);
        let outages = client.map(Client::outages).unwrap_or_default();
        self.changed |= self.outages != outages;
        self.outages = outages;
    }

    /// Takes note of the listeners that are not what they were.
    fn learn_outbound(&mut self, client: Option<&Client<Kind>>) {
        let heard = std::mem::take(&mut self.heard);
        let Some(client) = client.filter(|client| client.subscribes_all(Kind::Listener)) else { return };
        let listed = [Kind::Listener, Kind::Cluster].map(|kind| client.listed(kind));
        let before = std::mem::replace(&mut self.listed, listed);
        // What is listed anew leaves everything as it is meanwhile.
        let mut all = listed.iter().zip(before).any(|(now, before)| *now != before && *now != Listed::Open);
        for name in heard {
            match self.outbound.note(&name, client.listener(&name)) {
                Concerned::All => all = true,
                Concerned::Ports(ports) => {
                    let slots = ports.iter().filter_map(|port| self.by_port.get(port)).flatten();
                    self.due.extend(slots);
                }
            }
        }
        if all {
            self.due.extend(self.by_port.values().flatten());
        }
    }

    /// Compiles the routes anew that lead to clusters which turned out to lead wherever their callers mean, or not to do so
    /// any more; whether there were any.
    fn recompile_misplaced(&mut self, client: Option<&Client<Kind>>) -> bool {
        let misplaced = self.clusters.take_misplaced();
        let leads_there =
            |compiled: &Compiled| compiled.clusters.iter().any(|place| misplaced.contains(place));
        let concerned = self
            .targets
            .iter()
            .filter(|(_, target)| target.in_service.iter().chain(&target.candidate).any(leads_there));
        let concerned: Vec<usize> = concerned.map(|(slot, _)| *slot).collect();
        for slot in &concerned {
            let Some(mut target) = self.targets.remove(slot) else { continue };
            for compiled in target.in_service.iter_mut().chain(&mut target.candidate) {
                compiled.stale |= leads_there(compiled);
            }
            self.consider(&mut target, client);
            self.targets.insert(*slot, target);
        }
        !concerned.is_empty()
    }

    /// Learns what the resources say about a target.
    fn consider(&mut self, target: &mut Target, client: Option<&Client<Kind>>) {
        let (wanted, asked) = wanted(&target.spec, &mut target.own, &self.statics, &self.outbound, client);
        self.askers.replace(target.id.slot, &mut target.asked, asked);
        match wanted {
            Wanted::Unknown => {
                // What is in service stays; what waits may have been overtaken.
                self.release(target.candidate.take());
                if matches!(target.view.state, TargetState::Failed(_)) {
                    // Why it failed is no longer so: what is missing is on its way.
                    self.show(target, TargetState::Pending);
                }
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
                        !compiled.stale
                            && Arc::ptr_eq(&compiled.config, &config)
                            && compiled.max_stream_duration == max_stream_duration
                    })
                };
                if is(&target.in_service) {
                    self.release(target.candidate.take());
                } else if !is(&target.candidate) {
                    let compiled =
                        self.compile(&target.spec, config, max_stream_duration, given.as_ref(), client);
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
        client: Option<&Client<Kind>>,
    ) -> Compiled {
        let mut places = BTreeSet::new();
        let resolve = |name: &Arc<str>| {
            let (scope, given) = match given {
                Some(given) => (Scope::Given, Some(Ok(given.clone()))),
                None => match original_destination(name, client) {
                    Some(cluster) => (Scope::Meant(spec.name.clone()), refusal(spec, &cluster).map(Err)),
                    None => (Scope::Shared, None),
                },
            };
            let key = ClusterKey::new(name, spec.protocol, scope);
            let place = self.clusters.place(key, given);
            places.insert(place);
            place
        };
        let table = spec.table(&config, resolve);
        let clusters: Vec<_> = places.into_iter().collect();
        self.clusters.keep(&clusters);
        Compiled { config, max_stream_duration, table: Arc::new(table), clusters, stale: false }
    }

    /// The resources of each kind that are used, to subscribe to.
    pub(super) fn interests(&mut self) -> [(Kind, &mut Interest); 4] {
        let [clusters, assignments] = self.clusters.interests();
        let [listeners, routes] = self.askers.interests();
        [listeners, routes, clusters, assignments]
    }

    /// When [`run`](Self::run) has something to do even if nothing new is heard. Names wait until there is `room` to look them
    /// up.
    pub(super) fn next_timer(&self, room: usize) -> Option<Instant> {
        self.clusters.next_timer(room)
    }

    /// The counts of the clusters whose load is to be reported; none if they are what they were.
    pub(super) fn reported(&mut self) -> Option<Vec<Arc<ClusterCounts>>> {
        self.clusters.reported()
    }

    /// The host names to look up now, at most `room`; each has to be [resolved](Self::resolved).
    pub(super) fn lookups(&mut self, now: Instant, room: usize) -> Vec<Arc<str>> {
        self.clusters.lookups(now, room)
    }

    /// A host name was looked up.
    pub(super) fn resolved(&mut self, host: &str, answer: Result<Vec<IpAddr>, String>, now: Instant) {
        self.clusters.resolved(host, answer, now);
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
            outages: self.outages.clone(),
            closed: false,
            targets: self.views.clone(),
            clusters: self.clusters.views(),
        })
    }
}
