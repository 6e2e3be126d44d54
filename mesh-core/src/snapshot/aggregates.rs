//! Which clusters are made of which clusters.
//!
//! A cluster that is made of clusters comes down to those that are made of none: each once, where it occurs first. Only
//! that list is looked at, never the way there, so that clusters which share many others cost no more than there are.
//!
//! Beside what a cluster is to be made of stands what it is in service with: while new parts are not here yet, the parts
//! that it had.

use crate::route::ClusterIndex;
use std::collections::{BTreeMap, BTreeSet};

/// How deep clusters may be made of clusters (gRFC A37).
pub const MAX_AGGREGATE_DEPTH: usize = 16;

/// Which clusters are made of which clusters. None is made of itself, nor is it in service with itself by any way.
#[derive(Debug, Default)]
pub(super) struct Aggregates {
    nodes: BTreeMap<ClusterIndex, Node>,
}

#[derive(Debug, Default)]
struct Node {
    children: Vec<ClusterIndex>,
    parents: BTreeSet<ClusterIndex>,
    /// What it is in service with, the best first.
    parts: Vec<ClusterIndex>,
    /// What is in service with it.
    wholes: BTreeSet<ClusterIndex>,
    /// How many steps it takes to what is made of nothing, by the longest way; no more than the limit.
    height: usize,
}

/// A cluster is made of clusters too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

impl Node {
    fn is_alone(&self) -> bool {
        self.children.is_empty() && self.parents.is_empty() && self.parts.is_empty() && self.wholes.is_empty()
    }
}

impl Aggregates {
    /// What a cluster is made of, the best first.
    pub(super) fn children(&self, of: ClusterIndex) -> &[ClusterIndex] {
        self.nodes.get(&of).map_or(&[], |node| &node.children)
    }

    /// Makes a cluster of `children`, which differ from each other and none of which [leads](Self::leads) to it. What it
    /// was made of before.
    pub(super) fn replace(&mut self, of: ClusterIndex, children: Vec<ClusterIndex>) -> Vec<ClusterIndex> {
        let before = std::mem::take(&mut self.nodes.entry(of).or_default().children);
        for child in &before {
            if let Some(node) = self.nodes.get_mut(child) {
                node.parents.remove(&of);
            }
        }
        for child in &children {
            self.nodes.entry(*child).or_default().parents.insert(of);
        }
        self.nodes.entry(of).or_default().children = children;
        self.measure(of);
        self.forget(of, &before);
        before
    }

    /// What a cluster is in service with, the best first.
    pub(super) fn parts(&self, of: ClusterIndex) -> &[ClusterIndex] {
        self.nodes.get(&of).map_or(&[], |node| &node.parts)
    }

    /// What is in service with a cluster.
    pub(super) fn wholes(&self, of: ClusterIndex) -> impl Iterator<Item = ClusterIndex> {
        self.nodes.get(&of).into_iter().flat_map(|node| node.wholes.iter().copied())
    }

    /// Puts a cluster in service with `parts`, which differ from each other. What it was in service with before.
    pub(super) fn serve(&mut self, of: ClusterIndex, parts: Vec<ClusterIndex>) -> Vec<ClusterIndex> {
        let before = std::mem::take(&mut self.nodes.entry(of).or_default().parts);
        for part in &before {
            if let Some(node) = self.nodes.get_mut(part) {
                node.wholes.remove(&of);
            }
        }
        for part in &parts {
            self.nodes.entry(*part).or_default().wholes.insert(of);
        }
        self.nodes.entry(of).or_default().parts = parts;
        self.forget(of, &before);
        before
    }

    /// The clusters that are in service with what, by any way, is made of or in service with themselves, now that a cluster is
    /// made of what it is. They have old parts that were made of what they are part of since.
    pub(super) fn circular(&self, of: ClusterIndex) -> Vec<ClusterIndex> {
        let below = self.reach(of, |aggregates, index| {
            aggregates.nodes.get(&index).into_iter().flat_map(|node| node.children.iter().chain(&node.parts))
        });
        let mut above = self.reach(of, |aggregates, index| {
            aggregates.nodes.get(&index).into_iter().flat_map(|node| node.parents.iter().chain(&node.wholes))
        });
        above.insert(of);
        below.into_iter().filter(|index| self.parts(*index).iter().any(|part| above.contains(part))).collect()
    }

    /// Keeps nothing of clusters that have to do with no other any more.
    fn forget(&mut self, of: ClusterIndex, others: &[ClusterIndex]) {
        for index in others.iter().chain([&of]) {
            if self.nodes.get(index).is_some_and(Node::is_alone) {
                self.nodes.remove(index);
            }
        }
    }

    /// Whether `from` is, or is made of, `to`.
    pub(super) fn leads(&self, from: ClusterIndex, to: ClusterIndex) -> bool {
        from == to || self.reach(from, Self::children).contains(&to)
    }

    /// Everything that is made of a cluster.
    pub(super) fn ancestors(&self, of: ClusterIndex) -> BTreeSet<ClusterIndex> {
        self.reach(of, |aggregates, index| {
            aggregates.nodes.get(&index).into_iter().flat_map(|node| &node.parents)
        })
    }

    /// What a cluster that is made of clusters comes down to, the best first.
    ///
    /// # Errors
    ///
    /// If it is made of clusters too deeply.
    pub(super) fn leaves(&self, of: ClusterIndex) -> Result<Vec<ClusterIndex>, TooDeep> {
        if self.height(of) >= MAX_AGGREGATE_DEPTH {
            return Err(TooDeep);
        }
        let (mut seen, mut leaves) = (BTreeSet::new(), Vec::new());
        let mut rest: Vec<_> = self.children(of).iter().rev().copied().collect();
        while let Some(index) = rest.pop() {
            if !seen.insert(index) {
                continue;
            }
            match self.children(index) {
                [] => leaves.push(index),
                children => rest.extend(children.iter().rev()),
            }
        }
        Ok(leaves)
    }

    fn height(&self, of: ClusterIndex) -> usize {
        self.nodes.get(&of).map_or(0, |node| node.height)
    }

    /// Corrects the height of a cluster and of what is made of it. The limit ends it soon.
    fn measure(&mut self, index: ClusterIndex) {
        let mut wrong = vec![index];
        while let Some(index) = wrong.pop() {
            let heights = self.children(index).iter().map(|child| self.height(*child) + 1);
            let height = heights.max().unwrap_or(0).min(MAX_AGGREGATE_DEPTH);
            if let Some(node) = self.nodes.get_mut(&index)
                && std::mem::replace(&mut node.height, height) != height
            {
                wrong.extend(&node.parents);
            }
        }
    }

    /// Everything that is reached by steps from a cluster.
    fn reach<'a, I: IntoIterator<Item = &'a ClusterIndex>>(
        &'a self,
        from: ClusterIndex,
        step: impl Fn(&'a Self, ClusterIndex) -> I,
    ) -> BTreeSet<ClusterIndex> {
        let (mut seen, mut rest) = (BTreeSet::new(), vec![from]);
        while let Some(index) = rest.pop() {
            rest.extend(step(self, index).into_iter().filter(|next| seen.insert(**next)));
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indices(numbers: impl IntoIterator<Item = usize>) -> Vec<ClusterIndex> {
        numbers.into_iter().map(ClusterIndex).collect()
    }

    fn aggregates(nodes: &[(usize, &[usize])]) -> Aggregates {
        let mut aggregates = Aggregates::default();
        for (of, children) in nodes {
            aggregates.replace(ClusterIndex(*of), indices(children.iter().copied()));
        }
        aggregates
    }

    fn leaves(aggregates: &Aggregates, of: usize) -> Vec<usize> {
        aggregates.leaves(ClusterIndex(of)).unwrap().into_iter().map(|index| index.0).collect()
    }

    #[test]
    fn what_occurs_twice_counts_where_it_occurs_first() {
        let aggregates = aggregates(&[(0, &[1, 2]), (1, &[3, 4]), (2, &[4, 5, 3])]);
        assert_eq!(leaves(&aggregates, 0), [3, 4, 5]);
        assert_eq!(leaves(&aggregates, 2), [4, 5, 3]);
        assert_eq!(aggregates.ancestors(ClusterIndex(4)), BTreeSet::from_iter(indices([0, 1, 2])));
        assert!(aggregates.leads(ClusterIndex(0), ClusterIndex(5)));
        assert!(!aggregates.leads(ClusterIndex(1), ClusterIndex(5)));
    }

    /// There are 8^13 ways through these.
    #[test]
    fn layers_that_share_everything_cost_no_more_than_there_are() {
        let mut aggregates = Aggregates::default();
        for layer in (0..14).rev() {
            for place in 0..8 {
                let below = indices((layer + 1) * 8..(layer + 2) * 8);
                assert!(!below.iter().any(|child| aggregates.leads(*child, ClusterIndex(layer * 8 + place))));
                aggregates.replace(ClusterIndex(layer * 8 + place), below);
            }
        }
        assert_eq!(leaves(&aggregates, 0), (14 * 8..15 * 8).collect::<Vec<_>>());
        assert_eq!(aggregates.ancestors(ClusterIndex(14 * 8)).len(), 14 * 8);
    }

    #[test]
    fn the_longest_way_counts_for_the_depth_whoever_makes_it_longer() {
        let mut aggregates = Aggregates::default();
        let last = MAX_AGGREGATE_DEPTH - 1;
        for index in 0..last {
            aggregates.replace(ClusterIndex(index), indices([index + 1]));
        }
        assert_eq!(leaves(&aggregates, 0), [last]);
        aggregates.replace(ClusterIndex(last), indices([last + 1]));
        assert_eq!(aggregates.leaves(ClusterIndex(0)), Err(TooDeep));
        assert_eq!(leaves(&aggregates, 1), [last + 1]);
        for index in last + 1..10_000 {
            aggregates.replace(ClusterIndex(index), indices([index + 1]));
        }
        assert_eq!(aggregates.leaves(ClusterIndex(1)), Err(TooDeep));
        aggregates.replace(ClusterIndex(5), indices([6, 20_000]));
        aggregates.replace(ClusterIndex(7), indices([30_000]));
        assert_eq!(leaves(&aggregates, 0), [30_000, 20_000]);
    }

    #[test]
    fn nothing_is_kept_of_what_is_let_go() {
        let mut aggregates = aggregates(&[(0, &[1, 2]), (2, &[3])]);
        assert_eq!(aggregates.replace(ClusterIndex(0), indices([2])), indices([1, 2]));
        assert_eq!(aggregates.replace(ClusterIndex(0), Vec::new()), indices([2]));
        assert_eq!(aggregates.replace(ClusterIndex(2), Vec::new()), indices([3]));
        assert!(aggregates.nodes.is_empty());
        assert_eq!(aggregates.serve(ClusterIndex(0), indices([1, 2])), []);
        assert_eq!(aggregates.serve(ClusterIndex(0), Vec::new()), indices([1, 2]));
        assert!(aggregates.nodes.is_empty());
    }

    #[test]
    fn what_is_in_service_is_apart_from_what_is_wanted() {
        let mut aggregates = aggregates(&[(0, &[1]), (1, &[2])]);
        aggregates.serve(ClusterIndex(0), indices([2]));
        aggregates.replace(ClusterIndex(1), indices([3]));
        assert_eq!((leaves(&aggregates, 0), aggregates.parts(ClusterIndex(0))), (vec![3], &indices([2])[..]));
        assert_eq!(aggregates.wholes(ClusterIndex(2)).collect::<Vec<_>>(), indices([0]));
        assert_eq!(aggregates.circular(ClusterIndex(1)), []);
        aggregates.replace(ClusterIndex(2), indices([4]));
        assert_eq!(aggregates.circular(ClusterIndex(2)), []);
        aggregates.replace(ClusterIndex(4), indices([1]));
        assert_eq!(
            aggregates.circular(ClusterIndex(4)),
            [],
            "that is no circle: 2 is made of 4, which is made of 1"
        );
        aggregates.replace(ClusterIndex(4), indices([0]));
        assert_eq!(
            aggregates.circular(ClusterIndex(4)),
            indices([0]),
            "0 is in service with 2, which is made of it"
        );
    }
}
