//! Something for each of some names, and how much the names are: clients choose them, and may not choose without end.

use std::collections::{BTreeMap, btree_map::Entry};
use std::ops::{Add, Sub};
use std::sync::Arc;

/// How much some names are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// How many.
    pub(super) names: usize,
    /// Their length in bytes, all together.
    pub(super) bytes: usize,
}

impl Size {
    /// How much `names` are.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a Arc<str>>) -> Self {
        let one = |name: &Arc<str>| Self { names: 1, bytes: name.len() };
        names.into_iter().map(one).fold(Self::default(), Self::add)
    }

    /// Whether there are no more names than in `most`, and no more bytes.
    pub(super) fn fits(self, most: Self) -> bool {
        self.names <= most.names && self.bytes <= most.bytes
    }
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { names: self.names + other.names, bytes: self.bytes + other.bytes }
    }
}

impl Sub for Size {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { names: self.names.saturating_sub(other.names), bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// Something for each of some names.
#[derive(Debug)]
pub(super) struct ByName<T> {
    map: BTreeMap<Arc<str>, T>,
    bytes: usize,
}

impl<T> ByName<T> {
    pub(super) fn new() -> Self {
        Self { map: BTreeMap::new(), bytes: 0 }
    }

    /// How much the names are.
    pub(super) fn size(&self) -> Size {
        Size { names: self.map.len(), bytes: self.bytes }
    }

    pub(super) fn insert(&mut self, name: Arc<str>, value: T) {
        let bytes = name.len();
        if self.map.insert(name, value).is_none() {
            self.bytes += bytes;
        }
    }

    /// Leaves what is there already.
    pub(super) fn insert_if_new(&mut self, name: Arc<str>, value: T) {
        if let Entry::Vacant(vacant) = self.map.entry(name) {
            self.bytes += vacant.key().len();
            vacant.insert(value);
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let found = self.map.remove(name).is_some();
        if found {
            self.bytes -= name.len();
        }
        found
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&Arc<str>, &T) -> bool) {
        let bytes = &mut self.bytes;
        self.map.retain(|name, value| {
            let stays = stays(name, value);
            if !stays {
                *bytes -= name.len();
            }
            stays
        });
    }

    /// The names; none is left.
    pub(super) fn take_names(&mut self) -> impl Iterator<Item = Arc<str>> {
        self.bytes = 0;
        std::mem::take(&mut self.map).into_keys()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.map.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.map.values_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &mut T)> {
        self.map.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(String),
        InsertIfNew(String),
        Remove(String),
        RetainShorter(usize),
        Take,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let name = || "[a-c]{0,3}";
        let step = prop_oneof![
            4 => name().prop_map(Step::Insert),
            4 => name().prop_map(Step::InsertIfNew),
            4 => name().prop_map(Step::Remove),
            1 => (0..4usize).prop_map(Step::RetainShorter),
            1 => Just(Step::Take),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn the_size_is_that_of_the_names_whatever_happens(steps in steps()) {
            let mut by_name = ByName::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(name) => by_name.insert(name.into(), number),
                    Step::InsertIfNew(name) => by_name.insert_if_new(name.into(), number),
                    Step::Remove(name) => {
                        let was_there = by_name.map.contains_key(&*name);
                        prop_assert_eq!(by_name.remove(&name), was_there);
                    }
                    Step::RetainShorter(len) => by_name.retain(|name, _| name.len() < len),
                    Step::Take => {
                        let there = by_name.size();
                        let taken: Vec<_> = by_name.take_names().collect();
                        prop_assert_eq!(Size::of(&taken), there);
                    }
                }
                prop_assert_eq!(by_name.size(), Size::of(by_name.map.keys()));
            }
        }
    }
}
