//! What the resources say about a target: its routes, or why it has none.

use super::asked::Asked;
use super::meant::by_name;
use super::outbound::{Behind, Found, Outbound};
use super::target::{Fallback, Origin, StaticCluster, TargetSpec, everything_to};
use super::told::is_final;
use crate::dialect::TimeLimits;
use crate::error::{Failure, Kind as ErrorKind};
use crate::resource::cluster::{Cluster, EndpointSource};
use crate::resource::listener::{HttpManager, Listener, RouteSource, TcpProxy};
use crate::resource::route::{Forward, RouteConfig, WeightedCluster};
use crate::resource::{Kind, Resource};
use crate::xds::cache::{Absence, State};
use crate::xds::client::Client;
use std::borrow::Cow;
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

/// What the resources say about a target, and which routes and clusters were asked for to learn that.
pub(super) fn wanted(
    spec: &TargetSpec,
    own: &mut Own,
    statics: &BTreeMap<Arc<str>, StaticCluster>,
    outbound: &Outbound,
    client: Option<&Client<Kind>>,
) -> (Wanted, Asked) {
    let (standing, fallback, mut asked) = match (&spec.origin, client) {
        (Origin::Static(name), _) => {
            let wanted = match statics.get(name) {
                Some(given) => given.wanted(),
                None => {
                    let why = format!("no cluster {name} was given to this mesh");
                    Wanted::Failure(Failure::new(ErrorKind::NoCluster, why))
                }
            };
            return (wanted, Asked::default());
        }
        (Origin::ControlPlane { fallback, .. } | Origin::Sidecar { fallback }, None) => {
            let standing = Standing::Nothing("this mesh has no control plane".to_owned());
            (standing, *fallback, Asked::default())
        }
        (Origin::ControlPlane { listener, fallback }, Some(client)) => {
            (standing(listener, *fallback, client), *fallback, Asked::default())
        }
        (Origin::Sidecar { fallback }, Some(client)) => {
            let Found { behind, asked } = outbound.find(&spec.name, client);
            (standing_behind(behind, spec, client), *fallback, asked)
        }
    };
    if let Standing::Http(HttpManager { routes: RouteSource::Named(name), .. }) = &standing
        && !asked.routes.contains(name)
    {
        asked.routes.push(name.clone());
    }
    (conclude(standing, spec, fallback, own, client), asked)
}

fn conclude(
    standing: Standing<'_>,
    spec: &TargetSpec,
    fallback: Fallback,
    own: &mut Own,
    client: Option<&Client<Kind>>,
) -> Wanted {
    match standing {
        Standing::Unknown => Wanted::Unknown,
        Standing::Http(manager) => routes(manager, client),
        Standing::Tcp(proxy) => {
            let kept = own.forwarded.take().filter(|(before, _)| *before == *proxy);
            let config = || Arc::new(everything_to(spec.name.clone(), forward(&proxy)));
            let made = || (proxy.clone().into_owned(), config());
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
    Tcp(Cow<'a, TcpProxy>),
    /// There is no such listener, and why.
    Nothing(String),
    /// Nobody can tell whether there is such a listener, and why. What may be in the mesh must not pass it by.
    Lost(String),
    /// It is not what it should be, and why.
    Refused(String),
}

/// What a sidecar's configuration says.
fn standing_behind<'a>(behind: Behind<'a>, spec: &TargetSpec, client: &Client<Kind>) -> Standing<'a> {
    let name = &spec.name;
    match behind {
        Behind::Unknown => Standing::Unknown,
        Behind::Http(manager) => Standing::Http(manager),
        Behind::Tcp(proxy) => Standing::Tcp(Cow::Borrowed(proxy)),
        Behind::Cluster(name) => Standing::Tcp(Cow::Owned(TcpProxy { clusters: vec![(name, 1)] })),
        Behind::Blocked => Standing::Lost(format!(
            "the control plane allows calls only to services that it knows, and knows no {name} (REGISTRY_ONLY)"
        )),
        Behind::Refused(listener) => Standing::Refused(refusal(client, &listener)),
        Behind::Unclear(listener) => Standing::Lost(format!(
            "no Listener is known to be that of {name}: it may be {listener}, which is led to another service, and nothing \
             tells whose address it has"
        )),
        Behind::Silent(kind) => Standing::Lost(format!(
            "it is not known where {name} leads: the control plane did not send any {} in time",
            kind.as_str()
        )),
        Behind::Nothing => Standing::Nothing(format!(
            "no Listener of the control plane takes {name}, and no Cluster is called after it"
        )),
    }
}

/// What the listener for a gRPC client says.
fn standing<'a>(name: &str, fallback: Fallback, client: &'a Client<Kind>) -> Standing<'a> {
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
                Absence::Unlisted => Standing::Nothing(why),
                absence if is_final(*absence) => Standing::Nothing(why),
                _ => Standing::Lost(why),
            }
        }
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
