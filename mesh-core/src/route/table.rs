//! Routes, compiled for lookup.

use super::host::{HostIndex, without_port};
use super::index::PathIndex;
use super::matching::RequestHead;
use crate::clock::below;
use crate::dialect::TimeLimits;
use crate::policy::retry::RetryPolicy;
use crate::resource::route::{self as resource, RouteConfig, RouteMatch};
use std::sync::Arc;

/// The place of a cluster in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterIndex(pub usize);

/// Virtual hosts of a route configuration, compiled for lookup.
#[derive(Debug)]
pub struct RouteTable {
    index: HostIndex,
    /// Whether the port of an authority does not matter.
    ignore_port: bool,
    hosts: Vec<VirtualHost>,
}

/// The routes of some hosts.
#[derive(Debug)]
pub struct VirtualHost {
    /// Its name.
    pub name: Arc<str>,
    index: PathIndex,
    conditions: Vec<RouteMatch>,
    routes: Vec<Arc<Route>>,
}

/// What to do with the requests that matched.
#[derive(Debug)]
pub struct Route {
    /// Its name, or the paths it matches if it has none.
    pub name: Arc<str>,
    /// The Istio resource it was made from, if that is known.
    pub origin: Option<Arc<str>>,
    /// What to do.
    pub action: Action,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Action {
    /// Send it.
    Forward(Forward),
    /// Fail it: the route asks for this, which cannot be done.
    Unsupported(&'static str),
}

/// Where to send a request, and how.
#[derive(Debug)]
pub struct Forward {
    /// Clusters and the sums of the weights up to and including each.
    clusters: Vec<(ClusterIndex, u32)>,
    /// The time it may take.
    pub limits: TimeLimits,
    /// When to try again.
    pub retry: Option<Arc<RetryPolicy>>,
}

impl RouteTable {
    /// Compiles some `hosts` of `config`; `resolve` gives each cluster its place in the snapshot.
    pub fn new<'a>(
        config: &RouteConfig,
        hosts: impl Iterator<Item = &'a resource::VirtualHost> + Clone,
        mut resolve: impl FnMut(&Arc<str>) -> ClusterIndex,
    ) -> Self {
        Self {
            index: HostIndex::new(hosts.clone().map(|host| host.domains.as_slice())),
            ignore_port: config.ignore_port,
            hosts: hosts.map(|host| VirtualHost::new(host, &mut resolve)).collect(),
        }
    }

    /// The number of the host that serves `authority`.
    #[must_use]
    pub fn find_host(&self, authority: &str) -> Option<usize> {
        self.index.find(if self.ignore_port { without_port(authority) } else { authority })
    }

    /// The host with a number that [`find_host`](Self::find_host) gave.
    #[must_use]
    pub fn host(&self, number: usize) -> Option<&VirtualHost> {
        self.hosts.get(number)
    }

    /// Every host.
    #[must_use]
    pub fn hosts(&self) -> &[VirtualHost] {
        &self.hosts
    }
}

impl VirtualHost {
    fn new(host: &resource::VirtualHost, resolve: &mut impl FnMut(&Arc<str>) -> ClusterIndex) -> Self {
        let conditions: Vec<_> = host.routes.iter().map(|route| route.condition.clone()).collect();
        Self {
            name: host.name.clone(),
            index: PathIndex::new(conditions.iter()),
            conditions,
            routes: host.routes.iter().map(|route| Arc::new(Route::new(route, resolve))).collect(),
        }
    }

    /// The first route that matches a request.
    #[must_use]
    pub fn find(&self, head: &RequestHead<'_>, entropy: u64) -> Option<&Arc<Route>> {
        let matches = |number: usize| head.satisfies(&self.conditions[number], entropy);
        self.index.find(head.path, matches).map(|number| &self.routes[number])
    }

    /// Every route, with its condition.
    pub fn routes(&self) -> impl Iterator<Item = (&RouteMatch, &Arc<Route>)> {
        self.conditions.iter().zip(&self.routes)
    }
}

impl Route {
    fn new(route: &resource::Route, resolve: &mut impl FnMut(&Arc<str>) -> ClusterIndex) -> Self {
        let action = match &route.action {
            resource::Action::Forward(forward) => Action::Forward(Forward::new(forward, resolve)),
            resource::Action::Redirect(_) => Action::Unsupported("redirect"),
            resource::Action::Respond(_) => Action::Unsupported("direct_response"),
            resource::Action::Unsupported(what) => Action::Unsupported(what),
        };
        let name = match &*route.name {
            "" => route.condition.path.to_string().into(),
            _ => route.name.clone(),
        };
        Self { name, origin: route.origin.clone(), action }
    }
}

impl Forward {
    fn new(forward: &resource::Forward, resolve: &mut impl FnMut(&Arc<str>) -> ClusterIndex) -> Self {
        let mut sum = 0;
        let clusters = forward.clusters.iter().map(|cluster| {
            sum += cluster.weight;
            (resolve(&cluster.name), sum)
        });
        Self { clusters: clusters.collect(), limits: forward.limits, retry: forward.retry.clone() }
    }

    /// One of the clusters, each as often as its weight says.
    #[must_use]
    pub fn choose(&self, entropy: u64) -> ClusterIndex {
        let total = self.clusters.last().map_or(0, |(_, sum)| *sum);
        let draw = below(entropy as u32, total);
        let position = self.clusters.partition_point(|(_, sum)| *sum <= draw);
        self.clusters.get(position).map_or(ClusterIndex(usize::MAX), |(cluster, _)| *cluster)
    }

    /// Every cluster with its weight.
    pub fn weights(&self) -> impl Iterator<Item = (ClusterIndex, u32)> {
        let mut before = 0;
        self.clusters.iter().map(move |(cluster, sum)| (*cluster, sum - std::mem::replace(&mut before, *sum)))
    }

    /// Every cluster.
    pub fn clusters(&self) -> impl Iterator<Item = ClusterIndex> {
        self.clusters.iter().map(|(cluster, _)| *cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn forward(weights: &[u32]) -> Forward {
        let clusters = weights.iter().enumerate();
        let clusters = clusters
            .map(|(number, &weight)| resource::WeightedCluster::new(number.to_string().into(), weight));
        let resource = resource::Forward::new(clusters.collect());
        Forward::new(&resource, &mut |name| ClusterIndex(name.parse().unwrap()))
    }

    #[test]
    fn clusters_get_their_weights() {
        let (forward, clock) = (forward(&[75, 20, 5]), Clock::seeded(4));
        let mut counts = [0; 3];
        for _ in 0..100_000 {
            counts[forward.choose(clock.entropy()).0] += 1;
        }
        for (count, expected) in counts.into_iter().zip([75_000, 20_000, 5_000i32]) {
            assert!((count - expected).abs() < 500, "{counts:?}");
        }
    }

    #[test]
    fn huge_weights_fit() {
        let (forward, clock) = (forward(&[u32::MAX - 1, 1]), Clock::seeded(4));
        assert!((0..10_000).all(|_| forward.choose(clock.entropy()).0 == 0));
    }
}
