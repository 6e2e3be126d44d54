//! A model of the streams of a control plane and of the network to it, for the property tests: both protocols, in virtual time.

use super::fixture::Toy::{self, Part, Whole};
use super::fixture::any;
use super::in_process::Protocol;
use super::kind::ResourceKind;
use super::world::{Thing, UNKNOWN, World, message};
use crate::clock::{Clock, Instant};
use bytes::Bytes;
use mesh_proto::ads::{DeltaDiscoveryRequest, DiscoveryRequest, RESOURCE_TYPE_URL};
use mesh_proto::envoy::service::discovery::v3 as envoy;
use mesh_proto::google::protobuf as google;
use mesh_proto::google::rpc::Status;
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

/// How long a brief resource lives.
const TTL: Duration = Duration::from_secs(5);
/// How often a brief resource is renewed.
const BEAT: Duration = Duration::from_secs(2);

/// What one stream knows of one kind.
#[derive(Debug, Default)]
struct Interest {
    asked: bool,
    names: BTreeSet<String>,
    wildcard: bool,
    nonce: String,
    /// What the client is thought to have.
    sent: BTreeMap<String, Thing>,
    /// Delta: what has to be answered though the client may have it.
    owed: BTreeSet<String>,
}

impl Interest {
    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// What has to be renewed.
    fn brief(&self) -> impl Iterator<Item = (&String, &Thing)> {
        self.sent.iter().filter(|(_, thing)| thing.is_brief())
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

/// What a response says.
#[derive(Debug, Default)]
struct Said {
    resources: Vec<envoy::Resource>,
    errors: Vec<envoy::ResourceError>,
    removed: Vec<String>,
}

/// As it stands in a state of the world, where only what is brief needs a wrapper.
fn unwrap(resource: envoy::Resource) -> google::Any {
    match (resource.ttl, resource.resource) {
        (None, Some(resource)) => resource,
        (ttl, inner) => {
            let wrapper = envoy::Resource { ttl, resource: inner, name: resource.name, ..Default::default() };
            google::Any { type_url: RESOURCE_TYPE_URL.to_owned(), value: wrapper.encode_to_vec() }
        }
    }
}

/// A name in one of the ways to write it.
fn written(name: &str, way: u64) -> String {
    if way.is_multiple_of(2) { name.to_owned() } else { name.replace("x=1&y=2", "y=%32&x=1") }
}

fn ttl() -> google::Duration {
    google::Duration { seconds: TTL.as_secs() as i64, nanos: 0 }
}

/// The gRPC status code of the errors.
const INTERNAL: i32 = 13;

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
    /// When brief resources are renewed next.
    beat: Option<Instant>,
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
            beat: None,
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
        self.up.front().into_iter().chain(self.down.front()).map(|(at, _)| *at).chain(self.beat).min()
    }

    /// Takes in what has arrived, and renews what is brief.
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
        if self.beat.is_some_and(|beat| beat <= now) {
            for kind in [Whole, Part] {
                self.renew(now, world, kind);
            }
            self.beat = None;
        }
        if self.interests.iter().any(|interest| interest.brief().next().is_some()) {
            self.beat.get_or_insert(now + BEAT);
        } else {
            self.beat = None;
        }
    }

    fn renew(&mut self, now: Instant, world: &World, kind: Toy) {
        let brief: Vec<_> = self.interests[kind.index()].brief().map(|(name, _)| name.clone()).collect();
        let heartbeats = brief.iter().map(|name| envoy::Resource {
            name: written(name, self.nonce),
            ttl: Some(ttl()),
            ..Default::default()
        });
        let heartbeats: Vec<_> = heartbeats.collect();
        if !heartbeats.is_empty() {
            self.answer(now, world, kind, Said { resources: heartbeats, ..Said::default() });
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
            let held = world.things[kind.index()].iter().filter(|(name, _)| interest.wants(name));
            let held: BTreeMap<_, _> = held.map(|(name, thing)| (name.clone(), *thing)).collect();
            // How long the client will have a brief one is not known.
            if !held.values().any(|thing| thing.is_brief()) {
                interest.sent = held;
                return;
            }
        }
        if changed {
            self.push_sotw(now, world, kind, true);
        }
    }

    fn push_sotw(&mut self, now: Instant, world: &World, kind: Toy, asked: bool) {
        let interest = &mut self.interests[kind.index()];
        let all = world.things[kind.index()].iter().filter(|(name, _)| interest.wants(name));
        let all: BTreeMap<_, _> = all.map(|(name, thing)| (name.clone(), *thing)).collect();
        let thrifty = self.style.thrifty;
        let news: Vec<_> = match kind {
            Whole if thrifty && interest.sent == all && !asked => return,
            Whole => all.iter().collect(),
            Part if !thrifty => all.iter().collect(),
            Part => all.iter().filter(|(name, thing)| interest.sent.get(*name) != Some(thing)).collect(),
        };
        if thrifty && kind == Part && news.is_empty() {
            return;
        }
        let news: Vec<_> = news.into_iter().map(|(name, thing)| (name.clone(), *thing)).collect();
        interest.sent = all;
        let size = if self.style.piecemeal && kind == Part { 1 } else { news.len().max(1) };
        let mut parts: Vec<_> = news.chunks(size).map(|part| self.say(kind, part)).collect();
        if parts.is_empty() {
            parts.push(Said::default());
        }
        for part in parts {
            self.answer(now, world, kind, part);
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
            let thing = if thrifty { Thing::of_version(version) } else { UNKNOWN };
            interest.sent.insert(name.clone(), thing);
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
        for (name, thing) in &world.things[kind.index()] {
            if interest.wants(name) && (owed.contains(name) || interest.sent.get(name) != Some(thing)) {
                news.push((name.clone(), *thing));
                interest.sent.insert(name.clone(), *thing);
            }
        }
        let gone = |name: &&String| world.get(kind, name).is_none();
        removed.extend(interest.sent.keys().chain(&owed).filter(gone).cloned());
        removed.iter().for_each(|name| {
            interest.sent.remove(name);
        });
        let size = if self.style.piecemeal { 1 } else { news.len().max(1) };
        let mut parts: Vec<_> = news.chunks(size).map(|part| self.say(kind, part)).collect();
        if parts.is_empty() && (anyway || !removed.is_empty()) {
            parts.push(Said::default());
        }
        if kind == Whole && self.interests[kind.index()].wildcard && !parts.is_empty() && !self.has_listed {
            self.has_listed = true;
            self.listed = world.things[kind.index()].keys().cloned().collect();
        }
        if let Some(first) = parts.first_mut() {
            first.removed = removed.iter().map(|name| written(name, self.nonce)).collect();
        }
        for part in parts {
            self.answer(now, world, kind, part);
        }
    }

    /// Puts things into the words of a response.
    fn say(&self, kind: Toy, things: &[(String, Thing)]) -> Said {
        let mut said = Said::default();
        for (name, thing) in things {
            match *thing {
                Thing::Resource { number, brief } => {
                    // In the same way for as long as it is the same, or its bytes would not be.
                    let name = written(name, number.into());
                    let any = any(kind, &name, number);
                    let mark = if brief { "!" } else { "" };
                    said.resources.push(envoy::Resource {
                        name,
                        version: format!("{number}{mark}"),
                        resource: Some(google::Any { type_url: any.type_url, value: any.value.to_vec() }),
                        ttl: brief.then(ttl),
                        ..Default::default()
                    });
                }
                Thing::Error(number) => said.errors.push(envoy::ResourceError {
                    resource_name: Some(envoy::ResourceName {
                        name: written(name, self.nonce),
                        ..Default::default()
                    }),
                    error_detail: Some(Status { code: INTERNAL, message: message(number), details: vec![] }),
                }),
            }
        }
        said
    }

    fn answer(&mut self, now: Instant, world: &World, kind: Toy, said: Said) {
        let (type_url, nonce) = (kind.type_url().to_owned(), self.next_nonce());
        self.interests[kind.index()].nonce.clone_from(&nonce);
        let message = match self.style.protocol {
            Protocol::StateOfTheWorld => envoy::DiscoveryResponse {
                version_info: world.version(kind),
                resources: said.resources.into_iter().map(unwrap).collect(),
                type_url,
                nonce,
                resource_errors: said.errors,
                ..Default::default()
            }
            .encode_to_vec(),
            Protocol::Delta => envoy::DeltaDiscoveryResponse {
                system_version_info: world.version(kind),
                resources: said.resources,
                type_url,
                nonce,
                removed_resources: said.removed,
                resource_errors: said.errors,
                ..Default::default()
            }
            .encode_to_vec(),
        };
        self.respond(now, message);
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
