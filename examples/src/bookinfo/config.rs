//! The directory of Istio YAML that the control plane follows: a copy of what is checked in, edited while all runs.

use super::services::Replica;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SERVICES: &str = include_str!("../../bookinfo/services.yaml");
const ROUTES: &str = include_str!("../../bookinfo/routes.yaml");
/// Everybody sees version 1.
pub(super) const ALL_V1: &str = include_str!("../../bookinfo/steps/all-v1.yaml");
/// One page in ten shows version 3.
pub(super) const CANARY: &str = include_str!("../../bookinfo/steps/canary.yaml");
/// Jason sees version 2.
pub(super) const JASON: &str = include_str!("../../bookinfo/steps/jason.yaml");

/// The file that the steps replace and edit.
pub(super) const REVIEWS: &str = "reviews.yaml";

/// The directory. It is removed when dropped.
#[derive(Debug)]
pub(super) struct Config {
    dir: TempDir,
}

impl Config {
    /// A directory where every replica is at the port that it has got, and everybody sees version 1.
    pub(super) fn create(replicas: &[Replica]) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("bookinfo-").tempdir()?;
        let services = replicas.iter().fold(SERVICES.to_owned(), |text, replica| {
            text.replace(&format!(": {}\n", replica.port), &format!(": {}\n", replica.address.port()))
        });
        let config = Self { dir };
        config.write("services.yaml", &services)?;
        config.write("routes.yaml", ROUTES)?;
        config.write(REVIEWS, ALL_V1)?;
        Ok(config)
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Replaces the routes of the reviews.
    pub(super) fn set_reviews(&self, text: &str) -> io::Result<()> {
        self.write(REVIEWS, text)
    }

    /// Edits the routes of the reviews where they lie.
    pub(super) fn edit_reviews(&self, edit: impl FnOnce(String) -> String) -> io::Result<()> {
        let before = std::fs::read_to_string(self.file(REVIEWS))?;
        self.write(REVIEWS, &edit(before))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Puts a file in its place in one step, as editors do, so that nobody reads half of it.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let draft = self.file(&format!(".{name}.draft"));
        std::fs::write(&draft, text)?;
        std::fs::rename(draft, self.file(name))
    }
}
