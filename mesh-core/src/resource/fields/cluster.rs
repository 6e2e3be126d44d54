//! Clusters.

use super::endpoint::{CLUSTER_LOAD_ASSIGNMENT, METADATA};
use super::leaf::{CONFIG_SOURCE, RUNTIME_DOUBLE};
use super::tls::TRANSPORT_SOCKET;
use super::{ANY, ANY_MAP, messages};

messages! {
    CLUSTER = "envoy.config.cluster.v3.Cluster" {
        acted: 1 name, 2 type, 3 eds_cluster_config > CLUSTER_EDS_CLUSTER_CONFIG, 4 connect_timeout,
            16 dns_refresh_rate, 17 dns_lookup_family, 24 transport_socket > TRANSPORT_SOCKET, 33 load_assignment > CLUSTER_LOAD_ASSIGNMENT,
            34 original_dst_lb_config > CLUSTER_ORIGINAL_DST_LB_CONFIG,
            38 cluster_type > CLUSTER_CUSTOM_CLUSTER_TYPE, 42 lrs_server, 43 transport_socket_matches > CLUSTER_TRANSPORT_SOCKET_MATCH,
            57 lrs_report_endpoint_metrics;
        kept: 6 lb_policy, 9 max_requests_per_connection, 10 circuit_breakers > CIRCUIT_BREAKERS,
            13 http_protocol_options > HTTP1_PROTOCOL_OPTIONS,
            14 http2_protocol_options > HTTP2_PROTOCOL_OPTIONS,
            19 outlier_detection > OUTLIER_DETECTION, 22 lb_subset_config > CLUSTER_LB_SUBSET_CONFIG,
            23 ring_hash_lb_config > CLUSTER_RING_HASH_LB_CONFIG, 25 metadata > METADATA,
            26 protocol_selection, 27 common_lb_config > CLUSTER_COMMON_LB_CONFIG,
            29 common_http_protocol_options > CORE_HTTP_PROTOCOL_OPTIONS,
            30 upstream_connection_options > UPSTREAM_CONNECTION_OPTIONS,
            36 typed_extension_protocol_options > ANY_MAP,
            37 least_request_lb_config > CLUSTER_LEAST_REQUEST_LB_CONFIG,
            39 respect_dns_ttl,
            41 load_balancing_policy > LOAD_BALANCING_POLICY, 44 dns_failure_refresh_rate,
            46 upstream_http_protocol_options > UPSTREAM_HTTP_PROTOCOL_OPTIONS,
            52 maglev_lb_config > CLUSTER_MAGLEV_LB_CONFIG,
            56 round_robin_lb_config > CLUSTER_ROUND_ROBIN_LB_CONFIG, 58 dns_jitter;
        reported: 8 health_checks, 18 dns_resolvers, 20 cleanup_interval, 21 upstream_bind_config,
            31 close_connections_on_host_health_failure, 32 ignore_health_on_host_removal, 40 filters,
            45 use_tcp_for_dns_lookups, 48 upstream_config, 50 preconnect_policy,
            51 connection_pool_per_downstream_connection, 53 dns_resolution_config,
            55 typed_dns_resolver_config, 59 transport_socket_matcher,
            62 queuing_policies;
        ignored: 5 per_connection_buffer_limit_bytes, 28 alt_stat_name, 47 track_timeout_budgets,
            49 track_cluster_stats, 54 wait_for_warm_on_init,
            60 per_connection_buffer_high_watermark_timeout, 61 stats_matcher;
    }
    CLUSTER_EDS_CLUSTER_CONFIG = "envoy.config.cluster.v3.Cluster.EdsClusterConfig" {
        acted: 1 eds_config > CONFIG_SOURCE, 2 service_name;
    }
    CLUSTER_TRANSPORT_SOCKET_MATCH = "envoy.config.cluster.v3.Cluster.TransportSocketMatch" {
        acted: 2 match, 3 transport_socket > TRANSPORT_SOCKET;
        kept: 1 name;
    }
    CLUSTER_CUSTOM_CLUSTER_TYPE = "envoy.config.cluster.v3.Cluster.CustomClusterType" {
        acted: 2 typed_config > ANY;
        ignored: 1 name;
    }
    CLUSTER_COMMON_LB_CONFIG = "envoy.config.cluster.v3.Cluster.CommonLbConfig" {
        kept: 1 healthy_panic_threshold,
            2 zone_aware_lb_config > CLUSTER_COMMON_LB_CONFIG_ZONE_AWARE_LB_CONFIG,
            3 locality_weighted_lb_config,
            7 consistent_hashing_lb_config > CLUSTER_COMMON_LB_CONFIG_CONSISTENT_HASHING_LB_CONFIG;
        reported: 4 update_merge_window, 5 ignore_new_hosts_until_first_hc,
            6 close_connections_on_host_set_change, 8 override_host_status;
    }
    CLUSTER_COMMON_LB_CONFIG_CONSISTENT_HASHING_LB_CONFIG = "envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig" {
        kept: 1 use_hostname_for_hashing, 2 hash_balance_factor;
    }
    CLUSTER_COMMON_LB_CONFIG_ZONE_AWARE_LB_CONFIG = "envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig" {
        kept: 1 routing_enabled, 2 min_cluster_size, 3 fail_traffic_on_panic;
    }
    CLUSTER_LB_SUBSET_CONFIG = "envoy.config.cluster.v3.Cluster.LbSubsetConfig" {
        kept: 3 subset_selectors > CLUSTER_LB_SUBSET_SELECTOR;
        reported: 1 fallback_policy, 2 default_subset, 4 locality_weight_aware, 5 scale_locality_weight,
            6 panic_mode_any, 7 list_as_any, 8 metadata_fallback_policy;
    }
    CLUSTER_LB_SUBSET_SELECTOR = "envoy.config.cluster.v3.Cluster.LbSubsetConfig.LbSubsetSelector" {
        kept: 1 keys;
        reported: 2 fallback_policy, 3 fallback_keys_subset, 4 single_host_per_subset;
    }
    CLUSTER_RING_HASH_LB_CONFIG = "envoy.config.cluster.v3.Cluster.RingHashLbConfig" {
        kept: 1 minimum_ring_size, 3 hash_function, 4 maximum_ring_size;
    }
    CLUSTER_MAGLEV_LB_CONFIG = "envoy.config.cluster.v3.Cluster.MaglevLbConfig" {
        kept: 1 table_size;
    }
    CLUSTER_LEAST_REQUEST_LB_CONFIG = "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig" {
        kept: 1 choice_count, 2 active_request_bias > RUNTIME_DOUBLE, 3 slow_start_config > CLUSTER_SLOW_START_CONFIG;
    }
    CLUSTER_ROUND_ROBIN_LB_CONFIG = "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig" {
        kept: 1 slow_start_config > CLUSTER_SLOW_START_CONFIG;
    }
    CLUSTER_SLOW_START_CONFIG = "envoy.config.cluster.v3.Cluster.SlowStartConfig" {
        kept: 1 slow_start_window, 2 aggression > RUNTIME_DOUBLE, 3 min_weight_percent;
    }
    CLUSTER_ORIGINAL_DST_LB_CONFIG = "envoy.config.cluster.v3.Cluster.OriginalDstLbConfig" {
        acted: 1 use_http_header, 2 http_header_name;
        kept: 3 upstream_port_override;
        reported: 4 metadata_key;
    }
    CIRCUIT_BREAKERS = "envoy.config.cluster.v3.CircuitBreakers" {
        kept: 1 thresholds > CIRCUIT_BREAKERS_THRESHOLDS,
            2 per_host_thresholds > CIRCUIT_BREAKERS_THRESHOLDS;
    }
    CIRCUIT_BREAKERS_THRESHOLDS = "envoy.config.cluster.v3.CircuitBreakers.Thresholds" {
        kept: 1 priority, 2 max_connections, 3 max_pending_requests, 4 max_requests, 5 max_retries,
            7 max_connection_pools, 8 retry_budget > CIRCUIT_BREAKERS_THRESHOLDS_RETRY_BUDGET;
        ignored: 6 track_remaining;
    }
    CIRCUIT_BREAKERS_THRESHOLDS_RETRY_BUDGET = "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget" {
        kept: 1 budget_percent, 2 min_retry_concurrency, 3 budget_interval;
    }
    OUTLIER_DETECTION = "envoy.config.cluster.v3.OutlierDetection" {
        kept: 1 consecutive_5xx, 2 interval, 3 base_ejection_time, 4 max_ejection_percent,
            5 enforcing_consecutive_5xx, 6 enforcing_success_rate, 7 success_rate_minimum_hosts,
            8 success_rate_request_volume, 9 success_rate_stdev_factor, 10 consecutive_gateway_failure,
            11 enforcing_consecutive_gateway_failure, 12 split_external_local_origin_errors,
            13 consecutive_local_origin_failure, 14 enforcing_consecutive_local_origin_failure,
            15 enforcing_local_origin_success_rate, 16 failure_percentage_threshold,
            17 enforcing_failure_percentage, 18 enforcing_failure_percentage_local_origin,
            19 failure_percentage_minimum_hosts, 20 failure_percentage_request_volume, 21 max_ejection_time,
            22 max_ejection_time_jitter, 23 successful_active_health_check_uneject_host,
            25 always_eject_one_host;
        reported: 24 monitors, 26 detect_degraded_hosts;
    }
    UPSTREAM_CONNECTION_OPTIONS = "envoy.config.cluster.v3.UpstreamConnectionOptions" {
        kept: 1 tcp_keepalive > TCP_KEEPALIVE;
        reported: 2 set_local_interface_name_on_upstream_connections, 3 happy_eyeballs_config;
    }
    TCP_KEEPALIVE = "envoy.config.core.v3.TcpKeepalive" {
        kept: 1 keepalive_probes, 2 keepalive_time, 3 keepalive_interval;
    }
    LOAD_BALANCING_POLICY = "envoy.config.cluster.v3.LoadBalancingPolicy" {
        kept: 1 policies > LOAD_BALANCING_POLICY_POLICY;
    }
    LOAD_BALANCING_POLICY_POLICY = "envoy.config.cluster.v3.LoadBalancingPolicy.Policy" {
        kept: 4 typed_extension_config > TYPED_EXTENSION_CONFIG;
    }
    TYPED_EXTENSION_CONFIG = "envoy.config.core.v3.TypedExtensionConfig" {
        kept: 2 typed_config > ANY;
        ignored: 1 name;
    }
    HTTP_HTTP_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions" {
        kept: 1 common_http_protocol_options > CORE_HTTP_PROTOCOL_OPTIONS,
            2 upstream_http_protocol_options > UPSTREAM_HTTP_PROTOCOL_OPTIONS,
            3 explicit_http_config > HTTP_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG,
            4 use_downstream_protocol_config > HTTP_PROTOCOL_OPTIONS_USE_DOWNSTREAM_HTTP_CONFIG,
            5 auto_config > HTTP_PROTOCOL_OPTIONS_AUTO_HTTP_CONFIG;
        reported: 6 http_filters, 7 header_validation_config, 8 outlier_detection,
            9 request_mirror_policies, 10 hash_policy, 11 retry_policy;
    }
    HTTP_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig" {
        kept: 1 http_protocol_options > HTTP1_PROTOCOL_OPTIONS,
            2 http2_protocol_options > HTTP2_PROTOCOL_OPTIONS, 3 http3_protocol_options;
    }
    HTTP_PROTOCOL_OPTIONS_USE_DOWNSTREAM_HTTP_CONFIG = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig" {
        kept: 1 http_protocol_options > HTTP1_PROTOCOL_OPTIONS,
            2 http2_protocol_options > HTTP2_PROTOCOL_OPTIONS;
        reported: 3 http3_protocol_options;
    }
    HTTP_PROTOCOL_OPTIONS_AUTO_HTTP_CONFIG = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig" {
        kept: 1 http_protocol_options > HTTP1_PROTOCOL_OPTIONS,
            2 http2_protocol_options > HTTP2_PROTOCOL_OPTIONS;
        reported: 3 http3_protocol_options, 4 alternate_protocols_cache_options;
    }
    CORE_HTTP_PROTOCOL_OPTIONS = "envoy.config.core.v3.HttpProtocolOptions" {
        acted: 4 max_stream_duration;
        kept: 1 idle_timeout, 2 max_headers_count, 3 max_connection_duration, 6 max_requests_per_connection;
        reported: 5 headers_with_underscores_action, 7 max_response_headers_kb,
            8 max_connection_duration_jitter;
    }
    HTTP1_PROTOCOL_OPTIONS = "envoy.config.core.v3.Http1ProtocolOptions" {
        reported: 1 allow_absolute_url, 2 accept_http_10, 3 default_host_for_http_10, 4 header_key_format,
            5 enable_trailers, 6 allow_chunked_length, 7 override_stream_error_on_invalid_http_message,
            8 send_fully_qualified_url, 9 use_balsa_parser, 10 allow_custom_methods,
            11 ignore_http_11_upgrade;
    }
    HTTP2_PROTOCOL_OPTIONS = "envoy.config.core.v3.Http2ProtocolOptions" {
        kept: 2 max_concurrent_streams, 3 initial_stream_window_size, 4 initial_connection_window_size,
            15 connection_keepalive > KEEPALIVE_SETTINGS;
        reported: 1 hpack_table_size, 5 allow_connect, 6 allow_metadata, 7 max_outbound_frames,
            8 max_outbound_control_frames, 9 max_consecutive_inbound_frames_with_empty_payload,
            10 max_inbound_priority_frames_per_stream,
            11 max_inbound_window_update_frames_per_data_frame_sent,
            12 stream_error_on_invalid_http_messaging, 13 custom_settings_parameters,
            14 override_stream_error_on_invalid_http_message, 16 use_oghttp2_codec, 17 max_metadata_size,
            18 enable_huffman_encoding, 19 max_header_field_size_kb, 20 disallow_obs_text,
            21 stream_reset_burst, 22 stream_reset_rate;
    }
    KEEPALIVE_SETTINGS = "envoy.config.core.v3.KeepaliveSettings" {
        kept: 1 interval, 2 timeout, 4 connection_idle_interval;
        reported: 3 interval_jitter;
    }
    UPSTREAM_HTTP_PROTOCOL_OPTIONS = "envoy.config.core.v3.UpstreamHttpProtocolOptions" {
        kept: 1 auto_sni, 2 auto_san_validation;
        reported: 3 override_auto_sni_header;
    }
    CLUSTER_CONFIG = "envoy.extensions.clusters.aggregate.v3.ClusterConfig" {
        acted: 1 clusters;
    }
    DYNAMIC_FORWARD_PROXY = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig" {
        reported: 1 dns_cache_config, 2 allow_insecure_cluster_options, 3 allow_coalesced_connections,
            4 sub_clusters_config;
    }
    DNS_CLUSTER = "envoy.extensions.clusters.dns.v3.DnsCluster" {
        acted: 3 dns_refresh_rate, 8 dns_lookup_family, 9 all_addresses_in_single_endpoint;
        kept: 4 dns_failure_refresh_rate, 5 respect_dns_ttl, 6 dns_jitter;
        reported: 7 typed_dns_resolver_config, 10 dns_min_refresh_rate;
    }
    ROUND_ROBIN = "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin" {
        kept: 1 slow_start_config > SLOW_START_CONFIG, 2 locality_lb_config > LOCALITY_LB_CONFIG;
    }
    LEAST_REQUEST = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest" {
        kept: 1 choice_count, 2 active_request_bias > RUNTIME_DOUBLE, 3 slow_start_config > SLOW_START_CONFIG,
            4 locality_lb_config > LOCALITY_LB_CONFIG, 6 selection_method;
        reported: 5 enable_full_scan;
    }
    RANDOM = "envoy.extensions.load_balancing_policies.random.v3.Random" {
        kept: 1 locality_lb_config > LOCALITY_LB_CONFIG;
    }
    RING_HASH = "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash" {
        kept: 1 hash_function, 2 minimum_ring_size, 3 maximum_ring_size, 4 use_hostname_for_hashing,
            5 hash_balance_factor, 6 consistent_hashing_lb_config > CONSISTENT_HASHING_LB_CONFIG,
            7 locality_weighted_lb_config;
    }
    MAGLEV = "envoy.extensions.load_balancing_policies.maglev.v3.Maglev" {
        kept: 1 table_size, 2 consistent_hashing_lb_config > CONSISTENT_HASHING_LB_CONFIG,
            3 locality_weighted_lb_config;
    }
    PICK_FIRST = "envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst" {
        kept: 1 shuffle_address_list;
    }
    WRR_LOCALITY = "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality" {
        kept: 1 endpoint_picking_policy > LOAD_BALANCING_POLICY;
    }
    CLIENT_SIDE_WEIGHTED_ROUND_ROBIN = "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin" {
        kept: 1 enable_oob_load_report, 2 oob_reporting_period, 3 blackout_period,
            4 weight_expiration_period, 5 weight_update_period, 6 error_utilization_penalty,
            7 metric_names_for_computing_utilization, 8 slow_start_config > SLOW_START_CONFIG;
        reported: 9 oob_reporting_config;
    }
    OVERRIDE_HOST = "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost" {
        kept: 1 override_host_sources > OVERRIDE_HOST_SOURCE, 3 fallback_policy > LOAD_BALANCING_POLICY;
        reported: 2 selected_host_key;
    }
    OVERRIDE_HOST_SOURCE = "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost.OverrideHostSource" {
        kept: 1 header;
        reported: 2 metadata;
    }
    SLOW_START_CONFIG = "envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig" {
        kept: 1 slow_start_window, 2 aggression > RUNTIME_DOUBLE, 3 min_weight_percent;
    }
    LOCALITY_LB_CONFIG = "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig" {
        kept: 1 zone_aware_lb_config > ZONE_AWARE_LB_CONFIG, 2 locality_weighted_lb_config;
    }
    ZONE_AWARE_LB_CONFIG = "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig" {
        kept: 1 routing_enabled, 2 min_cluster_size, 3 fail_traffic_on_panic;
        reported: 4 force_locality_direct_routing, 5 force_local_zone, 6 locality_basis;
    }
    CONSISTENT_HASHING_LB_CONFIG = "envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig" {
        kept: 1 use_hostname_for_hashing, 2 hash_balance_factor;
        reported: 3 hash_policy;
    }
}
