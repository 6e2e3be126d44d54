//! What a listener of a sidecar says about a destination.

use super::destination::{Called, Destination, service};
use super::homes::only;
use crate::net::Address;
use crate::resource::Cidr;
use crate::resource::listener::{
    ChainAction, FilterChain, HttpManager, RouteSource, ServerListener, TcpProxy,
};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What stands behind an address.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way<'a> {
    /// Routes.
    Http(&'a HttpManager),
    /// Clusters, whatever is sent.
    Tcp(&'a TcpProxy),
}

/// What a listener says about a destination.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim<'a> {
    /// It names the destination, so well.
    Names(Called, Grade, Way<'a>),
    /// It leads to the routes of the port, which may name the destination; whether it takes every host of the port.
    Port(&'a HttpManager, bool),
    /// It takes every host of the port, or would if it were not another service's own.
    Any(&'a TcpProxy),
    /// It takes what no other takes.
    Rest(Way<'a>),
}

/// How surely a chain that names a destination is the destination's own; greater is surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// The destination is one of several that it leads to.
    Among,
    /// It leads to the destination only, but takes others as well.
    Alone,
    /// It leads to the destination only, at an address of its own.
    Own,
    /// It leads to the routes of the destination.
    Routes,
    /// It takes an address that the destination is known to have.
    Home,
    /// It takes the address that the destination is written as, and so many bits of it count.
    Address(u8),
}

/// What a listener says about a destination on its port that is known to have the addresses `homes`.
pub(super) fn claims<'l>(
    destination: &Destination,
    homes: &BTreeSet<Cidr>,
    listener: &'l ServerListener,
) -> Vec<Claim<'l>> {
    if listener.use_original_dst {
        return open(listener).find_map(way).map(Claim::Rest).into_iter().collect();
    }
    let Address::Ip(address) = listener.address else { return Vec::new() };
    let more = listener.additional.iter().filter_map(|address| match address {
        Address::Ip(address) => Some(address.ip()),
        _ => None,
    });
    let mut addresses = std::iter::once(address.ip()).chain(more);
    let bound = !address.ip().is_unspecified();
    let ip = match destination.ip {
        Some(ip) if bound && !addresses.any(|own| own == ip) => return Vec::new(),
        Some(ip) => Some(ip),
        // Whoever calls by name is led to the address of the listener.
        None => bound.then_some(address.ip()),
    };
    let mut taken: Vec<_> = taken(listener, ip).collect();
    // What is not HTTP after all goes elsewhere.
    taken.sort_by_key(|(chain, _)| !matches!(chain.action, ChainAction::Http(_)));
    let claim = |(chain, len)| claim(destination, homes, address.ip(), chain, len);
    taken.into_iter().filter_map(claim).collect()
}

/// The chains that take plain connections, in the order in which they count.
fn open(listener: &ServerListener) -> impl Iterator<Item = &FilterChain> {
    listener.chains.iter().filter(|chain| chain.is_open()).chain(&listener.default_chain)
}

/// The open chains that take connections to `ip`, and how many bits of that count, or those to any address.
fn taken(listener: &ServerListener, ip: Option<IpAddr>) -> impl Iterator<Item = (&FilterChain, Option<u8>)> {
    let len = move |chain: &FilterChain| {
        let ranges = chain.condition.destinations.iter();
        ranges.filter(|range| ip.is_some_and(|ip| range.contains(ip))).map(|range| range.len).max()
    };
    let longest = open(listener).filter_map(len).max();
    open(listener).filter_map(move |chain| match ip {
        None => Some((chain, None)),
        Some(_) if longest.is_none() && chain.condition.destinations.is_empty() => Some((chain, None)),
        Some(_) => (longest.is_some() && len(chain) == longest).then_some((chain, longest)),
    })
}

fn way(chain: &FilterChain) -> Option<Way<'_>> {
    match &chain.action {
        ChainAction::Http(manager) => Some(Way::Http(manager)),
        ChainAction::Tcp(proxy) => Some(Way::Tcp(proxy)),
        ChainAction::Other(_) => None,
    }
}

/// What a chain says about a destination, if it takes connections to it; `len` bits of the address count.
fn claim<'l>(
    destination: &Destination,
    homes: &BTreeSet<Cidr>,
    bound: IpAddr,
    chain: &'l FilterChain,
    len: Option<u8>,
) -> Option<Claim<'l>> {
    let way = way(chain)?;
    let own = !bound.is_unspecified();
    let len = len.or(own.then_some(u8::MAX));
    if let (Some(_), Some(len)) = (destination.ip, len) {
        return Some(Claim::Names(Called::Exactly, Grade::Address(len), way));
    }
    let ranges = &chain.condition.destinations;
    if homes.iter().any(|home| if own { *home == only(bound) } else { ranges.contains(home) }) {
        return Some(Claim::Names(Called::Exactly, Grade::Home, way));
    }
    match way {
        Way::Http(manager) => match whose(manager) {
            Some((host, port)) => (port == destination.port)
                .then(|| destination.called(host))
                .flatten()
                .map(|called| Claim::Names(called, Grade::Routes, way)),
            None => Some(Claim::Port(manager, ranges.is_empty() && (!own || bound.is_loopback()))),
        },
        Way::Tcp(proxy) => {
            let hosts = || {
                proxy
                    .clusters
                    .iter()
                    .map(|(cluster, _)| service(cluster).and_then(|host| destination.called(host)))
            };
            let addressed = own || !ranges.is_empty();
            match hosts().flatten().max() {
                Some(called) if hosts().any(|host| host.is_none()) => {
                    Some(Claim::Names(called, Grade::Among, way))
                }
                Some(called) => {
                    Some(Claim::Names(called, if addressed { Grade::Own } else { Grade::Alone }, way))
                }
                // Addresses that the destination is not known to have.
                None => (!addressed).then_some(Claim::Any(proxy)),
            }
        }
    }
}

/// The host and the port that routes are for, if their name says so.
fn whose(manager: &HttpManager) -> Option<(&str, u16)> {
    let RouteSource::Named(name) = &manager.routes else { return None };
    let (host, port) = name.rsplit_once(':')?;
    Some((host, port.parse().ok()?))
}
