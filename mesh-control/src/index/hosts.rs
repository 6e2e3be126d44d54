//! Names of hosts: completing short ones, and matching wildcards.

use std::collections::HashMap;

/// The domain of every service of the cluster.
pub(crate) const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// The whole name of a host that an object in `namespace` names. A name with a dot counts as whole, and so does an address.
pub(super) fn complete(host: &str, namespace: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.is_empty() || host.contains('.') || host.contains(':') || host.starts_with('*') {
        host
    } else {
        format!("{host}.{namespace}.{CLUSTER_DOMAIN}")
    }
}

/// Whether a wildcard covers a host, which may be a wildcard too.
pub(crate) fn covers(wildcard: &str, host: &str) -> bool {
    match wildcard.strip_prefix('*') {
        Some(suffix) => host.strip_prefix('*').unwrap_or(host).ends_with(suffix),
        None => wildcard == host,
    }
}

/// Things by host, exact or wildcard.
#[derive(Clone, Debug)]
pub(super) struct HostMap<T> {
    exact: HashMap<String, T>,
    /// The longest and so most specific first.
    wildcards: Vec<(String, T)>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcards: Vec::new() }
    }
}

impl<T: Default> HostMap<T> {
    /// What stands under exactly this name.
    pub(super) fn entry(&mut self, host: &str) -> &mut T {
        if !host.starts_with('*') {
            return self.exact.entry(host.to_owned()).or_default();
        }
        let order = |known: &(String, T)| (std::cmp::Reverse(known.0.len()), known.0.clone());
        let wanted = (std::cmp::Reverse(host.len()), host.to_owned());
        let index = match self.wildcards.binary_search_by_key(&wanted, order) {
            Ok(index) => index,
            Err(index) => {
                self.wildcards.insert(index, (host.to_owned(), T::default()));
                index
            }
        };
        &mut self.wildcards[index].1
    }
}

impl<T> HostMap<T> {
    pub(super) fn exact(&self, host: &str) -> Option<&T> {
        self.exact.get(host)
    }

    /// What stands under exactly this name, wildcards included.
    pub(super) fn get(&self, host: &str) -> Option<&T> {
        let wildcard =
            || self.wildcards.iter().find(|(wildcard, _)| wildcard == host).map(|(_, value)| value);
        if host.starts_with('*') { wildcard() } else { self.exact.get(host) }
    }

    /// Everything that covers the host, the most specific first.
    pub(super) fn matching<'a, 'b>(&'a self, host: &'b str) -> impl Iterator<Item = &'a T> + use<'a, 'b, T> {
        let wildcards =
            self.wildcards.iter().filter(move |(wildcard, _)| covers(wildcard, host)).map(|(_, value)| value);
        self.exact.get(host).into_iter().chain(wildcards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_completed_and_others_left_alone() {
        assert_eq!(complete("Echo", "shop"), "echo.shop.svc.cluster.local");
        assert_eq!(complete("echo.shop", "other"), "echo.shop");
        assert_eq!(complete("*", "shop"), "*");
        assert_eq!(complete("2001:db8::1", "shop"), "2001:db8::1");
    }

    #[test]
    fn the_most_specific_name_comes_first() {
        let mut map: HostMap<&str> = HostMap::default();
        for host in ["*", "*.b.c", "a.b.c", "*.c"] {
            *map.entry(host) = host;
        }
        assert_eq!(map.matching("a.b.c").copied().collect::<Vec<_>>(), ["a.b.c", "*.b.c", "*.c", "*"]);
        assert_eq!(map.matching("*.b.c").copied().collect::<Vec<_>>(), ["*.b.c", "*.c", "*"]);
        assert_eq!(map.matching("x").copied().collect::<Vec<_>>(), ["*"]);
        assert!(!covers("*.c", "c") && !covers("a", "b"));
    }
}
