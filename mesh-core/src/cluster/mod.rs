//! A cluster: what lasts of it, and what it looks like in one snapshot.

mod account;
pub mod dns;
pub mod expand;
mod ledger;
mod live;
mod view;

pub use self::account::Account;
pub use self::live::{LiveCluster, Settings};
pub use self::view::{Cluster, ClusterState, ClusterView, Pick};
