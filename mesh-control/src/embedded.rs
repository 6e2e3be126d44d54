//! A control plane inside the process, without a socket.

use crate::model::Problems;
use crate::serve::in_process;
use crate::source::{Files, Memory};
use crate::translate::Translation;
use mesh_core::xds::in_process::{ControlPlane, Protocol, ServerStream};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// A control plane inside the process, for single hosts, demonstrations and tests.
///
/// It speaks the same protocol as a remote one, so the same validation applies. Cheap to clone: give one clone to
/// [`Builder::control_plane`](mesh_core::mesh::Builder::control_plane) and keep another to change the configuration and
/// to see how it stands.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let control_plane = mesh_control::Embedded::open("config")?;
/// let mesh = mesh_core::Mesh::builder().control_plane(control_plane.clone()).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Embedded {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Files(Arc<Files>),
    Memory(Arc<Memory>),
}

impl Embedded {
    /// Serves the directory `dir` of Istio YAML and follows its changes. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Every error of the first reading. Later ones leave the last good state in force: see
    /// [`problems`](Self::problems).
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, Problems> {
        Self::open_with(dir, None)
    }

    /// The same with the MeshConfig in the file `mesh_config`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(dir: impl AsRef<Path>, mesh_config: Option<&Path>) -> Result<Self, Problems> {
        let files = Files::open(dir.as_ref(), mesh_config)?;
        Ok(Self { source: Source::Files(Arc::new(files)) })
    }

    /// Serves the Istio YAML in `text`, documents separated by `---`.
    ///
    /// # Errors
    ///
    /// Every error in it.
    pub fn from_yaml(text: &str) -> Result<Self, Problems> {
        Ok(Self { source: Source::Memory(Arc::new(Memory::new(text)?)) })
    }

    /// Replaces the whole configuration of a control plane that was made [`from_yaml`](Self::from_yaml).
    ///
    /// # Errors
    ///
    /// Every error in the text; the last good configuration stays in force. Also if this control plane follows a
    /// directory.
    pub fn replace(&self, text: &str) -> Result<(), Problems> {
        match &self.source {
            Source::Memory(memory) => memory.set(text),
            Source::Files(_) => {
                let why = "this control plane follows a directory: edit its files instead of replacing them";
                Err(Problems { errors: vec![why.into()], warnings: Vec::new() })
            }
        }
    }

    /// What was wrong with the configuration when it was last read; its errors kept it from taking effect.
    #[must_use]
    pub fn problems(&self) -> Problems {
        self.watch_problems().borrow().clone()
    }

    /// The problems and their successors.
    #[must_use]
    pub fn watch_problems(&self) -> watch::Receiver<Problems> {
        match &self.source {
            Source::Files(files) => files.problems(),
            Source::Memory(memory) => memory.problems(),
        }
    }

    /// The number of the configuration in force: 1 for the first.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.translations().borrow().version()
    }

    /// The translation in force and its successors.
    #[must_use]
    pub fn translations(&self) -> watch::Receiver<Arc<Translation>> {
        match &self.source {
            Source::Files(files) => files.translations(),
            Source::Memory(memory) => memory.translations(),
        }
    }
}

impl ControlPlane for Embedded {
    /// Delta: a change costs both ends what it changes.
    fn protocol(&self) -> Protocol {
        Protocol::Delta
    }

    fn serve(&self, stream: ServerStream) {
        let translations = self.translations();
        let this = self.clone();
        tokio::spawn(async move {
            in_process(stream, translations).await;
            // The source lives as long as somebody is served from it.
            drop(this);
        });
    }
}
