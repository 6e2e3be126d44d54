//! Where to connect to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A host name, resolved at each connection attempt.
    Dns {
        /// The name, without port.
        host: Arc<str>,
        /// The port.
        port: u16,
    },
    /// A Unix domain socket.
    Unix(Arc<Path>),
    /// A listener within Envoy, and what is to be told to it: `LISTENER/ENDPOINT`. Nobody else can connect to it.
    Internal(Arc<str>),
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl Address {
    /// A host, which may be an IP literal, and a port.
    #[must_use]
    pub fn host_port(host: &str, port: u16) -> Self {
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match literal.parse::<IpAddr>() {
            Ok(ip) => Self::Ip(SocketAddr::new(ip, port)),
            Err(_) => Self::Dns { host: host.into(), port },
        }
    }

    /// Reads a gRPC target URI as `server_uri` of a bootstrap has it: `host:port`, `dns:///host:port`,
    /// `ipv4:1.2.3.4:80`, `ipv6:[::1]:80`, `unix:path` or `unix:///absolute/path`.
    pub fn parse(uri: &str) -> Result<Self, AddressError> {
        let fail = |why: &str| Err(AddressError(format!("{uri:?} is not a usable address: {why}")));
        if let Some(path) = uri.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return fail("the path is empty");
            }
            return Ok(Self::Unix(Path::new(path).into()));
        }
        let rest = match uri.split_once(':') {
            Some(("dns", rest)) if !is_port(rest) => match rest.strip_prefix("//") {
                // An authority between the slashes would name a DNS server; the system's resolver is used.
                Some(rest) => rest.split_once('/').map_or(rest, |(_, name)| name),
                None => rest,
            },
            Some(("ipv4" | "ipv6", rest)) if !is_port(rest) => {
                return match rest.parse() {
                    Ok(address) => Ok(Self::Ip(address)),
                    Err(_) => fail("expected an IP address and a port"),
                };
            }
            Some((scheme, rest)) if rest.starts_with("//") => {
                return fail(&format!(
                    "unknown scheme {scheme:?}; use host:port, dns:, ipv4:, ipv6: or unix:"
                ));
            }
            _ => uri,
        };
        let Some((host, port)) = rest.rsplit_once(':') else {
            return fail("the port is missing");
        };
        if host.is_empty() {
            return fail("the host is missing");
        }
        if host.contains(':') && !host.starts_with('[') {
            return fail("an IPv6 address must stand in brackets");
        }
        if host.chars().any(|c| c.is_whitespace() || c == '/') {
            return fail("the host has a character that hosts cannot have");
        }
        match port.parse() {
            Ok(port) => Ok(Self::host_port(host, port)),
            Err(_) => fail("the port is not a number from 0 to 65535"),
        }
    }

    /// The text that names this peer in an HTTP/2 `:authority`.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Unix(_) | Self::Internal(_) => "localhost".to_owned(),
            other => other.to_string(),
        }
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Internal(name) => write!(f, "envoy_internal:{name}"),
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_bootstrap() {
        let parsed = |uri| Address::parse(uri).unwrap().to_string();
        assert_eq!(parsed("istiod.istio-system.svc:15010"), "istiod.istio-system.svc:15010");
        assert_eq!(parsed("127.0.0.1:15010"), "127.0.0.1:15010");
        assert_eq!(parsed("[::1]:15010"), "[::1]:15010");
        assert_eq!(parsed("dns:///istiod:15010"), "istiod:15010");
        assert_eq!(parsed("dns://8.8.8.8/istiod:15010"), "istiod:15010");
        assert_eq!(parsed("dns:istiod:15010"), "istiod:15010");
        assert_eq!(parsed("dns:15010"), "dns:15010");
        assert_eq!(parsed("ipv4:10.0.0.1:80"), "10.0.0.1:80");
        assert_eq!(parsed("ipv6:[2001:db8::1]:80"), "[2001:db8::1]:80");
        assert_eq!(parsed("unix:etc/XDS"), "unix:etc/XDS");
        assert_eq!(parsed("unix:///etc/XDS"), "unix:/etc/XDS");
        assert!(matches!(Address::parse("127.0.0.1:1"), Ok(Address::Ip(_))));
        assert!(matches!(Address::parse("localhost:1"), Ok(Address::Dns { .. })));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (uri, why) in [
            ("", "port is missing"),
            ("istiod", "port is missing"),
            (":15010", "host is missing"),
            ("istiod:http", "not a number"),
            ("istiod:70000", "not a number"),
            ("::1:15010", "brackets"),
            ("unix:", "path is empty"),
            ("https://istiod:15010", "unknown scheme"),
            ("ipv4:istiod:15010", "expected an IP address"),
            ("a b:1", "character"),
        ] {
            let error = Address::parse(uri).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(uri), "{uri:?}: {error}");
        }
    }
}
