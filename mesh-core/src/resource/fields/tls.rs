//! Transport sockets and secrets.

use super::leaf::{DATA_SOURCE, STRING_MATCHER};
use super::{ANY, messages};

messages! {
    TRANSPORT_SOCKET = "envoy.config.core.v3.TransportSocket" {
        acted: 3 typed_config > ANY;
        ignored: 1 name;
    }
    RAW_BUFFER = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" {
    }
    HTTP_11_PROXY = "envoy.extensions.transport_sockets.http_11_proxy.v3.Http11ProxyUpstreamTransport" {
        acted: 1 transport_socket > TRANSPORT_SOCKET;
        reported: 2 default_proxy_address;
    }
    PROXY_PROTOCOL = "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport" {
        reported: 1 config, 2 transport_socket, 3 allow_unspecified_address, 4 tlv_as_pool_key;
    }
    UPSTREAM_TLS_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" {
        kept: 1 common_tls_context > COMMON_TLS_CONTEXT, 2 sni, 6 auto_host_sni, 7 auto_sni_san_validation;
        reported: 5 enforce_rsa_key_usage;
        ignored: 3 allow_renegotiation, 4 max_session_keys;
    }
    DOWNSTREAM_TLS_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext" {
        kept: 1 common_tls_context > COMMON_TLS_CONTEXT, 2 require_client_certificate, 3 require_sni;
        reported: 4 session_ticket_keys, 5 session_ticket_keys_sds_secret_config, 6 session_timeout,
            7 disable_stateless_session_resumption, 9 full_scan_certs_on_sni_mismatch,
            10 disable_stateful_session_resumption, 11 prefer_client_ciphers;
        refused: 8 ocsp_staple_policy;
    }
    COMMON_TLS_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext" {
        kept: 1 tls_params > TLS_PARAMETERS, 2 tls_certificates > TLS_CERTIFICATE,
            3 validation_context > CERTIFICATE_VALIDATION_CONTEXT, 4 alpn_protocols,
            6 tls_certificate_sds_secret_configs > SDS_SECRET_CONFIG,
            7 validation_context_sds_secret_config > SDS_SECRET_CONFIG,
            8 combined_validation_context > COMMON_TLS_CONTEXT_COMBINED_CERTIFICATE_VALIDATION_CONTEXT,
            11 tls_certificate_certificate_provider_instance > PROVIDER_INSTANCE,
            12 validation_context_certificate_provider_instance > PROVIDER_INSTANCE,
            14 tls_certificate_provider_instance > PLUGIN_INSTANCE;
        reported: 15 key_log;
        refused: 9 tls_certificate_certificate_provider, 10 validation_context_certificate_provider,
            13 custom_handshaker, 16 custom_tls_certificate_selector;
    }
    COMMON_TLS_CONTEXT_COMBINED_CERTIFICATE_VALIDATION_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext" {
        kept: 1 default_validation_context > CERTIFICATE_VALIDATION_CONTEXT,
            2 validation_context_sds_secret_config > SDS_SECRET_CONFIG,
            4 validation_context_certificate_provider_instance > PROVIDER_INSTANCE;
        reported: 3 validation_context_certificate_provider;
    }
    CERTIFICATE_VALIDATION_CONTEXT = "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext" {
        kept: 1 trusted_ca > DATA_SOURCE, 9 match_subject_alt_names > STRING_MATCHER,
            13 ca_certificate_provider_instance > PLUGIN_INSTANCE,
            15 match_typed_subject_alt_names > SUBJECT_ALT_NAME_MATCHER, 17 system_root_certs;
        reported: 11 watched_directory, 16 max_verify_depth;
        refused: 2 verify_certificate_hash, 3 verify_certificate_spki,
            6 require_signed_certificate_timestamp, 7 crl, 12 custom_validator_config;
        ignored: 8 allow_expired_certificate, 10 trust_chain_verification, 14 only_verify_leaf_cert_crl,
            18 suppress_client_ca_list;
    }
    SUBJECT_ALT_NAME_MATCHER = "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher" {
        kept: 1 san_type, 2 matcher > STRING_MATCHER;
        reported: 3 oid;
    }
    PLUGIN_INSTANCE = "envoy.extensions.transport_sockets.tls.v3.CertificateProviderPluginInstance" {
        kept: 1 instance_name, 2 certificate_name;
    }
    PROVIDER_INSTANCE = "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CertificateProviderInstance" {
        kept: 1 instance_name, 2 certificate_name;
    }
    TLS_PARAMETERS = "envoy.extensions.transport_sockets.tls.v3.TlsParameters" {
        kept: 1 tls_minimum_protocol_version, 2 tls_maximum_protocol_version;
        reported: 3 cipher_suites, 4 ecdh_curves, 5 signature_algorithms, 6 compliance_policies;
    }
    TLS_CERTIFICATE = "envoy.extensions.transport_sockets.tls.v3.TlsCertificate" {
        kept: 1 certificate_chain > DATA_SOURCE, 2 private_key > DATA_SOURCE;
        reported: 4 ocsp_staple, 5 signed_certificate_timestamp, 7 watched_directory, 9 tls_params;
        refused: 3 password, 6 private_key_provider, 8 pkcs12;
    }
    SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret" {
        kept: 1 name, 2 tls_certificate > TLS_CERTIFICATE,
            4 validation_context > CERTIFICATE_VALIDATION_CONTEXT;
        reported: 3 session_ticket_keys, 5 generic_secret;
    }
    SDS_SECRET_CONFIG = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig" {
        kept: 1 name;
        ignored: 2 sds_config;
    }
}
