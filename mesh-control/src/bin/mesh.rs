//! The program `mesh`: see [`mesh_control::cmd`].

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_control::cmd::main()
}
