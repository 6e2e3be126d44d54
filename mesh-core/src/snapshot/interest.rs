//! Who uses which resources of one kind: what to subscribe to, and whom a change concerns.

use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who uses which resources of one kind; users are known by their number.
#[derive(Debug, Default)]
pub(super) struct Interest {
    users: BTreeMap<Arc<str>, SmallVec<[usize; 1]>>,
    /// Names whose first user came, or whose last one went.
    moved: BTreeSet<Arc<str>>,
}

impl Interest {
    /// The users of a resource.
    pub(super) fn users(&self, name: &str) -> &[usize] {
        self.users.get(name).map_or(&[], |users| users)
    }

    /// Somebody begins to use a resource.
    pub(super) fn add(&mut self, name: &Arc<str>, user: usize) {
        let users = self.users.entry(name.clone()).or_default();
        if users.is_empty() {
            self.moved.insert(name.clone());
        }
        users.push(user);
    }

    /// Somebody uses a resource no more.
    pub(super) fn remove(&mut self, name: &Arc<str>, user: usize) {
        let Some(users) = self.users.get_mut(name) else { return };
        users.retain(|other| *other != user);
        if users.is_empty() {
            self.users.remove(name);
            self.moved.insert(name.clone());
        }
    }

    /// Somebody uses another resource than before, or none.
    pub(super) fn switch(&mut self, user: usize, from: &mut Option<Arc<str>>, to: Option<&Arc<str>>) {
        if from.as_ref() == to {
            return;
        }
        if let Some(name) = from.take() {
            self.remove(&name, user);
        }
        if let Some(name) = to {
            self.add(name, user);
            *from = Some(name.clone());
        }
    }

    /// Somebody uses other resources than before; each is named once.
    pub(super) fn replace(&mut self, user: usize, from: &mut Vec<Arc<str>>, to: Vec<Arc<str>>) {
        if *from == to {
            return;
        }
        to.iter().filter(|name| !from.contains(name)).for_each(|name| self.add(name, user));
        from.iter().filter(|name| !to.contains(name)).for_each(|name| self.remove(name, user));
        *from = to;
    }

    /// The names that are used now and were not when this was asked last, and the reverse. A name that came and went in
    /// between may be in either; whoever acts on it must find that it is so already.
    pub(super) fn difference(&mut self) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let moved = std::mem::take(&mut self.moved).into_iter();
        moved.partition(|name| self.users.contains_key(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_and_the_last_user_matter() {
        let (mut interest, a) = (Interest::default(), Arc::from("a"));
        interest.add(&a, 1);
        interest.add(&a, 2);
        assert_eq!(interest.users("a"), [1, 2]);
        assert_eq!(interest.difference(), (vec![a.clone()], vec![]));
        interest.remove(&a, 1);
        assert_eq!(interest.difference(), (vec![], vec![]));
        interest.remove(&a, 2);
        assert_eq!(interest.difference(), (vec![], vec![a.clone()]));
        assert!(interest.users("a").is_empty());
    }

    #[test]
    fn a_user_of_several_keeps_what_it_still_uses() {
        let (mut interest, [a, b, c]) = (Interest::default(), ["a", "b", "c"].map(Arc::<str>::from));
        let mut uses = Vec::new();
        interest.replace(7, &mut uses, vec![a.clone(), b.clone()]);
        assert_eq!(interest.difference(), (vec![a.clone(), b.clone()], vec![]));
        interest.replace(7, &mut uses, vec![c.clone(), b.clone()]);
        assert_eq!(interest.difference(), (vec![c.clone()], vec![a]));
        assert_eq!((uses, interest.users("b"), interest.users("c")), (vec![c, b], &[7][..], &[7][..]));
    }

    #[test]
    fn a_user_switches() {
        let (mut interest, a, b) = (Interest::default(), Arc::from("a"), Arc::from("b"));
        let mut uses = None;
        interest.switch(7, &mut uses, Some(&a));
        interest.switch(7, &mut uses, Some(&b));
        assert_eq!((uses.as_ref(), interest.users("b")), (Some(&b), &[7][..]));
        assert_eq!(interest.difference(), (vec![b], vec![a]));
        interest.switch(7, &mut uses, None);
        assert_eq!(uses, None);
    }
}
