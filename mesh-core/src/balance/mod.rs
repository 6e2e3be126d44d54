//! Choosing an endpoint.
//!
//! A [`Picker`] is immutable and shared: picking takes `&self`, an atomic load or two, and neither waits nor allocates.
//! Each policy is a file of its own.

mod members;
mod p2c;

pub use self::members::{Members, MembersBuilder, Registry};
pub use self::p2c::P2c;

use crate::endpoint::Endpoint;
use std::fmt::Debug;
use std::sync::Arc;

/// A policy by which an endpoint is chosen among those of one priority.
pub trait Picker: Debug + Send + Sync + 'static {
    /// An endpoint that is ready and not excluded; none if there is none.
    fn pick<'a>(&self, members: &'a Members, cx: &PickContext<'_>) -> Option<&'a Arc<Endpoint>>;
}

/// What a pick may depend on.
#[derive(Clone, Copy, Debug)]
pub struct PickContext<'a> {
    /// The present, in microseconds of the mesh's clock ([`Clock::micros`](crate::clock::Clock::micros)).
    pub now: u64,
    /// Fresh random bits.
    pub entropy: u64,
    /// Endpoints that are not wanted, by their labels, because they failed this request already.
    pub excluded: &'a [Arc<str>],
    /// The hash of the request, for policies that send equal requests to the same endpoint.
    pub hash: Option<u64>,
    /// What the endpoint must have in its metadata, by key, for policies that divide endpoints into subsets.
    pub metadata: &'a [(Arc<str>, Arc<str>)],
}

impl PickContext<'_> {
    /// Whether `endpoint` is not wanted.
    #[must_use]
    pub fn excludes(&self, endpoint: &Arc<Endpoint>) -> bool {
        // The label itself, not what it says, is the endpoint's own.
        self.excluded.iter().any(|excluded| Arc::ptr_eq(excluded, endpoint.label()))
    }
}
