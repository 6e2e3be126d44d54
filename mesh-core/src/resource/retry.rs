//! `RetryPolicy` and `HedgePolicy`: when to try again, and when to try twice.

use super::extension::{Config, Extension};
use super::invalid::{At, Checked, Invalid, duration};
use super::matcher::{Fraction, HeaderMatch};
use crate::policy::backoff::RetryBackoff;
use crate::policy::retry::{DEFAULT_NUM_RETRIES, RetryOn, RetryPolicy};
use mesh_proto::envoy::config::route::v3 as proto;
use mesh_proto::google::protobuf::Any;
use std::sync::Arc;
use std::time::Duration;

/// The host predicate that keeps retries away from endpoints that failed.
const PREVIOUS_HOSTS: &str = "envoy.retry_host_predicates.previous_hosts";
/// The host predicate that keeps retries away from endpoints that are marked as canaries.
const OMIT_CANARY_HOSTS: &str = "envoy.retry_host_predicates.omit_canary_hosts";
/// The choice of priorities that keeps retries away from those that were tried.
const PREVIOUS_PRIORITIES: &str = "envoy.retry_priorities.previous_priorities";

/// When to try again, as a route has it.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    /// What gRPC and HTTP have in common.
    pub(super) policy: Arc<RetryPolicy>,
    /// What Envoy has in addition.
    pub(super) detail: Arc<RetryDetail>,
}

/// What Envoy's retry policy has in addition to [`RetryPolicy`].
#[derive(Clone, Debug, Default)]
pub struct RetryDetail {
    /// The time without traffic after which a try fails.
    pub per_try_idle_timeout: Option<Duration>,
    /// Headers of a response that make it worth another try.
    pub retriable_headers: Vec<HeaderMatch>,
    /// The requests that may be tried again; all, if there is no condition.
    pub retriable_request_headers: Vec<HeaderMatch>,
    /// The wait that a response asks for.
    pub rate_limited: Option<RateLimitedBackoff>,
    /// How often another endpoint is looked for. Default: 1.
    pub host_attempts: u32,
    /// Whether endpoints that are marked as canaries are avoided.
    pub omit_canary_hosts: bool,
    /// Whether priorities that were tried are avoided, and after how many tries they are looked at again.
    pub previous_priorities: bool,
    /// Words of `retry_on` that are not known.
    pub unknown_conditions: Vec<Box<str>>,
}

/// The wait that a response asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitedBackoff {
    /// The headers that say it; the first that is there counts.
    pub headers: Vec<ResetHeader>,
    /// Longer waits are not believed. Default: 300 s.
    pub max: Duration,
}

/// A header that says how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetHeader {
    /// Its name, in lower case.
    pub name: Box<str>,
    /// Whether it says when (in seconds of Unix time) instead of how long (in seconds).
    pub is_timestamp: bool,
}

/// When to try several times at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgePolicy {
    /// Tries at once from the beginning. Default: 1.
    pub initial_requests: u32,
    /// The share of requests that get one more.
    pub additional_chance: Option<Fraction>,
    /// Whether a try that takes too long goes on beside the next one.
    pub on_per_try_timeout: bool,
}

impl Retry {
    /// The policy; none if it has no effect.
    pub(super) fn from_proto(proto: &proto::RetryPolicy) -> Checked<Option<Self>> {
        let num_retries = proto.num_retries.as_ref().map_or(DEFAULT_NUM_RETRIES, |number| number.value);
        let mut detail = RetryDetail::from_proto(proto)?;
        let retry_on = RetryOn::parse(&proto.retry_on, |word| detail.unknown_conditions.push(word.into()));
        let per_try_timeout = duration(proto.per_try_timeout.as_ref()).at("per_try_timeout")?;
        let per_try_timeout = per_try_timeout.filter(|timeout| !timeout.is_zero());
        let codes = proto.retriable_status_codes.iter();
        let (avoid_previous_hosts, omit_canary_hosts) = host_predicates(proto)?;
        detail.omit_canary_hosts = omit_canary_hosts;
        let policy = RetryPolicy {
            retry_on,
            retriable_status_codes: codes.filter_map(|&code| u16::try_from(code).ok()).collect(),
            num_retries,
            per_try_timeout,
            backoff: read_backoff(proto.retry_back_off.as_ref()).at("retry_back_off")?,
            avoid_previous_hosts,
        };
        let retries = num_retries > 0 && !retry_on.is_empty();
        let effective = retries || per_try_timeout.is_some() || detail.per_try_idle_timeout.is_some();
        Ok(effective.then(|| Self { policy: Arc::new(policy), detail: Arc::new(detail) }))
    }
}

impl RetryDetail {
    fn from_proto(proto: &proto::RetryPolicy) -> Checked<Self> {
        let headers = |protos: &[proto::HeaderMatcher], name: &str| {
            let protos = protos.iter().enumerate();
            protos
                .map(|(index, header)| HeaderMatch::from_proto(header).at_index(name, index))
                .collect::<Checked<_>>()
        };
        let idle = duration(proto.per_try_idle_timeout.as_ref()).at("per_try_idle_timeout")?;
        let rate_limited = proto.rate_limited_retry_back_off.as_ref().map(RateLimitedBackoff::from_proto);
        let previous_priorities = match &proto.retry_priority {
            None => false,
            Some(priority) => {
                use proto::retry_policy::retry_priority::ConfigType;
                let config = priority.config_type.as_ref().map(|ConfigType::TypedConfig(any)| any);
                // gRFC A44: another one, too, would only narrow down where retries go.
                predicate(&priority.name, config).at("retry_priority")? == Some(Extension::PreviousPriorities)
            }
        };
        Ok(Self {
            per_try_idle_timeout: idle.filter(|timeout| !timeout.is_zero()),
            retriable_headers: headers(&proto.retriable_headers, "retriable_headers")?,
            retriable_request_headers: headers(
                &proto.retriable_request_headers,
                "retriable_request_headers",
            )?,
            rate_limited: rate_limited.transpose().at("rate_limited_retry_back_off")?,
            host_attempts: u32::try_from(proto.host_selection_retry_max_attempts.max(1)).unwrap_or(u32::MAX),
            omit_canary_hosts: false,
            previous_priorities,
            unknown_conditions: Vec::new(),
        })
    }
}

/// Whether endpoints that failed, and canaries, are avoided.
fn host_predicates(proto: &proto::RetryPolicy) -> Checked<(bool, bool)> {
    use proto::retry_policy::retry_host_predicate::ConfigType;
    let (mut previous, mut canary) = (false, false);
    for (index, host) in proto.retry_host_predicate.iter().enumerate() {
        let config = host.config_type.as_ref().map(|ConfigType::TypedConfig(any)| any);
        match predicate(&host.name, config).at_index("retry_host_predicate", index)? {
            Some(Extension::PreviousHosts) => previous = true,
            Some(Extension::OmitCanaryHosts) => canary = true,
            // It would only narrow down where retries go.
            _ => {}
        }
    }
    Ok((previous, canary))
}

/// The extension, by its configuration, or by its name where it has none.
fn predicate(name: &str, config: Option<&Any>) -> Checked<Option<Extension>> {
    let Some(any) = config else {
        return Ok(match name {
            PREVIOUS_HOSTS => Some(Extension::PreviousHosts),
            OMIT_CANARY_HOSTS => Some(Extension::OmitCanaryHosts),
            PREVIOUS_PRIORITIES => Some(Extension::PreviousPriorities),
            _ => None,
        });
    };
    Ok(Config::of(any).at("typed_config")?.extension())
}

fn read_backoff(proto: Option<&proto::retry_policy::RetryBackOff>) -> Checked<RetryBackoff> {
    let Some(proto) = proto else { return Ok(RetryBackoff::default()) };
    let base = duration(proto.base_interval.as_ref()).at("base_interval")?;
    let max = duration(proto.max_interval.as_ref()).at("max_interval")?;
    let Some(base) = base.filter(|base| !base.is_zero()) else {
        return Err(Invalid::new("must be more than zero")).at("base_interval");
    };
    if max.is_some_and(|max| max < base) {
        return Err(Invalid::new("must not be less than base_interval")).at("max_interval");
    }
    Ok(RetryBackoff::new(base, max))
}

impl RateLimitedBackoff {
    fn from_proto(proto: &proto::retry_policy::RateLimitedRetryBackOff) -> Checked<Self> {
        if proto.reset_headers.is_empty() {
            return Err(Invalid::new("must not be empty")).at("reset_headers");
        }
        let headers = proto.reset_headers.iter().enumerate().map(|(index, header)| {
            if header.name.is_empty() {
                return Err(Invalid::new("must not be empty")).at("name").at_index("reset_headers", index);
            }
            Ok(ResetHeader {
                name: header.name.to_ascii_lowercase().into(),
                is_timestamp: header.format == 1,
            })
        });
        let max = duration(proto.max_interval.as_ref()).at("max_interval")?;
        let max = max.unwrap_or(Duration::from_secs(300));
        Ok(Self { headers: headers.collect::<Checked<_>>()?, max })
    }
}

impl HedgePolicy {
    pub(super) fn from_proto(proto: &proto::HedgePolicy) -> Checked<Self> {
        let initial = proto.initial_requests.as_ref().map_or(1, |number| number.value);
        if initial == 0 {
            return Err(Invalid::new("must not be zero")).at("initial_requests");
        }
        let chance = proto.additional_request_chance.as_ref().map(Fraction::from_proto);
        Ok(Self {
            initial_requests: initial,
            additional_chance: chance.transpose().at("additional_request_chance")?,
            on_per_try_timeout: proto.hedge_on_per_try_timeout,
        })
    }
}
