//! What is spoken at a port.

use crate::model::service_entry::ServicePort;

/// What is spoken at a port, as far as it matters to routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP in any version, gRPC, or unknown: requests can be routed.
    Requests,
    /// Anything else: there are only connections.
    Connections,
}

impl Protocol {
    /// From the protocol that is written, else from the part of the name before the first dash.
    pub(crate) fn of(port: &ServicePort) -> Self {
        let word = if port.protocol.is_empty() {
            // The one protocol whose name has a dash.
            match port.name.to_ascii_lowercase() {
                name if name == "grpc-web" || name.starts_with("grpc-web-") => "grpc-web".to_owned(),
                name => name.split('-').next().unwrap_or_default().to_owned(),
            }
        } else {
            port.protocol.to_ascii_lowercase()
        };
        match word.as_str() {
            "tcp" | "tls" | "https" | "udp" | "mongo" | "mysql" | "redis" | "thrift" | "hbone" => {
                Self::Connections
            }
            _ => Self::Requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(protocol: &str, name: &str) -> Protocol {
        Protocol::of(&ServicePort { protocol: protocol.into(), name: name.into(), ..ServicePort::default() })
    }

    #[test]
    fn the_protocol_counts_before_the_name() {
        assert_eq!(of("TCP", "http"), Protocol::Connections);
        assert_eq!(of("GRPC", "tcp"), Protocol::Requests);
        assert_eq!(of("MySQL", "db"), Protocol::Connections);
    }

    #[test]
    fn the_name_tells_where_no_protocol_is_written() {
        assert_eq!(of("", "http-api"), Protocol::Requests);
        assert_eq!(of("", "tcp-api"), Protocol::Connections);
        assert_eq!(of("", "tcpapi"), Protocol::Requests);
        assert_eq!(of("", "grpc-web-x"), Protocol::Requests);
        assert_eq!(of("", "anything"), Protocol::Requests);
    }
}
