//! The xDS client: what the control plane says, kept up to date.
//!
//! [`session`] is the protocol as a pure state machine; [`link`] carries its messages over HTTP/2 or within the
//! process; [`client`] joins the two. No resource type is known here: see [`kind::ResourceKind`].

pub mod cache;
pub mod client;
mod grpc_stream;
pub mod in_process;
pub mod kind;
pub mod link;
pub mod session;
mod subscription;

pub use self::subscription::{CONFIGURATION_TIMEOUT, RESOURCE_TIMEOUT, UNLISTED_GRACE};
