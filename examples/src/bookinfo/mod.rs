//! Istio's Bookinfo in one process: its services with several replicas each on real sockets, Istio YAML in a directory, a
//! control plane, and a steady load through mesh clients, while the configuration and the endpoints change.
//!
//! A page asks the details and the reviews over HTTP, and the reviews ask the ratings over gRPC. Every call goes through
//! the mesh.

mod config;
mod control;
mod load;
mod ratings;
mod services;
mod table;
mod walk;

pub use self::control::program;

use mesh_core::error::BoxError;
use std::path::PathBuf;

/// What to run, and how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `mesh`, to be asked as a child process that serves, instead of a control plane in this process.
    pub serve: Option<PathBuf>,
    /// Pages in a second.
    pub rate: u32,
    /// Pages that are looked at in each step.
    pub pages: usize,
    /// Redraws a table instead of printing one row after the other.
    pub live: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { serve: None, rate: 300, pages: 1000, live: false }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Pages asked for.
    pub pages: usize,
    /// Pages that failed.
    pub failed: usize,
    /// What did not go as the YAML says.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// Whether everything went as the YAML says, and no page failed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed == 0 && self.wrong.is_empty()
    }
}

/// Walks through every step.
///
/// # Errors
///
/// If something cannot be started, or the control plane does not take a change on.
pub async fn run(options: Options) -> Result<Outcome, BoxError> {
    walk::walk(options).await
}
