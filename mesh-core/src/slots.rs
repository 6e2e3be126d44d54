//! Values in numbered places: cheap to copy, and cheap to change.
//!
//! Snapshots are copies that share what did not change. A plain list of ten thousand places would be copied whole to
//! change one of them; here the list of the blocks is, and one block.

use std::iter::repeat_with;
use std::sync::Arc;

/// Places in a full block: few enough to copy for one change, enough that the list of blocks is short.
const BLOCK: usize = 32;

/// Values in numbered places.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    /// Each as long as it has to be, because many lists have one value.
    blocks: Vec<Arc<[Option<T>]>>,
}

impl<T: Clone> Slots<T> {
    /// The value in a place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&T> {
        self.blocks.get(place / BLOCK)?.get(place % BLOCK)?.as_ref()
    }

    /// Puts a value into a place, or nothing. Copies of the whole keep what they have.
    pub fn set(&mut self, place: usize, value: Option<T>) {
        let (number, place) = (place / BLOCK, place % BLOCK);
        if self.blocks.len() <= number {
            self.blocks.resize_with(number + 1, Arc::default);
        }
        let block = &mut self.blocks[number];
        if block.len() <= place {
            let longer = (place + 1).next_power_of_two();
            *block = block.iter().cloned().chain(repeat_with(|| None)).take(longer).collect();
        }
        Arc::make_mut(block)[place] = value;
    }

    /// Every value, in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flat_map(|block| block.iter().flatten())
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { blocks: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_it_has() {
        let mut slots = Slots::default();
        for place in 0..100 {
            slots.set(place, Some(place));
        }
        let copy = slots.clone();
        slots.set(70, None);
        slots.set(3, Some(33));
        assert_eq!((slots.get(70), slots.get(3), slots.get(4)), (None, Some(&33), Some(&4)));
        assert_eq!((copy.get(70), copy.get(3)), (Some(&70), Some(&3)));
        assert_eq!((slots.iter().count(), copy.iter().count()), (99, 100));
        assert_eq!(slots.get(1_000), None);
    }

    #[test]
    fn what_did_not_change_is_shared() {
        let mut slots = Slots::default();
        slots.set(0, Some('a'));
        slots.set(BLOCK, Some('b'));
        let copy = slots.clone();
        slots.set(0, Some('c'));
        assert!(Arc::ptr_eq(&slots.blocks[1], &copy.blocks[1]));
        assert!(!Arc::ptr_eq(&slots.blocks[0], &copy.blocks[0]));
    }
}
