//! Takes what a response says into the [`Table`].

use super::cache::{Absence, Entry, NOT_FOUND, PERMISSION_DENIED, Present, Rejection, Reported, State};
use super::features::UNLISTED_GRACE;
use super::in_process::Protocol;
use super::keep::keep;
use super::kind::ResourceKind;
use super::nack::Refusals;
use super::name::canonical;
use super::table::{Table, arm, is_askable};
use super::wire::{Item, Payload, Reported as OnWire, Response};
use crate::clock::Instant;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

impl<K: ResourceKind> Table<K> {
    /// Takes in what a response says: what there is, what there is no more, and what cannot be had.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        protocol: Protocol,
        response: &Response<'_>,
        refusals: &mut Refusals,
    ) -> Heard {
        self.round += 1;
        self.seen = 0;
        let mut heard = Heard::default();
        let mut origin = Origin::of(response);
        for (index, resource) in response.resources.iter().enumerate() {
            match Item::read(protocol, self.kind.type_url(), resource) {
                Ok(item) => {
                    heard.heartbeats += usize::from(matches!(item.payload, Payload::Heartbeat));
                    self.take(now, item, &mut origin, refusals);
                }
                Err(reason) => {
                    heard.nameless += 1;
                    refusals.add(&format!("resource {index}"), &reason);
                }
            }
        }
        for name in &response.removed {
            self.take_away(now, name, refusals);
        }
        for error in &response.errors {
            self.report(now, protocol, error, refusals);
        }
        heard
    }

    /// Takes one resource of a response in.
    fn take(&mut self, now: Instant, item: Item<'_>, origin: &mut Origin<'_>, refusals: &mut Refusals) {
        let new = !matches!(item.payload, Payload::Heartbeat);
        let Some(name) = self.mention(item.name, new, refusals) else { return };
        let Some(entry) = self.entries.get_mut(&name) else { return };
        let expires = item.ttl.map(|ttl| now.checked_add(ttl).unwrap_or_else(|| now + FOREVER));
        let (bytes, wrong) = match item.payload {
            Payload::Heartbeat => {
                entry.confirm(item.version, origin);
                if entry.present().is_some() {
                    entry.grace = None;
                    entry.expires = expires;
                    arm(&mut self.alarms, entry, &name);
                }
                return;
            }
            Payload::Resource(bytes) => (bytes, None),
            Payload::Foreign(bytes, reason) => (bytes, Some(reason)),
        };
        entry.deadline = None;
        entry.grace = None;
        if wrong.is_none()
            && let Some(present) = entry.present()
            && present.bytes == bytes
        {
            self.received.valid += 1;
            entry.confirm(item.version, origin);
            entry.expires = expires;
            arm(&mut self.alarms, entry, &name);
            if entry.rejection.take().is_some() | entry.error.take().is_some() {
                self.touch(now, name);
            }
            return;
        }
        let version = origin.version_of(item.version);
        if let Some(rejection) = &mut entry.rejection
            && rejection.bytes == bytes
            && wrong.as_ref().map_or(!rejection.foreign, |reason| *reason == rejection.reason)
        {
            refusals.add(&name, &rejection.reason);
            self.received.invalid += 1;
            (rejection.version, rejection.at) = (version, now);
            return;
        }
        let bytes = keep(bytes, origin.message);
        let foreign = wrong.is_some();
        let decoded = match wrong {
            Some(reason) => Err(reason),
            None => self.kind.decode_for(&self.local, &name, &bytes, entry.value()),
        };
        entry.error = None;
        match decoded {
            Ok(value) => {
                self.received.valid += 1;
                (entry.inherited, entry.forfeited) = (false, false);
                entry.state = State::Present(Present { value, bytes, version, since: now });
                entry.rejection = None;
                entry.expires = expires;
                arm(&mut self.alarms, entry, &name);
            }
            Err(reason) => {
                self.received.invalid += 1;
                refusals.add(&name, &reason);
                entry.rejection = Some(Rejection { version, reason, bytes, at: now, foreign });
                entry.forfeited = self.features.fail_on_data_errors;
                if entry.present().is_none() || self.features.fail_on_data_errors {
                    entry.state = State::Pending;
                }
            }
        }
        self.touch(now, name);
    }

    /// The control plane says that there is no `name`.
    fn take_away(&mut self, now: Instant, name: &str, refusals: &mut Refusals) {
        if let Some(name) = self.mention(name, false, refusals) {
            self.delete(now, &name, None);
        }
    }

    /// The control plane reports an error.
    fn report(&mut self, now: Instant, protocol: Protocol, error: &OnWire<'_>, refusals: &mut Refusals) {
        // What is not there and was not known before is no news.
        let Some(name) = self.mention(error.name, error.code != NOT_FOUND, refusals) else { return };
        let reported = Reported { code: error.code, message: error.message.to_owned(), at: now };
        let Some(entry) = self.entries.get_mut(&name) else { return };
        entry.deadline = None;
        entry.grace = None;
        let fatal = self.features.fail_on_data_errors;
        // The incremental protocol has it that this is another way to say that it is removed.
        let removed = protocol == Protocol::Delta || fatal || entry.present().is_none();
        if error.code == NOT_FOUND && removed {
            return self.delete(now, &name, Some(reported));
        }
        let drop = error.code == PERMISSION_DENIED && fatal;
        entry.forfeited |= drop;
        let mut changed = !entry.says(Some(&reported));
        if entry.present().is_none() || drop {
            changed |= !matches!(entry.state, State::Absent(Absence::Failed));
            entry.state = State::Absent(Absence::Failed);
            entry.rejection = None;
        }
        entry.error = Some(reported);
        if changed {
            self.touch(now, name);
        }
    }

    /// Draws the conclusions from what a complete response leaves out.
    pub(super) fn note_unlisted(&mut self, now: Instant) {
        if self.seen == self.entries.len() {
            return;
        }
        let missing = self.entries.iter().filter(|(_, entry)| entry.seen_in != self.round);
        let mut missing: Vec<_> = missing.map(|(name, _)| name.clone()).collect();
        missing.sort_unstable();
        for name in missing {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            // Whoever is asked for everything, or for this name by the first request of the stream, knew of it.
            let known = !entry.named || entry.asked_in == Some(1);
            match &entry.state {
                State::Present(_) if known || !entry.inherited => self.delete(now, &name, None),
                // Known by what came alone, and it does not come any more.
                _ if !entry.named => self.delete(now, &name, None),
                State::Pending if known => {
                    entry.state = State::Absent(Absence::Unlisted);
                    entry.rejection = None;
                    self.touch(now, name);
                }
                // The response may have crossed the request for it.
                State::Present(_) | State::Pending if entry.asked_in.is_some() => {
                    entry.grace = Some(now + UNLISTED_GRACE);
                    arm(&mut self.alarms, entry, &name);
                }
                _ => {}
            }
        }
    }

    /// Gives a last term to what is a part of everything that this control plane has not mentioned. In the incremental protocol it
    /// takes away only what it has sent itself, and its list may come in several responses.
    pub(super) fn note_unmentioned(&mut self, now: Instant) {
        if !std::mem::take(&mut self.unconfirmed) || self.features.keep_deleted() {
            return;
        }
        let until = now + self.features.resource_timeout();
        let begun = self.rounds_before;
        let unmentioned = |entry: &Entry<_>| entry.is_unconfirmed() && entry.seen_in <= begun;
        for (name, entry) in self.entries.iter_mut().filter(|(_, entry)| unmentioned(entry)) {
            entry.grace = Some(until);
            arm(&mut self.alarms, entry, name);
        }
    }

    /// The name of a subscribed resource, if the response mentions it for the first time. One that is not known is
    /// made so if it is `new` and everything is subscribed to. However it writes the name, the canonical one counts.
    fn mention(&mut self, name: &str, new: bool, refusals: &mut Refusals) -> Option<Arc<str>> {
        let name = &*canonical(name);
        if !self.entries.contains_key(name) {
            if !new || !self.wildcard || !is_askable(name) {
                return None;
            }
            self.entries.insert(name.into(), Box::new(Entry::new(false)));
        }
        let (name, entry) = self.entries.get_key_value(name)?;
        let (name, again) = (name.clone(), entry.seen_in == self.round);
        if again {
            refusals.add(&name, "the response mentions this resource twice");
            return None;
        }
        let entry = self.entries.get_mut(&name)?;
        entry.seen_in = self.round;
        // Wanted no more by its name, but a part of everything, and it will not come again.
        entry.leaving &= !(new && self.wildcard);
        self.seen += 1;
        Some(name)
    }

    /// A resource is gone, unless the bootstrap says that what is gone is kept.
    pub(super) fn delete(&mut self, now: Instant, name: &Arc<str>, reported: Option<Reported>) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.deadline = None;
        entry.grace = None;
        let present = entry.present().is_some();
        if present && self.features.keep_deleted() {
            let reported = reported.unwrap_or_else(|| Reported {
                code: NOT_FOUND,
                message: "the control plane took it away; ignore_resource_deletion keeps it".to_owned(),
                at: now,
            });
            let changed = !entry.says(Some(&reported));
            entry.error = Some(reported);
            if changed {
                self.touch(now, name.clone());
            }
            return;
        }
        let absence = match entry.state {
            State::Present(_) | State::Absent(Absence::Deleted) => Absence::Deleted,
            _ => Absence::NotFound,
        };
        self.set_absent(now, name, absence, reported);
    }
}

impl<V> Entry<V> {
    /// The control plane says that what is present is still the right one, of this version.
    fn confirm(&mut self, version: &str, origin: &mut Origin<'_>) {
        let inherited = std::mem::take(&mut self.inherited);
        let State::Present(present) = &mut self.state else { return };
        // What another control plane called it means nothing to this one.
        let unnamed = inherited || present.version.is_empty();
        if unnamed || !version.is_empty() && *present.version != *version {
            present.version = origin.version_of(version);
        }
    }
}

/// What a response held beside resources.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// Resources that are still the right ones.
    pub(super) heartbeats: usize,
    /// Resources that could not even be named.
    pub(super) nameless: usize,
}

/// The response that resources came in.
#[derive(Debug)]
struct Origin<'a> {
    message: &'a Bytes,
    version: &'a str,
    /// The version, made shareable when it is needed first.
    shared: Option<Arc<str>>,
}

impl<'a> Origin<'a> {
    fn of(response: &'a Response<'_>) -> Self {
        Self { message: &response.message, version: response.version, shared: None }
    }

    /// The version of a resource: its own, or that of the response if it has none.
    fn version_of(&mut self, own: &str) -> Arc<str> {
        if own.is_empty() {
            return self.shared.get_or_insert_with(|| self.version.into()).clone();
        }
        own.into()
    }
}

/// Later than anybody waits, and not so late that adding it to the present fails.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
