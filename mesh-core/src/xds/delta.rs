//! The delta protocol for one kind of resource: requests and responses say what changed.

use super::in_process::Protocol;
use super::kind::ResourceKind;
use super::nack::{Pace, Refusals, refusal};
use super::table::{Added, Table};
use super::wire::Response;
use crate::clock::Instant;
use mesh_proto::ads::DeltaDiscoveryRequest;
use mesh_proto::envoy::config::core::v3::Node;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The name of everything.
const WILDCARD: &str = "*";
/// Refusals that may wait to be sent; beyond it the oldest is left out.
const MAX_REPLIES: usize = 16;

/// The delta protocol for one kind of resource.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// The version of the whole configuration that the last response was part of.
    version: String,
    open: bool,
    /// Requests sent on this stream that change what is subscribed to.
    requests: u64,
    /// Names that the next request subscribes to.
    subscribe: BTreeSet<Arc<str>>,
    /// Names that the next request unsubscribes from.
    unsubscribe: BTreeSet<Arc<str>>,
    /// Whether the next request subscribes to everything.
    everything: bool,
    /// The answers to responses that are not sent yet. Acceptances make one, for the last of them.
    replies: VecDeque<Reply>,
    pace: Pace,
}

#[derive(Debug)]
struct Reply {
    nonce: String,
    refused: Option<String>,
}

impl Delta {
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn add<K: ResourceKind>(&mut self, table: &mut Table<K>, name: &Arc<str>) {
        match table.add(name) {
            Added::New => {
                self.unsubscribe.remove(name);
                self.subscribe.insert(name.clone());
            }
            Added::Listed | Added::Restored if self.unsubscribe.remove(name) => {}
            Added::Listed => {
                self.subscribe.insert(name.clone());
            }
            Added::Restored => {}
            Added::Known => {}
        }
    }

    pub(super) fn remove<K: ResourceKind>(&mut self, table: &mut Table<K>, name: &Arc<str>) {
        let untold = self.subscribe.remove(name);
        if table.remove(name) {
            if untold {
                table.leave(name);
            } else {
                self.unsubscribe.insert(name.clone());
            }
        }
    }

    pub(super) fn add_all(&mut self) {
        self.everything = true;
    }

    pub(super) fn stream_opened<K: ResourceKind>(&mut self, table: &mut Table<K>) {
        self.open = true;
        self.subscribe = table.askable().cloned().collect();
        self.everything = table.is_wildcard();
    }

    pub(super) fn stream_closed(&mut self) {
        *self = Self { version: std::mem::take(&mut self.version), ..Self::default() };
    }

    /// The request that is due, if any: an answer, or else what changed. Never both, because servers ignore the names in a
    /// refusal and in the answer to any response but their last.
    pub(super) fn next_request<K: ResourceKind>(
        &mut self,
        now: Instant,
        table: &mut Table<K>,
        node: Option<&Node>,
    ) -> Option<Vec<u8>> {
        if !self.open {
            return None;
        }
        let reply = if self.pace.permits(now) { self.replies.pop_front() } else { None };
        let mut request = match reply {
            Some(Reply { nonce, refused }) => {
                self.pace.answered(now);
                let error_detail = refused.map(refusal);
                DeltaDiscoveryRequest { response_nonce: nonce, error_detail, ..Default::default() }
            }
            None => self.changes(now, table)?,
        };
        request.node = node.cloned();
        table.kind.type_url().clone_into(&mut request.type_url);
        Some(request.encode_to_vec())
    }

    /// What is wanted, and wanted no more, since the last request that said so.
    fn changes<K: ResourceKind>(
        &mut self,
        now: Instant,
        table: &mut Table<K>,
    ) -> Option<DeltaDiscoveryRequest> {
        if self.subscribe.is_empty() && self.unsubscribe.is_empty() && !self.everything {
            return None;
        }
        let first = self.requests == 0;
        self.requests += 1;
        let subscribe = std::mem::take(&mut self.subscribe);
        let mut names = Vec::with_capacity(subscribe.len() + 1);
        if std::mem::take(&mut self.everything) {
            // A control plane that is known to be slow at times may yet begin.
            if !table.features.resource_timer_is_transient_error {
                table.listing.asked(now, table.features.resource_timeout());
            }
            if !(first && subscribe.is_empty()) {
                // A first request without any names means everything too, and every server knows that.
                names.push(WILDCARD.to_owned());
            }
        }
        for name in &subscribe {
            table.ask(now, name, self.requests);
            names.push(name.to_string());
        }
        let mut unsubscribe = Vec::with_capacity(self.unsubscribe.len());
        for name in std::mem::take(&mut self.unsubscribe) {
            table.leave(&name);
            unsubscribe.push(name.to_string());
        }
        Some(DeltaDiscoveryRequest {
            resource_names_subscribe: names,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions: if first { versions(table) } else { BTreeMap::new() },
            ..Default::default()
        })
    }

    /// Takes a response in.
    pub(super) fn receive<K: ResourceKind>(
        &mut self,
        now: Instant,
        table: &mut Table<K>,
        response: &Response<'_>,
    ) {
        if self.requests == 0 {
            return;
        }
        let mut refusals = Refusals::default();
        table.receive(now, Protocol::Delta, response, &mut refusals);
        table.note_unmentioned(now);
        if table.is_wildcard() && !self.everything {
            table.listing.part(now, table.features.resource_timeout());
        }
        let refused = refusals.finish();
        self.pace.heard(now, table.has_changed(), refused.is_some());
        if refused.is_none() {
            response.version.clone_into(&mut self.version);
            if self.replies.back().is_some_and(|reply| reply.refused.is_none()) {
                self.replies.pop_back();
            }
        }
        self.replies.push_back(Reply { nonce: response.nonce.to_owned(), refused });
        if self.replies.len() > MAX_REPLIES {
            self.replies.pop_front();
        }
    }

    /// When [`next_request`](Self::next_request) has something to do next.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.pace.until().filter(|_| !self.replies.is_empty())
    }

    /// Lets go an answer that was held back.
    pub(super) fn fire(&mut self, now: Instant) {
        self.pace.fire(now);
    }
}

/// The versions of what this control plane has sent, by name. What is a part of everything and comes from elsewhere has a
/// version that there is not, so that the server sends it or says that it is gone.
fn versions<K: ResourceKind>(table: &Table<K>) -> BTreeMap<String, String> {
    let versions = table.entries().filter_map(|(name, entry)| {
        let present = entry.present()?;
        let version = if entry.inherited { "" } else { &*present.version };
        let told = !version.is_empty() || entry.is_unconfirmed();
        told.then(|| (name.to_string(), version.to_owned()))
    });
    versions.collect()
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
