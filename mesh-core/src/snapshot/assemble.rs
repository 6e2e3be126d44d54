//! Joins listeners, routes, clusters and endpoints into a snapshot.
//!
//! No call may fail because configuration moves: new routes take over only once every cluster they lead to is known, or
//! known not to exist, and until then the old ones serve. A target without routes gets its first ones at once, and
//! the requests that lead to a cluster that is not here yet wait for that cluster alone.

use super::clusters::{ClusterKey, Clusters, describe};
use super::target::{Fallback, Origin, StaticCluster, TargetId, TargetSpec};
use super::{Routes, Snapshot, TargetState, TargetView};
use crate::clock::Instant;
use crate::cluster::Settings;
use crate::endpoint::Endpoint;
use crate::error::{Failure, Kind as ErrorKind};
use crate::net::{Address, Environment};
use crate::resource::cluster::{Cluster, EndpointSource, LbPolicy};
use crate::resource::endpoint::{Assignment, Health, LbEndpoint, LocalityEndpoints};
use crate::resource::listener::{Listener, RouteSource};
use crate::resource::route::RouteConfig;
use crate::resource::{Kind, Resource};
use crate::route::{ClusterIndex, RouteTable};
use crate::xds::cache::{Absence, State};
use crate::xds::client::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The port of a name that is passed through without one.
const DEFAULT_PORT: u16 = 80;

/// Joins resources into snapshots.
#[derive(Debug)]
pub(super) struct Assembler {
    targets: BTreeMap<usize, Target>,
    clusters: Clusters,
    statics: BTreeMap<Arc<str>, StaticCluster>,
    number: u64,
    control_plane_error: Option<Arc<str>>,
}

#[derive(Debug)]
struct Target {
    id: TargetId,
    spec: TargetSpec,
    view: Arc<TargetView>,
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

/// What the resources say about a target.
enum Wanted {
    /// Nothing yet.
    Unknown,
    Routes {
        config: Arc<RouteConfig>,
        max_stream_duration: Option<Duration>,
        given: Option<Arc<Cluster>>,
    },
    Failure(Failure),
}

impl Assembler {
    pub(super) fn new(
        statics: BTreeMap<Arc<str>, StaticCluster>,
        settings: Settings,
        environment: Environment,
    ) -> Self {
        Self {
            targets: BTreeMap::new(),
            clusters: Clusters::new(settings, environment),
            statics,
            number: 0,
            control_plane_error: None,
        }
    }

    pub(super) fn add(&mut self, id: TargetId, spec: TargetSpec) {
        let view = Arc::new(TargetView { id, state: TargetState::Pending });
        let target = Target { id, spec, view, in_service: None, candidate: None, passed_through: None };
        self.targets.insert(id.slot, target);
    }

    pub(super) fn remove(&mut self, id: TargetId) {
        if self.targets.get(&id.slot).is_some_and(|target| target.id == id) {
            self.targets.remove(&id.slot);
        }
    }

    /// A new snapshot, if anything changed.
    pub(super) fn run(&mut self, now: Instant, client: Option<&Client<Kind>>) -> Option<Snapshot> {
        let mut targets = std::mem::take(&mut self.targets);
        let mut changed = false;
        for target in targets.values_mut() {
            changed |= self.consider(target, client);
        }
        changed |= self.clusters.update(now, client);
        for target in targets.values_mut() {
            changed |= self.promote(target);
        }
        let compiled = targets.values().flat_map(|target| target.in_service.iter().chain(&target.candidate));
        changed |= self.clusters.sweep(compiled.flat_map(|routes| routes.clusters.iter().copied()));
        self.targets = targets;

        let error = client.and_then(Client::error);
        changed |= self.control_plane_error.as_ref() != error;
        self.control_plane_error = error.cloned();
        changed.then(|| self.snapshot())
    }

    /// Learns what the resources say about a target; whether its view changed.
    fn consider(&mut self, target: &mut Target, client: Option<&Client<Kind>>) -> bool {
        match self.wanted_for(target, client) {
            Wanted::Unknown => {
                // What is in service stays; what waits may have been overtaken.
                target.candidate = None;
                false
            }
            Wanted::Failure(failure) => {
                (target.in_service, target.candidate) = (None, None);
                let same = matches!(&target.view.state, TargetState::Failed(before) if *before == failure);
                if !same {
                    target.show(TargetState::Failed(failure));
                }
                !same
            }
            Wanted::Routes { config, max_stream_duration, given } => {
                let is = |compiled: &Option<Compiled>| {
                    compiled.as_ref().is_some_and(|compiled| {
                        Arc::ptr_eq(&compiled.config, &config)
                            && compiled.max_stream_duration == max_stream_duration
                    })
                };
                if is(&target.in_service) {
                    target.candidate = None;
                } else if !is(&target.candidate) {
                    target.candidate =
                        Some(self.compile(&target.spec, config, max_stream_duration, given.as_ref()));
                }
                false
            }
        }
    }

    /// Puts waiting routes in service if nothing speaks against it; whether it did.
    fn promote(&self, target: &mut Target) -> bool {
        let Some(candidate) = &target.candidate else { return false };
        let settled = || candidate.clusters.iter().all(|&index| self.clusters.is_settled(index));
        if target.in_service.is_some() && !settled() {
            return false;
        }
        target.in_service = target.candidate.take();
        if let Some(compiled) = &target.in_service {
            let routes = Routes {
                host: compiled.table.find_host(&target.spec.name),
                table: compiled.table.clone(),
                max_stream_duration: compiled.max_stream_duration,
            };
            target.show(TargetState::Routed(routes));
        }
        true
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
        let clusters = places.into_iter().collect();
        Compiled { config, max_stream_duration, table: Arc::new(table), clusters }
    }

    fn wanted_for(&self, target: &mut Target, client: Option<&Client<Kind>>) -> Wanted {
        let Target { spec, passed_through, .. } = target;
        let mut unknown = |fallback, why: String| match fallback {
            Fallback::Refuse => Wanted::Failure(Failure::new(ErrorKind::Missing, why)),
            Fallback::PassThrough => passed_through.get_or_insert_with(|| pass_through(&spec.name)).wanted(),
        };
        let (listener, fallback) = match &spec.origin {
            Origin::Static(name) => {
                return match self.statics.get(name) {
                    Some(given) => given.wanted(),
                    None => {
                        let why = format!("no cluster {name} was given to this mesh");
                        Wanted::Failure(Failure::new(ErrorKind::NoCluster, why))
                    }
                };
            }
            Origin::ControlPlane { listener, fallback } => (listener, *fallback),
        };
        let Some(client) = client else {
            return unknown(fallback, "this mesh has no control plane".to_owned());
        };
        let Some(entry) = client.get(Kind::Listener, listener) else { return Wanted::Unknown };
        let api = match (&entry.state, &entry.rejection) {
            (State::Present(present), _) => match &present.value {
                Resource::Listener(resource) => match &**resource {
                    Listener::Api(api) => api,
                    Listener::Server => {
                        let why = format!("Listener {listener} is one of a server");
                        return Wanted::Failure(Failure::new(ErrorKind::Rejected, why));
                    }
                },
                _ => return Wanted::Unknown,
            },
            (State::Pending, Some(rejection)) => {
                let why = format!("Listener {listener} was refused: {}", rejection.reason);
                return Wanted::Failure(Failure::new(ErrorKind::Rejected, why));
            }
            (State::Pending, None) => return Wanted::Unknown,
            // It may be on its way; only who has another place to go does not wait.
            (State::Absent(Absence::Unlisted), _) if fallback == Fallback::Refuse => return Wanted::Unknown,
            (State::Absent(absence), _) => {
                return unknown(fallback, format!("Listener {listener} {}", describe(*absence)));
            }
        };
        let max_stream_duration = api.max_stream_duration;
        let name = match &api.routes {
            RouteSource::Inline(config) => {
                return Wanted::Routes { config: config.clone(), max_stream_duration, given: None };
            }
            RouteSource::Named(name) => name,
        };
        let Some(entry) = client.get(Kind::Route, name) else { return Wanted::Unknown };
        match (&entry.state, &entry.rejection) {
            (State::Present(present), _) => match &present.value {
                Resource::Route(config) => {
                    Wanted::Routes { config: config.clone(), max_stream_duration, given: None }
                }
                _ => Wanted::Unknown,
            },
            (State::Pending, Some(rejection)) => {
                let why = format!("RouteConfiguration {name} was refused: {}", rejection.reason);
                Wanted::Failure(Failure::new(ErrorKind::Rejected, why))
            }
            (State::Pending, None) => Wanted::Unknown,
            (State::Absent(absence), _) => {
                let why = format!("RouteConfiguration {name} {}", describe(*absence));
                Wanted::Failure(Failure::new(ErrorKind::Missing, why))
            }
        }
    }

    /// The names to subscribe to, by kind.
    pub(super) fn wanted(&self, client: &Client<Kind>) -> [(Kind, BTreeSet<Arc<str>>); 4] {
        let listeners: BTreeSet<_> = self
            .targets
            .values()
            .filter_map(|target| match &target.spec.origin {
                Origin::ControlPlane { listener, .. } => Some(listener.clone()),
                Origin::Static(_) => None,
            })
            .collect();
        let routes = listeners.iter().filter_map(|name| match client.get(Kind::Listener, name)?.value()? {
            Resource::Listener(listener) => match &**listener {
                Listener::Api(api) => match &api.routes {
                    RouteSource::Named(routes) => Some(routes.clone()),
                    RouteSource::Inline(_) => None,
                },
                Listener::Server => None,
            },
            _ => None,
        });
        let routes = routes.collect();
        let (clusters, assignments) = self.clusters.wanted(Some(client));
        [
            (Kind::Listener, listeners),
            (Kind::Route, routes),
            (Kind::Cluster, clusters),
            (Kind::Endpoint, assignments),
        ]
    }

    /// When [`run`](Self::run) has something to do even if nothing new is heard.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.clusters.next_timer()
    }

    /// Every endpoint that somebody uses.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.clusters.endpoints()
    }

    /// The targets and where each stands.
    pub(super) fn targets(&self) -> impl Iterator<Item = (&TargetSpec, &TargetState)> {
        self.targets.values().map(|target| (&target.spec, &target.view.state))
    }

    fn snapshot(&mut self) -> Snapshot {
        self.number += 1;
        let slots = self.targets.last_key_value().map_or(0, |(slot, _)| slot + 1);
        let mut targets = vec![None; slots];
        for (&slot, target) in &self.targets {
            targets[slot] = Some(target.view.clone());
        }
        Snapshot {
            number: self.number,
            control_plane_error: self.control_plane_error.clone(),
            closed: false,
            targets,
            clusters: self.clusters.views(),
        }
    }
}

impl Target {
    fn show(&mut self, state: TargetState) {
        self.view = Arc::new(TargetView { id: self.id, state });
    }
}

impl StaticCluster {
    fn wanted(&self) -> Wanted {
        Wanted::Routes {
            config: self.routes.clone(),
            max_stream_duration: None,
            given: Some(self.cluster.clone()),
        }
    }
}

/// A cluster with one endpoint, which is where `authority` leads by DNS.
fn pass_through(authority: &Arc<str>) -> StaticCluster {
    let address = Address::parse(authority).unwrap_or_else(|_| Address::host_port(authority, DEFAULT_PORT));
    let endpoint = LbEndpoint { address, hostname: None, weight: 1, health: Health::Healthy };
    let locality = LocalityEndpoints { locality: Arc::default(), weight: 1, endpoints: vec![endpoint] };
    let assignment = Assignment { priorities: vec![vec![locality]] };
    let cluster = Cluster {
        name: format!("passthrough|{authority}").into(),
        endpoints: EndpointSource::Inline(Arc::new(assignment)),
        policy: LbPolicy::RoundRobin,
        connect_timeout: None,
        tls: false,
    };
    StaticCluster::new(cluster, None, None)
}
