//! Checks of when an HTTP rule applies.

use super::super::http_route::HttpMatch;
use super::super::values::StringMatch;
use super::virtual_service::gateways;
use super::{Check, names};

/// What HTTP/2 writes as headers.
const PSEUDO: [&str; 5] = [":method", ":scheme", ":authority", ":path", ":status"];
/// Routes on the claims of a token.
const CLAIMS: &str = "@request.auth.claims";

pub(super) fn http_match(it: &HttpMatch, for_mesh: bool, check: &mut Check) {
    let mut text = |field: &str, value: &Option<StringMatch>, empty_prefix: bool| {
        if let Some(value) = value {
            string_match(field, value, empty_prefix, check);
        }
    };
    text("uri", &it.uri, true);
    text("scheme", &it.scheme, false);
    text("method", &it.method, false);
    text("authority", &it.authority, false);
    for (name, value) in &it.headers {
        let field = format!("headers.{name}");
        header_name(&field, name, for_mesh, check);
        string_match(&field, value, false, check);
    }
    for (name, value) in &it.without_headers {
        let field = format!("withoutHeaders.{name}");
        header_name(&field, name, for_mesh, check);
        // `*` is no expression, but means presence here.
        if value.regex.as_deref() != Some("*") {
            string_match(&field, value, false, check);
        }
    }
    for (name, value) in &it.query_params {
        let field = format!("queryParams.{name}");
        if name.is_empty() {
            check.error(&field, "the name of a parameter must not be empty");
        }
        string_match(&field, value, false, check);
    }
    if it.port != 0 {
        check.port("port", it.port);
    }
    check.labels("sourceLabels", &it.source_labels);
    gateways(&it.gateways, check);
    if !it.source_namespace.is_empty() {
        check.must("sourceNamespace", names::label("namespace", &it.source_namespace));
    }
}

fn header_name(field: &str, name: &str, for_mesh: bool, check: &mut Check) {
    if name.starts_with(CLAIMS) {
        if for_mesh {
            check.error(field, "claims of tokens can be routed by at gateways only");
        }
        return;
    }
    if !PSEUDO.contains(&name) {
        check.must(field, names::header(name));
    }
}

pub(super) fn string_match(field: &str, value: &StringMatch, empty_prefix: bool, check: &mut Check) {
    if value.exact.is_some() {
        return;
    }
    if let Some(prefix) = &value.prefix {
        if prefix.is_empty() && !empty_prefix {
            check.error(field, "an empty prefix matches everything; leave it out or write `{}`");
        }
    } else if let Some(regex) = &value.regex {
        check.must(field, names::regex(regex));
    }
}
