//! TLS with the certificates of the mesh.

use crate::index::{Service, View};
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use mesh_proto::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use mesh_proto::pack_any;
use std::collections::BTreeSet;
use std::sync::Arc;
use tls::common_tls_context::{self, CertificateProviderInstance, CombinedCertificateValidationContext};

/// The provider that a bootstrap of Istio configures.
const PROVIDER: &str = "default";
const CERTIFICATE: &str = "default";
const ROOT: &str = "ROOTCA";

/// A socket that shows the client's certificate and wants one of the service's accounts.
#[allow(deprecated, reason = "older clients of gRPC read the older fields")]
pub(super) fn mesh_socket(view: &View<'_>, service: &Arc<Service>) -> core::TransportSocket {
    let instance = |name: &str| tls::CertificateProviderPluginInstance {
        instance_name: PROVIDER.to_owned(),
        certificate_name: name.to_owned(),
    };
    let old = |name: &str| CertificateProviderInstance {
        instance_name: PROVIDER.to_owned(),
        certificate_name: name.to_owned(),
    };
    let validation = tls::CertificateValidationContext {
        ca_certificate_provider_instance: Some(instance(ROOT)),
        match_subject_alt_names: identities(view, service)
            .into_iter()
            .map(|id| StringMatcher { match_pattern: Some(MatchPattern::Exact(id)), ..Default::default() })
            .collect(),
        ..Default::default()
    };
    let combined = CombinedCertificateValidationContext {
        default_validation_context: Some(validation),
        validation_context_certificate_provider_instance: Some(old(ROOT)),
        ..Default::default()
    };
    let common = tls::CommonTlsContext {
        tls_certificate_provider_instance: Some(instance(CERTIFICATE)),
        tls_certificate_certificate_provider_instance: Some(old(CERTIFICATE)),
        validation_context_type: Some(common_tls_context::ValidationContextType::CombinedValidationContext(
            combined,
        )),
        ..Default::default()
    };
    let context = tls::UpstreamTlsContext { common_tls_context: Some(common), ..Default::default() };
    core::TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack_any(context))),
    }
}

/// The names that a service's endpoints may show, in each of the names of the trust domain.
fn identities(view: &View<'_>, service: &Arc<Service>) -> BTreeSet<String> {
    let Some(names) = view.identities(service) else { return BTreeSet::new() };
    let mesh = view.mesh();
    let mut all = BTreeSet::new();
    let accounts = names
        .accounts
        .iter()
        .map(|account| format!("spiffe://{}/ns/{}/sa/{account}", mesh.trust_domain, service.namespace));
    for name in accounts.chain(names.others.iter().cloned()) {
        if let Some((_, path)) = name.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')) {
            let aliases = mesh.trust_domain_aliases.iter();
            all.extend(aliases.map(|domain| format!("spiffe://{domain}/{path}")));
        }
        all.insert(name);
    }
    all
}
