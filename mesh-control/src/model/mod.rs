//! Istio's kinds as checked, typed objects.
//!
//! Text becomes trees that know their lines (`yaml`), trees become typed values (`decode`), and values are checked as
//! istiod checks them (`check`). Every field of a kind is known, so that a misspelt one is an error; a field that nothing
//! acts on yet has the type [`values::Unused`] and is warned of.

mod base64;
mod check;
mod decode;
pub mod destination_rule;
pub mod http_route;
mod kinds;
mod load;
mod mesh_config;
mod meta;
pub mod parts;
mod report;
mod scalar;
pub mod service_entry;
mod timestamp;
pub mod traffic_policy;
pub mod values;
pub mod virtual_service;
pub mod workload_entry;
mod yaml;

pub use self::base64::Base64;
pub use self::load::Config;
pub use self::mesh_config::MeshConfig;
pub use self::meta::{Meta, Object};
pub use self::report::Problems;
pub use self::timestamp::Timestamp;
