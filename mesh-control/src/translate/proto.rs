//! Small protobuf values.

use crate::model::values::{Duration, StringMatch};
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::r#type::matcher::v3::{self as matcher, string_matcher::MatchPattern};
use mesh_proto::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use mesh_proto::google::protobuf::{self, value};

pub(super) fn duration(duration: Duration) -> protobuf::Duration {
    let nanos = duration.as_nanos();
    // Durations are less than 300 years, whose seconds fit.
    protobuf::Duration { seconds: (nanos / 1_000_000_000) as i64, nanos: (nanos % 1_000_000_000) as i32 }
}

pub(super) fn uint32(value: u32) -> protobuf::UInt32Value {
    protobuf::UInt32Value { value }
}

pub(super) fn uint64(value: u64) -> protobuf::UInt64Value {
    protobuf::UInt64Value { value }
}

pub(super) fn boolean(value: bool) -> protobuf::BoolValue {
    protobuf::BoolValue { value }
}

/// A struct of strings.
pub(super) fn strings<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> protobuf::Struct {
    let value = |text| protobuf::Value { kind: Some(value::Kind::StringValue(text)) };
    protobuf::Struct { fields: fields.into_iter().map(|(key, text)| (key.to_owned(), value(text))).collect() }
}

/// A share as it is written, 0 to 100.
pub(super) fn percent(value: f64) -> FractionalPercent {
    FractionalPercent { numerator: (value * 10_000.0) as u32, denominator: DenominatorType::Million.into() }
}

/// Whole percents.
pub(super) fn whole_percent(value: u32) -> FractionalPercent {
    FractionalPercent { numerator: value, denominator: DenominatorType::Hundred.into() }
}

pub(super) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        ..Default::default()
    }
}

pub(super) fn socket_address(address: String, port: u32) -> core::Address {
    core::Address {
        address: Some(core::address::Address::SocketAddress(core::SocketAddress {
            address,
            port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port)),
            ..Default::default()
        })),
    }
}

pub(super) fn regex(regex: &str) -> matcher::RegexMatcher {
    matcher::RegexMatcher { regex: regex.to_owned(), ..Default::default() }
}

/// How a text is compared; `None` where it only has to be there.
pub(super) fn string_matcher(text: &StringMatch) -> Option<matcher::StringMatcher> {
    let pattern = if let Some(exact) = &text.exact {
        MatchPattern::Exact(exact.clone())
    } else if let Some(prefix) = &text.prefix {
        MatchPattern::Prefix(prefix.clone())
    } else {
        // Not an expression, but a way to write presence.
        let expression = text.regex.as_deref().filter(|regex| *regex != "*")?;
        MatchPattern::SafeRegex(regex(expression))
    };
    Some(matcher::StringMatcher { match_pattern: Some(pattern), ..Default::default() })
}
