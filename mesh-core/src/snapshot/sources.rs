//! What the endpoints of clusters are made of: assignments and host names, and who uses which.

use super::interest::Interest;
use crate::clock::Instant;
use crate::cluster::dns::DnsNames;
use crate::cluster::expand::hosts;
use crate::resource::cluster::{DnsKind, EndpointSource};
use std::sync::Arc;
use std::time::Duration;

/// Who uses which assignments and host names.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) assignments: Interest,
    pub(super) dns: DnsNames,
}

/// What one cluster uses.
#[derive(Debug, Default)]
pub(super) struct Held {
    assignment: Option<Arc<str>>,
    /// In order.
    hosts: Vec<Arc<str>>,
    /// How often they are looked up.
    refresh: Duration,
}

impl Sources {
    /// A cluster uses what `source` says, and nothing else any more.
    pub(super) fn hold(
        &mut self,
        cluster: usize,
        held: &mut Held,
        source: Option<&EndpointSource>,
        now: Instant,
    ) {
        let assignment = match source {
            Some(EndpointSource::Named(name)) => Some(name),
            _ => None,
        };
        self.assignments.switch(cluster, &mut held.assignment, assignment);
        let (names, refresh) = match source {
            Some(EndpointSource::Dns(dns)) if dns.kind == DnsKind::Strict => (hosts(dns), dns.refresh),
            _ => Default::default(),
        };
        if held.hosts == names && held.refresh == refresh {
            return;
        }
        for host in &names {
            self.dns.want(host, cluster, refresh, now);
        }
        for host in &held.hosts {
            if names.binary_search(host).is_err() {
                self.dns.release(host, cluster);
            }
        }
        (held.hosts, held.refresh) = (names, refresh);
    }

    /// A cluster uses nothing any more.
    pub(super) fn let_go(&mut self, cluster: usize, held: &mut Held) {
        self.assignments.switch(cluster, &mut held.assignment, None);
        for host in std::mem::take(&mut held.hosts) {
            self.dns.release(&host, cluster);
        }
    }
}
