//! When and how often a request is tried again.

use super::proto;
use crate::model::http_route::Retries;
use mesh_proto::envoy::config::route::v3::{RetryPolicy, retry_policy};
use mesh_proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use mesh_proto::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;
use mesh_proto::pack_any;

/// How often, where nothing is said.
const ATTEMPTS: u32 = 2;
/// On what, where nothing is said.
const CONDITIONS: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const STATUS_CODES: &str = "retriable-status-codes";
/// How often the balancer is asked for another endpoint than those tried.
const HOST_ATTEMPTS: i64 = 5;
/// After how many tries the priorities are computed anew.
const PRIORITY_UPDATES: i32 = 2;

/// The retry policy of a route; `None` if nothing is retried. A route that `hashes` comes back to the same endpoint.
pub(super) fn policy(retries: Option<&Retries>, hashes: bool) -> Option<RetryPolicy> {
    let mut policy = RetryPolicy {
        retry_on: CONDITIONS.to_owned(),
        num_retries: Some(proto::uint32(ATTEMPTS)),
        host_selection_retry_max_attempts: HOST_ATTEMPTS,
        ..Default::default()
    };
    let mut other_hosts = !hashes;
    if let Some(retries) = retries {
        let attempts = u32::try_from(retries.attempts).ok().filter(|attempts| *attempts > 0)?;
        policy.num_retries = Some(proto::uint32(attempts));
        if !retries.retry_on.is_empty() {
            (policy.retry_on, policy.retriable_status_codes) = conditions(&retries.retry_on);
        }
        policy.per_try_timeout = retries.per_try_timeout.map(proto::duration);
        policy.retry_back_off = retries.backoff.map(|backoff| retry_policy::RetryBackOff {
            base_interval: Some(proto::duration(backoff)),
            max_interval: None,
        });
        if retries.retry_remote_localities == Some(true) {
            let config = PreviousPrioritiesConfig { update_frequency: PRIORITY_UPDATES };
            policy.retry_priority = Some(retry_policy::RetryPriority {
                name: "envoy.retry_priorities.previous_priorities".to_owned(),
                config_type: Some(retry_policy::retry_priority::ConfigType::TypedConfig(pack_any(config))),
            });
        }
        other_hosts = retries.retry_ignore_previous_hosts.unwrap_or(other_hosts);
    }
    if other_hosts {
        policy.retry_host_predicate.push(retry_policy::RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(retry_policy::retry_host_predicate::ConfigType::TypedConfig(pack_any(
                PreviousHostsPredicate {},
            ))),
        });
    }
    Some(policy)
}

/// Conditions, and the statuses among them apart.
fn conditions(retry_on: &str) -> (String, Vec<u32>) {
    let (mut words, mut codes): (Vec<&str>, Vec<u32>) = (Vec::new(), Vec::new());
    for word in retry_on.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.parse() {
            Ok(code) => codes.push(code),
            Err(_) => words.push(word),
        }
    }
    let mut words = words.join(",");
    if !codes.is_empty() && !words.contains(STATUS_CODES) {
        // istiod writes the comma even if nothing stands before it; clients leave empty words out.
        words = format!("{words},{STATUS_CODES}");
    }
    (words, codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart_from_conditions() {
        assert_eq!(conditions("5xx, 429,reset"), ("5xx,reset,retriable-status-codes".into(), vec![429]));
        assert_eq!(conditions("503"), (",retriable-status-codes".into(), vec![503]));
        assert_eq!(conditions("reset"), ("reset".into(), vec![]));
    }

    #[test]
    fn no_attempts_means_no_policy() {
        assert_eq!(policy(Some(&Retries::default()), false), None);
        let default = policy(None, false).unwrap();
        assert_eq!((default.num_retries, default.retry_host_predicate.len()), (Some(proto::uint32(2)), 1));
    }

    #[test]
    fn a_route_that_hashes_comes_back_unless_told_otherwise() {
        assert!(policy(None, true).unwrap().retry_host_predicate.is_empty());
        let away = Retries { attempts: 1, retry_ignore_previous_hosts: Some(true), ..Retries::default() };
        assert_eq!(policy(Some(&away), true).unwrap().retry_host_predicate.len(), 1);
        let back = Retries { retry_ignore_previous_hosts: Some(false), ..away };
        assert!(policy(Some(&back), false).unwrap().retry_host_predicate.is_empty());
    }
}
