//! `mesh serve`.

use super::{Failure, check, interrupted};
use crate::serve::server::{Access, Server};
use crate::source::Files;
use std::path::PathBuf;

/// Serve a directory of Istio YAML over xDS
///
/// Changes of the directory take effect at once. A change with errors does not: it is logged with file and line, and
/// the last good configuration stays in force. Speaks ADS, state of the world and delta; ends with ctrl-c or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: mesh serve --config ./config
Clients are pointed at it with a gRPC xDS bootstrap, which is printed at the start.")]
pub(super) struct Serve {
    /// The directory; every .yaml and .yml file below it is read
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// A file with the MeshConfig
    #[arg(long, value_name = "FILE")]
    mesh_config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:15010")]
    listen: String,
    /// Listen on an address that other machines reach, too: clients are not authenticated
    #[arg(long)]
    allow_remote: bool,
    /// Only read the directory and say what is wrong with it, as `mesh check` does
    #[arg(long)]
    check: bool,
}

impl Serve {
    pub(super) async fn run(self) -> Result<bool, Failure> {
        if self.check {
            return Ok(check::check(&self.config, self.mesh_config.as_deref()));
        }
        let files = match Files::open(&self.config, self.mesh_config.as_deref()) {
            Ok(files) => files,
            Err(problems) => {
                check::lines(&problems).for_each(|line| eprintln!("{line}"));
                let why = "has errors; there is no earlier configuration to go on with";
                return Err(format!("{} {why}", self.config.display()).into());
            }
        };
        let access = if self.allow_remote { Access::Anybody } else { Access::Local };
        let server = Server::bind(&self.listen, access).await?;
        let address = server.local_address();
        // Before anybody is told that it runs, so that whoever is can end it well.
        let interrupted = interrupted();
        println!("serving {}, listening on {address}", self.config.display());
        println!("{}='{}'", mesh_core::bootstrap::BOOTSTRAP_CONFIG_VARIABLE, bootstrap(&address.to_string()));
        let translations = files.translations();
        let mut changes = translations.clone();
        let log = async {
            while changes.changed().await.is_ok() {
                let version = changes.borrow_and_update().version();
                tracing::info!(version, "new configuration in force");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            result = server.run(translations, interrupted) => result?,
            () = log => {}
        }
        tracing::info!("closed");
        Ok(true)
    }
}

/// What a client needs to find the server.
fn bootstrap(address: &str) -> serde_json::Value {
    serde_json::json!({
        "xds_servers": [{
            "server_uri": address,
            "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"],
        }],
        "node": {
            "id": "sidecar~127.0.0.1~client.default~default.svc.cluster.local",
            "metadata": {"GENERATOR": "grpc", "NAMESPACE": "default"},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bootstrap_is_one() {
        let bootstrap = mesh_core::Bootstrap::from_json(&bootstrap("127.0.0.1:15010").to_string()).unwrap();
        assert_eq!(bootstrap.servers[0].uri, "127.0.0.1:15010");
    }
}
