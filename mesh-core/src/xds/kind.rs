//! What the xDS client has to know of the resources it carries, and no more.

use bytes::Bytes;
use std::fmt::Debug;
use std::hash::Hash;

/// The kinds of resources of a client, and how to read them.
pub trait ResourceKind: Copy + Eq + Ord + Hash + Debug + Send + Sync + Unpin + 'static {
    /// A decoded, validated resource; cheap to clone.
    type Value: Clone + Debug + Send + Sync + Unpin + 'static;
    /// What the process has that resources may refer to; cheap to clone. By default it has all that they could.
    type Local: Clone + Debug + Default + Send + Sync + Unpin + 'static;

    /// Every kind, each at its own [`index`](Self::index), in the order in which they are asked for.
    const ALL: &'static [Self];

    /// The position in [`ALL`](Self::ALL).
    fn index(self) -> usize;

    /// The type URL on the wire.
    fn type_url(self) -> &'static str;

    /// The full name of the type: `envoy.config.listener.v3.Listener`.
    #[must_use]
    fn type_name(self) -> &'static str {
        let url = self.type_url();
        url.rsplit_once('/').map_or(url, |(_, name)| name)
    }

    /// Whether a state-of-the-world response holds every resource, so that one left out does not exist.
    fn is_complete(self) -> bool;

    /// Decodes and validates the resource `name` for a process that has `local`. The value may share `bytes`, and whatever
    /// did not change with `previous`, the value that it replaces.
    ///
    /// # Errors
    ///
    /// Why the resource is refused: `field path: reason`.
    fn decode_for(
        self,
        local: &Self::Local,
        name: &str,
        bytes: &Bytes,
        previous: Option<&Self::Value>,
    ) -> Result<Self::Value, String>;

    /// The same, for a process that has all that resources could refer to.
    ///
    /// # Errors
    ///
    /// As of [`decode_for`](Self::decode_for).
    fn decode(
        self,
        name: &str,
        bytes: &Bytes,
        previous: Option<&Self::Value>,
    ) -> Result<Self::Value, String> {
        self.decode_for(&Self::Local::default(), name, bytes, previous)
    }

    /// The kind with a type URL.
    #[must_use]
    fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.type_url() == url)
    }
}
