//! The xDS client: what the control plane says, kept up to date.
//!
//! [`session`] is the protocols as a pure state machine; [`link`] carries its messages over HTTP/2 or within the
//! process; [`client`] joins the two. No resource type is known here: see [`kind::ResourceKind`].
//!
//! Within the session a `Table` per kind holds what is known, whatever the protocol that tells it; `Sotw` and `Delta`
//! hold what was said and is to be said. Messages are read in place (`wire`), so a response costs little more than
//! what it changes.

mod alarms;
pub mod cache;
pub mod client;
mod delta;
pub mod features;
#[cfg(test)]
mod fixture;
mod grpc_stream;
pub mod in_process;
mod intake;
pub mod kind;
pub mod link;
mod nack;
pub mod session;
mod sotw;
mod subscription;
mod table;
mod wire;

pub use self::features::{CONFIGURATION_TIMEOUT, RESOURCE_TIMEOUT, UNLISTED_GRACE};
