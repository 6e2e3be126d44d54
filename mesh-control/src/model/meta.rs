//! What surrounds a spec.

use super::values::Labels;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use std::sync::Arc;

/// An object of Istio.
#[derive(Clone, Debug)]
pub struct Object<T> {
    /// Its name and what else identifies it.
    pub meta: Meta,
    /// What it says.
    pub spec: T,
    /// File and line.
    pub place: Arc<str>,
}

impl<T: PartialEq> PartialEq for Object<T> {
    /// Whether both say the same, wherever they were written.
    fn eq(&self, other: &Self) -> bool {
        self.meta == other.meta && self.spec == other.spec
    }
}

/// The parts of an object's metadata that have a meaning here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Its name, unique among those of its kind and namespace.
    pub name: String,
    /// Its namespace, `default` if none is written.
    pub namespace: String,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// When it was made, in RFC 3339, which orders older before newer; empty, and so the oldest, if not written.
    pub created: String,
}

/// An object as written. The fields that Kubernetes adds are known, and ignored.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
#[allow(dead_code, reason = "the names are what counts: anything else is refused")]
pub(super) struct Envelope {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) metadata: RawMeta,
    spec: Any,
    status: Any,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
#[allow(dead_code, reason = "the names are what counts: anything else is refused")]
pub(super) struct RawMeta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) creation_timestamp: Option<String>,
    generate_name: Any,
    self_link: Any,
    uid: Any,
    resource_version: Any,
    generation: Any,
    deletion_timestamp: Any,
    deletion_grace_period_seconds: Any,
    owner_references: Any,
    finalizers: Any,
    managed_fields: Any,
}

/// Something that is looked at elsewhere or not at all.
#[derive(Default)]
pub(super) struct Any;

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_ignored_any(IgnoredAny).map(|_| Self)
    }
}
