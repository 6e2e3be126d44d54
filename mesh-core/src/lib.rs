//! A client-side service mesh.

pub mod balance;
pub mod body;
pub mod bootstrap;
pub mod clock;
pub mod cluster;
pub mod cluster_config;
pub mod dialect;
pub mod dump;
pub mod endpoint;
pub mod error;
pub mod layer;
pub mod mesh;
pub mod net;
pub mod overrides;
pub mod policy;
pub mod resource;
pub mod route;
pub mod slots;
pub mod snapshot;
pub mod stack;
pub mod tasks;
pub mod telemetry;
mod wire;
pub mod xds;

pub use self::bootstrap::Bootstrap;
pub use self::cluster_config::ClusterConfig;
pub use self::error::{Error, Kind, RetrySafety};
pub use self::mesh::Mesh;
