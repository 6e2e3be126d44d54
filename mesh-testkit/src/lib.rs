//! Virtual networks, scripted control planes and misbehaving backends for tests.
//!
//! With [`net::VirtualNet`] everything runs in memory, so that tests of minutes take no time under tokio's paused clock.

pub mod ads;
mod ads_delta;
pub mod backend;
mod bridge;
pub mod ca;
pub mod echo;
pub mod load;
pub mod log;
pub mod net;
pub mod resources;
pub mod world;
