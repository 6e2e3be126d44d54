//! A client-side service mesh.

pub mod xds;
