//! Random interleavings of everything that can happen, against a model of a control plane: whatever the protocol and
//! the habits of the server, the client ends with what the server has, and hears of every change once.

use super::fixture::Toy::{self, Part, Whole};
use super::in_process::Protocol::{self, Delta, StateOfTheWorld};
use super::kind::ResourceKind;
use super::model::{MAX_LATENCY, Stream, Style, is_refusal};
use super::session::{Change, Session};
use super::world::{Thing, World, message};
use crate::clock::{Clock, Instant};
use mesh_proto::envoy::config::core::v3::Node;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "xdstp://a/Toy/e?x=1&y=2"];

#[derive(Clone, Debug)]
enum Step {
    /// The control plane changes a resource.
    Update(Toy, usize),
    /// The control plane changes a resource for the worse.
    Spoil(Toy, usize),
    /// The control plane changes a resource, and from now on renews it again and again.
    Lend(Toy, usize),
    /// The control plane reports an error instead of a resource.
    Fail(Toy, usize),
    /// The control plane takes a resource away.
    Remove(Toy, usize),
    Subscribe(Toy, usize),
    Unsubscribe(Toy, usize),
    /// The same because of the next response, before it is answered: as a route leads to a cluster.
    React(Toy, usize, bool),
    /// The stream breaks, with all that travels on it.
    Break,
    /// The stream breaks, and as many attempts to open another fail.
    Outage(u8),
    /// Another control plane with the same resources takes over: before it is asked, or before it answers; and after the
    /// stream to the one before broke, or while it is still open.
    TakeOver {
        asked: bool,
        broken: bool,
    },
    Wait(u16),
}

/// What the client was told of a resource.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    value: Option<u32>,
    trouble: String,
    refused: Option<String>,
    error: Option<String>,
}

struct Run {
    style: Style,
    wildcard: bool,
    session: Session<Toy>,
    world: World,
    stream: Option<Stream>,
    latency: Clock,
    now: Instant,
    refusals: u8,
    subscribed: [BTreeSet<&'static str>; 2],
    reactions: Vec<(Toy, &'static str, bool)>,
    told: BTreeMap<(Toy, Arc<str>), Told>,
    /// Whether the session says that everything is listed.
    listed: bool,
    streams: usize,
    requests: usize,
    /// Those of the requests that refuse something.
    refused: usize,
    responses: usize,
    subscription_changes: usize,
}

impl Run {
    fn new(style: Style, wildcard: bool, seed: u64) -> Self {
        let now = Clock::system().now();
        let session = session(style, wildcard, now);
        Self {
            style,
            wildcard,
            session,
            world: World::default(),
            stream: None,
            latency: Clock::seeded(seed),
            now,
            refusals: 0,
            subscribed: Default::default(),
            reactions: Vec::new(),
            told: BTreeMap::new(),
            listed: false,
            streams: 0,
            requests: 0,
            refused: 0,
            responses: 0,
            subscription_changes: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Update(kind, name) => self.set(kind, name, Thing::good),
            Step::Spoil(kind, name) => self.set(kind, name, |_| Thing::good(0)),
            Step::Lend(kind, name) => {
                self.set(kind, name, |number| Thing::Resource { number, brief: true });
            }
            Step::Fail(kind, name) => self.set(kind, name, Thing::Error),
            // In a state of the world of this kind absence means nothing, so there is nothing to learn from it.
            Step::Remove(Part, _) if self.style.protocol == StateOfTheWorld => {}
            Step::Remove(kind, name) => self.change(kind, |world| world.remove(kind, NAMES[name])),
            Step::Subscribe(kind, name) => self.subscribe(kind, NAMES[name], true),
            Step::Unsubscribe(kind, name) => self.subscribe(kind, NAMES[name], false),
            Step::React(kind, name, on) => self.reactions.push((kind, NAMES[name], on)),
            Step::Break => self.disconnect(),
            Step::Outage(attempts) => {
                self.refusals = attempts;
                self.disconnect();
            }
            Step::TakeOver { asked, broken } => self.take_over(asked, broken),
            Step::Wait(millis) => self.advance(Duration::from_millis(millis.into())),
        }
    }

    fn set(&mut self, kind: Toy, name: usize, thing: impl FnOnce(u32) -> Thing) {
        self.change(kind, |world| world.set(kind, NAMES[name], thing));
    }

    fn change(&mut self, kind: Toy, change: impl FnOnce(&mut World)) {
        change(&mut self.world);
        if let Some(stream) = &mut self.stream {
            stream.listed.retain(|name| self.world.get(Whole, name).is_some());
            stream.push(self.now, &self.world, kind);
        }
    }

    fn subscribe(&mut self, kind: Toy, name: &'static str, on: bool) {
        let names = &mut self.subscribed[kind.index()];
        if on {
            names.insert(name)
        } else {
            names.remove(name)
        };
        let name: Arc<str> = name.into();
        let one = std::slice::from_ref(&name);
        let (added, removed) = if on { (one, &[][..]) } else { (&[][..], one) };
        self.session.change_subscription(kind, added, removed);
        self.subscription_changes += 1;
        match self.look(kind, &name) {
            Some(told) => self.told.insert((kind, name), told),
            None => self.told.remove(&(kind, name)),
        };
    }

    fn disconnect(&mut self) {
        if self.stream.take().is_some() {
            self.session.closed(self.now, "broken", self.latency.entropy());
            let mut changes = Vec::new();
            self.session.fire(self.now, &mut changes);
            self.hear(changes);
        }
    }

    fn take_over(&mut self, asked: bool, broken: bool) {
        if broken {
            self.disconnect();
        }
        let before = std::mem::replace(&mut self.session, session(self.style, self.wildcard, self.now));
        (self.stream, self.listed) = (None, false);
        for kind in [Whole, Part] {
            let names: Vec<_> = self.subscribed[kind.index()].iter().map(|&name| name.into()).collect();
            self.session.change_subscription(kind, &names, &[]);
        }
        if asked {
            self.refusals = 0;
            self.turn();
        }
        let mut changes = Vec::new();
        self.session.inherit(&before, &mut changes);
        self.session.fire(self.now, &mut changes);
        // Whoever takes over tells of what may be the same.
        for Change { kind, name } in changes {
            match self.look(kind, &name) {
                Some(told) => self.told.insert((kind, name), told),
                None => self.told.remove(&(kind, name)),
            };
        }
        let all =
            [Whole, Part].map(|kind| self.session.entries(kind).map(move |(name, _)| (kind, name.clone())));
        let all = all.into_iter().flatten().map(|(kind, name)| {
            let told = self.look(kind, &name).unwrap();
            ((kind, name), told)
        });
        assert_eq!(self.told, all.collect(), "whatever is not what it was is told");
        self.subscription_changes += 1;
    }

    fn look(&self, kind: Toy, name: &str) -> Option<Told> {
        let entry = self.session.get(kind, name)?;
        let refused = entry.rejection.as_ref().map(|rejection| rejection.reason.clone());
        let error = entry.error.as_ref().map(|error| error.message.clone());
        Some(Told { value: entry.value().copied(), trouble: entry.trouble(), refused, error })
    }

    /// The client hears of changes: each must be one, and must not lead back to what was.
    fn hear(&mut self, changes: Vec<Change<Toy>>) {
        for Change { kind, name } in changes {
            let told = self.look(kind, &name);
            let before = self.told.remove(&(kind, name.clone()));
            assert_ne!(before, told, "{kind:?} {name}: a change that is none");
            if let Some(told) = told {
                let known = |told: &Told| told.value;
                if let (Some(before), Some(after)) = (before.as_ref().and_then(known), told.value) {
                    assert!(after >= before, "{kind:?} {name}: {after} after {before}");
                }
                self.told.insert((kind, name), told);
            }
        }
    }

    /// Does what is due now; whether anything was.
    fn turn(&mut self) -> bool {
        let mut changes = Vec::new();
        self.session.fire(self.now, &mut changes);
        let mut busy = !changes.is_empty();
        self.hear(changes);
        if self.session.should_open(self.now) {
            busy = true;
            if self.refusals > 0 {
                self.refusals -= 1;
                self.session.closed(self.now, "refused", self.latency.entropy());
            } else {
                self.stream = Some(Stream::new(self.style, self.latency.clone()));
                self.streams += 1;
                self.session.opened(self.now);
            }
        }
        let Some(mut stream) = self.stream.take() else { return busy };
        stream.serve(self.now, &self.world);
        while let Some(message) = stream.response(self.now) {
            busy = true;
            self.responses += 1;
            let mut changes = Vec::new();
            self.session.receive(self.now, message, &mut changes).unwrap();
            self.hear(changes);
            for (kind, name, on) in std::mem::take(&mut self.reactions) {
                self.subscribe(kind, name, on);
            }
        }
        while let Some(request) = self.session.next_request(self.now) {
            busy = true;
            self.requests += 1;
            self.refused += usize::from(is_refusal(self.style.protocol, &request));
            stream.request(self.now, request);
        }
        self.check_list(&stream);
        self.stream = Some(stream);
        busy
    }

    /// Nobody may conclude that something is not there while the part of the list that has it is on its way.
    fn check_list(&mut self, stream: &Stream) {
        let before = std::mem::replace(&mut self.listed, self.session.lists_all(Whole));
        if self.listed && !before {
            for name in &stream.listed {
                assert!(self.session.get(Whole, name).is_some(), "{name} counts as absent and is on its way");
            }
        }
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        let mut idle = 0;
        loop {
            idle = if self.turn() { 0 } else { idle + 1 };
            assert!(idle < 100, "a timer goes off again and again for nothing");
            let next = self.stream.as_ref().and_then(Stream::next);
            match next.into_iter().chain(self.session.next_timer()).min() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
    }

    /// Everything that is on its way arrives, and all that silence says is concluded.
    fn settle(&mut self) {
        self.refusals = 0;
        for kind in [Whole, Part] {
            self.change(kind, World::make_last);
        }
        self.advance(Duration::from_secs(60));
        let before = (self.requests, self.responses);
        self.advance(Duration::from_secs(60));
        assert_eq!(before, (self.requests, self.responses), "never quiet");
    }

    fn check(&self) {
        assert_eq!(self.listed, self.wildcard, "everything is listed in the end");
        for kind in [Whole, Part] {
            let everything = self.wildcard && kind == Whole;
            let mut expected: BTreeSet<&str> = self.subscribed[kind.index()].iter().copied().collect();
            if everything {
                expected.extend(self.world.names(kind).map(String::as_str));
            }
            let mut known: BTreeSet<&str> = self.session.entries(kind).map(|(name, _)| &**name).collect();
            // An error of what nobody asks for and nobody has may be forgotten.
            let of_no_interest = |name: &&str| {
                !self.subscribed[kind.index()].contains(*name)
                    && matches!(self.world.get(kind, name), Some(Thing::Error(_)))
                    && self.session.get(kind, name).is_none_or(|entry| entry.value().is_none())
            };
            expected.retain(|name| !of_no_interest(name));
            known.retain(|name| !of_no_interest(name));
            assert_eq!(known, expected, "{kind:?}");
            for name in expected {
                let told = self.look(kind, name).unwrap();
                match self.world.get(kind, name) {
                    Some(Thing::Resource { number: 0, .. }) => {
                        assert!(told.refused.is_some(), "{kind:?} {name}: {told:?}");
                    }
                    Some(Thing::Resource { number, .. }) => {
                        let trouble = String::new();
                        let right = Told { value: Some(number), trouble, refused: None, error: None };
                        assert_eq!(told, right, "{kind:?} {name}");
                    }
                    Some(Thing::Error(number)) => {
                        assert_eq!(told.error, Some(message(number)), "{kind:?} {name}: {told:?}");
                    }
                    None => {
                        assert!(
                            told.value.is_none() && !told.trouble.is_empty(),
                            "{kind:?} {name}: {told:?}"
                        );
                    }
                }
                assert_eq!(self.told.get(&(kind, name.into())), Some(&told), "{kind:?} {name}: not told");
            }
        }
        // What is wanted may have to be said again after a refusal.
        let allowed = self.responses + self.refused + 3 * self.subscription_changes + 2 * self.streams;
        assert!(self.requests <= allowed, "{} requests, {allowed} allowed", self.requests);
    }

    /// What the client has in the end.
    fn outcome(&self) -> Vec<(Toy, String, Option<u32>)> {
        let all = [Whole, Part]
            .into_iter()
            .flat_map(|kind| self.session.entries(kind).map(move |entry| (kind, entry)));
        all.map(|(kind, (name, entry))| (kind, name.to_string(), entry.value().copied())).collect()
    }
}

fn session(style: Style, wildcard: bool, now: Instant) -> Session<Toy> {
    let mut session = Session::new(Node::default(), style.protocol, Default::default(), &(), now);
    if wildcard {
        session.add_all(Whole);
    }
    session
}

fn run(protocol: Protocol, thrifty: bool, piecemeal: bool, wildcard: bool, seed: u64, steps: &[Step]) -> Run {
    let mut run = Run::new(Style { protocol, thrifty, piecemeal }, wildcard, seed);
    run.turn();
    for step in steps {
        run.step(step);
    }
    run.settle();
    run.check();
    for kind in [Whole, Part] {
        for name in NAMES {
            if run.world.get(kind, name).is_some_and(Thing::is_wrong) {
                run.step(&Step::Update(kind, NAMES.iter().position(|other| *other == name).unwrap()));
            }
        }
    }
    run.settle();
    run.check();
    run
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = || prop_oneof![Just(Whole), Just(Part)];
    let name = || 0..NAMES.len();
    let step = prop_oneof![
        4 => (kind(), name()).prop_map(|(kind, name)| Step::Update(kind, name)),
        1 => (kind(), name()).prop_map(|(kind, name)| Step::Spoil(kind, name)),
        1 => (kind(), name()).prop_map(|(kind, name)| Step::Lend(kind, name)),
        1 => (kind(), name()).prop_map(|(kind, name)| Step::Fail(kind, name)),
        2 => (kind(), name()).prop_map(|(kind, name)| Step::Remove(kind, name)),
        4 => (kind(), name()).prop_map(|(kind, name)| Step::Subscribe(kind, name)),
        3 => (kind(), name()).prop_map(|(kind, name)| Step::Unsubscribe(kind, name)),
        2 => (kind(), name(), any::<bool>()).prop_map(|(kind, name, on)| Step::React(kind, name, on)),
        1 => Just(Step::Break),
        1 => (0u8..5).prop_map(Step::Outage),
        1 => any::<[bool; 2]>().prop_map(|[asked, broken]| Step::TakeOver { asked, broken }),
        3 => (0u16..2 * MAX_LATENCY.as_millis() as u16).prop_map(Step::Wait),
        1 => (0u16..20_000).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn the_client_ends_with_what_the_server_has(
        steps in steps(),
        thrifty: bool,
        piecemeal: bool,
        wildcard: bool,
        seed: u64,
    ) {
        run(StateOfTheWorld, thrifty, piecemeal, wildcard, seed, &steps);
    }

    #[test]
    fn so_it_does_by_hearing_of_changes_only(
        steps in steps(),
        thrifty: bool,
        piecemeal: bool,
        wildcard: bool,
        seed: u64,
    ) {
        run(Delta, thrifty, piecemeal, wildcard, seed, &steps);
    }

    #[test]
    fn both_protocols_end_alike(steps in steps(), thrifty: bool, wildcard: bool, seed: u64) {
        let mut steps = steps;
        // How many responses there are is not the same.
        steps.retain(|step| !matches!(step, Step::Remove(Part, _) | Step::React(..)));
        let sotw = run(StateOfTheWorld, thrifty, false, wildcard, seed, &steps).outcome();
        let delta = run(Delta, thrifty, true, wildcard, seed, &steps).outcome();
        prop_assert_eq!(sotw, delta);
    }
}
