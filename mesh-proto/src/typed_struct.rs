//! `TypedStruct`, an extension's configuration as JSON-like data, which `envoy-types` lacks.

use crate::google::protobuf::Struct;

/// The type URL of today's `TypedStruct`.
pub const XDS_TYPE_URL: &str = "type.googleapis.com/xds.type.v3.TypedStruct";
/// The type URL of the older, wire-identical message.
pub const UDPA_TYPE_URL: &str = "type.googleapis.com/udpa.type.v1.TypedStruct";

/// `xds.type.v3.TypedStruct`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypedStruct {
    /// The type that `value` describes.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// Its fields.
    #[prost(message, optional, tag = "2")]
    pub value: Option<Struct>,
}
