//! Istio objects to xDS resources, as istiod's grpc dialect has them.
//!
//! Nothing is translated before somebody asks. A translation looks at the index through a log (`index::View`); its
//! result is kept together with that log, and holds for every client and every later configuration to which all that was
//! looked at looks the same. So one encoding serves all clients that see the same, and a change touches what it concerns.
//! What is kept is bounded ([`MAX_KEPT_ANSWERS`]), whatever clients ask for.

mod action;
mod cache;
mod cluster;
mod domains;
mod endpoints;
mod fault;
mod hash;
mod headers;
mod key;
mod kind;
mod listener;
mod locality;
mod matching;
mod merged;
mod node;
mod proto;
mod retry;
mod route;
#[cfg(test)]
mod testing;
mod tls;
mod virtual_service;

pub use self::cache::MAX_KEPT_ANSWERS;
pub use self::kind::Kind;
pub use self::node::{Locality, NodeView};

use self::cache::Cache;
use self::key::ClusterKey;
use crate::index::{Client, Index, View};
use crate::model::{Config, MeshConfig};
use bytes::Bytes;
use std::sync::Arc;

/// One resource, ready for the wire. Cheap to clone; shared by all clients that see the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The name of the resource, as it was asked for.
    pub name: Arc<str>,
    /// The encoded message. As long as nothing changes, it is the same buffer.
    pub bytes: Bytes,
}

/// The answers to everything that clients may ask, from one loaded configuration.
#[derive(Debug)]
pub struct Translation {
    version: u64,
    index: Index,
    cache: Cache,
}

impl Translation {
    /// The translation of `config`, with version 1.
    #[must_use]
    pub fn new(config: &Config, mesh: &MeshConfig) -> Self {
        Self { version: 1, index: Index::new(config, mesh, None), cache: Cache::default() }
    }

    /// The translation of `config` that follows this one: whatever it does not change keeps its encoded form.
    #[must_use]
    pub fn next(&self, config: &Config, mesh: &MeshConfig) -> Self {
        let version = self.version + 1;
        Self {
            version,
            index: Index::new(config, mesh, Some(&self.index)),
            cache: self.cache.for_next(version),
        }
    }

    /// Counts the configurations of one source.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the client at `node` gets when it asks for `name`. `None` if it sees no such thing: istiod leaves the name out of its answer.
    #[must_use]
    pub fn resource(&self, node: &NodeView, kind: Kind, name: &str) -> Option<Encoded> {
        let client = Client::new(node, &self.index);
        let view = View::new(&self.index, &client);
        if let Some(known) = self.cache.find(kind, name, &view, self.version) {
            return Some(known);
        }
        let message = translate(&view, kind, name)?;
        let encoded = Encoded { name: name.into(), bytes: message.into() };
        Some(self.cache.add(kind, encoded, view.into_reads(), self.version))
    }

    /// The listeners that `host`, named without port, stands for to the client at `node`: one for each port.
    #[must_use]
    pub fn listeners(&self, node: &NodeView, host: &str) -> Vec<Arc<str>> {
        let client = Client::new(node, &self.index);
        listener::listeners(&View::new(&self.index, &client), host)
    }

    /// Every name of a kind that the client at `node` sees, sorted, for subscriptions to everything.
    #[must_use]
    pub fn names(&self, node: &NodeView, kind: Kind) -> Vec<Arc<str>> {
        let client = Client::new(node, &self.index);
        let view = View::new(&self.index, &client);
        let mut names: Vec<Arc<str>> = Vec::new();
        for service in view.services() {
            for port in &service.ports {
                let key = |subset: &str| {
                    ClusterKey { port: port.number, subset, host: &service.host }.to_string().into()
                };
                match kind {
                    Kind::Listener => names.push(format!("{}:{}", service.host, port.number).into()),
                    Kind::Route => names.push(key("")),
                    Kind::Cluster | Kind::Endpoint => {
                        names.push(key(""));
                        let policy = view.policy(service);
                        names.extend(
                            policy.iter().flat_map(|policy| &policy.subsets).map(|subset| key(&subset.name)),
                        );
                    }
                }
            }
        }
        names.sort();
        names.dedup();
        names
    }
}

fn translate(view: &View<'_>, kind: Kind, name: &str) -> Option<Vec<u8>> {
    use prost::Message;
    Some(match kind {
        Kind::Listener => listener::listener(view, name)?.encode_to_vec(),
        Kind::Route => route::route_configuration(view, name)?.encode_to_vec(),
        Kind::Cluster => cluster::cluster(view, name)?.encode_to_vec(),
        Kind::Endpoint => endpoints::assignment(view, name)?.encode_to_vec(),
    })
}

#[cfg(test)]
#[path = "translation_tests.rs"]
mod tests;
