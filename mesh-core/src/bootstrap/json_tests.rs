use super::*;
use crate::bootstrap::{CallCredentials, ChannelCredentials};
use crate::net::tls::TlsFiles;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What istiod's agent writes, shortened.
const AGENT: &str = include_str!("../../tests/bootstrap/agent.json");

/// Every field there is.
const FULL: &str = include_str!("../../tests/bootstrap/full.json");

#[test]
fn the_agents_bootstrap_is_read() {
    let bootstrap = parse(AGENT).unwrap();
    assert_eq!(bootstrap.servers[0].address.to_string(), "unix:/etc/istio/proxy/XDS");
    assert_eq!(bootstrap.servers[0].features.others, ["xds_v3"]);
    assert_eq!(bootstrap.node.metadata["GENERATOR"], "grpc");
    assert_eq!(bootstrap.client_listener_template.name("echo:7070"), "echo:7070");
    assert_eq!(bootstrap.certificate_providers["default"].plugin, "file_watcher");
    let template = bootstrap.server_listener_template.unwrap();
    assert_eq!(template.name("1.2.3.4:80"), "xds.istio.io/grpc/lds/inbound/1.2.3.4:80");
    assert_eq!(bootstrap.unknown, ["something_new"]);
}

#[test]
fn every_field_is_read() {
    let bootstrap = parse(FULL).unwrap();
    let [first, second] = &bootstrap.servers[..] else { panic!("two servers") };
    let files = TlsFiles {
        roots: Some(Path::new("/ca.pem").into()),
        identity: Some((Path::new("/chain.pem").into(), Path::new("/key.pem").into())),
        server_name: Some(Arc::from("istiod")),
    };
    assert_eq!(first.credentials, ChannelCredentials::Tls(files));
    assert_eq!(first.call_credentials, [CallCredentials::TokenFile(Path::new("/token").into())]);
    let features = &first.features;
    assert!(features.ignore_resource_deletion && features.fail_on_data_errors && features.trusted_xds_server);
    assert!(features.resource_timer_is_transient_error && features.delta && features.sidecar);
    assert_eq!(second.credentials, ChannelCredentials::Insecure);
    assert!(second.features.delta && second.features.sidecar);
    assert_eq!((bootstrap.node.cluster.as_str(), bootstrap.node.locality.zone.as_str()), ("c", "z"));
    assert_eq!(bootstrap.client_listener_template.name("a b"), "xdstp://a.example/t/a%20b");
    let (a, b) = (&bootstrap.authorities["a.example"], &bootstrap.authorities["b.example"]);
    assert!(a.fallback_on_reachability_only && !b.fallback_on_reachability_only);
    assert_eq!(a.listener_template.name("s"), "xdstp://a.example/envoy.config.listener.v3.Listener/x/s?k=v");
    assert_eq!(b.listener_template.name("s"), "xdstp://b.example/envoy.config.listener.v3.Listener/s");
    assert_eq!((a.servers.len(), b.servers.len()), (1, 0));
    let cache = DiskCache { path: "/var/cache/mesh".into(), max_bytes: 1_000_000 };
    assert_eq!(bootstrap.disk_cache, Some(cache));
    assert_eq!(bootstrap.unknown, ["node.locality.more", "new"]);
}

#[test]
fn the_page_names_every_field_that_is_read() {
    let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/bootstrap.md"));
    let notes = Notes::default();
    read(FULL, &notes).unwrap();
    let asked: BTreeSet<String> = notes.asked.into_inner();
    assert!(asked.len() > 30, "{asked:?}");
    let missing: Vec<_> = asked.iter().filter(|field| !page.contains(&format!("`{field}`"))).collect();
    assert!(missing.is_empty(), "docs/bootstrap.md lacks {missing:?}");
    for feature in include_str!("server.rs").split("            \"").skip(1) {
        let feature = feature.split('"').next().unwrap();
        assert!(page.contains(&format!("`{feature}`")), "docs/bootstrap.md lacks the feature {feature}");
    }
    let variables = [super::super::BOOTSTRAP_VARIABLE, super::super::BOOTSTRAP_CONFIG_VARIABLE];
    for variable in variables.into_iter().chain([super::super::DISK_CACHE_VARIABLE]) {
        assert!(page.contains(&format!("`{variable}`")), "docs/bootstrap.md lacks {variable}");
    }
}

#[test]
fn null_is_as_good_as_nothing() {
    let json = r#"{"xds_servers": [{"server_uri": "h:1", "channel_creds": [{"type": "insecure", "config": null}],
        "call_creds": null, "server_features": null}], "node": null, "authorities": null}"#;
    let bootstrap = parse(json).unwrap();
    assert_eq!(bootstrap, Bootstrap::new("h:1", Node::default()).unwrap());
}

/// A bootstrap with one server, `server` being its fields and `more` those of the document.
fn document(server: &str, more: &str) -> String {
    format!(r#"{{"xds_servers": [{{"server_uri": "h:1", {server}}}]{more}}}"#)
}

#[test]
fn errors_lead_to_the_field() {
    let insecure = r#""channel_creds": [{"type": "insecure"}]"#;
    let tls =
        |config: &str| document(&format!(r#""channel_creds": [{{"type": "tls", "config": {config}}}]"#), "");
    let whole = |more: &str| document(insecure, &format!(", {more}"));
    let jwt = |channel: &str, config: &str| {
        let call = format!(r#""call_creds": [{{"type": "jwt_token_file", "config": {config}}}]"#);
        document(&format!(r#""channel_creds": [{{"type": "{channel}"}}], {call}"#), "")
    };
    for (json, message) in [
        (String::new(), "not JSON: EOF while parsing a value at line 1"),
        ("[]".to_owned(), "the document: an object is needed, not a list"),
        ("{}".to_owned(), "xds_servers: at least one control plane is needed"),
        (r#"{"xds_servers": []}"#.to_owned(), "xds_servers: at least one"),
        (r#"{"xds_servers": {}}"#.to_owned(), "xds_servers: a list is needed, not an object"),
        (r#"{"xds_servers": [7]}"#.to_owned(), "xds_servers[0]: an object is needed, not 7"),
        (r#"{"xds_servers": [{}]}"#.to_owned(), "xds_servers[0].server_uri: missing"),
        (
            r#"{"xds_servers": [{"server_uri": 5}]}"#.to_owned(),
            "xds_servers[0].server_uri: a string is needed, not 5",
        ),
        (
            r#"{"xds_servers": [{"server_uri": "h", "channel_creds": [{"type": "insecure"}]}]}"#.to_owned(),
            "xds_servers[0].server_uri: \"h\" is not a usable address: the port is missing",
        ),
        (
            document(r#""channel_creds": []"#, ""),
            "xds_servers[0].channel_creds: no supported type: the list is empty; supported: insecure, tls",
        ),
        (
            document(r#""channel_creds": [{"type": "google_default"}, {"type": "x"}]"#, ""),
            r#"no supported type: got "google_default", "x"; supported: insecure, tls"#,
        ),
        (document(r#""channel_creds": [{}]"#, ""), "xds_servers[0].channel_creds[0].type: missing"),
        (
            tls(r#"{"certificate_file": "/c"}"#),
            "xds_servers[0].channel_creds[0].config.private_key_file: missing beside certificate_file",
        ),
        (tls(r#"{"private_key_file": "/c"}"#), "config.certificate_file: missing beside private_key_file"),
        (tls(r#"{"ca_certificate_file": ""}"#), "config.ca_certificate_file: the path is empty"),
        (tls(r#"{"refresh_interval": "soon"}"#), "a duration such as \"600s\" is needed, not \"soon\""),
        (tls(r#"{"refresh_interval": "-1s"}"#), "config.refresh_interval: a duration"),
        (tls(r#"{"spiffe_trust_bundle_map_file": "/x"}"#), "spiffe_trust_bundle_map_file: not supported"),
        (
            jwt("insecure", r#"{"jwt_token_file": "/t"}"#),
            "xds_servers[0].call_creds[0].config.jwt_token_file: the token would travel in plain text",
        ),
        (jwt("tls", "{}"), "call_creds[0].config.jwt_token_file: missing"),
        (jwt("tls", r#"{"jwt_token_file": ""}"#), "jwt_token_file: the path is empty"),
        (
            document(&format!(r#"{insecure}, "server_features": [1]"#), ""),
            "xds_servers[0].server_features[0]: a string is needed, not 1",
        ),
        (
            r#"{"xds_servers": [
                {"server_uri": "a:1", "channel_creds": [{"type": "insecure"}], "server_features": ["mesh.sidecar"]},
                {"server_uri": "b:1", "channel_creds": [{"type": "insecure"}], "server_features": ["mesh.delta"]}
            ]}"#
            .to_owned(),
            "xds_servers[1].server_features: \"mesh.sidecar\" is needed for all control planes of a list or for none",
        ),
        (
            whole(
                r#""authorities": {"a": {"xds_servers": [
                    {"server_uri": "a:1", "channel_creds": [{"type": "insecure"}]},
                    {"server_uri": "b:1", "channel_creds": [{"type": "insecure"}], "server_features": ["mesh.sidecar"]}
                ]}}"#,
            ),
            "authorities.a.xds_servers[1].server_features: ",
        ),
        (whole(r#""client_default_listener_resource_name_template": "fixed""#), "has no %s"),
        (whole(r#""server_listener_resource_name_template": "fixed""#), "has no %s"),
        (
            whole(r#""server_listener_resource_name_template_EXPERIMENTAL": "fixed""#),
            "server_listener_resource_name_template_EXPERIMENTAL: \"fixed\" has no %s",
        ),
        (whole(r#""node": {"metadata": []}"#), "node.metadata: an object is needed, not a list"),
        (whole(r#""node": {"locality": {"zone": 1}}"#), "node.locality.zone: a string is needed, not 1"),
        (
            whole(r#""authorities": {"a": {"client_listener_resource_name_template": "xdstp://b/%s"}}"#),
            "authorities.a.client_listener_resource_name_template: \"xdstp://b/%s\" does not begin with xdstp://a/",
        ),
        (
            whole(r#""authorities": {"a": {"xds_servers": [{"server_uri": "x"}]}}"#),
            "authorities.a.xds_servers[0].server_uri: \"x\" is not a usable address",
        ),
        (whole(r#""certificate_providers": {"p": {}}"#), "certificate_providers.p.plugin_name: missing"),
        (whole(r#""mesh.disk_cache": {"path": ""}"#), "mesh.disk_cache.path: the path is empty"),
        (
            whole(r#""mesh.disk_cache": {"path": "x", "max_bytes": -1}"#),
            "mesh.disk_cache.max_bytes: a number from 0 is needed, not -1",
        ),
    ] {
        let error = parse(&json).unwrap_err();
        assert_eq!(error.kind(), Kind::Bootstrap);
        assert!(error.to_string().contains(message), "{json}: {error}");
    }
}

#[test]
fn a_token_travels_in_plain_text_only_if_that_is_wanted() {
    let json = r#"{"xds_servers": [{"server_uri": "h:1", "channel_creds": [{"type": "insecure"}], "call_creds": [
        {"type": "jwt_token_file", "config": {"jwt_token_file": "/t", "mesh.allow_insecure": true}}]}]}"#;
    assert_eq!(parse(json).unwrap().servers[0].call_credentials.len(), 1);
}
