//! Pure algorithms: `now` and randomness are arguments; no async, no locks, no clock inside.

pub mod backoff;
pub mod ewma;
pub mod retry;
pub mod retry_budget;
