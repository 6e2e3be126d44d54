//! Where configuration comes from.

mod files;
mod memory;

pub use self::files::Files;
pub use self::memory::Memory;

use crate::model::{Config, MeshConfig, Problems};
use crate::translate::Translation;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What every source has: the translation in force, and what is wrong with the configuration read last.
#[derive(Debug)]
struct State {
    mesh: Mutex<MeshConfig>,
    translations: watch::Sender<Arc<Translation>>,
    problems: watch::Sender<Problems>,
}

impl State {
    /// The first state. `known` are problems that were found before the documents were read.
    fn open<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
        mesh: MeshConfig,
        known: Problems,
    ) -> Result<Self, Problems> {
        let (config, problems) = read(files, known);
        if !problems.errors.is_empty() {
            return Err(problems);
        }
        report(&problems);
        let first = Translation::new(&config, &mesh);
        Ok(Self {
            mesh: Mutex::new(mesh),
            translations: watch::Sender::new(Arc::new(first)),
            problems: watch::Sender::new(problems),
        })
    }

    /// The next state, unless there are errors: then the one in force stays.
    fn replace<'a>(
        &self,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
        mesh: Option<MeshConfig>,
        known: Problems,
    ) -> Result<(), Problems> {
        let (config, problems) = read(files, known);
        // Replacements follow each other, so that versions only grow.
        let mut current = self.mesh.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.problems.borrow() != problems {
            report(&problems);
            self.problems.send_replace(problems.clone());
        }
        if !problems.errors.is_empty() {
            return Err(problems);
        }
        if let Some(mesh) = mesh {
            *current = mesh;
        }
        let next = self.translations.borrow().next(&config, &current);
        self.translations.send_replace(Arc::new(next));
        Ok(())
    }

    /// Notes that the configuration could not even be judged.
    fn fail(&self, error: String) {
        let problems = Problems::error(error);
        report(&problems);
        self.problems.send_replace(problems);
    }
}

fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>, known: Problems) -> (Config, Problems) {
    let (config, mut problems) = Config::parse(files);
    problems.errors.splice(0..0, known.errors);
    problems.warnings.splice(0..0, known.warnings);
    (config, problems)
}

fn report(problems: &Problems) {
    for error in &problems.errors {
        tracing::error!("{error}");
    }
    for warning in &problems.warnings {
        tracing::warn!("{warning}");
    }
}
