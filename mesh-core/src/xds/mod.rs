//! The xDS client: what the control plane says, kept up to date.
//!
//! [`session`] is the protocols as a pure state machine; [`link`] carries its messages over HTTP/2 or within the
//! process; an upstream joins the two. The upstreams of control planes that answer for the same names form a group, in which
//! one is in charge; [`client`] asks the group that a name leads to. No resource type is known here: see [`kind::ResourceKind`].
//!
//! Within the session a `Table` per kind holds what is known, whatever the protocol that tells it; `Sotw` and `Delta`
//! hold what was said and is to be said. Messages are read in place (`wire`), so a response costs little more than
//! what it changes.
//!
//! What was asked of clusters is [counted](load_counts) and [reported](load_report) to the server that sent them.

#[cfg(test)]
mod absence_tests;
mod alarms;
pub mod cache;
pub mod client;
mod delta;
pub mod directory;
pub mod disk;
pub mod disk_file;
pub mod disk_format;
mod fallback;
#[cfg(test)]
mod fault_tests;
pub mod features;
#[cfg(test)]
mod fixture;
mod group;
mod grpc_stream;
#[cfg(test)]
mod handover_tests;
pub mod in_process;
mod inbox;
mod intake;
mod keep;
pub mod kind;
pub mod link;
mod listing;
pub mod load_counts;
pub mod load_metrics;
pub mod load_report;
mod load_stream;
mod loads;
#[cfg(test)]
mod model;
mod nack;
pub mod name;
pub mod outages;
#[cfg(test)]
mod property_tests;
pub mod server_status;
pub mod session;
mod sotw;
mod subscription;
mod table;
mod upstream;
mod wire;
#[cfg(test)]
mod world;

pub use self::fallback::ANSWER_TIMEOUT;
pub use self::features::{
    CONFIGURATION_TIMEOUT, RESOURCE_TIMEOUT, TRANSIENT_CONFIGURATION_TIMEOUT, TRANSIENT_RESOURCE_TIMEOUT,
    UNLISTED_GRACE,
};
pub use self::listing::Listed;
