//! Who is asked for what: authorities, and the names of the Listeners that targets stand for (gRFC A47).

use super::reader::Item;
use super::server::Server;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Where the name of a target stands in a template.
const NAME: &str = "%s";
/// How names begin that say which authority has them.
pub(crate) const FEDERATED: &str = "xdstp:";
/// What is escaped in a path: all but what RFC 3986 allows there.
pub(crate) const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// Who answers for the names that begin with `xdstp://NAME/`, and for the targets `xds://NAME/…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The Listener to ask for a target. Default: `xdstp://NAME/envoy.config.listener.v3.Listener/%s`.
    pub listener_template: ListenerTemplate,
    /// Its control planes, best first. Empty: those of the bootstrap as a whole.
    pub servers: Vec<Server>,
    /// Whether to move on to the next control plane as soon as one cannot be reached, even if everything needed is
    /// known (gRFC A95).
    pub fallback_on_reachability_only: bool,
}

/// What follows `xdstp:`, in whatever case, in a name that says who has the resource.
pub(crate) fn without_scheme(name: &str) -> Option<&str> {
    let (scheme, rest) = name.split_at_checked(FEDERATED.len())?;
    scheme.eq_ignore_ascii_case(FEDERATED).then_some(rest)
}

/// The name of the Listener that a target stands for, `%s` being the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTemplate {
    /// How each name begins: what names an authority stays as it is, whatever is in it.
    start: String,
    /// What follows, with `%s` in it.
    rest: String,
}

impl Default for ListenerTemplate {
    fn default() -> Self {
        Self { start: String::new(), rest: NAME.to_owned() }
    }
}

impl ListenerTemplate {
    /// A template.
    ///
    /// # Errors
    ///
    /// If there is no `%s` in it.
    pub fn new(text: &str) -> Result<Self, String> {
        Self::after("", text)
    }

    /// A template whose names begin with `start`.
    fn after(start: &str, rest: &str) -> Result<Self, String> {
        if rest.contains(NAME) {
            Ok(Self { start: start.to_owned(), rest: rest.to_owned() })
        } else {
            Err(format!("\"{start}{rest}\" has no {NAME} where the target's name belongs"))
        }
    }

    /// The name of the Listener of a target. In an `xdstp:` name the target is percent-encoded.
    #[must_use]
    pub fn name(&self, target: &str) -> String {
        let Self { start, rest } = self;
        // What takes the place of a `%s` is not looked into again.
        let rest = if without_scheme(start).or(without_scheme(rest)).is_some() {
            rest.replace(NAME, &utf8_percent_encode(target, PATH).to_string())
        } else {
            rest.replace(NAME, target)
        };
        format!("{start}{rest}")
    }
}

impl Authority {
    pub(super) fn read(name: &str, item: Item<'_>) -> Result<Self, String> {
        let mut object = item.object()?;
        let field = "client_listener_resource_name_template";
        let own = format!("{FEDERATED}//{name}/");
        let rest = match object.text(field)? {
            Some(text) => match text.strip_prefix(&own) {
                Some(rest) => rest.to_owned(),
                None => return Err(object.complain(field, format!("{text:?} does not begin with {own}"))),
            },
            None => format!("envoy.config.listener.v3.Listener/{NAME}"),
        };
        let listener_template =
            ListenerTemplate::after(&own, &rest).map_err(|why| object.complain(field, why))?;
        let servers = Server::read_list(&mut object)?;
        let fallback_on_reachability_only = object.flag("fallback_on_reachability_only")?;
        object.done();
        Ok(Self { listener_template, servers, fallback_on_reachability_only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_escaped_only_where_the_name_is_a_uri() {
        let name = |template, target| ListenerTemplate::new(template).unwrap().name(target);
        assert_eq!(name("%s", "a b?c/d:80"), "a b?c/d:80");
        assert_eq!(name("x/%s?raw", "[::1]:80"), "x/[::1]:80?raw");
        assert_eq!(name("xdstp://a/t/%s?k=v", "a b?c/d:80"), "xdstp://a/t/a%20b%3Fc/d:80?k=v");
        assert_eq!(name("XDSTP://a/t/%s?k=v", "a?b"), "XDSTP://a/t/a%3Fb?k=v");
        assert_eq!(name("xdstp://a/t/%s", "[::1]:80%é"), "xdstp://a/t/%5B::1%5D:80%25%C3%A9");
    }

    #[test]
    fn what_is_put_in_is_not_looked_into() {
        let name = |template, target| ListenerTemplate::new(template).unwrap().name(target);
        assert_eq!(name("a/%s/%s", "x%s%s"), "a/x%s%s/x%s%s");
        assert_eq!(name("xdstp://a/t/%s", "%s"), "xdstp://a/t/%25s");
        let template = ListenerTemplate::after("xdstp://odd%s/", "t/%s").unwrap();
        assert_eq!(template.name("x"), "xdstp://odd%s/t/x", "nor is the name of an authority");
        let error = ListenerTemplate::after("xdstp://odd%s/", "t/x").unwrap_err();
        assert!(error.contains("xdstp://odd%s/t/x"), "{error}");
    }
}
