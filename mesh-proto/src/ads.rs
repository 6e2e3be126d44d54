//! The envelopes of the aggregated discovery service, with resource payloads as shared [`Bytes`].
//!
//! Wire-compatible with `envoy.service.discovery.v3`, reduced to the fields a client reads or writes. A resource is a
//! slice of the received message instead of a copy of it, which is what makes comparing bytes before decoding cheap.

use crate::envoy::config::core::v3::{ControlPlane, Node};
use crate::google::rpc::Status;
use bytes::Bytes;
use std::collections::BTreeMap;

/// The gRPC path of the state-of-the-world stream.
pub const STREAM_AGGREGATED_RESOURCES: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// The gRPC path of the delta stream.
pub const DELTA_AGGREGATED_RESOURCES: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// The type URL of [`Resource`], a wrapper in which a server may put a resource.
pub const RESOURCE_TYPE_URL: &str = "type.googleapis.com/envoy.service.discovery.v3.Resource";

/// `google.protobuf.Any` with a shared payload.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Any {
    /// The type of `value`, `type.googleapis.com/` and the full message name.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The encoded message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `envoy.service.discovery.v3.DiscoveryRequest`: a subscription, an ACK or a NACK.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryRequest {
    /// The last version that was accepted.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Who asks; on the first request of a stream only.
    #[prost(message, optional, tag = "2")]
    pub node: Option<Node>,
    /// Every name subscribed to.
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    /// The type of the resources.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// The nonce of the response that this request answers.
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    /// Why the response was refused; its presence makes this a NACK.
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<Status>,
}

/// `envoy.service.discovery.v3.DiscoveryResponse`: the resources of one type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryResponse {
    /// The version of this state of the world.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// The resources.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Any>,
    /// The type of the resources.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Identifies this response in the request that answers it.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Which control plane answered.
    #[prost(message, optional, tag = "6")]
    pub control_plane: Option<ControlPlane>,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`: a change of a subscription, an ACK or a NACK.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryRequest {
    /// Who asks; on the first request of a stream only.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The type of the resources.
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// Names to subscribe to, beside those subscribed to before.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// Names that are no longer of interest.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// The versions that the client holds, by name; on the first request of a type on a stream only.
    #[prost(btree_map = "string, string", tag = "5")]
    pub initial_resource_versions: BTreeMap<String, String>,
    /// The nonce of the response that this request answers; empty if it answers none.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Why the response was refused; its presence makes this a NACK.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<Status>,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`: what changed of one type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryResponse {
    /// The version of the whole configuration, for people.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// The resources that are new or changed.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Resource>,
    /// The type of the resources.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Identifies this response in the request that answers it.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// The resources that do not exist, or no more.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
    /// Which control plane answered.
    #[prost(message, optional, tag = "7")]
    pub control_plane: Option<ControlPlane>,
}

/// `envoy.service.discovery.v3.Resource`: a resource with its name outside.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// The version of this resource alone.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The resource.
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
    /// The name of the resource.
    #[prost(string, tag = "3")]
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::service::discovery::v3 as envoy;
    use prost::Message;

    #[test]
    fn envelopes_agree_with_envoys() {
        let full = envoy::DiscoveryResponse {
            version_info: "v1".into(),
            resources: vec![crate::google::protobuf::Any { type_url: "t".into(), value: vec![1, 2] }],
            canary: true,
            type_url: "t".into(),
            nonce: "n".into(),
            control_plane: Some(ControlPlane { identifier: "cp".into() }),
            resource_errors: vec![],
        };
        let ours = DiscoveryResponse::decode(full.encode_to_vec().as_slice()).unwrap();
        assert_eq!(ours.version_info, "v1");
        assert_eq!(ours.resources, vec![Any { type_url: "t".into(), value: Bytes::from_static(&[1, 2]) }]);
        assert_eq!((ours.type_url.as_str(), ours.nonce.as_str()), ("t", "n"));
        assert_eq!(ours.control_plane.unwrap().identifier, "cp");

        let request = DiscoveryRequest {
            version_info: "v0".into(),
            node: Some(Node { id: "me".into(), ..Default::default() }),
            resource_names: vec!["a".into(), "b".into()],
            type_url: "t".into(),
            response_nonce: "n".into(),
            error_detail: Some(Status { code: 3, message: "bad".into(), details: vec![] }),
        };
        let theirs = envoy::DiscoveryRequest::decode(request.encode_to_vec().as_slice()).unwrap();
        assert_eq!(theirs.version_info, "v0");
        assert_eq!(theirs.node.unwrap().id, "me");
        assert_eq!(theirs.resource_names, ["a", "b"]);
        assert_eq!((theirs.type_url.as_str(), theirs.response_nonce.as_str()), ("t", "n"));
        assert_eq!(theirs.error_detail.unwrap().message, "bad");

        let wrapper = envoy::Resource {
            name: "r".into(),
            version: "7".into(),
            resource: Some(crate::google::protobuf::Any { type_url: "t".into(), value: vec![9] }),
            ..Default::default()
        };
        let ours = Resource::decode(wrapper.encode_to_vec().as_slice()).unwrap();
        assert_eq!((ours.name.as_str(), ours.version.as_str()), ("r", "7"));
        assert_eq!(ours.resource.unwrap().value, Bytes::from_static(&[9]));
    }

    #[test]
    fn delta_envelopes_agree_with_envoys() {
        let full = envoy::DeltaDiscoveryResponse {
            system_version_info: "v1".into(),
            resources: vec![envoy::Resource {
                name: "r".into(),
                version: "7".into(),
                resource: Some(crate::google::protobuf::Any { type_url: "t".into(), value: vec![9] }),
                ..Default::default()
            }],
            type_url: "t".into(),
            nonce: "n".into(),
            removed_resources: vec!["gone".into()],
            control_plane: Some(ControlPlane { identifier: "cp".into() }),
            ..Default::default()
        };
        let ours = DeltaDiscoveryResponse::decode(full.encode_to_vec().as_slice()).unwrap();
        assert_eq!(
            (ours.system_version_info.as_str(), ours.type_url.as_str(), ours.nonce.as_str()),
            ("v1", "t", "n")
        );
        assert_eq!((ours.resources[0].name.as_str(), ours.resources[0].version.as_str()), ("r", "7"));
        assert_eq!(ours.removed_resources, ["gone"]);
        assert_eq!(ours.control_plane.unwrap().identifier, "cp");

        let request = DeltaDiscoveryRequest {
            node: Some(Node { id: "me".into(), ..Default::default() }),
            type_url: "t".into(),
            resource_names_subscribe: vec!["a".into()],
            resource_names_unsubscribe: vec!["b".into()],
            initial_resource_versions: [("a".to_owned(), "7".to_owned())].into(),
            response_nonce: "n".into(),
            error_detail: Some(Status { code: 3, message: "bad".into(), details: vec![] }),
        };
        let theirs = envoy::DeltaDiscoveryRequest::decode(request.encode_to_vec().as_slice()).unwrap();
        assert_eq!(theirs.node.unwrap().id, "me");
        assert_eq!(theirs.resource_names_subscribe, ["a"]);
        assert_eq!(theirs.resource_names_unsubscribe, ["b"]);
        assert_eq!(theirs.initial_resource_versions["a"], "7");
        assert_eq!((theirs.type_url.as_str(), theirs.response_nonce.as_str()), ("t", "n"));
        assert_eq!(theirs.error_detail.unwrap().message, "bad");
    }
}
