//! The JSON of the bootstrap.

use super::{Bootstrap, ChannelCredentials, NAME, Node, Server};
use crate::error::{Error, Kind};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Fields of the format that are kept for later.
const NOT_ACTED_ON: [&str; 4] = [
    "authorities",
    "certificate_providers",
    "server_listener_resource_name_template",
    "allowed_grpc_services",
];

#[derive(Deserialize)]
struct Document {
    xds_servers: Vec<ServerJson>,
    #[serde(default)]
    node: Node,
    client_default_listener_resource_name_template: Option<String>,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct ServerJson {
    server_uri: String,
    channel_creds: Vec<Credentials>,
    #[serde(default)]
    server_features: Vec<String>,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(rename = "type")]
    kind: String,
}

pub(super) fn parse(json: &str) -> Result<Bootstrap, Error> {
    let deserializer = &mut serde_json::Deserializer::from_str(json);
    let document: Document = serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { String::new() } else { format!("{path}: ") };
        fail(format!("{at}{}", error.into_inner()))
    })?;
    if document.xds_servers.is_empty() {
        return Err(fail("xds_servers: at least one control plane is needed".to_owned()));
    }
    let servers = document
        .xds_servers
        .into_iter()
        .enumerate()
        .map(|(index, server)| read_server(server).map_err(|why| fail(format!("xds_servers[{index}].{why}"))))
        .collect::<Result<_, _>>()?;
    let template = document.client_default_listener_resource_name_template.unwrap_or_else(|| NAME.to_owned());
    if !template.contains(NAME) {
        return Err(fail(format!(
            "client_default_listener_resource_name_template: {template:?} has no %s where the target's name belongs"
        )));
    }
    let mut rest = document.rest;
    rest.retain(|name, _| NOT_ACTED_ON.contains(&name.as_str()));
    Ok(Bootstrap { servers, node: document.node, client_listener_template: template, not_acted_on: rest })
}

fn read_server(json: ServerJson) -> Result<Server, String> {
    let mut server = Server::insecure(&json.server_uri).map_err(|error| format!("server_uri: {error}"))?;
    let credentials = json.channel_creds.iter().find_map(|entry| ChannelCredentials::parse(&entry.kind));
    server.credentials = credentials.ok_or_else(|| {
        let types: Vec<_> = json.channel_creds.iter().map(|entry| format!("{:?}", entry.kind)).collect();
        let got = if types.is_empty() {
            "the list is empty".to_owned()
        } else {
            format!("got {}", types.join(", "))
        };
        format!("channel_creds: no supported type: {got}; supported: {}", ChannelCredentials::SUPPORTED)
    })?;
    server.features = json.server_features;
    Ok(server)
}

fn fail(message: String) -> Error {
    Error::new(Kind::Bootstrap, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What istiod's agent writes, shortened.
    const AGENT: &str = r#"{
        "xds_servers": [{
            "server_uri": "unix:///etc/istio/proxy/XDS",
            "channel_creds": [{"type": "insecure"}],
            "server_features": ["xds_v3"]
        }],
        "node": {
            "id": "sidecar~10.0.0.5~client-1.default~default.svc.cluster.local",
            "metadata": {"GENERATOR": "grpc", "NAMESPACE": "default", "LABELS": {"app": "client"}},
            "locality": {}
        },
        "certificate_providers": {"default": {"plugin_name": "file_watcher", "config": {}}},
        "server_listener_resource_name_template": "xds.istio.io/grpc/lds/inbound/%s",
        "something_new": 1
    }"#;

    #[test]
    fn the_agents_bootstrap_is_read() {
        let bootstrap = parse(AGENT).unwrap();
        assert_eq!(bootstrap.servers[0].address.to_string(), "unix:/etc/istio/proxy/XDS");
        assert_eq!(bootstrap.servers[0].features, ["xds_v3"]);
        assert_eq!(bootstrap.node.metadata["GENERATOR"], "grpc");
        assert_eq!(bootstrap.listener_name("echo:7070"), "echo:7070");
        let kept: Vec<_> = bootstrap.not_acted_on.keys().map(String::as_str).collect();
        assert_eq!(kept, ["certificate_providers", "server_listener_resource_name_template"]);
    }

    #[test]
    fn the_first_supported_credentials_are_used() {
        let json = r#"{"xds_servers": [{"server_uri": "h:1",
            "channel_creds": [{"type": "google_default"}, {"type": "insecure", "config": {}}]}],
            "client_default_listener_resource_name_template": "xdstp://a/%s"}"#;
        let bootstrap = parse(json).unwrap();
        assert_eq!(bootstrap.servers[0].credentials, ChannelCredentials::Insecure);
        assert_eq!(bootstrap.listener_name("x"), "xdstp://a/x");
    }

    #[test]
    fn errors_lead_to_the_field() {
        for (json, message) in [
            ("", "EOF while parsing a value at line 1"),
            ("[]", "invalid type"),
            ("{}", "missing field `xds_servers`"),
            (r#"{"xds_servers": []}"#, "xds_servers: at least one"),
            (r#"{"xds_servers": [{}]}"#, "xds_servers[0]: missing field `server_uri`"),
            (r#"{"xds_servers": [{"server_uri": 5}]}"#, "xds_servers[0].server_uri: invalid type"),
            (
                r#"{"xds_servers": [{"server_uri": "h", "channel_creds": [{"type": "insecure"}]}]}"#,
                "xds_servers[0].server_uri: \"h\" is not a usable address: the port is missing",
            ),
            (
                r#"{"xds_servers": [{"server_uri": "h:1", "channel_creds": []}]}"#,
                "xds_servers[0].channel_creds: no supported type: the list is empty; supported: insecure",
            ),
            (
                r#"{"xds_servers": [{"server_uri": "h:1", "channel_creds": [{"type": "google_default"}, {"type": "x"}]}]}"#,
                r#"no supported type: got "google_default", "x"; supported: insecure"#,
            ),
            (
                r#"{"xds_servers": [{"server_uri": "h:1", "channel_creds": [{"type": "insecure"}]}],
                    "client_default_listener_resource_name_template": "fixed"}"#,
                "has no %s",
            ),
            (
                r#"{"xds_servers": [{"server_uri": "h:1", "channel_creds": [{"type": "insecure"}]}],
                    "node": {"metadata": []}}"#,
                "node.metadata: invalid type",
            ),
        ] {
            let error = parse(json).unwrap_err();
            assert_eq!(error.kind(), Kind::Bootstrap);
            assert!(error.to_string().contains(message), "{json}: {error}");
        }
    }
}
