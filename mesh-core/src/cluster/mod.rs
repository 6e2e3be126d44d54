//! A cluster: what lasts of it, and what it looks like in one snapshot.

pub mod dns;
mod live;
mod view;

pub use self::live::{LiveCluster, Settings};
pub use self::view::{Cluster, ClusterState, ClusterView, Pick};
