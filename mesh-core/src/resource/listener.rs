//! `Listener`: how calls to a target are routed, or what a server or a sidecar listens to.

use super::extension::{Extension, message_name};
use super::filter::Side;
use super::invalid::{At, Checked, Invalid, check_name, unpack};
use super::providers::CertificateProviders;
use super::strictness::Strictness;
use mesh_proto::envoy::config::listener::v3 as proto;

pub use super::hcm::{HttpManager, RouteSource};
pub use super::server_listener::{
    ChainAction, ChainMatch, Direction, FilterChain, ServerListener, SourceType, TcpProxy,
};

/// How calls to a target are routed, or what a server or a sidecar listens to.
#[derive(Clone, Debug)]
pub enum Listener {
    /// For a client.
    Api(HttpManager),
    /// For a server, or for a sidecar.
    Server(Box<ServerListener>),
}

/// Decodes the resource `name`.
pub(super) fn decode(
    name: &str,
    bytes: &[u8],
    providers: &CertificateProviders,
    strictness: Strictness,
) -> Checked<Listener> {
    let proto: proto::Listener = unpack(bytes)?;
    check_name(&proto.name, name).at("name")?;
    let Some(api) = &proto.api_listener else {
        return ServerListener::from_proto(&proto, providers, strictness)
            .map(|server| Listener::Server(Box::new(server)));
    };
    let check = || {
        let any = api.api_listener.as_ref().ok_or_else(|| Invalid::new("is missing"))?;
        if message_name(&any.type_url) != Extension::HttpConnectionManager.message() {
            return Err(Invalid::new(format!("{:?} is not an HttpConnectionManager", any.type_url)));
        }
        HttpManager::from_proto(&unpack(&any.value)?, Some(Side::Client))
    };
    check().at("api_listener").at("api_listener").map(Listener::Api)
}
