//! Transport sockets: whether and how connections are secured.

use super::extension::{Config, Extension};
use super::invalid::{At, Checked, Invalid};
use super::metadata::{self, Metadata};
use super::providers::CertificateProviders;
use super::strictness::Strictness;
use super::tls_context::TlsContext;
use mesh_proto::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use mesh_proto::envoy::config::core::v3::{TransportSocket as Proto, transport_socket::ConfigType};
use mesh_proto::envoy::extensions::transport_sockets::http_11_proxy::v3::Http11ProxyUpstreamTransport;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What endpoints' metadata are compared with the criteria of transport sockets under.
const SOCKET_MATCH: &str = "envoy.transport_socket_match";
/// The longest server name that TLS can carry (gRFC A101).
const MAX_SNI: usize = 255;

/// What becomes of a socket that is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    /// It refuses the cluster (gRFC A29).
    Refused,
    /// It fails the connections that need it; others do not. istiod adds one for ambient workloads to every cluster.
    Kept,
}

/// Whether and how the connections to a cluster's endpoints are secured.
#[derive(Clone, Debug, Default)]
pub struct TransportSockets {
    /// By the metadata of the endpoint; the first whose criteria it meets counts (Istio's automatic mTLS: `tlsMode`).
    pub matches: Vec<SocketMatch>,
    /// For the other endpoints.
    pub otherwise: TransportSocket,
}

/// How the connections to some endpoints are secured.
#[derive(Clone, Debug)]
pub struct SocketMatch {
    /// Its name.
    pub name: Arc<str>,
    /// What the endpoint's metadata have to hold; nothing is all endpoints.
    pub criteria: Map<String, Value>,
    /// How connections are secured.
    pub socket: TransportSocket,
}

/// How a connection is secured.
#[derive(Clone, Debug, Default)]
pub enum TransportSocket {
    /// Not at all.
    #[default]
    Plain,
    /// By TLS.
    Tls(Arc<UpstreamTls>),
    /// In a way that is not known here, and which: such connections fail.
    Unsupported(Arc<str>),
}

/// TLS to an endpoint.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// Certificates, and which of the peer's are accepted.
    pub context: TlsContext,
    /// The server name to ask for; none if it is empty.
    pub sni: Option<Arc<str>>,
    /// Whether the server name is that of the endpoint, where that has one.
    pub auto_host_sni: bool,
    /// Whether the certificate has to be for the server name.
    pub auto_sni_san_validation: bool,
}

/// TLS from a caller.
#[derive(Clone, Debug)]
pub struct DownstreamTls {
    /// Certificates, and which of the peer's are accepted.
    pub context: TlsContext,
    /// Whether callers need a certificate.
    pub require_client_certificate: bool,
    /// Whether callers need to name a server.
    pub require_sni: bool,
}

impl TransportSockets {
    pub(super) fn from_proto(
        matches: &[TransportSocketMatch],
        otherwise: Option<&Proto>,
        providers: &CertificateProviders,
        strictness: Strictness,
    ) -> Checked<Self> {
        let socket = |proto, unknown| {
            TransportSocket::from_proto(proto, providers, strictness, unknown).at("transport_socket")
        };
        let matches = matches.iter().enumerate().map(|(index, proto)| {
            let read = || {
                Ok(SocketMatch {
                    name: proto.name.as_str().into(),
                    criteria: proto.r#match.clone().map(metadata::map).unwrap_or_default(),
                    socket: socket(proto.transport_socket.as_ref(), Unknown::Kept)?,
                })
            };
            read().at_index("transport_socket_matches", index)
        });
        let matches = matches.collect::<Checked<_>>()?;
        Ok(Self { matches, otherwise: socket(otherwise, Unknown::Refused)? })
    }

    /// How connections to an endpoint with these metadata are secured.
    #[must_use]
    pub fn select(&self, metadata: Option<&Metadata>) -> &TransportSocket {
        let labels = metadata.and_then(|metadata| metadata.of(SOCKET_MATCH));
        let meets = |found: &&SocketMatch| {
            let mut criteria = found.criteria.iter();
            criteria.all(|(key, wanted)| labels.is_some_and(|labels| labels.get(key) == Some(wanted)))
        };
        self.matches.iter().find(meets).map_or(&self.otherwise, |found| &found.socket)
    }
}

impl TransportSocket {
    fn from_proto(
        proto: Option<&Proto>,
        providers: &CertificateProviders,
        strictness: Strictness,
        unknown: Unknown,
    ) -> Checked<Self> {
        let Some(proto) = proto else { return Ok(Self::Plain) };
        let Some(ConfigType::TypedConfig(any)) = &proto.config_type else {
            return Err(Invalid::new("is missing")).at("typed_config");
        };
        let read = || {
            let config = Config::of(any)?;
            match config.extension() {
                Some(Extension::RawBuffer) => Ok(Self::Plain),
                Some(Extension::UpstreamTls) => {
                    let proto = config.decode()?;
                    // gRFC A29 refuses it. A sidecar gets it from a field that anybody may set, and who calls is told.
                    if strictness == Strictness::Lenient && accepts_anyone(&proto) {
                        let why = "TLS that accepts any certificate (insecureSkipVerify) is not supported";
                        return Ok(Self::Unsupported(why.into()));
                    }
                    Ok(Self::Tls(Arc::new(UpstreamTls::from_proto(&proto, providers)?)))
                }
                Some(Extension::Http11Proxy) => {
                    // gRFC A86: without the address of a proxy in the metadata it is the socket within. What an endpoint has there
                    // is kept, but nobody connects through it yet.
                    let proxy: Http11ProxyUpstreamTransport = config.decode()?;
                    Self::from_proto(proxy.transport_socket.as_ref(), providers, strictness, unknown)
                        .at("transport_socket")
                }
                // Istio's `proxyProtocol`: the cluster is kept, so that its failure is told to who calls it.
                extension if unknown == Unknown::Kept || extension == Some(Extension::ProxyProtocol) => {
                    Ok(Self::Unsupported(format!("{:?} is not supported", config.message).into()))
                }
                _ => Err(Invalid::new(format!("{:?} is not supported", config.message))),
            }
        };
        read().at("typed_config")
    }

    /// Why such connections fail; none if they do not for this.
    #[must_use]
    pub fn unsupported(&self) -> Option<&Arc<str>> {
        match self {
            Self::Unsupported(why) => Some(why),
            _ => None,
        }
    }

    /// Whether connections are secured by TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// Whether any certificate is accepted: all are given as those to accept, or Envoy is not told whom to accept, for which istiod
/// writes the one or the other.
fn accepts_anyone(proto: &proto::UpstreamTlsContext) -> bool {
    use proto::common_tls_context::ValidationContextType as Type;
    let Some(context) = &proto.common_tls_context else { return false };
    match &context.validation_context_type {
        Some(Type::ValidationContext(validation)) => *validation == Default::default(),
        Some(_) => false,
        None => true,
    }
}

impl UpstreamTls {
    fn from_proto(proto: &proto::UpstreamTlsContext, providers: &CertificateProviders) -> Checked<Self> {
        let context = proto.common_tls_context.as_ref().ok_or_else(|| Invalid::new("is missing"));
        if proto.sni.len() > MAX_SNI {
            return Err(Invalid::new(format!("is longer than {MAX_SNI} bytes"))).at("sni");
        }
        let context =
            context.and_then(|proto| TlsContext::from_proto(proto, providers)).at("common_tls_context")?;
        if context.validation.as_ref().is_none_or(|validation| validation.roots.is_none()) {
            let why = "does not say whose certificates to accept: a provider, a secret or system_root_certs is needed";
            return Err(Invalid::new(why)).at("common_tls_context");
        }
        Ok(Self {
            context,
            sni: (!proto.sni.is_empty()).then(|| proto.sni.as_str().into()),
            auto_host_sni: proto.auto_host_sni,
            auto_sni_san_validation: proto.auto_sni_san_validation,
        })
    }
}

impl DownstreamTls {
    /// The TLS of a filter chain; none if it has none.
    pub(super) fn from_proto(
        socket: Option<&Proto>,
        providers: &CertificateProviders,
    ) -> Checked<Option<Arc<Self>>> {
        let Some(socket) = socket else { return Ok(None) };
        let Some(ConfigType::TypedConfig(any)) = &socket.config_type else {
            return Err(Invalid::new("is missing")).at("typed_config");
        };
        let read = || {
            let config = Config::of(any)?;
            let proto: proto::DownstreamTlsContext = match config.extension() {
                Some(Extension::RawBuffer) => return Ok(None),
                Some(Extension::DownstreamTls) => config.decode()?,
                _ => return Err(Invalid::new(format!("{:?} is not supported", config.message))),
            };
            let context = proto.common_tls_context.as_ref().ok_or_else(|| Invalid::new("is missing"));
            if proto.ocsp_staple_policy != 0 {
                return Err(Invalid::new("only LENIENT_STAPLING is supported")).at("ocsp_staple_policy");
            }
            Ok(Some(Arc::new(Self {
                context: context
                    .and_then(|proto| TlsContext::from_proto(proto, providers))
                    .at("common_tls_context")?,
                require_client_certificate: proto
                    .require_client_certificate
                    .as_ref()
                    .is_some_and(|flag| flag.value),
                require_sni: proto.require_sni.as_ref().is_some_and(|flag| flag.value),
            })))
        };
        read().at("typed_config")
    }
}
