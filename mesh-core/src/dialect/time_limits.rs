//! The time limits of a route.

use std::time::Duration;

/// What Envoy allows a request whose route says nothing: 15 seconds, retries included.
pub const DEFAULT_HTTP_ROUTE_TIMEOUT: Duration = Duration::from_secs(15);

/// The time limits that configuration sets for a call. A zero means "no limit", `None` means "not said".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// `RouteAction.timeout`: the whole exchange, retries included.
    pub timeout: Option<Duration>,
    /// `RouteAction.max_stream_duration.max_stream_duration`.
    pub max_stream_duration: Option<Duration>,
    /// `RouteAction.max_stream_duration.grpc_timeout_header_max`: caps what the caller asks for.
    pub grpc_timeout_header_max: Option<Duration>,
    /// `HttpConnectionManager.common_http_protocol_options.max_stream_duration`.
    pub listener_max_stream_duration: Option<Duration>,
}

impl TimeLimits {
    /// The limit of a gRPC call (gRFC A31): the header maximum, else the route's stream duration, else the
    /// listener's; the caller's own limit is never extended.
    ///
    /// Where a route has none of these its `timeout` counts, as it does in Envoy; gRPC's own clients ignore it.
    pub(super) fn grpc(&self, caller: Option<Duration>) -> Option<Duration> {
        let route = self
            .grpc_timeout_header_max
            .or(self.max_stream_duration)
            .or(self.listener_max_stream_duration)
            .or(self.timeout);
        shortest(route, caller)
    }

    /// The limit of an HTTP exchange: the route's `timeout` and `max_stream_duration`, else the listener's.
    pub(super) fn http(&self, caller: Option<Duration>) -> Option<Duration> {
        let timeout = self.timeout.or(Some(DEFAULT_HTTP_ROUTE_TIMEOUT));
        let stream = self.max_stream_duration.or(self.listener_max_stream_duration);
        shortest(timeout, shortest(stream, caller))
    }
}

/// The shorter of a configured limit, of which zero means none, and the caller's, of which it means that no time is left.
fn shortest(configured: Option<Duration>, caller: Option<Duration>) -> Option<Duration> {
    match (configured.filter(|limit| !limit.is_zero()), caller) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn grpc_takes_the_first_limit_said() {
        let all = TimeLimits {
            timeout: ms(400),
            max_stream_duration: ms(300),
            grpc_timeout_header_max: ms(200),
            listener_max_stream_duration: ms(500),
        };
        assert_eq!(all.grpc(None), ms(200));
        assert_eq!(TimeLimits { grpc_timeout_header_max: None, ..all }.grpc(None), ms(300));
        let listener = TimeLimits { grpc_timeout_header_max: None, max_stream_duration: None, ..all };
        assert_eq!(listener.grpc(None), ms(500));
        assert_eq!(TimeLimits { timeout: ms(400), ..Default::default() }.grpc(None), ms(400));
        assert_eq!(TimeLimits::default().grpc(None), None);
    }

    #[test]
    fn the_callers_limit_is_never_extended() {
        let limits = TimeLimits { max_stream_duration: ms(300), ..Default::default() };
        assert_eq!(limits.grpc(ms(100)), ms(100));
        assert_eq!(limits.grpc(ms(1000)), ms(300));
        assert_eq!(limits.http(ms(100)), ms(100));
        assert_eq!((limits.grpc(ms(0)), limits.http(ms(0))), (ms(0), ms(0)), "a caller out of time");
    }

    #[test]
    fn zero_lifts_a_limit_and_hides_those_behind_it() {
        let limits = TimeLimits {
            max_stream_duration: ms(0),
            listener_max_stream_duration: ms(500),
            timeout: ms(0),
            ..Default::default()
        };
        assert_eq!(limits.grpc(None), None);
        assert_eq!(limits.grpc(ms(70)), ms(70));
        assert_eq!(limits.http(None), None);
    }

    #[test]
    fn http_without_a_word_gets_envoys_default() {
        assert_eq!(TimeLimits::default().http(None), Some(DEFAULT_HTTP_ROUTE_TIMEOUT));
        assert_eq!(TimeLimits { timeout: ms(0), ..Default::default() }.http(None), None);
        assert_eq!(TimeLimits { timeout: ms(20_000), ..Default::default() }.http(None), ms(20_000));
    }
}
