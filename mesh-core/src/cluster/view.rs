//! A cluster as one snapshot has it.

use super::account::Account;
use crate::balance::{Members, PickContext, Picker};
use crate::endpoint::{Endpoint, Protocol};
use crate::error::{Error, Failure, Kind, RetrySafety};
use crate::policy::retry_budget::RetryBudget;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What lasts of a cluster while its configuration and its endpoints change.
#[derive(Debug)]
pub struct Cluster {
    /// Its name.
    pub name: Arc<str>,
    /// What its endpoints are spoken to with.
    pub protocol: Protocol,
    /// Limits what is sent again.
    pub budget: RetryBudget,
    /// Requests that were sent again under a retry policy.
    pub retries: AtomicU64,
    /// Requests that were sent again because they had never been sent, or were given back.
    pub resends: AtomicU64,
    /// Requests that were not sent again because the budget was exhausted.
    pub budget_exhausted: AtomicU64,
}

/// A cluster as one snapshot has it.
#[derive(Clone, Debug)]
pub struct ClusterView {
    /// What lasts.
    pub cluster: Arc<Cluster>,
    /// Whether it can be used.
    pub state: ClusterState,
    /// How long a connection to one of its endpoints may take to be made; none if its parts differ in that.
    pub connect_timeout: Option<Duration>,
    /// What of its requests is dropped, and where the others are counted.
    pub account: Account,
    /// What is wrong with its configuration, which is in force all the same.
    pub ambient: Option<Arc<str>>,
    /// Whether no route leads here any more, only calls that began before.
    pub retired: bool,
    /// What the views of a cluster share, so that they can be counted.
    pub(super) mark: Arc<Mark>,
}

/// What the views of a cluster share.
#[derive(Debug)]
pub(super) struct Mark;

/// Whether a cluster can be used.
#[derive(Clone, Debug)]
pub enum ClusterState {
    /// Its configuration or its endpoints are not here yet.
    Pending,
    /// It can.
    Ready {
        /// Its endpoints, the best priority first.
        priorities: Vec<Members>,
        /// How one of them is chosen.
        picker: Arc<dyn Picker>,
    },
    /// It cannot, and this is why.
    Failed(Failure),
}

/// What came of choosing an endpoint.
#[derive(Debug)]
pub enum Pick<'a> {
    /// This one.
    Endpoint(&'a Arc<Endpoint>),
    /// None yet: connections are being made to these.
    Connecting(&'a Members),
    /// None yet: the cluster is not configured yet.
    Pending,
    /// None.
    None(Error),
}

impl ClusterView {
    /// The same, led to by routes or not.
    #[must_use]
    pub fn retire(&self, retired: bool) -> Self {
        Self { retired, ..self.clone() }
    }

    /// Views of this cluster that anybody holds, this one included.
    #[must_use]
    pub fn count(&self) -> usize {
        // The owner of the cluster holds the mark, too.
        Arc::strong_count(&self.mark) - 1
    }

    /// Chooses an endpoint: of the best priority that has one, by the cluster's policy.
    ///
    /// A priority whose endpoints are all being tried is waited for, at most for the time that a connection may take;
    /// one whose endpoints have all failed is passed over.
    #[must_use]
    pub fn pick(&self, cx: &PickContext<'_>) -> Pick<'_> {
        let (priorities, picker) = match &self.state {
            ClusterState::Ready { priorities, picker } => (priorities, picker),
            ClusterState::Pending => return Pick::Pending,
            ClusterState::Failed(failure) => {
                return Pick::None(failure.to_error().with_cluster(&self.cluster.name));
            }
        };
        let mut all_excluded = None;
        for members in priorities.iter().filter(|members| !members.is_empty()) {
            members.activate();
            if let Some(endpoint) = picker.pick(members, cx) {
                return Pick::Endpoint(endpoint);
            }
            if !members.ready().is_empty() {
                all_excluded.get_or_insert(members);
            } else if !members.ready().all_failed() {
                return match all_excluded {
                    Some(_) => break,
                    None => Pick::Connecting(members),
                };
            }
        }
        // Better an endpoint that failed once than none.
        let again =
            all_excluded.and_then(|members| picker.pick(members, &PickContext { excluded: &[], ..*cx }));
        match again {
            Some(endpoint) => Pick::Endpoint(endpoint),
            None => Pick::None(self.no_endpoint(priorities)),
        }
    }

    fn no_endpoint(&self, priorities: &[Members]) -> Error {
        let mut endpoints = priorities.iter().flat_map(Members::iter).peekable();
        if endpoints.peek().is_none() {
            let error = Error::new(Kind::NoEndpoint, "the cluster has no endpoint that may be used");
            return self.note(error.with_cluster(&self.cluster.name));
        }
        let error = Error::new(Kind::Unreachable, "no endpoint of the cluster can be reached")
            .with_cluster(&self.cluster.name)
            .with_safety(RetrySafety::NeverSent);
        self.note(match self.obstacle() {
            Some((endpoint, reason)) => error.with_endpoint(endpoint.label()).with_source(&*reason),
            None => error,
        })
    }

    /// Adds to an error what is wrong with the configuration.
    fn note(&self, error: Error) -> Error {
        match &self.ambient {
            Some(ambient) => error.with_note(ambient),
            None => error,
        }
    }

    /// An endpoint that cannot be reached, and why; none if there is none.
    #[must_use]
    pub fn obstacle(&self) -> Option<(&Arc<Endpoint>, Arc<str>)> {
        let ClusterState::Ready { priorities, .. } = &self.state else { return None };
        let mut endpoints = priorities.iter().flat_map(Members::iter);
        endpoints.find_map(|endpoint| Some(endpoint).zip(endpoint.error()))
    }
}
