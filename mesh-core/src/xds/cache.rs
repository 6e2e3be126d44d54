//! What is known of one subscribed resource.

use crate::clock::Instant;
use bytes::Bytes;
use std::sync::Arc;

/// What is known of one subscribed resource.
#[derive(Debug)]
pub struct Entry<V> {
    /// The resource, or why there is none.
    pub state: State<V>,
    /// Why the newest version was refused; the version before it stays in force.
    pub rejection: Option<Rejection>,
    /// The request on the present stream that named this resource first; the first request is 1.
    pub(super) asked_in: Option<u64>,
    /// When to conclude that the resource does not exist.
    pub(super) deadline: Option<Instant>,
}

/// The state of one subscribed resource.
#[derive(Debug)]
pub enum State<V> {
    /// Asked for, or about to be.
    Pending,
    /// Received and valid.
    Present(Present<V>),
    /// Not there.
    Absent(Absence),
}

/// A resource that was received and is valid.
#[derive(Debug)]
pub struct Present<V> {
    /// The resource.
    pub value: V,
    /// As it came over the wire.
    pub bytes: Bytes,
    /// The version of the response that brought it.
    pub version: Arc<str>,
}

/// Why a resource is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The control plane answered without it. It may still come: [`TimedOut`](Self::TimedOut) is the final word.
    Unlisted,
    /// The control plane did not send it within the time for that.
    TimedOut,
    /// The control plane took it away.
    Deleted,
}

/// A refused version of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The version of the response that brought it.
    pub version: Arc<str>,
    /// Why it was refused: `field path: reason`.
    pub reason: String,
}

impl<V> Entry<V> {
    pub(super) fn new() -> Self {
        Self { state: State::Pending, rejection: None, asked_in: None, deadline: None }
    }

    /// Whether `bytes` may change anything.
    pub(super) fn differs(&self, bytes: &Bytes) -> bool {
        self.rejection.is_some() || !matches!(&self.state, State::Present(present) if present.bytes == bytes)
    }

    /// The resource, if there is a valid one.
    #[must_use]
    pub fn value(&self) -> Option<&V> {
        match &self.state {
            State::Present(present) => Some(&present.value),
            _ => None,
        }
    }
}
