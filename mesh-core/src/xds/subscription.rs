//! The subscriptions of one kind of resource on a state-of-the-world stream.

use super::cache::{Absence, Entry, Present, Rejection, State};
use super::kind::{ResourceKind, peek_name};
use crate::clock::Instant;
use bytes::Bytes;
use mesh_proto::ads::{self, DiscoveryRequest, DiscoveryResponse};
use mesh_proto::google::rpc::Status;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A resource that the control plane has not sent after this time does not exist (gRFC A27).
pub const RESOURCE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a call waits for configuration. A little longer than [`RESOURCE_TIMEOUT`], so that a call which was there
/// first learns which resource is missing.
pub const CONFIGURATION_TIMEOUT: Duration = Duration::from_secs(17);
/// A resource left out of a response that may have crossed our request counts as absent after this time.
pub const UNLISTED_GRACE: Duration = Duration::from_millis(250);

/// `INVALID_ARGUMENT`: the code of a NACK.
const NACK_CODE: i32 = 3;

/// The subscriptions of one kind of resource.
#[derive(Debug)]
pub(super) struct Subscription<K: ResourceKind> {
    kind: K,
    entries: BTreeMap<Arc<str>, Entry<K::Value>>,
    /// The last version that was accepted whole; survives streams.
    version: String,
    /// The last nonce of this stream.
    nonce: String,
    /// Requests sent on this stream.
    requests: u64,
    /// What the next request has to say, if one is due.
    due: Option<Reply>,
    /// Instants at which entries may be found not to exist, in order: the time allowed is always the same.
    timeouts: VecDeque<(Instant, Arc<str>)>,
    /// Likewise for entries that were left out of a response that may have crossed our request.
    graces: VecDeque<(Instant, Arc<str>)>,
}

#[derive(Debug)]
enum Reply {
    Plain,
    Nack(String),
}

impl<K: ResourceKind> Subscription<K> {
    pub(super) fn new(kind: K) -> Self {
        Self {
            kind,
            entries: BTreeMap::new(),
            version: String::new(),
            nonce: String::new(),
            requests: 0,
            due: None,
            timeouts: VecDeque::new(),
            graces: VecDeque::new(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry<K::Value>> {
        self.entries.get(name)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Entry<K::Value>)> {
        self.entries.iter()
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Subscribes to exactly `names`.
    pub(super) fn set(&mut self, names: &BTreeSet<Arc<str>>) {
        let before = self.entries.len();
        self.entries.retain(|name, _| names.contains(name));
        let mut changed = self.entries.len() != before;
        for name in names {
            if !self.entries.contains_key(name) {
                self.entries.insert(name.clone(), Entry::new());
                changed = true;
            }
        }
        if changed {
            self.due.get_or_insert(Reply::Plain);
        }
    }

    /// Subscribes to the names `added`, and to those `removed` no more; either may be so already.
    pub(super) fn change(&mut self, added: &[Arc<str>], removed: &[Arc<str>]) {
        let mut changed = false;
        for name in removed {
            changed |= self.entries.remove(name).is_some();
        }
        for name in added {
            if !self.entries.contains_key(name) {
                self.entries.insert(name.clone(), Entry::new());
                changed = true;
            }
        }
        if changed {
            self.due.get_or_insert(Reply::Plain);
        }
    }

    /// A new stream is up: everything has to be asked for again.
    pub(super) fn stream_opened(&mut self) {
        self.nonce.clear();
        self.requests = 0;
        self.due = (!self.entries.is_empty()).then_some(Reply::Plain);
    }

    /// The stream is gone: silence proves nothing any more.
    pub(super) fn stream_closed(&mut self) {
        self.timeouts.clear();
        self.graces.clear();
        self.due = None;
        for entry in self.entries.values_mut() {
            entry.asked_in = None;
            entry.deadline = None;
        }
    }

    /// The request that is due, if any.
    pub(super) fn next_request(&mut self, now: Instant) -> Option<DiscoveryRequest> {
        let reply = self.due.take()?;
        if self.entries.is_empty() && self.requests == 0 {
            // An empty first request would subscribe to everything.
            return None;
        }
        self.requests += 1;
        for (name, entry) in &mut self.entries {
            if entry.asked_in.is_none() {
                entry.asked_in = Some(self.requests);
                if !matches!(entry.state, State::Present(_)) {
                    let deadline = now + RESOURCE_TIMEOUT;
                    entry.deadline = Some(deadline);
                    self.timeouts.push_back((deadline, name.clone()));
                }
            }
        }
        Some(DiscoveryRequest {
            version_info: self.version.clone(),
            node: None,
            resource_names: self.entries.keys().map(|name| name.to_string()).collect(),
            type_url: self.kind.type_url().to_owned(),
            response_nonce: self.nonce.clone(),
            error_detail: match reply {
                Reply::Plain => None,
                Reply::Nack(message) => Some(Status { code: NACK_CODE, message, details: Vec::new() }),
            },
        })
    }

    /// Takes a response in; calls `changed` for each name whose entry is not what it was.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        response: DiscoveryResponse,
        mut changed: impl FnMut(&Arc<str>),
    ) {
        if self.requests == 0 {
            // Nothing was asked; an answer to this would subscribe to everything.
            return;
        }
        let version: Arc<str> = response.version_info.as_str().into();
        let mut errors = Vec::new();
        let mut seen = BTreeSet::new();
        let mut anonymous = false;
        for (index, resource) in response.resources.into_iter().enumerate() {
            match unwrap(self.kind, resource) {
                Ok((name, bytes)) => {
                    let Some((name, entry)) = self.entries.get_key_value(name.as_str()) else { continue };
                    let name = name.clone();
                    if !seen.insert(name.clone()) {
                        errors.push(format!("{name}: the response holds this resource twice"));
                        continue;
                    }
                    let Some(bytes) = bytes.filter(|bytes| entry.differs(bytes)) else { continue };
                    if let Some(error) = self.accept(&name, bytes, &version, &mut changed) {
                        errors.push(error);
                    }
                }
                Err(reason) => {
                    anonymous = true;
                    errors.push(format!("resource {index}: {reason}"));
                }
            }
        }
        // A resource whose name cannot be read may be any of those that seem to be left out.
        if self.kind.is_complete() && !anonymous {
            self.note_unlisted(now, &seen, &mut changed);
        }
        self.nonce = response.nonce;
        self.due = Some(if errors.is_empty() {
            self.version = response.version_info;
            Reply::Plain
        } else {
            Reply::Nack(errors.join("\n"))
        });
    }

    /// Decodes one resource; the error for the NACK if it is refused.
    fn accept(
        &mut self,
        name: &Arc<str>,
        bytes: Bytes,
        version: &Arc<str>,
        changed: &mut impl FnMut(&Arc<str>),
    ) -> Option<String> {
        let entry = self.entries.get_mut(name)?;
        entry.deadline = None;
        // A copy, because the slice would keep the whole response alive.
        let bytes = Bytes::copy_from_slice(&bytes);
        match self.kind.decode(name, &bytes, entry.value()) {
            Ok(value) => {
                entry.state = State::Present(Present { value, bytes, version: version.clone() });
                entry.rejection = None;
                changed(name);
                None
            }
            Err(reason) => {
                let error = format!("{name}: {reason}");
                let rejection = Rejection { version: version.clone(), reason };
                if entry.rejection.as_ref().is_none_or(|before| before.reason != rejection.reason) {
                    changed(name);
                }
                entry.rejection = Some(rejection);
                Some(error)
            }
        }
    }

    /// Draws the conclusions from what a complete response leaves out.
    fn note_unlisted(
        &mut self,
        now: Instant,
        seen: &BTreeSet<Arc<str>>,
        changed: &mut impl FnMut(&Arc<str>),
    ) {
        for (name, entry) in &mut self.entries {
            if seen.contains(name) {
                continue;
            }
            let absence = match (&entry.state, entry.asked_in) {
                (State::Present(_), _) => Absence::Deleted,
                // Named by the first request of the stream, so the server knew of it when it answered.
                (State::Pending, Some(1)) => Absence::Unlisted,
                (State::Pending, Some(_)) => {
                    self.graces.push_back((now + UNLISTED_GRACE, name.clone()));
                    continue;
                }
                _ => continue,
            };
            entry.state = State::Absent(absence);
            entry.rejection = None;
            changed(name);
        }
    }

    /// When [`fire`](Self::fire) has to be called next.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let front = |queue: &VecDeque<(Instant, Arc<str>)>| queue.front().map(|(at, _)| *at);
        match (front(&self.timeouts), front(&self.graces)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Draws the conclusions from silence.
    pub(super) fn fire(&mut self, now: Instant, mut changed: impl FnMut(&Arc<str>)) {
        while let Some((_, name)) = pop_due(&mut self.graces, now) {
            if let Some(entry) = self.entries.get_mut(&name)
                && matches!(entry.state, State::Pending)
            {
                entry.state = State::Absent(Absence::Unlisted);
                changed(&name);
            }
        }
        while let Some((at, name)) = pop_due(&mut self.timeouts, now) {
            if let Some(entry) = self.entries.get_mut(&name)
                && entry.deadline == Some(at)
            {
                entry.deadline = None;
                if matches!(entry.state, State::Pending | State::Absent(Absence::Unlisted)) {
                    entry.state = State::Absent(Absence::TimedOut);
                    changed(&name);
                }
            }
        }
    }
}

fn pop_due(queue: &mut VecDeque<(Instant, Arc<str>)>, now: Instant) -> Option<(Instant, Arc<str>)> {
    if queue.front()?.0 <= now { queue.pop_front() } else { None }
}

/// The name and bytes of a resource, out of its wrapper if it has one. A wrapper without a resource is a heartbeat.
fn unwrap<K: ResourceKind>(kind: K, mut any: ads::Any) -> Result<(String, Option<Bytes>), String> {
    let mut outer_name = String::new();
    if any.type_url == ads::RESOURCE_TYPE_URL {
        let wrapper = ads::Resource::decode(any.value)
            .map_err(|error| format!("the Resource wrapper cannot be decoded: {error}"))?;
        outer_name = wrapper.name;
        match wrapper.resource {
            Some(inner) => any = inner,
            None if outer_name.is_empty() => return Err("name: missing in the Resource wrapper".to_owned()),
            None => return Ok((outer_name, None)),
        }
    }
    if any.type_url != kind.type_url() {
        return Err(format!("type_url: {:?} in a response of {:?}", any.type_url, kind.type_url()));
    }
    let name = peek_name(&any.value).map_or(outer_name, str::to_owned);
    if name.is_empty() {
        return Err("name: missing or not readable".to_owned());
    }
    Ok((name, Some(any.value)))
}
