//! What is known of the resources of one kind, whatever the protocol that tells it.

use super::alarms::Alarms;
use super::cache::{Absence, Entry, NOT_FOUND, Present, Reported, State};
use super::features::Features;
use super::kind::ResourceKind;
use super::listing::Listing;
use crate::clock::Instant;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What is known of the resources of one kind.
#[derive(Debug)]
pub(super) struct Table<K: ResourceKind> {
    pub(super) kind: K,
    pub(super) features: Features,
    pub(super) local: K::Local,
    /// In boxes, because a table is only half full at times.
    pub(super) entries: HashMap<Arc<str>, Box<Entry<K::Value>>>,
    /// The names subscribed to.
    names: BTreeSet<Arc<str>>,
    /// Whether everything is subscribed to, whatever its name.
    pub(super) wildcard: bool,
    /// How much of that was listed.
    pub(super) listing: Listing,
    /// Whether there is a stream.
    connected: bool,
    /// Whether something is a part of everything that this control plane has not confirmed, and nobody waits for that.
    pub(super) unconfirmed: bool,
    pub(super) alarms: Alarms,
    /// Counts the responses.
    pub(super) round: u64,
    /// The responses before the present stream.
    pub(super) rounds_before: u64,
    /// Entries that the present response mentions.
    pub(super) seen: usize,
    /// Resources received that are valid, and those refused (gRFC A78).
    pub(super) received: Received,
    /// The names whose entries are not what they were.
    changed: Vec<Arc<str>>,
}

/// How many resources were received (gRFC A78).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Those that are valid, changed or not.
    pub valid: u64,
    /// Those that were refused.
    pub invalid: u64,
}

/// What a name was before it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// Not known.
    New,
    /// On its way out, but the control plane had not been told.
    Restored,
    /// Subscribed to already, or no name that could be asked for.
    Known,
    /// Known as a part of everything.
    Listed,
}

impl<K: ResourceKind> Table<K> {
    pub(super) fn new(kind: K, features: Features, local: K::Local) -> Self {
        Self {
            kind,
            features,
            local,
            entries: HashMap::new(),
            names: BTreeSet::new(),
            wildcard: false,
            listing: Listing::default(),
            connected: false,
            unconfirmed: false,
            alarms: Alarms::default(),
            round: 0,
            rounds_before: 0,
            seen: 0,
            received: Received::default(),
            changed: Vec::new(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry<K::Value>> {
        self.entries.get(name).map(|entry| &**entry).filter(|entry| !entry.leaving)
    }

    /// Everything known, in no order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry<K::Value>)> {
        self.entries.iter().map(|(name, entry)| (name, &**entry)).filter(|(_, entry)| !entry.leaving)
    }

    /// The names subscribed to that can be asked for, in order.
    pub(super) fn askable(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter().filter(|name| is_askable(name))
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    pub(super) fn set_wildcard(&mut self) -> bool {
        !std::mem::replace(&mut self.wildcard, true)
    }

    /// The names whose entries changed since the last call.
    pub(super) fn take_changed(&mut self) -> std::vec::Drain<'_, Arc<str>> {
        self.changed.drain(..)
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    pub(super) fn add(&mut self, name: &Arc<str>) -> Added {
        if !self.names.insert(name.clone()) {
            return Added::Known;
        }
        let Some(entry) = self.entries.get_mut(name) else {
            let mut entry = Entry::new(true);
            let added = if is_askable(name) {
                Added::New
            } else {
                entry.state = State::Absent(Absence::NotFound);
                Added::Known
            };
            self.entries.insert(name.clone(), Box::new(entry));
            return added;
        };
        entry.named = true;
        if !std::mem::take(&mut entry.leaving) {
            // There is an answer to come now.
            entry.grace = None;
            return Added::Listed;
        }
        Added::Restored
    }

    /// Puts a resource in force that this control plane has not sent, until its time to live ends.
    pub(super) fn preload(&mut self, name: &str, resource: Present<K::Value>, expires: Option<Instant>) {
        if self.wildcard && is_askable(name) && !self.entries.contains_key(name) {
            self.unconfirmed = true;
            self.entries.insert(name.into(), Box::new(Entry::new(false)));
        }
        let Some((name, entry)) = self.entries.get_key_value(name) else { return };
        if !entry.named {
            // Nobody waits for it by its name, so nobody looks whether it is there.
            self.changed.push(name.clone());
        }
        let name = name.clone();
        let Some(entry) = self.entries.get_mut(&name) else { return };
        entry.state = State::Present(resource);
        entry.inherited = true;
        entry.deadline = None;
        entry.expires = expires;
        arm(&mut self.alarms, entry, &name);
    }

    /// Drops a name; whether the control plane has to be told, which until then keeps its entry up to date.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        if !self.names.remove(name) {
            return false;
        }
        let Some(entry) = self.entries.get_mut(name) else { return false };
        entry.named = false;
        let asked = entry.asked_in.is_some();
        let failed = matches!(entry.state, State::Absent(Absence::Failed));
        let is_wrong = entry.rejection.is_some() || failed;
        if self.wildcard && (entry.present().is_some() || self.connected && is_wrong) {
            // Still a part of everything.
            self.unconfirmed |= entry.is_unconfirmed();
        } else if asked {
            entry.leaving = true;
        } else {
            self.entries.remove(name);
        }
        asked
    }

    /// The control plane has been told that `name` is wanted no more. Whether it was still so.
    pub(super) fn leave(&mut self, name: &str) -> bool {
        let gone = self.entries.get(name).is_some_and(|entry| entry.leaving);
        if gone {
            self.entries.remove(name);
        }
        gone
    }

    /// The request `request` asks for `name`.
    pub(super) fn ask(&mut self, now: Instant, name: &Arc<str>, request: u64) {
        let timeout = self.features.resource_timeout();
        let Some(entry) = self.entries.get_mut(name).filter(|entry| entry.named) else { return };
        entry.asked_in.get_or_insert(request);
        // What was refused on this stream has come, and need not come again.
        if entry.present().is_none() && (entry.rejection.is_none() || request == 1) {
            entry.deadline = Some(now + timeout);
            arm(&mut self.alarms, entry, name);
        }
    }

    pub(super) fn stream_opened(&mut self) {
        self.connected = true;
        self.rounds_before = self.round;
    }

    /// The stream is gone: silence proves nothing any more, and nobody has to be told what is wanted no more.
    /// What came unnamed and was refused has to come again, because nobody would say that it is gone.
    pub(super) fn stream_closed(&mut self) {
        let Self { entries, changed, connected, unconfirmed, listing, .. } = self;
        *connected = false;
        listing.interrupt();
        entries.retain(|name, entry| {
            entry.asked_in = None;
            entry.deadline = None;
            entry.grace = None;
            *unconfirmed |= entry.is_unconfirmed();
            let lost = !entry.named && entry.present().is_none();
            if lost && !entry.leaving {
                changed.push(name.clone());
            }
            !entry.leaving && !lost
        });
    }

    /// Whether the client has all it wants, as the control plane last had it.
    pub(super) fn is_clean(&self) -> bool {
        self.entries.values().all(|entry| entry.is_clean())
    }

    /// When [`fire`](Self::fire) has to be called next.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.alarms.next().into_iter().chain(self.listing.next_timer()).min()
    }

    /// Draws the conclusions from silence.
    pub(super) fn fire(&mut self, now: Instant) {
        self.listing.fire(now);
        if self.alarms.len() > 64 + 4 * self.entries.len() {
            // A server that shortens times to live again and again has earlier ones pile up.
            let entries = self.entries.iter();
            self.alarms = entries.filter_map(|(name, entry)| Some((entry.alarm?, name.clone()))).collect();
        }
        while let Some((at, name)) = self.alarms.pop(now) {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            if entry.alarm != Some(at) {
                continue;
            }
            entry.alarm = None;
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let mut absence = None;
            let mut taken_away = false;
            if due(entry.grace) {
                entry.grace = None;
                match entry.state {
                    State::Pending if entry.rejection.is_none() => absence = Some(Absence::Unlisted),
                    State::Present(_) => taken_away = true,
                    _ => {}
                }
            }
            if due(entry.deadline) {
                entry.deadline = None;
                if matches!(entry.state, State::Pending | State::Absent(Absence::Unlisted)) {
                    let transient = self.features.resource_timer_is_transient_error;
                    absence = Some(if transient { Absence::Unanswered } else { Absence::TimedOut });
                }
            }
            let mut expired = false;
            if due(entry.expires) {
                entry.expires = None;
                expired = entry.present().is_some();
            }
            arm(&mut self.alarms, entry, &name);
            match absence {
                _ if expired => self.expire(now, name),
                Some(absence) => self.set_absent(now, &name, absence, None),
                None if taken_away => self.delete(now, &name, None),
                None => {}
            }
        }
    }

    /// The time of a resource is over. If something was wrong since it came, that is why there is none.
    fn expire(&mut self, now: Instant, name: Arc<str>) {
        let Some(entry) = self.entries.get_mut(&name) else { return };
        entry.state = match (&entry.rejection, &entry.error) {
            (Some(_), _) => State::Pending,
            (None, Some(error)) if error.code != NOT_FOUND => State::Absent(Absence::Failed),
            _ => return self.set_absent(now, &name, Absence::Expired, None),
        };
        entry.forfeited = true;
        self.touch(now, name);
    }

    pub(super) fn set_absent(
        &mut self,
        now: Instant,
        name: &Arc<str>,
        absence: Absence,
        reported: Option<Reported>,
    ) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let same = matches!(entry.state, State::Absent(before) if before == absence);
        let changed = !same || entry.rejection.is_some() || !entry.says(reported.as_ref());
        entry.state = State::Absent(absence);
        entry.rejection = None;
        entry.error = reported;
        if !changed {
            return;
        }
        entry.expires = None;
        let forget = !entry.named && !entry.leaving;
        self.touch(now, name.clone());
        if forget {
            self.entries.remove(name);
        }
    }

    /// Notes that an entry is not what it was.
    pub(super) fn touch(&mut self, now: Instant, name: Arc<str>) {
        let Some(entry) = self.entries.get_mut(&name) else { return };
        entry.updated = Some(now);
        if !entry.leaving {
            self.changed.push(name);
        }
    }
}

/// Whether a resource of this name can be asked for: the empty name is none, and `*` means everything.
pub(super) fn is_askable(name: &str) -> bool {
    !name.is_empty() && name != "*"
}

/// Sets an alarm for the next conclusion about `entry`, unless there is an earlier one.
pub(super) fn arm<V>(alarms: &mut Alarms, entry: &mut Entry<V>, name: &Arc<str>) {
    let next = [entry.deadline, entry.grace, entry.expires].into_iter().flatten().min();
    if let Some(at) = next
        && entry.alarm.is_none_or(|alarm| at < alarm)
    {
        entry.alarm = Some(at);
        alarms.set(at, name.clone());
    }
}
