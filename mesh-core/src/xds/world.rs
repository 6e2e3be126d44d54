//! What the control plane of the property tests has.

use super::fixture::Toy;
use super::kind::ResourceKind;
use std::collections::BTreeMap;

/// What the control plane has of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// A resource: 0 is a bad one. A brief one has a time to live and is renewed.
    Resource { number: u32, brief: bool },
    /// Nothing but an error, of this number.
    Error(u32),
}

/// What the control plane has.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) things: [BTreeMap<String, Thing>; 2],
    versions: [u64; 2],
    last: u32,
}

impl World {
    pub(super) fn get(&self, kind: Toy, name: &str) -> Option<Thing> {
        self.things[kind.index()].get(name).copied()
    }

    pub(super) fn names(&self, kind: Toy) -> impl Iterator<Item = &String> {
        self.things[kind.index()].keys()
    }

    pub(super) fn set(&mut self, kind: Toy, name: &str, thing: impl FnOnce(u32) -> Thing) {
        self.last += 1;
        self.things[kind.index()].insert(name.to_owned(), thing(self.last));
        self.versions[kind.index()] += 1;
    }

    pub(super) fn remove(&mut self, kind: Toy, name: &str) {
        if self.things[kind.index()].remove(name).is_some() {
            self.versions[kind.index()] += 1;
        }
    }

    /// Makes brief resources last.
    pub(super) fn make_last(&mut self) {
        for (things, version) in self.things.iter_mut().zip(&mut self.versions) {
            for thing in things.values_mut() {
                if let Thing::Resource { brief: brief @ true, .. } = thing {
                    *brief = false;
                    *version += 1;
                }
            }
        }
    }

    pub(super) fn version(&self, kind: Toy) -> String {
        format!("v{}", self.versions[kind.index()])
    }
}

impl Thing {
    pub(super) fn good(number: u32) -> Self {
        Self::Resource { number, brief: false }
    }

    /// Whether it is no good resource.
    pub(super) fn is_wrong(self) -> bool {
        matches!(self, Self::Error(_) | Self::Resource { number: 0, .. })
    }

    pub(super) fn is_brief(self) -> bool {
        matches!(self, Self::Resource { brief: true, .. })
    }

    /// What the client has that has this version; one that it has to be told in any case if it is brief.
    pub(super) fn of_version(version: &str) -> Self {
        version.parse().map_or(UNKNOWN, Self::good)
    }
}

/// Something that the control plane does not have.
pub(super) const UNKNOWN: Thing = Thing::Error(u32::MAX);

/// What the control plane says of an error.
pub(super) fn message(error: u32) -> String {
    format!("error {error}")
}
