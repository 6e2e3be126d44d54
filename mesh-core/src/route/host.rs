//! Finding the virtual host of an authority.

use crate::resource::route::Domain;
use std::collections::HashMap;

/// Domains to virtual hosts, by number.
///
/// An exact domain wins over `*.suffix`, that over `prefix.*`, that over `*`; among wildcards the longest wins (gRFC A28).
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

#[cfg(test)]
mod tests {
    use super::*;

    fn index(hosts: &[&[&str]]) -> HostIndex {
        let domain = |text: &&str| match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => Domain::Any,
            (Some(suffix), _) => Domain::Suffix(suffix.into()),
            (_, Some(prefix)) => Domain::Prefix(prefix.into()),
            _ => Domain::Exact((*text).into()),
        };
        let hosts: Vec<Vec<_>> = hosts.iter().map(|domains| domains.iter().map(domain).collect()).collect();
        HostIndex::new(hosts.iter().map(Vec::as_slice))
    }

    #[test]
    fn the_most_specific_domain_wins() {
        let index = index(&[
            &["*"],
            &["*.com", "example.*"],
            &["*.example.com"],
            &["www.example.com", "www.example.com:80"],
            &["www.*"],
        ]);
        assert_eq!(index.find("www.example.com"), Some(3));
        assert_eq!(index.find("WWW.Example.com:80"), Some(3));
        assert_eq!(index.find("api.example.com"), Some(2), "the longest suffix");
        assert_eq!(index.find("other.com"), Some(1));
        assert_eq!(index.find("www.other.org"), Some(4));
        assert_eq!(index.find("example.org"), Some(1));
        assert_eq!(index.find("anything"), Some(0));
        assert_eq!(index.find(".example.com"), Some(1), "a wildcard stands for something");
    }

    #[test]
    fn without_a_catch_all_some_are_not_served() {
        let index = index(&[&["a"], &["a", "b"]]);
        assert_eq!(index.find("a"), Some(0), "the first of two equal ones");
        assert_eq!(index.find("b"), Some(1));
        assert_eq!(index.find("c"), None);
    }
}
