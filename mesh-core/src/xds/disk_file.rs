//! The file of a disk cache: replaced as a whole, private, and never in place of something else.

use super::disk_format::{Content, MAGIC, Record, Unusable, decode, encode};
use crate::bootstrap::DiskCache;
use crate::net::Environment;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// A file that is written to take the place of the disk cache, `NAME.PROCESS.NUMBER.tmp` beside it, is removed by the next
/// process that opens the cache, if it is as old: whoever began it has crashed.
pub const STALE_TEMPORARY_FILE: Duration = Duration::from_secs(3600);
/// The names that are tried for such a file, should others have them already.
const TEMPORARY_NAMES: u32 = 64;

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub(super) records: Vec<Arc<Record>>,
    /// How many resources in use there is no room for.
    pub(super) left_out: usize,
}

/// Writes what it is sent, one file at a time, until nothing more can come. `refused`: whether it has been told of already
/// that there is something else at the path.
pub(super) async fn keep(
    config: DiskCache,
    origin: String,
    mut latest: watch::Receiver<Selection>,
    environment: Environment,
    refused: bool,
) {
    let (mut failed, mut full) = (refused, false);
    while latest.changed().await.is_ok() {
        let Selection { records, left_out } = latest.borrow_and_update().clone();
        let written = seconds(environment.clock.wall());
        let (path, origin) = (config.path.clone(), origin.clone());
        let write = move || {
            let records = records.iter().map(|record| &**record);
            replace(&path, &encode(&origin, written, records))
        };
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

fn seconds(date: SystemTime) -> u64 {
    date.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The file's content; none if there is nothing at its path.
pub(super) fn load(config: &DiskCache, origin: &str) -> Result<Option<Content>, String> {
    if !claim(&config.path).map_err(|error| error.to_string())? {
        return Ok(None);
    }
    let file = File::open(&config.path).map_err(|error| error.to_string())?;
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

/// Whether there is a disk cache at a path; there may be nothing, or an empty file.
///
/// # Errors
///
/// If there is something else, which somebody may still want.
pub(super) fn claim(path: &Path) -> io::Result<bool> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Err(io::Error::other("it is no ordinary file"));
    }
    let mut begin = Vec::new();
    File::open(path)?.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    match &*begin {
        [] => Ok(false),
        begin if *begin == MAGIC => Ok(true),
        _ => Err(io::Error::other(Unusable::Foreign.to_string())),
    }
}

/// Replaces a file as a whole: whoever reads it sees the old content or the new one, also after a crash.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    claim(path)?;
    let (temporary, mut file) = create_beside(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    drop(file);
    let result = written.and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&temporary);
        return result;
    }
    // That the name leads to the new content has to be written, too. Not every system and file system lets a folder be opened
    // for that; then it is written a little later.
    let _ = File::open(folder(path)).and_then(|folder| folder.sync_all());
    Ok(())
}

/// A new file beside another one, that no one else has and only the owner may read, because configuration may tell secrets.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut options = OpenOptions::new();
    // Whatever has the name already is not followed, and not written to.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    for number in 0..TEMPORARY_NAMES {
        let mut temporary = name.to_owned();
        temporary.push(format!(".{}.{number}.tmp", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match options.open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "every name for a temporary file is taken"))
}

/// Removes what processes that crashed have left beside a file.
pub(super) fn sweep(path: &Path, now: SystemTime) {
    let Some(name) = path.file_name() else { return };
    // A folder that cannot be read will be told of when the cache is written.
    let Ok(entries) = fs::read_dir(folder(path)) else { return };
    for entry in entries.flatten().filter(|entry| is_temporary(&entry.file_name(), name)) {
        let age = entry.metadata().ok().filter(fs::Metadata::is_file).and_then(|file| file.modified().ok());
        let age = age.and_then(|modified| now.duration_since(modified).ok());
        if age.is_some_and(|age| age >= STALE_TEMPORARY_FILE) {
            // Another process may be faster.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is one that [`create_beside`] gives.
fn is_temporary(name: &OsStr, of: &OsStr) -> bool {
    let numbers = |name: &str| {
        let (process, number) = name.strip_prefix('.')?.strip_suffix(".tmp")?.split_once('.')?;
        Some(process.parse::<u32>().is_ok() && number.parse::<u32>().is_ok())
    };
    let rest = name.as_encoded_bytes().strip_prefix(of.as_encoded_bytes());
    rest.and_then(|rest| std::str::from_utf8(rest).ok()).and_then(numbers).unwrap_or(false)
}

/// Where a file is.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn content(records: usize) -> Content {
        let record = |index| Record { name: format!("name-{index}"), ..Record::default() };
        Content { origin: "here".to_owned(), written: 7, records: (0..records).map(record).collect() }
    }

    fn file(records: usize) -> Vec<u8> {
        let content = content(records);
        encode("here", 7, &content.records)
    }

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let config = DiskCache::new(folder.path().join("cache"));
        assert_eq!(load(&config, "here"), Ok(None));
        for records in [3, 1] {
            replace(&config.path, &file(records)).unwrap();
            assert_eq!(load(&config, "here"), Ok(Some(content(records))));
        }
        assert_eq!(names(folder.path()), ["cache"], "nothing is left behind");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&config.path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let small = DiskCache { max_bytes: 40, ..config.clone() };
        assert_eq!(load(&small, "here"), Err("larger than 40 bytes".to_owned()));
        assert!(replace(&folder.path().join("missing/cache"), b"").is_err());
    }

    #[test]
    fn what_is_no_disk_cache_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        for other in [&b"{\"xds_servers\": []}"[..], b"mesh", b"mesh-xdt and so on"] {
            let config = DiskCache::new(folder.path().join("other"));
            fs::write(&config.path, other).unwrap();
            assert!(load(&config, "here").unwrap_err().contains("no disk cache"));
            assert!(replace(&config.path, &file(1)).unwrap_err().to_string().contains("no disk cache"));
            assert_eq!(fs::read(&config.path).unwrap(), other);
        }
        for odd in [folder.path(), Path::new("/dev/null")] {
            assert!(load(&DiskCache::new(odd), "here").is_err() && replace(odd, &file(1)).is_err());
        }
        let empty = DiskCache::new(folder.path().join("empty"));
        fs::write(&empty.path, b"").unwrap();
        assert_eq!(load(&empty, "here"), Ok(None), "nothing is lost with it");
        let damaged = DiskCache::new(folder.path().join("damaged"));
        fs::write(&damaged.path, b"mesh-xds and then something else").unwrap();
        assert!(load(&damaged, "here").is_err());
        for config in [empty, damaged] {
            replace(&config.path, &file(1)).unwrap();
            assert_eq!(load(&config, "here"), Ok(Some(content(1))));
        }
        assert_eq!(names(folder.path()), ["damaged", "empty", "other"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_has_the_name_of_a_temporary_file_is_neither_followed_nor_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, precious) = (folder.path().join("cache"), folder.path().join("precious"));
        fs::write(&precious, b"precious").unwrap();
        let name = |number: u32| folder.path().join(format!("cache.{}.{number}.tmp", std::process::id()));
        std::os::unix::fs::symlink(&precious, name(0)).unwrap();
        fs::write(name(1), b"of another mesh").unwrap();
        replace(&path, &file(2)).unwrap();
        assert_eq!(load(&DiskCache::new(&path), "here"), Ok(Some(content(2))));
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        assert_eq!(fs::read(name(1)).unwrap(), b"of another mesh");
    }

    #[test]
    fn what_crashed_processes_left_behind_is_removed_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let others = ["another.1.0.tmp", "cache", "cache.1.tmp.bak", "cache.a.0.tmp", "cache.tmp"];
        for name in others.into_iter().chain(["cache.1.0.tmp", "cache.4294967295.63.tmp"]) {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let path = folder.path().join("cache");
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        sweep(&path, written + STALE_TEMPORARY_FILE / 2);
        assert_eq!(names(folder.path()).len(), 7, "they may be in the making");
        sweep(&path, written + STALE_TEMPORARY_FILE * 2);
        assert_eq!(names(folder.path()), others);
    }
}
