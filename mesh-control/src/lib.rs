//! A control plane that speaks xDS from Istio YAML, embedded or as a server.
//!
//! Configuration flows one way: a [`source`] reads documents, [`model`] checks them and makes them typed objects,
//! `index` orders them by who sees what, and [`translate`] answers with xDS resources for one client at a time.

pub mod model;
pub mod source;
pub mod translate;
