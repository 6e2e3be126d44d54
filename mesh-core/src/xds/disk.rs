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
use crate::clock::{Clock, Instant};
use crate::net::Environment;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
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
    clock: Clock,
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
        let clock = environment.clock.clone();
        let mut disk =
            Self { records: BTreeMap::new(), bytes: 0, max_bytes, origin, written: None, clock, writes };
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

    /// A resource whose time to live has not ended.
    pub(super) fn get<K: ResourceKind>(&self, kind: K, name: &str) -> Option<&Record> {
        let record = self.record(kind, name)?;
        (!is_over(record, self.today())).then_some(record)
    }

    /// Every resource of a kind whose time to live has not ended, and its name.
    pub(super) fn all<K: ResourceKind>(&self, kind: K) -> impl Iterator<Item = (&str, &Record)> {
        let today = self.today();
        let of_kind = self.records.iter().filter(move |((url, _), _)| *url == kind.type_url());
        let there = of_kind.filter(move |(_, record)| !is_over(record, today));
        there.map(|((_, name), record)| (&**name, &**record))
    }

    fn record<K: ResourceKind>(&self, kind: K, name: &str) -> Option<&Record> {
        self.records.get(&(kind.type_url(), name.to_owned())).map(|record| &**record)
    }

    /// When the time to live of a resource ends, if it does.
    pub(super) fn expires(&self, record: &Record) -> Option<Instant> {
        let left = Duration::from_millis(record.expires.saturating_sub(self.today()));
        if record.expires == 0 { None } else { self.clock.now().checked_add(left) }
    }

    /// The same of what is in force, as a record has it.
    fn date<V>(&self, entry: &Entry<V>) -> u64 {
        let Some(expires) = entry.expires else { return 0 };
        let left = expires.saturating_duration_since(self.clock.now());
        self.clock.wall().checked_add(left).map_or(0, millis)
    }

    /// The present, as records have it.
    fn today(&self) -> u64 {
        millis(self.clock.wall())
    }

    /// Whether the time to live of any resource may have been renewed since it was written: that alone is no reason to
    /// write it again while the process runs.
    pub(super) fn any_expires(&self) -> bool {
        self.records.values().any(|record| record.expires != 0)
    }

    /// A resource is gone; whether that is new.
    pub(super) fn forget<K: ResourceKind>(&mut self, kind: K, name: &str) -> bool {
        self.remove(kind, name)
    }

    /// Learns what has become of a resource; whether that is new. Another version of the same bytes is not.
    pub(super) fn hear<K: ResourceKind>(&mut self, kind: K, name: &str, entry: &Entry<K::Value>) -> bool {
        match &entry.state {
            State::Present(present) => {
                let same = |before: &Record| {
                    before.resource == present.bytes && (before.expires == 0) == entry.expires.is_none()
                };
                if self.record(kind, name).is_some_and(same) {
                    return false;
                }
                let record = Record {
                    type_url: kind.type_url().to_owned(),
                    name: name.to_owned(),
                    resource: present.bytes.clone(),
                    expires: self.date(entry),
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

    /// Writes what is known. Where room is short, what is not in use makes way: what is has an entry.
    pub(super) fn write<'a, K: ResourceKind>(
        &mut self,
        now: Instant,
        entry: impl Fn(K, &str) -> Option<&'a Entry<K::Value>>,
    ) {
        self.written = Some(now);
        self.renew(&entry);
        let today = self.today();
        let uses = |record: &Record| {
            K::from_type_url(&record.type_url).is_some_and(|kind| entry(kind, &record.name).is_some())
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
            let fits = !is_over(record, today) && room.take(record);
            match fits {
                true => selection.records.push(record.clone()),
                false => *bytes -= disk_format::size(record),
            }
            fits
        });
        self.writes.send_replace(selection);
    }

    /// Learns until when what is in force lives now.
    fn renew<'a, K: ResourceKind>(&mut self, entry: impl Fn(K, &str) -> Option<&'a Entry<K::Value>>) {
        let mut renewed = Vec::new();
        for record in self.records.values() {
            let Some(kind) = K::from_type_url(&record.type_url) else { continue };
            let Some(entry) = entry(kind, &record.name).filter(|entry| entry.present().is_some()) else {
                continue;
            };
            if entry.expires.is_some() || record.expires != 0 {
                renewed.push((kind, Record { expires: self.date(entry), ..Record::clone(record) }));
            }
        }
        renewed.into_iter().for_each(|(kind, record)| self.insert(kind, record));
    }
}

/// Whether the time to live of a record ended by `today`.
fn is_over(record: &Record, today: u64) -> bool {
    record.expires != 0 && record.expires <= today
}

/// Milliseconds since 1970.
fn millis(date: SystemTime) -> u64 {
    let since = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
