//! `OutlierDetection`: which endpoints are taken out of use because of how they answer.

use super::invalid::{At, Checked, Invalid, duration};
use mesh_proto::envoy::config::cluster::v3::OutlierDetection as Proto;
use mesh_proto::google::protobuf::UInt32Value;
use std::time::Duration;

/// The time between passes where a cluster does not say.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
/// The time of a first ejection where a cluster does not say.
pub const DEFAULT_BASE_EJECTION_TIME: Duration = Duration::from_secs(30);
/// The longest ejection where a cluster does not say, unless the first is longer.
pub const DEFAULT_MAX_EJECTION_TIME: Duration = Duration::from_secs(300);

/// Which endpoints are taken out of use because of how they answer. Shares are in percent, `0..=100`; where one says how
/// often a finding is acted on, 0 turns it off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// The time between passes. Default: [`DEFAULT_INTERVAL`].
    pub interval: Duration,
    /// The time of a first ejection; the n-th lasts n times as long. Default: [`DEFAULT_BASE_EJECTION_TIME`].
    pub base_ejection_time: Duration,
    /// The longest ejection. Default: [`DEFAULT_MAX_EJECTION_TIME`] or the first, if that is longer.
    pub max_ejection_time: Duration,
    /// What is added to ejections at random, at most. Default: nothing.
    pub max_ejection_jitter: Duration,
    /// The share of endpoints that may be ejected. Default: 10.
    pub max_ejection_percent: u32,
    /// Whether one endpoint may be ejected even if that is more than the share.
    pub always_eject_one: bool,
    /// Server errors in a row that eject. Default: 5, acted on always.
    pub consecutive_5xx: Consecutive,
    /// 502, 503, 504 and failures to reach the endpoint in a row that eject. Default: 5, acted on never.
    pub consecutive_gateway: Consecutive,
    /// Failures to reach the endpoint in a row that eject, where they are told apart. Default: 5, acted on always.
    pub consecutive_local: Consecutive,
    /// Whether failures to reach an endpoint are told apart from its errors.
    pub split_local: bool,
    /// Ejects whose share of successes is far below the mean.
    pub success_rate: SuccessRate,
    /// Ejects whose share of failures is too large.
    pub failure_percentage: FailurePercentage,
    /// Whether an endpoint comes back at once when a health check succeeds. Default: true.
    pub uneject_on_health_check: bool,
}

/// Failures in a row that eject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consecutive {
    /// How many.
    pub threshold: u32,
    /// How often this is acted on.
    pub enforcing: u32,
}

/// Ejects whose share of successes is far below the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// How often this is acted on. Default: 100.
    pub enforcing: u32,
    /// How often this is acted on for failures to reach the endpoint. Default: 100.
    pub enforcing_local: u32,
    /// Endpoints with enough requests that are needed. Default: 5.
    pub minimum_hosts: u32,
    /// Requests in one interval that are enough. Default: 100.
    pub request_volume: u32,
    /// Standard deviations below the mean that are too far, in thousandths. Default: 1900.
    pub stdev_factor: u32,
}

/// Ejects whose share of failures is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    /// How often this is acted on. Default: 0.
    pub enforcing: u32,
    /// How often this is acted on for failures to reach the endpoint. Default: 0.
    pub enforcing_local: u32,
    /// The share that is too large. Default: 85.
    pub threshold: u32,
    /// Endpoints with enough requests that are needed. Default: 5.
    pub minimum_hosts: u32,
    /// Requests in one interval that are enough. Default: 50.
    pub request_volume: u32,
}

impl OutlierDetection {
    pub(super) fn from_proto(proto: &Proto) -> Checked<Self> {
        let number =
            |value: &Option<UInt32Value>, default| value.as_ref().map_or(default, |value| value.value);
        let share = |value: &Option<UInt32Value>, default, name: &str| match number(value, default) {
            share @ 0..=100 => Ok(share),
            share => Err(Invalid::new(format!("{share} is more than 100"))).at(name),
        };
        // Envoy: time that does not pass is no interval.
        let time = |value: Option<&_>, name| match duration(value).at(name)? {
            Some(time) if time.is_zero() => Err(Invalid::new("must be more than zero")).at(name),
            time => Ok(time),
        };
        let interval = time(proto.interval.as_ref(), "interval")?;
        let base = time(proto.base_ejection_time.as_ref(), "base_ejection_time")?;
        let base = base.unwrap_or(DEFAULT_BASE_EJECTION_TIME);
        let max = time(proto.max_ejection_time.as_ref(), "max_ejection_time")?;
        let jitter = duration(proto.max_ejection_time_jitter.as_ref()).at("max_ejection_time_jitter")?;
        let consecutive = |threshold, enforcing: &Option<UInt32Value>, default, name| {
            let enforcing = share(enforcing, default, name)?;
            Ok(Consecutive { threshold: number(threshold, 5), enforcing })
        };
        Ok(Self {
            interval: interval.unwrap_or(DEFAULT_INTERVAL),
            base_ejection_time: base,
            max_ejection_time: max.unwrap_or(DEFAULT_MAX_EJECTION_TIME).max(base),
            max_ejection_jitter: jitter.unwrap_or_default(),
            max_ejection_percent: share(&proto.max_ejection_percent, 10, "max_ejection_percent")?,
            always_eject_one: proto.always_eject_one_host.as_ref().is_some_and(|flag| flag.value),
            consecutive_5xx: consecutive(
                &proto.consecutive_5xx,
                &proto.enforcing_consecutive_5xx,
                100,
                "enforcing_consecutive_5xx",
            )?,
            consecutive_gateway: consecutive(
                &proto.consecutive_gateway_failure,
                &proto.enforcing_consecutive_gateway_failure,
                0,
                "enforcing_consecutive_gateway_failure",
            )?,
            consecutive_local: consecutive(
                &proto.consecutive_local_origin_failure,
                &proto.enforcing_consecutive_local_origin_failure,
                100,
                "enforcing_consecutive_local_origin_failure",
            )?,
            split_local: proto.split_external_local_origin_errors,
            success_rate: SuccessRate {
                enforcing: share(&proto.enforcing_success_rate, 100, "enforcing_success_rate")?,
                enforcing_local: share(
                    &proto.enforcing_local_origin_success_rate,
                    100,
                    "enforcing_local_origin_success_rate",
                )?,
                minimum_hosts: number(&proto.success_rate_minimum_hosts, 5),
                request_volume: number(&proto.success_rate_request_volume, 100),
                stdev_factor: number(&proto.success_rate_stdev_factor, 1900),
            },
            failure_percentage: FailurePercentage {
                enforcing: share(&proto.enforcing_failure_percentage, 0, "enforcing_failure_percentage")?,
                enforcing_local: share(
                    &proto.enforcing_failure_percentage_local_origin,
                    0,
                    "enforcing_failure_percentage_local_origin",
                )?,
                threshold: share(&proto.failure_percentage_threshold, 85, "failure_percentage_threshold")?,
                minimum_hosts: number(&proto.failure_percentage_minimum_hosts, 5),
                request_volume: number(&proto.failure_percentage_request_volume, 50),
            },
            uneject_on_health_check: proto
                .successful_active_health_check_uneject_host
                .as_ref()
                .is_none_or(|flag| flag.value),
        })
    }
}
