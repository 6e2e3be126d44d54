//! What a user of the mesh wants to reach.

use crate::dialect::TimeLimits;
use crate::endpoint::Protocol;
use crate::policy::retry::RetryPolicy;
use crate::resource::cluster::Cluster as ClusterResource;
use crate::resource::route::{
    Action, Domain, Forward, PathMatch, Route, RouteConfig, RouteMatch, VirtualHost, WeightedCluster,
};
use crate::route::{ClusterIndex, RouteTable, serving};
use std::sync::Arc;
use std::time::Duration;

/// The place of a target in snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TargetId {
    pub(crate) slot: usize,
    /// Tells targets apart that have the same place one after the other.
    pub(crate) serial: u64,
}

/// What a user of the mesh wants to reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetSpec {
    /// Its name, for people, and the authority of requests that have none of their own.
    pub name: Arc<str>,
    /// What its endpoints are spoken to with.
    pub protocol: Protocol,
    /// Which virtual host serves its requests.
    pub served: Served,
    /// Where its routes come from.
    pub origin: Origin,
}

impl TargetSpec {
    /// The routes of this target; `resolve` gives each cluster its place in the snapshot.
    pub(super) fn table(
        &self,
        config: &RouteConfig,
        resolve: impl FnMut(&Arc<str>) -> ClusterIndex,
    ) -> RouteTable {
        match self.served {
            Served::ByName => RouteTable::new(config, serving(config, &self.name).into_iter(), resolve),
            Served::ByAuthority => RouteTable::new(config, config.virtual_hosts.iter(), resolve),
        }
    }
}

/// Which of the virtual hosts of its routes serves the requests of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Served {
    /// That of the target's name, whatever authority a request carries (gRFC A27). The clusters of others are not asked for.
    ByName,
    /// That of the authority of each request, which is its `Host`; that of the target's name if no host serves it.
    ByAuthority,
}

/// Where the routes of a target come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// From the control plane.
    ControlPlane {
        /// The listener to ask for.
        listener: Arc<str>,
        /// What to do if there is none.
        fallback: Fallback,
    },
    /// From the control plane, which treats us as a sidecar: by the listeners that it would open.
    Sidecar {
        /// What to do if no service stands behind them.
        fallback: Fallback,
    },
    /// From a cluster that was given in code.
    Static(Arc<str>),
}

/// What to do with a target that the control plane does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// Fail its calls.
    Refuse,
    /// Send its requests where its name leads by DNS.
    PassThrough,
}

/// A cluster that is given in code, and how to call it.
#[derive(Clone, Debug)]
pub struct StaticCluster {
    pub(crate) cluster: Arc<ClusterResource>,
    pub(crate) routes: Arc<RouteConfig>,
}

impl StaticCluster {
    pub(crate) fn new(
        cluster: ClusterResource,
        timeout: Option<Duration>,
        retry: Option<RetryPolicy>,
    ) -> Self {
        let limits = TimeLimits { timeout: Some(timeout.unwrap_or(Duration::ZERO)), ..Default::default() };
        let forward = Forward {
            limits,
            retry: retry.map(Arc::new),
            ..Forward::new(vec![WeightedCluster::new(cluster.name.clone(), 1)])
        };
        let routes = everything_to(cluster.name.clone(), forward);
        Self { cluster: Arc::new(cluster), routes: Arc::new(routes) }
    }
}

/// Routes that forward every request alike.
pub(super) fn everything_to(name: Arc<str>, forward: Forward) -> RouteConfig {
    let condition = RouteMatch {
        path: PathMatch::Prefix("".into(), false),
        headers: Vec::new(),
        query: Vec::new(),
        fraction: None,
        grpc_only: false,
    };
    let route = Route::new(name.clone(), condition, Action::Forward(Box::new(forward)));
    let host = VirtualHost::new(name.clone(), vec![Domain::Any], vec![route]);
    RouteConfig::new(name, vec![host])
}
