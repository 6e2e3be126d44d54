//! A directory of YAML files, read again whenever it changes.

use super::State;
use crate::model::{Config, MeshConfig, Problems};
use crate::translate::Translation;
use notify::{RecursiveMode, Watcher};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long the directory must be quiet before it is read: editors and `cp` write in several steps.
const SETTLE: Duration = Duration::from_millis(50);
/// The longest that a change waits while others keep coming.
const SETTLE_MAX: Duration = Duration::from_millis(500);
/// How often the directory is read again without being told of a change. Some file systems tell nothing.
const REREAD: Duration = Duration::from_secs(10);

/// A source that follows a directory. Dropping it ends the watching; the receivers keep the last translation.
#[derive(Debug)]
pub struct Files {
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// Where the configuration lies.
#[derive(Clone, Debug)]
struct Place {
    dir: PathBuf,
    mesh: Option<PathBuf>,
}

/// Everything that lies there, file names with texts, in the order of the names.
#[derive(Debug, Default, PartialEq, Eq)]
struct Texts {
    files: Vec<(String, String)>,
    mesh: Option<(String, String)>,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Files {
    /// Reads every `.yaml` and `.yml` file below `dir`, which may also be one file, and the MeshConfig in `mesh_config` if given, and follows both from then on.
    /// Must be called in a tokio runtime. The first translation already holds everything that lies there.
    ///
    /// # Errors
    /// Every error of the first reading. Later ones keep the last good state in force, and are logged and shown by [`Files::problems`].
    pub fn open(dir: &Path, mesh_config: Option<&Path>) -> Result<Self, Problems> {
        let place = Place { dir: dir.to_owned(), mesh: mesh_config.map(Path::to_owned) };
        let (changes, told) = mpsc::channel(1);
        // Watching begins before reading, so that no change falls between the two.
        let watcher = place.watch(changes);
        let texts = place.read();
        let (mesh, known) = texts.mesh();
        let state = State::open(texts.documents(), mesh.unwrap_or_default(), known)?;
        let state = Arc::new(state);
        let task = tokio::spawn(follow(place, Place::read, texts, state.clone(), told, watcher));
        Ok(Self { state, task })
    }

    /// Reads once what [`Files::open`] would follow: the objects, and what is wrong. With errors, the objects that have them are missing.
    #[must_use]
    pub fn read(dir: &Path, mesh_config: Option<&Path>) -> (Config, Problems) {
        let texts = Place { dir: dir.to_owned(), mesh: mesh_config.map(Path::to_owned) }.read();
        super::read(texts.documents(), texts.mesh().1)
    }

    /// The current translation and its successors.
    #[must_use]
    pub fn translations(&self) -> watch::Receiver<Arc<Translation>> {
        self.state.translations.subscribe()
    }

    /// What was found when the directory was read last.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Problems> {
        self.state.problems.subscribe()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads again after each change, until aborted.
async fn follow(
    place: Place,
    read: impl Fn(&Place) -> Texts + Clone + Send + 'static,
    mut seen: Texts,
    state: Arc<State>,
    mut told: mpsc::Receiver<()>,
    watcher: Option<notify::RecommendedWatcher>,
) {
    loop {
        let changed = tokio::time::timeout(REREAD, told.recv()).await;
        if matches!(changed, Ok(Some(()))) {
            let settled =
                async { while let Ok(Some(())) = tokio::time::timeout(SETTLE, told.recv()).await {} };
            let _ = tokio::time::timeout(SETTLE_MAX, settled).await;
        } else if changed.is_ok() {
            // Nobody watches; the clock has to do.
            tokio::time::sleep(REREAD).await;
        }
        let (there, read, next) = (place.clone(), read.clone(), state.clone());
        let step = tokio::task::spawn_blocking(move || {
            let texts = read(&there);
            if texts != seen {
                let (mesh, known) = texts.mesh();
                if next.replace(texts.documents(), mesh, known).is_err() {
                    tracing::warn!("{}: the last good configuration stays in force", there.dir.display());
                }
            }
            texts
        });
        match step.await {
            Ok(texts) => seen = texts,
            Err(error) if error.is_panic() => {
                let what = "reading it failed, and the last good configuration stays in force";
                state.fail(format!("{}: {what}: {error}", place.dir.display()));
                // Whatever lies there then is news.
                seen = Texts::default();
            }
            // The runtime is going down.
            Err(_) => return,
        }
        // Kept until the end of the task.
        let _ = &watcher;
    }
}

impl Place {
    /// Tells of changes for as long as the watcher lives. Failing to watch is not the end: the directory is then read now and then.
    fn watch(&self, changes: mpsc::Sender<()>) -> Option<notify::RecommendedWatcher> {
        let tell = move |event: notify::Result<notify::Event>| {
            if !matches!(event, Ok(event) if event.kind.is_access()) {
                // A full channel already holds the news.
                let _ = changes.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
            // Of a file the directory, because editors replace files.
            let files = [self.mesh.as_deref(), Some(&*self.dir).filter(|path| path.is_file())];
            if !self.dir.is_file() {
                watcher.watch(&self.dir, RecursiveMode::Recursive)?;
            }
            for parent in files.into_iter().flatten().filter_map(Path::parent) {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                watcher.watch(parent, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        watcher
            .inspect_err(|error| {
                tracing::warn!("{}: cannot be watched, and is read every 10 s: {error}", self.dir.display());
            })
            .ok()
    }

    fn read(&self) -> Texts {
        let mut texts = Texts::default();
        match self.dir.is_file() {
            true => texts.add_file(&self.dir),
            false => texts.add_dir(&self.dir, &mut HashSet::new()),
        }
        texts.files.sort();
        if texts.files.is_empty() && texts.errors.is_empty() {
            texts.warnings.push(format!("{}: there is no .yaml or .yml file", self.dir.display()));
        }
        match self.mesh.as_deref().map(|path| (path, read_text(path))) {
            Some((path, Ok(text))) => texts.mesh = Some((path.display().to_string(), text)),
            Some((_, Err((_, error)))) => texts.errors.push(error),
            None => {}
        }
        texts
    }
}

impl Texts {
    /// Adds what lies below a directory, hidden things left out: those of a mounted ConfigMap are the targets of its
    /// links. `seen` are the directories above and before this one, because links can make circles.
    fn add_dir(&mut self, dir: &Path, seen: &mut HashSet<PathBuf>) {
        let whole = match fs::canonicalize(dir) {
            Ok(whole) => whole,
            Err(error) => return self.errors.push(format!("{}: {error}", dir.display())),
        };
        if !seen.insert(whole) {
            return;
        }
        let mut entries: Vec<_> = match fs::read_dir(dir) {
            Ok(entries) => entries.flatten().collect(),
            Err(error) => return self.errors.push(format!("{}: {error}", dir.display())),
        };
        // So that of several links to one directory always the same counts.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.add_dir(&path, seen);
            } else if path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml") {
                self.add_file(&path);
            }
        }
    }

    fn add_file(&mut self, path: &Path) {
        match read_text(path) {
            Ok(text) => self.files.push((path.display().to_string(), text)),
            // Gone since it was listed: another reading follows.
            Err((io::ErrorKind::NotFound, _)) => {}
            Err((_, error)) => self.errors.push(error),
        }
    }

    fn documents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The settings of the mesh, and what is wrong so far.
    fn mesh(&self) -> (Option<MeshConfig>, Problems) {
        let mut known = Problems { errors: self.errors.clone(), warnings: self.warnings.clone() };
        let Some((name, text)) = &self.mesh else { return (None, known) };
        match MeshConfig::parse(name, text) {
            Ok((mesh, found)) => {
                known.warnings.extend(found.warnings);
                (Some(mesh), known)
            }
            Err(found) => {
                known.errors.extend(found.errors);
                known.warnings.extend(found.warnings);
                (None, known)
            }
        }
    }
}

/// The text of a file, or what is wrong with it.
fn read_text(path: &Path) -> Result<String, (io::ErrorKind, String)> {
    let wrong = |error: io::Error| (error.kind(), format!("{}: {error}", path.display()));
    // Reading from a pipe would wait for somebody to write.
    if !fs::metadata(path).map_err(wrong)?.is_file() {
        return Err((io::ErrorKind::InvalidInput, format!("{}: not a regular file", path.display())));
    }
    String::from_utf8(fs::read(path).map_err(wrong)?).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        (
            io::ErrorKind::InvalidData,
            format!("{}:{line}: not UTF-8; save the file in that encoding", path.display()),
        )
    })
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
