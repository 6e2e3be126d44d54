//! Every field of the messages that are read, and what becomes of it: one table, for the dump and for
//! `docs/xds-support.md`, so that nothing that a control plane sends is lost in silence.

mod cluster;
mod endpoint;
mod leaf;
mod listener;
mod rbac;
mod route;
mod tls;

use super::Kind;
use super::extension::{Config, Extension};
use crate::wire::{Fields, Value};
use mesh_proto::google::protobuf::Any;
use prost::Message as _;
use std::collections::BTreeMap;
use std::fmt;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Requests are affected by it.
    Acted,
    /// It is checked and kept, but nothing is done with it yet.
    Kept,
    /// It is understood to be there, and neither checked nor kept.
    Reported,
    /// The resource is refused if it is there.
    Refused,
    /// It does not concern a client.
    Ignored,
    /// It is not known: a field of a newer version, or an extension.
    Unknown,
}

/// A message and its fields.
#[derive(Debug)]
struct Message {
    name: &'static str,
    /// By what becomes of them.
    groups: &'static [(Use, &'static [Field])],
}

#[derive(Debug)]
struct Field {
    number: u32,
    name: &'static str,
    /// What is in it, if that is looked at.
    child: Option<&'static Message>,
}

/// Declares messages: what becomes of which fields, by number and name, and with `>` the message in a field.
macro_rules! messages {
    (@child) => { None };
    (@child $child:ident) => { Some(&$child) };
    (@use acted) => { super::Use::Acted };
    (@use kept) => { super::Use::Kept };
    (@use reported) => { super::Use::Reported };
    (@use refused) => { super::Use::Refused };
    (@use ignored) => { super::Use::Ignored };
    ($($id:ident = $name:literal {
        $($how:ident: $($number:literal $field:ident $(> $child:ident)?),+;)*
    })*) => {
        $(pub(super) static $id: super::Message = super::Message {
            name: $name,
            groups: &[$((super::messages!(@use $how), &[$(super::Field {
                number: $number,
                name: stringify!($field),
                child: super::messages!(@child $($child)?),
            }),+])),*],
        };)*

        /// Every message of this file.
        pub(super) static ALL: &[&super::Message] = &[$(&$id),*];
    };
}
use messages;

/// Any message, which its type URL tells.
static ANY: Message = Message { name: "google.protobuf.Any", groups: &[] };
/// Messages by name.
static ANY_MAP: Message = Message {
    name: "",
    groups: &[
        (Use::Ignored, &[Field { number: 1, name: "key", child: None }]),
        (Use::Acted, &[Field { number: 2, name: "value", child: Some(&ANY) }]),
    ],
};

/// How deep messages are looked into.
const MAX_DEPTH: usize = 64;

/// The fields that a resource has, by their paths, and what becomes of each. The items of a list share one path.
pub fn scan(kind: Kind, bytes: &[u8]) -> BTreeMap<String, Use> {
    let root = match kind {
        Kind::Listener => &listener::LISTENER,
        Kind::Route => &route::ROUTE_CONFIGURATION,
        Kind::Cluster => &cluster::CLUSTER,
        Kind::Endpoint => &endpoint::CLUSTER_LOAD_ASSIGNMENT,
        Kind::Secret => &tls::SECRET,
    };
    let mut found = BTreeMap::new();
    root.scan(bytes, "", Use::Acted, 0, &mut found);
    found
}

fn all() -> impl Iterator<Item = &'static Message> {
    [listener::ALL, rbac::ALL, route::ALL, cluster::ALL, endpoint::ALL, tls::ALL, leaf::ALL]
        .into_iter()
        .flatten()
        .copied()
}

impl Message {
    fn find(&self, number: u32) -> Option<(Use, &'static Field)> {
        self.groups.iter().find_map(|(how, fields)| {
            fields.iter().find(|field| field.number == number).map(|field| (*how, field))
        })
    }

    fn scan(&self, bytes: &[u8], path: &str, above: Use, depth: usize, found: &mut BTreeMap<String, Use>) {
        if depth > MAX_DEPTH {
            return;
        }
        if self.name == ANY.name {
            return scan_any(bytes, path, above, depth, found);
        }
        let dot = if path.is_empty() { "" } else { "." };
        for field in Fields::of(bytes).map_while(Result::ok) {
            let Some((how, known)) = self.find(field.number) else {
                found.insert(format!("{path}{dot}#{}", field.number), Use::Unknown);
                continue;
            };
            // What is in a field is used no more than the field.
            let how = how.max(above);
            let path = format!("{path}{dot}{}", known.name);
            match (known.child, field.value) {
                (Some(child), Value::Bytes(value)) => {
                    found.entry(path.clone()).or_insert(how);
                    child.scan(value, &path, how, depth + 1, found);
                }
                _ => {
                    found.insert(path, how);
                }
            }
        }
    }
}

/// Looks into a packed message, if it is known.
fn scan_any(bytes: &[u8], path: &str, above: Use, depth: usize, found: &mut BTreeMap<String, Use>) {
    let Ok(any) = Any::decode(bytes) else { return };
    let Ok(config) = Config::of(&any) else { return };
    let path = format!("{path}({})", config.message);
    let message = all().find(|message| message.name == config.message);
    match (message, config.bytes) {
        (Some(message), Some(bytes)) => message.scan(bytes, &path, above, depth + 1, found),
        // Known, but nothing of it is looked at.
        (_, Some(_)) if Extension::of_message(&config.message).is_some() => {
            found.insert(path, Use::Ignored);
        }
        _ => {
            found.insert(path, Use::Unknown);
        }
    }
}

impl Use {
    /// In words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acted => "acted on",
            Self::Kept => "kept for later",
            Self::Reported => "reported",
            Self::Refused => "refused",
            Self::Ignored => "ignored",
            Self::Unknown => "not known",
        }
    }
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
#[path = "decoders_tests.rs"]
mod decoders_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fmt::Write;

    /// What precedes the part of the page that is made of the table.
    const MARK: &str = "<!-- made of the table of fields: UPDATE_DOCS=1 cargo test -p mesh-core fields -->\n";

    #[test]
    fn each_field_stands_in_the_table_once() {
        let mut names = BTreeSet::new();
        for message in all() {
            assert!(names.insert(message.name), "{} comes twice", message.name);
            let mut numbers = BTreeSet::new();
            for field in message.groups.iter().flat_map(|(_, fields)| *fields) {
                assert!(numbers.insert(field.number), "{}.{} comes twice", message.name, field.name);
            }
        }
    }

    #[test]
    fn the_page_says_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/xds-support.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (intro, _) = page.split_once(MARK).unwrap();
        let expected = format!("{intro}{MARK}{}", render());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &expected).unwrap();
        } else {
            assert!(
                page == expected,
                "docs/xds-support.md is out of date: UPDATE_DOCS=1 cargo test -p mesh-core fields"
            );
        }
    }

    fn render() -> String {
        let mut page = String::new();
        let parts = [
            ("Listener", listener::ALL),
            ("RBAC", rbac::ALL),
            ("RouteConfiguration", route::ALL),
            ("Cluster", cluster::ALL),
            ("ClusterLoadAssignment", endpoint::ALL),
            ("TLS and Secret", tls::ALL),
            ("In several of them", leaf::ALL),
        ];
        for (title, messages) in parts {
            writeln!(page, "\n## {title}").unwrap();
            for message in messages {
                write!(page, "\n### `{}`\n\n| | Fields |\n|---|---|\n", message.name).unwrap();
                for (how, fields) in message.groups {
                    let names: Vec<_> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
                    writeln!(page, "| {how} | {} |", names.join(", ")).unwrap();
                }
            }
        }
        page.push_str("\n## Extensions\n\nThe messages that are known where an extension may stand:\n\n");
        for extension in Extension::ALL {
            writeln!(page, "- `{}`", extension.message()).unwrap();
        }
        page
    }
}
