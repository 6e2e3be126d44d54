//! The control plane: embedded in this process, or `mesh serve` as a child that is spoken to over xDS.

use mesh_control::Embedded;
use mesh_core::bootstrap::BOOTSTRAP_CONFIG_VARIABLE;
use mesh_core::error::BoxError;
use mesh_core::{Bootstrap, Mesh};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// What is wrong with the configuration in the directory, as the control plane says; empty if nothing is.
type Complaint = watch::Receiver<String>;

/// The control plane.
#[derive(Debug)]
pub(super) struct Control {
    complaint: Complaint,
    /// Ends with this.
    _server: Option<Child>,
}

impl Control {
    /// The translator in this process, and a mesh that asks it.
    pub(super) fn embedded(config: &Path) -> Result<(Self, Mesh), BoxError> {
        let embedded = Embedded::open(config)?;
        let mesh = Mesh::builder().control_plane(embedded.clone()).build()?;
        let (sender, complaint) = watch::channel(String::new());
        let mut problems = embedded.watch_problems();
        tokio::spawn(async move {
            while problems.changed().await.is_ok() {
                let errors = problems.borrow_and_update().errors.join("; ");
                if sender.send(errors).is_err() {
                    break;
                }
            }
        });
        Ok((Self { complaint, _server: None }, mesh))
    }

    /// A server process, and a mesh that asks it over xDS.
    pub(super) async fn served(program: &Path, config: &Path) -> Result<(Self, Mesh), BoxError> {
        let mut server = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let (Some(stdout), Some(stderr)) = (server.stdout.take(), server.stderr.take()) else {
            return Err("the output of mesh serve cannot be read".into());
        };
        let (sender, complaint) = watch::channel(String::new());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // It names the file in what it complains about, and in nothing else.
                if line.contains(super::config::REVIEWS) && sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut lines = BufReader::new(stdout).lines();
        let bootstrap = loop {
            let Some(line) = lines.next_line().await? else {
                return Err(format!("{} serve ended at once", program.display()).into());
            };
            if let Some(json) = line.strip_prefix(BOOTSTRAP_CONFIG_VARIABLE) {
                break Bootstrap::from_json(json.trim_start_matches('=').trim_matches('\''))?;
            }
        };
        let mesh = Mesh::from_bootstrap(bootstrap)?;
        Ok((Self { complaint, _server: Some(server) }, mesh))
    }

    /// What the control plane complains about, and what it will.
    pub(super) fn complaint(&self) -> Complaint {
        self.complaint.clone()
    }
}

/// The program `mesh`: next to this one, and built first where cargo is there to do it. Tests are in a folder below, and
/// those of the workspace have it built beforehand.
///
/// # Errors
///
/// If it is neither there nor can be built.
pub async fn program() -> Result<PathBuf, BoxError> {
    let this = std::env::current_exe()?;
    let folder = this.parent().ok_or("this program has no folder")?;
    let tested = folder.ends_with("deps");
    let folder = if tested { folder.with_file_name("") } else { folder.to_owned() };
    let program = folder.join(format!("mesh{}", std::env::consts::EXE_SUFFIX));
    if tested && program.exists() {
        return Ok(program);
    }
    // Cargo knows whether the one that is there is of these sources. Run for the whole workspace, as the command of the
    // README is, it finds everything but the program itself built already.
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--bin", "mesh"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    // Cargo says to whom it runs where the manifest is; build scripts that look at it would run again.
    cargo.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    println!("building mesh …");
    match cargo.status().await {
        Ok(status) if status.success() && program.exists() => Ok(program),
        _ if program.exists() => Ok(program),
        Ok(status) => {
            Err(format!("{} is not there, and building it ended with {status}", program.display()).into())
        }
        Err(error) => {
            Err(format!("{} is not there, and cargo cannot run: {error}", program.display()).into())
        }
    }
}
