//! The xDS client: asks for each resource where its name says, and keeps the last good ones on disk.

use super::cache::{Absence, Entry, Present};
use super::directory::{Directory, Misnamed};
use super::disk::Disk;
use super::disk_format::Record;
use super::group::Group;
use super::kind::ResourceKind;
use super::link::Source;
use super::listing::Listed;
use super::load_counts::ClusterCounts;
use super::loads::Loads;
use super::name::{canonical, is_federated};
use super::outages::Outages;
use super::server_status::ServerStatus;
use super::session::Change;
use crate::bootstrap::Node;
use crate::clock::{Instant, Timer};
use crate::net::Environment;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

/// An xDS client.
pub struct Client<K: ResourceKind> {
    directory: Directory,
    local: K::Local,
    /// One for each group of the directory.
    groups: Vec<Group<K>>,
    /// Subscribed names that nobody answers for.
    misnamed: BTreeMap<(K, Arc<str>), Entry<K::Value>>,
    /// The ways in which each name that says who has the resource is subscribed to, by the canonical one.
    spellings: BTreeMap<(K, Arc<str>), BTreeSet<Arc<str>>>,
    disk: Option<Disk>,
    /// When to write the disk cache; none while nothing changed.
    write: Option<Timer>,
    /// Clusters whose load is to be reported, and their kind.
    reported: Option<(K, Vec<Arc<ClusterCounts>>)>,
    loads: Loads,
    environment: Environment,
}

/// How it goes with the control planes of one group of the directory.
#[derive(Debug)]
pub struct Status<'a, K: ResourceKind> {
    /// The authorities they answer for; the first group answers for names without one as well.
    pub authorities: Vec<&'a str>,
    /// The one in charge.
    pub source: &'a Source,
    /// How it calls itself.
    pub identifier: &'a str,
    /// Whether it does what it should.
    pub connected: bool,
    /// Why none can be reached, if none can.
    pub error: Option<&'a Arc<str>>,
    /// Resources in force that come from the disk cache and that no control plane has confirmed.
    pub from_disk: usize,
    /// The last version of each kind that was accepted whole.
    pub versions: Vec<(K, &'a str)>,
    /// How those do that were ever tried, in order.
    pub servers: Vec<ServerStatus<K>>,
}

impl<K: ResourceKind> Client<K> {
    /// A client that connects once it is polled.
    #[must_use]
    pub fn new(
        directory: Directory,
        node: &Node,
        local: K::Local,
        disk: Option<Disk>,
        environment: Environment,
    ) -> Self {
        let group = |servers| Group::new(servers, node, &local, &environment);
        let groups = directory.groups().iter().map(group).collect();
        Self {
            directory,
            local,
            groups,
            misnamed: BTreeMap::new(),
            spellings: BTreeMap::new(),
            disk,
            write: None,
            reported: None,
            loads: Loads::new(node, &environment),
            environment,
        }
    }

    /// What is known of a resource; `None` if it is not subscribed to.
    #[must_use]
    pub fn get(&self, kind: K, name: &str) -> Option<&Entry<K::Value>> {
        if !is_federated(name) {
            return self.groups.first()?.get(kind, name);
        }
        let name = canonical(name);
        match self.directory.find(kind, &name) {
            Ok(group) => self.groups.get(group)?.get(kind, &name),
            Err(_) => self.misnamed.get(&(kind, Arc::from(&*name))),
        }
    }

    /// Everything subscribed to of a kind.
    pub fn entries(&self, kind: K) -> impl Iterator<Item = (&Arc<str>, &Entry<K::Value>)> {
        let misnamed = self.misnamed.iter().filter(move |((of, _), _)| *of == kind);
        self.groups
            .iter()
            .flat_map(move |group| group.session().entries(kind))
            .chain(misnamed.map(|((_, name), entry)| (name, entry)))
    }

    /// Subscribes to the names `added` of a kind, and to those `removed` no more; either may be so already. Takes effect
    /// when [`turn`](Self::turn) is polled next; only what is on disk may be known at once.
    pub fn subscribe(&mut self, kind: K, added: &[Arc<str>], removed: &[Arc<str>]) {
        if !added.iter().chain(removed).any(|name| is_federated(name)) {
            return self.subscribe_group(0, kind, added, removed);
        }
        let mut parts = vec![(Vec::new(), Vec::new()); self.groups.len()];
        for name in removed {
            let Some(name) = self.respell(kind, name, false) else { continue };
            match self.directory.find(kind, &name) {
                Ok(group) => parts[group].1.push(name),
                Err(_) => drop(self.misnamed.remove(&(kind, name))),
            }
        }
        for name in added {
            let Some(name) = self.respell(kind, name, true) else { continue };
            match self.directory.find(kind, &name) {
                Ok(group) => parts[group].0.push(name),
                Err(why) => {
                    let absence = match why {
                        Misnamed::Malformed => Absence::Malformed,
                        Misnamed::OtherKind => Absence::OtherKind,
                        Misnamed::UnknownAuthority => Absence::UnknownAuthority,
                    };
                    self.misnamed.insert((kind, name), Entry::absent(absence));
                }
            }
        }
        for (group, (added, removed)) in parts.iter().enumerate() {
            self.subscribe_group(group, kind, added, removed);
        }
    }

    /// Takes note of a way to write a name that is wanted, or is so no more: the canonical one, if it was not wanted before
    /// or is not wanted in any other way.
    fn respell(&mut self, kind: K, name: &Arc<str>, wanted: bool) -> Option<Arc<str>> {
        if !is_federated(name) {
            return Some(name.clone());
        }
        let canonical: Arc<str> = match canonical(name) {
            Cow::Borrowed(_) => name.clone(),
            Cow::Owned(canonical) => canonical.into(),
        };
        let key = (kind, canonical.clone());
        let others = self.spellings.entry(key.clone()).or_default();
        let first = others.is_empty();
        if wanted {
            others.insert(name.clone());
            return first.then_some(canonical);
        }
        let known = others.remove(name);
        if !others.is_empty() {
            return None;
        }
        self.spellings.remove(&key);
        known.then_some(canonical)
    }

    /// Subscribes to every resource of a kind that has no authority, whatever its name.
    pub fn subscribe_all(&mut self, kind: K) {
        let Some(group) = self.groups.first_mut() else { return };
        group.subscribe_all(kind);
        let Some(disk) = self.disk.as_ref().filter(|_| !group.has_answered()) else { return };
        let (local, now) = (&self.local, self.environment.clock.now());
        disk.all(kind).filter(|(name, _)| !is_federated(name)).for_each(|(name, record)| {
            restore(group, local, kind, name, record, disk.expires(record), now);
        });
    }

    /// Whether every resource of a kind that has no authority is subscribed to.
    #[must_use]
    pub fn subscribes_all(&self, kind: K) -> bool {
        self.groups.first().is_some_and(|group| group.subscribes_all(kind))
    }

    /// Whether every resource of a kind that has no authority is subscribed to and has been listed, so that what is not
    /// known of them is not there. A list in the incremental protocol is complete once nothing has followed it for [`UNLISTED_GRACE`](super::UNLISTED_GRACE).
    #[must_use]
    pub fn lists_all(&self, kind: K) -> bool {
        self.groups.first().is_some_and(|group| group.session().lists_all(kind))
    }

    /// How much of every resource of a kind was listed, if that is subscribed to; what is on disk counts as all while no
    /// control plane can be reached.
    #[must_use]
    pub fn listed(&self, kind: K) -> Listed {
        self.groups.first().map_or(Listed::Open, |group| group.listed(kind))
    }

    fn subscribe_group(&mut self, group: usize, kind: K, added: &[Arc<str>], removed: &[Arc<str>]) {
        let group = &mut self.groups[group];
        group.subscribe(kind, added, removed);
        let Some(disk) = self.disk.as_ref().filter(|_| !group.has_answered()) else { return };
        let now = self.environment.clock.now();
        for name in added {
            if let Some(record) = disk.get(kind, name) {
                restore(group, &self.local, kind, name, record, disk.expires(record), now);
            }
        }
    }

    /// From now on reports the load of these clusters, and of no others, to the control planes in charge of them, as their
    /// resources of `kind` have it. One in this process is not told.
    pub fn report_loads(&mut self, kind: K, clusters: Vec<Arc<ClusterCounts>>) {
        self.reported = Some((kind, clusters));
        self.direct_loads();
    }

    /// Has the load reported to whoever is in charge now.
    fn direct_loads(&mut self) {
        let Some((kind, clusters)) = &self.reported else { return };
        if clusters.is_empty() && self.loads.is_idle() {
            return;
        }
        let server = |name: &str| {
            let group = self.directory.find(*kind, name).ok()?;
            match self.groups.get(group)?.source() {
                Source::Server(server) => Some(server),
                Source::InProcess(_) => None,
            }
        };
        let told: Vec<_> =
            clusters.iter().filter_map(|counts| Some((server(&counts.name)?, counts))).collect();
        self.loads.update(&told);
    }

    /// What cannot be asked for at present.
    #[must_use]
    pub fn outages(&self) -> Outages {
        self.directory.outages(self.groups.iter().map(Group::error))
    }

    /// How it goes with the control planes.
    pub fn status(&self) -> impl Iterator<Item = Status<'_, K>> {
        self.groups.iter().enumerate().map(|(index, group)| {
            let session = group.session();
            Status {
                authorities: self.directory.authorities(index).collect(),
                source: group.source(),
                identifier: session.control_plane(),
                connected: session.is_connected(),
                error: group.error(),
                from_disk: group.preloaded(),
                versions: K::ALL.iter().map(|&kind| (kind, session.version(kind))).collect(),
                servers: group.servers().collect(),
            }
        })
    }

    /// Waits until something happens: the resources whose entries are not what they were. There are none if only the control
    /// planes are not what they were. Cancelling it loses nothing.
    pub async fn turn(&mut self) -> Vec<Change<K>> {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Vec<Change<K>>> {
        let mut changes = Vec::new();
        let (mut ready, mut moved) = (false, false);
        for group in &mut self.groups {
            let before = group.charge();
            ready |= group.poll(cx, &mut changes).is_ready();
            moved |= group.charge() != before;
        }
        if moved {
            self.direct_loads();
        }
        if self.hear(&changes) {
            let due = self.disk.as_ref().map(|disk| disk.due(self.environment.clock.now()));
            self.write.get_or_insert_with(|| Timer::at(due));
        }
        if !self.spellings.is_empty() {
            self.spell(&mut changes);
        }
        if self.write.as_mut().is_some_and(|timer| timer.poll_expired(cx).is_ready()) {
            self.write();
        }
        if ready { Poll::Ready(changes) } else { Poll::Pending }
    }

    /// Has the disk cache written.
    fn write(&mut self) {
        self.write = None;
        let now = self.environment.clock.now();
        if let Some(mut disk) = self.disk.take() {
            disk.write(now, |kind: K, name| self.get(kind, name));
            self.disk = Some(disk);
        }
    }

    /// Writes the names of changes in the ways in which they are subscribed to.
    fn spell(&self, changes: &mut Vec<Change<K>>) {
        let mut spelt = Vec::new();
        changes.retain(|Change { kind, name }| {
            let Some(spellings) = self.spellings.get(&(*kind, name.clone())) else { return true };
            spelt.extend(spellings.iter().map(|name| Change { kind: *kind, name: name.clone() }));
            false
        });
        changes.append(&mut spelt);
    }

    /// Tells the disk cache what changed; whether that is new to it.
    fn hear(&mut self, changes: &[Change<K>]) -> bool {
        let Some(mut disk) = self.disk.take() else { return false };
        let mut news = false;
        for Change { kind, name } in changes {
            news |= match self.get(*kind, name) {
                Some(entry) => disk.hear(*kind, name, entry),
                // It was known as a part of everything, and is so no more.
                None => self.subscribes_all(*kind) && disk.forget(*kind, name),
            };
        }
        self.disk = Some(disk);
        news
    }
}

/// However it ends, what changed last is written, and until when the rest lives.
impl<K: ResourceKind> Drop for Client<K> {
    fn drop(&mut self) {
        if self.write.is_some() || self.disk.as_ref().is_some_and(Disk::any_expires) {
            self.write();
        }
    }
}

/// Puts a resource of the disk cache in force.
fn restore<K: ResourceKind>(
    group: &mut Group<K>,
    local: &K::Local,
    kind: K,
    name: &str,
    record: &Record,
    expires: Option<Instant>,
    now: Instant,
) {
    let bytes = record.resource.clone();
    match kind.decode_for(local, name, &bytes, None) {
        // No control plane has sent it, so it has no version.
        Ok(value) => {
            let present = Present { value, bytes, version: "".into(), since: now };
            group.preload(kind, name, present, expires);
        }
        Err(reason) => tracing::warn!(%name, reason, "a resource of the disk cache is refused"),
    }
}

impl<K: ResourceKind> fmt::Debug for Client<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("groups", &self.groups).finish_non_exhaustive()
    }
}
