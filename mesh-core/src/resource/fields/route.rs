//! Routes.

use super::endpoint::METADATA;
use super::leaf::{
    DATA_SOURCE, FRACTIONAL_PERCENT, HEADER_MATCHER, HEADER_VALUE, QUERY_PARAMETER_MATCHER,
    REGEX_MATCH_AND_SUBSTITUTE, REGEX_MATCHER, RUNTIME_FRACTIONAL_PERCENT, STRING_MATCHER,
};
use super::{ANY, ANY_MAP, messages};

messages! {
    ROUTE_CONFIGURATION = "envoy.config.route.v3.RouteConfiguration" {
        acted: 1 name, 2 virtual_hosts > VIRTUAL_HOST, 12 cluster_specifier_plugins,
            14 ignore_port_in_host_matching;
        kept: 4 response_headers_to_add > HEADER_VALUE_OPTION, 5 response_headers_to_remove,
            6 request_headers_to_add > HEADER_VALUE_OPTION, 8 request_headers_to_remove,
            10 most_specific_header_mutations_wins,
            13 request_mirror_policies > ROUTE_ACTION_REQUEST_MIRROR_POLICY,
            16 typed_per_filter_config > ANY_MAP, 17 metadata > METADATA;
        reported: 9 vhds, 11 max_direct_response_body_size_bytes,
            15 ignore_path_parameters_in_path_matching, 18 vhost_header, 19 route_specifiers;
        ignored: 3 internal_only_headers, 7 validate_clusters;
    }
    VIRTUAL_HOST = "envoy.config.route.v3.VirtualHost" {
        acted: 1 name, 2 domains, 3 routes > ROUTE, 16 retry_policy > RETRY_POLICY;
        kept: 7 request_headers_to_add > HEADER_VALUE_OPTION, 8 cors > ROUTE_CORS_POLICY,
            10 response_headers_to_add > HEADER_VALUE_OPTION, 11 response_headers_to_remove,
            13 request_headers_to_remove, 14 include_request_attempt_count,
            15 typed_per_filter_config > ANY_MAP, 17 hedge_policy > HEDGE_POLICY,
            18 per_request_buffer_limit_bytes, 19 include_attempt_count_in_response,
            22 request_mirror_policies > ROUTE_ACTION_REQUEST_MIRROR_POLICY, 24 metadata > METADATA,
            25 request_body_buffer_limit;
        reported: 4 require_tls, 5 virtual_clusters, 6 rate_limits, 20 retry_policy_typed_config,
            21 matcher, 23 include_is_timeout_retry_header, 26 route_specifiers;
    }
    ROUTE = "envoy.config.route.v3.Route" {
        acted: 1 match > ROUTE_MATCH, 2 route > ROUTE_ACTION, 4 metadata > METADATA, 14 name,
            17 filter_action, 18 non_forwarding_action;
        kept: 3 redirect > REDIRECT_ACTION, 5 decorator > DECORATOR,
            7 direct_response > DIRECT_RESPONSE_ACTION, 9 request_headers_to_add > HEADER_VALUE_OPTION,
            10 response_headers_to_add > HEADER_VALUE_OPTION, 11 response_headers_to_remove,
            12 request_headers_to_remove, 13 typed_per_filter_config > ANY_MAP,
            16 per_request_buffer_limit_bytes, 20 request_body_buffer_limit;
        reported: 15 tracing, 21 route_specifiers;
        ignored: 19 stat_prefix;
    }
    ROUTE_MATCH = "envoy.config.route.v3.RouteMatch" {
        acted: 1 prefix, 2 path, 4 case_sensitive, 6 headers > HEADER_MATCHER,
            7 query_parameters > QUERY_PARAMETER_MATCHER, 8 grpc,
            9 runtime_fraction > RUNTIME_FRACTIONAL_PERCENT, 10 safe_regex > REGEX_MATCHER, 11 tls_context, 13 dynamic_metadata,
            14 path_separated_prefix, 16 filter_state, 17 cookies;
        refused: 12 connect_matcher, 15 path_match_policy;
    }
    ROUTE_ACTION = "envoy.config.route.v3.RouteAction" {
        acted: 1 cluster, 2 cluster_header, 3 weighted_clusters > WEIGHTED_CLUSTER, 8 timeout, 9 retry_policy > RETRY_POLICY,
            23 max_grpc_timeout, 36 max_stream_duration > ROUTE_ACTION_MAX_STREAM_DURATION,
            37 cluster_specifier_plugin, 39 inline_cluster_specifier_plugin;
        kept: 4 metadata_match > METADATA, 5 prefix_rewrite, 6 host_rewrite_literal, 7 auto_host_rewrite,
            11 priority, 15 hash_policy > ROUTE_ACTION_HASH_POLICY, 17 cors > ROUTE_CORS_POLICY,
            20 cluster_not_found_response_code, 24 idle_timeout, 27 hedge_policy > HEDGE_POLICY,
            29 host_rewrite_header, 30 request_mirror_policies > ROUTE_ACTION_REQUEST_MIRROR_POLICY,
            32 regex_rewrite > REGEX_MATCH_AND_SUBSTITUTE,
            35 host_rewrite_path_regex > REGEX_MATCH_AND_SUBSTITUTE, 38 append_x_forwarded_host, 44 host_rewrite,
            45 path_rewrite;
        reported: 13 rate_limits, 14 include_vh_rate_limits, 25 upgrade_configs,
            26 internal_redirect_action, 28 grpc_timeout_offset, 31 max_internal_redirects,
            33 retry_policy_typed_config, 34 internal_redirect_policy,
            40 early_data_policy, 41 path_rewrite_policy, 42 flush_timeout;
    }
    ROUTE_ACTION_MAX_STREAM_DURATION = "envoy.config.route.v3.RouteAction.MaxStreamDuration" {
        acted: 1 max_stream_duration, 2 grpc_timeout_header_max;
        reported: 3 grpc_timeout_header_offset;
    }
    ROUTE_ACTION_REQUEST_MIRROR_POLICY = "envoy.config.route.v3.RouteAction.RequestMirrorPolicy" {
        kept: 1 cluster, 3 runtime_fraction > RUNTIME_FRACTIONAL_PERCENT, 6 disable_shadow_host_suffix_append, 8 host_rewrite_literal;
        reported: 4 trace_sampled, 5 cluster_header, 7 request_headers_mutations;
    }
    ROUTE_ACTION_HASH_POLICY = "envoy.config.route.v3.RouteAction.HashPolicy" {
        kept: 1 header > HASH_POLICY_HEADER, 2 cookie > HASH_POLICY_COOKIE,
            3 connection_properties > HASH_POLICY_CONNECTION_PROPERTIES, 4 terminal,
            5 query_parameter > HASH_POLICY_QUERY_PARAMETER, 6 filter_state > HASH_POLICY_FILTER_STATE;
    }
    HASH_POLICY_HEADER = "envoy.config.route.v3.RouteAction.HashPolicy.Header" {
        kept: 1 header_name, 2 regex_rewrite > REGEX_MATCH_AND_SUBSTITUTE;
    }
    HASH_POLICY_COOKIE = "envoy.config.route.v3.RouteAction.HashPolicy.Cookie" {
        kept: 1 name, 2 ttl, 3 path;
        reported: 4 attributes;
    }
    HASH_POLICY_CONNECTION_PROPERTIES = "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties" {
        kept: 1 source_ip;
    }
    HASH_POLICY_QUERY_PARAMETER = "envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter" {
        kept: 1 name;
    }
    HASH_POLICY_FILTER_STATE = "envoy.config.route.v3.RouteAction.HashPolicy.FilterState" {
        kept: 1 key;
    }
    WEIGHTED_CLUSTER = "envoy.config.route.v3.WeightedCluster" {
        acted: 1 clusters > WEIGHTED_CLUSTER_CLUSTER_WEIGHT;
        reported: 4 header_name, 5 use_hash_policy;
        ignored: 2 runtime_key_prefix, 3 total_weight;
    }
    WEIGHTED_CLUSTER_CLUSTER_WEIGHT = "envoy.config.route.v3.WeightedCluster.ClusterWeight" {
        acted: 1 name, 2 weight;
        kept: 3 metadata_match > METADATA, 4 request_headers_to_add > HEADER_VALUE_OPTION,
            5 response_headers_to_add > HEADER_VALUE_OPTION, 6 response_headers_to_remove,
            9 request_headers_to_remove, 10 typed_per_filter_config > ANY_MAP, 11 host_rewrite_literal;
        refused: 12 cluster_header;
    }
    RETRY_POLICY = "envoy.config.route.v3.RetryPolicy" {
        acted: 1 retry_on, 2 num_retries, 3 per_try_timeout,
            5 retry_host_predicate > RETRY_POLICY_RETRY_HOST_PREDICATE, 7 retriable_status_codes,
            8 retry_back_off > RETRY_POLICY_RETRY_BACK_OFF;
        kept: 4 retry_priority > RETRY_POLICY_RETRY_PRIORITY, 6 host_selection_retry_max_attempts,
            9 retriable_headers > HEADER_MATCHER, 10 retriable_request_headers > HEADER_MATCHER,
            11 rate_limited_retry_back_off > RETRY_POLICY_RATE_LIMITED_RETRY_BACK_OFF,
            13 per_try_idle_timeout;
        reported: 12 retry_options_predicates, 14 refresh_cluster_on_retry;
    }
    RETRY_POLICY_RETRY_BACK_OFF = "envoy.config.route.v3.RetryPolicy.RetryBackOff" {
        acted: 1 base_interval, 2 max_interval;
    }
    RETRY_POLICY_RATE_LIMITED_RETRY_BACK_OFF = "envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff" {
        kept: 1 reset_headers > RETRY_POLICY_RESET_HEADER, 2 max_interval;
    }
    RETRY_POLICY_RESET_HEADER = "envoy.config.route.v3.RetryPolicy.ResetHeader" {
        kept: 1 name, 2 format;
    }
    RETRY_POLICY_RETRY_HOST_PREDICATE = "envoy.config.route.v3.RetryPolicy.RetryHostPredicate" {
        acted: 1 name, 3 typed_config > ANY;
    }
    RETRY_POLICY_RETRY_PRIORITY = "envoy.config.route.v3.RetryPolicy.RetryPriority" {
        kept: 1 name, 3 typed_config > ANY;
    }
    PREVIOUS_HOSTS_PREDICATE = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate" {
    }
    OMIT_CANARY_HOSTS_PREDICATE = "envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate" {
    }
    PREVIOUS_PRIORITIES_CONFIG = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig" {
        reported: 1 update_frequency;
    }
    HEDGE_POLICY = "envoy.config.route.v3.HedgePolicy" {
        kept: 1 initial_requests, 2 additional_request_chance > FRACTIONAL_PERCENT, 3 hedge_on_per_try_timeout;
    }
    REDIRECT_ACTION = "envoy.config.route.v3.RedirectAction" {
        kept: 1 host_redirect, 2 path_redirect, 3 response_code, 4 https_redirect, 5 prefix_rewrite,
            6 strip_query, 7 scheme_redirect, 8 port_redirect, 9 regex_rewrite > REGEX_MATCH_AND_SUBSTITUTE, 10 path_rewrite;
    }
    DIRECT_RESPONSE_ACTION = "envoy.config.route.v3.DirectResponseAction" {
        kept: 1 status, 2 body > DATA_SOURCE;
        reported: 3 body_format;
    }
    DECORATOR = "envoy.config.route.v3.Decorator" {
        kept: 1 operation;
        reported: 2 propagate;
    }
    ROUTE_CORS_POLICY = "envoy.config.route.v3.CorsPolicy" {
        kept: 2 allow_methods, 3 allow_headers, 4 expose_headers, 5 max_age, 6 allow_credentials,
            11 allow_origin_string_match > STRING_MATCHER;
        reported: 9 filter_enabled, 10 shadow_enabled, 12 allow_private_network_access,
            13 forward_not_matching_preflights;
    }
    ROUTE_FILTER_CONFIG = "envoy.config.route.v3.FilterConfig" {
        kept: 1 config > ANY, 2 is_optional, 3 disabled;
    }
    HEADER_VALUE_OPTION = "envoy.config.core.v3.HeaderValueOption" {
        kept: 1 header > HEADER_VALUE, 2 append, 3 append_action, 4 keep_empty_value;
    }
}
