//! The counts of a cluster, which last while its configuration changes.

use super::account::Account;
use crate::balance::Members;
use crate::resource::cluster::{Cluster as ClusterResource, EndpointSource};
use crate::resource::endpoint::{Assignment, LbEndpoint};
use crate::xds::load_counts::ClusterCounts;
use std::collections::HashMap;
use std::sync::Arc;

/// The counts of a cluster, which last while its configuration changes.
#[derive(Debug)]
pub(super) struct Ledger {
    name: Arc<str>,
    /// Made once there is something to count.
    counts: Option<Arc<ClusterCounts>>,
    reported: bool,
}

impl Ledger {
    /// The counts of the cluster `name`.
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, counts: None, reported: false }
    }

    /// What to drop and to count now that the cluster is this, with these endpoints.
    pub(super) fn account<'a>(
        &mut self,
        resource: &ClusterResource,
        assignment: &'a Assignment,
        priorities: &'a [Members],
    ) -> Account {
        self.begin(resource);
        if assignment.drops.is_empty() && !self.reported {
            return Account::default();
        }
        let name = &self.name;
        let page = || Arc::new(ClusterCounts::new(name.clone(), "".into(), Default::default()));
        let counts = self.counts.get_or_insert_with(page);
        let endpoints = priorities.iter().zip(0u32..).flat_map(|(members, priority)| {
            let localities = assignment.priorities.get(priority as usize).into_iter().flatten();
            let mut places = HashMap::new();
            if self.reported {
                places.extend(localities.flat_map(|at| {
                    let place = |it: &'a LbEndpoint| ((&it.address, it.hostname()), &at.locality);
                    at.endpoints.iter().map(place)
                }));
            }
            members.iter().map(move |endpoint| {
                let key = endpoint.key();
                let locality = places.get(&(&key.address, key.hostname.as_ref())).copied();
                (endpoint, locality.map(|locality| (priority, locality.clone(), key.address.clone())))
            })
        });
        Account::new(counts, &assignment.drops, self.reported, endpoints)
    }

    /// Begins a new page if what is reported now has nothing to do with what was before.
    fn begin(&mut self, resource: &ClusterResource) {
        let service = match &resource.endpoints {
            EndpointSource::Named(name) if *name != self.name => &**name,
            _ => "",
        };
        let same = self.reported == resource.report_load
            && (!self.reported
                || self.counts.as_ref().is_some_and(|counts| {
                    *counts.service == *service && counts.choice == resource.report_metrics
                }));
        if !same {
            let (name, choice) = (self.name.clone(), resource.report_metrics.clone());
            self.reported = resource.report_load;
            self.counts = self.reported.then(|| Arc::new(ClusterCounts::new(name, service.into(), choice)));
        }
    }
}
