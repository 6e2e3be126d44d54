//! Host names that stand for endpoints: when to look each up, and what is known of it.
//!
//! An answer that is empty or fails never takes away the addresses that were known: a resolver that is down for a minute
//! says nothing about the hosts.

use crate::clock::Instant;
use crate::policy::backoff::Backoff;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The pauses between attempts to look up a name that cannot be (Envoy `Cluster.dns_failure_refresh_rate`).
pub const DNS_FAILURE_BACKOFF: Backoff =
    Backoff { base: Duration::from_secs(1), factor: 1.6, max: Duration::from_secs(30), jitter: 0.2 };

/// The shortest time between two lookups of a name, whatever `dns_refresh_rate` says: each occupies a thread of the process
/// and a resolver that many share. Envoy refuses what is not above a millisecond.
pub const MIN_DNS_REFRESH: Duration = Duration::from_millis(100);

/// Names that are looked up at the same time: each occupies a thread of those that also read files, and a name that waits for
/// one must not be taken for one that nobody answers for.
pub const MAX_CONCURRENT_LOOKUPS: usize = 64;

/// The names that somebody needs. Whoever does is known by a number.
#[derive(Debug, Default)]
pub struct DnsNames {
    names: BTreeMap<Arc<str>, Name>,
    /// When to look up which.
    queue: Queue,
}

/// What is due when, soonest first.
type Queue = BTreeSet<(Instant, Arc<str>)>;

#[derive(Debug)]
struct Name {
    /// Who needs it, and how old its addresses may become for each.
    users: BTreeMap<usize, Duration>,
    /// When it was last looked up with success.
    heard: Option<Instant>,
    /// When to look it up; none while that is under way.
    due: Option<Instant>,
    failures: u32,
    /// The addresses in order, each once; none before the first answer.
    addresses: Option<Vec<IpAddr>>,
    error: Option<Arc<str>>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// It has not been looked up yet.
    Pending,
    /// These.
    Addresses(&'a [IpAddr]),
    /// It never could be looked up, and why.
    Failed(&'a str),
}

impl DnsNames {
    /// Has `host` looked up for `user`, at once if it is new and from then on every `refresh`, but not oftener than every
    /// [`MIN_DNS_REFRESH`]. The shortest that a present user asks for counts.
    pub fn want(&mut self, host: &Arc<str>, user: usize, refresh: Duration, now: Instant) {
        let name = self.names.entry(host.clone()).or_insert_with(|| {
            self.queue.insert((now, host.clone()));
            Name {
                users: BTreeMap::new(),
                heard: None,
                due: Some(now),
                failures: 0,
                addresses: None,
                error: None,
            }
        });
        name.users.insert(user, refresh.max(MIN_DNS_REFRESH));
        name.plan(host, &mut self.queue);
    }

    /// `user` needs `host` no more; what nobody needs is forgotten.
    pub fn release(&mut self, host: &str, user: usize) {
        let Some(host) = self.written(host) else { return };
        let Some(name) = self.names.get_mut(&host) else { return };
        name.users.remove(&user);
        if name.users.is_empty() {
            name.look_up_at(None, &host, &mut self.queue);
            self.names.remove(&host);
        } else {
            name.plan(&host, &mut self.queue);
        }
    }

    /// Who needs `host`.
    pub fn users(&self, host: &str) -> impl Iterator<Item = usize> {
        self.names.get(host).into_iter().flat_map(|name| name.users.keys().copied())
    }

    /// The names to look up now, at most `room`, those first that have waited longest; each has to be
    /// [`answered`](Self::answered).
    pub fn due(&mut self, now: Instant, room: usize) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        while due.len() < room
            && self.queue.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, host)) = self.queue.pop_first()
        {
            if let Some(name) = self.names.get_mut(&host) {
                name.due = None;
            }
            due.push(host);
        }
        due
    }

    /// When [`due`](Self::due) has something to say next, if it has room.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The name as it is kept.
    fn written(&self, host: &str) -> Option<Arc<str>> {
        self.names.get_key_value(host).map(|(host, _)| host.clone())
    }

    /// Takes an answer in; whether it changes what `host` stands for.
    pub fn answered(
        &mut self,
        host: &str,
        answer: Result<Vec<IpAddr>, String>,
        now: Instant,
        entropy: u64,
    ) -> bool {
        // It may have been forgotten meanwhile.
        let Some(host) = self.written(host) else { return false };
        let Some(name) = self.names.get_mut(&host) else { return false };
        let answer = match answer {
            Ok(addresses) if addresses.is_empty() => Err("the name has no address".to_owned()),
            answer => answer,
        };
        match answer {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                name.failures = 0;
                name.error = None;
                name.heard = Some(now);
                name.look_up_at(Some(now + name.refresh()), &host, &mut self.queue);
                let changed = name.addresses.as_ref() != Some(&addresses);
                name.addresses = Some(addresses);
                changed
            }
            Err(why) => {
                name.failures = name.failures.saturating_add(1);
                let again = now + DNS_FAILURE_BACKOFF.delay(name.failures, entropy);
                name.look_up_at(Some(again), &host, &mut self.queue);
                let first = name.error.is_none() && name.addresses.is_none();
                name.error = Some(why.into());
                first
            }
        }
    }

    /// What `host` stands for.
    #[must_use]
    pub fn get(&self, host: &str) -> Lookup<'_> {
        match self.names.get(host) {
            Some(Name { addresses: Some(addresses), .. }) => Lookup::Addresses(addresses),
            Some(Name { error: Some(error), .. }) => Lookup::Failed(error),
            _ => Lookup::Pending,
        }
    }
}

impl Name {
    /// The time between two lookups.
    fn refresh(&self) -> Duration {
        self.users.values().min().copied().unwrap_or(MIN_DNS_REFRESH)
    }

    /// Plans the next lookup anew, unless one is under way or what failed is tried again.
    fn plan(&mut self, host: &Arc<str>, queue: &mut Queue) {
        if let (Some(_), Some(heard), 0) = (self.due, self.heard, self.failures) {
            self.look_up_at(Some(heard + self.refresh()), host, queue);
        }
    }

    /// Looked up then, if at all, and not when it was to be.
    fn look_up_at(&mut self, at: Option<Instant>, host: &Arc<str>, queue: &mut Queue) {
        if let Some(before) = std::mem::replace(&mut self.due, at) {
            queue.remove(&(before, host.clone()));
        }
        queue.extend(at.map(|at| (at, host.clone())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::resource::cluster::DEFAULT_DNS_REFRESH;

    const SECOND: Duration = Duration::from_secs(1);

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn named(host: &str) -> (DnsNames, Arc<str>, Instant) {
        let (mut names, now) = (DnsNames::default(), Clock::system().now());
        let host: Arc<str> = host.into();
        names.want(&host, 1, DEFAULT_DNS_REFRESH, now);
        (names, host, now)
    }

    #[test]
    fn a_name_is_looked_up_at_once_and_then_at_intervals() {
        let (mut names, host, now) = named("a");
        assert_eq!(names.due(now, 9), vec![host.clone()]);
        assert!(names.due(now, 9).is_empty(), "it is under way");
        assert_eq!((names.get("a"), names.next_timer()), (Lookup::Pending, None));
        assert!(names.answered("a", Ok(vec![ip(2), ip(1), ip(2)]), now, 0));
        assert_eq!(names.get("a"), Lookup::Addresses(&[ip(1), ip(2)]));
        assert_eq!(names.next_timer(), Some(now + DEFAULT_DNS_REFRESH));
        let later = now + DEFAULT_DNS_REFRESH;
        assert_eq!(names.due(later, 9), [host]);
        assert!(!names.answered("a", Ok(vec![ip(1), ip(2)]), later, 0), "the same in another order");
    }

    #[test]
    fn a_failure_takes_nothing_away_and_backs_off() {
        let (mut names, _, now) = named("a");
        names.due(now, 9);
        names.answered("a", Ok(vec![ip(1)]), now, 0);
        let mut pauses = Vec::new();
        let mut at = now + DEFAULT_DNS_REFRESH;
        for answer in [Err("SERVFAIL".to_owned()), Ok(Vec::new()), Err("SERVFAIL".to_owned())] {
            assert_eq!(names.due(at, 9).len(), 1);
            assert!(!names.answered("a", answer, at, u64::MAX / 2));
            assert_eq!(names.get("a"), Lookup::Addresses(&[ip(1)]));
            let next = names.next_timer().unwrap();
            pauses.push(next - at);
            at = next;
        }
        assert!(pauses[0] >= SECOND * 9 / 10 && pauses.is_sorted(), "{pauses:?}");
    }

    #[test]
    fn a_name_that_never_resolved_says_why() {
        let (mut names, _, now) = named("a");
        names.due(now, 9);
        assert!(names.answered("a", Ok(Vec::new()), now, 0));
        assert_eq!(names.get("a"), Lookup::Failed("the name has no address"));
        assert!(!names.answered("a", Err("no".into()), now, 0), "still none");
        assert_eq!(names.get("a"), Lookup::Failed("no"));
    }

    #[test]
    fn the_shortest_interval_of_those_who_need_a_name_counts() {
        let (mut names, host, now) = named("a");
        names.due(now, 9);
        names.want(&host, 2, SECOND, now);
        names.want(&host, 3, SECOND * 3, now);
        assert_eq!(names.next_timer(), None, "it is under way");
        assert!(names.answered("a", Ok(vec![ip(1)]), now, 0));
        assert_eq!((names.next_timer(), names.users("a").collect()), (Some(now + SECOND), vec![1, 2, 3]));
        names.want(&host, 2, SECOND * 4, now);
        assert_eq!(
            names.next_timer(),
            Some(now + SECOND * 3),
            "who asks for another one does not keep the old"
        );
        names.release("a", 3);
        assert_eq!(names.next_timer(), Some(now + SECOND * 4), "nor does who is gone");
        names.want(&host, 4, SECOND, now + SECOND * 2);
        assert_eq!(
            names.due(now + SECOND * 2, 9).len(),
            1,
            "what is too old for the newcomer is looked up at once"
        );
        for user in [1, 2, 4] {
            names.release("a", user);
        }
        assert_eq!((names.get("a"), names.next_timer()), (Lookup::Pending, None));
        assert!(!names.answered("a", Ok(vec![ip(1)]), now, 0), "too late");
    }

    #[test]
    fn who_has_waited_longest_is_looked_up_first() {
        let (mut names, first, now) = named("z");
        let others = ["c", "a", "b"].map(Arc::from);
        let later = now + SECOND;
        others.iter().for_each(|host| names.want(host, 1, SECOND, later));
        assert!(names.due(later, 0).is_empty());
        assert_eq!(names.due(later, 2), [first, "a".into()]);
        names.release("b", 1);
        assert_eq!((names.next_timer(), names.due(later, 2)), (Some(later), vec!["c".into()]));
        assert_eq!((names.next_timer(), names.due(later, 2)), (None, vec![]));
        assert!(names.answered("a", Ok(vec![ip(1)]), later, 0));
        names.answered("z", Err("no".into()), later, u64::MAX / 2);
        assert!(names.next_timer().is_some_and(|at| at > later && at <= later + SECOND));
        assert_eq!(names.due(later + SECOND * 9, usize::MAX).len(), 2);
        assert!(names.queue.is_empty(), "nothing is left behind");
    }

    #[test]
    fn no_name_is_looked_up_without_a_pause() {
        let (mut names, host, now) = named("a");
        names.want(&host, 1, Duration::from_nanos(1), now);
        names.due(now, 9);
        names.answered("a", Ok(vec![ip(1)]), now, 0);
        assert_eq!(names.next_timer(), Some(now + MIN_DNS_REFRESH));
    }

    #[test]
    fn another_interval_does_not_shorten_the_pause_after_a_failure() {
        let (mut names, host, now) = named("a");
        names.due(now, 9);
        names.answered("a", Ok(vec![ip(1)]), now, 0);
        let later = now + DEFAULT_DNS_REFRESH;
        names.due(later, 9);
        names.answered("a", Err("SERVFAIL".into()), later, u64::MAX / 2);
        let next = names.next_timer();
        names.want(&host, 1, MIN_DNS_REFRESH, later);
        assert_eq!(names.next_timer(), next);
    }
}
