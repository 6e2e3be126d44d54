//! What decides where targets lead, beside the listeners of a sidecar.

use super::interest::Interest;
use crate::resource::Kind;
use std::sync::Arc;

/// Resources that decide where a target leads, beside its listener or those of a sidecar; each once.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) routes: Vec<Arc<str>>,
    /// Clusters that would be the target's own.
    pub(super) clusters: Vec<Arc<str>>,
}

/// Which targets depend on which resources.
#[derive(Debug, Default)]
pub(super) struct Askers {
    pub(super) listeners: Interest,
    routes: Interest,
    clusters: Interest,
}

impl Askers {
    /// The targets that depend on a resource.
    pub(super) fn of(&self, kind: Kind, name: &str) -> &[usize] {
        match kind {
            Kind::Listener => self.listeners.users(name),
            Kind::Route => self.routes.users(name),
            Kind::Cluster => self.clusters.users(name),
            _ => &[],
        }
    }

    /// The resources to subscribe to from now on, and those no more.
    pub(super) fn interests(&mut self) -> [(Kind, &mut Interest); 2] {
        [(Kind::Listener, &mut self.listeners), (Kind::Route, &mut self.routes)]
    }

    /// A target depends on others than before.
    pub(super) fn replace(&mut self, target: usize, before: &mut Asked, asked: Asked) {
        self.routes.replace(target, &mut before.routes, asked.routes);
        self.clusters.replace(target, &mut before.clusters, asked.clusters);
        // Nobody has to subscribe to these: a sidecar gets all clusters.
        self.clusters.difference();
    }
}
