//! What a route does with a request beside forwarding it: copies, and the hash that endpoints are chosen by.

use super::invalid::{At, Checked, Invalid, duration};
use super::matcher::{Fraction, Substitution};
use mesh_proto::envoy::config::route::v3::route_action as proto;
use std::sync::Arc;
use std::time::Duration;

/// The key of the only filter state that stands for something in a client (gRFC A42).
const CHANNEL_ID: &str = "io.grpc.channel_id";

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The cluster.
    pub cluster: Arc<str>,
    /// The share of requests; none is all.
    pub share: Option<Fraction>,
    /// Whether `-shadow` is added to the host.
    pub shadow_host: bool,
    /// The host that copies get; none is that of the request.
    pub host: Option<Box<str>>,
}

/// What of a request is hashed.
#[derive(Clone, Debug)]
pub struct HashPolicy {
    /// The part.
    pub source: HashSource,
    /// Whether, if it is there, nothing else is hashed.
    pub terminal: bool,
}

/// A part of a request that can be hashed.
#[derive(Clone, Debug)]
pub enum HashSource {
    /// A header, and how its value is changed before.
    Header(Box<str>, Option<Substitution>),
    /// A cookie, which is made up if the request has none and there is a time for which it is valid.
    Cookie {
        /// Its name.
        name: Box<str>,
        /// The time for which it is valid.
        ttl: Option<Duration>,
        /// The paths for which it is used.
        path: Box<str>,
    },
    /// A query parameter.
    Query(Box<str>),
    /// The address of the caller.
    SourceIp,
    /// The channel, so that all requests of one channel go to the same endpoint.
    Channel,
}

/// The places that copies go to. One without a cluster, or with one that only a header names, is left out.
pub(super) fn read(protos: &[proto::RequestMirrorPolicy]) -> Checked<Vec<Mirror>> {
    let mut mirrors = Vec::with_capacity(protos.len());
    for (index, proto) in protos.iter().enumerate() {
        if proto.cluster.is_empty() {
            continue;
        }
        let share = proto.runtime_fraction.as_ref().and_then(|fraction| fraction.default_value.as_ref());
        let share = share.map(Fraction::from_proto).transpose();
        mirrors.push(Mirror {
            cluster: proto.cluster.as_str().into(),
            share: share.at("runtime_fraction.default_value").at_index("request_mirror_policies", index)?,
            shadow_host: !proto.disable_shadow_host_suffix_append,
            host: (!proto.host_rewrite_literal.is_empty())
                .then(|| proto.host_rewrite_literal.as_str().into()),
        });
    }
    Ok(mirrors)
}

impl HashPolicy {
    /// The policy; none if what it is about is not there in a client.
    pub(super) fn from_proto(proto: &proto::HashPolicy) -> Checked<Option<Self>> {
        use proto::hash_policy::PolicySpecifier as Specifier;
        let named = |name: &str, field: &str| {
            if name.is_empty() {
                Err(Invalid::new("must not be empty")).at(field)
            } else {
                Ok(Box::from(name))
            }
        };
        let source = match &proto.policy_specifier {
            Some(Specifier::Header(header)) => {
                let name = named(&header.header_name.to_ascii_lowercase(), "header_name").at("header")?;
                let rewrite = header.regex_rewrite.as_ref().map(Substitution::from_proto).transpose();
                HashSource::Header(name, rewrite.at("regex_rewrite").at("header")?)
            }
            Some(Specifier::Cookie(cookie)) => HashSource::Cookie {
                name: named(&cookie.name, "name").at("cookie")?,
                ttl: duration(cookie.ttl.as_ref()).at("ttl").at("cookie")?,
                path: cookie.path.as_str().into(),
            },
            Some(Specifier::QueryParameter(query)) => {
                HashSource::Query(named(&query.name, "name").at("query_parameter")?)
            }
            Some(Specifier::ConnectionProperties(connection)) if connection.source_ip => HashSource::SourceIp,
            Some(Specifier::FilterState(state)) if state.key == CHANNEL_ID => HashSource::Channel,
            // gRFC A42; and what is newer than this is not there either.
            Some(Specifier::ConnectionProperties(_) | Specifier::FilterState(_)) | None => return Ok(None),
        };
        Ok(Some(Self { source, terminal: proto.terminal }))
    }
}
