//! Istio objects to xDS resources, as istiod's grpc dialect has them.

mod kind;
mod node;

pub use self::kind::Kind;
pub use self::node::{Locality, NodeView};

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
}

impl Translation {
    /// The translation of `config`, with version 1.
    #[must_use]
    pub fn new(_config: &Config, _mesh: &MeshConfig) -> Self {
        Self { version: 1 }
    }

    /// The translation of `config` that follows this one: whatever it does not change keeps its encoded form.
    #[must_use]
    pub fn next(&self, _config: &Config, _mesh: &MeshConfig) -> Self {
        Self { version: self.version + 1 }
    }

    /// Counts the configurations of one source.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the client at `node` gets when it asks for `name`. `None` if it sees no such thing: istiod leaves the name out of its answer.
    #[must_use]
    pub fn resource(&self, _node: &NodeView, _kind: Kind, _name: &str) -> Option<Encoded> {
        None
    }

    /// Every name of a kind that the client at `node` sees, sorted, for subscriptions to everything.
    #[must_use]
    pub fn names(&self, _node: &NodeView, _kind: Kind) -> Vec<Arc<str>> {
        Vec::new()
    }
}
