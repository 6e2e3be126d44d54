//! What the owner of the configuration keeps of a cluster, to change it.

use super::view::{Cluster, ClusterState, ClusterView};
use crate::balance::{MembersBuilder, P2c, Registry};
use crate::endpoint::{ConnectOptions, EndpointKey, Protocol};
use crate::error::Failure;
use crate::net::h2_driver::KeepAlive;
use crate::net::{DEFAULT_CONNECT_TIMEOUT, Environment};
use crate::policy::retry_budget::{RetryBudget, RetryBudgetConfig};
use crate::resource::cluster::Cluster as ClusterResource;
use crate::resource::endpoint::{Assignment, Health};
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
    priorities: Vec<MembersBuilder>,
}

impl LiveCluster {
    /// A cluster without configuration.
    #[must_use]
    pub fn new(name: Arc<str>, protocol: Protocol, settings: Settings, environment: &Environment) -> Self {
        let cluster = Cluster {
            name,
            protocol,
            budget: RetryBudget::new(settings.budget, environment.clock.now()),
            retries: AtomicU64::new(0),
            resends: AtomicU64::new(0),
            budget_exhausted: AtomicU64::new(0),
        };
        Self { cluster: Arc::new(cluster), settings, priorities: Vec::new() }
    }

    /// Waits for its configuration.
    #[must_use]
    pub fn pending(&self) -> ClusterView {
        ClusterView { cluster: self.cluster.clone(), state: ClusterState::Pending }
    }

    /// Cannot be used; its endpoints are let go.
    pub fn fail(&mut self, failure: Failure) -> ClusterView {
        self.priorities.clear();
        ClusterView { cluster: self.cluster.clone(), state: ClusterState::Failed(failure) }
    }

    /// Takes on configuration and endpoints; the endpoints that stay keep their connections.
    pub fn update(
        &mut self,
        resource: &ClusterResource,
        assignment: &Assignment,
        registry: &mut Registry,
        environment: &Environment,
    ) -> ClusterView {
        let options = ConnectOptions {
            protocol: self.cluster.protocol,
            connect_timeout: resource.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            keepalive: self.settings.keepalive,
            tls: resource.tls,
        };
        self.priorities.resize_with(assignment.priorities.len(), MembersBuilder::default);
        let priorities = self.priorities.iter_mut().zip(&assignment.priorities);
        let priorities = priorities
            .map(|(builder, localities)| {
                let endpoints = localities.iter().flat_map(|locality| &locality.endpoints);
                let healthy = endpoints.filter(|endpoint| endpoint.health == Health::Healthy);
                let keys = healthy.map(|endpoint| EndpointKey {
                    address: endpoint.address.clone(),
                    hostname: endpoint.hostname.clone(),
                    options,
                });
                builder.update(keys, registry, environment)
            })
            .collect();
        let state = ClusterState::Ready { priorities, picker: Arc::new(P2c) };
        ClusterView { cluster: self.cluster.clone(), state }
    }
}
