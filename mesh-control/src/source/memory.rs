//! Configuration handed over by the program itself.

use super::State;
use crate::model::{MeshConfig, Problems};
use crate::translate::Translation;
use std::sync::Arc;
use tokio::sync::watch;

/// A source whose configuration the program sets.
#[derive(Debug)]
pub struct Memory {
    state: State,
}

impl Memory {
    /// A source with the documents in `yaml`.
    ///
    /// # Errors
    /// Every error in the documents.
    pub fn new(yaml: &str) -> Result<Self, Problems> {
        Self::with_mesh(yaml, MeshConfig::default())
    }

    /// A source with the documents in `yaml`, and settings of the mesh.
    ///
    /// # Errors
    /// Every error in the documents.
    pub fn with_mesh(yaml: &str, mesh: MeshConfig) -> Result<Self, Problems> {
        Ok(Self { state: State::open([("memory", yaml)], mesh, Problems::default())? })
    }

    /// Replaces the documents. With errors in them, the last good ones stay in force.
    ///
    /// # Errors
    /// Every error in the documents.
    pub fn set(&self, yaml: &str) -> Result<(), Problems> {
        self.state.replace([("memory", yaml)], None, Problems::default())
    }

    /// The current translation and its successors.
    #[must_use]
    pub fn translations(&self) -> watch::Receiver<Arc<Translation>> {
        self.state.translations.subscribe()
    }

    /// What was found in the documents given last.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Problems> {
        self.state.problems.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: echo}
spec: {hosts: [echo.example], resolution: STATIC, ports: [{number: 80, name: http}]}
";

    #[test]
    fn errors_keep_the_last_good_state_in_force() {
        let memory = Memory::new(ENTRY).unwrap();
        let mut translations = memory.translations();
        let first = translations.borrow_and_update().version();
        assert!(memory.set("nonsense").is_err());
        assert!(!translations.has_changed().unwrap());
        assert!(memory.problems().borrow().errors[0].starts_with("memory:1: "));
        memory.set("").unwrap();
        assert!(memory.problems().borrow().is_empty());
        assert!(translations.has_changed().unwrap() && translations.borrow_and_update().version() > first);
        assert!(Memory::new("a: [").is_err());
    }
}
