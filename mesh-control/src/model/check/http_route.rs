//! Checks of what an HTTP rule does.

use super::super::http_route::{
    Body, Cors, DirectResponse, Fault, GRPC_STATUSES, Headers, HttpRoute, Redirect, Retries, Rewrite,
    is_authority,
};
use super::http_match::string_match;
use super::virtual_service::{destination, weights};
use super::{Check, names};

/// The conditions that `retryOn` may name, besides statuses.
const CONDITIONS: [&str; 16] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "envoy-ratelimited",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"];
/// The largest body of a direct response, and the size from which one is large.
const MAX_BODY: usize = 1 << 20;
const LARGE_BODY: usize = 100 << 10;
/// The statuses that xDS has words for, and 0, which stands for the first.
const SENT_REDIRECTS: [u32; 6] = [0, 301, 302, 303, 307, 308];
/// istiod speaks of 200-599, and takes 600.
const STATUSES: std::ops::RangeInclusive<i64> = 200..=600;

pub(super) fn http_route(route: &HttpRoute, in_delegate: bool, check: &mut Check) {
    actions(route, in_delegate, check);
    for (index, to) in route.route.iter().enumerate() {
        check.within(format!("route[{index}]"), |check| {
            destination("destination", to.destination.as_ref(), check);
            if let Some(it) = &to.headers {
                headers(it, check);
            }
        });
    }
    weights(&route.route.iter().map(|to| to.weight).collect::<Vec<_>>(), check);
    check.duration("timeout", route.timeout);
    check.given("retries", route.retries.as_ref(), retries);
    check.given("fault", route.fault.as_ref(), fault);
    check.given("corsPolicy", route.cors_policy.as_ref(), cors);
    check.given("rewrite", route.rewrite.as_ref(), rewrite);
    check.given("redirect", route.redirect.as_ref(), redirect);
    check.given("directResponse", route.direct_response.as_ref(), direct_response);
    mirrors(route, check);
    if let Some(it) = &route.headers {
        headers(it, check);
    }
    authority(route, check);
}

/// Exactly one of the things that a rule can do, and nothing that does not go with it.
fn actions(route: &HttpRoute, in_delegate: bool, check: &mut Check) {
    let given = [
        ("route", !route.route.is_empty()),
        ("redirect", route.redirect.is_some()),
        ("directResponse", route.direct_response.is_some()),
        ("delegate", route.delegate.is_some() && !in_delegate),
    ];
    let given: Vec<&str> = given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    match given.as_slice() {
        [] if in_delegate => {
            check.error("", "give one of route, redirect and directResponse; a delegate cannot delegate");
        }
        [] => check.error("", "give one of route, redirect, directResponse and delegate"),
        [_] => {}
        // istiod takes this, and then asks the delegate.
        ["directResponse", "delegate"] => {}
        [first, second, ..] => check.error(second, format!("cannot stand beside {first}")),
    }
    if in_delegate && route.delegate.is_some() && !given.is_empty() {
        check.error("delegate", "a delegate cannot delegate");
    }
    if route.redirect.is_some() || route.direct_response.is_some() {
        for (field, given) in [("fault", route.fault.is_some()), ("rewrite", route.rewrite.is_some())] {
            if given {
                check.error(field, "has no meaning beside redirect or directResponse");
            }
        }
    }
}

fn mirrors(route: &HttpRoute, check: &mut Check) {
    let share = |field: &str, value: f64, check: &mut Check| {
        if !(0.0..=100.0).contains(&value) {
            check.error(field, format!("{value} is not in the range 0 to 100"));
        }
    };
    if let Some(mirror) = &route.mirror {
        destination("mirror", Some(mirror), check);
        if !route.mirrors.is_empty() {
            check.error("mirrors", "give either mirror or mirrors");
        }
    }
    if let Some(percentage) = route.mirror_percentage {
        share("mirrorPercentage.value", percentage.value, check);
    }
    if let Some(percent) = route.mirror_percent {
        check.warn("mirrorPercent", "an old form of mirrorPercentage");
        share("mirrorPercent", f64::from(percent), check);
    }
    check.each("mirrors", &route.mirrors, |mirror, check| {
        destination("destination", mirror.destination.as_ref(), check);
        if let Some(percentage) = mirror.percentage {
            share("percentage.value", percentage.value, check);
        }
    });
}

/// The rules for trying again, also the mesh's own.
pub(in super::super) fn retries(retries: &Retries, check: &mut Check) {
    if retries.attempts < 0 {
        check.error("attempts", "must not be negative");
    }
    let more = retries.per_try_timeout.is_some()
        || !retries.retry_on.is_empty()
        || retries.retry_remote_localities.is_some();
    if retries.attempts == 0 && more {
        check.error("attempts", "0 means no retries, and the other settings none either");
    }
    check.duration("perTryTimeout", retries.per_try_timeout);
    check.duration("backoff", retries.backoff);
    for condition in retries.retry_on.split(',').filter(|_| !retries.retry_on.is_empty()) {
        let status =
            condition.parse::<u16>().is_ok_and(|status| (100..=599).contains(&status) && is_status(status));
        if !status && !CONDITIONS.contains(&condition) {
            check.error("retryOn", format!("{condition:?} is neither a condition nor a status"));
        }
    }
}

/// Whether a status is one that has a name.
fn is_status(status: u16) -> bool {
    const NAMED: [std::ops::RangeInclusive<u16>; 12] = [
        100..=103,
        200..=208,
        226..=226,
        300..=305,
        307..=308,
        400..=418,
        421..=426,
        428..=429,
        431..=431,
        451..=451,
        500..=508,
        510..=511,
    ];
    NAMED.iter().any(|range| range.contains(&status))
}

fn fault(fault: &Fault, check: &mut Check) {
    if fault.delay.is_none() && fault.abort.is_none() {
        check.error("", "give delay, abort or both");
    }
    if let Some(delay) = &fault.delay {
        check.within("delay", |check| {
            match delay.percentage {
                Some(percentage) => check.must("percentage.value", names::percent(percentage.value)),
                None if delay.percent == 0 => check.warn("", "delays nothing without percentage"),
                None => {}
            }
            if delay.percent != 0 {
                check.warn("percent", "an old form of percentage");
            }
            check.duration("fixedDelay", delay.fixed_delay);
            if delay.exponential_delay.is_some() {
                check.error("exponentialDelay", "is not supported");
            } else if delay.fixed_delay.is_none() {
                check.warn("", "has no effect without fixedDelay");
            }
        });
    }
    if let Some(abort) = &fault.abort {
        check.within("abort", |check| {
            match abort.percentage {
                Some(percentage) => check.must("percentage.value", names::percent(percentage.value)),
                None => check.warn("", "aborts nothing without percentage"),
            }
            if let Some(code) = abort.http_status {
                status("httpStatus", i64::from(code), check);
            }
            if let Some(name) = &abort.grpc_status
                && !GRPC_STATUSES.contains(&name.as_str())
            {
                check.error("grpcStatus", format!("{name:?} is none of {}", GRPC_STATUSES.join(", ")));
            }
            if abort.http2_error.is_some() {
                check.error("http2Error", "is not supported");
            } else if abort.http_status.is_none() && abort.grpc_status.is_none() {
                check.warn("", "has no effect without httpStatus or grpcStatus");
            }
        });
    }
}

fn direct_response(response: &DirectResponse, check: &mut Check) {
    status("status", i64::from(response.status), check);
    let bytes = |body: &Body| body.bytes.as_ref().map(|bytes| bytes.0.len());
    let size = response.body.as_ref().and_then(|body| body.string.as_ref().map(String::len).or(bytes(body)));
    match size {
        Some(size) if size > MAX_BODY => {
            check.error("body", format!("has {size} bytes, more than {MAX_BODY}"));
        }
        Some(size) if size > LARGE_BODY => {
            check.warn("body", format!("has {size} bytes, which every client gets"));
        }
        _ => {}
    }
}

fn status(field: &str, code: i64, check: &mut Check) {
    if !STATUSES.contains(&code) {
        check.error(field, format!("the status {code} is not in the range 200 to 599"));
    }
}

fn cors(cors: &Cors, check: &mut Check) {
    check.warn("", "not acted on by clients that route themselves: it is for what answers browsers");
    for (index, origin) in cors.allow_origins.iter().enumerate() {
        let field = format!("allowOrigins[{index}]");
        if origin.exact.as_deref().is_none_or(str::is_empty)
            && origin.prefix.is_none()
            && origin.regex.is_none()
        {
            check.error(&field, "give exact, prefix or regex");
        }
        string_match(&field, origin, false, check);
    }
    for (index, method) in cors.allow_methods.iter().enumerate() {
        if !METHODS.contains(&method.as_str()) {
            check.error(&format!("allowMethods[{index}]"), format!("{method:?} is no method of HTTP"));
        }
    }
    for (field, list) in [("allowHeaders", &cors.allow_headers), ("exposeHeaders", &cors.expose_headers)] {
        for (index, name) in list.iter().enumerate().filter(|(_, name)| *name != "*") {
            check.must(&format!("{field}[{index}]"), names::header(name));
        }
    }
    check.duration("maxAge", cors.max_age);
    if cors.max_age.is_some_and(|age| age.as_nanos() % 1_000_000_000 != 0) {
        check.error("maxAge", "must be whole seconds");
    }
}

fn rewrite(rewrite: &Rewrite, check: &mut Check) {
    let regex = rewrite.uri_regex_rewrite.as_ref();
    if rewrite.uri.is_empty() && regex.is_none() && rewrite.authority.is_empty() {
        check.error("", "give uri, uriRegexRewrite or authority");
    }
    if !rewrite.uri.is_empty() && regex.is_some() {
        check.error("uriRegexRewrite", "give either uri or uriRegexRewrite");
    }
    if let Some(regex) = regex {
        check.must("uriRegexRewrite.match", names::regex(&regex.pattern));
        if regex.rewrite.is_empty() {
            check.error("uriRegexRewrite.rewrite", "required");
        }
    }
}

fn redirect(redirect: &Redirect, check: &mut Check) {
    let port = redirect.port.is_some() || redirect.derive_port.is_some();
    if redirect.uri.is_empty() && redirect.authority.is_empty() && redirect.scheme.is_empty() && !port {
        check.error("", "give uri, authority, scheme or port");
    }
    if let Some(port) = redirect.port.filter(|port| *port != 0) {
        check.port("port", port);
    }
    let code = redirect.redirect_code;
    if code != 0 && !(300..400).contains(&code) {
        check.error("redirectCode", format!("{code} is no status of a redirect"));
    } else if !SENT_REDIRECTS.contains(&code) {
        let known = "write 301, 302, 303, 307 or 308";
        check.warn("redirectCode", format!("xDS has no word for {code}, and requests will fail; {known}"));
    }
    if !matches!(redirect.scheme.as_str(), "" | "http" | "https") {
        check.error("scheme", "must be http or https");
    }
}

/// Headers that are changed: which names, and `%` in values begins a variable.
fn headers(headers: &Headers, check: &mut Check) {
    for (side, operations) in [("request", &headers.request), ("response", &headers.response)] {
        let request = side == "request";
        for (what, map) in [("set", &operations.set), ("add", &operations.add)] {
            for (name, value) in map {
                let field = format!("headers.{side}.{what}.{name}");
                if !(request && is_authority(name)) {
                    header(&field, name, check);
                }
                check.must(&field, names::header_value(value));
            }
        }
        for (index, name) in operations.remove.iter().enumerate() {
            header(&format!("headers.{side}.remove[{index}]"), name, check);
        }
    }
}

fn header(field: &str, name: &str, check: &mut Check) {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        check.error(field, format!("{name:?} cannot be changed"));
    } else {
        check.must(field, names::header(name));
    }
}

/// The authority can be set in several places, but once only.
fn authority(route: &HttpRoute, check: &mut Check) {
    let rewritten =
        route.rewrite.iter().map(|rewrite| &rewrite.authority).filter(|it| !it.is_empty()).count();
    let set =
        route.headers.iter().flat_map(|headers| headers.request.set.keys().chain(headers.request.add.keys()));
    if rewritten + set.filter(|name| is_authority(name)).count() > 1 {
        check.error("headers.request", "the authority is set more than once");
    }
}
