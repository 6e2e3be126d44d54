//! What a stream wants of one kind, what its client holds of it, and the difference to what it should hold.
//!
//! Nothing is queued: whenever there is room to send, the difference is taken anew. A slow client therefore gets the
//! latest state and costs no more memory than a fast one.

use super::World;
use super::by_name::{ByName, Size};
use crate::translate::{Kind, NodeView};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The name that stands for everything.
pub(super) const WILDCARD: &str = "*";

/// The number of the last response of each kind, by [`index`].
pub(super) type Marks = [u64; Kind::ALL.len()];

/// The place of a kind in [`Marks`].
pub(super) fn index(kind: Kind) -> usize {
    match kind {
        Kind::Listener => 0,
        Kind::Route => 1,
        Kind::Cluster => 2,
        Kind::Endpoint => 3,
    }
}

/// Whether a state-of-the-world response of a kind is complete, so that what it leaves out does not exist. These are
/// also the kinds of which a client may subscribe to everything by naming nothing.
pub(super) fn is_complete(kind: Kind) -> bool {
    matches!(kind, Kind::Listener | Kind::Cluster)
}

/// The length of a version.
const VERSION_LEN: usize = 16;

/// The version of a resource: a fingerprint of its bytes (FNV-1a), the same in every process and after every restart.
pub(super) fn version(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The host that a Listener is named for.
fn host(listener: &str) -> &str {
    listener.rsplit_once(':').map_or(listener, |(host, _)| host)
}

/// What a client holds under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It waits for an answer.
    Unanswered,
    /// It was told that there is nothing.
    Nothing,
    /// It says that it holds this version, from an earlier stream.
    Claimed(String),
    /// It was sent this.
    Sent(Bytes),
}

impl Held {
    /// It says that it holds `version`. One that cannot be ours is as good as none.
    pub(super) fn claimed(mut version: String) -> Self {
        if version.len() != VERSION_LEN {
            version = String::new();
        }
        Self::Claimed(version)
    }

    fn is(&self, bytes: &Bytes) -> bool {
        match self {
            Self::Sent(sent) => {
                (sent.as_ptr() == bytes.as_ptr() && sent.len() == bytes.len()) || sent == bytes
            }
            Self::Claimed(claimed) => *claimed == version(bytes),
            Self::Unanswered | Self::Nothing => false,
        }
    }
}

/// What a client has to be told.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What is new or changed.
    pub(super) changed: Vec<(Arc<str>, Bytes)>,
    /// What it asked for and does not exist.
    pub(super) unknown: Vec<Arc<str>>,
}

/// What a stream wants of one kind, and what its client holds.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) kind: Kind,
    /// Whether the kind was asked for on this stream.
    pub(super) asked: bool,
    /// Whether the client ever named something, so that naming nothing means nothing.
    pub(super) ever_named: bool,
    /// Whether it wants everything.
    pub(super) wildcard: bool,
    /// What it wants by name.
    pub(super) named: BTreeSet<Arc<str>>,
    /// Of these, the ones that it named a host for, without port.
    implied: BTreeSet<Arc<str>>,
    /// What it wants, and what it has of that.
    pub(super) held: ByName<Held>,
    /// What of that exists no more, and the responses that have to be answered before it is told.
    gone: BTreeMap<Arc<str>, Option<Marks>>,
    /// What it wants no more and may come to hold nevertheless, because it was on the way when it stopped to.
    on_the_way: ByName<()>,
    /// Whether a response is due even if it says nothing.
    pub(super) owed: bool,
    /// Whether there may be a difference.
    pub(super) dirty: bool,
    /// The number of the last response.
    pub(super) sent: u64,
    /// The last response that the client answered.
    pub(super) answered: u64,
    /// What it said last against a response, until it accepts one.
    pub(super) refusal: Option<String>,
}

impl Watch {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            asked: false,
            ever_named: false,
            wildcard: false,
            named: BTreeSet::new(),
            implied: BTreeSet::new(),
            held: ByName::new(),
            gone: BTreeMap::new(),
            on_the_way: ByName::new(),
            owed: false,
            dirty: false,
            sent: 0,
            answered: 0,
            refusal: None,
        }
    }

    /// How much is remembered: everything that is wanted or gone is among what is held.
    pub(super) fn size(&self) -> Size {
        self.held.size() + self.on_the_way.size()
    }

    /// Whether the client wants anything.
    pub(super) fn is_idle(&self) -> bool {
        !self.wildcard && self.named.is_empty()
    }

    /// Replaces what is wanted by name. What was wanted before.
    pub(super) fn rename(&mut self, mut names: BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
        self.implied.retain(|name| !names.contains(name) && names.contains(host(name)));
        names.extend(self.implied.iter().cloned());
        std::mem::replace(&mut self.named, names)
    }

    /// Wants a name.
    pub(super) fn name(&mut self, name: Arc<str>) {
        self.implied.remove(&name);
        self.named.insert(name);
    }

    /// Wants a name no longer, nor what it implied. What was wanted of that.
    pub(super) fn unname(&mut self, name: &Arc<str>) -> Vec<Arc<str>> {
        let of_host = |it: &&Arc<str>| host(it) == &**name;
        let mut gone: Vec<Arc<str>> = self.implied.iter().filter(of_host).cloned().collect();
        self.implied.retain(|it| host(it) != &**name);
        gone.push(name.clone());
        gone.retain(|name| self.named.remove(name));
        gone
    }

    /// Wants a Listener for each port of the hosts that are named without one.
    fn imply(&mut self, world: &impl World, node: &NodeView) {
        let hosts: Vec<_> = self.named.iter().filter(|name| !name.contains(':')).cloned().collect();
        for name in hosts.iter().flat_map(|host| world.listeners(node, host)) {
            if self.named.insert(name.clone()) {
                self.ask(&name);
                self.implied.insert(name);
            }
        }
    }

    /// Forgets what the client has under a name: it has to be told.
    pub(super) fn ask(&mut self, name: &Arc<str>) {
        self.held.insert(name.clone(), Held::Unanswered);
        self.gone.remove(name);
        self.on_the_way.remove(name);
    }

    /// Forgets a name.
    pub(super) fn forget(&mut self, name: &Arc<str>) {
        self.gone.remove(name);
        if self.held.remove(name) && self.is_unanswered() {
            self.on_the_way.insert(name.clone(), ());
        }
    }

    /// Everything is wanted.
    pub(super) fn begin_wildcard(&mut self) {
        self.wildcard = true;
        for name in self.on_the_way.take_names() {
            // If it does not exist any more, the client has to be told.
            self.held.insert_if_new(name, Held::Unanswered);
        }
    }

    /// No more than what is named is wanted.
    pub(super) fn end_wildcard(&mut self) {
        self.wildcard = false;
        let unanswered = self.is_unanswered();
        self.held.retain(|name, _| {
            let stays = self.named.contains(name);
            if !stays && unanswered {
                self.on_the_way.insert(name.clone(), ());
            }
            stays
        });
        self.gone.retain(|name, _| self.named.contains(name));
    }

    /// Notes that a response was answered. Whether it was one of this stream.
    pub(super) fn answer(&mut self, nonce: &str) -> bool {
        let number = nonce.parse().ok().filter(|&number| number <= self.sent);
        self.answered = self.answered.max(number.unwrap_or(0));
        if !self.is_unanswered() {
            self.on_the_way = ByName::new();
        }
        number.is_some()
    }

    /// Whether a response may still be on its way to the client.
    fn is_unanswered(&self) -> bool {
        self.answered < self.sent
    }

    /// Notes whether the client refuses the last response. What it says, unless it said so before.
    pub(super) fn refuse(&mut self, message: Option<String>) -> Option<String> {
        if message == self.refusal {
            return None;
        }
        self.refusal.clone_from(&message);
        message
    }

    /// What the client has to be told, and takes it for told. What is gone is only noted.
    pub(super) fn take_news(&mut self, world: &impl World, node: &NodeView) -> News {
        self.dirty = false;
        if self.kind == Kind::Listener {
            self.imply(world, node);
        }
        let mut news = News::default();
        if self.wildcard {
            for name in world.names(node, self.kind) {
                self.held.insert_if_new(name, Held::Unanswered);
            }
        }
        for (name, held) in self.held.iter_mut() {
            match (world.resource(node, self.kind, name), &*held) {
                (Some(bytes), _) => {
                    self.gone.remove(name);
                    if !held.is(&bytes) {
                        news.changed.push((name.clone(), bytes.clone()));
                    }
                    // Also if nothing changed: the old buffer is free then.
                    *held = Held::Sent(bytes);
                }
                (None, Held::Unanswered) => {
                    *held = Held::Nothing;
                    news.unknown.push(name.clone());
                }
                (None, Held::Nothing) => {}
                (None, Held::Claimed(_) | Held::Sent(_)) => {
                    self.gone.entry(name.clone()).or_insert(None);
                }
            }
        }
        // What is part of everything and was only asked about need not be remembered.
        if self.wildcard {
            let named = &self.named;
            self.held.retain(|name, held| *held != Held::Nothing || named.contains(name));
        }
        news
    }

    /// Drops what is gone without a word.
    pub(super) fn drop_gone(&mut self) {
        for name in std::mem::take(&mut self.gone).into_keys() {
            self.let_go(name);
        }
    }

    /// Takes what is gone and may be said to be: each once `passed` says so of the responses that were on their way
    /// when it was found to be gone, which are `now`.
    pub(super) fn take_gone(&mut self, now: Marks, passed: impl Fn(&Marks) -> bool) -> Vec<Arc<str>> {
        let mut taken = Vec::new();
        self.gone.retain(|name, marks| {
            let due = passed(marks.get_or_insert(now));
            if due {
                taken.push(name.clone());
            }
            !due
        });
        for name in &taken {
            self.let_go(name.clone());
        }
        taken
    }

    /// Whether something that is gone was not said to be.
    pub(super) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    fn let_go(&mut self, name: Arc<str>) {
        match self.named.contains(&name) {
            true => self.held.insert(name, Held::Nothing),
            false => {
                self.held.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_follows_from_the_bytes_alone() {
        // Reference values of FNV-1a.
        assert_eq!(version(b""), "cbf29ce484222325");
        assert_eq!(version(b"foobar"), "85944171f73967e8");
        assert_eq!(version(b"foobar").len(), VERSION_LEN);
        assert!(Held::claimed(version(b"foobar")).is(&Bytes::from_static(b"foobar")));
        assert_eq!(Held::claimed("7".repeat(1000)), Held::Claimed(String::new()), "none of ours");
    }
}
