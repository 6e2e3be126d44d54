//! Plain HTTP: the status code says it all.

use super::{Class, Dialect, Outcome, Status, TimeLimits};
use crate::error::{Error, Kind};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// Plain HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Http;

impl Dialect for Http {
    const GRPC: bool = false;

    fn head(self, status: StatusCode, _: &HeaderMap, _: impl FnOnce() -> bool) -> Option<Outcome> {
        let class = if status.is_server_error() { Class::Failure } else { Class::Success };
        Some(Outcome { class, status: Status::Http(status.as_u16()) })
    }

    fn trailers(self, _: Option<&HeaderMap>) -> Outcome {
        Outcome { class: Class::Success, status: Status::Http(200) }
    }

    fn error(self, error: &Error) -> Outcome {
        let (class, status) = match error.kind() {
            Kind::Deadline | Kind::TryTimeout => (Class::Failure, 504),
            Kind::RequestBody => (Class::Ignored, 499),
            Kind::Protocol => (Class::Failure, 502),
            _ => (Class::Failure, 503),
        };
        Outcome { class, status: Status::Http(status) }
    }

    fn caller_timeout(self, _: &HeaderMap) -> Option<Duration> {
        None
    }

    fn timeout(self, limits: &TimeLimits, caller: Option<Duration>) -> Option<Duration> {
        limits.http(caller)
    }

    fn stamp(self, _: &mut HeaderMap, _: Option<Duration>, _: u32) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_errors_are_the_endpoints_fault() {
        let class = |status| {
            Http.head(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), || false).unwrap().class
        };
        assert_eq!(class(200), Class::Success);
        assert_eq!(class(404), Class::Success);
        assert_eq!(class(500), Class::Failure);
        assert_eq!(class(503), Class::Failure);
    }

    #[test]
    fn local_failures_look_like_a_gateways() {
        let status = |kind| Http.error(&Error::new(kind, "")).status;
        assert_eq!(status(Kind::Connect), Status::Http(503));
        assert_eq!(status(Kind::Deadline), Status::Http(504));
        assert_eq!(status(Kind::Protocol), Status::Http(502));
    }
}
