//! A model of a control plane and of the network to it, for the property tests: both protocols, in virtual time.

use super::fixture::Toy::{self, Part, Whole};
use super::fixture::{any, resource};
use super::in_process::Protocol;
use super::kind::ResourceKind;
use crate::clock::{Clock, Instant};
use bytes::Bytes;
use mesh_proto::ads::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The longest time that a message travels.
pub(super) const MAX_LATENCY: Duration = Duration::from_millis(100);

/// How a server goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) protocol: Protocol,
    /// Sends what the client does not have yet, instead of everything whenever something changes.
    pub(super) thrifty: bool,
    /// Sends each resource in a response of its own where the protocol permits.
    pub(super) piecemeal: bool,
}

/// What the control plane has: 0 is a bad resource.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    resources: [BTreeMap<String, u32>; 2],
    versions: [u64; 2],
    last: u32,
}

impl World {
    pub(super) fn get(&self, kind: Toy, name: &str) -> Option<u32> {
        self.resources[kind.index()].get(name).copied()
    }

    pub(super) fn names(&self, kind: Toy) -> impl Iterator<Item = &String> {
        self.resources[kind.index()].keys()
    }

    pub(super) fn set(&mut self, kind: Toy, name: &str, good: bool) {
        self.last += 1;
        let number = if good { self.last } else { 0 };
        self.resources[kind.index()].insert(name.to_owned(), number);
        self.versions[kind.index()] += 1;
    }

    pub(super) fn remove(&mut self, kind: Toy, name: &str) {
        if self.resources[kind.index()].remove(name).is_some() {
            self.versions[kind.index()] += 1;
        }
    }

    fn version(&self, kind: Toy) -> String {
        format!("v{}", self.versions[kind.index()])
    }
}

/// What one stream knows of one kind.
#[derive(Debug, Default)]
struct Interest {
    asked: bool,
    names: BTreeSet<String>,
    wildcard: bool,
    nonce: String,
    /// What the client is thought to have.
    sent: BTreeMap<String, u32>,
    /// Delta: what has to be answered though the client may have it.
    owed: BTreeSet<String>,
}

impl Interest {
    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }
}

/// Whether a request refuses something.
pub(super) fn is_refusal(protocol: Protocol, request: &Bytes) -> bool {
    let request = &request[..];
    match protocol {
        Protocol::StateOfTheWorld => DiscoveryRequest::decode(request).unwrap().error_detail.is_some(),
        Protocol::Delta => DeltaDiscoveryRequest::decode(request).unwrap().error_detail.is_some(),
    }
}

/// One stream and what travels on it.
#[derive(Debug)]
pub(super) struct Stream {
    style: Style,
    latency: Clock,
    interests: [Interest; 2],
    nonce: u64,
    up: VecDeque<(Instant, Bytes)>,
    down: VecDeque<(Instant, Bytes)>,
    /// The names in the first list of everything of the first kind, but for those that were taken away since.
    pub(super) listed: BTreeSet<String>,
    has_listed: bool,
}

impl Stream {
    pub(super) fn new(style: Style, latency: Clock) -> Self {
        let (up, down) = (VecDeque::new(), VecDeque::new());
        Self {
            style,
            latency,
            interests: Default::default(),
            nonce: 0,
            up,
            down,
            listed: BTreeSet::new(),
            has_listed: false,
        }
    }

    /// The client sends.
    pub(super) fn request(&mut self, now: Instant, message: Bytes) {
        let at = self.arrival(now, self.up.back());
        self.up.push_back((at, message));
    }

    /// What the client receives by now.
    pub(super) fn response(&mut self, now: Instant) -> Option<Bytes> {
        if self.down.front()?.0 > now { None } else { self.down.pop_front().map(|(_, message)| message) }
    }

    /// When the next message arrives anywhere.
    pub(super) fn next(&self) -> Option<Instant> {
        self.up.front().into_iter().chain(self.down.front()).map(|(at, _)| *at).min()
    }

    /// Takes in what has arrived.
    pub(super) fn serve(&mut self, now: Instant, world: &World) {
        while let Some((at, _)) = self.up.front()
            && *at <= now
        {
            let (_, message) = self.up.pop_front().unwrap();
            match self.style.protocol {
                Protocol::StateOfTheWorld => {
                    self.sotw(now, DiscoveryRequest::decode(message).unwrap(), world);
                }
                Protocol::Delta => self.delta(now, DeltaDiscoveryRequest::decode(message).unwrap(), world),
            }
        }
    }

    /// Tells what changed.
    pub(super) fn push(&mut self, now: Instant, world: &World, kind: Toy) {
        if self.interests[kind.index()].asked {
            match self.style.protocol {
                Protocol::StateOfTheWorld => self.push_sotw(now, world, kind, false),
                Protocol::Delta => self.push_delta(now, world, kind, false),
            }
        }
    }

    fn sotw(&mut self, now: Instant, request: DiscoveryRequest, world: &World) {
        let kind = Toy::from_type_url(&request.type_url).unwrap();
        let thrifty = self.style.thrifty;
        let interest = &mut self.interests[kind.index()];
        if request.response_nonce != interest.nonce {
            return;
        }
        if request.error_detail.is_some() {
            // As istiod does it, whatever names there are.
            return;
        }
        let mut names: BTreeSet<_> = request.resource_names.into_iter().collect();
        assert!(!names.contains(""), "the empty name is none");
        let wildcard = names.remove("*") || (names.is_empty() && (interest.wildcard || !interest.asked));
        let first = !std::mem::replace(&mut interest.asked, true);
        let changed = first || names != interest.names;
        interest.sent.retain(|name, _| wildcard || names.contains(name));
        (interest.names, interest.wildcard) = (names, wildcard);
        if first && thrifty && request.version_info == world.version(kind) {
            let held = world.resources[kind.index()].iter().filter(|(name, _)| interest.wants(name));
            interest.sent = held.map(|(name, number)| (name.clone(), *number)).collect();
            return;
        }
        if changed {
            self.push_sotw(now, world, kind, true);
        }
    }

    fn push_sotw(&mut self, now: Instant, world: &World, kind: Toy, asked: bool) {
        let interest = &mut self.interests[kind.index()];
        let all = world.resources[kind.index()].iter().filter(|(name, _)| interest.wants(name));
        let all: BTreeMap<_, _> = all.map(|(name, number)| (name.clone(), *number)).collect();
        let thrifty = self.style.thrifty;
        let news: Vec<_> = match kind {
            Whole if thrifty && interest.sent == all && !asked => return,
            Whole => all.iter().collect(),
            Part if !thrifty => all.iter().collect(),
            Part => all.iter().filter(|(name, number)| interest.sent.get(*name) != Some(number)).collect(),
        };
        if thrifty && kind == Part && news.is_empty() {
            return;
        }
        let resources: Vec<_> = news.iter().map(|(name, number)| any(kind, name, **number)).collect();
        interest.sent = all;
        let size = if self.style.piecemeal && kind == Part { 1 } else { resources.len().max(1) };
        let mut parts: Vec<_> = resources.chunks(size).map(<[_]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        for resources in parts {
            let nonce = self.next_nonce();
            self.interests[kind.index()].nonce.clone_from(&nonce);
            let response = DiscoveryResponse {
                version_info: world.version(kind),
                resources,
                type_url: kind.type_url().to_owned(),
                nonce,
                control_plane: None,
            };
            self.respond(now, response.encode_to_vec());
        }
    }

    fn delta(&mut self, now: Instant, request: DeltaDiscoveryRequest, world: &World) {
        let kind = Toy::from_type_url(&request.type_url).unwrap();
        let thrifty = self.style.thrifty;
        let interest = &mut self.interests[kind.index()];
        if !request.response_nonce.is_empty() {
            // Nobody would look at names in it, unless the nonce is the last one.
            let names = request.resource_names_subscribe.iter().chain(&request.resource_names_unsubscribe);
            assert_eq!(names.count(), 0, "names in an answer");
            return;
        }
        let first = !std::mem::replace(&mut interest.asked, true);
        assert!(first || request.initial_resource_versions.is_empty());
        for name in &request.resource_names_unsubscribe {
            assert!(interest.names.remove(name), "unsubscribed from {name} without being subscribed");
            if !interest.wildcard {
                interest.sent.remove(name);
            }
        }
        for (name, version) in &request.initial_resource_versions {
            // Whoever sends everything has to say at least what of it is gone.
            let number = if thrifty { version.parse().unwrap_or(u32::MAX) } else { u32::MAX };
            interest.sent.insert(name.clone(), number);
        }
        interest.wildcard |= first && request.resource_names_subscribe.is_empty();
        for name in request.resource_names_subscribe {
            if name == "*" {
                interest.wildcard = true;
            } else {
                assert!(interest.names.insert(name.clone()), "subscribed to {name} twice");
                if !interest.sent.contains_key(&name) {
                    interest.owed.insert(name);
                }
            }
        }
        // Who asks for everything is answered even if there is nothing.
        let owed = first && interest.wildcard;
        self.push_delta(now, world, kind, owed);
    }

    fn push_delta(&mut self, now: Instant, world: &World, kind: Toy, anyway: bool) {
        let interest = &mut self.interests[kind.index()];
        let owed = std::mem::take(&mut interest.owed);
        let (mut news, mut removed) = (Vec::new(), Vec::new());
        for (name, number) in &world.resources[kind.index()] {
            if interest.wants(name) && (owed.contains(name) || interest.sent.get(name) != Some(number)) {
                news.push(resource(kind, name, &number.to_string(), *number));
                interest.sent.insert(name.clone(), *number);
            }
        }
        let gone = |name: &&String| world.get(kind, name).is_none();
        removed.extend(interest.sent.keys().chain(&owed).filter(gone).cloned());
        removed.iter().for_each(|name| {
            interest.sent.remove(name);
        });
        let size = if self.style.piecemeal { 1 } else { news.len().max(1) };
        let mut parts: Vec<_> = news.chunks(size).map(<[_]>::to_vec).collect();
        if parts.is_empty() && (anyway || !removed.is_empty()) {
            parts.push(Vec::new());
        }
        if kind == Whole && interest.wildcard && !parts.is_empty() && !self.has_listed {
            self.has_listed = true;
            self.listed = world.resources[kind.index()].keys().cloned().collect();
        }
        for resources in parts {
            let nonce = self.next_nonce();
            let response = DeltaDiscoveryResponse {
                system_version_info: world.version(kind),
                resources,
                type_url: kind.type_url().to_owned(),
                nonce,
                removed_resources: std::mem::take(&mut removed),
                control_plane: None,
            };
            self.respond(now, response.encode_to_vec());
        }
    }

    fn next_nonce(&mut self) -> String {
        self.nonce += 1;
        format!("n{}", self.nonce)
    }

    fn respond(&mut self, now: Instant, message: Vec<u8>) {
        let at = self.arrival(now, self.down.back());
        self.down.push_back((at, message.into()));
    }

    /// When a message that is sent now arrives: after the one before it.
    fn arrival(&self, now: Instant, before: Option<&(Instant, Bytes)>) -> Instant {
        let nanos = self.latency.entropy() % (MAX_LATENCY.as_nanos() as u64);
        let at = now + Duration::from_nanos(nanos);
        before.map_or(at, |(before, _)| at.max(*before))
    }
}
