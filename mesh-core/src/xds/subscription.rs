//! The subscriptions of one kind of resource, in either protocol.

use super::cache::{Entry, Present};
use super::delta::Delta;
use super::features::Features;
use super::in_process::Protocol;
use super::kind::ResourceKind;
use super::listing::Listed;
use super::sotw::Sotw;
use super::table::{Received, Table};
use super::wire::Response;
use crate::clock::Instant;
use mesh_proto::envoy::config::core::v3::Node;
use std::sync::Arc;

/// The subscriptions of one kind of resource.
#[derive(Debug)]
pub(super) struct Subscription<K: ResourceKind> {
    table: Table<K>,
    dialogue: Dialogue,
}

/// What was said and is to be said.
#[derive(Debug)]
enum Dialogue {
    StateOfTheWorld(Sotw),
    Delta(Delta),
}

impl<K: ResourceKind> Subscription<K> {
    pub(super) fn new(kind: K, protocol: Protocol, features: Features, local: K::Local) -> Self {
        let dialogue = match protocol {
            Protocol::StateOfTheWorld => Dialogue::StateOfTheWorld(Sotw::default()),
            Protocol::Delta => Dialogue::Delta(Delta::default()),
        };
        Self { table: Table::new(kind, features, local), dialogue }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry<K::Value>> {
        self.table.get(name)
    }

    /// Everything known, by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry<K::Value>)> {
        let mut entries: Vec<_> = self.table.entries().collect();
        entries.sort_unstable_by_key(|(name, _)| *name);
        entries.into_iter()
    }

    pub(super) fn version(&self) -> &str {
        match &self.dialogue {
            Dialogue::StateOfTheWorld(sotw) => sotw.version(),
            Dialogue::Delta(delta) => delta.version(),
        }
    }

    /// Subscribes to the names `added`, and to those `removed` no more; either may be so already.
    pub(super) fn change(&mut self, added: &[Arc<str>], removed: &[Arc<str>]) {
        let Self { table, dialogue } = self;
        match dialogue {
            Dialogue::StateOfTheWorld(sotw) => {
                removed.iter().for_each(|name| sotw.remove(table, name));
                added.iter().for_each(|name| sotw.add(table, name));
            }
            Dialogue::Delta(delta) => {
                removed.iter().for_each(|name| delta.remove(table, name));
                added.iter().for_each(|name| delta.add(table, name));
            }
        }
    }

    /// How many resources were received.
    pub(super) fn received(&self) -> Received {
        self.table.received
    }

    /// How much of everything was listed, if everything is subscribed to.
    pub(super) fn listed(&self) -> Listed {
        self.table.listing.listed()
    }

    /// Subscribes to everything, whatever its name.
    pub(super) fn add_all(&mut self) {
        if self.table.set_wildcard() {
            match &mut self.dialogue {
                Dialogue::StateOfTheWorld(sotw) => sotw.add_all(),
                Dialogue::Delta(delta) => delta.add_all(),
            }
        }
    }

    /// Puts a resource in force that this control plane has not sent, until its time to live ends.
    pub(super) fn preload(&mut self, name: &str, resource: Present<K::Value>, expires: Option<Instant>) {
        self.table.preload(name, resource, expires);
    }

    /// A new stream is up: everything has to be asked for again.
    pub(super) fn stream_opened(&mut self) {
        self.table.stream_opened();
        match &mut self.dialogue {
            Dialogue::StateOfTheWorld(sotw) => sotw.stream_opened(&mut self.table),
            Dialogue::Delta(delta) => delta.stream_opened(&mut self.table),
        }
    }

    /// The stream is gone.
    pub(super) fn stream_closed(&mut self) {
        self.table.stream_closed();
        match &mut self.dialogue {
            Dialogue::StateOfTheWorld(sotw) => sotw.stream_closed(),
            Dialogue::Delta(delta) => delta.stream_closed(),
        }
    }

    /// The request that is due, if any.
    pub(super) fn next_request(&mut self, now: Instant, node: Option<&Node>) -> Option<Vec<u8>> {
        match &mut self.dialogue {
            Dialogue::StateOfTheWorld(sotw) => sotw.next_request(now, &mut self.table, node),
            Dialogue::Delta(delta) => delta.next_request(now, &mut self.table, node),
        }
    }

    /// Takes a response in.
    pub(super) fn receive(&mut self, now: Instant, response: &Response<'_>) {
        match &mut self.dialogue {
            Dialogue::StateOfTheWorld(sotw) => sotw.receive(now, &mut self.table, response),
            Dialogue::Delta(delta) => delta.receive(now, &mut self.table, response),
        }
    }

    /// The names whose entries changed since the last call.
    pub(super) fn take_changed(&mut self) -> impl Iterator<Item = Arc<str>> {
        self.table.take_changed()
    }

    /// When something is due next.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let dialogue = match &self.dialogue {
            Dialogue::StateOfTheWorld(sotw) => sotw.next_timer(),
            Dialogue::Delta(delta) => delta.next_timer(),
        };
        self.table.next_timer().into_iter().chain(dialogue).min()
    }

    /// Draws the conclusions from silence.
    pub(super) fn fire(&mut self, now: Instant) {
        self.table.fire(now);
        match &mut self.dialogue {
            Dialogue::StateOfTheWorld(sotw) => sotw.fire(now),
            Dialogue::Delta(delta) => delta.fire(now),
        }
    }
}
