//! What the outside gets to see.

pub mod events;
pub mod metrics;
