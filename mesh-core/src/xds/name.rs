//! Names that say who has the resource: `xdstp://authority/type/id?key=value` (gRFC A47).

use std::borrow::Cow;

/// How such names begin.
const SCHEME: &str = "xdstp:";

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
    name.starts_with(SCHEME)
}

impl<'a> FederatedName<'a> {
    /// Takes a name apart; none if it does not have this form.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        let rest = name.strip_prefix(SCHEME)?.strip_prefix("//")?;
        // What follows a # are directives, which are no part of the name.
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (path, context) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = path.split_once('/')?;
        let (kind, id) = path.split_once('/')?;
        (!kind.is_empty() && !id.is_empty()).then_some(Self { authority, kind, id, context })
    }
}

/// The one way to write a name: context parameters sorted by key. Other names stay as they are.
#[must_use]
pub fn canonical(name: &str) -> Cow<'_, str> {
    if !is_federated(name) || !name.contains(['?', '#']) {
        return Cow::Borrowed(name);
    }
    let Some(FederatedName { authority, kind, id, context }) = FederatedName::parse(name) else {
        return Cow::Borrowed(name);
    };
    let mut parameters: Vec<&str> = context.split('&').filter(|parameter| !parameter.is_empty()).collect();
    parameters.sort_by_key(|parameter| parameter.split('=').next());
    let mark = if parameters.is_empty() { "" } else { "?" };
    let written = format!("{SCHEME}//{authority}/{kind}/{id}{mark}{}", parameters.join("&"));
    if written == name { Cow::Borrowed(name) } else { Cow::Owned(written) }
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
    fn the_order_of_context_parameters_means_nothing() {
        assert_eq!(canonical("xdstp://a/t/x?b=2&a=1&c"), "xdstp://a/t/x?a=1&b=2&c");
        assert_eq!(canonical("xdstp://a/t/x?"), "xdstp://a/t/x");
        assert_eq!(canonical("xdstp://a/t/x#y"), "xdstp://a/t/x");
        for same in ["xdstp://a/t/x?a=1&b=2", "xdstp://a/t/x", "x?b=2&a=1", "xdstp:?b&a", ""] {
            assert!(matches!(canonical(same), Cow::Borrowed(name) if name == same), "{same}");
        }
    }
}
