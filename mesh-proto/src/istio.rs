//! Istio's certificate service (`istio.v1.auth`), which `envoy-types` lacks.

use crate::google::protobuf::Struct;

/// The gRPC path of the one unary method.
pub const CREATE_CERTIFICATE: &str = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/// `istio.v1.auth.IstioCertificateRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateRequest {
    /// The signing request in PEM.
    #[prost(string, tag = "1")]
    pub csr: String,
    /// How long the certificate shall be valid, in seconds.
    #[prost(int64, tag = "3")]
    pub validity_duration: i64,
    /// Options such as `CertSigner` and `ClusterID`.
    #[prost(message, optional, tag = "4")]
    pub metadata: Option<Struct>,
}

/// `istio.v1.auth.IstioCertificateResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IstioCertificateResponse {
    /// The leaf, the intermediates, and last the roots, each in PEM.
    #[prost(string, repeated, tag = "1")]
    pub cert_chain: Vec<String>,
}
