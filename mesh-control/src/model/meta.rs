//! What surrounds a spec.

use super::timestamp::Timestamp;
use super::values::Labels;
use serde::Deserialize;
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
    /// When it was made; what does not say is the oldest.
    pub created: Option<Timestamp>,
}

/// An object as written, but for what is read on its own or not at all.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Envelope {
    pub(super) api_version: String,
    pub(super) kind: String,
}

impl Envelope {
    /// The other fields that there may be.
    pub(super) const OTHERS: &[&str] = &["metadata", "spec", "status"];
}

/// The metadata as written.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawMeta {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
    pub(super) creation_timestamp: Option<Timestamp>,
}

impl RawMeta {
    /// The fields that Kubernetes adds and that mean nothing here.
    pub(super) const OTHERS: &[&str] = &[
        "generateName",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ];
}
