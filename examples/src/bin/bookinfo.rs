//! Istio's Bookinfo in one process, walked through a canary, a route by header, lost endpoints and edits of its YAML.

use clap::Parser;
use mesh_core::error::BoxError;
use mesh_examples::bookinfo::{self, Options, Outcome};
use std::io::IsTerminal;
use std::process::ExitCode;

/// Istio's Bookinfo in one process: watch the mesh follow its YAML while endpoints die, without a failed request
///
/// Exits with 1 if a step did not do what the YAML says, or a request failed.
#[derive(Debug, Parser)]
struct Args {
    /// Ask `mesh serve`, run as a child process, over xDS instead of a control plane in this process
    #[arg(long)]
    serve: bool,
}

async fn run(serve: bool) -> Result<Outcome, BoxError> {
    let serve = if serve { Some(bookinfo::program().await?) } else { None };
    bookinfo::run(Options { serve, live: std::io::stdout().is_terminal(), ..Options::default() }).await
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match run(args.serve).await {
        Ok(outcome) => {
            println!();
            outcome.wrong.iter().for_each(|what| println!("WRONG: {what}"));
            let verdict = if outcome.is_good() { "as the YAML says" } else { "NOT as the YAML says" };
            println!("{} pages, {} failed: {verdict}", outcome.pages, outcome.failed);
            if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("bookinfo: {error}");
            ExitCode::FAILURE
        }
    }
}
