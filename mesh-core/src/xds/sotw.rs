//! The state-of-the-world protocol for one kind of resource: every request lists every name, and a response of some
//! kinds every resource.

use super::features::UNLISTED_GRACE;
use super::in_process::Protocol;
use super::kind::ResourceKind;
use super::nack::{Pace, Refusals, refusal};
use super::table::{Added, Table};
use super::wire::Response;
use crate::clock::Instant;
use mesh_proto::ads::DiscoveryRequest;
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::google::rpc::Status;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A name that so many requests lacked is unsubscribed from, however many responses crossed them.
const ENOUGH_REQUESTS: u64 = 8;

/// The state-of-the-world protocol for one kind of resource.
#[derive(Debug, Default)]
pub(super) struct Sotw {
    /// The last version that was accepted whole; survives streams.
    version: String,
    /// What requests say of it. Nothing on a new stream if the client may lack a part of that version: because it does,
    /// or because that version may have come in several responses.
    offered: String,
    /// The last nonce of this stream.
    nonce: String,
    /// Requests sent on this stream that tell what is wanted: all but refusals.
    requests: u64,
    /// The answer to the last response, if it is not sent yet.
    reply: Option<Reply>,
    /// Whether the names may have changed since the last request.
    dirty: bool,
    /// The names of the last request, as encoded.
    names: Vec<u8>,
    /// Those of the next request, if they differ.
    news: Option<Vec<u8>>,
    told: Told,
    /// Whether any request on this stream had names: one without names then means none, and not all.
    had_names: bool,
    /// Names that the next request asks for first.
    fresh: Vec<Arc<str>>,
    /// Names that the next request leaves out first.
    leaving: Vec<Arc<str>>,
    /// Names that were left out, and when. The server may not have noticed: it ignores a request that crosses a
    /// response of its own. Until it must have, a name that is wanted again is not asked for, because to a server
    /// that only sends changes it would not be a new one.
    left: HashMap<Arc<str>, Left>,
    /// Names that are wanted again meanwhile.
    held: BTreeSet<Arc<str>>,
    heard: Option<Instant>,
    pace: Pace,
}

#[derive(Debug)]
enum Reply {
    Ack,
    Nack(String),
}

/// Whether the server knows the names of the last request: it ignores one that crosses a response of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Surely,
    /// If no response crossed the request, which was sent at this time.
    At(Instant),
    /// Unless the last response crossed the request.
    Perhaps,
}

#[derive(Clone, Copy, Debug)]
struct Left {
    at: Instant,
    request: u64,
}

impl Sotw {
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn add<K: ResourceKind>(&mut self, table: &mut Table<K>, name: &Arc<str>) {
        match table.add(name) {
            Added::New if self.left.contains_key(name) => drop(self.held.insert(name.clone())),
            Added::New | Added::Listed => {
                self.fresh.push(name.clone());
                self.dirty = true;
            }
            Added::Restored => self.dirty = true,
            Added::Known => {}
        }
    }

    pub(super) fn remove<K: ResourceKind>(&mut self, table: &mut Table<K>, name: &Arc<str>) {
        if table.remove(name) {
            self.leaving.push(name.clone());
        }
        self.held.remove(name);
        self.dirty = true;
    }

    pub(super) fn add_all(&mut self) {
        self.dirty = true;
    }

    pub(super) fn stream_opened<K: ResourceKind>(&mut self, table: &mut Table<K>) {
        self.fresh = table.askable().cloned().collect();
        self.dirty = true;
    }

    pub(super) fn stream_closed(&mut self) {
        *self = Self { version: std::mem::take(&mut self.version), ..Self::default() };
    }

    /// The request that is due, if any. Servers do not look at the names in a refusal, so new ones follow in a request of
    /// their own.
    pub(super) fn next_request<K: ResourceKind>(
        &mut self,
        now: Instant,
        table: &mut Table<K>,
        node: Option<&Node>,
    ) -> Option<Vec<u8>> {
        if std::mem::take(&mut self.dirty) {
            let names = self.encode_names(table);
            let first = self.requests == 0;
            if first && names.is_empty() && !table.is_wildcard() {
                // An empty first request would subscribe to everything.
                return None;
            }
            if first {
                self.offered.clear();
                if table.kind.is_complete() && table.is_clean() {
                    self.offered.clone_from(&self.version);
                }
            }
            self.news = (first || names != self.names).then_some(names);
        }
        if self.news.is_none() && !self.pace.permits(now) {
            return None;
        }
        match self.reply.take() {
            Some(Reply::Nack(message)) => {
                self.pace.answered(now);
                Some(self.encode(table, node, Some(refusal(message))))
            }
            None if self.news.is_none() && self.told != Told::Perhaps => None,
            Some(Reply::Ack) | None => {
                self.tell(now, table);
                Some(self.encode(table, node, None))
            }
        }
    }

    /// The next request tells what is wanted.
    fn tell<K: ResourceKind>(&mut self, now: Instant, table: &mut Table<K>) {
        self.requests += 1;
        self.pace.answered(now);
        if self.news.is_some() || self.told != Told::Surely {
            // No response can have crossed the first request.
            self.told = if self.requests == 1 { Told::Surely } else { Told::At(now) };
        }
        if let Some(names) = self.news.take() {
            self.had_names |= !names.is_empty();
            self.names = names;
        }
        for name in self.fresh.drain(..) {
            table.ask(now, &name, self.requests);
        }
        for name in self.leaving.drain(..) {
            if table.leave(&name) {
                self.left.insert(name, Left { at: now, request: self.requests });
            }
        }
    }

    /// A request with the names that are told.
    fn encode<K: ResourceKind>(
        &self,
        table: &Table<K>,
        node: Option<&Node>,
        error_detail: Option<Status>,
    ) -> Vec<u8> {
        let request = DiscoveryRequest {
            version_info: self.offered.clone(),
            node: node.cloned(),
            resource_names: Vec::new(),
            type_url: table.kind.type_url().to_owned(),
            response_nonce: self.nonce.clone(),
            error_detail,
        };
        let mut encoded = Vec::with_capacity(request.encoded_len() + self.names.len());
        encoded.extend_from_slice(&self.names);
        // Fails only without room, and a vector grows.
        let _ = request.encode(&mut encoded);
        encoded
    }

    /// The names to ask for, as the field `resource_names` of a request.
    fn encode_names<K: ResourceKind>(&self, table: &Table<K>) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(self.names.len());
        let mut put = |name: &str| {
            encode_key(RESOURCE_NAMES, WireType::LengthDelimited, &mut encoded);
            encode_varint(name.len() as u64, &mut encoded);
            encoded.extend_from_slice(name.as_bytes());
        };
        let wanted = table.askable().filter(|name| !self.held.contains(*name));
        let mut wanted = wanted.peekable();
        if table.is_wildcard() && (self.had_names || wanted.peek().is_some()) {
            put("*");
        }
        wanted.for_each(|name| put(name));
        encoded
    }

    /// Takes a response in.
    pub(super) fn receive<K: ResourceKind>(
        &mut self,
        now: Instant,
        table: &mut Table<K>,
        response: &Response<'_>,
    ) {
        if self.requests == 0 {
            // Nothing was asked; an answer to this would subscribe to everything.
            return;
        }
        let mut refusals = Refusals::default();
        let heard = table.receive(now, Protocol::StateOfTheWorld, response, &mut refusals);
        // A response of nothing but heartbeats is not the state of the world; and a resource whose name cannot be
        // read may be any of those that seem to be left out.
        let only_heartbeats = heard.heartbeats > 0 && heard.heartbeats == response.resources.len();
        if table.kind.is_complete() && heard.nameless == 0 && !only_heartbeats {
            table.note_unlisted(now);
        }
        if table.is_wildcard() {
            table.listing.complete();
        }
        response.nonce.clone_into(&mut self.nonce);
        self.told = match self.told {
            Told::At(at) if now >= at + UNLISTED_GRACE => Told::Surely,
            Told::At(_) => Told::Perhaps,
            told => told,
        };
        let refused = refusals.finish();
        self.heard = Some(now);
        self.pace.heard(now, table.has_changed(), refused.is_some());
        self.reply = Some(match refused {
            Some(message) => Reply::Nack(message),
            None => {
                response.version.clone_into(&mut self.version);
                self.offered.clone_from(&self.version);
                Reply::Ack
            }
        });
    }

    /// When [`fire`](Self::fire) or [`next_request`](Self::next_request) has something to do next.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let settled =
            self.held.iter().filter_map(|name| self.left.get(name)).map(|left| self.settled_at(left));
        settled.chain(self.reply.as_ref().and(self.pace.until())).min()
    }

    /// Lets go what was held back: an answer, and names that the server by now knows to have been unsubscribed from.
    pub(super) fn fire(&mut self, now: Instant) {
        self.pace.fire(now);
        if self.left.is_empty() {
            return;
        }
        let mut left = std::mem::take(&mut self.left);
        left.retain(|_, left| now < self.settled_at(left) && self.requests - left.request < ENOUGH_REQUESTS);
        self.left = left;
        let Self { held, fresh, left, .. } = self;
        held.retain(|name| {
            let hold = left.contains_key(name);
            if !hold {
                fresh.push(name.clone());
                self.dirty = true;
            }
            hold
        });
    }

    /// When the server has noticed that a name was left out.
    fn settled_at(&self, left: &Left) -> Instant {
        self.heard.map_or(left.at, |heard| heard.max(left.at)) + UNLISTED_GRACE
    }
}

/// The number of the field `resource_names` of `DiscoveryRequest`.
const RESOURCE_NAMES: u32 = 3;
