//! `Secret`: keys and certificates that come from the control plane, or where they are found.

use super::invalid::{At, Checked, Invalid, check_name, unpack};
use super::providers::CertificateProviders;
use super::tls_context::Validation;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Keys and certificates.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its name.
    pub name: Arc<str>,
    /// What it holds.
    pub content: SecretContent,
}

/// What a secret holds.
#[derive(Clone, Debug)]
pub enum SecretContent {
    /// A certificate to show.
    Certificate(TlsCertificate),
    /// Which certificates to accept.
    Validation(Validation),
    /// Something that this library has no use for: session ticket keys or a generic secret.
    Other(&'static str),
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct TlsCertificate {
    /// The certificate and those that lead to its root, in PEM.
    pub chain: DataSource,
    /// The key, in PEM.
    pub key: DataSource,
}

/// Where data are.
#[derive(Clone, PartialEq, Eq)]
pub enum DataSource {
    /// In a file.
    File(Arc<Path>),
    /// Here.
    Inline(Arc<[u8]>),
    /// In a variable of the environment.
    Environment(Arc<str>),
}

/// Decodes the resource `name`.
pub(super) fn decode(name: &str, bytes: &[u8], providers: &CertificateProviders) -> Checked<Secret> {
    use proto::secret::Type;
    let proto: proto::Secret = unpack(bytes)?;
    check_name(&proto.name, name).at("name")?;
    let content = match &proto.r#type {
        Some(Type::TlsCertificate(given)) => {
            TlsCertificate::from_proto(given).at("tls_certificate").map(SecretContent::Certificate)?
        }
        Some(Type::ValidationContext(given)) => Validation::from_proto(given, providers)
            .at("validation_context")
            .map(SecretContent::Validation)?,
        Some(Type::SessionTicketKeys(_)) => SecretContent::Other("session_ticket_keys"),
        Some(Type::GenericSecret(_)) => SecretContent::Other("generic_secret"),
        None => return Err(Invalid::new("is missing")).at("type"),
    };
    Ok(Secret { name: name.into(), content })
}

impl TlsCertificate {
    pub(super) fn from_proto(proto: &proto::TlsCertificate) -> Checked<Self> {
        for (given, name) in [
            (proto.pkcs12.is_some(), "pkcs12"),
            (proto.private_key_provider.is_some(), "private_key_provider"),
            (proto.password.is_some(), "password"),
        ] {
            if given {
                return Err(Invalid::new("is not supported")).at(name);
            }
        }
        let needed = |data: Option<&core::DataSource>, name: &str| {
            data.ok_or_else(|| Invalid::new("is missing")).and_then(DataSource::from_proto).at(name)
        };
        Ok(Self {
            chain: needed(proto.certificate_chain.as_ref(), "certificate_chain")?,
            key: needed(proto.private_key.as_ref(), "private_key")?,
        })
    }
}

impl DataSource {
    pub(super) fn from_proto(proto: &core::DataSource) -> Checked<Self> {
        use core::data_source::Specifier;
        let given = |text: &str, name| {
            if text.is_empty() { Err(Invalid::new("must not be empty")).at(name) } else { Ok(()) }
        };
        Ok(match &proto.specifier {
            Some(Specifier::Filename(path)) => {
                given(path, "filename")?;
                Self::File(Path::new(path).into())
            }
            Some(Specifier::InlineBytes(bytes)) => Self::Inline(bytes.as_slice().into()),
            Some(Specifier::InlineString(text)) => Self::Inline(text.as_bytes().into()),
            Some(Specifier::EnvironmentVariable(name)) => {
                given(name, "environment_variable")?;
                Self::Environment(name.as_str().into())
            }
            None => return Err(Invalid::new("is missing")).at("specifier"),
        })
    }
}

impl fmt::Debug for DataSource {
    /// Leaves out the data, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
            Self::Environment(name) => write!(f, "Environment({name})"),
        }
    }
}
