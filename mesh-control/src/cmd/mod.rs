//! The commands of the program `mesh`: thin over the library.
//!
//! Exit codes: 0 all went well, 1 what was asked for did not succeed (a call failed, a configuration has errors),
//! 2 the command could not do its work.

mod call;
mod check;
mod dump;
mod serve;
mod values;

use clap::{Parser, Subcommand, ValueEnum};
use mesh_core::error::Chain;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What was asked for did not succeed.
const UNSUCCESSFUL: u8 = 1;
/// The command could not do its work.
const UNABLE: u8 = 2;

/// Why a command could not do its work.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(
    name = "mesh",
    version,
    about = "A service mesh inside your processes: control plane and tools",
    after_help = "RUST_LOG sets what is logged, for example RUST_LOG=debug or RUST_LOG=mesh_core=debug."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Call(call::Call),
    Dump(dump::Dump),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match cli.command {
        Command::Serve(_) => LevelFilter::INFO,
        _ => LevelFilter::ERROR,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return unable(&error),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(serve) => serve.run().await,
            Command::Check(check) => check.run(),
            Command::Call(call) => call.run().await,
            Command::Dump(dump) => dump.run().await,
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(UNSUCCESSFUL),
        Err(error) => unable(&*error),
    }
}

fn unable(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("mesh: {}", Chain(error));
    ExitCode::from(UNABLE)
}

/// Ends with SIGINT or SIGTERM. Listens from the moment it is called, not only once it is polled.
#[cfg(unix)]
fn interrupted() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        let listening = signal(kind);
        async move {
            match listening {
                Ok(mut signals) => drop(signals.recv().await),
                Err(_) => std::future::pending().await,
            }
        }
    };
    let (interrupt, terminate) = (listen(SignalKind::interrupt()), listen(SignalKind::terminate()));
    async move {
        tokio::select! {
            () = interrupt => {}
            () = terminate => {}
        }
    }
}

/// Ends with ctrl-c.
#[cfg(not(unix))]
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_signal_counts_from_the_moment_of_listening() {
        let own = std::process::id().to_string();
        for signal in ["-INT", "-TERM"] {
            let interrupted = interrupted();
            let sent = std::process::Command::new("kill").args([signal, &own]).status().unwrap();
            assert!(sent.success());
            // Nobody waited for it until now.
            let heard = tokio::time::timeout(std::time::Duration::from_secs(30), interrupted);
            assert!(heard.await.is_ok(), "{signal}");
        }
    }
}
