//! The hosts that a client talks to.
//!
//! Each has a stack of its own, made at its first request. Finding it again costs a lookup by the text in the URL: no lock
//! and no allocation. A host that nobody talks to any more is let go, and with it its connections and its configuration.

use arc_swap::ArcSwap;
use mesh_core::dialect::Http;
use mesh_core::stack::Stack;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Hosts that a client keeps at the same time; one more takes the place of another.
pub const MAX_TARGETS: usize = 1024;
/// A host that got no request for this long, and at most twice as long, is let go.
pub const TARGET_IDLE_TIME: Duration = Duration::from_secs(300);

/// The hosts that a client talks to, by the authority of their URLs.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    current: ArcSwap<Map>,
    /// Held while the map changes.
    changing: Mutex<()>,
}

type Map = HashMap<Box<str>, Arc<Entry>>;

#[derive(Debug)]
struct Entry {
    stack: Stack<Http>,
    /// Whether there was a request since the last sweep.
    used: AtomicBool,
}

impl Targets {
    pub(crate) fn len(&self) -> usize {
        self.current.load().len()
    }

    /// The stack for `authority`, if there is one.
    pub(crate) fn get(&self, authority: &str) -> Option<Stack<Http>> {
        let current = self.current.load();
        let entry = current.get(authority)?;
        // Writing only once between sweeps keeps the entry in every core's cache.
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(entry.stack.clone())
    }

    /// The stack for `authority`, which is made if there is none.
    pub(crate) fn insert(&self, authority: &str, make: impl FnOnce() -> Stack<Http>) -> Stack<Http> {
        self.change(|map| {
            if let Some(entry) = map.get(authority) {
                return entry.stack.clone();
            }
            if map.len() >= MAX_TARGETS {
                make_room(map);
            }
            let stack = make();
            let entry = Entry { stack: stack.clone(), used: AtomicBool::new(true) };
            map.insert(authority.into(), Arc::new(entry));
            stack
        })
    }

    /// Lets go of those that got no request since the last sweep.
    pub(crate) fn sweep(&self) {
        self.change(|map| map.retain(|_, entry| entry.used.swap(false, Ordering::Relaxed)));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Map) -> T) -> T {
        let changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut map = Map::clone(&self.current.load());
        let result = change(&mut map);
        let before = self.current.swap(Arc::new(map));
        drop(changing);
        // What goes is dropped without the lock.
        drop(before);
        result
    }
}

/// Takes one out, rather one that got no request since the last sweep.
fn make_room(map: &mut Map) {
    let unused = map.iter().find(|(_, entry)| !entry.used.load(Ordering::Relaxed));
    let victim = unused.or_else(|| map.iter().next()).map(|(authority, _)| authority.clone());
    if let Some(victim) = victim {
        map.remove(&victim);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_core::Mesh;
    use mesh_core::endpoint::Protocol;
    use mesh_core::snapshot::Fallback;
    use mesh_core::stack::stack;

    fn stacks() -> impl Fn(&str) -> Stack<Http> {
        let mesh = Mesh::builder().build().unwrap();
        move |name| stack(mesh.discovered(name, Protocol::Http1, Fallback::PassThrough), Http)
    }

    #[tokio::test]
    async fn a_target_without_requests_goes_at_the_second_sweep() {
        let (targets, stack) = (Targets::default(), stacks());
        targets.insert("a", || stack("a:80"));
        targets.insert("b", || stack("b:80"));
        targets.sweep();
        assert!(targets.get("a").is_some());
        targets.sweep();
        assert!(targets.get("b").is_none());
        assert!(targets.get("a").is_some());
        assert_eq!(targets.len(), 1);
    }

    #[tokio::test]
    async fn their_number_is_bounded() {
        let (targets, stack) = (Targets::default(), stacks());
        let one = stack("one:80");
        for number in 0..MAX_TARGETS + 10 {
            targets.insert(&number.to_string(), || one.clone());
        }
        assert_eq!(targets.len(), MAX_TARGETS);
        assert!(targets.get(&(MAX_TARGETS + 9).to_string()).is_some(), "the newest is there");
    }

    #[tokio::test]
    async fn the_first_of_two_equal_ones_stays() {
        let (targets, stack) = (Targets::default(), stacks());
        let first = targets.insert("a", || stack("a:80"));
        let second = targets.insert("a", || panic!("made twice"));
        assert!(Arc::ptr_eq(first.target(), second.target()));
    }
}
