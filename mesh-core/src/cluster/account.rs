//! What of a cluster's requests is dropped, and where the others are counted.
//!
//! An assignment may say that shares of the requests are to be dropped (`drop_overloads`), and a cluster that its load is
//! to be reported (`lrs_server`). Most say neither, which costs a request one look at an empty list. A cluster that is
//! made of others has what each of them has: which one a request falls to is known once its endpoint is chosen.

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::error::{Error, Kind};
use crate::resource::endpoint::DropOverload;
use crate::xds::load_counts::{ClusterCounts, DropCount, EndpointCounts, Place};
use std::collections::HashMap;
use std::sync::Arc;

/// What of a cluster's requests is dropped, and where the others are counted.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// One for each cluster that this one is made of, or one for itself; none where there is nothing to do.
    parts: Vec<Arc<Part>>,
}

/// The same of one cluster that has endpoints of its own.
#[derive(Debug)]
struct Part {
    counts: Arc<ClusterCounts>,
    /// Whether the load is to be reported.
    reported: bool,
    drops: Vec<(DropOverload, Arc<DropCount>)>,
    /// The cluster's endpoints, by their addresses in memory, and where requests to them are counted if they are.
    endpoints: HashMap<usize, Option<Arc<EndpointCounts>>>,
}

impl Account {
    /// What a cluster with these endpoints has to drop and, if it is `reported`, to count: each endpoint in its place.
    pub fn new<'a>(
        counts: &Arc<ClusterCounts>,
        drops: &[DropOverload],
        reported: bool,
        endpoints: impl Iterator<Item = (&'a Arc<Endpoint>, Option<Place>)>,
    ) -> Self {
        if drops.is_empty() && !reported {
            return Self::default();
        }
        let counted = |place: Option<_>| place.map(|place| counts.endpoint(place));
        let part = Part {
            counts: counts.clone(),
            reported,
            drops: drops.iter().map(|drop| (drop.clone(), counts.dropped(&drop.category))).collect(),
            endpoints: endpoints.map(|(endpoint, place)| (address_of(endpoint), counted(place))).collect(),
        };
        Self { parts: vec![Arc::new(part)] }
    }

    /// Those of the clusters that a cluster is made of.
    #[must_use]
    pub fn join<'a>(accounts: impl Iterator<Item = &'a Self>) -> Self {
        Self { parts: accounts.flat_map(|account| account.parts.iter().cloned()).collect() }
    }

    /// Why the request that would go to `endpoint` is dropped, if it is. To be asked once per try.
    #[inline]
    #[must_use]
    pub fn refuse(&self, endpoint: &Arc<Endpoint>, clock: &Clock) -> Option<Error> {
        if self.parts.is_empty() {
            return None;
        }
        let part = self.part(endpoint)?;
        let count = first_hit(&part.drops, || clock.entropy())?;
        count.add();
        let why =
            format!("the control plane has a share of the requests dropped, category {}", count.category());
        Some(Error::new(Kind::Dropped, why).with_cluster(&part.counts.name))
    }

    /// Where a request to `endpoint` is counted, if it is.
    #[inline]
    #[must_use]
    pub fn counts(&self, endpoint: &Arc<Endpoint>) -> Option<Arc<EndpointCounts>> {
        if self.parts.is_empty() {
            return None;
        }
        self.part(endpoint)?.endpoints.get(&address_of(endpoint))?.clone()
    }

    /// The counts that are to be reported.
    pub fn reported(&self) -> impl Iterator<Item = &Arc<ClusterCounts>> {
        self.parts.iter().filter(|part| part.reported).map(|part| &part.counts)
    }

    /// The counts that are to be reported of some clusters, each once: what is made of clusters has what those have.
    pub fn reported_once<'a>(accounts: impl Iterator<Item = &'a Self>) -> Vec<Arc<ClusterCounts>> {
        let mut counts: Vec<_> = accounts.flat_map(Self::reported).collect();
        counts.sort_by_key(|counts| Arc::as_ptr(counts));
        counts.dedup_by(|a, b| Arc::ptr_eq(a, b));
        counts.into_iter().cloned().collect()
    }

    /// The counts of what is dropped.
    pub fn dropping(&self) -> impl Iterator<Item = &Arc<ClusterCounts>> {
        self.parts.iter().filter(|part| !part.drops.is_empty()).map(|part| &part.counts)
    }

    fn part(&self, endpoint: &Arc<Endpoint>) -> Option<&Part> {
        let key = address_of(endpoint);
        self.parts.iter().find(|part| part.endpoints.contains_key(&key)).map(|part| &**part)
    }
}

/// Endpoints live as long as the snapshot that has them, and this does not live longer.
fn address_of(endpoint: &Arc<Endpoint>) -> usize {
    Arc::as_ptr(endpoint).addr()
}

/// The first share that a request belongs to; each is drawn for, in their order.
fn first_hit<T>(drops: &[(DropOverload, T)], mut entropy: impl FnMut() -> u64) -> Option<&T> {
    drops.iter().find(|(drop, _)| drop.share.contains(entropy())).map(|(_, count)| count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::matcher::Fraction;

    fn drops(millionths: &[u32]) -> Vec<(DropOverload, usize)> {
        let drop =
            |millionths| DropOverload { category: "c".into(), share: Fraction::millionths(millionths) };
        millionths.iter().map(|share| drop(*share)).zip(0..).collect()
    }

    #[test]
    fn each_category_takes_its_share_of_what_those_before_it_left() {
        let drops = drops(&[300_000, 500_000, 0]);
        let clock = Clock::seeded(5);
        let mut hits = [0; 3];
        let mut passed = 0;
        for _ in 0..100_000 {
            match first_hit(&drops, || clock.entropy()) {
                Some(index) => hits[*index] += 1,
                None => passed += 1,
            }
        }
        assert!((29_000..31_000).contains(&hits[0]), "{hits:?}");
        assert!((34_000..36_000).contains(&hits[1]), "{hits:?}");
        assert_eq!(hits[2], 0);
        assert!((34_000..36_000).contains(&passed), "{passed}");
    }

    #[test]
    fn a_share_of_all_takes_all_and_of_none_none() {
        assert_eq!(first_hit(&drops(&[0, 1_000_000, 1_000_000]), || u64::MAX), Some(&1));
        assert_eq!(first_hit(&drops(&[0]), || 0), None);
        assert_eq!(first_hit(&drops(&[]), || 0), None);
    }
}
