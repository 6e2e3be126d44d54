//! A destination, and what it may be called.

use std::net::IpAddr;

/// The port of a destination that names none.
pub(super) const DEFAULT_PORT: u16 = 80;
/// Names of Kubernetes services may be written short; these follow the namespace in the long form.
const SERVICE_INFIX: &str = "svc";

/// A destination, and what it may be called.
#[derive(Debug)]
pub(super) struct Destination {
    /// The address that it is written as, if it is.
    pub(super) ip: Option<IpAddr>,
    pub(super) port: u16,
    /// As it is written, and then in full; in lower case.
    pub(super) spellings: Vec<String>,
}

/// How well a name in the configuration fits a destination; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Called {
    /// `*.suffix`, of so many bytes.
    Wildcard(usize),
    /// The name itself.
    Exactly,
}

impl Destination {
    /// The destination `name`, which is `host:port`; `domain` completes short names of services.
    pub(super) fn new(name: &str, domain: &str) -> Self {
        let (host, port) = split(name);
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Self { ip: literal.parse().ok(), port, spellings: spellings(literal, domain) }
    }

    /// How well `name`, which stands in the configuration, fits.
    pub(super) fn called(&self, name: &str) -> Option<Called> {
        if self.spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(name)) {
            return Some(Called::Exactly);
        }
        let suffix = name.strip_prefix('*')?.to_ascii_lowercase();
        let longer = |spelling: &String| spelling.len() > suffix.len() && spelling.ends_with(&*suffix);
        (suffix.starts_with('.') && self.ip.is_none() && self.spellings.iter().any(longer))
            .then_some(Called::Wildcard(suffix.len()))
    }

    /// What its own cluster is called.
    pub(super) fn clusters(&self) -> impl Iterator<Item = String> {
        self.spellings.iter().map(|host| self.cluster(host))
    }

    /// What the cluster of a wildcard that stands for it may be called, the longest first.
    pub(super) fn wildcard_clusters(&self) -> impl Iterator<Item = String> {
        let names = self.spellings.iter().filter(|_| self.ip.is_none());
        let suffixes = names.flat_map(|host| host.match_indices('.').map(|(dot, _)| &host[dot..]));
        suffixes.map(|suffix| self.cluster(&format!("*{suffix}")))
    }

    fn cluster(&self, host: &str) -> String {
        format!("outbound|{}||{host}", self.port)
    }
}

/// The host and the port of a destination.
pub(super) fn split(name: &str) -> (&str, u16) {
    let parts = name.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.unwrap_or((name, DEFAULT_PORT))
}

/// The host in the name of a cluster: `outbound|9080|v1|reviews.default.svc.cluster.local`.
pub(super) fn service(cluster: &str) -> Option<&str> {
    let mut parts = cluster.splitn(4, '|');
    (parts.next()? == "outbound").then_some(())?;
    parts.nth(2)
}

/// What a host may be called: itself, and its long forms if it is a short name of a service.
fn spellings(host: &str, domain: &str) -> Vec<String> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let mut all = Vec::with_capacity(2);
    if let Some((_, rest)) = domain.split_once('.') {
        // `rest` is `svc.cluster.local`.
        match host.split('.').collect::<Vec<_>>().as_slice() {
            [_] => all.push(format!("{host}.{domain}")),
            [_, _] => all.push(format!("{host}.{rest}")),
            [_, _, infix] if *infix == SERVICE_INFIX => {
                all.extend(rest.split_once('.').map(|(_, zone)| format!("{host}.{zone}")));
            }
            _ => {}
        }
    }
    all.insert(0, host);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAIN: &str = "default.svc.cluster.local";

    fn called(name: &str, by: &str) -> Option<Called> {
        Destination::new(name, DOMAIN).called(by)
    }

    #[test]
    fn services_may_be_called_by_short_names() {
        for name in ["echo", "echo.default:9", "Echo.default.svc", "echo.default.svc.cluster.local.:9"] {
            assert_eq!(called(name, "echo.default.svc.cluster.local"), Some(Called::Exactly), "{name}");
        }
        assert_eq!(called("echo.prod", "echo.default.svc.cluster.local"), None);
        assert_eq!(called("example.com:80", "Example.com"), Some(Called::Exactly));
        assert_eq!(called("[::1]:80", "::1"), Some(Called::Exactly));
    }

    #[test]
    fn a_wildcard_stands_for_something_before_its_dot() {
        assert_eq!(called("x.db.example.com", "*.db.example.com"), Some(Called::Wildcard(15)));
        assert_eq!(called("x.db.example.com", "*.Example.com"), Some(Called::Wildcard(12)));
        assert_eq!(called("db.example.com", "*.db.example.com"), None);
        assert_eq!(called("xdb.example.com", "*db.example.com"), None);
        assert_eq!(called("10.0.0.1", "*.0.0.1"), None);
        assert!(Called::Exactly > Called::Wildcard(1000));
    }

    #[test]
    fn its_clusters_have_its_names() {
        let destination = Destination::new("a.b:9", DOMAIN);
        let clusters: Vec<_> = destination.clusters().collect();
        assert_eq!(clusters, ["outbound|9||a.b", "outbound|9||a.b.svc.cluster.local"]);
        let wildcards: Vec<_> = destination.wildcard_clusters().take(3).collect();
        assert_eq!(
            wildcards,
            ["outbound|9||*.b", "outbound|9||*.b.svc.cluster.local", "outbound|9||*.svc.cluster.local"]
        );
        assert_eq!(Destination::new("10.0.0.1:9", DOMAIN).wildcard_clusters().count(), 0);
        assert_eq!(service(&clusters[1]), Some("a.b.svc.cluster.local"));
        assert_eq!((service("PassthroughCluster"), service("inbound|9||")), (None, None));
    }
}
