//! Results that hold as long as what they were made from looks the same.

use super::{Encoded, Kind};
use crate::index::{Read, View};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// For how many configurations a result is kept that nobody asks for.
const KEEP: u64 = 8;

/// A result, and what it was made from.
#[derive(Debug)]
struct Entry {
    encoded: Encoded,
    reads: Vec<Read>,
    /// The last configuration in which it was asked for.
    used: AtomicU64,
}

/// One list for each name, because clients may see different things under one name.
type Entries = HashMap<(Kind, Arc<str>), Vec<Arc<Entry>>>;

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: Mutex<Entries>,
}

impl Cache {
    /// A result that holds for what `view` sees.
    pub(super) fn find(&self, kind: Kind, name: &str, view: &View<'_>, version: u64) -> Option<Encoded> {
        // Looking is done outside of the lock.
        let variants = self.lock().get(&(kind, Arc::from(name)))?.clone();
        let entry = variants.iter().find(|entry| entry.reads.iter().all(|read| view.looks_the_same(read)))?;
        entry.used.store(version, Ordering::Relaxed);
        Some(entry.encoded.clone())
    }

    /// Keeps a result. If there is one with the same bytes already, that one is what everybody gets.
    pub(super) fn add(&self, kind: Kind, encoded: Encoded, reads: Vec<Read>, version: u64) -> Encoded {
        let mut entries = self.lock();
        let variants = entries.entry((kind, encoded.name.clone())).or_default();
        let same = variants.iter().find(|entry| entry.encoded.bytes == encoded.bytes);
        let encoded = same.map_or(encoded, |entry| entry.encoded.clone());
        variants.push(Arc::new(Entry { encoded: encoded.clone(), reads, used: AtomicU64::new(version) }));
        encoded
    }

    /// What the configuration `version` starts with.
    pub(super) fn for_next(&self, version: u64) -> Self {
        let alive = |entry: &&Arc<Entry>| entry.used.load(Ordering::Relaxed) + KEEP >= version;
        let entries = self.lock();
        let kept = entries.iter().filter_map(|(key, variants)| {
            let variants: Vec<_> = variants.iter().filter(alive).cloned().collect();
            (!variants.is_empty()).then(|| (key.clone(), variants))
        });
        Self { entries: Mutex::new(kept.collect()) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
