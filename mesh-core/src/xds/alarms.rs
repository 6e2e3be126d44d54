//! Points in time at which something has to be concluded about a resource.

use crate::clock::Instant;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Points in time, each with the name of a resource, earliest first.
///
/// An alarm is not taken back: who set it looks when it goes off whether it still means anything, and sets none while
/// an earlier one is pending.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    heap: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
}

impl Alarms {
    pub(super) fn set(&mut self, at: Instant, name: Arc<str>) {
        self.heap.push(Reverse((at, name)));
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The earliest that has gone off.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, Arc<str>)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(alarm)| alarm)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl FromIterator<(Instant, Arc<str>)> for Alarms {
    fn from_iter<I: IntoIterator<Item = (Instant, Arc<str>)>>(alarms: I) -> Self {
        Self { heap: alarms.into_iter().map(Reverse).collect() }
    }
}
