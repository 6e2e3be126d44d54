//! Endpoints.

use super::leaf::{ADDRESS, FRACTIONAL_PERCENT};
use super::{ANY_MAP, messages};

messages! {
    CLUSTER_LOAD_ASSIGNMENT = "envoy.config.endpoint.v3.ClusterLoadAssignment" {
        acted: 1 cluster_name, 2 endpoints > LOCALITY_LB_ENDPOINTS,
            4 policy > CLUSTER_LOAD_ASSIGNMENT_POLICY;
        reported: 5 named_endpoints;
    }
    CLUSTER_LOAD_ASSIGNMENT_POLICY = "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy" {
        acted: 2 drop_overloads > CLUSTER_LOAD_ASSIGNMENT_POLICY_DROP_OVERLOAD;
        kept: 3 overprovisioning_factor;
        reported: 4 endpoint_stale_after, 6 weighted_priority_health;
    }
    CLUSTER_LOAD_ASSIGNMENT_POLICY_DROP_OVERLOAD = "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy.DropOverload" {
        acted: 1 category, 2 drop_percentage > FRACTIONAL_PERCENT;
    }
    LOCALITY_LB_ENDPOINTS = "envoy.config.endpoint.v3.LocalityLbEndpoints" {
        acted: 1 locality, 2 lb_endpoints > LB_ENDPOINT, 3 load_balancing_weight, 5 priority;
        kept: 6 proximity, 9 metadata > METADATA;
        reported: 7 load_balancer_endpoints, 8 leds_cluster_locality_config;
    }
    LB_ENDPOINT = "envoy.config.endpoint.v3.LbEndpoint" {
        acted: 1 endpoint > ENDPOINT, 2 health_status, 3 metadata > METADATA;
        kept: 4 load_balancing_weight;
        refused: 5 endpoint_name;
    }
    ENDPOINT = "envoy.config.endpoint.v3.Endpoint" {
        acted: 1 address > ADDRESS, 3 hostname;
        kept: 4 additional_addresses > ENDPOINT_ADDITIONAL_ADDRESS;
        reported: 2 health_check_config, 5 observability_name;
    }
    ENDPOINT_ADDITIONAL_ADDRESS = "envoy.config.endpoint.v3.Endpoint.AdditionalAddress" {
        kept: 1 address > ADDRESS;
    }
    METADATA = "envoy.config.core.v3.Metadata" {
        acted: 1 filter_metadata;
        kept: 2 typed_filter_metadata > ANY_MAP;
    }
}
