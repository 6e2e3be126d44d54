//! `CorsPolicy`: which pages of other origins may call.

use super::invalid::{At, Checked};
use super::matcher::StringMatch;
use mesh_proto::envoy::config::route::v3 as old;
use mesh_proto::envoy::extensions::filters::http::cors::v3 as proto;
use mesh_proto::envoy::r#type::matcher::v3::StringMatcher;

/// Which pages of other origins may call. It concerns servers; a client keeps it for its server side.
#[derive(Clone, Debug, Default)]
pub struct CorsPolicy {
    /// The origins that may.
    pub allow_origins: Vec<StringMatch>,
    /// The methods that they may use, separated by commas.
    pub allow_methods: Box<str>,
    /// The headers that they may send, separated by commas.
    pub allow_headers: Box<str>,
    /// The headers that they may see, separated by commas.
    pub expose_headers: Box<str>,
    /// For how many seconds they may remember this.
    pub max_age: Box<str>,
    /// Whether they may send credentials.
    pub allow_credentials: bool,
}

/// Reads the fields that both messages have.
macro_rules! policy {
    ($proto:expr) => {
        Ok(Self {
            allow_origins: origins(&$proto.allow_origin_string_match)?,
            allow_methods: $proto.allow_methods.as_str().into(),
            allow_headers: $proto.allow_headers.as_str().into(),
            expose_headers: $proto.expose_headers.as_str().into(),
            max_age: $proto.max_age.as_str().into(),
            allow_credentials: $proto.allow_credentials.as_ref().is_some_and(|flag| flag.value),
        })
    };
}

impl CorsPolicy {
    pub(super) fn from_proto(proto: &proto::CorsPolicy) -> Checked<Self> {
        policy!(proto)
    }

    /// The older message, which stands in routes and virtual hosts.
    pub(super) fn from_field(proto: &old::CorsPolicy) -> Checked<Self> {
        policy!(proto)
    }
}

fn origins(protos: &[StringMatcher]) -> Checked<Vec<StringMatch>> {
    let protos = protos.iter().enumerate();
    protos
        .map(|(index, proto)| StringMatch::from_proto(proto).at_index("allow_origin_string_match", index))
        .collect()
}
