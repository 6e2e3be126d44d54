//! The traffic policy that holds for a port of a service or of a subset.

use crate::index::Policy;
use crate::model::traffic_policy::{ConnectionPool, LoadBalancer, Outlier, Tls, TrafficPolicy};

/// The parts of a traffic policy that one cluster has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Merged<'a> {
    pub(super) load_balancer: Option<&'a LoadBalancer>,
    pub(super) connection_pool: Option<&'a ConnectionPool>,
    pub(super) outlier_detection: Option<&'a Outlier>,
    pub(super) tls: Option<&'a Tls>,
}

impl<'a> Merged<'a> {
    /// What the rule says for the port; and over it what the subset says, whole parts at a time.
    pub(super) fn new(policy: &'a Policy, subset: &str, port: u32) -> Self {
        let whole =
            policy.traffic_policy.as_ref().map_or_else(Self::default, |it| Self::default().over(it, port));
        match policy.subset(subset).and_then(|subset| subset.traffic_policy.as_ref()) {
            Some(subset) => whole.over(subset, port),
            None => whole,
        }
    }

    /// What is said for a port replaces everything, parts that are not mentioned too.
    fn over(self, policy: &'a TrafficPolicy, port: u32) -> Self {
        let own = policy.port_level_settings.iter().find(|it| it.port.is_some_and(|it| it.number == port));
        match own {
            Some(own) => Self {
                load_balancer: own.load_balancer.as_ref(),
                connection_pool: own.connection_pool.as_ref(),
                outlier_detection: own.outlier_detection.as_ref(),
                tls: own.tls.as_ref(),
            },
            None => Self {
                load_balancer: policy.load_balancer.as_ref().or(self.load_balancer),
                connection_pool: policy.connection_pool.as_ref().or(self.connection_pool),
                outlier_detection: policy.outlier_detection.as_ref().or(self.outlier_detection),
                tls: policy.tls.as_ref().or(self.tls),
            },
        }
    }
}
