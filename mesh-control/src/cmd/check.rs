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
    /// The directory; every .yaml and .yml file below it is read
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
    let problems = match Files::open(dir, mesh_config) {
        Ok(files) => files.problems().borrow().clone(),
        Err(problems) => problems,
    };
    lines(&problems).for_each(|line| println!("{line}"));
    let count = |list: &[String], what: &str| match list.len() {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    println!(
        "{}: {}, {}",
        dir.display(),
        count(&problems.errors, "error"),
        count(&problems.warnings, "warning")
    );
    problems.errors.is_empty()
}

/// One line for each problem, errors first.
pub(super) fn lines(problems: &Problems) -> impl Iterator<Item = String> {
    let errors = problems.errors.iter().map(|text| format!("error: {text}"));
    errors.chain(problems.warnings.iter().map(|text| format!("warning: {text}")))
}
