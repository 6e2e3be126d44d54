//! Which failures are worth another try.

use super::backoff::RetryBackoff;
use crate::dialect::{Status, code};
use crate::error::Kind;
use http::HeaderMap;
use std::time::Duration;

/// Retries after the first try where a policy does not say (Envoy `RetryPolicy.num_retries`).
pub const DEFAULT_NUM_RETRIES: u32 = 1;
/// Tries that a gRPC call may have in all, whatever the policy says (gRFC A6).
pub const MAX_GRPC_TRIES: u32 = 5;

/// How Envoy marks what it answered itself because there were too many requests.
const RATE_LIMITED: &str = "x-envoy-ratelimited";

/// When and how often to try again (Envoy `RetryPolicy`).
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The failures that are worth another try.
    pub retry_on: RetryOn,
    /// Response codes that are, too, under [`RetryOn::RETRIABLE_STATUS_CODES`].
    pub retriable_status_codes: Vec<u16>,
    /// Tries after the first.
    pub num_retries: u32,
    /// The time for one try, connecting included; none is the time for the whole call.
    pub per_try_timeout: Option<Duration>,
    /// The wait before a retry.
    pub backoff: RetryBackoff,
    /// Whether a retry avoids the endpoints that failed already (Envoy `previous_hosts`).
    pub avoid_previous_hosts: bool,
}

impl Default for RetryPolicy {
    /// What istiod gives a route that does not say: two retries, elsewhere, of what did not reach an endpoint or was
    /// answered `UNAVAILABLE` or `CANCELLED`.
    fn default() -> Self {
        Self {
            retry_on: RetryOn::CONNECT_FAILURE
                | RetryOn::REFUSED_STREAM
                | RetryOn::UNAVAILABLE
                | RetryOn::CANCELLED,
            retriable_status_codes: Vec::new(),
            num_retries: 2,
            per_try_timeout: None,
            backoff: RetryBackoff::default(),
            avoid_previous_hosts: true,
        }
    }
}

impl RetryPolicy {
    /// Whether a try that ended in `status` is worth another; `error` is there if no response came.
    #[must_use]
    pub fn covers(&self, status: Status, error: Option<Kind>) -> bool {
        let on = self.retry_on;
        if let Some(kind) = error {
            let by_kind = match kind {
                Kind::Connect | Kind::Unreachable => RetryOn::CONNECT_FAILURE | RetryOn::RESET_BEFORE_REQUEST,
                Kind::Refused => RetryOn::REFUSED_STREAM | RetryOn::RESET,
                Kind::Reset | Kind::Cancelled | Kind::Overloaded | Kind::Protocol | Kind::TryTimeout => {
                    RetryOn::RESET
                }
                // Nothing that another try would change.
                _ => return false,
            };
            if on.intersects(by_kind) {
                return true;
            }
        }
        match status {
            Status::Grpc(code::CANCELLED) => on.intersects(RetryOn::CANCELLED),
            Status::Grpc(code::DEADLINE_EXCEEDED) => on.intersects(RetryOn::DEADLINE_EXCEEDED),
            Status::Grpc(code::RESOURCE_EXHAUSTED) => on.intersects(RetryOn::RESOURCE_EXHAUSTED),
            Status::Grpc(code::INTERNAL) => on.intersects(RetryOn::INTERNAL),
            Status::Grpc(code::UNAVAILABLE) => on.intersects(RetryOn::UNAVAILABLE),
            Status::Grpc(_) => false,
            Status::Http(status) => {
                (status >= 500 && on.intersects(RetryOn::SERVER_ERROR))
                    || (matches!(status, 502..=504) && on.intersects(RetryOn::GATEWAY_ERROR))
                    || (status == 409 && on.intersects(RetryOn::RETRIABLE_4XX))
                    || (error.is_none() && self.lists(status))
            }
        }
    }

    /// Whether a response is worth another try by its HTTP status, which the policy lists, or by its headers.
    #[must_use]
    pub fn picks_out(&self, status: u16, headers: &HeaderMap) -> bool {
        self.lists(status)
            || (self.retry_on.intersects(RetryOn::RATE_LIMITED) && headers.contains_key(RATE_LIMITED))
    }

    fn lists(&self, status: u16) -> bool {
        self.retry_on.intersects(RetryOn::RETRIABLE_STATUS_CODES)
            && self.retriable_status_codes.contains(&status)
    }
}

/// A set of failures (Envoy `RetryPolicy.retry_on`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryOn(u16);

impl RetryOn {
    /// `connect-failure`: no connection could be made.
    pub const CONNECT_FAILURE: Self = Self(1);
    /// `refused-stream`: the endpoint gave the request back unprocessed.
    pub const REFUSED_STREAM: Self = Self(1 << 1);
    /// `reset`: no response came, or not in the time for a try.
    pub const RESET: Self = Self(1 << 2);
    /// `unavailable`: gRPC status 14.
    pub const UNAVAILABLE: Self = Self(1 << 3);
    /// `cancelled`: gRPC status 1.
    pub const CANCELLED: Self = Self(1 << 4);
    /// `retriable-status-codes`: one of the codes that the policy lists.
    pub const RETRIABLE_STATUS_CODES: Self = Self(1 << 5);
    /// `5xx`: any server error, or no response.
    pub const SERVER_ERROR: Self = Self(1 << 6);
    /// `gateway-error`: 502, 503, 504, or no response.
    pub const GATEWAY_ERROR: Self = Self(1 << 7);
    /// `retriable-4xx`: 409.
    pub const RETRIABLE_4XX: Self = Self(1 << 8);
    /// `deadline-exceeded`: gRPC status 4.
    pub const DEADLINE_EXCEEDED: Self = Self(1 << 9);
    /// `internal`: gRPC status 13.
    pub const INTERNAL: Self = Self(1 << 10);
    /// `resource-exhausted`: gRPC status 8.
    pub const RESOURCE_EXHAUSTED: Self = Self(1 << 11);

    /// `reset-before-request`: the connection failed before the request was sent; here, no connection could be made, because
    /// a request that an open one has not sent is sent again anyway.
    pub const RESET_BEFORE_REQUEST: Self = Self(1 << 12);
    /// `envoy-ratelimited`: the header `x-envoy-ratelimited` is there.
    pub const RATE_LIMITED: Self = Self(1 << 13);
    /// `retriable-headers`: a header that the route lists is there. Kept, and not acted on yet.
    pub const RETRIABLE_HEADERS: Self = Self(1 << 14);
    /// `http3-post-connect-failure`: HTTP/3 failed on a connection that was made, which cannot happen here.
    pub const HTTP3_POST_CONNECT_FAILURE: Self = Self(1 << 15);

    const WORDS: [(&'static str, Self); 16] = [
        ("connect-failure", Self::CONNECT_FAILURE),
        ("refused-stream", Self::REFUSED_STREAM),
        ("reset", Self::RESET),
        ("unavailable", Self::UNAVAILABLE),
        ("cancelled", Self::CANCELLED),
        ("retriable-status-codes", Self::RETRIABLE_STATUS_CODES),
        ("5xx", Self::SERVER_ERROR),
        ("gateway-error", Self::GATEWAY_ERROR),
        ("retriable-4xx", Self::RETRIABLE_4XX),
        ("deadline-exceeded", Self::DEADLINE_EXCEEDED),
        ("internal", Self::INTERNAL),
        ("resource-exhausted", Self::RESOURCE_EXHAUSTED),
        ("reset-before-request", Self::RESET_BEFORE_REQUEST),
        ("envoy-ratelimited", Self::RATE_LIMITED),
        ("retriable-headers", Self::RETRIABLE_HEADERS),
        ("http3-post-connect-failure", Self::HTTP3_POST_CONNECT_FAILURE),
    ];

    /// Reads a comma-separated list; the words that are not known are left to `unknown`.
    pub fn parse<'a>(list: &'a str, mut unknown: impl FnMut(&'a str)) -> Self {
        let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.fold(Self::default(), |set, word| {
            match Self::WORDS.into_iter().find(|(name, _)| *name == word) {
                Some((_, condition)) => set | condition,
                None => {
                    unknown(word);
                    set
                }
            }
        })
    }

    /// Whether the sets have a failure in common.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether no failure is worth a retry.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for RetryOn {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Display for RetryOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut words = Self::WORDS.into_iter().filter(|(_, condition)| self.intersects(*condition));
        if let Some((first, _)) = words.next() {
            f.write_str(first)?;
        }
        words.try_for_each(|(word, _)| write!(f, ",{word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(list: &str) -> RetryPolicy {
        RetryPolicy { retry_on: RetryOn::parse(list, |_| ()), ..Default::default() }
    }

    #[test]
    fn lists_are_read_and_written() {
        let mut unknown = Vec::new();
        let list = "connect-failure, refused-stream,unavailable,,envoy-ratelimited,nonsense";
        let set = RetryOn::parse(list, |word| unknown.push(word));
        assert_eq!(set.to_string(), "connect-failure,refused-stream,unavailable,envoy-ratelimited");
        assert_eq!(unknown, ["nonsense"]);
        assert!(RetryOn::parse("", |_| ()).is_empty());
        for (word, condition) in RetryOn::WORDS {
            assert_eq!(RetryOn::parse(word, |_| panic!()), condition);
            assert_eq!(condition.to_string(), word);
        }
    }

    #[test]
    fn grpc_statuses() {
        let default = RetryPolicy::default();
        assert!(default.covers(Status::Grpc(14), None));
        assert!(default.covers(Status::Grpc(1), None));
        for status in [0, 2, 3, 4, 5, 7, 8, 13, 16] {
            assert!(!default.covers(Status::Grpc(status), None), "{status}");
        }
        assert!(policy("resource-exhausted").covers(Status::Grpc(8), None));
        assert!(policy("internal").covers(Status::Grpc(13), None));
        assert!(policy("deadline-exceeded").covers(Status::Grpc(4), None));
        assert!(
            !policy("5xx,gateway-error,reset").covers(Status::Grpc(14), None),
            "a response, and not HTTP"
        );
    }

    #[test]
    fn http_statuses() {
        assert!(policy("5xx").covers(Status::Http(500), None));
        assert!(!policy("gateway-error").covers(Status::Http(500), None));
        assert!(policy("gateway-error").covers(Status::Http(503), None));
        assert!(policy("retriable-4xx").covers(Status::Http(409), None));
        assert!(!policy("retriable-4xx").covers(Status::Http(404), None));
        let codes =
            RetryPolicy { retriable_status_codes: vec![404, 503], ..policy("retriable-status-codes") };
        assert!(codes.covers(Status::Http(404), None));
        assert!(!codes.covers(Status::Http(500), None));
        assert!(!codes.covers(Status::Http(503), Some(Kind::Reset)), "the code is ours, not the endpoint's");
    }

    #[test]
    fn responses_that_are_picked_out() {
        let limited =
            HeaderMap::from_iter([("x-envoy-ratelimited".parse().unwrap(), "true".parse().unwrap())]);
        assert!(policy("envoy-ratelimited").picks_out(429, &limited));
        assert!(!policy("envoy-ratelimited").picks_out(429, &HeaderMap::new()));
        assert!(!policy("5xx,retriable-4xx").picks_out(429, &limited));
    }

    #[test]
    fn failures_without_a_response() {
        let http = |list, kind| policy(list).covers(Status::Http(503), Some(kind));
        assert!(http("connect-failure", Kind::Connect));
        assert!(http("reset-before-request", Kind::Connect));
        assert!(!http("reset-before-request", Kind::Reset), "who knows what became of it");
        assert!(!http("connect-failure", Kind::Reset));
        assert!(http("refused-stream", Kind::Refused));
        assert!(http("reset", Kind::Reset));
        assert!(http("reset", Kind::TryTimeout));
        assert!(http("5xx", Kind::Reset));
        assert!(!http("unavailable", Kind::Reset), "a gRPC status");
        assert!(RetryPolicy::default().covers(Status::Grpc(14), Some(Kind::Reset)));
        for hopeless in
            [Kind::Dropped, Kind::NoRoute, Kind::NoCluster, Kind::Deadline, Kind::RequestBody, Kind::Closed]
        {
            assert!(!http("5xx,reset,connect-failure,gateway-error", hopeless), "{hopeless:?}");
        }
    }
}
