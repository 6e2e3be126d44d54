//! What requests and responses mean in gRPC and in plain HTTP.
//!
//! Layers, load statistics and breakers ask a [`Dialect`] instead of looking at headers themselves, so each of them
//! is written once for both.

mod grpc;
mod http;
pub mod orca;
mod time_limits;

pub use self::grpc::{Grpc, code};
pub use self::http::Http;
pub use self::time_limits::{DEFAULT_HTTP_ROUTE_TIMEOUT, TimeLimits};

use crate::error::Error;
use ::http::{HeaderMap, StatusCode};
use std::time::Duration;

/// How a response, or the lack of one, is to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the endpoint did well.
    pub class: Class,
    /// The status that the caller sees.
    pub status: Status,
}

impl Outcome {
    /// Whether the request succeeded, which says more than that the endpoint did well: in gRPC only `OK` is a success.
    #[must_use]
    pub fn is_success(self) -> bool {
        match self.status {
            Status::Http(status) => status < 500,
            Status::Grpc(status) => status == code::OK,
        }
    }
}

/// Whether an endpoint did well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It answered as it should, which includes refusing a bad request.
    Success,
    /// It failed.
    Failure,
    /// The outcome says nothing about the endpoint.
    Ignored,
}

/// The status of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// An HTTP status code.
    Http(u16),
    /// A gRPC status code: see [`code`].
    Grpc(u8),
}

/// A dialect of HTTP.
pub trait Dialect: Copy + Send + Sync + Unpin + std::fmt::Debug + 'static {
    /// Whether requests are gRPC, to which some rules of xDS apply that plain HTTP does not have.
    const GRPC: bool;

    /// The outcome as far as the response head tells it; `None` if the trailers will, or that there are none. `ended` says
    /// whether neither body nor trailers follow, and is asked only if that matters.
    fn head(self, status: StatusCode, headers: &HeaderMap, ended: impl FnOnce() -> bool) -> Option<Outcome>;

    /// The outcome at the end of a response whose head left it open.
    fn trailers(self, trailers: Option<&HeaderMap>) -> Outcome;

    /// What the caller of a failed request sees.
    fn error(self, error: &Error) -> Outcome;

    /// The time limit that the request itself carries.
    fn caller_timeout(self, headers: &HeaderMap) -> Option<Duration>;

    /// The time limit of a call, from the limits of its route and the caller's own; `None` for no limit.
    fn timeout(self, limits: &TimeLimits, caller: Option<Duration>) -> Option<Duration>;

    /// Tells the endpoint how much time is left and how many tries went before this one.
    fn stamp(self, headers: &mut HeaderMap, remaining: Option<Duration>, previous_tries: u32);
}
