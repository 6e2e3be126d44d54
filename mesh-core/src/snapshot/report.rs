//! Where everything stands: what the control plane said, and what became of it.

use super::TargetState;
use super::assemble::Assembler;
use super::target::TargetSpec;
use crate::bootstrap::Node;
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::resource::Kind;
use crate::xds::cache::{Rejection, Reported, State, Status};
use crate::xds::client::Client;
use crate::xds::kind::ResourceKind;
use crate::xds::server_status::ServerStatus;
use bytes::Bytes;
use std::sync::Arc;
use std::time::SystemTime;

/// Where everything stands.
#[derive(Debug)]
pub struct Report {
    /// Who asks.
    pub node: Arc<Node>,
    /// The control plane, if there is one.
    pub control_plane: Option<ControlPlaneReport>,
    /// Those of authorities that have their own.
    pub authorities: Vec<ControlPlaneReport>,
    /// The resources that are subscribed to.
    pub resources: Vec<ResourceReport>,
    /// The targets.
    pub targets: Vec<(TargetSpec, TargetState)>,
    /// The endpoints in use.
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// How it goes with a control plane.
#[derive(Clone, Debug)]
pub struct ControlPlaneReport {
    /// The authorities that it answers for, beside names without one if it is [`Report::control_plane`].
    pub authorities: Vec<String>,
    /// Where it is.
    pub source: String,
    /// How it calls itself.
    pub identifier: String,
    /// Whether it does what it should (gRFC A78); see [`ServerStatus::connected`].
    pub connected: bool,
    /// Why no control plane can be reached, if none can.
    pub error: Option<Arc<str>>,
    /// Resources in force that come from the disk cache and that no control plane has confirmed.
    pub from_disk: usize,
    /// The last version of each kind that was accepted whole.
    pub versions: Vec<(Kind, String)>,
    /// How those do that answer for the same names, of those that were ever tried, in order: the one in charge is one of them.
    pub servers: Vec<ServerStatus<Kind>>,
}

/// A resource that is subscribed to.
#[derive(Clone, Debug)]
pub struct ResourceReport {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// `present`, `pending`, or why there is none.
    pub status: &'static str,
    /// The version in force.
    pub version: Option<Arc<str>>,
    /// The version in force, as it came over the wire.
    pub bytes: Option<Bytes>,
    /// Why the newest version was refused.
    pub rejection: Option<Rejection>,
    /// How far the client has come with it, as the client status discovery service has it.
    pub client_status: Status,
    /// When what is in force came, or when it became what it is.
    pub updated: Option<SystemTime>,
    /// When the newest version was refused.
    pub refused_at: Option<SystemTime>,
    /// What the control plane says is wrong with it; if there is a version in force it stays so all the same.
    pub error: Option<String>,
    /// When the control plane said so last.
    pub reported_at: Option<SystemTime>,
}

impl Report {
    pub(super) fn new(
        node: Arc<Node>,
        client: Option<&Client<Kind>>,
        assembler: &Assembler,
        clock: &Clock,
    ) -> Self {
        let (now, wall) = (clock.now(), clock.wall());
        let mut control_planes =
            client.into_iter().flat_map(Client::status).map(|status| ControlPlaneReport {
                authorities: status.authorities.into_iter().map(str::to_owned).collect(),
                source: status.source.to_string(),
                identifier: status.identifier.to_owned(),
                connected: status.connected,
                error: status.error.cloned(),
                from_disk: status.from_disk,
                versions: status
                    .versions
                    .into_iter()
                    .map(|(kind, version)| (kind, version.to_owned()))
                    .collect(),
                servers: status.servers,
            });
        let control_plane = control_planes.next();
        let entries = Kind::ALL.iter().flat_map(|&kind| {
            client.into_iter().flat_map(move |client| client.entries(kind).map(move |entry| (kind, entry)))
        });
        let resources = entries.map(|(kind, (name, entry))| {
            let (status, present) = match &entry.state {
                State::Pending => ("pending", None),
                State::Present(present) => ("present", Some(present)),
                State::Absent(absence) => (absence.as_str(), None),
            };
            ResourceReport {
                kind,
                name: name.clone(),
                status,
                version: present.map(|present| present.version.clone()),
                bytes: present.map(|present| present.bytes.clone()),
                rejection: entry.rejection.clone(),
                client_status: entry.status(),
                updated: entry.updated_at(now, wall),
                refused_at: entry.rejection.as_ref().and_then(|rejection| rejection.date(now, wall)),
                error: entry.error.as_ref().map(Reported::to_string),
                reported_at: entry.error.as_ref().and_then(|error| error.date(now, wall)),
            }
        });
        Self {
            node,
            control_plane,
            authorities: control_planes.collect(),
            resources: resources.collect(),
            targets: assembler.targets().map(|(spec, state)| (spec.clone(), state.clone())).collect(),
            endpoints: assembler.endpoints().collect(),
        }
    }
}
