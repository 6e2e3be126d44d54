//! Who sees an object.

use std::collections::BTreeSet;

/// Who sees an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Export {
    Nobody,
    Everyone,
    /// The object's own namespace alone.
    Own,
    Namespaces(BTreeSet<String>),
}

/// How near an object is to a namespace that sees it: nearer ones are taken first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Nearness {
    Private,
    Named,
    Public,
}

impl Export {
    /// What an object in namespace `own` says, or else the mesh. Without either, everyone sees it.
    pub(super) fn new(export_to: &[String], default: &[String], own: &str) -> Self {
        let says = |names: &[String], word: &str| names.iter().any(|name| name == word);
        if export_to.is_empty() {
            // Of the mesh only these two words count.
            return match default {
                [] => Self::Everyone,
                _ if says(default, ".") => Self::Own,
                _ if says(default, "*") => Self::Everyone,
                _ => Self::Nobody,
            };
        }
        if says(export_to, "*") {
            return Self::Everyone;
        }
        if says(export_to, "~") {
            return Self::Nobody;
        }
        let whole = |name: &String| if name == "." { own.to_owned() } else { name.clone() };
        let names: BTreeSet<String> = export_to.iter().map(whole).collect();
        if names.len() == 1 && names.contains(own) { Self::Own } else { Self::Namespaces(names) }
    }

    /// How near it is to clients in `namespace`; `None` if they do not see it.
    pub(super) fn nearness(&self, own: &str, namespace: &str) -> Option<Nearness> {
        match self {
            Self::Nobody => None,
            Self::Everyone => Some(Nearness::Public),
            Self::Own => (own == namespace).then_some(Nearness::Private),
            Self::Namespaces(names) => names.contains(namespace).then_some(if own == namespace {
                Nearness::Private
            } else {
                Nearness::Named
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearness(export_to: &[&str], default: &[&str], namespace: &str) -> Option<Nearness> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Export::new(&owned(export_to), &owned(default), "shop").nearness("shop", namespace)
    }

    #[test]
    fn the_object_says_who_sees_it_or_else_the_mesh() {
        assert_eq!(nearness(&[], &[], "other"), Some(Nearness::Public));
        assert_eq!(nearness(&["."], &[], "other"), None);
        assert_eq!(nearness(&["."], &[], "shop"), Some(Nearness::Private));
        assert_eq!(nearness(&[".", "other"], &[], "other"), Some(Nearness::Named));
        assert_eq!(nearness(&[], &["."], "other"), None);
        assert_eq!(nearness(&["*"], &["."], "other"), Some(Nearness::Public));
        assert_eq!(nearness(&["~"], &[], "shop"), None);
        assert_eq!(nearness(&[], &["*", "."], "other"), None);
        assert_eq!(nearness(&[], &["other"], "other"), None);
    }
}
