//! `RetryPolicy`: when to try again.

use super::invalid::{At, Checked, Invalid, duration};
use crate::policy::backoff::RetryBackoff;
use crate::policy::retry::{DEFAULT_NUM_RETRIES, RetryOn, RetryPolicy};
use mesh_proto::envoy::config::route::v3::RetryPolicy as Proto;

/// The host predicate that keeps retries away from endpoints that failed.
const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";

/// The policy; none if it has no effect.
pub(super) fn from_proto(proto: &Proto) -> Checked<Option<RetryPolicy>> {
    let num_retries = proto.num_retries.as_ref().map_or(DEFAULT_NUM_RETRIES, |number| number.value);
    let retry_on = RetryOn::parse(&proto.retry_on, |_| ());
    let mut backoff = RetryBackoff::default();
    if let Some(proto) = &proto.retry_back_off {
        let base = duration(proto.base_interval.as_ref()).at("base_interval").at("retry_back_off")?;
        let max = duration(proto.max_interval.as_ref()).at("max_interval").at("retry_back_off")?;
        let Some(base) = base.filter(|base| !base.is_zero()) else {
            return Err(Invalid::new("must be more than zero")).at("base_interval").at("retry_back_off");
        };
        if max.is_some_and(|max| max < base) {
            let why = "must not be less than base_interval";
            return Err(Invalid::new(why)).at("max_interval").at("retry_back_off");
        }
        backoff = RetryBackoff::new(base, max);
    }
    let per_try_timeout = duration(proto.per_try_timeout.as_ref()).at("per_try_timeout")?;
    let per_try_timeout = per_try_timeout.filter(|timeout| !timeout.is_zero());
    let codes = proto.retriable_status_codes.iter();
    let retries = num_retries > 0 && !retry_on.is_empty();
    Ok((retries || per_try_timeout.is_some()).then(|| RetryPolicy {
        retry_on,
        retriable_status_codes: codes.filter_map(|&code| u16::try_from(code).ok()).collect(),
        num_retries,
        per_try_timeout,
        backoff,
        avoid_previous_hosts: proto.retry_host_predicate.iter().any(|host| host.name == PREVIOUS_HOSTS),
    }))
}
