//! `mesh check`.

use super::Failure;
use crate::model::Problems;
use crate::source::Files;
use std::path::{Path, PathBuf};

/// Read a directory of Istio YAML and say what is wrong with it
///
/// Prints errors and warnings with file, line and field. Exits with 1 if there are errors: the directory would not
/// take effect.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: mesh check ./config")]
pub(super) struct Check {
    /// The directory, of which every .yaml and .yml file is read; or one file
    dir: PathBuf,
    /// A file with the MeshConfig
    #[arg(long, value_name = "FILE")]
    mesh_config: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> Result<bool, Failure> {
        Ok(check(&self.dir, self.mesh_config.as_deref()))
    }
}

/// Prints what is wrong. Whether the directory could be served.
pub(super) fn check(dir: &Path, mesh_config: Option<&Path>) -> bool {
    let (config, problems) = Files::read(dir, mesh_config);
    lines(&problems).for_each(|line| println!("{line}"));
    let count = |count: usize, what: &str| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    println!(
        "{}: {}, {}, {}",
        dir.display(),
        count(config.count(), "object"),
        count(problems.errors.len(), "error"),
        count(problems.warnings.len(), "warning")
    );
    problems.errors.is_empty()
}

/// One line for each problem, errors first.
pub(super) fn lines(problems: &Problems) -> impl Iterator<Item = String> {
    let errors = problems.errors.iter().map(|text| format!("error: {text}"));
    errors.chain(problems.warnings.iter().map(|text| format!("warning: {text}")))
}
