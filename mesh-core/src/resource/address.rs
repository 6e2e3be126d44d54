//! `Address`: where an endpoint is.

use super::invalid::{At, Checked, Invalid};
use crate::net::Address;
use mesh_proto::envoy::config::core::v3 as proto;
use std::fmt;
use std::net::IpAddr;

/// An address that can be connected to.
pub(super) fn from_proto(proto: Option<&proto::Address>) -> Checked<Address> {
    use proto::address::Address as Specifier;
    use proto::socket_address::PortSpecifier;
    match proto.and_then(|proto| proto.address.as_ref()) {
        Some(Specifier::SocketAddress(socket)) => {
            let check = || {
                if socket.protocol != 0 {
                    return Err(Invalid::new("only TCP is supported")).at("protocol");
                }
                if socket.address.is_empty() {
                    return Err(Invalid::new("must not be empty")).at("address");
                }
                if !socket.resolver_name.is_empty() {
                    return Err(Invalid::new("is not supported")).at("resolver_name");
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
        // Only Envoy can connect to it, which others of the same list need not suffer from.
        Some(Specifier::EnvoyInternalAddress(internal)) => {
            use proto::envoy_internal_address::AddressNameSpecifier::ServerListenerName;
            let listener =
                internal.address_name_specifier.as_ref().map(|ServerListenerName(name)| name.as_str());
            let name = format!("{}/{}", listener.unwrap_or_default(), internal.endpoint_id);
            Ok(Address::Internal(name.into()))
        }
        None => Err(Invalid::new("is missing")),
    }
}

/// A range of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    /// The first address.
    pub address: IpAddr,
    /// How many of its leading bits count.
    pub len: u8,
}

impl Cidr {
    /// Whether `address` is in the range.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let same = |bits: u32, a: u128, b: u128| {
            let shift = bits - u32::from(self.len);
            a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(address)) => {
                same(32, u128::from(range.to_bits()), u128::from(address.to_bits()))
            }
            (IpAddr::V6(range), IpAddr::V6(address)) => same(128, range.to_bits(), address.to_bits()),
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

/// A range of IP addresses, without the bits that do not count.
pub(super) fn read_cidr(proto: &proto::CidrRange) -> Checked<Cidr> {
    let address: IpAddr = proto
        .address_prefix
        .parse()
        .map_err(|_| Invalid::new(format!("{:?} is no IP address", proto.address_prefix)))
        .at("address_prefix")?;
    let len = proto.prefix_len.as_ref().map_or(0, |len| len.value);
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let len = match u8::try_from(len) {
        Ok(len) if u32::from(len) <= bits => len,
        _ => return Err(Invalid::new(format!("{len} is more than {bits}"))).at("prefix_len"),
    };
    let address = match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            IpAddr::V4((ip.to_bits() & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            IpAddr::V6((ip.to_bits() & mask).into())
        }
    };
    Ok(Cidr { address, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_addresses() {
        let read = |prefix: &str, len| {
            read_cidr(&proto::CidrRange {
                address_prefix: prefix.to_owned(),
                prefix_len: Some(mesh_proto::google::protobuf::UInt32Value { value: len }),
            })
        };
        let contains =
            |range: &str, len, address: &str| read(range, len).unwrap().contains(address.parse().unwrap());
        assert_eq!(read("10.1.2.3", 8).unwrap().to_string(), "10.0.0.0/8");
        assert!(contains("10.0.0.0", 8, "10.200.0.1") && !contains("10.0.0.0", 8, "11.0.0.1"));
        assert!(contains("10.0.0.1", 32, "10.0.0.1") && !contains("10.0.0.1", 32, "10.0.0.2"));
        assert!(contains("0.0.0.0", 0, "1.2.3.4") && !contains("0.0.0.0", 0, "::1"));
        assert!(contains("10.0.0.0", 8, "::ffff:10.0.0.1"));
        assert!(contains("2001:db8::", 32, "2001:db8::1") && !contains("2001:db8::", 32, "2001:db9::1"));
        assert!(contains("::", 0, "2001:db8::1"));
        for (prefix, len) in [("10.0.0.0", 33), ("::", 129), ("::", u32::MAX), ("x", 0), ("", 0)] {
            assert!(read(prefix, len).is_err(), "{prefix}/{len}");
        }
    }
}
