//! Who asks.

use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::google::protobuf::{ListValue, Struct, Value, value};
use prost::Message;

/// What we can do, as the control plane is told.
const CLIENT_FEATURES: [&str; 2] =
    ["envoy.lb.does_not_support_overprovisioning", "xds.config.resource-in-sotw"];
const USER_AGENT: &str = "mesh-rust";

/// Who asks a control plane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The name of this process to the control plane. istiod wants `sidecar~IP~NAME.NAMESPACE~DOMAIN`.
    pub id: String,
    /// The service that this process belongs to.
    pub cluster: String,
    /// Anything else that the control plane wants to know, such as istiod's `GENERATOR` and `NAMESPACE`.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Where this process runs.
    pub locality: Locality,
}

/// Where something runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// The region.
    pub region: String,
    /// The zone within the region.
    pub zone: String,
    /// A part of the zone.
    pub sub_zone: String,
}

impl Node {
    /// The node as control planes get it: an encoded `envoy.config.core.v3.Node`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_proto().encode_to_vec()
    }

    /// The node as the wire has it.
    pub(crate) fn to_proto(&self) -> core::Node {
        let locality = (self.locality != Locality::default()).then(|| core::Locality {
            region: self.locality.region.clone(),
            zone: self.locality.zone.clone(),
            sub_zone: self.locality.sub_zone.clone(),
        });
        core::Node {
            id: self.id.clone(),
            cluster: self.cluster.clone(),
            metadata: (!self.metadata.is_empty()).then(|| to_struct(&self.metadata)),
            locality,
            user_agent_name: USER_AGENT.to_owned(),
            user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentVersion(
                env!("CARGO_PKG_VERSION").to_owned(),
            )),
            client_features: CLIENT_FEATURES.map(str::to_owned).to_vec(),
            ..Default::default()
        }
    }
}

fn to_struct(map: &serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: map.iter().map(|(name, value)| (name.clone(), to_value(value))).collect() }
}

fn to_value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    Value {
        kind: Some(match json {
            Json::Null => value::Kind::NullValue(0),
            Json::Bool(bool) => value::Kind::BoolValue(*bool),
            Json::Number(number) => value::Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => value::Kind::StringValue(text.clone()),
            Json::Array(items) => {
                value::Kind::ListValue(ListValue { values: items.iter().map(to_value).collect() })
            }
            Json::Object(map) => value::Kind::StructValue(to_struct(map)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_json_fits_the_metadata() {
        let node = crate::Bootstrap::from_json(
            r#"{"xds_servers": [{"server_uri": "h:1", "channel_creds": [{"type": "insecure"}]}], "node": {
                "id": "n", "metadata": {"S": "x", "N": 1.5, "B": true, "Z": null, "L": [1, {"a": "b"}], "O": {"k": []}},
                "locality": {"region": "r", "sub_zone": "s"}, "other": 1}}"#,
        )
        .unwrap()
        .node;
        let proto = node.to_proto();
        let fields = proto.metadata.unwrap().fields;
        assert_eq!(fields.len(), 6);
        assert_eq!(fields["S"].kind, Some(value::Kind::StringValue("x".into())));
        let Some(value::Kind::ListValue(list)) = &fields["L"].kind else { panic!() };
        assert!(matches!(list.values[1].kind, Some(value::Kind::StructValue(_))));
        let locality = proto.locality.unwrap();
        assert_eq!(
            (locality.region.as_str(), locality.zone.as_str(), locality.sub_zone.as_str()),
            ("r", "", "s")
        );
        assert!(proto.client_features.iter().any(|feature| feature == "xds.config.resource-in-sotw"));
    }
}
