//! Which calls a server accepts.

use super::leaf::{CIDR_RANGE, HEADER_MATCHER, STRING_MATCHER};
use super::messages;

messages! {
    RBAC_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC" {
        kept: 1 rules > RBAC_RULES;
        reported: 2 shadow_rules, 3 shadow_rules_stat_prefix, 5 shadow_matcher, 6 rules_stat_prefix,
            7 track_per_rule_stats;
        refused: 4 matcher;
    }
    RBAC_PER_ROUTE = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute" {
        kept: 2 rbac > RBAC_RBAC;
    }
    RBAC_RULES = "envoy.config.rbac.v3.RBAC" {
        kept: 1 action, 2 policies > RBAC_RULES_POLICIES;
        reported: 3 audit_logging_options;
    }
    RBAC_RULES_POLICIES = "envoy.config.rbac.v3.RBAC.PoliciesEntry" {
        kept: 1 key, 2 value > POLICY;
    }
    POLICY = "envoy.config.rbac.v3.Policy" {
        kept: 1 permissions > PERMISSION, 2 principals > PRINCIPAL;
        reported: 5 cel_config;
        refused: 3 condition, 4 checked_condition;
    }
    PERMISSION = "envoy.config.rbac.v3.Permission" {
        kept: 1 and_rules > PERMISSION_SET, 2 or_rules > PERMISSION_SET, 3 any,
            4 header > HEADER_MATCHER, 5 destination_ip > CIDR_RANGE, 6 destination_port,
            7 metadata > METADATA_MATCHER, 8 not_rule > PERMISSION,
            9 requested_server_name > STRING_MATCHER, 10 url_path > PATH_MATCHER,
            11 destination_port_range, 14 sourced_metadata;
        refused: 12 matcher, 13 uri_template;
    }
    PERMISSION_SET = "envoy.config.rbac.v3.Permission.Set" {
        kept: 1 rules > PERMISSION;
    }
    PRINCIPAL = "envoy.config.rbac.v3.Principal" {
        kept: 1 and_ids > PRINCIPAL_SET, 2 or_ids > PRINCIPAL_SET, 3 any,
            4 authenticated > PRINCIPAL_AUTHENTICATED, 5 source_ip > CIDR_RANGE,
            6 header > HEADER_MATCHER, 7 metadata > METADATA_MATCHER, 8 not_id > PRINCIPAL,
            9 url_path > PATH_MATCHER, 10 direct_remote_ip > CIDR_RANGE, 11 remote_ip > CIDR_RANGE,
            12 filter_state > FILTER_STATE_MATCHER, 13 sourced_metadata;
        refused: 14 custom;
    }
    PRINCIPAL_SET = "envoy.config.rbac.v3.Principal.Set" {
        kept: 1 ids > PRINCIPAL;
    }
    PRINCIPAL_AUTHENTICATED = "envoy.config.rbac.v3.Principal.Authenticated" {
        kept: 2 principal_name > STRING_MATCHER;
    }
    PATH_MATCHER = "envoy.type.matcher.v3.PathMatcher" {
        kept: 1 path > STRING_MATCHER;
    }
    METADATA_MATCHER = "envoy.type.matcher.v3.MetadataMatcher" {
        kept: 4 invert;
        ignored: 1 filter, 2 path, 3 value;
    }
    FILTER_STATE_MATCHER = "envoy.type.matcher.v3.FilterStateMatcher" {
        kept: 1 key, 2 string_match > STRING_MATCHER;
        refused: 3 address_match;
    }
}
