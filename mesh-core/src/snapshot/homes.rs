//! At which addresses services are, by what the listeners of a sidecar tell.
//!
//! A listener says where connections go, not what their callers mean. As long as nothing is configured for it, it leads to the
//! service that has its address. Once a VirtualService leads it elsewhere only the address still tells whose it is: by what
//! it said before, and by what the listeners of other ports say.

use super::destination::service;
use crate::net::Address;
use crate::resource::Cidr;
use crate::resource::listener::{ChainAction, FilterChain, RouteSource, ServerListener};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// At which addresses services are.
#[derive(Debug, Default)]
pub(super) struct Homes {
    /// By listener: who is where.
    told: BTreeMap<Arc<str>, BTreeMap<Cidr, Box<str>>>,
    /// By service: where it is, and how many listeners say so.
    by_host: BTreeMap<Box<str>, BTreeMap<Cidr, usize>>,
    /// Of which addresses it is known whose they are, and by how many listeners.
    owned: BTreeMap<Cidr, usize>,
}

impl Homes {
    /// Takes note of what a listener says, or of its end; whether that is news.
    pub(super) fn note(&mut self, name: &Arc<str>, listener: Option<&ServerListener>) -> bool {
        let before = self.told.remove(name).unwrap_or_default();
        let mut now = BTreeMap::new();
        for (range, owner) in listener.into_iter().flat_map(claims) {
            // What is configured does not tell, and is not to be believed over what did.
            if let Some(owner) = owner.map(str::to_ascii_lowercase).map(Box::from) {
                now.insert(range, owner);
            } else if let Some(owner) = before.get(&range) {
                now.entry(range).or_insert_with(|| owner.clone());
            }
        }
        let news = now != before;
        if news {
            now.iter().for_each(|(range, host)| self.count(range, host));
            before.iter().for_each(|(range, host)| self.discount(range, host));
        }
        if !now.is_empty() {
            self.told.insert(name.clone(), now);
        }
        news
    }

    /// Where the service is that has one of these names.
    pub(super) fn of<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> BTreeSet<Cidr> {
        let names = names.into_iter().map(|name| name.to_ascii_lowercase());
        names.filter_map(|name| self.by_host.get(name.as_str())).flat_map(|at| at.keys().copied()).collect()
    }

    /// Whether it is known whose connections a listener takes with a chain.
    pub(super) fn are_known(&self, listener: &ServerListener, chain: &FilterChain) -> bool {
        ranges(listener, chain).iter().all(|range| self.owned.contains_key(range))
    }

    fn count(&mut self, range: &Cidr, host: &str) {
        *self.by_host.entry(host.into()).or_default().entry(*range).or_default() += 1;
        *self.owned.entry(*range).or_default() += 1;
    }

    fn discount(&mut self, range: &Cidr, host: &str) {
        if let Some(at) = self.by_host.get_mut(host) {
            take_one(at, range);
            if at.is_empty() {
                self.by_host.remove(host);
            }
        }
        take_one(&mut self.owned, range);
    }
}

fn take_one(counts: &mut BTreeMap<Cidr, usize>, range: &Cidr) {
    if let Some(count) = counts.get_mut(range) {
        *count -= 1;
        if *count == 0 {
            counts.remove(range);
        }
    }
}

/// One address.
pub(super) fn only(ip: IpAddr) -> Cidr {
    Cidr { address: ip, len: if ip.is_ipv4() { 32 } else { 128 } }
}

/// The addresses for which a listener has a chain; none if it is for all.
pub(super) fn ranges(listener: &ServerListener, chain: &FilterChain) -> Vec<Cidr> {
    match listener.address {
        Address::Ip(address) if !address.ip().is_unspecified() => vec![only(address.ip())],
        _ => chain.condition.destinations.clone(),
    }
}

/// The addresses that a listener is for, and whose they are if it tells.
fn claims(listener: &ServerListener) -> Vec<(Cidr, Option<&str>)> {
    let port = match listener.address {
        Address::Ip(address) => address.port(),
        _ => return Vec::new(),
    };
    let chains = listener.chains.iter().chain(&listener.default_chain);
    let claims = chains.filter(|chain| chain.is_open()).flat_map(|chain| {
        let owner = match &chain.action {
            ChainAction::Http(manager) => match &manager.routes {
                RouteSource::Named(name) => {
                    name.rsplit_once(':').filter(|(_, told)| told.parse() == Ok(port)).map(|(host, _)| host)
                }
                RouteSource::Inline(_) => None,
            },
            ChainAction::Tcp(proxy) if !chain.configured => {
                let mut hosts = proxy.clusters.iter().map(|(cluster, _)| service(cluster));
                let first = hosts.next().flatten();
                first.filter(|first| hosts.all(|host| host == Some(*first)))
            }
            _ => None,
        };
        ranges(listener, chain).into_iter().map(move |range| (range, owner))
    });
    claims.collect()
}
