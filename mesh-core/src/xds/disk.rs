//! The last good configuration in a file, so that a process can start while every control plane is away.
//!
//! The file is replaced as a whole and atomically. It tells its format, its length and its checksum, and which control
//! planes the resources came from; whatever does not fit is not used. Resources from it are validated like any others.

use super::cache::{Absence, Entry, State};
use super::directory::Directory;
use super::kind::ResourceKind;
use crate::bootstrap::DiskCache;
use crate::net::Environment;
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::watch;

/// What changes within this time is written together.
pub const DISK_WRITE_DELAY: Duration = Duration::from_secs(1);

/// How the file begins.
const MAGIC: [u8; 8] = *b"mesh-xds";
/// The version of the format.
const FORMAT: u32 = 2;
/// Magic, format, length of the content, checksum of the content.
const HEADER: usize = 8 + 4 + 8 + 8;

/// A resource as the file has it.
#[derive(Clone, PartialEq, Message)]
pub struct Record {
    /// The type URL.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The resource, as it came over the wire.
    #[prost(bytes = "bytes", tag = "3")]
    pub resource: Bytes,
}

/// What the file holds.
#[derive(Clone, PartialEq, Message)]
pub struct Content {
    /// Which control planes the resources came from.
    #[prost(string, tag = "1")]
    pub origin: String,
    /// When it was written, in seconds since 1970.
    #[prost(uint64, tag = "2")]
    pub written: u64,
    /// The resources.
    #[prost(message, repeated, tag = "3")]
    pub records: Vec<Record>,
}

/// The number of the field `records`.
const RECORDS: u32 = 3;

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusable {
    /// It is something else.
    Foreign,
    /// It has another format than this version of the mesh reads.
    Format(u32),
    /// It ends too early, or goes on for too long.
    Length,
    /// It was damaged.
    Checksum,
    /// Its content makes no sense.
    Garbled,
    /// Its resources came from other control planes.
    Origin(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not a disk cache"),
            Self::Format(format) => write!(f, "format {format}, only {FORMAT} is understood"),
            Self::Length => f.write_str("its length is not what it should be"),
            Self::Checksum => f.write_str("damaged: the checksum is wrong"),
            Self::Garbled => f.write_str("its content cannot be decoded"),
            Self::Origin(origin) => write!(f, "written for other control planes: {origin}"),
        }
    }
}

/// The room that a file has for records.
#[derive(Debug)]
pub struct Room {
    left: u64,
}

impl Room {
    /// That of a file which must not exceed `max_bytes`, with resources of `origin`.
    #[must_use]
    pub fn new(max_bytes: u64, origin: &str) -> Self {
        // Whenever it is written.
        let rest = Content { origin: origin.to_owned(), written: u64::MAX, records: Vec::new() };
        Self { left: max_bytes.saturating_sub((HEADER + rest.encoded_len()) as u64) }
    }

    /// Whether there is room for a record, which is taken then.
    pub fn take(&mut self, record: &Record) -> bool {
        let size = prost::encoding::message::encoded_len(RECORDS, record) as u64;
        let fits = size <= self.left;
        self.left -= if fits { size } else { 0 };
        fits
    }
}

/// Writes the content of a file.
#[must_use]
pub fn encode(content: &Content) -> Vec<u8> {
    let body = content.encode_to_vec();
    let mut file = Vec::with_capacity(HEADER + body.len());
    file.put_slice(&MAGIC);
    file.put_u32(FORMAT);
    file.put_u64(body.len() as u64);
    file.put_u64(checksum(&body));
    file.put_slice(&body);
    file
}

/// Reads the content of a file.
///
/// # Errors
///
/// Why it is not to be used.
pub fn decode(mut file: Bytes, origin: &str) -> Result<Content, Unusable> {
    if !file.starts_with(&MAGIC) {
        return Err(Unusable::Foreign);
    }
    if file.len() < HEADER {
        return Err(Unusable::Length);
    }
    file.advance(MAGIC.len());
    let format = file.get_u32();
    if format != FORMAT {
        return Err(Unusable::Format(format));
    }
    let (length, sum) = (file.get_u64(), file.get_u64());
    if length != file.len() as u64 {
        return Err(Unusable::Length);
    }
    if sum != checksum(&file) {
        return Err(Unusable::Checksum);
    }
    let content = Content::decode(file).map_err(|_| Unusable::Garbled)?;
    if content.origin != origin {
        return Err(Unusable::Origin(content.origin));
    }
    Ok(content)
}

/// FNV-1a: finds accidents, which is all that is asked of it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xCBF2_9CE4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// A disk cache in use.
#[derive(Debug)]
pub struct Disk {
    /// The last good resources, whether somebody uses them at present or not, by type URL and name.
    records: BTreeMap<(&'static str, String), Record>,
    max_bytes: u64,
    origin: String,
    writes: watch::Sender<Selection>,
}

/// What is to be written.
#[derive(Clone, Debug, Default)]
struct Selection {
    records: Vec<Record>,
    /// How many resources in use there is no room for.
    left_out: usize,
}

impl Disk {
    /// Reads the file, and keeps it up to date until the mesh ends. A file that cannot be used is ignored with a warning.
    #[must_use]
    pub fn open<K: ResourceKind>(
        config: DiskCache,
        directory: &Directory,
        environment: &Environment,
    ) -> Self {
        let origin = directory.fingerprint();
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
        let max_bytes = config.max_bytes;
        let (writes, latest) = watch::channel(Selection::default());
        environment.tasks.spawn(keep(config, origin.clone(), latest, environment.clone()));
        let mut disk = Self { records: BTreeMap::new(), max_bytes, origin, writes };
        for mut record in records {
            let Some(kind) = K::from_type_url(&record.type_url) else { continue };
            // A copy, because a slice would keep the whole file in memory.
            record.resource = Bytes::copy_from_slice(&record.resource);
            disk.records.insert((kind.type_url(), record.name.clone()), record);
        }
        disk
    }

    pub(super) fn get<K: ResourceKind>(&self, kind: K, name: &str) -> Option<&Record> {
        self.records.get(&(kind.type_url(), name.to_owned()))
    }

    /// Every resource of a kind, and its name.
    pub(super) fn all<K: ResourceKind>(&self, kind: K) -> impl Iterator<Item = (&str, &Record)> {
        let of_kind = self.records.iter().filter(move |((url, _), _)| *url == kind.type_url());
        of_kind.map(|((_, name), record)| (&**name, record))
    }

    /// A resource is gone; whether that is new.
    pub(super) fn forget<K: ResourceKind>(&mut self, kind: K, name: &str) -> bool {
        self.records.remove(&(kind.type_url(), name.to_owned())).is_some()
    }

    /// Learns what has become of a resource; whether that is new. Another version of the same bytes is not.
    pub(super) fn hear<K: ResourceKind>(&mut self, kind: K, name: &str, entry: &Entry<K::Value>) -> bool {
        let key = (kind.type_url(), name.to_owned());
        match &entry.state {
            State::Present(present) => {
                if self.records.get(&key).is_some_and(|before| before.resource == present.bytes) {
                    return false;
                }
                let record = Record {
                    type_url: kind.type_url().to_owned(),
                    name: name.to_owned(),
                    resource: present.bytes.clone(),
                };
                self.records.insert(key, record);
                true
            }
            State::Absent(Absence::Deleted | Absence::NotFound | Absence::TimedOut | Absence::Expired) => {
                self.records.remove(&key).is_some()
            }
            State::Absent(_) | State::Pending => false,
        }
    }

    /// Writes what is known. Where room is short, what is not in use makes way.
    pub(super) fn write<K: ResourceKind>(&mut self, in_use: impl Fn(K, &str) -> bool) {
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
        self.records.retain(|_, record| {
            if uses(record) {
                return true;
            }
            let fits = room.take(record);
            if fits {
                selection.records.push(record.clone());
            }
            fits
        });
        self.writes.send_replace(selection);
    }
}

/// Writes what it is sent, one file at a time.
async fn keep(
    config: DiskCache,
    origin: String,
    mut latest: watch::Receiver<Selection>,
    environment: Environment,
) {
    let (mut failed, mut full) = (false, false);
    while latest.changed().await.is_ok() {
        let Selection { records, left_out } = latest.borrow_and_update().clone();
        let written = environment.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let content = Content { origin: origin.clone(), written, records };
        let path = config.path.clone();
        let write = move || replace(&path, &encode(&content));
        let Ok(result) = tokio::task::spawn_blocking(write).await else { return };
        let (path, max_bytes) = (config.path.display(), config.max_bytes);
        if left_out > 0 && !full {
            tracing::warn!(%path, left_out, max_bytes, "the disk cache is full");
        }
        full = left_out > 0;
        if let Err(error) = &result
            && !failed
        {
            tracing::warn!(%path, %error, "the disk cache cannot be written");
        }
        failed = result.is_err();
    }
}

/// The file's content; none if there is no file.
fn load(config: &DiskCache, origin: &str) -> Result<Option<Content>, String> {
    let file = match File::open(&config.path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let mut bytes = Vec::new();
    // One byte more than allowed tells that it is too large, whatever its length is said to be.
    file.take(config.max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > config.max_bytes {
        return Err(format!("larger than {} bytes", config.max_bytes));
    }
    decode(bytes.into(), origin).map(Some).map_err(|unusable| unusable.to_string())
}

/// Replaces a file as a whole: whoever reads it sees the old content or the new one, also after a crash.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // Configuration may tell secrets.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let result = written.and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&temporary);
    }
    result
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
