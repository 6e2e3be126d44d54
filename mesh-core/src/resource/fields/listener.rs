//! Listeners and their filters.

use super::cluster::{CORE_HTTP_PROTOCOL_OPTIONS, TYPED_EXTENSION_CONFIG};
use super::endpoint::METADATA;
use super::leaf::{ADDRESS, CIDR_RANGE, CONFIG_SOURCE, FRACTIONAL_PERCENT, HEADER_MATCHER, STRING_MATCHER};
use super::route::ROUTE_CONFIGURATION;
use super::tls::TRANSPORT_SOCKET;
use super::{ANY, messages};

messages! {
    LISTENER = "envoy.config.listener.v3.Listener" {
        acted: 1 name, 2 address > ADDRESS, 3 filter_chains > FILTER_CHAIN, 4 use_original_dst, 16 traffic_direction,
            19 api_listener > API_LISTENER, 25 default_filter_chain > FILTER_CHAIN, 27 internal_listener;
        kept: 33 additional_addresses > ADDITIONAL_ADDRESS;
        reported: 6 metadata, 9 listener_filters, 22 access_log, 32 filter_chain_matcher, 36 fcds_config;
        ignored: 5 per_connection_buffer_limit_bytes, 7 deprecated_v1, 8 drain_type, 10 transparent,
            11 freebind, 12 tcp_fast_open_queue_length, 13 socket_options, 15 listener_filters_timeout,
            17 continue_on_listener_filters_timeout, 18 udp_listener_config, 20 connection_balance_config,
            21 reuse_port, 24 tcp_backlog_size, 26 bind_to_port, 28 stat_prefix,
            29 enable_reuse_port, 30 enable_mptcp, 31 ignore_global_conn_limit,
            34 max_connections_to_accept_per_socket_event, 35 bypass_overload_manager, 37 tcp_keepalive,
            38 per_connection_buffer_high_watermark_timeout, 39 stats_matcher;
    }
    API_LISTENER = "envoy.config.listener.v3.ApiListener" {
        acted: 1 api_listener > ANY;
    }
    ADDITIONAL_ADDRESS = "envoy.config.listener.v3.AdditionalAddress" {
        kept: 1 address > ADDRESS;
        reported: 2 socket_options, 3 tcp_keepalive;
    }
    FILTER_CHAIN = "envoy.config.listener.v3.FilterChain" {
        acted: 1 filter_chain_match > FILTER_CHAIN_MATCH, 3 filters > FILTER, 5 metadata > METADATA;
        kept: 6 transport_socket > TRANSPORT_SOCKET, 7 name;
        reported: 4 use_proxy_proto, 9 transport_socket_connect_timeout;
    }
    FILTER_CHAIN_MATCH = "envoy.config.listener.v3.FilterChainMatch" {
        acted: 3 prefix_ranges > CIDR_RANGE, 8 destination_port, 9 transport_protocol, 11 server_names;
        kept: 6 source_prefix_ranges > CIDR_RANGE, 7 source_ports, 10 application_protocols,
            12 source_type, 13 direct_source_prefix_ranges > CIDR_RANGE;
        reported: 4 address_suffix, 5 suffix_len;
    }
    FILTER = "envoy.config.listener.v3.Filter" {
        acted: 4 typed_config > ANY;
        refused: 5 config_discovery;
        ignored: 1 name;
    }
    HTTP_CONNECTION_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager" {
        acted: 3 rds > RDS, 4 route_config > ROUTE_CONFIGURATION, 5 http_filters > HTTP_FILTER,
            35 common_http_protocol_options > CORE_HTTP_PROTOCOL_OPTIONS;
        kept: 24 stream_idle_timeout;
        reported: 7 tracing, 8 http_protocol_options, 9 http2_protocol_options, 13 access_log,
            23 upgrade_configs, 28 request_timeout, 29 max_request_headers_kb, 38 local_reply_config,
            41 request_headers_timeout, 52 early_header_mutation_extensions;
        refused: 19 xff_num_trusted_hops, 31 scoped_routes, 46 original_ip_detection_extensions;
        ignored: 1 codec_type, 2 stat_prefix, 6 add_user_agent, 10 server_name, 12 drain_timeout,
            14 use_remote_address, 15 generate_request_id, 16 forward_client_cert_details,
            17 set_current_client_cert_details, 18 proxy_100_continue,
            20 represent_ipv4_remote_address_as_ipv4_mapped_ipv6, 21 skip_xff_append, 22 via,
            25 internal_address_config, 26 delayed_close_timeout, 30 normalize_path,
            32 preserve_external_request_id, 33 merge_slashes, 34 server_header_transformation,
            36 request_id_extension, 37 always_set_request_id_in_response, 39 strip_matching_host_port,
            40 stream_error_on_invalid_http_message, 42 strip_any_host_port, 43 path_normalization_options,
            44 http3_protocol_options, 45 path_with_escaped_slashes_action, 47 strip_trailing_host_dot,
            48 scheme_header_transformation, 49 proxy_status_config, 50 typed_header_validation_config,
            51 append_x_forwarded_port, 53 add_proxy_protocol_connection_state,
            54 access_log_flush_interval, 55 flush_access_log_on_new_request, 56 access_log_options,
            57 append_local_overload, 58 http1_safe_max_connection_duration, 59 stream_flush_timeout,
            60 forward_client_cert_matcher, 61 forward_proto_config, 62 drain_timeout_jitter;
    }
    RDS = "envoy.extensions.filters.network.http_connection_manager.v3.Rds" {
        acted: 1 config_source > CONFIG_SOURCE, 2 route_config_name;
    }
    HTTP_FILTER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter" {
        acted: 1 name, 4 typed_config > ANY, 6 is_optional;
        kept: 7 disabled;
        refused: 5 config_discovery;
    }
    TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy" {
        acted: 2 cluster, 10 weighted_clusters > TCP_PROXY_WEIGHTED_CLUSTER;
        reported: 3 downstream_idle_timeout, 4 upstream_idle_timeout, 7 max_connect_attempts,
            8 idle_timeout, 9 metadata_match, 11 hash_policy, 12 tunneling_config,
            13 max_downstream_connection_duration, 14 on_demand, 15 access_log_flush_interval,
            16 flush_access_log_on_connected, 17 access_log_options, 18 backoff_options,
            19 proxy_protocol_tlvs, 20 max_downstream_connection_duration_jitter_percentage,
            21 upstream_connect_mode, 22 max_early_data_bytes, 23 proxy_protocol_tlv_merge_policy,
            24 check_drain_close;
        ignored: 1 stat_prefix, 5 access_log;
    }
    TCP_PROXY_WEIGHTED_CLUSTER = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster" {
        acted: 1 clusters > TCP_PROXY_WEIGHTED_CLUSTER_CLUSTER_WEIGHT;
    }
    TCP_PROXY_WEIGHTED_CLUSTER_CLUSTER_WEIGHT = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight" {
        acted: 1 name, 2 weight;
        reported: 3 metadata_match;
    }
    ROUTER = "envoy.extensions.filters.http.router.v3.Router" {
        ignored: 1 dynamic_stats, 2 start_child_span, 3 upstream_log, 4 suppress_envoy_headers,
            5 strict_check_headers, 6 respect_expected_rq_timeout,
            7 suppress_grpc_request_failure_code_stats, 8 upstream_http_filters, 9 upstream_log_options,
            10 reject_connect_request_early_data;
    }
    HTTP_FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault" {
        kept: 1 delay > FAULT_DELAY, 2 abort > FAULT_ABORT, 3 upstream_cluster, 4 headers > HEADER_MATCHER,
            6 max_active_faults;
        reported: 5 downstream_nodes, 7 response_rate_limit, 8 delay_percent_runtime,
            9 abort_percent_runtime, 10 delay_duration_runtime, 11 abort_http_status_runtime,
            12 max_active_faults_runtime, 13 response_rate_limit_percent_runtime,
            14 abort_grpc_status_runtime, 15 disable_downstream_cluster_stats, 16 filter_metadata;
    }
    FAULT_ABORT = "envoy.extensions.filters.http.fault.v3.FaultAbort" {
        kept: 2 http_status, 3 percentage > FRACTIONAL_PERCENT, 4 header_abort, 5 grpc_status;
        reported: 6 response_body;
    }
    FAULT_DELAY = "envoy.extensions.filters.common.fault.v3.FaultDelay" {
        kept: 3 fixed_delay, 4 percentage > FRACTIONAL_PERCENT, 5 header_delay;
    }
    CORS = "envoy.extensions.filters.http.cors.v3.Cors" {
    }
    CORS_CORS_POLICY = "envoy.extensions.filters.http.cors.v3.CorsPolicy" {
        kept: 1 allow_origin_string_match > STRING_MATCHER, 2 allow_methods, 3 allow_headers, 4 expose_headers, 5 max_age,
            6 allow_credentials;
        reported: 7 filter_enabled, 8 shadow_enabled, 9 allow_private_network_access,
            10 forward_not_matching_preflights;
    }
    GRPC_STATS_FILTER_CONFIG = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig" {
        ignored: 1 emit_filter_state, 2 individual_method_stats_allowlist, 3 stats_for_all_methods,
            4 enable_upstream_stats, 5 replace_dots_in_grpc_service_name;
    }
    STATEFUL_SESSION = "envoy.extensions.filters.http.stateful_session.v3.StatefulSession" {
        kept: 1 session_state > TYPED_EXTENSION_CONFIG, 2 strict;
        reported: 3 stat_prefix, 4 status_on_strict_destination_not_found;
    }
    COOKIE_BASED_SESSION_STATE = "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState" {
        kept: 1 cookie > COOKIE;
    }
    COOKIE = "envoy.type.http.v3.Cookie" {
        kept: 1 name, 2 ttl, 3 path;
        reported: 4 attributes;
    }
    HEADER_BASED_SESSION_STATE = "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState" {
        kept: 1 name;
    }
    STATEFUL_SESSION_PER_ROUTE = "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute" {
        kept: 1 disabled, 2 stateful_session > STATEFUL_SESSION;
    }
}
