//! A configuration ordered by who asks for what: services, rules, policies and endpoints under the names they go by.
//!
//! An index is built anew for every configuration, but whatever says the same as before stays the same allocation. That is
//! how the translation knows, by comparing pointers, which of its results still hold.

mod delegate;
mod endpoint;
mod export;
mod hosts;
mod policy;
mod protocol;
mod rules;
mod service;
mod view;

pub(crate) use self::endpoint::{Address, CLUSTER, Endpoint};
pub(crate) use self::hosts::{CLUSTER_DOMAIN, covers};
pub(crate) use self::policy::Policy;
pub(crate) use self::protocol::Protocol;
pub(crate) use self::rules::Rules;
pub(crate) use self::service::{Port, Service};
pub(crate) use self::view::{Client, Read, View};

use self::endpoint::Endpoints;
use self::policy::Policies;
use self::rules::AllRules;
use self::service::Services;
use crate::model::{Config, MeshConfig};
use std::sync::Arc;

/// Everything of one configuration that a translation looks up.
#[derive(Debug)]
pub(crate) struct Index {
    mesh: Arc<MeshConfig>,
    services: Services,
    endpoints: Endpoints,
    rules: AllRules,
    policies: Policies,
}

impl Index {
    pub(crate) fn new(config: &Config, mesh: &MeshConfig, previous: Option<&Self>) -> Self {
        Self {
            mesh: keep(previous.map(|index| &index.mesh), mesh.clone()),
            services: Services::new(&config.service_entries, mesh, previous.map(|index| &index.services)),
            endpoints: Endpoints::new(config, previous.map(|index| &index.endpoints)),
            rules: AllRules::new(&config.virtual_services, mesh, previous.map(|index| &index.rules)),
            policies: Policies::new(&config.destination_rules, mesh, previous.map(|index| &index.policies)),
        }
    }
}

/// The allocation that already says the same, or a new one.
fn keep<T: PartialEq>(previous: Option<&Arc<T>>, value: T) -> Arc<T> {
    match previous {
        Some(previous) if **previous == value => previous.clone(),
        _ => Arc::new(value),
    }
}

/// The order in which objects count: older first, then by name, then by namespace.
fn by_age<T>(objects: &[Arc<crate::model::Object<T>>]) -> Vec<&Arc<crate::model::Object<T>>> {
    let mut objects: Vec<_> = objects.iter().collect();
    objects.sort_by_key(|object| (&object.meta.created, &object.meta.name, &object.meta.namespace));
    objects
}
