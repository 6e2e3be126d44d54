//! What the resources say about a target: its routes, or why it has none.

use super::target::{Fallback, Origin, StaticCluster, TargetSpec};
use crate::error::{Failure, Kind as ErrorKind};
use crate::net::Address;
use crate::resource::cluster::{Cluster, EndpointSource};
use crate::resource::endpoint::{Assignment, LbEndpoint, LocalityEndpoints};
use crate::resource::listener::{Listener, RouteSource};
use crate::resource::route::RouteConfig;
use crate::resource::{Kind, Resource};
use crate::xds::cache::{Absence, State};
use crate::xds::client::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The port of a name that is passed through without one.
const DEFAULT_PORT: u16 = 80;

/// What the resources say about a target.
pub(super) enum Wanted {
    /// Nothing yet.
    Unknown,
    Routes {
        config: Arc<RouteConfig>,
        max_stream_duration: Option<Duration>,
        given: Option<Arc<Cluster>>,
    },
    Failure(Failure),
}

/// What the resources say about a target. What is passed through is made once and kept in `passed_through`.
pub(super) fn wanted(
    spec: &TargetSpec,
    passed_through: &mut Option<StaticCluster>,
    statics: &BTreeMap<Arc<str>, StaticCluster>,
    client: Option<&Client<Kind>>,
) -> Wanted {
    let mut unknown = |fallback, why: String| match fallback {
        Fallback::Refuse => Wanted::Failure(Failure::new(ErrorKind::Missing, why)),
        Fallback::PassThrough => passed_through.get_or_insert_with(|| pass_through(&spec.name)).wanted(),
    };
    let (listener, fallback) = match &spec.origin {
        Origin::Static(name) => {
            return match statics.get(name) {
                Some(given) => given.wanted(),
                None => {
                    let why = format!("no cluster {name} was given to this mesh");
                    Wanted::Failure(Failure::new(ErrorKind::NoCluster, why))
                }
            };
        }
        Origin::ControlPlane { listener, fallback } => (listener, *fallback),
    };
    let Some(client) = client else {
        return unknown(fallback, "this mesh has no control plane".to_owned());
    };
    let Some(entry) = client.get(Kind::Listener, listener) else { return Wanted::Unknown };
    let api = match (&entry.state, &entry.rejection) {
        (State::Present(present), _) => match &present.value {
            Resource::Listener(resource) => match &**resource {
                Listener::Api(api) => api,
                Listener::Server(_) => {
                    let why = format!("Listener {listener} is one of a server");
                    return Wanted::Failure(Failure::new(ErrorKind::Rejected, why));
                }
            },
            _ => return Wanted::Unknown,
        },
        (State::Pending, Some(rejection)) => {
            let why = format!("Listener {listener} was refused: {}", rejection.reason);
            return Wanted::Failure(Failure::new(ErrorKind::Rejected, why));
        }
        (State::Pending, None) => return Wanted::Unknown,
        // It may be on its way; only who has another place to go does not wait.
        (State::Absent(Absence::Unlisted), _) if fallback == Fallback::Refuse => return Wanted::Unknown,
        (State::Absent(_), _) => {
            return unknown(fallback, format!("Listener {listener} {}", entry.trouble()));
        }
    };
    let max_stream_duration = api.max_stream_duration;
    let name = match &api.routes {
        RouteSource::Inline(config) => {
            return Wanted::Routes { config: config.clone(), max_stream_duration, given: None };
        }
        RouteSource::Named(name) => name,
    };
    let Some(entry) = client.get(Kind::Route, name) else { return Wanted::Unknown };
    match (&entry.state, &entry.rejection) {
        (State::Present(present), _) => match &present.value {
            Resource::Route(config) => {
                Wanted::Routes { config: config.clone(), max_stream_duration, given: None }
            }
            _ => Wanted::Unknown,
        },
        (State::Pending, Some(rejection)) => {
            let why = format!("RouteConfiguration {name} was refused: {}", rejection.reason);
            Wanted::Failure(Failure::new(ErrorKind::Rejected, why))
        }
        (State::Pending, None) => Wanted::Unknown,
        (State::Absent(_), _) => {
            let why = format!("RouteConfiguration {name} {}", entry.trouble());
            Wanted::Failure(Failure::new(ErrorKind::Missing, why))
        }
    }
}

/// The route configuration that the listener of a target names.
pub(super) fn routes_of<'a>(spec: &TargetSpec, client: Option<&'a Client<Kind>>) -> Option<&'a Arc<str>> {
    let Origin::ControlPlane { listener, .. } = &spec.origin else { return None };
    let Resource::Listener(listener) = client?.get(Kind::Listener, listener)?.value()? else { return None };
    match &**listener {
        Listener::Api(api) => match &api.routes {
            RouteSource::Named(name) => Some(name),
            RouteSource::Inline(_) => None,
        },
        Listener::Server(_) => None,
    }
}

impl StaticCluster {
    fn wanted(&self) -> Wanted {
        Wanted::Routes {
            config: self.routes.clone(),
            max_stream_duration: None,
            given: Some(self.cluster.clone()),
        }
    }
}

/// A cluster with one endpoint, which is where `authority` leads by DNS.
fn pass_through(authority: &Arc<str>) -> StaticCluster {
    let address = Address::parse(authority).unwrap_or_else(|_| Address::host_port(authority, DEFAULT_PORT));
    let assignment = Assignment::new(vec![vec![LocalityEndpoints::anywhere([LbEndpoint::new(address)])]]);
    let name = format!("passthrough|{authority}").into();
    let cluster = Cluster::new(name, EndpointSource::Inline(Arc::new(assignment)));
    StaticCluster::new(cluster, None, None)
}
