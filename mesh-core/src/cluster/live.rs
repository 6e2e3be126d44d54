//! What the owner of the configuration keeps of a cluster, to change it.

use super::account::Account;
use super::ledger::Ledger;
use super::view::{Cluster, ClusterState, ClusterView};
use crate::balance::{MembersBuilder, P2c, Registry};
use crate::endpoint::{ConnectOptions, EndpointKey, Protocol};
use crate::error::Failure;
use crate::net::h2_driver::KeepAlive;
use crate::net::{DEFAULT_CONNECT_TIMEOUT, Environment};
use crate::policy::retry_budget::{RetryBudget, RetryBudgetConfig};
use crate::resource::cluster::Cluster as ClusterResource;
use crate::resource::endpoint::{Assignment, Health, LbEndpoint};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What the user of the mesh decides about every cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// When HTTP/2 connections are pinged.
    pub keepalive: KeepAlive,
    /// How generous the retry budget of a cluster is.
    pub budget: RetryBudgetConfig,
}

/// A cluster, and the means to change it.
#[derive(Debug)]
pub struct LiveCluster {
    cluster: Arc<Cluster>,
    settings: Settings,
    ledger: Ledger,
    priorities: Vec<MembersBuilder>,
    /// What they were made of.
    made_of: Option<(Arc<ConnectOptions>, Arc<Assignment>)>,
}

impl LiveCluster {
    /// A cluster without configuration.
    #[must_use]
    pub fn new(name: Arc<str>, protocol: Protocol, settings: Settings, environment: &Environment) -> Self {
        let ledger = Ledger::new(name.clone());
        let cluster = Cluster {
            name,
            protocol,
            budget: RetryBudget::new(settings.budget, environment.clock.now()),
            retries: AtomicU64::new(0),
            resends: AtomicU64::new(0),
            budget_exhausted: AtomicU64::new(0),
        };
        Self { cluster: Arc::new(cluster), settings, ledger, priorities: Vec::new(), made_of: None }
    }

    /// Waits for its configuration.
    #[must_use]
    pub fn pending(&self) -> ClusterView {
        self.view(ClusterState::Pending, Account::default())
    }

    /// Cannot be used; its endpoints are let go.
    pub fn fail(&mut self, failure: Failure) -> ClusterView {
        self.priorities.clear();
        self.made_of = None;
        self.view(ClusterState::Failed(failure), Account::default())
    }

    /// Takes on configuration and endpoints; the endpoints that stay keep their connections.
    pub fn update(
        &mut self,
        resource: &ClusterResource,
        assignment: &Arc<Assignment>,
        registry: &mut Registry,
        environment: &Arc<Environment>,
    ) -> ClusterView {
        let options = Arc::new(ConnectOptions {
            protocol: self.cluster.protocol,
            connect_timeout: resource.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            keepalive: self.settings.keepalive,
            tls: resource.transport.may_be_tls(),
        });
        let before = self.made_of.replace((options.clone(), assignment.clone()));
        let (old_options, old) = before.unwrap_or_else(|| (options.clone(), Arc::default()));
        let count = assignment.priorities.len().max(self.priorities.len());
        self.priorities.resize_with(count, MembersBuilder::default);
        // Those that come are there, in every priority, before those that go are let go.
        let mut gone = Vec::with_capacity(count);
        for (priority, builder) in self.priorities.iter_mut().enumerate() {
            let (leaving, coming) = difference(
                &endpoints_of(&old, priority),
                &endpoints_of(assignment, priority),
                old_options == options,
            );
            let keys = |endpoints: Vec<&LbEndpoint>, options: &Arc<_>| -> Vec<_> {
                endpoints.into_iter().map(|endpoint| key(endpoint, options)).collect()
            };
            builder.add(&keys(coming, &options), registry, environment);
            gone.push(keys(leaving, &old_options));
        }
        for (builder, keys) in self.priorities.iter_mut().zip(gone) {
            builder.remove(&keys, registry);
        }
        self.priorities.truncate(assignment.priorities.len());
        let priorities: Vec<_> = self.priorities.iter().map(MembersBuilder::members).collect();
        let account = self.ledger.account(resource, assignment, &priorities);
        self.view(ClusterState::Ready { priorities, picker: Arc::new(P2c) }, account)
    }

    fn view(&self, state: ClusterState, account: Account) -> ClusterView {
        ClusterView { cluster: self.cluster.clone(), state, account }
    }
}

fn key(endpoint: &LbEndpoint, options: &Arc<ConnectOptions>) -> EndpointKey {
    let options = options.clone();
    EndpointKey { address: endpoint.address.clone(), hostname: endpoint.hostname.clone(), options }
}

/// The endpoints of a priority that may be given requests.
fn endpoints_of(assignment: &Assignment, priority: usize) -> Vec<&LbEndpoint> {
    let localities = assignment.priorities.get(priority).into_iter().flatten();
    let endpoints = localities.flat_map(|locality| &locality.endpoints);
    endpoints.filter(|endpoint| endpoint.health == Health::Healthy).collect()
}

/// What is only in `old` and what is only in `new`; everything, unless what is in both counts as the `same`.
///
/// Control planes keep the order, so that one change among many thousand is found by comparing from both ends.
fn difference<'a>(
    old: &[&'a LbEndpoint],
    new: &[&'a LbEndpoint],
    same: bool,
) -> (Vec<&'a LbEndpoint>, Vec<&'a LbEndpoint>) {
    if !same {
        return (old.to_vec(), new.to_vec());
    }
    let id = |endpoint: &'a LbEndpoint| (&endpoint.address, &endpoint.hostname);
    let equal = |(old, new): &(&&'a LbEndpoint, &&'a LbEndpoint)| id(old) == id(new);
    let head = old.iter().zip(new).take_while(equal).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(equal).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let (in_old, in_new): (HashSet<_>, HashSet<_>) =
        (old.iter().copied().map(id).collect(), new.iter().copied().map(id).collect());
    let only = |list: &[&'a LbEndpoint], other: &HashSet<_>| {
        list.iter().copied().filter(|endpoint| !other.contains(&id(endpoint))).collect()
    };
    (only(old, &in_new), only(new, &in_old))
}
