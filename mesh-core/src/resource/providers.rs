//! The certificate providers that resources may refer to.

use super::invalid::{At, Checked, Invalid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The certificate providers that resources may refer to: the keys of `certificate_providers` of the bootstrap (gRFC A29).
///
/// By default any: a control plane in the process needs no bootstrap.
#[derive(Clone, Debug, Default)]
pub struct CertificateProviders {
    known: Option<Arc<BTreeSet<String>>>,
}

impl CertificateProviders {
    /// Those of these names, and no others.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { known: Some(Arc::new(names.into_iter().collect())) }
    }

    /// Checks the field `instance_name` of a reference.
    pub(super) fn check(&self, instance: &str) -> Checked<()> {
        let reason = match &self.known {
            _ if instance.is_empty() => "must not be empty".to_owned(),
            Some(known) if !known.contains(instance) => {
                format!("{instance:?} is not among the certificate_providers of the bootstrap")
            }
            _ => return Ok(()),
        };
        Err(Invalid::new(reason)).at("instance_name")
    }
}

#[cfg(test)]
#[expect(deprecated, reason = "istiod before 1.29 sends the older fields only")]
mod tests {
    use super::*;
    use crate::resource::{Kind, Local};
    use crate::xds::kind::ResourceKind;
    use mesh_proto::envoy::config::cluster::v3::Cluster;
    use mesh_proto::envoy::config::cluster::v3::cluster::{
        ClusterDiscoveryType, DiscoveryType, TransportSocketMatch,
    };
    use mesh_proto::envoy::config::core::v3::{TransportSocket, transport_socket::ConfigType};
    use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
    use mesh_proto::google::protobuf::Any;
    use prost::Message;
    use tls::common_tls_context::{
        CertificateProviderInstance as Deprecated, CombinedCertificateValidationContext,
        ValidationContextType,
    };

    fn plugin(name: &str) -> Option<tls::CertificateProviderPluginInstance> {
        let certificate_name = "default".to_owned();
        Some(tls::CertificateProviderPluginInstance { instance_name: name.to_owned(), certificate_name })
    }

    fn deprecated(name: &str) -> Option<Deprecated> {
        let certificate_name = "default".to_owned();
        Some(Deprecated { instance_name: name.to_owned(), certificate_name })
    }

    fn roots(name: &str) -> Option<ValidationContextType> {
        let ca_certificate_provider_instance = plugin(name);
        let context =
            tls::CertificateValidationContext { ca_certificate_provider_instance, ..Default::default() };
        Some(ValidationContextType::ValidationContext(context))
    }

    /// As istiod has it: before 1.29 only the deprecated field is there.
    fn combined(given: &str, older: &str) -> Option<ValidationContextType> {
        let Some(ValidationContextType::ValidationContext(mut context)) = roots(given) else {
            unreachable!()
        };
        if given.is_empty() {
            context.ca_certificate_provider_instance = None;
        }
        Some(ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
            default_validation_context: Some(context),
            validation_context_certificate_provider_instance: deprecated(older),
            ..Default::default()
        }))
    }

    /// What a client whose bootstrap has the provider `default` says to a context.
    fn told(context: &tls::CommonTlsContext, matched: bool) -> String {
        let context =
            tls::UpstreamTlsContext { common_tls_context: Some(context.clone()), ..Default::default() };
        let url = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        let any = Any { type_url: url.to_owned(), value: context.encode_to_vec() };
        let socket = TransportSocket {
            name: "envoy.transport_sockets.tls".to_owned(),
            config_type: Some(ConfigType::TypedConfig(any)),
        };
        let mut cluster = Cluster { name: "c".to_owned(), ..Default::default() };
        cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into()));
        if matched {
            let found = TransportSocketMatch { transport_socket: Some(socket), ..Default::default() };
            cluster.transport_socket_matches = vec![found];
        } else {
            cluster.transport_socket = Some(socket);
        }
        let bytes = cluster.encode_to_vec().into();
        let providers = CertificateProviders::new(["default".to_owned()]);
        let local = Local { providers, sidecar: false };
        assert!(Kind::Cluster.decode("c", &bytes, None).is_ok(), "nobody knows which providers there are");
        Kind::Cluster.decode_for(&local, "c", &bytes, None).err().unwrap_or_default()
    }

    #[test]
    fn a_provider_that_the_bootstrap_lacks_is_refused_wherever_it_is_named() {
        type Context = tls::CommonTlsContext;
        let secure = || Context { validation_context_type: roots("default"), ..Default::default() };
        for (context, place) in [
            (secure(), ""),
            (Context { tls_certificate_provider_instance: plugin("default"), ..secure() }, ""),
            (
                Context { tls_certificate_provider_instance: plugin("other"), ..secure() },
                "tls_certificate_provider_instance",
            ),
            (
                Context { tls_certificate_certificate_provider_instance: deprecated("other"), ..secure() },
                "tls_certificate_certificate_provider_instance",
            ),
            (
                Context { validation_context_type: roots("other"), ..Context::default() },
                "validation_context.ca_certificate_provider_instance",
            ),
            (
                Context { validation_context_type: combined("other", "default"), ..Context::default() },
                "combined_validation_context.default_validation_context.ca_certificate_provider_instance",
            ),
            // What istiod before 1.29 sends is enough.
            (
                Context { tls_certificate_certificate_provider_instance: deprecated("default"), ..secure() },
                "",
            ),
            (Context { validation_context_type: combined("", "default"), ..Context::default() }, ""),
            (
                Context {
                    validation_context_type: Some(
                        ValidationContextType::ValidationContextCertificateProviderInstance(
                            deprecated("default").unwrap(),
                        ),
                    ),
                    ..Context::default()
                },
                "",
            ),
            // Where both are given, the newer one counts.
            (Context { validation_context_type: combined("default", "other"), ..Context::default() }, ""),
            (
                Context { validation_context_type: combined("", "other"), ..Context::default() },
                "combined_validation_context.validation_context_certificate_provider_instance",
            ),
            (
                Context {
                    validation_context_type: Some(
                        ValidationContextType::ValidationContextCertificateProviderInstance(
                            deprecated("other").unwrap(),
                        ),
                    ),
                    ..Context::default()
                },
                "validation_context_certificate_provider_instance",
            ),
        ] {
            for (matched, start) in
                [(false, "transport_socket"), (true, "transport_socket_matches[0].transport_socket")]
            {
                let expected = match place {
                    "" => String::new(),
                    _ => format!(
                        "{start}.typed_config.common_tls_context.{place}.instance_name: \"other\" is not among the \
                         certificate_providers of the bootstrap"
                    ),
                };
                assert_eq!(told(&context, matched), expected);
            }
        }
    }
}
