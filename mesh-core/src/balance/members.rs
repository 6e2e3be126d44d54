//! The endpoints of one priority of a cluster, and how they change.

use crate::endpoint::ready::ReadySet;
use crate::endpoint::{ConnectTimeout, Endpoint, EndpointKey};
use crate::net::Environment;
use crate::slots::Slots;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The endpoints of one priority of a cluster.
///
/// The list is of one snapshot; the view of those that are ready is shared by all snapshots of the cluster. An endpoint
/// keeps its number while it is a member, so the two agree, but for an instant in which a request may see a number that
/// its list does not have.
#[derive(Clone, Debug)]
pub struct Members {
    endpoints: Slots<Arc<Endpoint>>,
    len: usize,
    ready: Arc<ReadySet>,
}

/// Every endpoint that somebody uses, so that it is found again by whoever needs the same one.
#[derive(Debug, Default)]
pub struct Registry {
    endpoints: HashSet<Registered>,
    /// The size at which endpoints that nobody uses any more are swept out.
    sweep_at: usize,
}

/// An endpoint, found by its key.
#[derive(Debug)]
struct Registered(Arc<Endpoint>);

/// The one who changes the members of a priority.
#[derive(Debug)]
pub struct MembersBuilder {
    members: Members,
    connect_timeout: ConnectTimeout,
    /// Numbers below this are in use, or free.
    next: usize,
    free: Vec<usize>,
}

// ===== impl Members =====

impl Members {
    /// Endpoints, ready or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no endpoints.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every endpoint, ready or not.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter()
    }

    /// The view of those that are ready.
    #[must_use]
    pub fn ready(&self) -> &ReadySet {
        &self.ready
    }

    /// The endpoint in a slot of the ready view.
    #[must_use]
    pub fn ready_at(&self, slot: u32) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(self.ready.get(slot))
    }

    /// Sees to it that the endpoints are connected; costs next to nothing from the second call on.
    pub fn activate(&self) {
        if !self.ready.activate() {
            self.iter().for_each(Endpoint::activate);
        }
    }
}

// ===== impl Registry =====

impl Registry {
    /// The endpoint with this key, as it is or new.
    pub fn get(&mut self, key: EndpointKey, environment: &Arc<Environment>) -> Arc<Endpoint> {
        if let Some(Registered(endpoint)) = self.endpoints.get(&key) {
            return endpoint.clone();
        }
        if self.endpoints.len() >= self.sweep_at {
            self.endpoints.retain(Registered::is_used);
            self.sweep_at = (2 * self.endpoints.len()).max(64);
        }
        let endpoint = Endpoint::new(key, environment.clone());
        self.endpoints.insert(Registered(endpoint.clone()));
        endpoint
    }

    /// The endpoint with this key, if there is one.
    fn find(&self, key: &EndpointKey) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(key).map(|Registered(endpoint)| endpoint)
    }

    /// Every endpoint that somebody uses.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.endpoints
            .iter()
            .filter(|endpoint| endpoint.is_used())
            .map(|Registered(endpoint)| endpoint.clone())
    }
}

impl Registered {
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Borrow<EndpointKey> for Registered {
    fn borrow(&self) -> &EndpointKey {
        self.0.key()
    }
}

impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Registered {}

impl Hash for Registered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

// ===== impl MembersBuilder =====

impl Default for MembersBuilder {
    fn default() -> Self {
        Self::new(ConnectTimeout::default())
    }
}

impl MembersBuilder {
    /// No members yet, of a cluster that waits so long for a connection to one.
    #[must_use]
    pub fn new(connect_timeout: ConnectTimeout) -> Self {
        let ready = Arc::new(ReadySet::new(0, connect_timeout.clone()));
        let members = Members { endpoints: Slots::default(), len: 0, ready };
        Self { members, connect_timeout, next: 0, free: Vec::new() }
    }

    /// The members at present.
    #[must_use]
    pub fn members(&self) -> Members {
        self.members.clone()
    }

    /// Adds endpoints; those that are members already stay as they are.
    ///
    /// What follows it must not be forgotten: [`remove`](Self::remove) those that go only when those that come are here,
    /// so that an endpoint that moves from one priority to another keeps its connections.
    pub fn add(
        &mut self,
        keys: impl ExactSizeIterator<Item = EndpointKey>,
        registry: &mut Registry,
        environment: &Arc<Environment>,
    ) {
        let needed = self.members.len + keys.len();
        if needed > self.members.ready.capacity() {
            self.grow(needed);
        }
        for key in keys {
            let endpoint = registry.get(key, environment);
            if endpoint.number_in(&self.members.ready).is_some() {
                continue;
            }
            let number = self.free.pop().unwrap_or(self.next);
            self.next = self.next.max(number + 1);
            endpoint.watch(&self.members.ready, number);
            self.members.endpoints.set(number, Some(endpoint));
            self.members.len += 1;
        }
    }

    /// Removes endpoints, as far as they are members.
    pub fn remove(&mut self, keys: &[EndpointKey], registry: &Registry) {
        for endpoint in keys.iter().filter_map(|key| registry.find(key)) {
            if let Some(number) = endpoint.number_in(&self.members.ready) {
                endpoint.unwatch(&self.members.ready);
                self.members.endpoints.set(number, None);
                self.members.len -= 1;
                self.free.push(number);
            }
        }
    }

    /// Replaces the ready view by one that has room for some more as well. Numbers in use and free ones fit: there are as many as there ever were
    /// members at a time.
    fn grow(&mut self, members: usize) {
        let needed = members.max(self.next);
        let larger = Arc::new(ReadySet::new(needed + needed / 4, self.connect_timeout.clone()));
        if self.members.ready.is_active() {
            larger.activate();
        }
        let before = std::mem::replace(&mut self.members.ready, larger);
        for endpoint in self.members.iter() {
            if let Some(number) = endpoint.number_in(&before) {
                endpoint.watch(&self.members.ready, number);
                endpoint.unwatch(&before);
            }
        }
    }
}

impl Drop for MembersBuilder {
    fn drop(&mut self) {
        for endpoint in self.members.iter() {
            endpoint.unwatch(&self.members.ready);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::endpoint::{ConnectOptions, Protocol};
    use crate::net::{Address, Dialer};

    pub(crate) fn key(port: u16) -> EndpointKey {
        EndpointKey {
            address: Address::host_port("127.0.0.1", port),
            hostname: None,
            options: Arc::new(ConnectOptions {
                protocol: Protocol::Http2,
                family: Default::default(),
                keepalive: Default::default(),
                tls: false,
                unsupported: None,
            }),
        }
    }

    pub(crate) fn environment() -> Arc<Environment> {
        Arc::new(Environment::new(Dialer::default(), Clock::seeded(1)))
    }

    fn ports(members: &Members) -> Vec<u16> {
        let port = |endpoint: &Arc<Endpoint>| match endpoint.key().address {
            Address::Ip(address) => address.port(),
            _ => 0,
        };
        let mut ports: Vec<_> = members.iter().map(port).collect();
        ports.sort_unstable();
        ports
    }

    /// A builder with these members.
    fn builder(keys: &[EndpointKey], registry: &mut Registry) -> MembersBuilder {
        let mut builder = MembersBuilder::default();
        builder.add(keys.iter().cloned(), registry, &environment());
        builder
    }

    #[test]
    fn survivors_stay_the_same_endpoints() {
        let mut registry = Registry::default();
        let mut builder = builder(&[key(1), key(2), key(3), key(2)], &mut registry);
        let first = builder.members();
        assert_eq!((first.len(), ports(&first)), (3, vec![1, 2, 3]));
        builder.add([key(3), key(4)].into_iter(), &mut registry, &environment());
        builder.remove(&[key(1), key(2), key(9)], &registry);
        let second = builder.members();
        assert_eq!(ports(&second), [3, 4]);
        assert_eq!(ports(&first), [1, 2, 3], "the list of a snapshot does not change");
        let find = |members: &Members, port| members.iter().find(|e| *e.key() == key(port)).cloned().unwrap();
        assert!(Arc::ptr_eq(&find(&first, 3), &find(&second, 3)));
        builder.remove(&[key(3), key(4)], &registry);
        assert!(builder.members().is_empty());
        drop((first, second));
        assert_eq!(registry.iter().count(), 0);
    }

    #[test]
    fn clusters_share_endpoints() {
        let mut registry = Registry::default();
        let all = builder(&[key(1), key(2)], &mut registry).members();
        let subset = builder(&[key(2)], &mut registry).members();
        assert!(all.iter().any(|endpoint| Arc::ptr_eq(endpoint, subset.iter().next().unwrap())));
    }

    #[test]
    fn numbers_are_used_again() {
        let mut registry = Registry::default();
        let mut builder = builder(&[key(0)], &mut registry);
        for round in 0..100 {
            builder.add([key(round + 1)].into_iter(), &mut registry, &environment());
            let members = builder.members();
            assert_eq!(ports(&members), [round, round + 1]);
            builder.remove(&[key(round)], &registry);
            assert!(builder.next <= 2, "{}", builder.next);
        }
        assert!(registry.endpoints.len() <= 64 + 2, "those that are gone are swept out");
    }
}
