//! Names of clusters: `outbound|port|subset|host`.

use std::fmt;

/// What the name of a cluster says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClusterKey<'a> {
    pub(super) port: u32,
    /// Empty for the whole service.
    pub(super) subset: &'a str,
    pub(super) host: &'a str,
}

impl<'a> ClusterKey<'a> {
    pub(super) fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.split('|');
        let parts = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next());
        let ("outbound", port, subset, host, None) = parts else { return None };
        let port = port.parse().ok().filter(|port| (1..=65535).contains(port))?;
        (!host.is_empty()).then_some(Self { port, subset, host })
    }
}

impl fmt::Display for ClusterKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbound|{}|{}|{}", self.port, self.subset, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let key = ClusterKey { port: 80, subset: "v1", host: "echo.example" };
        assert_eq!(ClusterKey::parse(&key.to_string()), Some(key));
        for name in [
            "",
            "outbound|80|v1",
            "inbound|80||a",
            "outbound|x||a",
            "outbound|0||a",
            "outbound|80||",
            "outbound|80||a|b",
        ] {
            assert_eq!(ClusterKey::parse(name), None, "{name}");
        }
    }
}
