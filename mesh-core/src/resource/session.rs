//! `StatefulSession`: keeping the requests of a session at one endpoint (gRFC A55).

use super::extension::{Config, Extension};
use super::invalid::{At, Checked, Invalid, duration};
use mesh_proto::envoy::extensions::filters::http::stateful_session::v3 as proto;
use mesh_proto::envoy::extensions::http::stateful_session::{cookie, header};
use std::time::Duration;

/// Keeps the requests of a session at one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatefulSession {
    /// What carries the address of the endpoint.
    pub carrier: SessionCarrier,
    /// Whether requests fail rather than go elsewhere.
    pub strict: bool,
}

/// What carries the address of the endpoint of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCarrier {
    /// A cookie.
    Cookie {
        /// Its name.
        name: Box<str>,
        /// For how long it is valid; none is for the caller's session.
        ttl: Option<Duration>,
        /// The paths for which it is used, by how they begin; empty is all.
        path: Box<str>,
    },
    /// A header of this name.
    Header(Box<str>),
}

impl StatefulSession {
    /// The session; none if the filter does nothing.
    pub(super) fn from_proto(proto: &proto::StatefulSession) -> Checked<Option<Self>> {
        let Some(state) = &proto.session_state else { return Ok(None) };
        let any = state.typed_config.as_ref().ok_or_else(|| Invalid::new("is missing"));
        let carrier = any.and_then(|any| {
            let config = Config::of(any)?;
            match config.extension() {
                Some(Extension::SessionCookie) => read_cookie(&config.decode()?),
                Some(Extension::SessionHeader) => {
                    let header: header::v3::HeaderBasedSessionState = config.decode()?;
                    if header.name.is_empty() {
                        return Err(Invalid::new("must not be empty")).at("name");
                    }
                    Ok(SessionCarrier::Header(header.name.to_ascii_lowercase().into()))
                }
                _ => Err(Invalid::new(format!("{:?} is not supported", config.message))),
            }
        });
        let carrier = carrier.at("typed_config").at("session_state")?;
        Ok(Some(Self { carrier, strict: proto.strict }))
    }
}

fn read_cookie(proto: &cookie::v3::CookieBasedSessionState) -> Checked<SessionCarrier> {
    let cookie = proto.cookie.as_ref().ok_or_else(|| Invalid::new("is missing")).at("cookie")?;
    if cookie.name.is_empty() {
        return Err(Invalid::new("must not be empty")).at("name").at("cookie");
    }
    let ttl = duration(cookie.ttl.as_ref()).at("ttl").at("cookie")?;
    Ok(SessionCarrier::Cookie {
        name: cookie.name.as_str().into(),
        ttl: ttl.filter(|ttl| !ttl.is_zero()),
        path: cookie.path.as_str().into(),
    })
}
