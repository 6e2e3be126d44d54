//! What is to become of one cluster, by what is known of it.

use crate::cluster::dns::DnsNames;
use crate::cluster::expand::{Expanded, expand};
use crate::cluster::{ClusterState, ClusterView};
use crate::error::{Failure, Kind as ErrorKind};
use crate::resource::cluster::{Cluster as ClusterResource, DnsKind, EndpointSource};
use crate::resource::endpoint::Assignment;
use crate::resource::{Kind, Resource};
use crate::xds::cache::{Absence, State};
use crate::xds::client::Client;
use crate::xds::name::is_federated;
use std::sync::{Arc, Weak};

/// What is to become of a cluster.
pub(super) enum Verdict {
    /// It stays as it is until more is known.
    Wait,
    /// It is what it was no more, and stays away until more is known.
    Anew,
    /// It can be used.
    Use(MadeOf),
    /// It cannot.
    Fail(Failure),
    /// It was taken away.
    Gone(Failure),
}

/// What a cluster is made of.
#[derive(Debug)]
pub(super) enum MadeOf {
    /// Endpoints of its own, of which something may be wrong that does not put them out of force.
    Endpoints(Arc<ClusterResource>, Arc<Assignment>, Option<Arc<str>>),
    /// Other clusters.
    Clusters(Vec<Arc<ClusterView>>),
}

/// By what it is known again what a cluster was made of. It holds no other cluster: each might hold the other.
#[derive(Debug)]
pub(super) enum Trace {
    Endpoints(Arc<ClusterResource>, Arc<Assignment>, Option<Arc<str>>),
    Clusters(Vec<Weak<ClusterView>>),
}

impl MadeOf {
    /// Whether it is what left this trace.
    pub(super) fn left(&self, trace: &Trace) -> bool {
        let same = |one: &Arc<_>, other: &Weak<_>| std::ptr::eq(Arc::as_ptr(one), other.as_ptr());
        match (self, trace) {
            (Self::Endpoints(a, b, why), Trace::Endpoints(c, d, reason)) => {
                Arc::ptr_eq(a, c) && Arc::ptr_eq(b, d) && why == reason
            }
            (Self::Clusters(views), Trace::Clusters(trace)) => {
                views.len() == trace.len() && views.iter().zip(trace).all(|(view, trace)| same(view, trace))
            }
            _ => false,
        }
    }

    pub(super) fn trace(&self) -> Trace {
        match self {
            Self::Endpoints(resource, assignment, ambient) => {
                Trace::Endpoints(resource.clone(), assignment.clone(), ambient.clone())
            }
            Self::Clusters(views) => Trace::Clusters(views.iter().map(Arc::downgrade).collect()),
        }
    }

    /// The view that was made of it, which says what is wrong with it.
    pub(super) fn tell(&self, mut view: ClusterView) -> ClusterView {
        view.ambient = match self {
            Self::Endpoints(_, _, ambient) => ambient.clone(),
            Self::Clusters(views) => views.iter().find_map(|view| match &view.state {
                ClusterState::Failed(_) => failure(view).map(|failure| failure.message),
                _ => view.ambient.clone(),
            }),
        };
        view
    }
}

/// What is wrong with a resource that is in force.
fn ambient(kind: Kind, name: &str, client: Option<&Client<Kind>>) -> Option<Arc<str>> {
    let wrong = client?.get(kind, name)?.ambient()?;
    Some(format!("{} {name} {wrong}", kind.as_str()).into())
}

/// The cluster that the control plane sent, or what to do without.
pub(super) fn look_up(name: &str, client: Option<&Client<Kind>>) -> Result<Arc<ClusterResource>, Verdict> {
    let Some(client) = client else { return Err(Verdict::Wait) };
    let Some(entry) = client.get(Kind::Cluster, name) else {
        if !is_federated(name) && client.lists_all(Kind::Cluster) {
            let why = format!("Cluster {name} {}", Absence::Unlisted.as_str());
            return Err(Verdict::Gone(Failure::new(ErrorKind::NoCluster, why)));
        }
        return Err(Verdict::Wait);
    };
    match (&entry.state, &entry.rejection) {
        (State::Present(present), _) => match &present.value {
            Resource::Cluster(cluster) => Ok(cluster.clone()),
            _ => Err(Verdict::Wait),
        },
        (State::Pending, Some(rejection)) => {
            let why = format!("Cluster {name} was refused: {}", rejection.reason);
            Err(Verdict::Fail(Failure::new(ErrorKind::Rejected, why)))
        }
        (State::Pending, None) => Err(Verdict::Wait),
        (State::Absent(absence), _) => {
            let why = format!("Cluster {name} {}", entry.trouble());
            let failure = Failure::new(ErrorKind::NoCluster, why);
            Err(match absence {
                Absence::Deleted => Verdict::Gone(failure),
                _ => Verdict::Fail(failure),
            })
        }
    }
}

/// What is to become of a cluster with endpoints of its own.
pub(super) fn verdict(
    resource: Arc<ClusterResource>,
    names: &DnsNames,
    client: Option<&Client<Kind>>,
) -> Verdict {
    let fail = |kind, why: String| Verdict::Fail(Failure::new(kind, why));
    let wrong = || ambient(Kind::Cluster, &resource.name, client);
    let name = match &resource.endpoints {
        EndpointSource::Named(name) => name,
        EndpointSource::Dns(dns) if dns.kind == DnsKind::Strict => {
            return match expand(dns, names) {
                Expanded::Pending => Verdict::Wait,
                Expanded::Endpoints(assignment) => {
                    let wrong = wrong();
                    Verdict::Use(MadeOf::Endpoints(resource, assignment, wrong))
                }
                Expanded::Failed(why) => fail(ErrorKind::NoEndpoint, why),
            };
        }
        // What is left of names is looked up with each connection.
        other => {
            return match other.given().cloned() {
                Some(assignment) => {
                    let wrong = wrong();
                    Verdict::Use(MadeOf::Endpoints(resource, assignment, wrong))
                }
                None => fail(ErrorKind::Unsupported, format!("its endpoints are {}", other.describe())),
            };
        }
    };
    let Some(entry) = client.and_then(|client| client.get(Kind::Endpoint, name)) else {
        return Verdict::Wait;
    };
    match (&entry.state, &entry.rejection) {
        (State::Present(present), _) => match &present.value {
            Resource::Endpoint(assignment) => {
                let wrong = wrong().or_else(|| ambient(Kind::Endpoint, name, client));
                let assignment = assignment.clone();
                Verdict::Use(MadeOf::Endpoints(resource, assignment, wrong))
            }
            _ => Verdict::Wait,
        },
        (State::Pending, Some(rejection)) => {
            let why = format!("ClusterLoadAssignment {name} was refused: {}", rejection.reason);
            fail(ErrorKind::Rejected, why)
        }
        (State::Pending, None) => Verdict::Wait,
        (State::Absent(_), _) => {
            fail(ErrorKind::NoEndpoint, format!("ClusterLoadAssignment {name} {}", entry.trouble()))
        }
    }
}

/// What is to become of a cluster that is made of clusters: those that can be used, in their order. Of none nothing is known.
pub(super) fn join(views: Vec<Arc<ClusterView>>) -> Verdict {
    if views.is_empty() || views.iter().any(|view| matches!(view.state, ClusterState::Pending)) {
        return Verdict::Wait;
    }
    match views.iter().find_map(|view| failure(view)) {
        Some(failure) if views.iter().all(|view| matches!(view.state, ClusterState::Failed(_))) => {
            Verdict::Fail(failure)
        }
        _ => Verdict::Use(MadeOf::Clusters(views)),
    }
}

/// Why a part cannot be used, if it cannot.
fn failure(part: &ClusterView) -> Option<Failure> {
    match &part.state {
        ClusterState::Failed(why) => {
            Some(Failure::new(why.kind, format!("cluster {}: {}", part.cluster.name, why.message)))
        }
        _ => None,
    }
}
