//! What everything that does I/O on behalf of one mesh shares.

use super::Dialer;
use crate::clock::Clock;
use crate::tasks::Tasks;
use crate::telemetry::events::Events;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Connections to endpoints that are made at the same time.
pub const MAX_CONCURRENT_CONNECTS: usize = 64;

/// What everything that does I/O on behalf of one mesh shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Makes connections.
    pub dialer: Dialer,
    /// Runs tasks.
    pub tasks: Tasks,
    /// Tells the time and draws random numbers.
    pub clock: Clock,
    /// Tells the outside what happens.
    pub events: Events,
    /// Limits the connections that are made at the same time.
    pub connects: Arc<Semaphore>,
}

impl Environment {
    /// An environment of its own.
    #[must_use]
    pub fn new(dialer: Dialer, clock: Clock) -> Self {
        Self {
            dialer,
            tasks: Tasks::default(),
            clock,
            events: Events::default(),
            connects: Arc::new(Semaphore::new(MAX_CONCURRENT_CONNECTS)),
        }
    }
}
