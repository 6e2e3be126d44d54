//! The bootstrap: whatever its text, it is accepted, and then usable, or refused with the way to the field that is wrong.
//! The input is the text.

use mesh_core::bootstrap::{CallCredentials, ChannelCredentials};
use mesh_core::{Bootstrap, Kind};
use mesh_proto::envoy::config::core::v3::Node;
use prost::Message;
use serde_json::Value;

/// Fields that are complained about because they are not there.
const REQUIRED: [&str; 11] = [
    "xds_servers",
    "server_features",
    "server_uri",
    "channel_creds",
    "type",
    "config",
    "jwt_token_file",
    "certificate_file",
    "private_key_file",
    "plugin_name",
    "path",
];

/// Reads a bootstrap.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Bootstrap::from_json(&text) {
        Ok(bootstrap) => check(&bootstrap, &serde_json::from_str(&text).expect("it was read")),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Bootstrap);
            let message = error.to_string();
            match serde_json::from_str::<Value>(&text) {
                Err(_) => assert!(message.starts_with("not JSON: "), "{message}"),
                Ok(Value::Object(document)) => {
                    let document = Value::Object(document);
                    assert!(leads_to(&document, &format!(".{message}")), "leads nowhere: {message}");
                }
                Ok(_) => assert!(message.starts_with("the document: "), "{message}"),
            }
        }
    }
}

/// What holds for every bootstrap that is accepted.
fn check(bootstrap: &Bootstrap, document: &Value) {
    let insecure = document.to_string().contains("mesh.allow_insecure");
    assert!(!bootstrap.servers.is_empty(), "nobody to ask");
    let authorities = || bootstrap.authorities.values();
    for server in bootstrap.servers.iter().chain(authorities().flat_map(|authority| &authority.servers)) {
        let token = |credentials: &CallCredentials| matches!(credentials, CallCredentials::TokenFile(_));
        let exposed =
            server.credentials == ChannelCredentials::Insecure && server.call_credentials.iter().any(token);
        assert!(!exposed || insecure, "a token in plain text");
    }
    assert!(
        bootstrap.client_listener_template.name("echo:80").contains("echo:80"),
        "a template that drops the target"
    );
    // In an authority called so the target is named, too.
    for (name, authority) in bootstrap.authorities.iter().filter(|(name, _)| !name.contains("%s")) {
        let listener = authority.listener_template.name("a b");
        assert!(listener.starts_with(&format!("xdstp://{name}/")), "{listener} is not of {name}");
        assert!(listener.contains("a%20b"), "{listener} does not name the target");
    }
    if let Some(cache) = &bootstrap.disk_cache {
        assert!(!cache.path.as_os_str().is_empty());
    }
    let node = Node::decode(&bootstrap.node.encode()[..]).expect("control planes get a well-formed node");
    assert_eq!((&node.id, &node.cluster), (&bootstrap.node.id, &bootstrap.node.cluster));
}

/// Whether `complaint` is `PATH: REASON`, and the path is one from `value`, to something that is there or has to be.
fn leads_to(value: &Value, complaint: &str) -> bool {
    let into =
        |field: &str, value: &Value| complaint.strip_prefix(field).is_some_and(|rest| leads_to(value, rest));
    let missing = |field: &&str| {
        let rest = complaint.strip_prefix('.').and_then(|rest| rest.strip_prefix(*field));
        rest.is_some_and(|rest| rest.starts_with(": "))
    };
    match value {
        _ if complaint.strip_prefix(": ").is_some_and(|reason| !reason.is_empty()) => true,
        Value::Array(items) => {
            items.iter().enumerate().any(|(index, item)| into(&format!("[{index}]"), item))
        }
        Value::Object(fields) => {
            fields.iter().any(|(name, field)| into(&format!(".{name}"), field))
                || REQUIRED.iter().any(missing)
        }
        _ => false,
    }
}
