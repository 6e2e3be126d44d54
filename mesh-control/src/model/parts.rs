//! What a traffic policy and the policy of a port have in common.

use super::traffic_policy::{ConnectionPool, LoadBalancer, Outlier, PortPolicy, Tls, TrafficPolicy};

/// The parts of a policy, each of which counts or is replaced as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parts<'a> {
    /// How an endpoint is chosen.
    pub load_balancer: Option<&'a LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<&'a ConnectionPool>,
    /// When an endpoint is left alone.
    pub outlier_detection: Option<&'a Outlier>,
    /// TLS towards the endpoints.
    pub tls: Option<&'a Tls>,
}

impl Parts<'_> {
    /// These, and those of `others` for what is not among them.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            load_balancer: self.load_balancer.or(others.load_balancer),
            connection_pool: self.connection_pool.or(others.connection_pool),
            outlier_detection: self.outlier_detection.or(others.outlier_detection),
            tls: self.tls.or(others.tls),
        }
    }
}

macro_rules! parts_of {
    ($($policy:ty),*) => {$(
        impl<'a> From<&'a $policy> for Parts<'a> {
            fn from(policy: &'a $policy) -> Self {
                Self {
                    load_balancer: policy.load_balancer.as_ref(),
                    connection_pool: policy.connection_pool.as_ref(),
                    outlier_detection: policy.outlier_detection.as_ref(),
                    tls: policy.tls.as_ref(),
                }
            }
        }
    )*};
}

parts_of!(TrafficPolicy, PortPolicy);
