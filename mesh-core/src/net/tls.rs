//! TLS on the client's side: certificates from files, the handshake, and errors that say what to mend.
//!
//! The files are read for every connection, so a certificate that was exchanged on disk is used from the next
//! connection on, without a watcher.

use super::{Address, FileReads, Io};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// HTTP/2 in the application protocol negotiation.
pub const ALPN_H2: &[u8] = b"h2";

/// Whom to trust and who to be, as files in PEM (gRFC A65).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsFiles {
    /// The certificate authorities that are trusted. Default: those of the system.
    pub roots: Option<Arc<Path>>,
    /// Our certificate chain and its private key. Default: none is shown.
    pub identity: Option<(Arc<Path>, Arc<Path>)>,
    /// The name that the peer's certificate must be for. Default: the host that is connected to.
    pub server_name: Option<Arc<str>>,
}

impl TlsFiles {
    /// Makes a connection to `address` secure, to speak `protocol` over it; the files are read by `reads`.
    ///
    /// # Errors
    ///
    /// Which file is not usable and why, or why the peer is not trusted or does not trust us.
    pub async fn connect(
        &self,
        io: Io,
        address: &Address,
        protocol: &'static [u8],
        reads: &FileReads,
    ) -> Result<Io, String> {
        let name = self.server_name(address)?;
        let files = self.clone();
        let config = reads.run(move || files.config(protocol)).await??;
        handshake(io, config, name, protocol).await
    }

    /// What the files say, as they are now.
    fn config(&self, protocol: &[u8]) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(self.trusted()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let chain = read_certificates("certificate_file", certificates)?;
                let bad_key = |error: &dyn Display| format!("private_key_file {}: {error}", key.display());
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad_key(&error))?;
                builder.with_client_auth_cert(chain, private).map_err(|error| bad_key(&error))?
            }
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    fn trusted(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.roots {
            for certificate in read_certificates("ca_certificate_file", path)? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("ca_certificate_file {}: {error}", path.display()))?;
            }
            return Ok(roots);
        }
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            let why = system.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            return Err(format!("the system has no trusted certificates{why}; name a ca_certificate_file"));
        }
        Ok(roots)
    }

    fn server_name(&self, address: &Address) -> Result<ServerName<'static>, String> {
        let text = match (&self.server_name, address) {
            (Some(name), _) => name.to_string(),
            (None, Address::Ip(ip)) => return Ok(ip.ip().into()),
            (None, Address::Dns { host, .. }) => host.to_string(),
            (None, Address::Unix(_) | Address::Internal(_)) => "localhost".to_owned(),
        };
        ServerName::try_from(text.clone())
            .map_err(|_| format!("{text:?} cannot be the name in a certificate; set \"mesh.server_name\""))
    }
}

fn read_certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |why: &dyn Display| format!("{field} {}: {why}", path.display());
    let certificates = CertificateDer::pem_file_iter(path)
        .map_err(|error| fail(&error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fail(&error))?;
    if certificates.is_empty() {
        return Err(fail(&"holds no certificate in PEM"));
    }
    Ok(certificates)
}

/// Shakes hands with a peer that has to be `name`, to speak `protocol`.
///
/// # Errors
///
/// Why the peer is not trusted, or does not trust us, or does not speak `protocol`.
pub async fn handshake(
    io: Io,
    config: ClientConfig,
    name: ServerName<'static>,
    protocol: &[u8],
) -> Result<Io, String> {
    let peer = name.to_str().into_owned();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, io)
        .await
        .map_err(|error| explain(&error, &peer))?;
    if stream.get_ref().1.alpn_protocol() != Some(protocol) {
        let protocol = String::from_utf8_lossy(protocol);
        return Err(format!("TLS with {peer}: the peer did not agree to speak {protocol}"));
    }
    Ok(Io::new(stream))
}

/// Why a connection that is secured by TLS failed, in words that say what to mend.
#[must_use]
pub fn explain(error: &io::Error, peer: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let why = match inner {
        Some(rustls::Error::InvalidCertificate(invalid)) => match invalid {
            CertificateError::UnknownIssuer => {
                "the peer's certificate is not signed by a trusted authority".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the peer's certificate has expired ({invalid})")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the peer's certificate is not valid yet ({invalid})")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the peer's certificate is for another name ({invalid})")
            }
            other => format!("the peer's certificate is not accepted: {other}"),
        },
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "the peer wants a certificate from us".to_owned()
        }
        Some(rustls::Error::AlertReceived(alert)) => format!("the peer refused: {alert:?}"),
        Some(rustls::Error::InvalidMessage(_)) => "the peer does not speak TLS".to_owned(),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the peer hung up".to_owned(),
        None => error.to_string(),
    };
    format!("TLS with {peer}: {why}")
}
