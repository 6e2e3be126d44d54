//! The task that owns the configuration of a mesh.

use super::Published;
use super::assemble::Assembler;
use super::report::Report;
use super::target::{StaticCluster, TargetId, TargetSpec};
use crate::bootstrap::Node;
use crate::clock::reached;
use crate::cluster::Settings;
use crate::cluster::dns::MAX_CONCURRENT_LOOKUPS;
use crate::net::Environment;
use crate::resource::{Kind, Resource};
use crate::telemetry::events::Event;
use crate::xds::cache::{Entry, State};
use crate::xds::client::Client;
use crate::xds::name::is_federated;
use crate::xds::session::Change;
use std::collections::BTreeMap;
use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// What the owner of the configuration is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Find out where a target leads, and keep it up to date.
    Add(TargetId, TargetSpec),
    /// Forget a target.
    Remove(TargetId),
    /// Say where everything stands.
    Report(oneshot::Sender<Report>),
    /// Fail every call from now on, let go of every connection, and end.
    Close,
}

/// The addresses of a host name, or why there are none.
type Answer = Result<Vec<IpAddr>, String>;

/// The owner of the configuration of a mesh.
#[derive(Debug)]
pub struct Driver {
    node: Arc<Node>,
    client: Option<Client<Kind>>,
    assembler: Assembler,
    commands: mpsc::UnboundedReceiver<Command>,
    published: Arc<Published>,
    environment: Environment,
    /// Host names that are being looked up.
    lookups: JoinSet<(Arc<str>, Answer)>,
    /// What is wrong with resources, as was last told.
    troubled: BTreeMap<(Kind, Arc<str>), Box<str>>,
}

impl Driver {
    /// An owner that listens to `client`, if there is a control plane, to which we are `node`, and publishes to
    /// `published`.
    pub fn new(
        node: Arc<Node>,
        client: Option<Client<Kind>>,
        statics: BTreeMap<Arc<str>, StaticCluster>,
        settings: Settings,
        commands: mpsc::UnboundedReceiver<Command>,
        published: Arc<Published>,
        environment: Environment,
    ) -> Self {
        let assembler = Assembler::new(statics, &node.id, settings, environment.clone());
        Self {
            node,
            client,
            assembler,
            commands,
            published,
            environment,
            lookups: JoinSet::new(),
            troubled: BTreeMap::new(),
        }
    }

    /// Works until nobody is left to command it.
    pub async fn run(mut self) {
        loop {
            let timer = self.assembler.next_timer(self.room());
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(command) => {
                        let mut go_on = self.obey(command);
                        // Whatever else was asked for meanwhile becomes part of the same step.
                        while go_on && let Ok(command) = self.commands.try_recv() {
                            go_on = self.obey(command);
                        }
                        if !go_on {
                            self.published.close();
                            return self.environment.tasks.stop();
                        }
                    }
                    None => return,
                },
                changes = next_turn(self.client.as_mut()) => {
                    self.tell(&changes);
                    changes.iter().for_each(|change| self.assembler.hear(change.kind, &change.name));
                }
                Some(looked_up) = self.lookups.join_next() => {
                    let now = self.environment.clock.now();
                    // Whatever else was answered meanwhile becomes part of the same step.
                    let mut next = Some(looked_up);
                    while let Some(looked_up) = next {
                        // A lookup that panicked is as good as none; the name stays as it was.
                        if let Ok((host, answer)) = looked_up {
                            self.assembler.resolved(&host, answer, now);
                        }
                        next = self.lookups.try_join_next();
                    }
                }
                () = reached(timer) => {}
            }
            self.step();
        }
    }

    /// Does what is asked; whether to go on.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Add(id, spec) => self.assembler.add(id, spec),
            Command::Remove(id) => self.assembler.remove(id),
            Command::Report(reply) => {
                // Whoever asked may be gone.
                let (node, client) = (self.node.clone(), self.client.as_ref());
                let report = Report::new(node, client, &self.assembler, &self.environment.clock);
                let _ = reply.send(report);
            }
            Command::Close => return false,
        }
        true
    }

    /// Brings subscriptions and snapshot up to date.
    fn step(&mut self) {
        let now = self.environment.clock.now();
        loop {
            self.assembler.run(now, self.client.as_ref());
            if !self.subscribe() {
                break;
            }
        }
        if let Some(client) = &mut self.client
            && let Some(clusters) = self.assembler.reported()
        {
            client.report_loads(Kind::Cluster, clusters);
        }
        for host in self.assembler.lookups(now, self.room()) {
            let dialer = self.environment.dialer.clone();
            self.lookups.spawn(async move {
                let answer = dialer.resolve(&host).await.map_err(|error| error.to_string());
                (host, answer)
            });
        }
        if let Some(snapshot) = self.assembler.snapshot() {
            let number = snapshot.number;
            tracing::debug!(number, "snapshot");
            self.published.publish(snapshot);
            self.environment.events.emit(|| Event::Snapshot(number));
        }
    }

    /// How many names may be looked up beside those that are.
    fn room(&self) -> usize {
        MAX_CONCURRENT_LOOKUPS.saturating_sub(self.lookups.len())
    }

    /// Subscribes to what is used; whether something of it is known already.
    fn subscribe(&mut self) -> bool {
        let Some(client) = &mut self.client else { return false };
        let mut known = Vec::new();
        for (kind, interest) in self.assembler.interests() {
            let (mut added, mut removed) = interest.difference();
            if client.subscribes_all(kind) {
                added.retain(|name| is_federated(name));
                removed.retain(|name| is_federated(name));
            }
            if added.is_empty() && removed.is_empty() {
                continue;
            }
            client.subscribe(kind, &added, &removed);
            if !self.troubled.is_empty() {
                removed.iter().for_each(|name| drop(self.troubled.remove(&(kind, name.clone()))));
            }
            let is_known = |name: &Arc<str>| {
                client.get(kind, name).is_some_and(|entry| !matches!(entry.state, State::Pending))
            };
            known.extend(added.into_iter().filter(is_known).map(|name| (kind, name)));
        }
        known.iter().for_each(|(kind, name)| self.assembler.hear(*kind, name));
        !known.is_empty()
    }

    /// Tells the outside what the control plane said.
    fn tell(&mut self, changes: &[Change<Kind>]) {
        let Some(client) = &self.client else { return };
        for change in changes {
            let (kind, name) = (change.kind.as_str(), &change.name);
            let Some(entry) = client.get(change.kind, name) else {
                self.troubled.remove(&(change.kind, name.clone()));
                continue;
            };
            let key = (change.kind, name.clone());
            if let Some((reason, what)) = trouble(entry) {
                // A control plane that sends one bad version after the other fills no log.
                match self.troubled.insert(key, reason.into()) {
                    None => {
                        let instead = match entry.present() {
                            Some(_) => "the version before it stays in force",
                            None => "none is in force",
                        };
                        tracing::warn!(kind, %name, reason, "{what}; {instead}");
                    }
                    Some(before) if *before != *reason => {
                        tracing::debug!(kind, %name, reason, "{what}, for another reason");
                    }
                    Some(_) => {}
                }
                let (name, reason) = (name.clone(), Arc::from(reason));
                self.environment.events.emit(|| match entry.rejection {
                    Some(_) => Event::Rejected { kind, name, reason },
                    None => Event::Reported { kind, name, reason },
                });
                continue;
            }
            if self.troubled.remove(&key).is_some() && entry.present().is_some() {
                tracing::info!(kind, %name, "resource accepted again");
            }
            if let State::Absent(absence) = entry.state {
                tracing::debug!(kind, %name, ?absence, "resource does not exist");
                self.environment.events.emit(|| Event::Missing { kind, name: name.clone() });
            }
        }
    }
}

/// What is wrong with a resource that came, and what to say of it.
fn trouble(entry: &Entry<Resource>) -> Option<(&str, &'static str)> {
    match (&entry.rejection, &entry.error) {
        (Some(rejection), _) => Some((&rejection.reason, "resource refused")),
        (None, Some(error)) if entry.present().is_some() => {
            Some((&error.message, "the control plane reports an error of a resource"))
        }
        _ => None,
    }
}

async fn next_turn(client: Option<&mut Client<Kind>>) -> Vec<Change<Kind>> {
    match client {
        Some(client) => client.turn().await,
        None => pending().await,
    }
}
