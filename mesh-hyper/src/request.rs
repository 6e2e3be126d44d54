//! What has to be done to a request before it enters the stack.

use http::Method;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme, Uri};
use mesh_core::endpoint::Protocol;
use mesh_core::{Error, Kind};

/// The port of a URL that names none.
const DEFAULT_PORT: u16 = 80;

/// Headers about an HTTP/1.1 connection, which HTTP/2 does not allow (RFC 9113, 8.2.2).
const OF_THE_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    /// As the caller wrote it.
    pub(crate) authority: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Destination<'a> {
    fn of(uri: &'a Uri) -> Result<Self, Error> {
        let fail = |kind, why: &str| Err(Error::new(kind, format!("cannot send to {uri}: {why}")));
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                let why = "TLS origination comes in a later version; write http:// and let the mesh secure the connection";
                return fail(Kind::Unsupported, why);
            }
            _ => return fail(Kind::Target, "the URL has to begin with http://host or http://host:port"),
        }
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return fail(Kind::Target, "the URL has no host");
        };
        if authority.as_str().contains('@') {
            let why = "a URL must not hold credentials; use an authorization header";
            return Err(Error::new(Kind::Target, format!("cannot send to {}: {why}", authority.host())));
        }
        Ok(Self { authority: authority.as_str(), host: authority.host(), port: authority.port_u16() })
    }

    /// What the mesh knows it by.
    pub(crate) fn name(&self) -> String {
        let mut name = format!("{}:{}", self.host, self.port.unwrap_or(DEFAULT_PORT));
        name.make_ascii_lowercase();
        name
    }
}

/// Prepares a request whose body has this length, if that is known; `find` turns the destination into what is returned.
pub(crate) fn prepare<T>(
    head: &mut Parts,
    length: Option<u64>,
    protocol: Protocol,
    find: impl FnOnce(Destination<'_>) -> T,
) -> Result<T, Error> {
    if head.method == Method::CONNECT {
        return Err(Error::new(Kind::Unsupported, "CONNECT is not supported: it has no host to route by"));
    }
    let found = find(Destination::of(&head.uri)?);
    take_on_host(head)?;
    if protocol == Protocol::Http2 {
        clean(&mut head.headers);
        declare_length(head, length);
    }
    Ok(found)
}

/// A `Host` header says what the endpoint, and the routes, see instead of the host of the URL.
fn take_on_host(head: &mut Parts) -> Result<(), Error> {
    let Some(host) = head.headers.get(header::HOST) else { return Ok(()) };
    if head.uri.authority().is_some_and(|authority| authority.as_str().as_bytes() == host.as_bytes()) {
        return Ok(());
    }
    let fail = || Error::new(Kind::Target, format!("the Host header {host:?} is not a host"));
    let authority = Authority::try_from(host.as_bytes()).map_err(|error| fail().with_source(error))?;
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    parts.authority = Some(authority);
    head.uri = Uri::from_parts(parts).map_err(|error| fail().with_source(error))?;
    Ok(())
}

/// Takes out the headers that HTTP/2 has no place for. The host is in the URL by now.
fn clean(headers: &mut HeaderMap) {
    if headers.is_empty() {
        return;
    }
    headers.remove(header::HOST);
    if let Some(connection) = headers.remove(header::CONNECTION) {
        // It names other headers that are about the connection.
        for name in connection.to_str().unwrap_or_default().split(',') {
            headers.remove(name.trim());
        }
    }
    for name in OF_THE_CONNECTION {
        headers.remove(name);
    }
    if headers.get(header::TE).is_some_and(|te| te != "trailers") {
        headers.remove(header::TE);
    }
}

/// Says how long the body is, as HTTP/1.1 does on its own; nothing is said of no body where none is expected.
fn declare_length(head: &mut Parts, length: Option<u64>) {
    let Some(length) = length else { return };
    let expected = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
    if length > 0 || expected {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn prepared(request: http::request::Builder, protocol: Protocol) -> Result<(Parts, String), Error> {
        let (mut head, length) = request.body(3).unwrap().into_parts();
        let name = prepare(&mut head, Some(length), protocol, |to| to.name())?;
        Ok((head, name))
    }

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for (url, name) in [
            ("http://reviews:9080/x?y", "reviews:9080"),
            ("http://Reviews.Default/", "reviews.default:80"),
            ("http://reviews", "reviews:80"),
            ("http://10.0.0.1:8080/", "10.0.0.1:8080"),
            ("http://[::1]/", "[::1]:80"),
        ] {
            assert_eq!(prepared(Request::get(url), Protocol::Http1).unwrap().1, name);
        }
    }

    #[test]
    fn errors_say_what_is_wrong_with_a_url() {
        for (url, kind, why) in [
            ("https://reviews/", Kind::Unsupported, "TLS origination comes in a later version"),
            ("/reviews", Kind::Target, "has to begin with http://"),
            ("ftp://reviews/", Kind::Target, "has to begin with http://"),
            ("reviews:80", Kind::Target, "has to begin with http://"),
            ("http://me:secret@reviews/", Kind::Target, "credentials"),
        ] {
            let error = prepared(Request::get(url), Protocol::Http1).unwrap_err();
            assert_eq!(error.kind(), kind, "{url}");
            assert!(error.to_string().contains(why) && !error.to_string().contains("secret"), "{error}");
        }
        let connect = Request::builder().method("CONNECT").uri("reviews:80");
        assert_eq!(prepared(connect, Protocol::Http1).unwrap_err().kind(), Kind::Unsupported);
        let host = Request::get("http://reviews/").header("host", "a b");
        assert!(prepared(host, Protocol::Http1).unwrap_err().to_string().contains("a b"));
    }

    #[test]
    fn the_host_header_wins_over_the_url() {
        let request = || Request::get("http://10.0.0.1:80/x?y").header("host", "Reviews");
        let (head, name) = prepared(request(), Protocol::Http1).unwrap();
        assert_eq!((head.uri.to_string().as_str(), name.as_str()), ("http://Reviews/x?y", "10.0.0.1:80"));
        assert_eq!(head.headers[header::HOST], "Reviews");
        let (head, _) = prepared(request(), Protocol::Http2).unwrap();
        assert_eq!(head.uri.authority().unwrap(), "Reviews");
        assert!(!head.headers.contains_key(header::HOST), "it is the authority");
    }

    #[test]
    fn http2_has_no_headers_about_the_connection_and_says_the_length() {
        let request = Request::post("http://reviews/")
            .header("connection", "x-hop, keep-alive")
            .header("keep-alive", "timeout=5")
            .header("x-hop", "1")
            .header("te", "gzip")
            .header("x-end", "1");
        let (head, _) = prepared(request, Protocol::Http2).unwrap();
        let names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-end", "content-length"]);
        assert_eq!(head.headers[header::CONTENT_LENGTH], "3");
    }
}
