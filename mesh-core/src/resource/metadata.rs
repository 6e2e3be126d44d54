//! `Metadata`: what a control plane attaches to resources for whoever understands it.

use super::address;
use super::extension::{Config, Extension};
use super::invalid::{At, Checked, Invalid};
use crate::net::Address;
use mesh_proto::envoy::config::core::v3 as proto;
use mesh_proto::google::protobuf::Any;
use mesh_proto::google::protobuf::{ListValue, Struct, Value as ValueProto, value::Kind};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a control plane attaches to a resource, by the name of whom it is for.
///
/// Istio uses `istio` (`config`: the path of the Istio resource, `workload`, `services`) and
/// `envoy.transport_socket_match` (`tlsMode`). Of typed metadata, addresses are kept (gRFC A86), and no other type is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Envoy `filter_metadata`.
    filters: BTreeMap<Box<str>, Map<String, Value>>,
    /// Envoy `typed_filter_metadata` that hold an address.
    addresses: BTreeMap<Box<str>, Address>,
}

impl Metadata {
    /// What is there for `filter`.
    #[must_use]
    pub fn of(&self, filter: &str) -> Option<&Map<String, Value>> {
        self.filters.get(filter)
    }

    /// The text `key` of what is there for `filter`.
    #[must_use]
    pub fn text(&self, filter: &str, key: &str) -> Option<&str> {
        self.of(filter)?.get(key)?.as_str()
    }

    /// The address that is there for `filter`, which is an IP address and a port.
    #[must_use]
    pub fn address(&self, filter: &str) -> Option<&Address> {
        self.addresses.get(filter)
    }

    /// Everything that has no type, by the name of whom it is for.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        self.filters.iter().map(|(name, map)| (&**name, map))
    }

    /// The metadata; none if there are none that can be kept.
    pub(super) fn from_proto(proto: Option<proto::Metadata>) -> Checked<Option<Arc<Self>>> {
        let Some(proto) = proto else { return Ok(None) };
        let mut addresses = BTreeMap::new();
        for (name, any) in &proto.typed_filter_metadata {
            if let Some(address) = typed(any).at(&format!("typed_filter_metadata[{name}]"))? {
                addresses.insert(name.as_str().into(), address);
            }
        }
        let filters = proto.filter_metadata.into_iter().map(|(name, what)| (name.into(), map(what)));
        let read = Self { filters: filters.collect(), addresses };
        Ok((read != Self::default()).then(|| Arc::new(read)))
    }
}

/// What is attached with a type; none if the type is not known (gRFC A83).
fn typed(any: &Any) -> Checked<Option<Address>> {
    let config = Config::of(any)?;
    if config.extension() != Some(Extension::Address) {
        return Ok(None);
    }
    match address::from_proto(Some(&config.decode()?))? {
        address @ Address::Ip(_) => Ok(Some(address)),
        other => Err(Invalid::new(format!("{other} is not an IP address and a port"))),
    }
}

/// A `Struct` as a JSON object.
pub(super) fn map(proto: Struct) -> Map<String, Value> {
    proto.fields.into_iter().map(|(name, what)| (name, value(what))).collect()
}

fn value(proto: ValueProto) -> Value {
    match proto.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        // Numbers that JSON does not have become null.
        Some(Kind::NumberValue(number)) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StructValue(what)) => Value::Object(map(what)),
        Some(Kind::ListValue(ListValue { values })) => Value::Array(values.into_iter().map(value).collect()),
    }
}
