//! A control plane that speaks xDS from Istio YAML, embedded or as a server.
//!
//! Configuration flows one way: a [`source`] reads documents, [`model`] checks them and makes them typed objects,
//! `index` orders them by who sees what, [`translate`] answers with xDS resources for one client at a time, and
//! [`serve`] brings them to the clients: [`Embedded`] in the same process, the server over ADS.
//!
//! Features: `server` is the ADS server, `cli` the program `mesh`; without both this is a light library.

#[cfg(feature = "cli")]
pub mod cmd;
pub mod embedded;
mod index;
pub mod model;
#[cfg(feature = "server")]
pub mod raw;
pub mod serve;
pub mod source;
pub mod translate;

pub use self::embedded::Embedded;
