//! Where configuration and requests meet.
//!
//! A [`Snapshot`] is immutable. The [`driver`] task makes a new one out of what the control plane says whenever that
//! changes, reusing every cluster and endpoint that stays, and publishes it with one atomic store. A request loads it
//! once and from then on carries references.

mod aggregates;
mod asked;
mod assemble;
mod claim;
mod clusters;
mod destination;
pub mod driver;
mod entry;
pub mod handle;
mod homes;
mod interest;
mod meant;
mod measure;
mod outbound;
pub mod report;
mod reported;
mod search;
mod sources;
mod target;
mod told;
mod verdict;
mod wanted;

pub use self::aggregates::MAX_AGGREGATE_DEPTH;
pub use self::clusters::{REMOVAL_GRACE, RETIREMENT_CHECK};
pub use self::target::{Fallback, Origin, Served, StaticCluster, TargetId, TargetSpec};

use crate::cluster::ClusterView;
use crate::error::Failure;
use crate::route::{ClusterIndex, RouteTable};
use crate::slots::Slots;
use crate::xds::outages::Outages;
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Everything that requests need to know, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts the snapshots.
    pub number: u64,
    /// Which names cannot be asked for at present.
    pub outages: Outages,
    /// Whether the mesh is closed.
    pub closed: bool,
    targets: Slots<Arc<TargetView>>,
    clusters: Slots<Arc<ClusterView>>,
}

/// A target as one snapshot has it.
#[derive(Debug)]
pub struct TargetView {
    id: TargetId,
    /// Where its requests go.
    pub state: TargetState,
}

/// Where the requests of a target go.
#[derive(Clone, Debug)]
pub enum TargetState {
    /// Not known yet.
    Pending,
    /// Where the routes say.
    Routed(Routes),
    /// Nowhere, and this is why.
    Failed(Failure),
}

/// The routes of a target.
#[derive(Clone, Debug)]
pub struct Routes {
    /// The routes.
    pub table: Arc<RouteTable>,
    /// The number of the virtual host that serves the target's own name.
    pub host: Option<usize>,
    /// The time that a call may take where its route does not say.
    pub max_stream_duration: Option<Duration>,
}

/// The place where the present snapshot is found.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Snapshot>,
    changed: Notify,
    /// How long a call waits for configuration.
    pub timeout: Duration,
}

impl Snapshot {
    /// A target; none if it is not there yet.
    #[must_use]
    pub fn target(&self, id: TargetId) -> Option<&TargetView> {
        self.targets.get(id.slot).map(|view| &**view).filter(|view| view.id == id)
    }

    /// A cluster that a route of this snapshot leads to.
    #[must_use]
    pub fn cluster(&self, index: ClusterIndex) -> Option<&Arc<ClusterView>> {
        self.clusters.get(index.0)
    }

    /// Why those control planes cannot be reached that have what a target lacks, if they cannot: its listener, or this
    /// cluster.
    #[must_use]
    pub fn outage(&self, spec: &TargetSpec, cluster: Option<&str>) -> Option<&Arc<str>> {
        let listener = match &spec.origin {
            Origin::ControlPlane { listener, .. } => &**listener,
            // Whatever its name.
            Origin::Sidecar { .. } => "",
            Origin::Static(_) => return None,
        };
        self.outages.of(cluster.unwrap_or(listener))
    }

    /// Every cluster.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<ClusterView>> {
        self.clusters.iter()
    }
}

impl Published {
    /// A place without configuration, which calls wait for no longer than `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { current: ArcSwap::default(), changed: Notify::new(), timeout }
    }

    /// The present snapshot.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Wakes whoever waits for another snapshot. To miss none, listen before loading.
    #[must_use]
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Lets every call fail from now on.
    fn close(&self) {
        let number = self.load().number + 1;
        self.publish(Snapshot { number, closed: true, ..Default::default() });
    }

    fn publish(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
        self.changed.notify_waiters();
    }
}
