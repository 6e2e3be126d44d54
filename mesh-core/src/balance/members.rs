//! The endpoints of one priority of a cluster, and how they change.

use crate::endpoint::ready::ReadySet;
use crate::endpoint::{Endpoint, EndpointKey};
use crate::net::Environment;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The endpoints of one priority of a cluster.
///
/// The list is of one snapshot; the view of those that are ready is shared by all snapshots of the cluster. An endpoint
/// keeps its number while it is a member, so the two agree, but for an instant in which a request may see a number that
/// its list does not have.
#[derive(Clone, Debug)]
pub struct Members {
    endpoints: Arc<[Option<Arc<Endpoint>>]>,
    len: usize,
    ready: Arc<ReadySet>,
}

/// Every endpoint that somebody uses, so that it is found again by whoever needs the same one.
#[derive(Debug, Default)]
pub struct Registry {
    endpoints: HashMap<EndpointKey, Weak<Endpoint>>,
    /// The size at which entries of endpoints that are gone are swept out.
    sweep_at: usize,
}

/// The one who changes the members of a priority.
#[derive(Debug)]
pub struct MembersBuilder {
    slots: Vec<Option<Arc<Endpoint>>>,
    numbers: HashMap<EndpointKey, usize>,
    free: Vec<usize>,
    ready: Arc<ReadySet>,
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
        self.endpoints.iter().flatten()
    }

    /// The view of those that are ready.
    #[must_use]
    pub fn ready(&self) -> &ReadySet {
        &self.ready
    }

    /// The endpoint in a slot of the ready view.
    #[must_use]
    pub fn ready_at(&self, slot: u32) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(self.ready.get(slot))?.as_ref()
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
    pub fn get(&mut self, key: &EndpointKey, environment: &Environment) -> Arc<Endpoint> {
        if let Some(endpoint) = self.endpoints.get(key).and_then(Weak::upgrade) {
            return endpoint;
        }
        if self.endpoints.len() >= self.sweep_at {
            self.endpoints.retain(|_, endpoint| endpoint.strong_count() > 0);
            self.sweep_at = (2 * self.endpoints.len()).max(64);
        }
        let endpoint = Endpoint::new(key.clone(), environment.clone());
        self.endpoints.insert(key.clone(), Arc::downgrade(&endpoint));
        endpoint
    }

    /// Every endpoint that somebody uses.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Endpoint>> {
        self.endpoints.values().filter_map(Weak::upgrade)
    }
}

// ===== impl MembersBuilder =====

impl Default for MembersBuilder {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            numbers: HashMap::new(),
            free: Vec::new(),
            ready: Arc::new(ReadySet::new(0)),
        }
    }
}

impl MembersBuilder {
    /// Makes `keys` the members; those that stay keep their connections and statistics.
    pub fn update(
        &mut self,
        keys: impl IntoIterator<Item = EndpointKey>,
        registry: &mut Registry,
        environment: &Environment,
    ) -> Members {
        let mut gone = std::mem::take(&mut self.numbers);
        let mut added = Vec::new();
        for key in keys {
            match gone.remove_entry(&key) {
                Some((key, number)) => {
                    self.numbers.insert(key, number);
                }
                None => added.push(key),
            }
        }
        // Those that come are connected before those that go are let go.
        let grown = self.numbers.len() + gone.len() + added.len() > self.ready.capacity();
        if grown {
            self.grow(self.numbers.len() + gone.len() + added.len());
        }
        for key in added {
            if self.numbers.contains_key(&key) {
                continue;
            }
            let endpoint = registry.get(&key, environment);
            let number = self.free.pop().unwrap_or(self.slots.len());
            if number == self.slots.len() {
                self.slots.push(None);
            }
            endpoint.watch(&self.ready, number);
            self.slots[number] = Some(endpoint);
            self.numbers.insert(key, number);
        }
        for number in gone.into_values() {
            if let Some(endpoint) = self.slots[number].take() {
                endpoint.unwatch(&self.ready);
            }
            self.free.push(number);
        }
        Members {
            endpoints: self.slots.as_slice().into(),
            len: self.numbers.len(),
            ready: self.ready.clone(),
        }
    }

    /// Replaces the ready view by a larger one.
    fn grow(&mut self, members: usize) {
        let larger = Arc::new(ReadySet::new(members.next_power_of_two()));
        if self.ready.is_active() {
            larger.activate();
        }
        let before = std::mem::replace(&mut self.ready, larger);
        for (number, endpoint) in self.slots.iter().enumerate() {
            if let Some(endpoint) = endpoint {
                endpoint.watch(&self.ready, number);
                endpoint.unwatch(&before);
            }
        }
    }
}

impl Drop for MembersBuilder {
    fn drop(&mut self) {
        for endpoint in self.slots.iter().flatten() {
            endpoint.unwatch(&self.ready);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::endpoint::{ConnectOptions, Protocol};
    use crate::net::{Address, Dialer};
    use std::time::Duration;

    pub(crate) fn key(port: u16) -> EndpointKey {
        EndpointKey {
            address: Address::host_port("127.0.0.1", port),
            hostname: None,
            options: ConnectOptions {
                protocol: Protocol::Http2,
                connect_timeout: Duration::from_secs(1),
                keepalive: Default::default(),
                tls: false,
            },
        }
    }

    pub(crate) fn environment() -> Environment {
        Environment::new(Dialer::default(), Clock::seeded(1))
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

    #[test]
    fn survivors_stay_the_same_endpoints() {
        let (mut registry, environment) = (Registry::default(), environment());
        let mut builder = MembersBuilder::default();
        let first = builder.update([key(1), key(2), key(3), key(2)], &mut registry, &environment);
        assert_eq!((first.len(), ports(&first)), (3, vec![1, 2, 3]));
        let second = builder.update([key(3), key(4)], &mut registry, &environment);
        assert_eq!(ports(&second), [3, 4]);
        assert_eq!(ports(&first), [1, 2, 3], "the list of a snapshot does not change");
        let find = |members: &Members, port| members.iter().find(|e| *e.key() == key(port)).cloned().unwrap();
        assert!(Arc::ptr_eq(&find(&first, 3), &find(&second, 3)));
        let third = builder.update([], &mut registry, &environment);
        assert!(third.is_empty());
        drop((first, second, third));
        assert_eq!(registry.iter().count(), 0);
    }

    #[test]
    fn clusters_share_endpoints() {
        let (mut registry, environment) = (Registry::default(), environment());
        let (mut all, mut subset) = (MembersBuilder::default(), MembersBuilder::default());
        let all = all.update([key(1), key(2)], &mut registry, &environment);
        let subset = subset.update([key(2)], &mut registry, &environment);
        assert!(all.iter().any(|endpoint| Arc::ptr_eq(endpoint, subset.iter().next().unwrap())));
    }

    #[test]
    fn numbers_are_used_again() {
        let (mut registry, environment) = (Registry::default(), environment());
        let mut builder = MembersBuilder::default();
        for round in 0..100 {
            let members = builder.update([key(round), key(round + 1)], &mut registry, &environment);
            assert_eq!(ports(&members), [round, round + 1]);
            assert!(members.endpoints.len() <= 4, "{}", members.endpoints.len());
        }
    }
}
