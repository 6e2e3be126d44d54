//! How endpoints are chosen: `load_balancing_policy`, or the older `lb_policy` with its configurations.

use super::extension::{Config, Extension};
use super::invalid::{At, Checked, Invalid, duration};
use super::lb_legacy;
use super::lb_parts::{
    balance_factor, bias, choices, hashing, localities, new_slow_start, ring_sizes, table_size, weighted,
};
use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::extensions::load_balancing_policies as policies;
use std::time::Duration;

/// Endpoints that are compared where a least-request policy does not say.
pub const DEFAULT_CHOICES: u32 = 2;
/// The smallest ring where a ring-hash policy does not say.
pub const DEFAULT_MIN_RING: u64 = 1024;
/// The largest ring where a ring-hash policy does not say, and the largest that may be said.
pub const MAX_RING: u64 = 8 * 1024 * 1024;
/// The size of a Maglev table where the policy does not say.
pub const DEFAULT_MAGLEV_TABLE: u64 = 65_537;
/// The largest Maglev table.
pub const MAX_MAGLEV_TABLE: u64 = 5_000_011;
/// How deep policies may be nested (gRFC A52).
const MAX_DEPTH: usize = 16;

/// How requests are spread: first over the localities of a priority, then over endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct LbPolicy {
    /// Over localities.
    pub localities: Localities,
    /// Over endpoints.
    pub picker: Picking,
}

/// How requests are spread over the localities of a priority.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Localities {
    /// By the weights of localities (gRFC A48 `wrr_locality`). The default.
    Weighted,
    /// Not at all: only endpoints count.
    Together,
    /// To the own zone as far as it can carry its share.
    ZoneAware {
        /// The share of requests for which this holds, `0.0..=100.0`. Default: 100.
        percent: f64,
        /// Smaller clusters are not split by zone. Default: 6.
        min_cluster_size: u64,
        /// Whether requests fail if too few endpoints are healthy.
        fail_on_panic: bool,
    },
}

/// How requests are spread over endpoints.
#[derive(Clone, Debug, PartialEq)]
pub enum Picking {
    /// In turn, by weight.
    RoundRobin(Option<SlowStart>),
    /// The one with fewer requests in flight, of some.
    LeastRequest(LeastRequest),
    /// At random.
    Random,
    /// By a hash of the request, on a ring.
    RingHash(RingHash),
    /// By a hash of the request, in a table.
    Maglev(Maglev),
    /// Always the first that can be reached (gRFC A62); the flag says whether the list is shuffled first.
    PickFirst(bool),
    /// In turn, by weights that the endpoints' load reports give (gRFC A58).
    ClientSideWeighted(ClientSideWeighted),
    /// The one that the request names, or else by another policy.
    OverrideHost(OverrideHost),
    /// As the cluster's own kind says: to the address that the caller meant.
    ClusterProvided,
}

/// The endpoint that a request names, in the first of these places that has one.
#[derive(Clone, Debug, PartialEq)]
pub struct OverrideHost {
    /// Names of request headers; sources in metadata are reported, but not kept.
    pub headers: Vec<Box<str>>,
    /// The policy for requests that name none.
    pub fallback: Box<Picking>,
}

/// The endpoint with fewer requests in flight, of some.
#[derive(Clone, Debug, PartialEq)]
pub struct LeastRequest {
    /// Endpoints that are compared, at least 2. Default: [`DEFAULT_CHOICES`].
    pub choices: u32,
    /// How much requests in flight count against weights. Default: 1.
    pub bias: f64,
    /// Whether all endpoints are compared.
    pub full_scan: bool,
    /// Less for endpoints that are new.
    pub slow_start: Option<SlowStart>,
}

/// A ring of hashes.
#[derive(Clone, Debug, PartialEq)]
pub struct RingHash {
    /// The function that hashes endpoints.
    pub function: HashFunction,
    /// The smallest ring. Default: [`DEFAULT_MIN_RING`].
    pub min_size: u64,
    /// The largest ring. Default: [`MAX_RING`].
    pub max_size: u64,
    /// What every table of hashes has.
    pub common: Hashing,
}

/// A table of hashes.
#[derive(Clone, Debug, PartialEq)]
pub struct Maglev {
    /// Its size, a prime number. Default: [`DEFAULT_MAGLEV_TABLE`].
    pub table_size: u64,
    /// What every table of hashes has.
    pub common: Hashing,
}

/// What every table of hashes has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hashing {
    /// Whether endpoints are hashed by host name instead of address.
    pub by_hostname: bool,
    /// Load that an endpoint may have, in percent of the average, before the next one is taken; none is any.
    pub balance_factor: Option<u32>,
}

/// A function that hashes endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    /// XXH64.
    #[default]
    XxHash,
    /// Murmur 2.
    Murmur2,
}

/// Weights that the endpoints' load reports give (gRFC A58).
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSideWeighted {
    /// Whether reports come over streams of their own instead of with responses.
    pub out_of_band: bool,
    /// The time between such reports. Default: 10 s.
    pub reporting_period: Duration,
    /// A weight counts when reports have come for this long. Default: 10 s.
    pub blackout_period: Duration,
    /// A weight does not count when no report has come for this long. Default: 3 min.
    pub expiration_period: Duration,
    /// The time between changes of the weights, at least 100 ms. Default: 1 s.
    pub update_period: Duration,
    /// How much errors reduce a weight. Default: 1.
    pub error_penalty: f32,
    /// Names of the metrics that stand for utilization, if not the application's.
    pub metric_names: Vec<Box<str>>,
    /// Less for endpoints that are new.
    pub slow_start: Option<SlowStart>,
}

/// Less for endpoints that are new.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// For how long an endpoint is new.
    pub window: Duration,
    /// How the share grows over that time: 1 is evenly, more is faster at first. Default: 1.
    pub aggression: f64,
    /// The least share, in percent. Default: 10.
    pub min_weight_percent: f64,
}

impl Default for LbPolicy {
    /// The one with fewer requests in flight of two, as istiod has it.
    fn default() -> Self {
        Self { localities: Localities::Weighted, picker: Picking::LeastRequest(LeastRequest::default()) }
    }
}

impl Default for LeastRequest {
    fn default() -> Self {
        Self { choices: DEFAULT_CHOICES, bias: 1.0, full_scan: false, slow_start: None }
    }
}

impl LbPolicy {
    pub(super) fn from_proto(proto: &proto::Cluster) -> Checked<Self> {
        match &proto.load_balancing_policy {
            // It has precedence over the older field, whatever that says.
            Some(list) => from_list(list, 0).at("load_balancing_policy"),
            None => Ok(Self {
                picker: lb_legacy::picker(proto)?,
                localities: lb_legacy::localities(proto).at("common_lb_config")?,
            }),
        }
    }
}

/// The first policy of the list that is known (gRFC A52).
fn from_list(list: &proto::LoadBalancingPolicy, depth: usize) -> Checked<LbPolicy> {
    if depth == MAX_DEPTH {
        return Err(Invalid::new(format!("policies are nested more than {MAX_DEPTH} deep")));
    }
    let mut unknown = Vec::new();
    for (index, policy) in list.policies.iter().enumerate() {
        let config = policy.typed_extension_config.as_ref().and_then(|config| config.typed_config.as_ref());
        let Some(config) = config else {
            return Err(Invalid::new("is missing")).at("typed_extension_config").at_index("policies", index);
        };
        let read = || {
            let config = Config::of(config)?;
            let policy = from_extension(&config, depth)?;
            if policy.is_none() {
                unknown.push(config.message.into_owned());
            }
            Ok(policy)
        };
        let policy = { read }();
        if let Some(policy) = policy.at("typed_extension_config.typed_config").at_index("policies", index)? {
            return Ok(policy);
        }
    }
    Err(Invalid::new(format!("none of these is supported: {}", unknown.join(", ")))).at("policies")
}

/// A policy; none if it is not known.
fn from_extension(config: &Config<'_>, depth: usize) -> Checked<Option<LbPolicy>> {
    // What a custom policy is configured with cannot be read here.
    let Some(extension) = config.extension().filter(|_| config.bytes.is_some()) else { return Ok(None) };
    let (localities, picker) = match extension {
        Extension::WrrLocality => {
            let proto: policies::wrr_locality::v3::WrrLocality = config.decode()?;
            let inner = proto.endpoint_picking_policy.as_ref().ok_or_else(|| Invalid::new("is missing"));
            let inner = inner.and_then(|inner| from_list(inner, depth + 1)).at("endpoint_picking_policy")?;
            (Localities::Weighted, inner.picker)
        }
        Extension::RoundRobin => {
            let proto: policies::round_robin::v3::RoundRobin = config.decode()?;
            let slow_start = new_slow_start(proto.slow_start_config.as_ref())?;
            (localities(proto.locality_lb_config.as_ref())?, Picking::RoundRobin(slow_start))
        }
        Extension::LeastRequest => {
            let proto: policies::least_request::v3::LeastRequest = config.decode()?;
            if !matches!(proto.selection_method, 0 | 1) {
                let why = format!("{} is unknown", proto.selection_method);
                return Err(Invalid::new(why)).at("selection_method");
            }
            let picker = LeastRequest {
                choices: choices(proto.choice_count.as_ref())?,
                bias: bias(proto.active_request_bias.as_ref())?,
                full_scan: proto.selection_method == 1,
                slow_start: new_slow_start(proto.slow_start_config.as_ref())?,
            };
            (localities(proto.locality_lb_config.as_ref())?, Picking::LeastRequest(picker))
        }
        Extension::Random => {
            let proto: policies::random::v3::Random = config.decode()?;
            (localities(proto.locality_lb_config.as_ref())?, Picking::Random)
        }
        Extension::RingHash => ring_hash(&config.decode()?)?,
        Extension::Maglev => {
            let proto: policies::maglev::v3::Maglev = config.decode()?;
            let common = hashing(proto.consistent_hashing_lb_config.as_ref())?;
            let picker = Maglev { table_size: table_size(proto.table_size.as_ref())?, common };
            (weighted(proto.locality_weighted_lb_config.is_some()), Picking::Maglev(picker))
        }
        Extension::PickFirst => {
            let proto: policies::pick_first::v3::PickFirst = config.decode()?;
            (Localities::Together, Picking::PickFirst(proto.shuffle_address_list))
        }
        Extension::ClientSideWeighted => (Localities::Together, client_side_weighted(&config.decode()?)?),
        Extension::OverrideHost => {
            let proto: policies::override_host::v3::OverrideHost = config.decode()?;
            let inner = proto.fallback_policy.as_ref().ok_or_else(|| Invalid::new("is missing"));
            let inner = inner.and_then(|inner| from_list(inner, depth + 1)).at("fallback_policy")?;
            let headers = proto.override_host_sources.iter().filter(|source| !source.header.is_empty());
            let headers = headers.map(|source| source.header.to_ascii_lowercase().into()).collect();
            (inner.localities, Picking::OverrideHost(OverrideHost { headers, fallback: inner.picker.into() }))
        }
        _ => return Ok(None),
    };
    Ok(Some(LbPolicy { localities, picker }))
}

fn ring_hash(proto: &policies::ring_hash::v3::RingHash) -> Checked<(Localities, Picking)> {
    use policies::ring_hash::v3::ring_hash::HashFunction as Proto;
    let function = match Proto::try_from(proto.hash_function) {
        // The default is defined to be XX_HASH.
        Ok(Proto::DefaultHash | Proto::XxHash) => HashFunction::XxHash,
        Ok(Proto::MurmurHash2) => HashFunction::Murmur2,
        Err(_) => {
            return Err(Invalid::new(format!("{} is unknown", proto.hash_function))).at("hash_function");
        }
    };
    let mut common = hashing(proto.consistent_hashing_lb_config.as_ref())?;
    #[expect(deprecated, reason = "older control planes send these instead")]
    if proto.consistent_hashing_lb_config.is_none() {
        common.by_hostname = proto.use_hostname_for_hashing;
        common.balance_factor = balance_factor(proto.hash_balance_factor.as_ref())?;
    }
    let (min_size, max_size) =
        ring_sizes(proto.minimum_ring_size.as_ref(), proto.maximum_ring_size.as_ref())?;
    let picker = Picking::RingHash(RingHash { function, min_size, max_size, common });
    Ok((weighted(proto.locality_weighted_lb_config.is_some()), picker))
}

fn client_side_weighted(
    proto: &policies::client_side_weighted_round_robin::v3::ClientSideWeightedRoundRobin,
) -> Checked<Picking> {
    let period = |value: Option<&_>, name: &str, default| {
        Ok(duration(value).at(name)?.unwrap_or(Duration::from_millis(default)))
    };
    let error_penalty = proto.error_utilization_penalty.as_ref().map_or(1.0, |penalty| penalty.value);
    if error_penalty.is_nan() || error_penalty < 0.0 {
        return Err(Invalid::new("must not be negative")).at("error_utilization_penalty");
    }
    let update_period = period(proto.weight_update_period.as_ref(), "weight_update_period", 1_000)?;
    Ok(Picking::ClientSideWeighted(ClientSideWeighted {
        out_of_band: proto.enable_oob_load_report.as_ref().is_some_and(|flag| flag.value),
        reporting_period: period(proto.oob_reporting_period.as_ref(), "oob_reporting_period", 10_000)?,
        blackout_period: period(proto.blackout_period.as_ref(), "blackout_period", 10_000)?,
        expiration_period: period(
            proto.weight_expiration_period.as_ref(),
            "weight_expiration_period",
            180_000,
        )?,
        update_period: update_period.max(Duration::from_millis(100)),
        error_penalty,
        metric_names: proto
            .metric_names_for_computing_utilization
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        slow_start: new_slow_start(proto.slow_start_config.as_ref())?,
    }))
}
