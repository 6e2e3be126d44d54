//! `Metadata`: what a control plane attaches to resources for whoever understands it.

use mesh_proto::envoy::config::core::v3 as proto;
use mesh_proto::google::protobuf::{ListValue, Struct, Value as ValueProto, value::Kind};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a control plane attaches to a resource, by the name of whom it is for (Envoy `filter_metadata`).
///
/// Istio uses `istio` (`config`: the path of the Istio resource, `workload`, `services`) and
/// `envoy.transport_socket_match` (`tlsMode`). Typed metadata are reported, but not kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(BTreeMap<Box<str>, Map<String, Value>>);

impl Metadata {
    /// What is there for `filter`.
    #[must_use]
    pub fn of(&self, filter: &str) -> Option<&Map<String, Value>> {
        self.0.get(filter)
    }

    /// The text `key` of what is there for `filter`.
    #[must_use]
    pub fn text(&self, filter: &str, key: &str) -> Option<&str> {
        self.of(filter)?.get(key)?.as_str()
    }

    /// Everything, by the name of whom it is for.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        self.0.iter().map(|(name, map)| (&**name, map))
    }

    /// The metadata; none if there are none that can be kept.
    pub(super) fn from_proto(proto: Option<proto::Metadata>) -> Option<Arc<Self>> {
        let filters = proto?.filter_metadata;
        if filters.is_empty() {
            return None;
        }
        let filters = filters.into_iter().map(|(name, what)| (name.into(), map(what)));
        Some(Arc::new(Self(filters.collect())))
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
