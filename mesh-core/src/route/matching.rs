//! Whether a route's condition holds for a request.

use crate::resource::matcher::HeaderMatch;
use crate::resource::route::{PathMatch, RouteMatch};
use http::request::Parts;
use http::{HeaderMap, Method};
use std::borrow::Cow;

/// The parts of a request that routes look at.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// `:method`.
    pub method: &'a Method,
    /// `:scheme`.
    pub scheme: &'a str,
    /// `:authority`, or the `Host` header.
    pub authority: &'a str,
    /// `:path`, without the query.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// Whether the request is gRPC.
    pub grpc: bool,
}

impl<'a> RequestHead<'a> {
    /// The parts of a request; `own_authority` is the authority of one that has none of its own.
    #[must_use]
    pub fn of(head: &'a Parts, own_authority: &'a str, grpc: bool) -> Self {
        Self {
            method: &head.method,
            scheme: head.uri.scheme_str().unwrap_or("http"),
            authority: head.uri.authority().map_or(own_authority, |authority| authority.as_str()),
            path: head.uri.path(),
            query: head.uri.query(),
            headers: &head.headers,
            grpc,
        }
    }

    /// Whether the condition holds; `entropy` decides where it holds for a share of requests.
    #[must_use]
    pub fn satisfies(&self, condition: &RouteMatch, entropy: u64) -> bool {
        path_matches(&condition.path, self.path) && self.satisfies_rest(condition, entropy)
    }

    /// Whether the condition holds for all but the path.
    #[must_use]
    pub fn satisfies_rest(&self, condition: &RouteMatch, entropy: u64) -> bool {
        (!condition.grpc_only || self.grpc)
            && condition.headers.iter().all(|header| header.matches(self.header(header)))
            && condition.query.iter().all(|query| query.matches(self.query))
            && condition.fraction.is_none_or(|fraction| fraction.contains(entropy))
    }

    fn header(&self, header: &HeaderMatch) -> Option<Cow<'_, str>> {
        match &*header.name {
            ":method" => Some(Cow::Borrowed(self.method.as_str())),
            ":scheme" => Some(Cow::Borrowed(self.scheme)),
            ":authority" | "host" => Some(Cow::Borrowed(self.authority)),
            ":path" => Some(match self.query {
                Some(query) => Cow::Owned(format!("{}?{query}", self.path)),
                None => Cow::Borrowed(self.path),
            }),
            // gRFC A28: binary headers count as absent.
            name if self.grpc && name.ends_with("-bin") => None,
            name => {
                let mut values = self.headers.get_all(name).iter();
                let first = String::from_utf8_lossy(values.next()?.as_bytes());
                Some(values.fold(first, |mut joined, value| {
                    joined.to_mut().push(',');
                    joined.to_mut().push_str(&String::from_utf8_lossy(value.as_bytes()));
                    joined
                }))
            }
        }
    }
}

fn path_matches(condition: &PathMatch, path: &str) -> bool {
    let begins = |prefix: &str, ignore_case: bool| match ignore_case {
        false => path.starts_with(prefix),
        true => {
            let head = path.as_bytes().get(..prefix.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
        }
    };
    match condition {
        PathMatch::Exact(what, false) => **what == *path,
        PathMatch::Exact(what, true) => what.eq_ignore_ascii_case(path),
        PathMatch::Prefix(prefix, ignore_case) => begins(prefix, *ignore_case),
        PathMatch::SegmentPrefix(prefix, ignore_case) => {
            begins(prefix, *ignore_case) && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
        }
        PathMatch::Regex(regex) => regex.is_match(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::matcher::{StringMatch, ValueMatch};
    use crate::resource::re2::Expression;
    use http::HeaderValue;

    fn head<'a>(path: &'a str, headers: &'a HeaderMap) -> RequestHead<'a> {
        RequestHead {
            method: &Method::POST,
            scheme: "http",
            authority: "echo:7070",
            path,
            query: Some("a=1"),
            headers,
            grpc: true,
        }
    }

    #[test]
    fn paths() {
        let regex = |text: &str| PathMatch::Regex(Expression::whole(text).unwrap());
        let prefix = |text: &str, case| PathMatch::Prefix(text.into(), case);
        let segments = |text: &str| PathMatch::SegmentPrefix(text.into(), false);
        for (condition, path, holds) in [
            (PathMatch::Exact("/a".into(), false), "/a", true),
            (PathMatch::Exact("/a".into(), false), "/A", false),
            (PathMatch::Exact("/a".into(), true), "/A", true),
            (prefix("/foo", false), "/foobar", true),
            (prefix("/foo", false), "/Foo", false),
            (prefix("/CaSe", true), "/cAsE/x", true),
            (prefix("/long", true), "/lo", false),
            (prefix("", false), "/anything", true),
            (segments("/foo"), "/foo", true),
            (segments("/foo"), "/foo/bar", true),
            (segments("/foo"), "/foobar", false),
            (regex("/v[0-9]+/.*"), "/v12/x", true),
            (regex("/v[0-9]+"), "/v12/x", false),
        ] {
            assert_eq!(path_matches(&condition, path), holds, "{condition:?} {path}");
        }
    }

    #[test]
    fn headers_and_pseudo_headers() {
        let mut headers = HeaderMap::new();
        headers.append("x-many", HeaderValue::from_static("a"));
        headers.append("x-many", HeaderValue::from_static("b"));
        headers.insert("x-bin-bin", HeaderValue::from_static("z"));
        headers.insert("x-empty", HeaderValue::from_static(""));
        headers.insert("x-odd", HeaderValue::from_bytes(b"\xff").unwrap());
        let holds = |name: &str, value: &str| {
            let condition = ValueMatch::Text(StringMatch::Exact(value.into(), false));
            let matcher =
                HeaderMatch { name: name.into(), condition, invert: false, missing_as_empty: false };
            matcher.matches(head("/p", &headers).header(&matcher))
        };
        let present = |name: &str| {
            let condition = ValueMatch::Present(true);
            let matcher =
                HeaderMatch { name: name.into(), condition, invert: false, missing_as_empty: false };
            matcher.matches(head("/p", &headers).header(&matcher))
        };
        assert!(present("x-empty") && holds("x-empty", "") && !present("x-none") && !holds("x-none", ""));
        assert!(holds("x-many", "a,b"));
        assert!(holds(":method", "POST"));
        assert!(holds(":authority", "echo:7070"));
        assert!(holds("host", "echo:7070"));
        assert!(holds(":scheme", "http"));
        assert!(holds(":path", "/p?a=1"));
        assert!(!holds("x-bin-bin", "z"), "binary headers count as absent in gRPC");
        assert!(holds("x-odd", "\u{fffd}"));
    }
}
