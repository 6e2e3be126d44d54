//! Results that hold as long as what they were made from looks the same.

use super::{Encoded, Kind};
use crate::index::{Read, View};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The memory that answers and what they were made from may take while nobody asks for them, in bytes: clients choose
/// the names that they ask for, and there is an answer to endlessly many. Beyond it, what was not asked for for the
/// longest time is encoded anew when it is wanted again. Ten thousand services with an endpoint each, called from four
/// namespaces, take about a quarter of it.
pub const MAX_KEPT_ANSWERS: usize = 256 << 20;

/// For how many configurations a result is kept that nobody asks for.
const KEEP: u64 = 8;

/// A result, and what it was made from.
#[derive(Debug)]
struct Entry {
    encoded: Encoded,
    reads: Vec<Read>,
    /// The last configuration in which it was asked for.
    version: AtomicU64,
    /// The number of the last question to which it was the answer.
    turn: AtomicU64,
}

impl Entry {
    /// About how much memory it takes, its place in the map included, and as if its bytes were its own.
    fn size(&self) -> usize {
        let reads: usize = self.reads.iter().map(Read::size).sum();
        let place = size_of::<(Key, Vec<Arc<Self>>)>() + size_of::<Self>();
        place + self.encoded.name.len() + self.encoded.bytes.len() + reads
    }
}

type Key = (Kind, Arc<str>);

#[derive(Debug, Default)]
struct Entries {
    /// One list for each name, because clients may see different things under one name.
    by_name: HashMap<Key, Vec<Arc<Entry>>>,
    /// The sizes of all entries.
    size: usize,
}

impl Entries {
    fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_name.values().flatten()
    }

    /// Drops what was not asked for for the longest time, until the rest has no more than `size`.
    fn shrink(&mut self, size: usize) {
        let turn = |entry: &Entry| entry.turn.load(Ordering::Relaxed);
        let mut turns: Vec<(u64, usize)> = self.all().map(|entry| (turn(entry), entry.size())).collect();
        turns.sort_unstable_by_key(|(turn, _)| Reverse(*turn));
        let mut left = size;
        let fits = |(_, size): &&(u64, usize)| left.checked_sub(*size).map(|rest| left = rest).is_some();
        let kept = turns.iter().take_while(fits).count();
        // Of the first that has to go, all that is as old goes as well.
        let newer = turns.get(kept).map_or(0, |(turn, _)| turn + 1);
        self.by_name.retain(|_, variants| {
            variants.retain(|entry| turn(entry) >= newer);
            !variants.is_empty()
        });
        self.size = self.all().map(|entry| entry.size()).sum();
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    /// The size that all entries may have.
    limit: usize,
    /// Counts the questions.
    turn: AtomicU64,
    entries: Mutex<Entries>,
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(MAX_KEPT_ANSWERS)
    }
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, turn: AtomicU64::new(0), entries: Mutex::default() }
    }

    /// A result that holds for what `view` sees.
    pub(super) fn find(&self, kind: Kind, name: &str, view: &View<'_>, version: u64) -> Option<Encoded> {
        // Looking is done outside of the lock.
        let variants = self.lock().by_name.get(&(kind, Arc::from(name)))?.clone();
        let entry = variants.iter().find(|entry| entry.reads.iter().all(|read| view.looks_the_same(read)))?;
        entry.version.store(version, Ordering::Relaxed);
        entry.turn.store(self.next_turn(), Ordering::Relaxed);
        Some(entry.encoded.clone())
    }

    /// Keeps a result. If there is one with the same bytes already, that one is what everybody gets.
    pub(super) fn add(&self, kind: Kind, encoded: Encoded, reads: Vec<Read>, version: u64) -> Encoded {
        let mut entries = self.lock();
        let variants = entries.by_name.entry((kind, encoded.name.clone())).or_default();
        let same = variants.iter().find(|entry| entry.encoded.bytes == encoded.bytes);
        let encoded = same.map_or(encoded, |entry| entry.encoded.clone());
        let (version, turn) = (AtomicU64::new(version), AtomicU64::new(self.next_turn()));
        let entry = Entry { encoded: encoded.clone(), reads, version, turn };
        let size = entry.size();
        variants.push(Arc::new(entry));
        entries.size += size;
        if entries.size > self.limit {
            // Half at once, so that it is seldom done.
            entries.shrink(self.limit / 2);
        }
        encoded
    }

    /// What the configuration `version` starts with.
    pub(super) fn for_next(&self, version: u64) -> Self {
        let alive = |entry: &&Arc<Entry>| entry.version.load(Ordering::Relaxed) + KEEP >= version;
        let entries = self.lock();
        let kept = entries.by_name.iter().filter_map(|(key, variants)| {
            let variants: Vec<_> = variants.iter().filter(alive).cloned().collect();
            (!variants.is_empty()).then(|| (key.clone(), variants))
        });
        let mut next = Entries { by_name: kept.collect(), size: 0 };
        next.size = next.all().map(|entry| entry.size()).sum();
        let turn = AtomicU64::new(self.turn.load(Ordering::Relaxed));
        Self { limit: self.limit, turn, entries: Mutex::new(next) }
    }

    fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many results there are, and their size.
    #[cfg(test)]
    pub(super) fn extent(&self) -> (usize, usize) {
        let entries = self.lock();
        let size = entries.all().map(|entry| entry.size()).sum();
        assert_eq!(entries.size, size, "the size is kept in step");
        (entries.all().count(), size)
    }
}
