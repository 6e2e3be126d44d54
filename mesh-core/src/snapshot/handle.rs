//! What a client holds of its target.

use super::driver::Command;
use super::target::{TargetId, TargetSpec};
use super::{Published, Snapshot, TargetState};
use crate::clock::Clock;
use crate::cluster::ClusterView;
use crate::error::{Error, Kind};
use crate::net::Environment;
use crate::route::{Action, ClusterIndex, Forward, RequestHead, Route};
use http::uri::Authority;
use slab::Slab;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc;

/// The targets of a mesh, and the way to their owner. When the last user is gone, everything ends.
#[derive(Debug)]
pub struct Targets {
    published: Arc<Published>,
    commands: mpsc::UnboundedSender<Command>,
    environment: Environment,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_spec: HashMap<TargetSpec, Weak<TargetHandle>>,
    slots: Slab<()>,
    serial: u64,
}

/// A target that somebody uses: the way to its routes. Dropping it forgets the target.
#[derive(Debug)]
pub struct TargetHandle {
    id: TargetId,
    spec: TargetSpec,
    authority: Authority,
    targets: Arc<Targets>,
}

/// Where a request goes.
#[derive(Debug)]
pub enum Routing {
    /// There.
    Found {
        /// The route.
        route: Arc<Route>,
        /// The place of the chosen cluster.
        index: ClusterIndex,
        /// The chosen cluster.
        cluster: Arc<ClusterView>,
        /// The time that a call may take where its route does not say.
        max_stream_duration: Option<Duration>,
    },
    /// Not known yet.
    Pending,
    /// Nowhere, and this is why.
    Failed(Error),
}

impl Targets {
    /// No targets yet.
    #[must_use]
    pub fn new(
        published: Arc<Published>,
        commands: mpsc::UnboundedSender<Command>,
        environment: Environment,
    ) -> Arc<Self> {
        Arc::new(Self { published, commands, environment, known: Mutex::default() })
    }

    /// The handle of a target; all who want the same one share it.
    #[must_use]
    pub fn get(self: &Arc<Self>, spec: TargetSpec) -> Arc<TargetHandle> {
        let mut known = self.lock();
        if let Some(handle) = known.by_spec.get(&spec).and_then(Weak::upgrade) {
            return handle;
        }
        known.serial += 1;
        let id = TargetId { slot: known.slots.insert(()), serial: known.serial };
        let authority = authority(&spec.name);
        let handle = Arc::new(TargetHandle { id, spec: spec.clone(), authority, targets: self.clone() });
        known.by_spec.insert(spec.clone(), Arc::downgrade(&handle));
        self.command(Command::Add(id, spec));
        handle
    }

    /// Where snapshots are found.
    #[must_use]
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// What does I/O on behalf of the mesh.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Asks the owner of the configuration for something, unless the mesh is closed.
    pub fn command(&self, command: Command) {
        // Fails only if the mesh is closed, and then there is nothing to do any more.
        let _ = self.commands.send(command);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // The lock is never held where something can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Targets {
    fn drop(&mut self) {
        self.environment.tasks.stop();
    }
}

impl TargetHandle {
    /// What the user wants to reach.
    #[must_use]
    pub fn spec(&self) -> &TargetSpec {
        &self.spec
    }

    /// The authority of requests that have none of their own: the name, or as much of it as an authority may hold.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where snapshots are found.
    #[must_use]
    pub fn published(&self) -> &Published {
        &self.targets.published
    }

    /// Tells the time and draws random numbers.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.targets.environment.clock
    }

    /// Where a request goes by `snapshot`.
    #[must_use]
    pub fn route(&self, snapshot: &Snapshot, head: &RequestHead<'_>, entropy: u64) -> Routing {
        let Some(target) = snapshot.target(self.id) else {
            return match snapshot.closed {
                true => Routing::Failed(Error::new(Kind::Closed, "the mesh is closed")),
                false => Routing::Pending,
            };
        };
        let routes = match &target.state {
            TargetState::Pending => return Routing::Pending,
            TargetState::Failed(failure) => {
                return Routing::Failed(failure.to_error().with_target(&self.spec.name));
            }
            TargetState::Routed(routes) => routes,
        };
        let own = *head.authority == *self.spec.name || *head.authority == *self.authority.as_str();
        // A request may go by another name than its target does: what serves the target serves it then.
        let host = if own { None } else { routes.table.find_host(head.authority) }.or(routes.host);
        let Some(host) = host.and_then(|host| routes.table.host(host)) else {
            let why = format!("no virtual host serves {}", head.authority);
            return Routing::Failed(Error::new(Kind::NoRoute, why).with_target(&self.spec.name));
        };
        let Some(route) = host.find(head, entropy) else {
            let why = format!("no route of virtual host {} matches {} {}", host.name, head.method, head.path);
            return Routing::Failed(Error::new(Kind::NoRoute, why).with_target(&self.spec.name));
        };
        match &route.action {
            Action::Unsupported(what) => {
                let why = format!("the route asks for {what}, which is not supported");
                let error = Error::new(Kind::Unsupported, why);
                Routing::Failed(error.with_target(&self.spec.name).with_route(&route.name))
            }
            Action::Forward(forward) => {
                self.choose(snapshot, route, forward, routes.max_stream_duration, entropy)
            }
        }
    }

    fn choose(
        &self,
        snapshot: &Snapshot,
        route: &Arc<Route>,
        forward: &Forward,
        max_stream_duration: Option<Duration>,
        entropy: u64,
    ) -> Routing {
        // Other bits than those that decided between routes.
        let index = forward.choose(entropy.rotate_left(23));
        match snapshot.cluster(index) {
            Some(cluster) => {
                Routing::Found { route: route.clone(), index, cluster: cluster.clone(), max_stream_duration }
            }
            None => Routing::Pending,
        }
    }

    /// The present view of a cluster that a request was routed to; none if the configuration has it no more.
    #[must_use]
    pub fn refresh(&self, index: ClusterIndex, cluster: &ClusterView) -> Option<Arc<ClusterView>> {
        let snapshot = self.published().load();
        let present = snapshot.cluster(index)?;
        Arc::ptr_eq(&present.cluster, &cluster.cluster).then(|| present.clone())
    }
}

impl Drop for TargetHandle {
    fn drop(&mut self) {
        let mut known = self.targets.lock();
        // Somebody may have asked for the same target again, after the last user of this handle was gone.
        if known.by_spec.get(&self.spec).is_some_and(|handle| handle.strong_count() == 0) {
            known.by_spec.remove(&self.spec);
        }
        known.slots.try_remove(self.id.slot);
        self.targets.command(Command::Remove(self.id));
    }
}

/// The authority that requests to `name` carry. Names may have any character and any length, authorities may not.
fn authority(name: &str) -> Authority {
    const LONGEST: usize = 255;
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' };
    let whole = if name.len() <= LONGEST { Authority::try_from(name).ok() } else { None };
    whole
        .or_else(|| Authority::try_from(name.chars().take(LONGEST).map(keep).collect::<String>()).ok())
        .unwrap_or(Authority::from_static("unnamed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_an_authority() {
        assert_eq!(authority("reviews.default:9080"), "reviews.default:9080");
        assert_eq!(authority("outbound|80||größe/%20"), "outbound-80--gr--e--20");
        assert_eq!(authority(&"x".repeat(100_000)).as_str().len(), 255);
        assert_eq!(authority(""), "unnamed");
    }
}
