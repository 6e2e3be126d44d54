//! Finding the virtual host of an authority.

use crate::resource::route::{Domain, RouteConfig, VirtualHost};
use std::collections::HashMap;

/// Domains to virtual hosts, by number.
///
/// An exact domain wins over `*.suffix`, that over `prefix.*`, that over `*`; among wildcards the longest wins, and of equal
/// domains the first (gRFC A28).
#[derive(Debug, Default)]
pub(super) struct HostIndex {
    exact: HashMap<Box<str>, usize>,
    /// Longest first.
    suffixes: Vec<(Box<str>, usize)>,
    /// Longest first.
    prefixes: Vec<(Box<str>, usize)>,
    any: Option<usize>,
}

impl HostIndex {
    /// Indexes the domains of hosts; of equal ones the first counts.
    pub(super) fn new<'a>(hosts: impl Iterator<Item = &'a [Domain]>) -> Self {
        let mut index = Self::default();
        for (number, domains) in hosts.enumerate() {
            for domain in domains {
                match domain {
                    Domain::Exact(name) => {
                        index.exact.entry(name.clone()).or_insert(number);
                    }
                    Domain::Suffix(suffix) => index.suffixes.push((suffix.clone(), number)),
                    Domain::Prefix(prefix) => index.prefixes.push((prefix.clone(), number)),
                    Domain::Any => {
                        index.any.get_or_insert(number);
                    }
                }
            }
        }
        for wildcards in [&mut index.suffixes, &mut index.prefixes] {
            wildcards.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
        }
        index
    }

    /// The host that serves `authority`.
    pub(super) fn find(&self, authority: &str) -> Option<usize> {
        if authority.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return self.find(&authority.to_ascii_lowercase());
        }
        if let Some(&host) = self.exact.get(authority) {
            return Some(host);
        }
        let longer = |pattern: &str| authority.len() > pattern.len();
        let by = |wildcards: &[(Box<str>, usize)], fits: &dyn Fn(&str) -> bool| {
            wildcards.iter().find(|(pattern, _)| longer(pattern) && fits(pattern)).map(|&(_, host)| host)
        };
        by(&self.suffixes, &|suffix| authority.ends_with(suffix))
            .or_else(|| by(&self.prefixes, &|prefix| authority.starts_with(prefix)))
            .or(self.any)
    }
}

/// How well a domain fits; greater is better (gRFC A28).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Any,
    /// So many bytes of it are the same.
    Prefix(usize),
    /// Likewise.
    Suffix(usize),
    Exact,
}

/// The virtual host that serves `authority`.
///
/// Every domain is looked at: for who asks once for each new configuration. Who asks for each request has an index.
#[must_use]
pub fn serving<'a>(config: &'a RouteConfig, authority: &str) -> Option<&'a VirtualHost> {
    let authority = if config.ignore_port { without_port(authority) } else { authority };
    let authority = authority.to_ascii_lowercase();
    let fits = config.virtual_hosts.iter().filter_map(|host| {
        let best = host.domains.iter().filter_map(|domain| fit(domain, &authority)).max()?;
        Some((best, host))
    });
    fits.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, host)| host)
}

fn fit(domain: &Domain, authority: &str) -> Option<Fit> {
    // A wildcard stands for something.
    let longer = |pattern: &str| authority.len() > pattern.len();
    match domain {
        Domain::Exact(name) => (**name == *authority).then_some(Fit::Exact),
        Domain::Suffix(suffix) => {
            (longer(suffix) && authority.ends_with(&**suffix)).then_some(Fit::Suffix(suffix.len()))
        }
        Domain::Prefix(prefix) => {
            (longer(prefix) && authority.starts_with(&**prefix)).then_some(Fit::Prefix(prefix.len()))
        }
        Domain::Any => Some(Fit::Any),
    }
}

/// An authority without its port.
pub(super) fn without_port(authority: &str) -> &str {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match authority.rsplit_once(':') {
        // What is left of an IPv6 address without brackets is no host.
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(hosts: &[&[&str]]) -> RouteConfig {
        let domain = |text: &&str| match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => Domain::Any,
            (Some(suffix), _) => Domain::Suffix(suffix.into()),
            (_, Some(prefix)) => Domain::Prefix(prefix.into()),
            _ => Domain::Exact((*text).into()),
        };
        let hosts = hosts.iter().enumerate().map(|(number, domains)| {
            VirtualHost::new(number.to_string().into(), domains.iter().map(domain).collect(), Vec::new())
        });
        RouteConfig::new("routes".into(), hosts.collect())
    }

    /// By both ways.
    fn find(config: &RouteConfig, authority: &str) -> Option<usize> {
        let found = serving(config, authority).map(|host| host.name.parse().unwrap());
        let index = HostIndex::new(config.virtual_hosts.iter().map(|host| host.domains.as_slice()));
        let name = if config.ignore_port { without_port(authority) } else { authority };
        assert_eq!(index.find(name), found, "{authority}");
        found
    }

    #[test]
    fn the_most_specific_domain_wins() {
        let config = config(&[
            &["*"],
            &["*.com", "example.*"],
            &["*.example.com"],
            &["www.example.com", "www.example.com:80"],
            &["www.*"],
        ]);
        assert_eq!(find(&config, "www.example.com"), Some(3));
        assert_eq!(find(&config, "WWW.Example.com:80"), Some(3));
        assert_eq!(find(&config, "api.example.com"), Some(2), "the longest suffix");
        assert_eq!(find(&config, "other.com"), Some(1));
        assert_eq!(find(&config, "www.other.org"), Some(4));
        assert_eq!(find(&config, "example.org"), Some(1));
        assert_eq!(find(&config, "anything"), Some(0));
        assert_eq!(find(&config, ".example.com"), Some(1), "a wildcard stands for something");
    }

    #[test]
    fn without_a_catch_all_some_are_not_served() {
        let config = config(&[&["a"], &["a", "b"]]);
        assert_eq!(find(&config, "a"), Some(0), "the first of two equal ones");
        assert_eq!(find(&config, "b"), Some(1));
        assert_eq!(find(&config, "c"), None);
    }

    #[test]
    fn the_port_counts_unless_the_configuration_says_otherwise() {
        let mut config = config(&[&["a", "[::1]"]]);
        assert_eq!((find(&config, "a:80"), find(&config, "a")), (None, Some(0)));
        config.ignore_port = true;
        assert_eq!(
            (find(&config, "a:80"), find(&config, "[::1]:80"), find(&config, "a:b")),
            (Some(0), Some(0), None)
        );
    }
}
