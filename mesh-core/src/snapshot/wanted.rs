//! What the resources say about a target: its routes, or why it has none.

use super::meant::by_name;
use super::outbound::{Behind, Outbound, Told};
use super::target::{Fallback, Origin, StaticCluster, TargetSpec, everything_to};
use crate::dialect::TimeLimits;
use crate::error::{Failure, Kind as ErrorKind};
use crate::resource::cluster::{Cluster, EndpointSource};
use crate::resource::listener::{HttpManager, Listener, RouteSource, TcpProxy};
use crate::resource::route::{Forward, RouteConfig, WeightedCluster};
use crate::resource::{Kind, Resource};
use crate::xds::cache::{Absence, State};
use crate::xds::client::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

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

/// What a target has without asking, so that it is made once.
#[derive(Debug, Default)]
pub(super) struct Own {
    passed_through: Option<StaticCluster>,
    forwarded: Option<(TcpProxy, Arc<RouteConfig>)>,
}

/// What the resources say about a target.
pub(super) fn wanted(
    spec: &TargetSpec,
    own: &mut Own,
    statics: &BTreeMap<Arc<str>, StaticCluster>,
    outbound: &Outbound,
    client: Option<&Client<Kind>>,
) -> Wanted {
    let fallback = match &spec.origin {
        Origin::Static(name) => {
            return match statics.get(name) {
                Some(given) => given.wanted(),
                None => {
                    let why = format!("no cluster {name} was given to this mesh");
                    Wanted::Failure(Failure::new(ErrorKind::NoCluster, why))
                }
            };
        }
        Origin::ControlPlane { fallback, .. } | Origin::Sidecar { fallback } => *fallback,
    };
    let standing = match client {
        Some(client) => standing(spec, outbound, client),
        None => Standing::Nothing("this mesh has no control plane".to_owned()),
    };
    match standing {
        Standing::Unknown => Wanted::Unknown,
        Standing::Http(manager) => routes(manager, client),
        Standing::Tcp(proxy) => {
            let kept = own.forwarded.take().filter(|(before, _)| before == proxy);
            let made = || (proxy.clone(), Arc::new(everything_to(spec.name.clone(), forward(proxy))));
            let (_, config) = own.forwarded.insert(kept.unwrap_or_else(made));
            Wanted::Routes { config: config.clone(), max_stream_duration: None, given: None }
        }
        Standing::Nothing(why) => match fallback {
            Fallback::Refuse => Wanted::Failure(Failure::new(ErrorKind::Missing, why)),
            Fallback::PassThrough => {
                own.passed_through.get_or_insert_with(|| pass_through(&spec.name)).wanted()
            }
        },
        Standing::Lost(why) => Wanted::Failure(Failure::new(ErrorKind::Missing, why)),
        Standing::Refused(why) => Wanted::Failure(Failure::new(ErrorKind::Rejected, why)),
    }
}

/// What the listeners say about a target.
enum Standing<'a> {
    Unknown,
    Http(&'a HttpManager),
    Tcp(&'a TcpProxy),
    /// There is no such listener, and why.
    Nothing(String),
    /// Nobody can tell whether there is such a listener, and why. What may be in the mesh must not pass it by.
    Lost(String),
    /// It is not what it should be, and why.
    Refused(String),
}

fn standing<'a>(spec: &TargetSpec, outbound: &Outbound, client: &'a Client<Kind>) -> Standing<'a> {
    let (name, fallback) = match &spec.origin {
        Origin::ControlPlane { listener, fallback } => (listener, *fallback),
        Origin::Sidecar { .. } => {
            let get = |name: &str| server_listener(client, name);
            return match outbound.find(&spec.name, get, |name| may_be_cluster(client, name)) {
                Some(Behind::Http(manager)) => Standing::Http(manager),
                Some(Behind::Tcp(proxy)) => Standing::Tcp(proxy),
                // Whom it concerns, the clusters tell.
                Some(Behind::Refused(_) | Behind::Unclear(_)) if !client.lists_all(Kind::Cluster) => {
                    Standing::Unknown
                }
                Some(Behind::Refused(name)) => Standing::Refused(refusal(client, &name)),
                Some(Behind::Unclear(name)) => Standing::Lost(format!(
                    "no Listener is known to be that of {}: it may be {name}, which is led to another service, and \
                     nothing tells whose address it has",
                    spec.name
                )),
                None if client.lists_all(Kind::Listener) => {
                    Standing::Nothing(format!("no Listener of the control plane takes {}", spec.name))
                }
                None => Standing::Unknown,
            };
        }
        Origin::Static(_) => return Standing::Unknown,
    };
    let Some(entry) = client.get(Kind::Listener, name) else { return Standing::Unknown };
    match (&entry.state, &entry.rejection) {
        (State::Present(present), _) => match &present.value {
            Resource::Listener(resource) => match &**resource {
                Listener::Api(manager) => Standing::Http(manager),
                Listener::Server(_) => Standing::Refused(format!("Listener {name} is one of a server")),
            },
            _ => Standing::Unknown,
        },
        (State::Pending, Some(rejection)) => {
            Standing::Refused(format!("Listener {name} was refused: {}", rejection.reason))
        }
        (State::Pending, None) => Standing::Unknown,
        // It may be on its way; only who has another place to go does not wait.
        (State::Absent(Absence::Unlisted), _) if fallback == Fallback::Refuse => Standing::Unknown,
        (State::Absent(absence), _) => {
            let why = format!("Listener {name} {}", entry.trouble());
            match absence {
                Absence::Unlisted | Absence::NotFound | Absence::Deleted | Absence::TimedOut => {
                    Standing::Nothing(why)
                }
                Absence::Unanswered
                | Absence::Expired
                | Absence::Failed
                | Absence::Malformed
                | Absence::OtherKind
                | Absence::UnknownAuthority => Standing::Lost(why),
            }
        }
    }
}

/// A listener that has an address.
pub(super) fn server_listener<'a>(client: &'a Client<Kind>, name: &str) -> Option<Told<'a>> {
    let entry = client.get(Kind::Listener, name)?;
    match entry.value() {
        Some(Resource::Listener(listener)) => match &**listener {
            Listener::Server(server) => Some(Told::Listener(server)),
            Listener::Api(_) => None,
        },
        Some(_) => None,
        None => entry.rejection.is_some().then_some(Told::Refused),
    }
}

/// Whether there is a cluster, or nobody can tell.
fn may_be_cluster(client: &Client<Kind>, name: &str) -> bool {
    match client.get(Kind::Cluster, name) {
        Some(entry) => !matches!(entry.state, State::Absent(_)),
        None => !client.lists_all(Kind::Cluster),
    }
}

/// Why a listener was refused.
fn refusal(client: &Client<Kind>, name: &str) -> String {
    let entry = client.get(Kind::Listener, name);
    let reason = entry.and_then(|entry| entry.rejection.as_ref()).map(|rejection| rejection.reason.as_str());
    format!("Listener {name} was refused: {}", reason.unwrap_or_default())
}

/// To the clusters of a proxy for bytes, without a limit in time.
fn forward(proxy: &TcpProxy) -> Forward {
    let clusters = proxy.clusters.iter();
    let clusters = clusters.map(|(name, weight)| WeightedCluster::new(name.clone(), *weight));
    let limits = TimeLimits { timeout: Some(Duration::ZERO), ..TimeLimits::default() };
    Forward { limits, ..Forward::new(clusters.collect()) }
}

fn routes(manager: &HttpManager, client: Option<&Client<Kind>>) -> Wanted {
    let max_stream_duration = manager.max_stream_duration;
    let name = match &manager.routes {
        RouteSource::Inline(config) => {
            return Wanted::Routes { config: config.clone(), max_stream_duration, given: None };
        }
        RouteSource::Named(name) => name,
    };
    let Some(entry) = client.and_then(|client| client.get(Kind::Route, name)) else { return Wanted::Unknown };
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
pub(super) fn routes_of<'a>(
    spec: &TargetSpec,
    outbound: &Outbound,
    client: Option<&'a Client<Kind>>,
) -> Option<&'a Arc<str>> {
    match standing(spec, outbound, client?) {
        Standing::Http(HttpManager { routes: RouteSource::Named(name), .. }) => Some(name),
        _ => None,
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
    let name = format!("passthrough|{authority}").into();
    let cluster = Cluster::new(name, EndpointSource::Inline(Arc::new(by_name(authority))));
    StaticCluster::new(cluster, None, None)
}
