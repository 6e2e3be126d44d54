//! Who is told the load of which clusters: the control plane that sent them, or takes its place.

use super::load_counts::ClusterCounts;
use super::load_stream::{Assigned, LoadReporter};
use crate::bootstrap::{Node, Server};
use crate::net::Environment;
use std::sync::Arc;

/// Who is told the load of which clusters.
#[derive(Debug)]
pub(super) struct Loads {
    node: Node,
    environment: Environment,
    reporters: Vec<LoadReporter>,
}

impl Loads {
    /// Nobody is told anything yet.
    pub(super) fn new(node: &Node, environment: &Environment) -> Self {
        Self { node: node.clone(), environment: environment.clone(), reporters: Vec::new() }
    }

    /// From now on each server is told the load of these clusters, and of no others.
    pub(super) fn update(&mut self, clusters: &[(&Server, &Arc<ClusterCounts>)]) {
        for (server, _) in clusters {
            if !self.reporters.iter().any(|reporter| reporter.server() == *server) {
                let server = Server::clone(server);
                self.reporters.push(LoadReporter::start(server, &self.node, &self.environment));
            }
        }
        self.reporters.retain(|reporter| {
            let mut assigned = Assigned::default();
            for (server, counts) in clusters {
                let of_it = *server == reporter.server();
                let list = if of_it { &mut assigned.own } else { &mut assigned.of_others };
                list.push(Arc::clone(counts));
            }
            // Those that are dropped say what is left to say.
            let goes_on = !assigned.own.is_empty();
            reporter.assign(assigned);
            goes_on
        });
    }

    /// Whether nobody is told anything.
    pub(super) fn is_idle(&self) -> bool {
        self.reporters.is_empty()
    }
}
