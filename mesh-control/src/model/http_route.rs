//! One HTTP rule of a VirtualService.

use super::base64::Base64;
use super::values::{Duration, Labels, Percent, StringMatch};
use super::virtual_service::Destination;
use serde::Deserialize;
use std::collections::BTreeMap;

/// gRPC's statuses in the order of their numbers.
pub(crate) const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Whether a header is the authority under one of its names.
pub(crate) fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

/// A rule: when it applies, and what is done.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRoute {
    /// Its name.
    pub name: String,
    /// When it applies: any of these, always if empty.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// Where requests go, by weight.
    pub route: Vec<HttpDestination>,
    /// Or where the client is sent instead.
    pub redirect: Option<Redirect>,
    /// Or what is answered at once.
    pub direct_response: Option<DirectResponse>,
    /// Or which other VirtualService decides.
    pub delegate: Option<Delegate>,
    /// What is changed of path and authority.
    pub rewrite: Option<Rewrite>,
    /// The time for the whole request; no limit if absent.
    pub timeout: Option<Duration>,
    /// When and how often to try again; as the mesh says if absent.
    pub retries: Option<Retries>,
    /// Faults to inject.
    pub fault: Option<Fault>,
    /// Where a copy goes.
    pub mirror: Option<Destination>,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
    /// The share that `mirror` gets, in whole percent: the old form.
    pub mirror_percent: Option<u32>,
    /// The share that `mirror` gets; all if absent.
    pub mirror_percentage: Option<Percent>,
    /// Which origins may ask.
    pub cors_policy: Option<Cors>,
    /// Headers to change.
    pub headers: Option<Headers>,
}

/// When a rule applies: everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpMatch {
    /// Its name, which the route's name gets appended.
    pub name: String,
    /// The path.
    pub uri: Option<StringMatch>,
    /// The scheme.
    pub scheme: Option<StringMatch>,
    /// The method.
    pub method: Option<StringMatch>,
    /// The authority.
    pub authority: Option<StringMatch>,
    /// Headers that must be there.
    pub headers: BTreeMap<String, StringMatch>,
    /// The port asked; any if 0.
    pub port: u32,
    /// Labels of the client.
    pub source_labels: Labels,
    /// Gateways passed.
    pub gateways: Vec<String>,
    /// Query parameters that must be there.
    pub query_params: BTreeMap<String, StringMatch>,
    /// Whether the case of the path matters not.
    pub ignore_uri_case: bool,
    /// Headers that must not be so.
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Namespace of the client.
    pub source_namespace: String,
    /// Prefix for statistics.
    pub stat_prefix: String,
}

/// A destination with its share and header changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HttpDestination {
    /// Where to.
    pub destination: Option<Destination>,
    /// The share against the others.
    pub weight: i32,
    /// Headers to change.
    pub headers: Option<Headers>,
}

/// Headers to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Headers {
    /// Of requests.
    pub request: HeaderOperations,
    /// Of responses.
    pub response: HeaderOperations,
}

/// What is done to headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HeaderOperations {
    /// These replace what is there.
    pub set: BTreeMap<String, String>,
    /// These come on top.
    pub add: BTreeMap<String, String>,
    /// These go.
    pub remove: Vec<String>,
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Redirect {
    /// The new path; the same if empty.
    pub uri: String,
    /// The new authority; the same if empty.
    pub authority: String,
    /// The new port.
    pub port: Option<u32>,
    /// Or where the port comes from.
    pub derive_port: Option<DerivePort>,
    /// The new scheme; the same if empty.
    pub scheme: String,
    /// The status, 301 by default.
    pub redirect_code: u32,
}

/// Where the port of a redirect comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DerivePort {
    /// The scheme's own.
    #[default]
    FromProtocolDefault,
    /// The one that was asked.
    FromRequestPort,
}

/// An answer without asking anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DirectResponse {
    /// The status.
    pub status: u32,
    /// The body.
    pub body: Option<Body>,
}

/// A body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Body {
    /// As text.
    pub string: Option<String>,
    /// Or in Base64.
    pub bytes: Option<Base64>,
}

/// Another VirtualService.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Delegate {
    /// Its name.
    pub name: String,
    /// Its namespace; the same if empty.
    pub namespace: String,
}

/// What is changed of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rewrite {
    /// Replaces the matched prefix, or the whole path where that was matched.
    pub uri: String,
    /// Replaces the authority.
    pub authority: String,
    /// Replaces parts of the path.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// A substitution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename = "RegexRewrite")]
pub struct RegexRewrite {
    /// An RE2 expression.
    #[serde(rename = "match")]
    pub pattern: String,
    /// What replaces it; `\1` is the first group.
    pub rewrite: String,
}

/// When and how often to try again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Retries {
    /// How often, not counting the first try.
    pub attempts: i32,
    /// The time for each try.
    pub per_try_timeout: Option<Duration>,
    /// On what, separated by commas; status codes are allowed.
    pub retry_on: String,
    /// Whether to leave the locality.
    pub retry_remote_localities: Option<bool>,
    /// Whether to avoid endpoints that were tried, true by default.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// The first pause.
    pub backoff: Option<Duration>,
}

/// Faults to inject.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// Waits before sending.
    pub delay: Option<FaultDelay>,
    /// Answers instead of sending.
    pub abort: Option<FaultAbort>,
}

/// A delay.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FaultDelay {
    /// The share of requests in whole percent: the old form.
    pub percent: i32,
    /// The share of requests.
    pub percentage: Option<Percent>,
    /// How long.
    pub fixed_delay: Option<Duration>,
    /// Not supported by anything.
    pub exponential_delay: Option<Duration>,
}

/// An abort.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FaultAbort {
    /// With this HTTP status.
    pub http_status: Option<i32>,
    /// Or with this gRPC status, by name.
    pub grpc_status: Option<String>,
    /// Not supported by anything.
    pub http2_error: Option<String>,
    /// The share of requests.
    pub percentage: Option<Percent>,
}

/// Where a copy of requests goes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Mirror {
    /// Where to.
    pub destination: Option<Destination>,
    /// The share of requests; all if absent.
    pub percentage: Option<Percent>,
}

/// Which origins may ask.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Cors {
    /// Origins by name: the old form.
    pub allow_origin: Vec<String>,
    /// Origins.
    pub allow_origins: Vec<StringMatch>,
    /// Methods.
    pub allow_methods: Vec<String>,
    /// Request headers.
    pub allow_headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may remember.
    pub max_age: Option<Duration>,
    /// Whether credentials may come along.
    pub allow_credentials: Option<bool>,
    /// What becomes of preflights of other origins.
    pub unmatched_preflights: Option<UnmatchedPreflights>,
}

/// What becomes of preflights of origins that are not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnmatchedPreflights {
    /// As forwarding.
    #[default]
    Unspecified,
    /// They go to the service.
    Forward,
    /// They are answered without permission.
    Ignore,
}
