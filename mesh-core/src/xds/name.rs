//! Names that say who has the resource: `xdstp://authority/type/id?key=value` (gRFC A47).

use crate::bootstrap::{FEDERATED, PATH, without_scheme};
use percent_encoding::{AsciiSet, percent_decode_str, percent_encode};
use std::borrow::Cow;

/// What is escaped in the key and the value of a context parameter: besides, what they are told apart by.
const PARAMETER: &AsciiSet = &PATH.add(b'&').add(b'=').add(b'+');

/// The parts of a name that says who has the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FederatedName<'a> {
    /// Who has it; may be empty.
    pub authority: &'a str,
    /// The type, without `type.googleapis.com/`.
    pub kind: &'a str,
    /// The name within the type; may hold slashes.
    pub id: &'a str,
    /// The context parameters, as they are written.
    pub context: &'a str,
}

/// Whether a name says who has the resource.
#[must_use]
pub fn is_federated(name: &str) -> bool {
    without_scheme(name).is_some()
}

impl<'a> FederatedName<'a> {
    /// Takes a name apart; none if it does not have this form.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        let rest = without_scheme(name)?.strip_prefix("//")?;
        // What follows a # are directives, which are no part of the name.
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, context) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = path.split_once('/')?;
        let (kind, id) = path.split_once('/')?;
        (!kind.is_empty() && !id.is_empty()).then_some(Self { authority, kind, id, context })
    }
}

/// The one way to write a name: the scheme in small letters, context parameters sorted by key, no directives, and escaped
/// what has to be and nothing else, so that `%2F` is a slash as it is for gRPC. Other names stay as they are, and so does the
/// authority, which is a key of the bootstrap.
#[must_use]
pub fn canonical(name: &str) -> Cow<'_, str> {
    if !is_federated(name) {
        return Cow::Borrowed(name);
    }
    let Some(FederatedName { authority, kind, id, context }) = FederatedName::parse(name) else {
        return Cow::Borrowed(name);
    };
    let parameters = context.split('&').filter(|parameter| !parameter.is_empty());
    let mut parameters: Vec<String> = parameters.map(parameter).collect();
    parameters.sort_by(|a, b| key(a).cmp(key(b)));
    let mark = if parameters.is_empty() { "" } else { "?" };
    let (kind, id) = (escaped(kind, PATH), escaped(id, PATH));
    let written = format!("{FEDERATED}//{authority}/{kind}/{id}{mark}{}", parameters.join("&"));
    if written == name { Cow::Borrowed(name) } else { Cow::Owned(written) }
}

fn key(parameter: &str) -> &str {
    parameter.split('=').next().unwrap_or_default()
}

fn parameter(text: &str) -> String {
    match text.split_once('=') {
        Some((key, value)) => format!("{}={}", escaped(key, PARAMETER), escaped(value, PARAMETER)),
        None => escaped(text, PARAMETER),
    }
}

/// A text that may be escaped, escaped in the one way. It need not be UTF-8 beneath.
fn escaped(text: &str, set: &'static AsciiSet) -> String {
    let plain: Cow<'_, [u8]> = percent_decode_str(text).into();
    percent_encode(&plain, set).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart() {
        let parsed = |name| FederatedName::parse(name).map(|n| (n.authority, n.kind, n.id, n.context));
        assert_eq!(parsed("xdstp://a.b/t.L/x/y:80?k=v#d"), Some(("a.b", "t.L", "x/y:80", "k=v")));
        assert_eq!(parsed("xdstp:///t/x"), Some(("", "t", "x", "")));
        for odd in [
            "xdstp:",
            "xdstp://",
            "xdstp://a",
            "xdstp://a/t",
            "xdstp://a/t/",
            "xdstp://a//x",
            "xdstp:/a/t/x",
            "x",
        ] {
            assert_eq!(parsed(odd), None, "{odd}");
        }
    }

    #[test]
    fn spellings_that_differ_in_escapes_or_case_are_one() {
        for (one, other) in [
            ("XDSTP://a/t/x", "xdstp://a/t/x"),
            ("xdstp://a/t/%78", "xdstp://a/t/x"),
            ("xdstp://a/t/svc%3A80", "xdstp://a/t/svc:80"),
            ("xdstp://a/t/x%2fy", "xdstp://a/t/x/y"),
            ("xdstp://a/%74/x", "xdstp://a/t/x"),
            ("xdstp://a/t/größe", "xdstp://a/t/gr%C3%B6%C3%9Fe"),
            ("xdstp://a/t/a b|c", "xdstp://a/t/a%20b%7Cc"),
            ("xdstp://a/t/x?%62=1%3D&%61=%26", "xdstp://a/t/x?a=%26&b=1%3D"),
            ("xdstp://a/t/x?k=a=b", "xdstp://a/t/x?k=a%3Db"),
            ("xdstp://a/t/%ff", "xdstp://a/t/%FF"),
            ("xdstp://a/t/100%", "xdstp://a/t/100%25"),
        ] {
            assert_eq!(canonical(one), other);
            assert_eq!(canonical(other), other, "once is enough");
        }
        assert_ne!(canonical("xdstp://A/t/x"), canonical("xdstp://a/t/x"), "authorities are keys");
        assert_ne!(canonical("xdstp://a/T/x"), canonical("xdstp://a/t/x"));
        assert!(is_federated("Xdstp:") && !is_federated("xdst") && !is_federated("größ:x"));
    }

    #[test]
    fn the_order_of_context_parameters_means_nothing() {
        assert_eq!(canonical("xdstp://a/t/x?b=2&a=1&c"), "xdstp://a/t/x?a=1&b=2&c");
        assert_eq!(canonical("xdstp://a/t/x?"), "xdstp://a/t/x");
        assert_eq!(canonical("xdstp://a/t/x#y"), "xdstp://a/t/x");
        assert_eq!(canonical("xdstp://a/t/x?b=2&a=2&a=1"), "xdstp://a/t/x?a=2&a=1&b=2", "they may repeat");
        for same in ["xdstp://a/t/x?a=1&b=2", "xdstp://a/t/x", "x?b=2&a=1", "xdstp:?b&a", ""] {
            assert!(matches!(canonical(same), Cow::Borrowed(name) if name == same), "{same}");
        }
    }
}
