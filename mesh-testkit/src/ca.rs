//! A certificate authority to throw away, and listeners that speak TLS with its certificates.

use crate::net::Listener;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A certificate authority.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").finish_non_exhaustive()
    }
}

impl Ca {
    /// A new authority with this name.
    ///
    /// # Errors
    ///
    /// If no keys can be made.
    pub fn new(name: &str) -> Result<Self, Box<dyn Error>> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The authority's own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.as_ref().pem()
    }

    /// A certificate for these names or IP addresses, good for either end of a connection.
    ///
    /// # Errors
    ///
    /// If a name cannot stand in a certificate.
    pub fn issue(&self, names: &[&str]) -> Result<Issued, Box<dyn Error>> {
        self.issue_until(names, 4000)
    }

    /// A certificate that expired long ago.
    ///
    /// # Errors
    ///
    /// If a name cannot stand in a certificate.
    pub fn issue_expired(&self, names: &[&str]) -> Result<Issued, Box<dyn Error>> {
        self.issue_until(names, 2001)
    }

    fn issue_until(&self, names: &[&str], year: i32) -> Result<Issued, Box<dyn Error>> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { certificate, key: key.serialize_pem() })
    }
}

impl Listener {
    /// Speaks TLS with `identity`, and `protocol` over it; asks for a certificate of `clients`, if given.
    ///
    /// # Errors
    ///
    /// If the certificates cannot be used.
    pub fn with_tls(
        self,
        identity: &Issued,
        clients: Option<&Ca>,
        protocol: &[u8],
    ) -> Result<Self, Box<dyn Error>> {
        let provider = Arc::new(default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes())?)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let mut config = builder.with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self::Tls(Box::new(self), Arc::new(config).into()))
    }
}
