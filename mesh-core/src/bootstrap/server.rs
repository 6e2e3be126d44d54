//! Whom to ask, and how.

use super::credentials::{CallCredentials, ChannelCredentials, read_call, read_channel};
use super::reader::{Item, Object, stable_name};
use crate::net::{Address, AddressError, FileReads};

/// A control plane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// `server_uri` as it was written.
    pub uri: String,
    /// Where it is.
    pub address: Address,
    /// How to speak to it.
    pub credentials: ChannelCredentials,
    /// What to show it at the start of each stream.
    pub call_credentials: Vec<CallCredentials>,
    /// What it can do and how to treat it.
    pub features: Features,
    /// Reads the files of its credentials.
    pub files: FileReads,
}

/// `server_features`: what a control plane can do and how to treat it. All off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Features {
    /// `ignore_resource_deletion`: a Listener or Cluster that it takes away stays in force (gRFC A53).
    pub ignore_resource_deletion: bool,
    /// `fail_on_data_errors`: a refused or deleted resource is dropped instead of staying in force (gRFC A88).
    pub fail_on_data_errors: bool,
    /// `resource_timer_is_transient_error`: a resource that does not come in time is a passing trouble, and gets twice
    /// the time (gRFC A88).
    pub resource_timer_is_transient_error: bool,
    /// `trusted_xds_server`: it may rewrite authorities (gRFC A81). Kept, because none is rewritten yet.
    pub trusted_xds_server: bool,
    /// `mesh.delta`: speak the incremental protocol. Never for istiod's `GENERATOR=grpc`, which loses subscriptions.
    pub delta: bool,
    /// `mesh.sidecar`: istiod's answers for sidecars: no `GENERATOR` in the node's metadata, the incremental protocol,
    /// every cluster without naming it. Includes [`delta`](Self::delta).
    pub sidecar: bool,
    /// The others, which mean nothing to us.
    pub others: Vec<String>,
}

impl Features {
    /// The names of those that are on and mean something.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let all = [
            ("ignore_resource_deletion", self.ignore_resource_deletion),
            ("fail_on_data_errors", self.fail_on_data_errors),
            ("resource_timer_is_transient_error", self.resource_timer_is_transient_error),
            ("trusted_xds_server", self.trusted_xds_server),
            ("mesh.delta", self.delta),
            ("mesh.sidecar", self.sidecar),
        ];
        all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
    }

    pub(super) fn add(&mut self, name: &str) {
        match stable_name(name) {
            "ignore_resource_deletion" => self.ignore_resource_deletion = true,
            "fail_on_data_errors" => self.fail_on_data_errors = true,
            "resource_timer_is_transient_error" => self.resource_timer_is_transient_error = true,
            "trusted_xds_server" => self.trusted_xds_server = true,
            "mesh.delta" => self.delta = true,
            "mesh.sidecar" => (self.sidecar, self.delta) = (true, true),
            _ => self.others.push(name.to_owned()),
        }
    }
}

impl Server {
    /// A control plane that is spoken to in plain text.
    ///
    /// # Errors
    ///
    /// If `uri` has none of the forms that [`Address::parse`] takes.
    pub fn insecure(uri: &str) -> Result<Self, AddressError> {
        Ok(Self {
            uri: uri.to_owned(),
            address: Address::parse(uri)?,
            credentials: ChannelCredentials::Insecure,
            call_credentials: Vec::new(),
            features: Features::default(),
            files: FileReads::default(),
        })
    }

    /// Reads the control planes of one list. They stand in for each other, so all of them speak one dialect: what is asked
    /// of a sidecar's is not what is asked of the others.
    pub(super) fn read_list(object: &mut Object<'_>) -> Result<Vec<Self>, String> {
        let mut servers = Vec::new();
        for item in object.list("xds_servers")? {
            let server = Self::read(item, servers.first())?;
            servers.push(server);
        }
        Ok(servers)
    }

    fn read(item: Item<'_>, first: Option<&Self>) -> Result<Self, String> {
        let mut object = item.object()?;
        let mut server = Self::insecure(object.required_text("server_uri")?)
            .map_err(|error| object.complain("server_uri", error))?;
        server.credentials = read_channel(&mut object)?;
        server.call_credentials = read_call(&mut object, &server.credentials)?;
        for feature in object.list("server_features")? {
            server.features.add(feature.text()?);
        }
        if first.is_some_and(|first| first.features.sidecar != server.features.sidecar) {
            let why = "\"mesh.sidecar\" is needed for all control planes of a list or for none: they stand in for each other";
            return Err(object.complain("server_features", why));
        }
        object.done();
        Ok(server)
    }
}
