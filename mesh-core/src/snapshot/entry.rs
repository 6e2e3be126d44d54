//! One of the clusters that routes lead to.

use super::sources::Held;
use super::verdict::Trace;
use crate::cluster::{ClusterView, LiveCluster};
use crate::endpoint::Protocol;
use crate::error::Failure;
use crate::resource::cluster::Cluster as ClusterResource;
use crate::xds::name::canonical;
use std::borrow::Cow;
use std::sync::Arc;

/// What makes a cluster the same cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClusterKey {
    pub(super) name: Arc<str>,
    pub(super) protocol: Protocol,
    pub(super) scope: Scope,
}

impl ClusterKey {
    /// However routes and clusters write a name, the cluster is one.
    pub(super) fn new(name: &Arc<str>, protocol: Protocol, scope: Scope) -> Self {
        let name = match canonical(name) {
            Cow::Borrowed(_) => name.clone(),
            Cow::Owned(name) => name.into(),
        };
        Self { name, protocol, scope }
    }
}

/// Who shares a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// All: it comes from the control plane.
    Shared,
    /// All who were given it: it was not asked for.
    Given,
    /// One authority: the cluster leads to whatever its callers mean.
    Meant(Arc<str>),
}

/// One of the clusters that routes lead to.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: ClusterKey,
    pub(super) live: LiveCluster,
    /// What snapshots show of it.
    pub(super) view: Arc<ClusterView>,
    /// The cluster if it need not be asked for, or why it cannot be used.
    pub(super) given: Option<Result<Arc<ClusterResource>, Failure>>,
    /// The cluster of one authority: as it came, and as it is for that.
    pub(super) meant: Option<(Arc<ClusterResource>, Arc<ClusterResource>)>,
    /// What its endpoints are made of.
    pub(super) held: Held,
    /// What the view was made of.
    pub(super) made_of: Option<Trace>,
    /// The route configurations and clusters that lead here.
    pub(super) uses: usize,
}

impl Entry {
    pub(super) fn new(
        key: ClusterKey,
        live: LiveCluster,
        given: Option<Result<Arc<ClusterResource>, Failure>>,
    ) -> Self {
        let view = Arc::new(live.pending());
        Self { key, live, view, given, meant: None, held: Held::default(), made_of: None, uses: 0 }
    }

    /// Whether there may be calls on their way here, of which each holds a view. So do the entry and the snapshot to come; an
    /// older snapshot is taken for a call.
    pub(super) fn is_called(&self) -> bool {
        Arc::strong_count(&self.view) > 2 || self.view.count() > 1
    }
}
