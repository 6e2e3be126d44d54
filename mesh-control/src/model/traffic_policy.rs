//! The traffic policy of a DestinationRule, and its parts.

use super::values::{Duration, PortSelector, Unused};
use serde::Deserialize;
use std::collections::BTreeMap;

/// How a service is called.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficPolicy {
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left alone. Its presence is what lets localities fail over.
    pub outlier_detection: Option<Outlier>,
    /// TLS towards the endpoints.
    pub tls: Option<Tls>,
    /// What holds for single ports instead.
    pub port_level_settings: Vec<PortPolicy>,
    /// A tunnel through a proxy.
    pub tunnel: Option<Unused<Tunnel>>,
    /// The PROXY protocol.
    pub proxy_protocol: Option<Unused<ProxyProtocol>>,
    /// How many tries may be under way.
    pub retry_budget: Option<Unused<RetryBudget>>,
}

impl TrafficPolicy {
    /// What holds for a port instead, if anything is said for it.
    #[must_use]
    pub fn of_port(&self, number: u32) -> Option<&PortPolicy> {
        self.port_level_settings.iter().find(|it| it.port.is_some_and(|port| port.number == number))
    }
}

/// What holds for one port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortPolicy {
    /// The port.
    pub port: Option<PortSelector>,
    /// How an endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left alone.
    pub outlier_detection: Option<Outlier>,
    /// TLS towards the endpoints.
    pub tls: Option<Tls>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LoadBalancer {
    /// By a simple algorithm.
    pub simple: Option<Simple>,
    /// Or by a hash of the request.
    pub consistent_hash: Option<ConsistentHash>,
    /// By locality before that.
    pub locality_lb_setting: Option<LocalityLb>,
    /// How long a new endpoint is spared: the old form.
    pub warmup_duration_secs: Option<Unused<Duration>>,
    /// How a new endpoint is spared.
    pub warmup: Option<Unused<Warmup>>,
}

/// A simple algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Simple {
    /// The mesh decides.
    #[default]
    Unspecified,
    /// An old name of `LEAST_REQUEST`.
    LeastConn,
    /// At random.
    Random,
    /// Where the client was going.
    Passthrough,
    /// One after the other.
    RoundRobin,
    /// The less busy one of two.
    LeastRequest,
}

/// A choice by a hash of the request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConsistentHash {
    /// Of this header.
    pub http_header_name: Option<String>,
    /// Of this cookie.
    pub http_cookie: Option<HttpCookie>,
    /// Of the client's address.
    pub use_source_ip: Option<bool>,
    /// Of this query parameter.
    pub http_query_parameter_name: Option<String>,
    /// By a ring.
    pub ring_hash: Option<RingHash>,
    /// By Maglev's table.
    pub maglev: Option<Maglev>,
    /// The size of the ring: the old form.
    pub minimum_ring_size: u64,
}

/// A cookie to hash.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HttpCookie {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// How long a generated one lives; only with it is one generated.
    pub ttl: Option<Duration>,
    /// Its attributes.
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CookieAttribute {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RingHash {
    /// The least number of places on it, 1024 if 0.
    pub minimum_ring_size: u64,
}

/// Maglev's table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Maglev {
    /// Its size, a prime number.
    pub table_size: u64,
}

/// A choice by locality.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LocalityLb {
    /// Shares by the client's locality.
    pub distribute: Vec<Distribute>,
    /// Which region takes over from which.
    pub failover: Vec<Failover>,
    /// Labels by which endpoints near the client are known, most important first.
    pub failover_priority: Vec<String>,
    /// Whether it holds; true by default.
    pub enabled: Option<bool>,
}

/// Shares for clients of one locality.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Distribute {
    /// The client's locality, such as `us-east/*`.
    pub from: String,
    /// The share of each locality, 100 in sum.
    pub to: BTreeMap<String, u32>,
}

/// Which region takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Failover {
    /// From this region.
    pub from: String,
    /// To that one.
    pub to: String,
}

/// How a new endpoint is spared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Warmup {
    /// How long.
    pub duration: Option<Duration>,
    /// What it gets at first, in percent.
    pub minimum_percent: Option<f64>,
    /// How its share grows.
    pub aggression: Option<f64>,
}

/// Limits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ConnectionPool {
    /// Of connections.
    pub tcp: Option<Unused<TcpPool>>,
    /// Of requests.
    pub http: Option<HttpPool>,
}

/// Limits of connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpPool {
    /// How many.
    pub max_connections: i32,
    /// How long connecting may take.
    pub connect_timeout: Option<Duration>,
    /// Probes of idle connections.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How long one may live.
    pub max_connection_duration: Option<Duration>,
    /// How long one may be idle.
    pub idle_timeout: Option<Duration>,
}

/// Probes of idle connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TcpKeepalive {
    /// How many unanswered ones end the connection.
    pub probes: u32,
    /// How long it is idle before the first.
    pub time: Option<Duration>,
    /// The time between two.
    pub interval: Option<Duration>,
}

/// Limits of requests.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpPool {
    /// How many may wait for a connection.
    pub http1_max_pending_requests: Option<Unused<i32>>,
    /// How many may be under way.
    pub http2_max_requests: i32,
    /// How many one connection may serve.
    pub max_requests_per_connection: Option<Unused<i32>>,
    /// How many retries may be under way.
    pub max_retries: Option<Unused<i32>>,
    /// How long a connection without requests is kept.
    pub idle_timeout: Option<Unused<Duration>>,
    /// Whether HTTP/1.1 becomes HTTP/2.
    pub h2_upgrade_policy: Option<Unused<H2Upgrade>>,
    /// Whether the client's protocol is kept.
    pub use_client_protocol: Option<Unused<bool>>,
    /// How many streams a connection may have.
    pub max_concurrent_streams: Option<Unused<i32>>,
    /// Pings on idle connections.
    pub http2_keep_alive: Option<Unused<Http2KeepAlive>>,
}

/// Pings on idle connections.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Http2KeepAlive {
    /// The time between two.
    pub interval: Option<Duration>,
    /// How long the answer may take.
    pub timeout: Option<Duration>,
}

/// Whether HTTP/1.1 becomes HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2Upgrade {
    /// The mesh decides.
    #[default]
    Default,
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// When an endpoint is left alone. Only its presence is acted on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Outlier {
    /// Failures in a row: the old form.
    pub consecutive_errors: Option<Unused<i32>>,
    /// Whether failures to connect are counted apart.
    pub split_external_local_origin_errors: Option<Unused<bool>>,
    /// Failures to connect in a row.
    pub consecutive_local_origin_failures: Option<Unused<u32>>,
    /// Gateway failures in a row.
    pub consecutive_gateway_errors: Option<Unused<u32>>,
    /// Failures in a row.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<Unused<u32>>,
    /// How often ejected endpoints are looked at.
    pub interval: Option<Unused<Duration>>,
    /// The shortest ejection.
    pub base_ejection_time: Option<Unused<Duration>>,
    /// How many may be ejected, in percent.
    pub max_ejection_percent: Option<Unused<i32>>,
    /// How many must be well for any of this to hold, in percent.
    pub min_health_percent: Option<Unused<i32>>,
    /// Which statuses are failures.
    pub outlier_detection_http_error_codes: Option<Unused<Vec<u32>>>,
}

/// TLS towards the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tls {
    /// Which kind.
    pub mode: TlsMode,
    /// The file of our certificate.
    pub client_certificate: String,
    /// The file of our key.
    pub private_key: String,
    /// The file of the authorities to trust.
    pub ca_certificates: String,
    /// The secret that holds all of these.
    pub credential_name: String,
    /// Names to expect in the certificate of the endpoint.
    pub subject_alt_names: Vec<String>,
    /// The name to ask for.
    pub sni: String,
    /// Whether any certificate is good.
    pub insecure_skip_verify: Option<bool>,
    /// The file of revoked certificates.
    pub ca_crl: String,
}

/// A kind of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// None.
    #[default]
    Disable,
    /// The server shows a certificate.
    Simple,
    /// Both do.
    Mutual,
    /// Both show those of the mesh.
    IstioMutual,
}

/// A tunnel through a proxy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tunnel {
    /// `CONNECT` or `POST`.
    pub protocol: String,
    /// Where it leads.
    pub target_host: String,
    /// The port there.
    pub target_port: u32,
}

/// The PROXY protocol.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ProxyProtocol {
    /// Its version.
    pub version: ProxyVersion,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ProxyVersion {
    /// As text.
    #[default]
    V1,
    /// In binary.
    V2,
}

/// How many tries may be under way.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RetryBudget {
    /// Against the requests under way, in percent.
    pub percent: Option<f64>,
    /// But at least so many.
    pub min_retry_concurrency: Option<u32>,
    /// Over this time.
    pub budget_interval: Option<Duration>,
}
