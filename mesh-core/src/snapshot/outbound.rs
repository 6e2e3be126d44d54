//! Where a sidecar's configuration leads a destination.
//!
//! A sidecar is not told about targets by name: it gets the listeners that it would open to catch what its workload
//! sends out, and each says which routes or clusters stand behind an address. Nothing is captured here, so addresses
//! alone do not tell; but the name is known, which Envoy does not know. Of these the first that there is counts:
//!
//! 1. A listener that is the destination's: it is for the address that the destination is written as or is known to have
//!    (`homes.rs`), even if it was refused; or it names the destination: it has the routes of
//!    `host:port`, or it is bound to an address, or to a range of them, and leads to clusters of the destination only.
//!    Where several are bound to addresses and lead there in different ways, some are other services' that are led there,
//!    and nobody can tell whose is which: none counts.
//! 2. The routes of a listener on the port, if a virtual host serves the destination by more than `*`.
//! 3. A listener on the port that leads to clusters of the destination and takes others as well, or leads to others too.
//! 4. The destination's own cluster, `outbound|PORT||HOST`, unless a listener of the port was refused, or is led to another
//!    service and nobody knows whose address it has: that may be the destination's own.
//! 5. Steps 1, 3 and 4 for wildcards that the destination is one of, the longest first.
//! 6. What takes every host of the port: its routes for `*`, or a proxy for bytes that leads to no service's cluster, or
//!    where step 7 leads. What leads to one service's is not for another's calls.
//! 7. The listener for what no other takes.
//!
//! No step is taken before it is known that the one before leads nowhere. What is refused or late fails or waits, and is
//! never passed by: routes that are not here yet are waited for at step 2; step 4 needs all listeners to be listed, step 5
//! all clusters too. A control plane that lists no listeners in time is thought to have none, but only for steps 4
//! and 5: what lies outside the mesh, nobody knows then.

use super::asked::Asked;
use super::claim::claims;
use super::destination::Destination;
use super::homes::{Homes, ranges};
use super::search::Search;
use super::told::{Heard, Told};
use crate::net::Address;
use crate::resource::Kind;
use crate::resource::listener::{ChainAction, Direction, FilterChain, HttpManager, ServerListener, TcpProxy};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

/// The listeners of a sidecar by the port that they catch.
#[derive(Debug)]
pub(super) struct Outbound {
    /// What completes short names of services: `NAMESPACE.svc.cluster.local`.
    domain: Box<str>,
    by_port: BTreeMap<u16, BTreeSet<Arc<str>>>,
    ports: BTreeMap<Arc<str>, u16>,
    /// Those that catch what no other does.
    catch_all: BTreeSet<Arc<str>>,
    homes: Homes,
}

/// What stands behind a destination.
#[derive(Clone, Debug)]
pub(super) enum Behind<'a> {
    /// It is not known yet.
    Unknown,
    /// Routes, which may not be known yet.
    Http(&'a HttpManager),
    /// Clusters, whatever is sent.
    Tcp(&'a TcpProxy),
    /// The cluster of this name.
    Cluster(Arc<str>),
    /// Nothing, and it may not be reached past the mesh either.
    Blocked,
    /// Nobody knows: the listener of this name was refused.
    Refused(Arc<str>),
    /// Nobody knows: the listener of this name may be its own, but is led elsewhere.
    Unclear(Arc<str>),
    /// Nobody knows: resources of this kind were not listed in time.
    Silent(Kind),
    /// Nothing.
    Nothing,
}

/// What stands behind a destination, and what was asked for to find that out.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) behind: Behind<'a>,
    pub(super) asked: Asked,
}

impl Outbound {
    /// No listeners yet. The node's id, `sidecar~IP~NAME.NAMESPACE~NAMESPACE.svc.cluster.local`, ends with what completes
    /// short names of services.
    pub(super) fn new(node_id: &str) -> Self {
        let domain = node_id.rsplit_once('~').map_or("", |(_, domain)| domain).into();
        Self {
            domain,
            by_port: BTreeMap::new(),
            ports: BTreeMap::new(),
            catch_all: BTreeSet::new(),
            homes: Homes::default(),
        }
    }

    /// What stands behind the destination `name`, which is `host:port`.
    pub(super) fn find<'a>(&self, name: &str, told: &'a impl Told) -> Found<'a> {
        let destination = Destination::new(name, &self.domain);
        let homes = self.homes.of(&destination.spellings);
        let mut search = Search::new(name, destination, told);
        if !homes.is_empty() && search.is_service() {
            search.homes = homes;
        }
        for name in self.candidates(search.destination.port) {
            match told.listener(name) {
                Heard::There(listener) => {
                    search.claims.extend(claims(&search.destination, &search.homes, listener));
                    if self.is_led_elsewhere(listener) {
                        search.unclear.get_or_insert_with(|| name.clone());
                    }
                }
                Heard::Open => search.refused.push(name.clone()),
                Heard::Gone => {}
            }
        }
        Found { behind: search.run(), asked: search.asked }
    }

    /// Whether a listener is for addresses of which nobody tells whose they are, because it is led elsewhere.
    fn is_led_elsewhere(&self, listener: &ServerListener) -> bool {
        let unknown = |chain: &FilterChain| {
            chain.configured
                && chain.is_open()
                && matches!(chain.action, ChainAction::Tcp(_))
                && !ranges(listener, chain).is_empty()
                && !self.homes.are_known(listener, chain)
        };
        !listener.use_original_dst && listener.chains.iter().chain(&listener.default_chain).any(unknown)
    }

    /// Takes note of a listener, or of its end; the ports that it caught before or catches now, none of which may be the
    /// only ones concerned if it catches everything.
    pub(super) fn note(&mut self, name: &Arc<str>, told: Heard<&ServerListener>) -> Concerned {
        let mut ports = BTreeSet::new();
        let listener = match told {
            Heard::There(listener) => Some(listener).filter(|it| it.direction == Direction::Outbound),
            Heard::Gone | Heard::Open => None,
        };
        if self.homes.note(name, listener) {
            // The listeners of other ports with this address.
            let address = name.rsplit_once('_').map_or("", |(address, _)| address);
            let others = self.ports.range::<str, _>((Bound::Included(address), Bound::Unbounded));
            let others = others.take_while(|(other, _)| other.starts_with(address));
            ports.extend(others.map(|(_, port)| *port));
        }
        let mut all = self.catch_all.remove(name);
        if let Some(port) = self.ports.remove(name) {
            if let Some(names) = self.by_port.get_mut(&port) {
                names.remove(name);
            }
            ports.insert(port);
        }
        let port = match told {
            Heard::There(listener) if listener.direction != Direction::Outbound => None,
            Heard::There(listener) if listener.use_original_dst => Some(None),
            Heard::There(listener) => match listener.address {
                Address::Ip(address) => Some(Some(address.port())),
                _ => None,
            },
            Heard::Open => Some(place(name).map(|(_, port)| port)),
            Heard::Gone => None,
        };
        match port {
            Some(None) => all |= self.catch_all.insert(name.clone()),
            Some(Some(port)) => {
                self.by_port.entry(port).or_default().insert(name.clone());
                self.ports.insert(name.clone(), port);
                ports.insert(port);
            }
            None => {}
        }
        if all { Concerned::All } else { Concerned::Ports(ports) }
    }

    /// The names of the listeners that may catch what goes to `port`.
    fn candidates(&self, port: u16) -> impl Iterator<Item = &Arc<str>> {
        self.by_port.get(&port).into_iter().flatten().chain(&self.catch_all)
    }
}

/// Which destinations a change concerns.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Concerned {
    /// Those on these ports.
    Ports(BTreeSet<u16>),
    /// All.
    All,
}

/// The address, if it is one, and the port of a listener that was refused, of which only the name is known: istiod ends it
/// with the port, as in `10.96.0.1_8080`. Without one it is taken to be for what no other takes.
pub(super) fn place(name: &str) -> Option<(Option<IpAddr>, u16)> {
    let (address, port) = name.rsplit_once('_')?;
    Some((address.trim_matches(['[', ']']).parse().ok(), port.parse().ok()?))
}

#[cfg(test)]
#[path = "outbound_tests.rs"]
mod tests;
