//! The control planes that answer for the same names: one is in charge, the others stand by.
//!
//! Each has a session of its own. When another one takes over its session inherits the resources that are in force, so
//! nothing is lost and nothing is older than it was; then its answers replace them one by one.

use super::cache::{Entry, Present, State};
use super::directory::Servers;
use super::fallback::Fallback;
use super::kind::ResourceKind;
use super::link::Source;
use super::listing::Listed;
use super::server_status::ServerStatus;
use super::session::{Change, Session};
use super::upstream::{Step, Upstream};
use crate::bootstrap::Node;
use crate::clock::{Instant, Timer};
use crate::net::Environment;
use crate::telemetry::events::Event;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The control planes that answer for the same names.
#[derive(Debug)]
pub(super) struct Group<K: ResourceKind> {
    sources: Vec<Source>,
    node: Node,
    local: K::Local,
    environment: Environment,
    /// Those that are tried.
    upstreams: Vec<Upstream<K>>,
    /// Of the sessions that are over; of those control planes that were ever tried.
    past: Vec<ServerStatus<K>>,
    fallback: Fallback,
    /// The names subscribed to, by kind.
    wanted: Vec<BTreeSet<Arc<str>>>,
    /// The kinds of which everything is subscribed to.
    everything: BTreeSet<K>,
    /// Whether any control plane has ever answered.
    answered: bool,
    told_of_disk: bool,
    health: Health,
    /// Why each control plane failed last.
    reasons: Vec<String>,
    timer: Timer,
}

/// What was last told of the group as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Health {
    Unknown,
    Up,
    Down(Arc<str>),
}

impl<K: ResourceKind> Group<K> {
    pub(super) fn new(servers: &Servers, node: &Node, local: &K::Local, environment: &Environment) -> Self {
        let mut group = Self {
            sources: servers.sources.clone(),
            node: node.clone(),
            local: local.clone(),
            environment: environment.clone(),
            upstreams: Vec::new(),
            past: Vec::new(),
            fallback: Fallback::new(servers.sources.len(), servers.eager),
            wanted: K::ALL.iter().map(|_| BTreeSet::new()).collect(),
            everything: BTreeSet::new(),
            answered: false,
            told_of_disk: false,
            health: Health::Unknown,
            reasons: vec![String::new(); servers.sources.len()],
            timer: Timer::at(None),
        };
        group.try_next();
        group
    }

    /// The session whose answers are in force.
    pub(super) fn session(&self) -> &Session<K> {
        &self.upstreams[self.fallback.active()].session
    }

    /// The number of the control plane in charge.
    pub(super) fn charge(&self) -> usize {
        self.fallback.active()
    }

    /// The control plane in charge.
    pub(super) fn source(&self) -> &Source {
        self.upstreams[self.fallback.active()].source()
    }

    /// How the control planes do that were ever tried.
    pub(super) fn servers(&self) -> impl Iterator<Item = ServerStatus<K>> {
        self.past.iter().enumerate().map(|(index, past)| match self.upstreams.get(index) {
            Some(upstream) => past.with(&upstream.session),
            None => past.clone(),
        })
    }

    pub(super) fn get(&self, kind: K, name: &str) -> Option<&Entry<K::Value>> {
        self.session().get(kind, name)
    }

    /// Why no control plane can be reached, if none can.
    pub(super) fn error(&self) -> Option<&Arc<str>> {
        match &self.health {
            Health::Down(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether any control plane has ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Resources in force that no control plane has confirmed.
    pub(super) fn preloaded(&self) -> usize {
        let session = self.session();
        let count = |&kind: &K| session.entries(kind).filter(|(_, entry)| entry.is_from_disk()).count();
        K::ALL.iter().map(count).sum()
    }

    /// Subscribes to the names `added` of a kind, and to those `removed` no more; either may be so already.
    pub(super) fn subscribe(&mut self, kind: K, added: &[Arc<str>], removed: &[Arc<str>]) {
        let wanted = &mut self.wanted[kind.index()];
        for name in removed {
            wanted.remove(name);
        }
        wanted.extend(added.iter().cloned());
        for upstream in &mut self.upstreams {
            upstream.session.change_subscription(kind, added, removed);
        }
        self.ask();
    }

    /// Subscribes to every resource of a kind, whatever its name.
    pub(super) fn subscribe_all(&mut self, kind: K) {
        self.everything.insert(kind);
        for upstream in &mut self.upstreams {
            upstream.session.add_all(kind);
        }
        self.ask();
    }

    /// Takes note that those whose streams were open before anything was wanted are asked for something now.
    fn ask(&mut self) {
        if !self.is_used() {
            return;
        }
        let now = self.environment.clock.now();
        for (index, upstream) in self.upstreams.iter().enumerate() {
            if upstream.session.is_open() {
                self.fallback.asked(index, now);
            }
        }
    }

    /// Whether every resource of a kind is subscribed to.
    pub(super) fn subscribes_all(&self, kind: K) -> bool {
        self.everything.contains(&kind)
    }

    /// How much of everything of a kind was listed, if that is subscribed to. While no control plane can be reached, what is on
    /// disk is all there is.
    pub(super) fn listed(&self, kind: K) -> Listed {
        match self.session().listed(kind) {
            Listed::Open if self.told_of_disk && !self.answered => Listed::All,
            listed => listed,
        }
    }

    fn all_listed(&self) -> Vec<Listed> {
        self.everything.iter().map(|kind| self.listed(*kind)).collect()
    }

    /// Whether anything is subscribed to.
    fn is_used(&self) -> bool {
        !self.everything.is_empty() || self.wanted.iter().any(|names| !names.is_empty())
    }

    /// Puts a resource in force until a control plane says something about it, or its time to live ends.
    pub(super) fn preload(
        &mut self,
        kind: K,
        name: &str,
        resource: Present<K::Value>,
        expires: Option<Instant>,
    ) {
        self.upstreams[self.fallback.active()].session.preload(kind, name, resource, expires);
    }

    /// Moves on until something happens that matters outside; what changed is added to `changes`.
    ///
    /// That is also when the answer of [`error`](Self::error) or [`source`](Self::source) changed, or when more or less of
    /// everything of a kind is listed now.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, changes: &mut Vec<Change<K>>) -> Poll<()> {
        let before = (self.health.clone(), self.fallback.active());
        let listed = self.all_listed();
        self.tell_of_disk();
        loop {
            let mut progress = self.add_next();
            for index in 0..self.upstreams.len() {
                let mut news = Vec::new();
                let Some(upstream) = self.upstreams.get_mut(index) else { break };
                if let Poll::Ready(step) = upstream.poll(cx, &mut news) {
                    progress = true;
                    self.take(index, step, changes);
                }
                if index == self.fallback.active() {
                    changes.append(&mut news);
                }
            }
            let told = before != (self.health.clone(), self.fallback.active());
            if told || !changes.is_empty() || self.all_listed() != listed {
                return Poll::Ready(());
            }
            if !progress {
                let at = self.fallback.next_timer();
                self.timer.reset(at.filter(|_| self.fallback.is_eager() || self.is_missing()));
                if self.timer.poll_expired(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }
    }

    /// Tries the next control plane, if it is needed; whether it is.
    fn add_next(&mut self) -> bool {
        let now = self.environment.clock.now();
        // To look for what is missing takes time, so only where it matters.
        if !self.fallback.is_due(now) {
            return false;
        }
        let missing = self.is_missing();
        if !self.fallback.add(now, missing) {
            return false;
        }
        let source = self.try_next();
        tracing::info!(control_plane = %source, "trying the next control plane");
        true
    }

    fn try_next(&mut self) -> &Source {
        let index = self.upstreams.len();
        let source = &self.sources[index];
        if index == self.past.len() {
            self.past.push(ServerStatus::new(source.to_string()));
        }
        let session = self.session_with(index);
        self.upstreams.push(Upstream::new(session, source.clone(), self.environment.clone()));
        source
    }

    /// Whether something is needed that no control plane has said anything about.
    fn is_missing(&self) -> bool {
        let unknown = |(&kind, names): (&K, &BTreeSet<Arc<str>>)| {
            names.iter().any(|name| match self.get(kind, name) {
                Some(entry) => matches!(entry.state, State::Pending) && entry.rejection.is_none(),
                None => true,
            })
        };
        let unlisted = |&kind: &K| !self.session().lists_all(kind);
        self.is_used()
            && (!self.answered
                || K::ALL.iter().zip(&self.wanted).any(unknown)
                || self.everything.iter().any(unlisted))
    }

    fn take(&mut self, index: usize, step: Step, changes: &mut Vec<Change<K>>) {
        let source = &self.sources[index];
        match step {
            Step::Changed => {}
            Step::Opened => {
                tracing::debug!(control_plane = %source, "xDS stream opened");
                self.ask();
                // What was down is up again only with its first answer: it may go on failing.
                if self.health == Health::Unknown {
                    self.tell_up(index);
                }
            }
            Step::Answered => {
                self.answered = true;
                let before = self.fallback.active();
                if self.fallback.answered(index) {
                    tracing::warn!(control_plane = %source, "this control plane is in charge now");
                    self.inherit(before, index, changes);
                    let name = self.sources[index].to_string();
                    self.environment.events.emit(|| Event::ControlPlaneChanged(name.into()));
                }
                let let_go = self.upstreams.drain(self.fallback.tried()..);
                let past = self.past.iter_mut().skip(self.fallback.tried());
                past.zip(let_go).for_each(|(past, upstream)| past.add(&upstream.session));
                self.tell_up(index);
            }
            Step::Ended { answered, reason } => {
                tracing::debug!(control_plane = %source, answered, reason, "xDS stream ended");
                self.fallback.ended(index, answered);
                self.reasons[index] = reason;
                let more = self.upstreams.len() < self.sources.len() && self.is_missing();
                if self.fallback.is_down() && !more {
                    self.tell_down(self.reason());
                }
            }
        }
    }

    /// Why nothing works.
    fn reason(&self) -> Arc<str> {
        let tried = self.sources.iter().zip(&self.reasons).take(self.upstreams.len());
        let each: Vec<_> = tried.map(|(source, reason)| format!("{source}: {reason}")).collect();
        each.join("; ").into()
    }

    /// Hands what is in force from one control plane to another one.
    fn inherit(&mut self, from: usize, to: usize, changes: &mut Vec<Change<K>>) {
        if let Ok([from, to]) = self.upstreams.get_disjoint_mut([from, to]) {
            to.session.inherit(&from.session, changes);
        }
        // What the others know grows old; should they come back, they start afresh.
        for index in 0..to {
            let fresh = self.session_with(index);
            self.past[index].add(&self.upstreams[index].restart(fresh));
        }
    }

    /// A session with a control plane that is subscribed to all that is wanted.
    fn session_with(&self, index: usize) -> Session<K> {
        let mut session = self.sources[index].session(&self.node, &self.local, self.environment.clock.now());
        for (&kind, names) in K::ALL.iter().zip(&self.wanted) {
            let names: Vec<_> = names.iter().cloned().collect();
            session.change_subscription(kind, &names, &[]);
        }
        self.everything.iter().for_each(|&kind| session.add_all(kind));
        session
    }

    /// Tells the outside that a control plane works, if that is new.
    fn tell_up(&mut self, index: usize) {
        if std::mem::replace(&mut self.health, Health::Up) != Health::Up {
            tracing::info!(control_plane = %self.sources[index], "control plane connected");
            self.environment.events.emit(|| Event::ControlPlaneUp);
        }
    }

    /// Tells the outside that none works, if that is new.
    fn tell_down(&mut self, reason: Arc<str>) {
        if let Health::Down(_) = self.health {
            tracing::debug!(%reason, "still no control plane");
        } else {
            tracing::warn!(%reason, "no control plane; the configuration stays in force");
            self.environment.events.emit(|| Event::ControlPlaneDown(reason.clone()));
        }
        self.health = Health::Down(reason);
    }

    /// Tells once that nobody has confirmed what is in force.
    fn tell_of_disk(&mut self) {
        if self.answered || self.told_of_disk || !matches!(self.health, Health::Down(_)) {
            return;
        }
        let resources = self.preloaded();
        if resources > 0 {
            self.told_of_disk = true;
            tracing::warn!(
                resources,
                "no control plane has answered yet; the configuration of the disk cache is in force"
            );
            self.environment.events.emit(|| Event::FromDisk(resources));
        }
    }
}
