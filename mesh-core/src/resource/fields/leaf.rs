//! What several messages have in them: addresses, conditions, shares.

use super::messages;

messages! {
    ADDRESS = "envoy.config.core.v3.Address" {
        acted: 1 socket_address > SOCKET_ADDRESS, 2 pipe > PIPE, 3 envoy_internal_address;
    }
    SOCKET_ADDRESS = "envoy.config.core.v3.SocketAddress" {
        acted: 2 address, 3 port_value;
        reported: 6 ipv4_compat, 7 network_namespace_filepath;
        refused: 1 protocol, 4 named_port, 5 resolver_name;
    }
    PIPE = "envoy.config.core.v3.Pipe" {
        acted: 1 path;
        reported: 2 mode;
    }
    CIDR_RANGE = "envoy.config.core.v3.CidrRange" {
        acted: 1 address_prefix, 2 prefix_len;
    }
    CONFIG_SOURCE = "envoy.config.core.v3.ConfigSource" {
        acted: 3 ads, 5 self;
        refused: 1 path, 2 api_config_source, 8 path_config_source;
        ignored: 4 initial_fetch_timeout, 6 resource_api_version, 7 authorities;
    }
    DATA_SOURCE = "envoy.config.core.v3.DataSource" {
        acted: 1 filename, 2 inline_bytes, 3 inline_string, 4 environment_variable;
        reported: 5 watched_directory;
    }
    HEADER_VALUE = "envoy.config.core.v3.HeaderValue" {
        acted: 1 key, 2 value, 3 raw_value;
    }
    RUNTIME_DOUBLE = "envoy.config.core.v3.RuntimeDouble" {
        acted: 1 default_value;
        ignored: 2 runtime_key;
    }
    RUNTIME_FRACTIONAL_PERCENT = "envoy.config.core.v3.RuntimeFractionalPercent" {
        acted: 1 default_value > FRACTIONAL_PERCENT;
        ignored: 2 runtime_key;
    }
    FRACTIONAL_PERCENT = "envoy.type.v3.FractionalPercent" {
        acted: 1 numerator, 2 denominator;
    }
    STRING_MATCHER = "envoy.type.matcher.v3.StringMatcher" {
        acted: 1 exact, 2 prefix, 3 suffix, 5 safe_regex > REGEX_MATCHER, 6 ignore_case, 7 contains;
        refused: 8 custom;
    }
    REGEX_MATCHER = "envoy.type.matcher.v3.RegexMatcher" {
        acted: 2 regex;
        ignored: 1 google_re2;
    }
    REGEX_MATCH_AND_SUBSTITUTE = "envoy.type.matcher.v3.RegexMatchAndSubstitute" {
        acted: 1 pattern > REGEX_MATCHER, 2 substitution;
    }
    HEADER_MATCHER = "envoy.config.route.v3.HeaderMatcher" {
        acted: 1 name, 4 exact_match, 6 range_match, 7 present_match, 8 invert_match, 9 prefix_match,
            10 suffix_match, 11 safe_regex_match > REGEX_MATCHER, 12 contains_match,
            13 string_match > STRING_MATCHER, 14 treat_missing_header_as_empty;
    }
    QUERY_PARAMETER_MATCHER = "envoy.config.route.v3.QueryParameterMatcher" {
        acted: 1 name, 5 string_match > STRING_MATCHER, 6 present_match;
    }
}
