//! Which of several control planes is in charge (gRFC A71), as a pure state machine.
//!
//! The servers are in order, best first. All from the first to the last one that was needed are tried all the time, each
//! with its own back-off. Whoever answers first after a failure is in charge, and those after it are let go; so the
//! best one that answers is in charge in the end. A server is added only while something is needed that is not known.

use crate::clock::Instant;
use std::time::Duration;

/// A control plane that has not answered a stream within this time counts as failing, so that the next one is tried. The
/// stream stays open: it may still answer.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Which of several control planes is in charge.
#[derive(Debug)]
pub(super) struct Fallback {
    servers: usize,
    /// Whether to go on to the next server even if everything needed is known (gRFC A95).
    eager: bool,
    /// The server in charge.
    active: usize,
    /// Those that are tried: all from the first one on. Never empty.
    tried: Vec<Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing is known yet, or a stream that answered has ended.
    Trying,
    /// A stream is open since then and has not answered.
    Asked(Instant),
    /// It answers.
    Good,
    /// The last attempt failed.
    Failing,
}

impl Fallback {
    /// For `servers` control planes, at least one.
    pub(super) fn new(servers: usize, eager: bool) -> Self {
        Self { servers, eager, active: 0, tried: vec![Standing::Trying] }
    }

    /// The server in charge.
    pub(super) fn active(&self) -> usize {
        self.active
    }

    /// How many servers are tried.
    pub(super) fn tried(&self) -> usize {
        self.tried.len()
    }

    /// A stream to a server is open and asks for something.
    pub(super) fn asked(&mut self, server: usize, now: Instant) {
        if let Some(standing @ Standing::Trying) = self.tried.get_mut(server) {
            *standing = Standing::Asked(now);
        }
    }

    /// A server answers; whether it takes over from another one. Those after it are let go.
    pub(super) fn answered(&mut self, server: usize) -> bool {
        if server >= self.tried.len() {
            return false;
        }
        self.tried.truncate(server + 1);
        self.tried[server] = Standing::Good;
        std::mem::replace(&mut self.active, server) != server
    }

    /// A stream to a server ended, or could not be opened. `routine`: it had answered, so all is well.
    pub(super) fn ended(&mut self, server: usize, routine: bool) {
        if let Some(standing) = self.tried.get_mut(server) {
            *standing = if routine { Standing::Trying } else { Standing::Failing };
        }
    }

    /// Whether the next server is added even if nothing is missing.
    pub(super) fn is_eager(&self) -> bool {
        self.eager
    }

    /// Whether the next server is to be added if something is missing.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let fails = match self.tried.last() {
            Some(Standing::Asked(since)) => *since + ANSWER_TIMEOUT <= now,
            Some(Standing::Failing) => true,
            _ => false,
        };
        fails && self.tried.len() < self.servers
    }

    /// Adds the next server, if it is needed. `missing`: whether something is needed that is not known.
    pub(super) fn add(&mut self, now: Instant, missing: bool) -> bool {
        let due = (missing || self.eager) && self.is_due(now);
        if due {
            self.tried.push(Standing::Trying);
        }
        due
    }

    /// When [`add`](Self::add) has to be asked again although nothing happened.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        match self.tried.last() {
            Some(Standing::Asked(since)) if self.tried.len() < self.servers => Some(*since + ANSWER_TIMEOUT),
            _ => None,
        }
    }

    /// Whether no server that is tried can be reached.
    pub(super) fn is_down(&self) -> bool {
        self.tried.iter().all(|standing| *standing == Standing::Failing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::*;

    #[test]
    fn the_next_server_is_tried_when_one_fails_and_something_is_missing() {
        let now = clock::now();
        let mut fallback = Fallback::new(2, false);
        assert!(!fallback.add(now, true), "nothing failed");
        fallback.ended(0, false);
        assert!(!fallback.add(now, false), "nothing is missing");
        assert!(fallback.is_down());
        assert!(fallback.add(now, true));
        assert_eq!((fallback.active(), fallback.tried(), fallback.is_down()), (0, 2, false));
        assert!(!fallback.add(now, true), "there is no third");
        assert!(fallback.answered(1));
        assert_eq!((fallback.active(), fallback.tried()), (1, 2));
    }

    #[test]
    fn the_best_server_that_answers_is_in_charge_and_the_others_are_let_go() {
        let now = clock::now();
        let mut fallback = Fallback::new(3, false);
        fallback.ended(0, false);
        assert!(fallback.add(now, true));
        fallback.ended(1, false);
        assert!(fallback.add(now, true));
        assert!(fallback.answered(2));
        assert!(fallback.answered(1));
        assert_eq!((fallback.active(), fallback.tried()), (1, 2));
        assert!(!fallback.answered(2), "it was let go");
        assert!(fallback.answered(0));
        assert!(!fallback.answered(0));
        assert_eq!((fallback.active(), fallback.tried()), (0, 1));
    }

    #[test]
    fn a_stream_that_ends_after_an_answer_means_nothing() {
        let now = clock::now();
        let mut fallback = Fallback::new(2, true);
        fallback.answered(0);
        fallback.ended(0, true);
        assert!(!fallback.add(now, true) && !fallback.is_down());
        fallback.ended(0, false);
        assert!(fallback.add(now, false), "only that it can be reached counts");
    }

    #[test]
    fn a_server_that_never_answers_counts_as_failing() {
        let now = clock::now();
        let mut fallback = Fallback::new(2, false);
        fallback.asked(0, now);
        assert_eq!(fallback.next_timer(), Some(now + ANSWER_TIMEOUT));
        assert!(!fallback.add(now + ANSWER_TIMEOUT - Duration::from_millis(1), true));
        assert!(fallback.add(now + ANSWER_TIMEOUT, true));
        assert!(!fallback.is_down(), "it may still answer");
        assert_eq!(fallback.next_timer(), None);
        assert!(!fallback.answered(0), "it was in charge all the time");
        assert_eq!(fallback.tried(), 1);
    }

    #[test]
    fn opening_streams_does_not_hide_that_a_server_fails() {
        let now = clock::now();
        let mut fallback = Fallback::new(1, false);
        fallback.ended(0, false);
        fallback.asked(0, now);
        assert!(fallback.is_down());
        fallback.answered(0);
        assert!(!fallback.is_down());
    }

    proptest! {
        #[test]
        fn whatever_happens_the_servers_are_tried_in_order(
            servers in 1usize..5,
            eager: bool,
            events in prop::collection::vec((0usize..5, 0u8..5, 0u64..4_000), 0..80),
        ) {
            let mut now = clock::now();
            let mut fallback = Fallback::new(servers, eager);
            for (server, event, wait) in events {
                now += Duration::from_millis(wait);
                let before = (fallback.active(), fallback.tried());
                match event {
                    0 => fallback.asked(server, now),
                    1 => {
                        let known = server < before.1;
                        prop_assert_eq!(fallback.answered(server), known && server != before.0);
                        let after = if known { (server, server + 1) } else { before };
                        prop_assert_eq!((fallback.active(), fallback.tried()), after);
                        prop_assert!(!known || !fallback.is_down());
                    }
                    2 | 3 => fallback.ended(server, event == 2),
                    _ => {
                        let timer = fallback.next_timer();
                        let added = fallback.add(now, true);
                        prop_assert_eq!(fallback.tried(), before.1 + usize::from(added));
                        prop_assert!(timer.is_none_or(|at| added == (at <= now)), "the timer tells when to ask");
                    }
                }
                prop_assert!(fallback.active() < fallback.tried() && fallback.tried() <= servers);
            }
            // When everything fails every server is tried in the end, and any of them can take over.
            for server in 0..servers {
                (0..=server).for_each(|server| fallback.ended(server, false));
                fallback.add(now, true);
            }
            prop_assert_eq!(fallback.tried(), servers);
            fallback.answered(servers - 1);
            prop_assert_eq!(fallback.active(), servers - 1);
        }
    }
}
