//! Prints the table; see the library.

use mesh_peers::{client, server, table};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap_or(1);
    match arguments[..] {
        ["server"] => server::run(),
        ["client", kind, addresses, control_plane, in_flight, calls] => {
            let cost =
                client::run(kind, addresses, control_plane, number(in_flight), number(calls), client::time);
            println!("{} {}", cost.0, cost.1);
        }
        [] => table::run(5, 100_000),
        ["--exact"] => table::run(0, 0),
        ["--rounds", rounds, "--calls", calls] => table::run(number(rounds), number(calls)),
        _ => {
            eprintln!("usage: mesh-peers [--exact | --rounds N --calls N]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
