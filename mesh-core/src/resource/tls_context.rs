//! `CommonTlsContext`: which certificate to show, and which to accept.

use super::invalid::{At, Checked, Invalid};
use super::matcher::StringMatch;
use super::providers::CertificateProviders;
use super::secret::{DataSource, TlsCertificate};
use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use proto::common_tls_context::ValidationContextType;
use std::sync::Arc;

/// Which certificate to show, and which to accept.
#[derive(Clone, Debug)]
pub struct TlsContext {
    /// The certificate to show; none shows none.
    pub identity: Option<IdentitySource>,
    /// Which certificates to accept; none accepts only what needs no check, which is nothing on the side of a client.
    pub validation: Option<Validation>,
    /// The protocols to offer, the best first.
    pub alpn: Vec<Arc<str>>,
    /// The oldest version of TLS; none is the implementation's choice.
    pub min_version: Option<TlsVersion>,
    /// The newest version of TLS; none is the implementation's choice.
    pub max_version: Option<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2, or older, which counts as 1.2 at least.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Where a certificate and its key come from.
#[derive(Clone, Debug)]
pub enum IdentitySource {
    /// From a plugin of the bootstrap (gRFC A29).
    Provider(ProviderInstance),
    /// From the secret of this name.
    Sds(Arc<str>),
    /// They are given.
    Given(Arc<TlsCertificate>),
}

/// Which certificates to accept.
#[derive(Clone, Debug)]
pub struct Validation {
    /// The authorities that certificates have to come from; none where only a secret may say.
    pub roots: Option<RootSource>,
    /// The names of which a certificate needs one; nothing is any.
    pub sans: Vec<SanMatch>,
}

/// Where the authorities come from.
#[derive(Clone, Debug)]
pub enum RootSource {
    /// From a plugin of the bootstrap (gRFC A29).
    Provider(ProviderInstance),
    /// From the secret of this name.
    Sds(Arc<str>),
    /// They are given.
    Given(DataSource),
    /// From the operating system (gRFC A82).
    System,
}

/// A plugin of the bootstrap, and which of its certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderInstance {
    /// The key in `certificate_providers`.
    pub instance: Arc<str>,
    /// What to ask it for.
    pub certificate: Arc<str>,
}

/// A name that a certificate may have.
#[derive(Clone, Debug)]
pub struct SanMatch {
    /// The kind of name; none is any of DNS, URI, e-mail and IP address.
    pub kind: Option<SanKind>,
    /// The name.
    pub name: StringMatch,
}

/// A kind of name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SanKind {
    /// An e-mail address.
    Email,
    /// A DNS name.
    Dns,
    /// A URI, as SPIFFE identities are.
    Uri,
    /// An IP address.
    Ip,
}

/// The name by which Istio's agent means the roots of the operating system.
const SYSTEM_ROOTS: &str = "file-root:system";

impl TlsContext {
    pub(super) fn from_proto(
        proto: &proto::CommonTlsContext,
        providers: &CertificateProviders,
    ) -> Checked<Self> {
        #[expect(deprecated, reason = "it is refused")]
        let provider = proto.tls_certificate_certificate_provider.is_some();
        for (given, name) in [
            (proto.custom_handshaker.is_some(), "custom_handshaker"),
            (proto.custom_tls_certificate_selector.is_some(), "custom_tls_certificate_selector"),
            (provider, "tls_certificate_certificate_provider"),
        ] {
            if given {
                return Err(Invalid::new("is not supported")).at(name);
            }
        }
        let params = proto.tls_params.clone().unwrap_or_default();
        let version = |number, name| tls_version(number).at(name).at("tls_params");
        Ok(Self {
            identity: identity(proto, providers)?,
            validation: proto
                .validation_context_type
                .as_ref()
                .map(|proto| validation(proto, providers))
                .transpose()?,
            alpn: proto.alpn_protocols.iter().map(|name| name.as_str().into()).collect(),
            min_version: version(params.tls_minimum_protocol_version, "tls_minimum_protocol_version")?,
            max_version: version(params.tls_maximum_protocol_version, "tls_maximum_protocol_version")?,
        })
    }
}

fn tls_version(number: i32) -> Checked<Option<TlsVersion>> {
    use proto::tls_parameters::TlsProtocol as Proto;
    match Proto::try_from(number) {
        Ok(Proto::TlsAuto) => Ok(None),
        Ok(Proto::TlSv10 | Proto::TlSv11 | Proto::TlSv12) => Ok(Some(TlsVersion::V1_2)),
        Ok(Proto::TlSv13) => Ok(Some(TlsVersion::V1_3)),
        Err(_) => Err(Invalid::new(format!("{number} is unknown"))),
    }
}

#[expect(deprecated, reason = "istiod before 1.29 sends the older of the two fields only")]
fn identity(
    proto: &proto::CommonTlsContext,
    providers: &CertificateProviders,
) -> Checked<Option<IdentitySource>> {
    if let Some(plugin) = &proto.tls_certificate_provider_instance {
        let plugin = ProviderInstance::new(&plugin.instance_name, &plugin.certificate_name, providers);
        return plugin.at("tls_certificate_provider_instance").map(IdentitySource::Provider).map(Some);
    }
    if let Some(plugin) = &proto.tls_certificate_certificate_provider_instance {
        let plugin = ProviderInstance::new(&plugin.instance_name, &plugin.certificate_name, providers);
        let plugin = plugin.at("tls_certificate_certificate_provider_instance");
        return plugin.map(IdentitySource::Provider).map(Some);
    }
    if let Some(sds) = proto.tls_certificate_sds_secret_configs.first() {
        let name = secret_name(sds).at_index("tls_certificate_sds_secret_configs", 0)?;
        return Ok(Some(IdentitySource::Sds(name)));
    }
    let Some(given) = proto.tls_certificates.first() else { return Ok(None) };
    let given = TlsCertificate::from_proto(given).at_index("tls_certificates", 0)?;
    Ok(Some(IdentitySource::Given(Arc::new(given))))
}

#[expect(deprecated, reason = "istiod before 1.29 sends the older of the two fields only")]
fn validation(proto: &ValidationContextType, providers: &CertificateProviders) -> Checked<Validation> {
    let provider = |instance, certificate| {
        ProviderInstance::new(instance, certificate, providers).map(RootSource::Provider)
    };
    let (validation, path) = match proto {
        ValidationContextType::ValidationContext(proto) => {
            (Validation::from_proto(proto, providers), "validation_context")
        }
        ValidationContextType::ValidationContextSdsSecretConfig(sds) => {
            let read = secret_roots(sds).map(|roots| Validation { roots: Some(roots), sans: Vec::new() });
            (read, "validation_context_sds_secret_config")
        }
        ValidationContextType::CombinedValidationContext(combined) => {
            let read = || {
                let default = combined.default_validation_context.clone().unwrap_or_default();
                let mut validation =
                    Validation::from_proto(&default, providers).at("default_validation_context")?;
                if validation.roots.is_none() {
                    validation.roots =
                        if let Some(plugin) = &combined.validation_context_certificate_provider_instance {
                            let name = "validation_context_certificate_provider_instance";
                            Some(provider(&plugin.instance_name, &plugin.certificate_name).at(name)?)
                        } else if let Some(sds) = &combined.validation_context_sds_secret_config {
                            Some(secret_roots(sds).at("validation_context_sds_secret_config")?)
                        } else {
                            None
                        };
                }
                Ok(validation)
            };
            (read(), "combined_validation_context")
        }
        ValidationContextType::ValidationContextCertificateProviderInstance(plugin) => {
            let roots = provider(&plugin.instance_name, &plugin.certificate_name);
            let read = roots.map(|roots| Validation { roots: Some(roots), sans: Vec::new() });
            (read, "validation_context_certificate_provider_instance")
        }
        ValidationContextType::ValidationContextCertificateProvider(_) => {
            (Err(Invalid::new("is not supported")), "validation_context_certificate_provider")
        }
    };
    validation.at(path)
}

fn secret_roots(proto: &proto::SdsSecretConfig) -> Checked<RootSource> {
    Ok(match secret_name(proto)? {
        name if *name == *SYSTEM_ROOTS => RootSource::System,
        name => RootSource::Sds(name),
    })
}

fn secret_name(proto: &proto::SdsSecretConfig) -> Checked<Arc<str>> {
    if proto.name.is_empty() {
        return Err(Invalid::new("must not be empty")).at("name");
    }
    Ok(proto.name.as_str().into())
}

impl ProviderInstance {
    fn new(instance: &str, certificate: &str, providers: &CertificateProviders) -> Checked<Self> {
        providers.check(instance)?;
        Ok(Self { instance: instance.into(), certificate: certificate.into() })
    }
}

impl Validation {
    #[expect(deprecated, reason = "istiod sends `match_subject_alt_names`")]
    pub(super) fn from_proto(
        proto: &proto::CertificateValidationContext,
        providers: &CertificateProviders,
    ) -> Checked<Self> {
        // Each of these narrows what is accepted, so none may be left aside.
        for (given, name) in [
            (!proto.verify_certificate_spki.is_empty(), "verify_certificate_spki"),
            (!proto.verify_certificate_hash.is_empty(), "verify_certificate_hash"),
            (
                proto.require_signed_certificate_timestamp.as_ref().is_some_and(|flag| flag.value),
                "require_signed_certificate_timestamp",
            ),
            (proto.crl.is_some(), "crl"),
            (proto.custom_validator_config.is_some(), "custom_validator_config"),
        ] {
            if given {
                return Err(Invalid::new("is not supported")).at(name);
            }
        }
        let roots = if let Some(plugin) = &proto.ca_certificate_provider_instance {
            let plugin = ProviderInstance::new(&plugin.instance_name, &plugin.certificate_name, providers);
            Some(RootSource::Provider(plugin.at("ca_certificate_provider_instance")?))
        } else if proto.system_root_certs.is_some() {
            Some(RootSource::System)
        } else if let Some(given) = &proto.trusted_ca {
            Some(RootSource::Given(DataSource::from_proto(given).at("trusted_ca")?))
        } else {
            None
        };
        let typed = proto.match_typed_subject_alt_names.iter().enumerate();
        let typed = typed
            .map(|(index, san)| SanMatch::from_proto(san).at_index("match_typed_subject_alt_names", index));
        let plain = proto.match_subject_alt_names.iter().enumerate().map(|(index, name)| {
            let name = StringMatch::from_proto(name).at_index("match_subject_alt_names", index)?;
            Ok(SanMatch { kind: None, name })
        });
        // The typed ones take the place of the others.
        let sans = if proto.match_typed_subject_alt_names.is_empty() {
            plain.collect::<Checked<_>>()?
        } else {
            typed.collect::<Checked<_>>()?
        };
        Ok(Self { roots, sans })
    }
}

impl SanMatch {
    fn from_proto(proto: &proto::SubjectAltNameMatcher) -> Checked<Self> {
        use proto::subject_alt_name_matcher::SanType;
        let kind = match SanType::try_from(proto.san_type) {
            Ok(SanType::Email) => SanKind::Email,
            Ok(SanType::Dns) => SanKind::Dns,
            Ok(SanType::Uri) => SanKind::Uri,
            Ok(SanType::IpAddress) => SanKind::Ip,
            _ => return Err(Invalid::new(format!("{} is not supported", proto.san_type))).at("san_type"),
        };
        let name = proto.matcher.as_ref().ok_or_else(|| Invalid::new("is missing"));
        Ok(Self { kind: Some(kind), name: name.and_then(StringMatch::from_proto).at("matcher")? })
    }
}
