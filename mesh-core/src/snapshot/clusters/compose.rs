//! Clusters that are made of clusters: what each needs, and what it is in service with.
//!
//! What becomes of one is made before what it was breaks: while new parts are not here yet, it stays in service with those
//! that it had, which are kept, and followed, for as long.

use super::super::aggregates::TooDeep;
use super::super::entry::{ClusterKey, Scope};
use super::super::verdict::{Verdict, join};
use super::Clusters;
use crate::clock::Instant;
use crate::cluster::ClusterView;
use crate::error::{Failure, Kind as ErrorKind};
use crate::resource::cluster::EndpointSource;
use crate::route::ClusterIndex;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Clusters {
    /// Sees to it that a cluster has what its endpoints are made of, and nothing else.
    pub(super) fn take_parts(
        &mut self,
        index: usize,
        source: Option<&EndpointSource>,
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(entry) = self.entries.get_mut(index) else { return Ok(()) };
        self.sources.hold(index, &mut entry.held, source, now);
        let names: &[Arc<str>] = match source {
            Some(EndpointSource::Aggregate(names)) => names,
            _ => &[],
        };
        let protocol = entry.key.protocol;
        let (mut seen, mut children) = (BTreeSet::new(), Vec::with_capacity(names.len()));
        for name in names {
            let child = self.place(ClusterKey::new(name, protocol, Scope::Shared), None);
            if seen.insert(child) {
                children.push(child);
            }
        }
        let place = ClusterIndex(index);
        let astray = children.iter().any(|child| self.aggregates.leads(*child, place));
        if astray {
            children.clear();
            self.astray.insert(index);
        } else {
            self.astray.remove(&index);
        }
        if self.aggregates.children(place) != children {
            self.keep(&children);
            let before = self.aggregates.replace(place, children);
            self.release(&before);
            self.break_circles(place);
            self.concern(index);
            // What led back here may not do so any more.
            self.due.extend(&self.astray);
        }
        if astray { Err(misled("lead back to itself")) } else { Ok(()) }
    }

    /// What has old parts that would lead back to itself now waits for its new ones without.
    fn break_circles(&mut self, place: ClusterIndex) {
        for ClusterIndex(whole) in self.aggregates.circular(place) {
            self.conclude(whole, Verdict::Anew);
            self.serve(whole, Vec::new());
            self.split.insert(whole);
            self.concern(whole);
        }
    }

    /// A cluster is not what it was, nor what is made of it.
    pub(super) fn concern(&mut self, index: usize) {
        let ancestors = self.aggregates.ancestors(ClusterIndex(index)).into_iter();
        let wholes = self.aggregates.wholes(ClusterIndex(index));
        self.split.extend(ancestors.chain(wholes).map(|index| index.0));
    }

    /// Brings a cluster that is made of clusters up to date; whether it is not what it was.
    pub(super) fn join(&mut self, index: usize) -> bool {
        let place = ClusterIndex(index);
        let wanted = match self.aggregates.leaves(place) {
            Ok(leaves) => leaves,
            Err(TooDeep) => {
                let changed = self.conclude(index, Verdict::Fail(misled("are made of clusters too deeply")));
                self.serve(index, Vec::new());
                return changed;
            }
        };
        let in_service = self.aggregates.parts(place);
        let (verdict, parts) = match (join(self.views_of(&wanted)), in_service) {
            (Verdict::Wait, []) => return false,
            (Verdict::Wait, in_service) => match join(self.views_of(in_service)) {
                // There is nothing to lose.
                Verdict::Fail(_) => (Verdict::Anew, Vec::new()),
                verdict => (verdict, in_service.to_vec()),
            },
            (verdict @ Verdict::Use(_), _) => (verdict, wanted),
            (verdict, _) => (verdict, Vec::new()),
        };
        let changed = self.conclude(index, verdict);
        self.serve(index, parts);
        if changed {
            // Those that are made of it have its parts; those that are in service with it have none of their own yet.
            self.split.extend(self.aggregates.wholes(place).map(|index| index.0));
        }
        changed
    }

    fn views_of(&self, places: &[ClusterIndex]) -> Vec<Arc<ClusterView>> {
        places.iter().map(|place| self.entries[place.0].view.clone()).collect()
    }

    /// Keeps the parts that a cluster is in service with, and lets go of those that it was.
    pub(super) fn serve(&mut self, index: usize, parts: Vec<ClusterIndex>) {
        let place = ClusterIndex(index);
        if self.aggregates.parts(place) != parts {
            self.keep(&parts);
            let before = self.aggregates.serve(place, parts);
            self.release(&before);
        }
    }
}

fn misled(why: &str) -> Failure {
    Failure::new(ErrorKind::Rejected, format!("its clusters {why}"))
}
