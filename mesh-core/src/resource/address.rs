//! `Address`: where an endpoint is.

use super::invalid::{At, Checked, Invalid};
use crate::net::Address;
use mesh_proto::envoy::config::core::v3 as proto;

/// An address that can be connected to.
pub(super) fn from_proto(proto: Option<&proto::Address>) -> Checked<Address> {
    use proto::address::Address as Specifier;
    use proto::socket_address::PortSpecifier;
    match proto.and_then(|proto| proto.address.as_ref()) {
        Some(Specifier::SocketAddress(socket)) => {
            let check = || {
                if socket.address.is_empty() {
                    return Err(Invalid::new("must not be empty")).at("address");
                }
                match socket.port_specifier {
                    Some(PortSpecifier::PortValue(port)) => match u16::try_from(port) {
                        Ok(port) => Ok(Address::host_port(&socket.address, port)),
                        Err(_) => Err(Invalid::new(format!("{port} is no port"))).at("port_value"),
                    },
                    Some(PortSpecifier::NamedPort(_)) => {
                        Err(Invalid::new("is not supported")).at("named_port")
                    }
                    None => Err(Invalid::new("is missing")).at("port_specifier"),
                }
            };
            check().at("socket_address")
        }
        Some(Specifier::Pipe(pipe)) if !pipe.path.is_empty() => {
            Ok(Address::Unix(std::path::Path::new(&pipe.path).into()))
        }
        Some(Specifier::Pipe(_)) => Err(Invalid::new("must not be empty")).at("path").at("pipe"),
        Some(Specifier::EnvoyInternalAddress(_)) => {
            Err(Invalid::new("is not supported")).at("envoy_internal_address")
        }
        None => Err(Invalid::new("is missing")),
    }
}
