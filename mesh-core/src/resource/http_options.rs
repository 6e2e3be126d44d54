//! How HTTP is spoken to the endpoints of a cluster.

use super::extension::{Config, Extension, message_name};
use super::invalid::{At, Checked, Invalid, duration, unpack};
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::upstreams::http::v3 as upstreams;
use mesh_proto::google::protobuf::Any;
use std::time::Duration;

/// How HTTP is spoken to the endpoints of a cluster. What is not there was not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpOptions {
    /// The version.
    pub version: HttpVersion,
    /// A connection without requests is closed after this time; zero is never.
    pub idle_timeout: Option<Duration>,
    /// A connection takes no new requests after this time.
    pub max_connection_duration: Option<Duration>,
    /// A connection takes so many requests; one means none is used twice.
    pub max_requests_per_connection: Option<u32>,
    /// The time that an exchange may take.
    pub max_stream_duration: Option<Duration>,
    /// Headers that a response may have.
    pub max_headers_count: Option<u32>,
    /// For connections with HTTP/2.
    pub http2: Http2Options,
    /// Whether the server name of TLS is the host of the request.
    pub auto_sni: bool,
    /// Whether the certificate has to be for the host of the request.
    pub auto_san_validation: bool,
}

/// The version of HTTP that endpoints are spoken to with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// Not said: HTTP/1.1 for Envoy, the caller's for gRPC.
    #[default]
    Unsaid,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
    /// The one with which the request came.
    Callers,
    /// What TLS negotiates.
    Negotiated,
}

/// For connections with HTTP/2. What is not there was not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Http2Options {
    /// Requests at once on a connection.
    pub max_concurrent_streams: Option<u32>,
    /// Bytes that may be under way in a stream.
    pub stream_window: Option<u32>,
    /// Bytes that may be under way on a connection.
    pub connection_window: Option<u32>,
    /// The time between pings.
    pub keepalive_interval: Option<Duration>,
    /// The time within which a ping has to be answered.
    pub keepalive_timeout: Option<Duration>,
    /// A connection that was silent for so long is pinged before it is used.
    pub keepalive_idle: Option<Duration>,
}

/// How operating systems find out that a connection is dead. What is not there is left to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Probes without an answer.
    pub probes: Option<u32>,
    /// The time without traffic before the first probe.
    pub time: Option<Duration>,
    /// The time between probes.
    pub interval: Option<Duration>,
}

impl HttpOptions {
    pub(super) fn from_proto(proto: &Cluster) -> Checked<Self> {
        // Several keys may stand for the same extension; the type tells.
        let typed = proto.typed_extension_protocol_options.iter().find(|(_, any)| is_http(any));
        match typed {
            Some((key, any)) => {
                let options = unpack(&any.value).and_then(|options| Self::from_typed(&options));
                options.at(&format!("typed_extension_protocol_options[{key}]"))
            }
            None => Self::from_fields(proto),
        }
    }

    fn from_typed(proto: &upstreams::HttpProtocolOptions) -> Checked<Self> {
        use upstreams::http_protocol_options::UpstreamProtocolOptions as Protocol;
        use upstreams::http_protocol_options::explicit_http_config::ProtocolConfig as Explicit;
        let (version, http2) = match &proto.upstream_protocol_options {
            Some(Protocol::ExplicitHttpConfig(config)) => match &config.protocol_config {
                Some(Explicit::HttpProtocolOptions(_)) => (HttpVersion::Http1, None),
                Some(Explicit::Http2ProtocolOptions(http2)) => {
                    (HttpVersion::Http2, Some((http2, "explicit_http_config")))
                }
                Some(Explicit::Http3ProtocolOptions(_)) => (HttpVersion::Http3, None),
                None => return Err(Invalid::new("is missing")).at("explicit_http_config.protocol_config"),
            },
            Some(Protocol::UseDownstreamProtocolConfig(config)) => {
                let http2 = config.http2_protocol_options.as_ref();
                (HttpVersion::Callers, http2.map(|http2| (http2, "use_downstream_protocol_config")))
            }
            Some(Protocol::AutoConfig(config)) => {
                let http2 = config.http2_protocol_options.as_ref();
                (HttpVersion::Negotiated, http2.map(|http2| (http2, "auto_config")))
            }
            None => (HttpVersion::Unsaid, None),
        };
        let mut options = Self { version, ..Self::default() };
        if let Some((http2, place)) = http2 {
            options.http2 = Http2Options::from_proto(http2).at("http2_protocol_options").at(place)?;
        }
        if let Some(common) = &proto.common_http_protocol_options {
            options.read_common(common).at("common_http_protocol_options")?;
        }
        if let Some(upstream) = &proto.upstream_http_protocol_options {
            (options.auto_sni, options.auto_san_validation) =
                (upstream.auto_sni, upstream.auto_san_validation);
        }
        Ok(options)
    }

    #[expect(deprecated, reason = "older control planes send these fields of the cluster")]
    fn from_fields(proto: &Cluster) -> Checked<Self> {
        let mut options = Self::default();
        if let Some(http2) = &proto.http2_protocol_options {
            options.version = HttpVersion::Http2;
            options.http2 = Http2Options::from_proto(http2).at("http2_protocol_options")?;
        } else if proto.http_protocol_options.is_some() {
            options.version = HttpVersion::Http1;
        }
        if proto.protocol_selection == 1 {
            options.version = HttpVersion::Callers;
        }
        if let Some(common) = &proto.common_http_protocol_options {
            options.read_common(common).at("common_http_protocol_options")?;
        }
        if let Some(max) = &proto.max_requests_per_connection {
            options.max_requests_per_connection = Some(max.value).filter(|max| *max != 0);
        }
        if let Some(upstream) = &proto.upstream_http_protocol_options {
            (options.auto_sni, options.auto_san_validation) =
                (upstream.auto_sni, upstream.auto_san_validation);
        }
        Ok(options)
    }

    fn read_common(&mut self, proto: &core::HttpProtocolOptions) -> Checked<()> {
        self.idle_timeout = duration(proto.idle_timeout.as_ref()).at("idle_timeout")?;
        self.max_connection_duration =
            duration(proto.max_connection_duration.as_ref()).at("max_connection_duration")?;
        self.max_stream_duration = duration(proto.max_stream_duration.as_ref()).at("max_stream_duration")?;
        self.max_headers_count = proto.max_headers_count.as_ref().map(|max| max.value);
        let max = proto.max_requests_per_connection.as_ref().map(|max| max.value);
        self.max_requests_per_connection = max.filter(|max| *max != 0);
        Ok(())
    }
}

impl Http2Options {
    fn from_proto(proto: &core::Http2ProtocolOptions) -> Checked<Self> {
        let keepalive = proto.connection_keepalive.unwrap_or_default();
        let time = |value: Option<&_>, name: &str| duration(value).at(name).at("connection_keepalive");
        Ok(Self {
            max_concurrent_streams: proto.max_concurrent_streams.as_ref().map(|max| max.value),
            stream_window: proto.initial_stream_window_size.as_ref().map(|size| size.value),
            connection_window: proto.initial_connection_window_size.as_ref().map(|size| size.value),
            keepalive_interval: time(keepalive.interval.as_ref(), "interval")?,
            keepalive_timeout: time(keepalive.timeout.as_ref(), "timeout")?,
            keepalive_idle: time(keepalive.connection_idle_interval.as_ref(), "connection_idle_interval")?,
        })
    }
}

impl TcpKeepalive {
    pub(super) fn from_proto(proto: &core::TcpKeepalive) -> Self {
        let seconds = |value: u32| Duration::from_secs(u64::from(value));
        Self {
            probes: proto.keepalive_probes.as_ref().map(|number| number.value),
            time: proto.keepalive_time.as_ref().map(|time| seconds(time.value)),
            interval: proto.keepalive_interval.as_ref().map(|time| seconds(time.value)),
        }
    }
}

fn is_http(any: &Any) -> bool {
    message_name(&any.type_url) == Extension::HttpProtocolOptions.message()
        && Config::of(any).is_ok_and(|config| config.bytes.is_some())
}
