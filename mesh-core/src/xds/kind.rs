//! What the xDS client has to know of the resources it carries, and no more.

use bytes::Bytes;
use std::fmt::Debug;
use std::hash::Hash;

/// The kinds of resources of a client, and how to read them.
pub trait ResourceKind: Copy + Eq + Ord + Hash + Debug + Send + Sync + Unpin + 'static {
    /// A decoded, validated resource; cheap to clone.
    type Value: Clone + Debug + Send + Sync + Unpin + 'static;

    /// Every kind, each at its own [`index`](Self::index), in the order in which they are asked for.
    const ALL: &'static [Self];

    /// The position in [`ALL`](Self::ALL).
    fn index(self) -> usize;

    /// The type URL on the wire.
    fn type_url(self) -> &'static str;

    /// Whether a state-of-the-world response holds every resource, so that one left out does not exist.
    fn is_complete(self) -> bool;

    /// Decodes and validates the resource `name`. The value may share `bytes`, and whatever did not change with
    /// `previous`, the value that it replaces.
    ///
    /// # Errors
    ///
    /// Why the resource is refused: `field path: reason`.
    fn decode(self, name: &str, bytes: &Bytes, previous: Option<&Self::Value>)
    -> Result<Self::Value, String>;

    /// The kind with a type URL.
    #[must_use]
    fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.type_url() == url)
    }
}

/// The name of an encoded resource: the string in field 1, as every xDS resource has it.
pub(super) fn peek_name(bytes: &[u8]) -> Option<&str> {
    use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
    let mut rest = bytes;
    while !rest.is_empty() {
        let (tag, wire_type) = decode_key(&mut rest).ok()?;
        if tag == 1 && wire_type == WireType::LengthDelimited {
            let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            return std::str::from_utf8(rest.get(..len)?).ok();
        }
        skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::envoy::config::cluster::v3::Cluster;
    use prost::Message;

    #[test]
    fn the_name_is_found_without_decoding() {
        let cluster =
            Cluster { name: "outbound|80||a".into(), alt_stat_name: "b".into(), ..Default::default() };
        assert_eq!(peek_name(&cluster.encode_to_vec()), Some("outbound|80||a"));
        let nameless = Cluster { alt_stat_name: "b".into(), ..Default::default() };
        assert_eq!(peek_name(&nameless.encode_to_vec()), None);
        let bytes = [nameless.encode_to_vec(), cluster.encode_to_vec()].concat();
        assert_eq!(peek_name(&bytes), Some("outbound|80||a"));
    }

    #[test]
    fn garbage_has_no_name() {
        for bytes in [&[][..], &[0x0a], &[0x0a, 0xff], &[0x0a, 2, 0xff, 0xfe], &[0xff; 20], &[0x0b, 1]] {
            assert_eq!(peek_name(bytes), None, "{bytes:?}");
        }
    }
}
