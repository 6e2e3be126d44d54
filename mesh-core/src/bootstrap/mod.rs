//! Who we are and whom to ask: gRPC's xDS bootstrap.
//!
//! The JSON is the one that gRPC defines (gRFC A27) and that istiod's agent writes, so a process that runs under
//! grpc-go's or grpc-java's xDS runs under ours. Unknown fields are ignored, as gRPC prescribes. Every field is in
//! `docs/bootstrap.md`.

mod authority;
mod credentials;
mod env;
mod json;
mod node;
mod reader;
mod server;

pub use self::authority::{Authority, ListenerTemplate};
pub(crate) use self::authority::{FEDERATED, PATH, without_scheme};
pub use self::credentials::{CallCredentials, ChannelCredentials};
pub use self::env::{BOOTSTRAP_CONFIG_VARIABLE, BOOTSTRAP_VARIABLE, DISK_CACHE_VARIABLE};
pub use self::node::{Locality, Node};
pub use self::server::{Features, Server};

use crate::error::{Error, Kind};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The largest disk cache: as large as the largest message.
pub const DEFAULT_DISK_CACHE_BYTES: u64 = 64 << 20;

/// Who we are and whom to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The control planes, best first. Never empty.
    pub servers: Vec<Server>,
    /// Who asks.
    pub node: Node,
    /// The Listener to ask for a target without an authority. Default: the name itself.
    pub client_listener_template: ListenerTemplate,
    /// The Listener to ask for what this process serves, `%s` standing for `host:port`. Kept for servers.
    pub server_listener_template: Option<ListenerTemplate>,
    /// Who answers for names that have an authority (gRFC A47).
    pub authorities: BTreeMap<String, Authority>,
    /// Where certificates come from, by the names that resources refer to.
    pub certificate_providers: BTreeMap<String, CertificateProvider>,
    /// Where the last good configuration is kept. Default: nowhere.
    pub disk_cache: Option<DiskCache>,
    /// The paths of the fields that are not understood; they are ignored.
    pub unknown: Vec<String>,
}

/// Where certificates come from (gRFC A29).
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateProvider {
    /// The kind of provider, such as `file_watcher`.
    pub plugin: String,
    /// What it has to know.
    pub config: Map<String, Value>,
}

/// Where the last good configuration is kept, so that a process can start while every control plane is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCache {
    /// The file. Processes that share one overwrite each other.
    pub path: PathBuf,
    /// Its largest size; resources that do not fit are left out. Default: [`DEFAULT_DISK_CACHE_BYTES`].
    pub max_bytes: u64,
}

impl DiskCache {
    /// A file of the default size.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), max_bytes: DEFAULT_DISK_CACHE_BYTES }
    }
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
        Ok(Self { node, ..Self::with_servers(vec![server]) })
    }

    fn with_servers(servers: Vec<Server>) -> Self {
        Self {
            servers,
            node: Node::default(),
            client_listener_template: ListenerTemplate::default(),
            server_listener_template: None,
            authorities: BTreeMap::new(),
            certificate_providers: BTreeMap::new(),
            disk_cache: None,
            unknown: Vec::new(),
        }
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
    /// `GRPC_XDS_BOOTSTRAP_CONFIG` holds. `MESH_DISK_CACHE` may name the file of the disk cache.
    ///
    /// # Errors
    ///
    /// [`Kind::Bootstrap`] if neither is set, the file cannot be read, or its content is wrong.
    pub fn from_env() -> Result<Self, Error> {
        env::load(|name| std::env::var_os(name))
    }
}
