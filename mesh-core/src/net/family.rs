//! Which addresses of a host name are used.

use std::net::IpAddr;

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DnsFamily {
    /// Those of IPv6 if there are any, else those of IPv4 (Envoy `AUTO`).
    #[default]
    V6First,
    /// Those of IPv4 only.
    V4,
    /// Those of IPv6 only.
    V6,
    /// Those of IPv4 if there are any, else those of IPv6.
    V4First,
    /// All.
    All,
}

impl DnsFamily {
    /// Those of `all` that are used.
    #[must_use]
    pub fn choose(self, all: &[IpAddr]) -> Vec<IpAddr> {
        let v4 = || all.iter().copied().filter(IpAddr::is_ipv4).collect::<Vec<_>>();
        let v6 = || all.iter().copied().filter(IpAddr::is_ipv6).collect::<Vec<_>>();
        let or = |first: Vec<IpAddr>, second: &dyn Fn() -> Vec<IpAddr>| match first.is_empty() {
            true => second(),
            false => first,
        };
        match self {
            Self::V4 => v4(),
            Self::V6 => v6(),
            Self::V4First => or(v4(), &v6),
            Self::V6First => or(v6(), &v4),
            Self::All => all.to_vec(),
        }
    }
}
