//! Endpoints that are given as host names, once the names are looked up.

use super::dns::{DnsNames, Lookup};
use crate::net::{Address, DnsFamily};
use crate::resource::cluster::DnsSource;
use crate::resource::endpoint::{Assignment, LbEndpoint, LocalityEndpoints};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

/// What is known of endpoints that are given as host names.
#[derive(Debug)]
pub enum Expanded {
    /// No name has been looked up yet.
    Pending,
    /// The endpoints: an address each. Names that cannot be looked up, or have not been yet, have none.
    Endpoints(Arc<Assignment>),
    /// No name can be looked up, and why the first cannot.
    Failed(String),
}

/// The host names among the endpoints of `source`, each once.
#[must_use]
pub fn hosts(source: &DnsSource) -> Vec<Arc<str>> {
    let endpoints = source.assignment.localities().flat_map(|locality| locality.endpoints.iter());
    let mut hosts: Vec<Arc<str>> = endpoints
        .filter_map(|endpoint| match &endpoint.address {
            Address::Dns { host, .. } => Some(host.clone()),
            _ => None,
        })
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

/// The endpoints that `source` stands for, by what is known of its names: every address of a name is an endpoint that
/// inherits what is said of the name (Envoy `STRICT_DNS`).
#[must_use]
pub fn expand(source: &DnsSource, names: &DnsNames) -> Expanded {
    let mut endpoints = source.assignment.localities().flat_map(|locality| locality.endpoints.iter());
    let mut known = endpoints.any(|endpoint| !matches!(endpoint.address, Address::Dns { .. }));
    let mut pending = false;
    let mut failure = None;
    for host in &hosts(source) {
        match names.get(host) {
            Lookup::Pending => pending = true,
            Lookup::Addresses(_) => known = true,
            Lookup::Failed(why) => {
                failure.get_or_insert_with(|| format!("host {host} cannot be looked up: {why}"));
            }
        }
    }
    // One name that hangs does not hold up the others.
    match (known, pending, failure) {
        (false, true, _) => return Expanded::Pending,
        (false, false, Some(why)) => return Expanded::Failed(why),
        _ => {}
    }
    let mut seen = HashSet::new();
    let priorities = source.assignment.priorities.iter().map(|localities| {
        let localities = localities.iter().map(|locality| {
            let addresses = |endpoint: &LbEndpoint| addresses(endpoint, source.family, names);
            let endpoints = locality.endpoints.iter().flat_map(addresses);
            let endpoints = endpoints.filter(|endpoint| seen.insert(endpoint.address.clone())).collect();
            LocalityEndpoints { endpoints, ..locality.clone() }
        });
        localities.collect()
    });
    Expanded::Endpoints(Arc::new(source.assignment.with(priorities.collect())))
}

/// The endpoints that one endpoint stands for.
fn addresses(endpoint: &LbEndpoint, family: DnsFamily, names: &DnsNames) -> Vec<LbEndpoint> {
    let Address::Dns { host, port } = &endpoint.address else { return vec![endpoint.clone()] };
    let Lookup::Addresses(all) = names.get(host) else { return Vec::new() };
    let mut more = endpoint.more.clone().unwrap_or_default();
    more.hostname.get_or_insert_with(|| host.clone());
    let chosen = family.choose(all).into_iter();
    chosen
        .map(|ip| LbEndpoint {
            address: Address::Ip(SocketAddr::new(ip, *port)),
            more: Some(more.clone()),
            ..endpoint.clone()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::resource::cluster::DnsKind;
    use crate::resource::endpoint::DropOverload;
    use std::time::Duration;

    fn source(hosts: &[&str], family: DnsFamily) -> DnsSource {
        let endpoints = hosts.iter().map(|host| LbEndpoint::new(Address::host_port(host, 80)));
        let assignment = Assignment::new(vec![vec![LocalityEndpoints::anywhere(endpoints)]]);
        DnsSource {
            assignment: Arc::new(assignment),
            kind: DnsKind::Strict,
            refresh: Duration::from_secs(5),
            respect_ttl: false,
            failure_refresh: None,
            jitter: Duration::ZERO,
            family,
        }
    }

    fn names(answers: &[(&str, Result<&[&str], &str>)]) -> DnsNames {
        let (mut names, now) = (DnsNames::default(), Clock::system().now());
        for (host, answer) in answers {
            names.want(&Arc::from(*host), 1, Duration::from_secs(5), now);
            let answer = match answer {
                Ok(addresses) => Ok(addresses.iter().map(|address| address.parse().unwrap()).collect()),
                Err(why) => Err((*why).to_owned()),
            };
            names.answered(host, answer, now, 0);
        }
        names
    }

    fn labels(expanded: &Expanded) -> Vec<String> {
        let Expanded::Endpoints(assignment) = expanded else { panic!("{expanded:?}") };
        let endpoints = assignment.localities().flat_map(|locality| locality.endpoints.iter());
        endpoints.map(|endpoint| endpoint.address.to_string()).collect()
    }

    #[test]
    fn each_address_is_an_endpoint_once() {
        let names = names(&[("a", Ok(&["10.0.0.2", "10.0.0.1"])), ("b", Ok(&["10.0.0.2"]))]);
        let source = source(&["a", "10.0.0.9", "b"], DnsFamily::All);
        assert_eq!(hosts(&source), ["a".into(), "b".into()]);
        let expanded = expand(&source, &names);
        assert_eq!(labels(&expanded), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.9:80"]);
        let Expanded::Endpoints(assignment) = expanded else { panic!() };
        let first = assignment.priorities[0][0].endpoints.iter().next().unwrap();
        assert_eq!(first.hostname().map(|name| &**name), Some("a"), "it keeps the name it was found by");
    }

    #[test]
    fn what_is_said_of_all_endpoints_stays() {
        let mut source = source(&["a"], DnsFamily::All);
        let share = crate::resource::matcher::Fraction::millionths(1);
        let assignment = Arc::make_mut(&mut source.assignment);
        assignment.drops = vec![DropOverload { category: "c".into(), share }];
        assignment.overprovisioning = 200;
        let expanded = expand(&source, &names(&[("a", Ok(&["10.0.0.1"]))]));
        let Expanded::Endpoints(assignment) = expanded else { panic!("{expanded:?}") };
        assert_eq!((assignment.drops.len(), assignment.overprovisioning), (1, 200));
    }

    #[test]
    fn one_name_is_enough() {
        let with_address = source(&["a", "10.0.0.9"], DnsFamily::All);
        let source = source(&["a", "b"], DnsFamily::All);
        assert!(matches!(expand(&source, &names(&[])), Expanded::Pending));
        assert!(matches!(expand(&source, &names(&[("a", Err("SERVFAIL"))])), Expanded::Pending));
        let hanging = expand(&source, &names(&[("a", Ok(&["10.0.0.1"]))]));
        assert_eq!(labels(&hanging), ["10.0.0.1:80"], "while the other is looked up");
        for unknown in [names(&[]), names(&[("a", Err("SERVFAIL"))])] {
            assert_eq!(labels(&expand(&with_address, &unknown)), ["10.0.0.9:80"]);
        }
        let one = names(&[("a", Ok(&["10.0.0.1"])), ("b", Err("SERVFAIL"))]);
        assert_eq!(labels(&expand(&source, &one)), ["10.0.0.1:80"]);
        let none = expand(&source, &names(&[("a", Err("NXDOMAIN")), ("b", Err("SERVFAIL"))]));
        let Expanded::Failed(why) = none else { panic!("{none:?}") };
        assert_eq!(why, "host a cannot be looked up: NXDOMAIN");
    }

    #[test]
    fn the_family_decides() {
        let both = names(&[("a", Ok(&["10.0.0.1", "fd00::1"]))]);
        let only = |family| labels(&expand(&source(&["a"], family), &both));
        assert_eq!(only(DnsFamily::V4), ["10.0.0.1:80"]);
        assert_eq!(only(DnsFamily::V4First), ["10.0.0.1:80"]);
        assert_eq!(only(DnsFamily::V6), ["[fd00::1]:80"]);
        assert_eq!(only(DnsFamily::V6First), ["[fd00::1]:80"]);
        assert_eq!(only(DnsFamily::All).len(), 2);
        let v4 = names(&[("a", Ok(&["10.0.0.1"]))]);
        assert_eq!(labels(&expand(&source(&["a"], DnsFamily::V6First), &v4)), ["10.0.0.1:80"]);
        assert!(labels(&expand(&source(&["a"], DnsFamily::V6), &v4)).is_empty());
    }
}
