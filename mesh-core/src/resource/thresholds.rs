//! `CircuitBreakers`: how much may be under way to a cluster at once.

use super::invalid::{At, Checked, Invalid, duration};
use super::lb_parts::percent;
use mesh_proto::envoy::config::cluster::v3::{CircuitBreakers, circuit_breakers};
use mesh_proto::envoy::config::core::v3::RoutingPriority;
use std::time::Duration;

/// Connections, pending requests and requests at once where a cluster does not say (Envoy).
pub const DEFAULT_LIMIT: u32 = 1024;
/// Retries at once where a cluster does not say (Envoy).
pub const DEFAULT_MAX_RETRIES: u32 = 3;

/// How much may be under way to a cluster at once. A limit that is not there was not said: then Envoy's default is
/// [`DEFAULT_LIMIT`], gRPC's for requests as well, and for retries [`DEFAULT_MAX_RETRIES`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CircuitLimits {
    /// For ordinary requests.
    pub default: Limits,
    /// For those of routes with high priority.
    pub high: Limits,
    /// Connections to one endpoint.
    pub max_connections_per_host: Option<u32>,
}

/// The limits for requests of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Connections.
    pub max_connections: Option<u32>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests.
    pub max_requests: Option<u32>,
    /// Retries.
    pub max_retries: Option<u32>,
    /// Pools of connections.
    pub max_connection_pools: Option<u32>,
    /// Retries, in relation to requests.
    pub retry_budget: Option<RetryShare>,
}

/// How many of the requests under way may be retries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryShare {
    /// The share, in percent. Default: 20.
    pub percent: f64,
    /// Retries that are allowed in any case. Default: 3.
    pub min_concurrency: u32,
    /// The time over which requests are counted; none is those under way.
    pub interval: Option<Duration>,
}

impl CircuitLimits {
    pub(super) fn from_proto(proto: &CircuitBreakers) -> Checked<Self> {
        for (name, list) in
            [("thresholds", &proto.thresholds), ("per_host_thresholds", &proto.per_host_thresholds)]
        {
            for (index, limits) in list.iter().enumerate() {
                if RoutingPriority::try_from(limits.priority).is_err() {
                    let why = format!("{} is unknown", limits.priority);
                    return Err(Invalid::new(why)).at("priority").at_index(name, index);
                }
            }
        }
        // The first of a priority counts (gRFC A32).
        let first = |priority: RoutingPriority| {
            let mut list = proto.thresholds.iter().enumerate();
            let found = list.find(|(_, limits)| limits.priority == priority as i32);
            match found {
                Some((index, limits)) => Limits::from_proto(limits).at_index("thresholds", index),
                None => Ok(Limits::default()),
            }
        };
        let mut per_host = proto.per_host_thresholds.iter().enumerate();
        let per_host = per_host.find(|(_, limits)| limits.priority == RoutingPriority::Default as i32);
        let max_connections_per_host = match per_host {
            Some((index, limits)) => {
                let max = limits.max_connections.as_ref().map(|max| max.value);
                if max == Some(0) {
                    let refused = Err(Invalid::new("must not be zero")).at("max_connections");
                    return refused.at_index("per_host_thresholds", index);
                }
                max
            }
            None => None,
        };
        let (default, high) = (first(RoutingPriority::Default)?, first(RoutingPriority::High)?);
        Ok(Self { default, high, max_connections_per_host })
    }
}

impl Limits {
    fn from_proto(proto: &circuit_breakers::Thresholds) -> Checked<Self> {
        let budget = |budget: &circuit_breakers::thresholds::RetryBudget| {
            Ok(RetryShare {
                percent: percent(budget.budget_percent.as_ref(), 20.0).at("budget_percent")?,
                min_concurrency: budget.min_retry_concurrency.as_ref().map_or(3, |number| number.value),
                interval: duration(budget.budget_interval.as_ref())
                    .at("budget_interval")?
                    .filter(|interval| !interval.is_zero()),
            })
        };
        Ok(Self {
            max_connections: proto.max_connections.as_ref().map(|max| max.value),
            max_pending_requests: proto.max_pending_requests.as_ref().map(|max| max.value),
            max_requests: proto.max_requests.as_ref().map(|max| max.value),
            max_retries: proto.max_retries.as_ref().map(|max| max.value),
            max_connection_pools: proto.max_connection_pools.as_ref().map(|max| max.value),
            retry_budget: proto.retry_budget.as_ref().map(budget).transpose().at("retry_budget")?,
        })
    }
}
