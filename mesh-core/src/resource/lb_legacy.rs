//! How endpoints are chosen, said the older way: the enumeration `lb_policy` and a configuration beside it.

use super::invalid::{At, Checked, Invalid};
use super::lb_parts::{balance_factor, bias, choices, percent, ring_sizes, slow_start, table_size};
use super::lb_policy::{HashFunction, Hashing, LeastRequest, Localities, Maglev, Picking, RingHash};
use mesh_proto::envoy::config::cluster::v3 as proto;

/// How endpoints are chosen, by the enumeration.
pub(super) fn picker(proto: &proto::Cluster) -> Checked<Picking> {
    use proto::cluster::LbConfig;
    use proto::cluster::LbPolicy as Proto;
    use proto::cluster::ring_hash_lb_config::HashFunction as Function;
    let config = proto.lb_config.as_ref();
    let common = || {
        let common = proto.common_lb_config.as_ref();
        let common = common.and_then(|common| common.consistent_hashing_lb_config.as_ref());
        let Some(common) = common else { return Ok(Hashing::default()) };
        Ok(Hashing {
            by_hostname: common.use_hostname_for_hashing,
            balance_factor: balance_factor(common.hash_balance_factor.as_ref())
                .at("common_lb_config.consistent_hashing_lb_config")?,
        })
    };
    match Proto::try_from(proto.lb_policy) {
        Ok(Proto::RoundRobin) => match config {
            Some(LbConfig::RoundRobinLbConfig(config)) => slow_start(config.slow_start_config.as_ref())
                .at("round_robin_lb_config")
                .map(Picking::RoundRobin),
            _ => Ok(Picking::RoundRobin(None)),
        },
        Ok(Proto::LeastRequest) => match config {
            Some(LbConfig::LeastRequestLbConfig(config)) => {
                let read = || {
                    Ok(LeastRequest {
                        choices: choices(config.choice_count.as_ref())?,
                        bias: bias(config.active_request_bias.as_ref())?,
                        full_scan: false,
                        slow_start: slow_start(config.slow_start_config.as_ref())?,
                    })
                };
                read().at("least_request_lb_config").map(Picking::LeastRequest)
            }
            _ => Ok(Picking::LeastRequest(LeastRequest::default())),
        },
        Ok(Proto::RingHash) => {
            let default = Default::default();
            let config = match config {
                Some(LbConfig::RingHashLbConfig(config)) => config,
                _ => &default,
            };
            let read = || {
                let function = match Function::try_from(config.hash_function) {
                    Ok(Function::XxHash) => HashFunction::XxHash,
                    Ok(Function::MurmurHash2) => HashFunction::Murmur2,
                    Err(_) => {
                        let why = format!("{} is unknown", config.hash_function);
                        return Err(Invalid::new(why)).at("hash_function");
                    }
                };
                let (min_size, max_size) =
                    ring_sizes(config.minimum_ring_size.as_ref(), config.maximum_ring_size.as_ref())?;
                Ok((function, min_size, max_size))
            };
            let (function, min_size, max_size) = read().at("ring_hash_lb_config")?;
            Ok(Picking::RingHash(RingHash { function, min_size, max_size, common: common()? }))
        }
        Ok(Proto::Maglev) => {
            let size = match config {
                Some(LbConfig::MaglevLbConfig(config)) => config.table_size.as_ref(),
                _ => None,
            };
            Ok(Picking::Maglev(Maglev {
                table_size: table_size(size).at("maglev_lb_config")?,
                common: common()?,
            }))
        }
        Ok(Proto::Random) => Ok(Picking::Random),
        Ok(Proto::ClusterProvided) => Ok(Picking::ClusterProvided),
        Ok(Proto::LoadBalancingPolicyConfig) => Err(Invalid::new("is missing")).at("load_balancing_policy"),
        Err(_) => Err(Invalid::new(format!("{} is unknown", proto.lb_policy))).at("lb_policy"),
    }
}

/// How requests are spread over localities.
pub(super) fn localities(proto: &proto::Cluster) -> Checked<Localities> {
    use proto::cluster::common_lb_config::LocalityConfigSpecifier as Specifier;
    match proto.common_lb_config.as_ref().and_then(|common| common.locality_config_specifier.as_ref()) {
        Some(Specifier::ZoneAwareLbConfig(zone)) => Ok(Localities::ZoneAware {
            percent: percent(zone.routing_enabled.as_ref(), 100.0)
                .at("routing_enabled")
                .at("zone_aware_lb_config")?,
            min_cluster_size: zone.min_cluster_size.as_ref().map_or(6, |size| size.value),
            fail_on_panic: zone.fail_traffic_on_panic,
        }),
        // gRFC A48: where nothing is said, localities count by their weights.
        Some(Specifier::LocalityWeightedLbConfig(_)) | None => Ok(Localities::Weighted),
    }
}
