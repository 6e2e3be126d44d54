//! Wire types of the mesh in one place, and no logic.
//!
//! Envoy's messages come from the `envoy-types` crate. What it lacks is declared here by hand with prost's derive,
//! so that no protobuf compiler is needed to build: ORCA load reports, `TypedStruct`, Istio's certificate service,
//! and the ADS envelopes with shared [`bytes::Bytes`] payloads.
//!
//! Proto types stay out of the public interface of the other crates, so that this choice can change.

pub use envoy_types::pb::{envoy, google};
pub use envoy_types::util::pack_any;

pub mod ads;
pub mod istio;
pub mod orca;
pub mod typed_struct;
