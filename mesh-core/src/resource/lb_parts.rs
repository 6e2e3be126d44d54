//! What several balancing policies have in common.

use super::invalid::{At, Checked, Invalid, duration};
use super::lb_policy::{
    DEFAULT_CHOICES, DEFAULT_MAGLEV_TABLE, DEFAULT_MIN_RING, Hashing, Localities, MAX_MAGLEV_TABLE, MAX_RING,
    SlowStart,
};
use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::config::core::v3::RuntimeDouble;
use mesh_proto::envoy::extensions::load_balancing_policies as policies;
use mesh_proto::envoy::r#type::v3::Percent;
use mesh_proto::google::protobuf::{UInt32Value, UInt64Value};

/// How requests are spread over localities.
pub(super) fn localities(proto: Option<&policies::common::v3::LocalityLbConfig>) -> Checked<Localities> {
    use policies::common::v3::locality_lb_config::LocalityConfigSpecifier as Specifier;
    let share = |share| percent(share, 100.0).at("locality_lb_config.zone_aware_lb_config.routing_enabled");
    Ok(match proto.and_then(|proto| proto.locality_config_specifier.as_ref()) {
        Some(Specifier::LocalityWeightedLbConfig(_)) => Localities::Weighted,
        Some(Specifier::ZoneAwareLbConfig(zone)) => Localities::ZoneAware {
            percent: share(zone.routing_enabled.as_ref())?,
            min_cluster_size: zone.min_cluster_size.as_ref().map_or(6, |size| size.value),
            fail_on_panic: zone.fail_traffic_on_panic,
        },
        None => Localities::Together,
    })
}

/// By the weights of localities, or not at all.
pub(super) fn weighted(is_weighted: bool) -> Localities {
    if is_weighted { Localities::Weighted } else { Localities::Together }
}

/// What every table of hashes has.
pub(super) fn hashing(proto: Option<&policies::common::v3::ConsistentHashingLbConfig>) -> Checked<Hashing> {
    let Some(proto) = proto else { return Ok(Hashing::default()) };
    Ok(Hashing {
        by_hostname: proto.use_hostname_for_hashing,
        balance_factor: balance_factor(proto.hash_balance_factor.as_ref())
            .at("consistent_hashing_lb_config")?,
    })
}

/// How much more than the average an endpoint may carry.
pub(super) fn balance_factor(proto: Option<&UInt32Value>) -> Checked<Option<u32>> {
    match proto.map(|factor| factor.value) {
        Some(factor) if factor < 100 => Err(Invalid::new("must be at least 100")).at("hash_balance_factor"),
        factor => Ok(factor),
    }
}

/// The smallest and the largest ring.
pub(super) fn ring_sizes(min: Option<&UInt64Value>, max: Option<&UInt64Value>) -> Checked<(u64, u64)> {
    let min = min.map_or(DEFAULT_MIN_RING, |size| size.value);
    let max = max.map_or(MAX_RING, |size| size.value);
    let too_large = || Invalid::new(format!("must not be more than {MAX_RING}"));
    if min > MAX_RING {
        return Err(too_large()).at("minimum_ring_size");
    }
    if max > MAX_RING {
        return Err(too_large()).at("maximum_ring_size");
    }
    if min > max {
        let why = format!("{min} is more than maximum_ring_size, {max}");
        return Err(Invalid::new(why)).at("minimum_ring_size");
    }
    Ok((min, max))
}

/// The size of a Maglev table.
pub(super) fn table_size(proto: Option<&UInt64Value>) -> Checked<u64> {
    let size = proto.map_or(DEFAULT_MAGLEV_TABLE, |size| size.value);
    if size > MAX_MAGLEV_TABLE {
        return Err(Invalid::new(format!("must not be more than {MAX_MAGLEV_TABLE}"))).at("table_size");
    }
    let is_prime = size > 1 && (2..).take_while(|n| n * n <= size).all(|n| !size.is_multiple_of(n));
    if !is_prime {
        return Err(Invalid::new(format!("{size} is no prime number"))).at("table_size");
    }
    Ok(size)
}

/// Endpoints that are compared.
pub(super) fn choices(proto: Option<&UInt32Value>) -> Checked<u32> {
    match proto.map_or(DEFAULT_CHOICES, |count| count.value) {
        count @ 2.. => Ok(count),
        count => Err(Invalid::new(format!("{count} is less than 2"))).at("choice_count"),
    }
}

/// How much requests in flight count.
pub(super) fn bias(proto: Option<&RuntimeDouble>) -> Checked<f64> {
    match proto.map_or(1.0, |bias| bias.default_value) {
        bias if bias >= 0.0 => Ok(bias),
        bias => Err(Invalid::new(format!("{bias} is negative"))).at("active_request_bias"),
    }
}

/// A share in percent.
pub(super) fn percent(proto: Option<&Percent>, default: f64) -> Checked<f64> {
    match proto.map_or(default, |percent| percent.value) {
        value if (0.0..=100.0).contains(&value) => Ok(value),
        value => Err(Invalid::new(format!("{value} is not between 0 and 100"))),
    }
}

/// Less for endpoints that are new, as policies of `load_balancing_policy` say it.
pub(super) fn new_slow_start(
    proto: Option<&policies::common::v3::SlowStartConfig>,
) -> Checked<Option<SlowStart>> {
    let proto = proto.map(|proto| proto::cluster::SlowStartConfig {
        slow_start_window: proto.slow_start_window,
        aggression: proto.aggression.clone(),
        min_weight_percent: proto.min_weight_percent,
    });
    slow_start(proto.as_ref())
}

/// Less for endpoints that are new.
pub(super) fn slow_start(proto: Option<&proto::cluster::SlowStartConfig>) -> Checked<Option<SlowStart>> {
    let Some(proto) = proto else { return Ok(None) };
    let read = || {
        let window = duration(proto.slow_start_window.as_ref()).at("slow_start_window")?;
        let aggression = proto.aggression.as_ref().map_or(1.0, |aggression| aggression.default_value);
        if aggression.is_nan() || aggression <= 0.0 {
            return Err(Invalid::new(format!("{aggression} is not more than 0"))).at("aggression");
        }
        let min_weight_percent = percent(proto.min_weight_percent.as_ref(), 10.0).at("min_weight_percent")?;
        let window = window.filter(|window| !window.is_zero());
        Ok(window.map(|window| SlowStart { window, aggression, min_weight_percent }))
    };
    read().at("slow_start_config")
}
