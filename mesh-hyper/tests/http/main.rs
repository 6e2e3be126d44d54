//! The client against servers: over a virtual network, by what a control plane says, and over sockets.

mod calls;
mod common;
mod routes;
mod sockets;
