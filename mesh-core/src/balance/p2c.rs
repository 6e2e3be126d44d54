//! Power of two choices by peak EWMA (Finagle): of two random endpoints, the one with the lower cost.
//!
//! Needs no order and no lock, and never herds: a view that is out of date only makes one of two choices worse.

use super::{Members, PickContext, Picker};
use crate::clock::below;
use crate::endpoint::Endpoint;
use std::sync::Arc;

/// Draws before the endpoints are searched one by one for one that is not excluded.
const EFFORT: u32 = 4;

/// Power of two choices by peak EWMA.
#[derive(Clone, Copy, Debug, Default)]
pub struct P2c;

impl Picker for P2c {
    fn pick<'a>(&self, members: &'a Members, cx: &PickContext<'_>) -> Option<&'a Arc<Endpoint>> {
        let ready = members.ready().len();
        if ready == 0 {
            return None;
        }
        let wanted = |slot| members.ready_at(slot).filter(|endpoint| !cx.excludes(endpoint));
        let mut entropy = cx.entropy;
        for _ in 0..EFFORT {
            let first = below(entropy as u32, ready);
            if ready == 1 {
                return wanted(first);
            }
            // Distinct from the first, and as likely to be any other.
            let second = below((entropy >> 32) as u32, ready - 1);
            let second = if second >= first { second + 1 } else { second };
            match (wanted(first), wanted(second)) {
                (Some(a), Some(b)) => {
                    let cheaper = if b.load().cost(cx.now) < a.load().cost(cx.now) { b } else { a };
                    return Some(cheaper);
                }
                (Some(endpoint), None) | (None, Some(endpoint)) => return Some(endpoint),
                (None, None) => {
                    entropy = entropy.wrapping_mul(0xD120_2BB5_6E1B_3A4F).rotate_left(31);
                }
            }
        }
        let start = below((entropy >> 32) as u32, ready);
        (0..ready).find_map(|step| wanted((start + step) % ready))
    }
}

#[cfg(test)]
mod tests {
    use super::super::members::tests::{environment, key};
    use super::super::{MembersBuilder, Registry};
    use super::*;
    use crate::clock::Clock;
    use crate::endpoint::ready::Readiness;
    use std::time::Duration;

    const NOW: u64 = 1_000_000;

    fn members(count: u16) -> Members {
        let keys: Vec<_> = (1..=count).map(key).collect();
        let mut builder = MembersBuilder::default();
        builder.add(keys.into_iter(), &mut Registry::default(), &environment());
        let members = builder.members();
        drop(builder);
        for number in 0..usize::from(count) {
            members.ready().set(number, Some(Readiness::Ready));
        }
        members
    }

    fn context(clock: &Clock) -> PickContext<'static> {
        PickContext { now: NOW, entropy: clock.entropy(), excluded: &[], hash: None, metadata: &[] }
    }

    fn shares(members: &Members, picks: usize) -> Vec<usize> {
        let clock = Clock::seeded(5);
        let all: Vec<_> = members.iter().cloned().collect();
        let mut counts = vec![0; all.len()];
        for _ in 0..picks {
            let picked = P2c.pick(members, &context(&clock)).unwrap();
            counts[all.iter().position(|endpoint| Arc::ptr_eq(endpoint, picked)).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn equal_endpoints_get_equal_shares() {
        let members = members(10);
        members.iter().for_each(|endpoint| endpoint.load().observe(NOW, Duration::from_millis(10)));
        let counts = shares(&members, 100_000);
        assert!(counts.iter().all(|&count| (9_000..11_000).contains(&count)), "{counts:?}");
    }

    #[test]
    fn a_slow_endpoint_loses_every_comparison() {
        let members = members(10);
        for (index, endpoint) in members.iter().enumerate() {
            endpoint.load().observe(NOW, Duration::from_millis(if index == 3 { 100 } else { 10 }));
        }
        assert_eq!(shares(&members, 10_000)[3], 0);
    }

    #[test]
    fn a_busy_endpoint_is_spared() {
        let members = members(2);
        members.iter().for_each(|endpoint| endpoint.load().observe(NOW, Duration::from_millis(10)));
        members.iter().next().unwrap().load().begin();
        assert_eq!(shares(&members, 1_000), [0, 1_000]);
    }

    #[test]
    fn no_endpoint_gets_more_than_two_nth() {
        let members = members(10);
        for (index, endpoint) in members.iter().enumerate() {
            endpoint.load().observe(NOW, Duration::from_millis(if index == 7 { 1 } else { 10 }));
        }
        let share = shares(&members, 100_000)[7];
        assert!((19_000..21_000).contains(&share), "{share}");
    }

    #[test]
    fn excluded_endpoints_are_avoided() {
        let clock = Clock::seeded(9);
        let members = members(100);
        let all: Vec<_> = members.iter().map(|endpoint| endpoint.label().clone()).collect();
        let cx = |excluded| PickContext { excluded, ..context(&clock) };
        for _ in 0..1_000 {
            let picked = P2c.pick(&members, &cx(&all[..99])).unwrap();
            assert!(Arc::ptr_eq(picked.label(), &all[99]), "the only one left is found");
        }
        assert!(P2c.pick(&members, &cx(&all)).is_none());
    }

    #[test]
    fn only_ready_endpoints_are_picked() {
        let members = members(5);
        for number in 0..4 {
            members.ready().set(number, Some(Readiness::Failed));
        }
        assert_eq!(shares(&members, 1_000), [0, 0, 0, 0, 1_000]);
        members.ready().set(4, None);
        let clock = Clock::seeded(1);
        assert!(P2c.pick(&members, &context(&clock)).is_none());
    }
}
