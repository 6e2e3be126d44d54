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
    counts: Arc<ClusterCounts>,
    reported: bool,
}

impl Ledger {
    /// The counts of the cluster `name`.
    pub(super) fn new(name: Arc<str>) -> Self {
        let counts = ClusterCounts::new(name, "".into(), Default::default());
        Self { counts: Arc::new(counts), reported: false }
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
        let endpoints = priorities.iter().zip(0u32..).flat_map(|(members, priority)| {
            let localities = assignment.priorities.get(priority as usize).into_iter().flatten();
            let mut places = HashMap::new();
            if self.reported {
                places.extend(localities.flat_map(|at| {
                    let place = |it: &'a LbEndpoint| ((&it.address, &it.hostname), &at.locality);
                    at.endpoints.iter().map(place)
                }));
            }
            members.iter().map(move |endpoint| {
                let key = endpoint.key();
                let locality = places.get(&(&key.address, &key.hostname)).copied();
                (endpoint, locality.map(|locality| (priority, locality.clone(), key.address.clone())))
            })
        });
        Account::new(&self.counts, &assignment.drops, self.reported, endpoints)
    }

    /// Begins a new page if what is reported now has nothing to do with what was before.
    fn begin(&mut self, resource: &ClusterResource) {
        let service = match &resource.endpoints {
            EndpointSource::Named(name) if *name != self.counts.name => &**name,
            _ => "",
        };
        let same = self.reported == resource.report_load
            && (!self.reported
                || (*self.counts.service == *service && self.counts.choice == resource.report_metrics));
        if !same {
            let (name, choice) = (self.counts.name.clone(), resource.report_metrics.clone());
            self.counts = Arc::new(ClusterCounts::new(name, service.into(), choice));
            self.reported = resource.report_load;
        }
    }
}
