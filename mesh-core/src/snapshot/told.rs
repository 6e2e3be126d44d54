//! What a control plane has told that decides where a sidecar's destinations lead.

use crate::resource::listener::{Listener, ServerListener};
use crate::resource::route::RouteConfig;
use crate::resource::{Kind, Resource};
use crate::xds::Listed;
use crate::xds::cache::{Absence, State};
use crate::xds::client::Client;

/// What a control plane has told.
pub(super) trait Told {
    /// A listener that has an address.
    fn listener(&self, name: &str) -> Heard<&ServerListener>;
    /// A route configuration.
    fn routes(&self, name: &str) -> Heard<&RouteConfig>;
    /// Whether there is a cluster of this name, be it refused or in trouble.
    fn has_cluster(&self, name: &str) -> bool;
    /// How much of everything of a kind was listed.
    fn listed(&self, kind: Kind) -> Listed;
}

/// What a control plane has told of one resource.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard<T> {
    /// What it is.
    There(T),
    /// That there is none.
    Gone,
    /// Nothing that can be used: it was refused, or is in trouble, or may be on its way.
    Open,
}

impl Told for Client<Kind> {
    fn listener(&self, name: &str) -> Heard<&ServerListener> {
        let Some(entry) = self.get(Kind::Listener, name) else { return Heard::Gone };
        match entry.value() {
            Some(Resource::Listener(listener)) => match &**listener {
                Listener::Server(server) => Heard::There(server),
                Listener::Api(_) => Heard::Gone,
            },
            Some(_) => Heard::Gone,
            None if entry.rejection.is_some() => Heard::Open,
            None => Heard::Gone,
        }
    }

    fn routes(&self, name: &str) -> Heard<&RouteConfig> {
        let Some(entry) = self.get(Kind::Route, name) else { return Heard::Open };
        match &entry.state {
            State::Present(present) => match &present.value {
                Resource::Route(config) => Heard::There(config),
                _ => Heard::Open,
            },
            State::Absent(absence) if is_final(*absence) => Heard::Gone,
            State::Pending | State::Absent(_) => Heard::Open,
        }
    }

    fn has_cluster(&self, name: &str) -> bool {
        self.get(Kind::Cluster, name).is_some_and(|entry| match &entry.state {
            State::Present(_) => true,
            State::Pending => entry.rejection.is_some(),
            State::Absent(absence) => !is_final(*absence),
        })
    }

    fn listed(&self, kind: Kind) -> Listed {
        Self::listed(self, kind)
    }
}

/// Whether what is absent so does not exist as far as anyone knows.
pub(super) fn is_final(absence: Absence) -> bool {
    match absence {
        Absence::NotFound | Absence::Deleted | Absence::TimedOut => true,
        Absence::Unlisted
        | Absence::Unanswered
        | Absence::Expired
        | Absence::Failed
        | Absence::Malformed
        | Absence::OtherKind
        | Absence::UnknownAuthority => false,
    }
}
