//! Who we are and whom to ask: gRPC's xDS bootstrap.
//!
//! The JSON is the one that gRPC defines (gRFC A27) and that istiod's agent writes, so a process that runs under
//! grpc-go's or grpc-java's xDS runs under ours. Unknown fields are ignored, as gRPC prescribes.

mod env;
mod json;
mod node;
mod server;

pub use self::env::{BOOTSTRAP_CONFIG_VARIABLE, BOOTSTRAP_VARIABLE};
pub use self::node::{Locality, Node};
pub use self::server::{ChannelCredentials, Server};

use crate::error::{Error, Kind};
use std::collections::BTreeMap;

/// Where the name of a target stands in `client_default_listener_resource_name_template`.
const NAME: &str = "%s";

/// Who we are and whom to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The control planes, best first. Never empty.
    pub servers: Vec<Server>,
    /// Who asks.
    pub node: Node,
    /// The Listener to ask for a target, `%s` standing for its name. Default: the name itself.
    pub client_listener_template: String,
    /// Fields that are understood but not acted on yet, by name.
    pub not_acted_on: BTreeMap<String, serde_json::Value>,
}

impl Bootstrap {
    /// A bootstrap with one control plane, spoken to in plain text.
    ///
    /// # Errors
    ///
    /// [`Kind::Bootstrap`] if `server_uri` has none of the forms that [`Address::parse`](crate::net::Address::parse)
    /// takes.
    pub fn new(server_uri: &str, node: Node) -> Result<Self, Error> {
        let server = Server::insecure(server_uri)
            .map_err(|error| Error::new(Kind::Bootstrap, format!("server_uri: {error}")))?;
        Ok(Self {
            servers: vec![server],
            node,
            client_listener_template: NAME.to_owned(),
            not_acted_on: BTreeMap::new(),
        })
    }

    /// Reads the bootstrap from its JSON text.
    ///
    /// # Errors
    ///
    /// [`Kind::Bootstrap`], with the path to the field that is wrong.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        json::parse(json)
    }

    /// Reads the file that `GRPC_XDS_BOOTSTRAP` names or, if that is not set, the JSON that
    /// `GRPC_XDS_BOOTSTRAP_CONFIG` holds.
    ///
    /// # Errors
    ///
    /// [`Kind::Bootstrap`] if neither is set, the file cannot be read, or its content is wrong.
    pub fn from_env() -> Result<Self, Error> {
        env::load(|name| std::env::var_os(name))
    }

    /// The Listener to ask for a target.
    #[must_use]
    pub fn listener_name(&self, target: &str) -> String {
        self.client_listener_template.replace(NAME, target)
    }
}
