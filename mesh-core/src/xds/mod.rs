//! The xDS client.

pub mod in_process;
