//! The last good configuration in a file, so that a process can start while every control plane is away.
//!
//! The file is replaced as a whole and atomically. It tells its format, its length and its checksum, whose resources it holds
//! and which control planes they came from; whatever does not fit is not used. Resources from it are validated like any others.

use super::cache::{Absence, Entry, State};
use super::directory::Directory;
use super::disk_file::{Selection, claim, keep, load, sweep};
use super::disk_format::{self, Record, Room};
use super::kind::ResourceKind;
use crate::bootstrap::{DiskCache, Node};
use crate::clock::Instant;
use crate::net::Environment;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What changes within this time is written together.
pub const DISK_WRITE_DELAY: Duration = Duration::from_secs(1);
/// The bytes per second that a disk cache may write while changes go on: from one time that it is written to the next it takes
/// a second more for each time that it is as large. One of 64 MiB that changes all the time is written once in 65 seconds.
pub const DISK_WRITE_RATE: u64 = 1 << 20;

/// A disk cache in use.
#[derive(Debug)]
pub struct Disk {
    /// The last good resources, whether somebody uses them at present or not, by type URL and name.
    records: BTreeMap<(&'static str, String), Arc<Record>>,
    /// The bytes that they take up.
    bytes: u64,
    max_bytes: u64,
    origin: String,
    /// When they were written last.
    written: Option<Instant>,
    writes: watch::Sender<Selection>,
}

impl Disk {
    /// Reads the file, and keeps it up to date until the mesh ends. A file that cannot be used is ignored with a warning.
    #[must_use]
    pub fn open<K: ResourceKind>(
        config: DiskCache,
        directory: &Directory,
        node: &Node,
        environment: &Environment,
    ) -> Self {
        let origin = directory.fingerprint(node);
        let path = config.path.display().to_string();
        let records = match load(&config, &origin) {
            Ok(Some(content)) => {
                let (resources, written) = (content.records.len(), content.written);
                tracing::info!(path, resources, written, "disk cache read");
                content.records
            }
            Ok(None) => Vec::new(),
            Err(reason) => {
                tracing::warn!(path, reason, "the disk cache is ignored");
                Vec::new()
            }
        };
        sweep(&config.path, environment.clock.wall());
        let max_bytes = config.max_bytes;
        let (writes, latest) = watch::channel(Selection::default());
        // What is at the path is told already.
        let refused = claim(&config.path).is_err();
        let keep = keep(config, origin.clone(), latest, environment.clone(), refused);
        environment.tasks.spawn_to_finish(keep);
        let mut disk = Self { records: BTreeMap::new(), bytes: 0, max_bytes, origin, written: None, writes };
        for mut record in records {
            let Some(kind) = K::from_type_url(&record.type_url) else { continue };
            // A copy, because a slice would keep the whole file in memory.
            record.resource = Bytes::copy_from_slice(&record.resource);
            disk.insert(kind, record);
        }
        disk
    }

    fn insert<K: ResourceKind>(&mut self, kind: K, record: Record) {
        self.remove(kind, &record.name);
        self.bytes += disk_format::size(&record);
        self.records.insert((kind.type_url(), record.name.clone()), Arc::new(record));
    }

    fn remove<K: ResourceKind>(&mut self, kind: K, name: &str) -> bool {
        let removed = self.records.remove(&(kind.type_url(), name.to_owned()));
        self.bytes -= removed.as_deref().map_or(0, disk_format::size);
        removed.is_some()
    }

    /// When to write what has changed now.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let pause = Duration::from_secs(self.bytes.min(self.max_bytes) / DISK_WRITE_RATE);
        let soon = now + DISK_WRITE_DELAY;
        self.written.map_or(soon, |written| soon.max(written + DISK_WRITE_DELAY + pause))
    }

    pub(super) fn get<K: ResourceKind>(&self, kind: K, name: &str) -> Option<&Record> {
        self.records.get(&(kind.type_url(), name.to_owned())).map(|record| &**record)
    }

    /// Every resource of a kind, and its name.
    pub(super) fn all<K: ResourceKind>(&self, kind: K) -> impl Iterator<Item = (&str, &Record)> {
        let of_kind = self.records.iter().filter(move |((url, _), _)| *url == kind.type_url());
        of_kind.map(|((_, name), record)| (&**name, &**record))
    }

    /// A resource is gone; whether that is new.
    pub(super) fn forget<K: ResourceKind>(&mut self, kind: K, name: &str) -> bool {
        self.remove(kind, name)
    }

    /// Learns what has become of a resource; whether that is new. Another version of the same bytes is not.
    pub(super) fn hear<K: ResourceKind>(&mut self, kind: K, name: &str, entry: &Entry<K::Value>) -> bool {
        match &entry.state {
            State::Present(present) => {
                if self.get(kind, name).is_some_and(|before| before.resource == present.bytes) {
                    return false;
                }
                let record = Record {
                    type_url: kind.type_url().to_owned(),
                    name: name.to_owned(),
                    resource: present.bytes.clone(),
                };
                self.insert(kind, record);
                true
            }
            State::Absent(Absence::Deleted | Absence::NotFound | Absence::TimedOut | Absence::Expired) => {
                self.remove(kind, name)
            }
            // The process that starts next must not use what this one may not.
            _ if entry.forfeited => self.remove(kind, name),
            State::Absent(_) | State::Pending => false,
        }
    }

    /// Writes what is known. Where room is short, what is not in use makes way.
    pub(super) fn write<K: ResourceKind>(&mut self, now: Instant, in_use: impl Fn(K, &str) -> bool) {
        self.written = Some(now);
        let uses = |record: &Record| {
            K::from_type_url(&record.type_url).is_some_and(|kind| in_use(kind, &record.name))
        };
        let mut room = Room::new(self.max_bytes, &self.origin);
        let mut selection = Selection::default();
        for record in self.records.values().filter(|record| uses(record)) {
            match room.take(record) {
                true => selection.records.push(record.clone()),
                false => selection.left_out += 1,
            }
        }
        let bytes = &mut self.bytes;
        self.records.retain(|_, record| {
            if uses(record) {
                return true;
            }
            let fits = room.take(record);
            match fits {
                true => selection.records.push(record.clone()),
                false => *bytes -= disk_format::size(record),
            }
            fits
        });
        self.writes.send_replace(selection);
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
