//! gRPC: the status is in the trailers, or in the head of a response without a body.

use super::{Class, Dialect, Outcome, Status, TimeLimits};
use crate::error::{Error, Kind};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::time::Duration;

/// The gRPC status codes.
#[expect(missing_docs, reason = "the names are the specification's")]
pub mod code {
    pub const OK: u8 = 0;
    pub const CANCELLED: u8 = 1;
    pub const UNKNOWN: u8 = 2;
    pub const DEADLINE_EXCEEDED: u8 = 4;
    pub const PERMISSION_DENIED: u8 = 7;
    pub const RESOURCE_EXHAUSTED: u8 = 8;
    pub const UNIMPLEMENTED: u8 = 12;
    pub const INTERNAL: u8 = 13;
    pub const UNAVAILABLE: u8 = 14;
    pub const DATA_LOSS: u8 = 15;
    pub const UNAUTHENTICATED: u8 = 16;
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const PREVIOUS_ATTEMPTS: HeaderName = HeaderName::from_static("grpc-previous-rpc-attempts");

/// gRPC over HTTP/2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpc;

impl Dialect for Grpc {
    const GRPC: bool = true;

    fn head(self, status: StatusCode, headers: &HeaderMap, ended: impl FnOnce() -> bool) -> Option<Outcome> {
        match status_of(headers) {
            // Without a body this is all that comes.
            Some(code) if status != StatusCode::OK || ended() => Some(outcome(parse_code(code))),
            None if status != StatusCode::OK => Some(outcome(code_of_http(status))),
            _ => None,
        }
    }

    fn trailers(self, trailers: Option<&HeaderMap>) -> Outcome {
        outcome(trailers.and_then(status_of).map_or(code::UNKNOWN, parse_code))
    }

    fn error(self, error: &Error) -> Outcome {
        let status = code_of_error(error.kind());
        match error.kind() {
            Kind::RequestBody => Outcome { class: Class::Ignored, status: Status::Grpc(status) },
            _ => Outcome { class: Class::Failure, status: Status::Grpc(status) },
        }
    }

    fn caller_timeout(self, headers: &HeaderMap) -> Option<Duration> {
        // Few calls have a limit, and few headers: looking at each beats computing a hash.
        let (_, value) = headers.iter().find(|(name, _)| **name == GRPC_TIMEOUT)?;
        parse_timeout(value)
    }

    fn timeout(self, limits: &TimeLimits, caller: Option<Duration>) -> Option<Duration> {
        limits.grpc(caller)
    }

    fn stamp(self, headers: &mut HeaderMap, remaining: Option<Duration>, previous_tries: u32) {
        if let Some(remaining) = remaining {
            headers.insert(GRPC_TIMEOUT, format_timeout(remaining));
        }
        if previous_tries > 0 {
            headers.insert(PREVIOUS_ATTEMPTS, HeaderValue::from(previous_tries));
        }
    }
}

impl Grpc {
    /// The status code that a caller of a failed call sees. Data-plane failures are `UNAVAILABLE`, whatever was
    /// missing, because gRPC reserves the other codes for the application.
    #[must_use]
    pub fn code(self, error: &Error) -> u8 {
        code_of_error(error.kind())
    }
}

fn code_of_error(kind: Kind) -> u8 {
    match kind {
        Kind::Deadline => code::DEADLINE_EXCEEDED,
        Kind::Cancelled | Kind::RequestBody => code::CANCELLED,
        Kind::Overloaded => code::RESOURCE_EXHAUSTED,
        Kind::Protocol => code::INTERNAL,
        _ => code::UNAVAILABLE,
    }
}

/// The failures are those that Envoy maps to an HTTP 5xx.
fn outcome(status: u8) -> Outcome {
    let class = match status {
        code::UNKNOWN
        | code::DEADLINE_EXCEEDED
        | code::UNIMPLEMENTED
        | code::INTERNAL
        | code::UNAVAILABLE
        | code::DATA_LOSS => Class::Failure,
        code::CANCELLED => Class::Ignored,
        _ => Class::Success,
    };
    Outcome { class, status: Status::Grpc(status) }
}

/// There are few headers and fewer trailers: looking at each beats computing a hash.
fn status_of(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.iter().find(|(name, _)| **name == GRPC_STATUS).map(|(_, value)| value)
}

fn parse_code(value: &HeaderValue) -> u8 {
    match value.as_bytes() {
        [digit @ b'0'..=b'9'] => digit - b'0',
        [b'1', digit @ b'0'..=b'6'] => 10 + digit - b'0',
        _ => code::UNKNOWN,
    }
}

/// The code that gRPC prescribes for an answer that is not gRPC.
fn code_of_http(status: StatusCode) -> u8 {
    match status.as_u16() {
        400 => code::INTERNAL,
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        404 => code::UNIMPLEMENTED,
        429 | 502 | 503 | 504 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    }
}

/// At most eight digits and a unit; anything else is ignored, as if the caller had set no limit.
fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let (unit, digits) = value.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The finest unit that fits eight digits, rounded down: never more than there is.
fn format_timeout(remaining: Duration) -> HeaderValue {
    const MAX: u128 = 99_999_999;
    let nanos = remaining.as_nanos();
    let units = [(1, 'n'), (1_000, 'u'), (1_000_000, 'm'), (1_000_000_000, 'S'), (60_000_000_000, 'M')];
    let (size, unit) =
        units.into_iter().find(|(size, _)| nanos / size <= MAX).unwrap_or((3_600_000_000_000, 'H'));
    let text = format!("{}{unit}", (nanos / size).min(MAX));
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn the_head_decides_only_without_a_body() {
        let status = |status, headers: &HeaderMap, ended| Some(Grpc.head(status, headers, || ended)?.status);
        let (ok, none) = (StatusCode::OK, HeaderMap::new());
        assert_eq!(status(ok, &none, false), None);
        assert_eq!(status(ok, &headers("grpc-status", "14"), true), Some(Status::Grpc(14)));
        assert_eq!(status(ok, &headers("grpc-status", "14"), false), None);
        assert_eq!(status(ok, &none, true), None, "that there are no trailers says it");
        assert_eq!(status(StatusCode::BAD_GATEWAY, &none, false), Some(Status::Grpc(code::UNAVAILABLE)));
        assert_eq!(status(StatusCode::NOT_FOUND, &none, true), Some(Status::Grpc(code::UNIMPLEMENTED)));
    }

    #[test]
    fn trailers_decide_the_rest() {
        assert_eq!(Grpc.trailers(Some(&headers("grpc-status", "0"))).class, Class::Success);
        assert_eq!(Grpc.trailers(Some(&headers("grpc-status", "5"))).class, Class::Success);
        assert_eq!(Grpc.trailers(Some(&headers("grpc-status", "13"))).class, Class::Failure);
        assert_eq!(Grpc.trailers(Some(&headers("grpc-status", "1"))).class, Class::Ignored);
        for odd in ["", "17", "99", "x", "-1", "014"] {
            assert_eq!(Grpc.trailers(Some(&headers("grpc-status", odd))).status, Status::Grpc(2), "{odd:?}");
        }
        assert_eq!(Grpc.trailers(None).status, Status::Grpc(code::UNKNOWN));
    }

    #[test]
    fn timeouts_are_read() {
        let read = |value| Grpc.caller_timeout(&headers("grpc-timeout", value));
        assert_eq!(read("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("40m"), Some(Duration::from_millis(40)));
        assert_eq!(read("50u"), Some(Duration::from_micros(50)));
        assert_eq!(read("60n"), Some(Duration::from_nanos(60)));
        for odd in ["", "S", "123456789S", "1s", "-1S", "1.5S", "1"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn timeouts_are_written_in_eight_digits() {
        let written = |duration| {
            let mut headers = HeaderMap::new();
            Grpc.stamp(&mut headers, Some(duration), 0);
            let text = headers[GRPC_TIMEOUT].to_str().unwrap().to_owned();
            assert!(text.len() <= 9, "{text}");
            assert!(Grpc.caller_timeout(&headers).unwrap() <= duration);
            text
        };
        assert_eq!(written(Duration::from_millis(50)), "50000000n");
        assert_eq!(written(Duration::from_millis(250)), "250000u");
        assert_eq!(written(Duration::from_secs(15)), "15000000u");
        assert_eq!(written(Duration::from_secs(3600)), "3600000m");
        assert_eq!(written(Duration::from_secs(1_000_000)), "1000000S");
        assert_eq!(written(Duration::from_secs(u64::MAX)), "99999999H");
    }

    #[test]
    fn retries_are_announced() {
        let mut headers = HeaderMap::new();
        Grpc.stamp(&mut headers, None, 0);
        assert!(headers.is_empty());
        Grpc.stamp(&mut headers, None, 2);
        assert_eq!(headers[PREVIOUS_ATTEMPTS], "2");
    }

    #[test]
    fn local_failures_have_the_codes_of_grpc() {
        let code = |kind| Grpc.code(&Error::new(kind, ""));
        assert_eq!(code(Kind::Missing), code::UNAVAILABLE);
        assert_eq!(code(Kind::Connect), code::UNAVAILABLE);
        assert_eq!(code(Kind::Reset), code::UNAVAILABLE);
        assert_eq!(code(Kind::Deadline), code::DEADLINE_EXCEEDED);
        assert_eq!(code(Kind::Cancelled), code::CANCELLED);
        assert_eq!(code(Kind::Protocol), code::INTERNAL);
    }
}
