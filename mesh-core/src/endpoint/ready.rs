//! Which endpoints of a set can be used right now.
//!
//! A balancer draws from the endpoints that are connected, so the view of them must be cheap to read for every request
//! and cheap to change for every connection. It is a dense array of endpoint numbers: readers load its length and
//! two of its slots; writers move the last number into the gap. A reader may see a number twice or one that just
//! left, never one that is out of range, and it looks at the endpoint itself before it uses it.

use super::ConnectTimeout;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// What is known of an endpoint's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// Not tried yet, or being tried.
    Connecting,
    /// It can take requests.
    Ready,
    /// The last attempt to connect failed; the next one follows after a pause.
    Failed,
}

/// Which endpoints of a set can be used right now.
#[derive(Debug)]
pub struct ReadySet {
    slots: Box<[AtomicU32]>,
    len: AtomicU32,
    active: AtomicBool,
    changed: Notify,
    connect_timeout: ConnectTimeout,
    members: Mutex<Members>,
}

#[derive(Debug)]
struct Members {
    /// By endpoint number: what is known, and its slot if it is ready.
    states: Vec<Option<(Readiness, u32)>>,
    count: usize,
    failed: usize,
}

impl ReadySet {
    /// A set of up to `capacity` endpoints, all of them unknown, for a cluster that waits for a connection so long.
    #[must_use]
    pub fn new(capacity: usize, connect_timeout: ConnectTimeout) -> Self {
        Self {
            slots: (0..capacity).map(|_| AtomicU32::new(0)).collect(),
            len: AtomicU32::new(0),
            active: AtomicBool::new(false),
            changed: Notify::new(),
            connect_timeout,
            members: Mutex::new(Members { states: vec![None; capacity], count: 0, failed: 0 }),
        }
    }

    /// How long a connection may take to be made at present.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout.get()
    }

    /// The number of endpoints that fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Endpoints that are ready.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len.load(Ordering::Acquire)
    }

    /// Whether no endpoint is ready.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the endpoint in `slot`, which must be below [`len`](Self::len).
    #[must_use]
    pub fn get(&self, slot: u32) -> usize {
        self.slots.get(slot as usize).map_or(0, |number| number.load(Ordering::Relaxed) as usize)
    }

    /// Records what is known of endpoint `number`; `None` takes it out of the set.
    pub fn set(&self, number: usize, readiness: Option<Readiness>) {
        let mut members = self.lock();
        let Some(state) = members.states.get(number).copied() else { return };
        if state.map(|(readiness, _)| readiness) == readiness {
            return;
        }
        match state {
            Some((Readiness::Ready, slot)) => self.vacate(&mut members, slot),
            Some((Readiness::Failed, _)) => members.failed -= 1,
            _ => {}
        }
        let slot = match readiness {
            Some(Readiness::Ready) => self.occupy(number),
            Some(Readiness::Failed) => {
                members.failed += 1;
                0
            }
            _ => 0,
        };
        members.states[number] = readiness.map(|readiness| (readiness, slot));
        members.count = members.count + usize::from(readiness.is_some()) - usize::from(state.is_some());
        drop(members);
        self.changed.notify_waiters();
    }

    fn occupy(&self, number: usize) -> u32 {
        let slot = self.len.load(Ordering::Relaxed);
        self.slots[slot as usize].store(number as u32, Ordering::Relaxed);
        self.len.store(slot + 1, Ordering::Release);
        slot
    }

    fn vacate(&self, members: &mut Members, slot: u32) {
        let last = self.len.load(Ordering::Relaxed) - 1;
        let moved = self.slots[last as usize].load(Ordering::Relaxed);
        self.slots[slot as usize].store(moved, Ordering::Relaxed);
        self.len.store(last, Ordering::Release);
        if let Some(Some((_, position))) = members.states.get_mut(moved as usize) {
            *position = slot;
        }
    }

    /// Whether every endpoint was tried and none can be used; not so for an empty set.
    #[must_use]
    pub fn all_failed(&self) -> bool {
        let members = self.lock();
        members.count > 0 && members.failed == members.count
    }

    /// Whether the endpoints of the set are to be connected; `true` from the first call on.
    ///
    /// The one who gets `false` has to see to it.
    pub fn activate(&self) -> bool {
        self.active.load(Ordering::Relaxed) || self.active.swap(true, Ordering::Relaxed)
    }

    /// Whether the endpoints of the set are to be connected.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Wakes whoever waits when something changes.
    #[must_use]
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Members> {
        // The lock is never held where something can panic.
        self.members.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, below};
    use Readiness::{Connecting, Failed, Ready};
    use std::collections::BTreeSet;

    fn ready(set: &ReadySet) -> BTreeSet<usize> {
        (0..set.len()).map(|slot| set.get(slot)).collect()
    }

    #[test]
    fn follows_the_connections() {
        let set = ReadySet::new(3, ConnectTimeout::default());
        assert!(set.is_empty() && !set.all_failed());
        for number in 0..3 {
            set.set(number, Some(Connecting));
        }
        set.set(1, Some(Ready));
        set.set(2, Some(Ready));
        assert_eq!(ready(&set), [1, 2].into());
        set.set(1, Some(Failed));
        assert_eq!(ready(&set), [2].into());
        set.set(0, Some(Failed));
        set.set(2, Some(Failed));
        assert!(set.is_empty() && set.all_failed());
        set.set(0, Some(Connecting));
        assert!(!set.all_failed());
        set.set(0, None);
        assert!(set.all_failed());
        set.set(99, Some(Ready));
        assert!(set.is_empty(), "no such endpoint");
    }

    #[test]
    fn agrees_with_a_plain_set_whatever_happens() {
        let clock = Clock::seeded(11);
        let set = ReadySet::new(20, ConnectTimeout::default());
        let mut model = [None; 20];
        for _ in 0..20_000 {
            let number = below(clock.entropy() as u32, 20) as usize;
            let readiness =
                [None, Some(Connecting), Some(Ready), Some(Failed)][(clock.entropy() % 4) as usize];
            set.set(number, readiness);
            model[number] = readiness;
            let expected: BTreeSet<_> = (0..20).filter(|&n| model[n] == Some(Ready)).collect();
            assert_eq!(ready(&set), expected);
            assert_eq!(set.len() as usize, expected.len(), "none twice");
            let members = model.iter().flatten().count();
            let failed = model.iter().filter(|&&state| state == Some(Failed)).count();
            assert_eq!(set.all_failed(), members > 0 && failed == members);
        }
    }

    #[test]
    fn one_caller_activates() {
        let set = ReadySet::new(1, ConnectTimeout::default());
        assert!(!set.activate());
        assert!(set.activate() && set.is_active());
    }

    #[tokio::test]
    async fn waiters_wake() {
        let set = ReadySet::new(1, ConnectTimeout::default());
        let waiting = set.changed().notified();
        set.set(0, Some(Ready));
        waiting.await;
    }
}
