//! What a real istiod answered, replayed: every target becomes routable, or fails for the reason that is in the answer.

mod replay;

use mesh_core::{Bootstrap, Mesh};
use mesh_testkit::ads::{Resources, name_of};
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::net::VirtualNet;
use mesh_testkit::world::CONTROL_PLANE;
use mesh_tonic::Channel;
use replay::scenario::{replay, resources, targets};
use replay::{Dialect, SCENARIOS};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The targets that cannot be called, by scenario and name, and what the caller is told.
const UNUSABLE: &[(&str, &str, &str)] = &[
    (
        "empty-endpoints",
        "echo.default.svc.cluster.local:7070",
        "the cluster has no endpoint that may be used",
    ),
    ("external", "api.example.com:443", "the cluster has no endpoint that may be used"),
    ("external", "api.example.com:80", "the cluster has no endpoint that may be used"),
    // istiod sends the routes of another service of the same port.
    ("external", "direct.example.com:443", "no virtual host serves direct.example.com:443"),
    ("external", "foo.wild.example.com:443", NOT_SENT),
    ("external", "rr.example.com:443", "no virtual host serves rr.example.com:443"),
    // istiod completes a name only with the namespace of who asks.
    ("multi-namespace", "echo.prod:8080", NOT_SENT),
    ("basic", "nosuch.default.svc.cluster.local:1", NOT_SENT),
    ("sidecar-scope", "hidden.other.svc.cluster.local:7070", NOT_SENT),
    ("sidecar-scope", "unscoped.third.svc.cluster.local:7070", NOT_SENT),
    (
        "tcp-tls",
        "db.default.svc.cluster.local:3306",
        "no virtual host serves db.default.svc.cluster.local:3306",
    ),
    (
        "tcp-tls",
        "db.default.svc.cluster.local:9000",
        "no virtual host serves db.default.svc.cluster.local:9000",
    ),
    ("tls-istio-mutual", "echo.default.svc.cluster.local:7070", "no identity to secure the connection with"),
    ("tls-istio-mutual", "echo.default.svc.cluster.local:8080", "no identity to secure the connection with"),
];
const NOT_SENT: &str = "does not exist: the control plane did not send it in time";

/// The resources of a scenario and the names of its listeners.
fn recorded(scenario: &Path) -> (Resources, Vec<String>) {
    let control = Resources::new();
    let read = |kind: &str| resources(Dialect::Grpc, &scenario.join("grpc").join(kind).with_extension("pb"));
    for kind in ["lds", "rds", "cds", "eds"] {
        control.set(read(kind));
    }
    (control, read("lds").iter().map(name_of).collect())
}

/// What comes of a call to each target.
async fn call_all(scenario: &Path) -> BTreeMap<String, Result<(), String>> {
    let net = VirtualNet::default();
    let _backend = Backend::http2("anyone", net.listen_elsewhere());
    let targets = targets(scenario);
    let stage = replay(Dialect::Grpc, scenario, &targets, &net).await;
    let mut results = BTreeMap::new();
    for (target, channel) in targets.into_iter().zip(&stage.channels) {
        let result = EchoClient::new(channel.clone()).unary(Message::new("x")).await;
        results.insert(target, result.map(|_| ()).map_err(|status| status.to_string()));
    }
    results
}

#[tokio::test(start_paused = true)]
async fn every_target_of_every_scenario() {
    let mut scenarios: Vec<_> = fs::read_dir(SCENARIOS).unwrap().map(|entry| entry.unwrap().path()).collect();
    scenarios.sort();
    let (mut usable, mut unusable) = (0, 0);
    for path in scenarios.iter().filter(|path| path.join("grpc").is_dir()) {
        let scenario = path.file_name().unwrap().to_string_lossy();
        for (target, result) in call_all(path).await {
            let expected = UNUSABLE.iter().find(|(of, name, _)| *of == scenario && *name == target);
            match (result, expected) {
                (Ok(()), None) => usable += 1,
                (Err(status), Some((.., why))) if status.contains(why) => unusable += 1,
                (result, expected) => panic!("{scenario}, {target}: {result:?}, expected {expected:?}"),
            }
        }
    }
    assert_eq!((usable, unusable), (84, UNUSABLE.len()));
}

/// istiod refers to the certificate provider that its agent writes into the bootstrap.
#[tokio::test(start_paused = true)]
async fn a_bootstrap_has_the_certificate_provider_that_istiod_names_or_its_clusters_are_refused() {
    let agents = serde_json::json!({ "default": { "plugin_name": "file_watcher", "config": {} } });
    for (providers, expected) in [
        (agents, "no identity to secure the connection with"),
        (
            serde_json::json!({}),
            "was refused: transport_socket.typed_config.common_tls_context.tls_certificate_provider_instance.\
             instance_name: \"default\" is not among the certificate_providers of the bootstrap",
        ),
    ] {
        let (control, listeners) = recorded(&Path::new(SCENARIOS).join("tls-istio-mutual"));
        let net = VirtualNet::default();
        let _server = control.serve_on(net.listen(CONTROL_PLANE));
        let _backend = Backend::http2("anyone", net.listen_elsewhere());
        let bootstrap = serde_json::json!({
            "xds_servers": [{ "server_uri": CONTROL_PLANE, "channel_creds": [{ "type": "insecure" }] }],
            "certificate_providers": providers,
        });
        let bootstrap = Bootstrap::from_json(&bootstrap.to_string()).unwrap();
        let mesh = Mesh::builder().bootstrap(bootstrap).dialer(net.dialer()).seed(1).build().unwrap();
        let channel = Channel::new(&mesh, &format!("xds:///{}", listeners[0])).unwrap();
        let status = EchoClient::new(channel).unary(Message::new("x")).await.unwrap_err();
        assert!(status.message().contains(expected), "{status}");
        assert_eq!(control.nacks().is_empty(), !expected.contains("refused"));
    }
}
