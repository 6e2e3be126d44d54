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
    /// From the protocol that is written. The name of the port tells nothing: it does for Services of Kubernetes only.
    pub(crate) fn of(port: &ServicePort) -> Self {
        match port.protocol.to_ascii_lowercase().as_str() {
            "tcp" | "tls" | "https" | "udp" | "mongo" | "mysql" | "redis" => Self::Connections,
            _ => Self::Requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_counts_and_the_name_does_not() {
        for (protocol, name, wanted) in [
            ("TCP", "http", Protocol::Connections),
            ("GRPC", "tcp", Protocol::Requests),
            ("MySQL", "db", Protocol::Connections),
            ("GRPC-Web", "x", Protocol::Requests),
            ("thrift", "x", Protocol::Requests),
            ("", "http-api", Protocol::Requests),
            ("", "tcp-api", Protocol::Requests),
        ] {
            let port = ServicePort { protocol: protocol.into(), name: name.into(), ..ServicePort::default() };
            assert_eq!(Protocol::of(&port), wanted, "{protocol} {name}");
        }
    }
}
