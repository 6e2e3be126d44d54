//! istiod's answers for sidecars: listeners and clusters unasked, routes and endpoints by name.

use mesh_core::{Bootstrap, Mesh};
use mesh_proto::ads::{Any, DeltaDiscoveryResponse, DiscoveryResponse};
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_testkit::ads::Resources;
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::net::VirtualNet;
use mesh_testkit::world::CONTROL_PLANE;
use mesh_tonic::Channel;
use prost::Message as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mesh-core/tests/recorded/scenarios");

fn resources(path: &Path) -> Vec<Any> {
    let Ok(bytes) = fs::read(path) else { return Vec::new() };
    let response = DeltaDiscoveryResponse::decode(&bytes[..]).unwrap();
    response.resources.into_iter().map(|resource| resource.resource.unwrap()).collect()
}

/// The names of the listeners of istiod's dialect for gRPC, which are those of services.
fn targets(path: &Path) -> Vec<String> {
    let Ok(bytes) = fs::read(path) else { return Vec::new() };
    let response = DiscoveryResponse::decode(&bytes[..]).unwrap();
    let listeners = response.resources.iter().map(|any| Listener::decode(&any.value[..]).unwrap().name);
    listeners.filter(|name| !name.contains('/')).collect()
}

fn mesh(net: &VirtualNet) -> Mesh {
    let bootstrap = serde_json::json!({
        "xds_servers": [{
            "server_uri": CONTROL_PLANE,
            "channel_creds": [{ "type": "insecure" }],
            "server_features": ["mesh.sidecar"],
        }],
        "node": { "id": "sidecar~127.99.0.1~client.default~default.svc.cluster.local" },
    });
    let bootstrap = Bootstrap::from_json(&bootstrap.to_string()).unwrap();
    Mesh::builder().bootstrap(bootstrap).dialer(net.dialer()).seed(1).build().unwrap()
}

/// The scenarios in which calls fail, the beginning of the target, and what the caller is told.
const UNUSABLE: &[(&str, &str, &str)] = &[
    ("authz-allow", "", NO_IDENTITY),
    ("authz-allow-nothing", "", NO_IDENTITY),
    ("authz-deny-audit", "", NO_IDENTITY),
    // The endpoints of the other service do not speak mutual TLS.
    ("auto-mtls", "echo.", NO_IDENTITY),
    ("empty-endpoints", "", "the cluster has no endpoint that may be used"),
    ("external", "api.", "host backup.example.com cannot be looked up"),
    ("external", "direct.", PASSED_THROUGH),
    ("external", "rr.", PASSED_THROUGH),
    ("jwt", "", NO_IDENTITY),
    ("lb-passthrough", "", PASSED_THROUGH),
    ("peer-auth-permissive", "", NO_IDENTITY),
    ("peer-auth-strict", "", NO_IDENTITY),
    ("tls-istio-mutual", "", NO_IDENTITY),
    ("tls-mutual", "", NO_IDENTITY),
    ("tls-simple", "", NO_IDENTITY),
];
const NO_IDENTITY: &str = "no identity to secure the connection with";
const PASSED_THROUGH: &str = "would pass its requests through";

#[tokio::test(start_paused = true)]
async fn every_target_of_every_scenario() {
    let mut scenarios: Vec<_> = fs::read_dir(RECORDED).unwrap().map(|entry| entry.unwrap().path()).collect();
    scenarios.sort();
    let (mut usable, mut unusable) = (0, 0);
    for scenario in scenarios.iter().filter(|path| path.join("sidecar").is_dir()) {
        let name = scenario.file_name().unwrap().to_str().unwrap();
        let control = Resources::new();
        for kind in ["lds", "rds", "cds", "eds"] {
            control.set(resources(&scenario.join("sidecar").join(kind).with_extension("pb")));
        }
        let net = VirtualNet::default();
        let _server = control.serve_on(net.listen(CONTROL_PLANE));
        let _backend = Backend::http2("anyone", net.listen_elsewhere());
        let mesh = mesh(&net);
        for target in targets(&scenario.join("grpc/lds.pb")) {
            let outcome = call(&mesh, &target).await;
            let expected = UNUSABLE.iter().find(|(of, start, _)| *of == name && target.starts_with(start));
            match (outcome, expected) {
                (Ok(()), None) => usable += 1,
                (Err(why), Some((_, _, expected))) if why.contains(expected) => unusable += 1,
                (outcome, expected) => panic!("{name} {target}: {outcome:?} instead of {expected:?}"),
            }
        }
        assert_eq!(control.nacks(), [""; 0], "{name}");
    }
    assert!(usable > 50 && unusable > 20, "{usable} {unusable}");
}

async fn call(mesh: &Mesh, target: &str) -> Result<(), String> {
    let channel = Channel::new(mesh, &format!("xds:///{target}")).unwrap();
    let result = EchoClient::new(channel).unary(Message::new("x")).await;
    result.map(|_| ()).map_err(|status| status.to_string())
}

#[tokio::test(start_paused = true)]
async fn step_by_step() {
    let updates = Path::new(RECORDED).join("../updates/sidecar");
    let mut pushes: Vec<_> = fs::read_dir(updates).unwrap().map(|entry| entry.unwrap().path()).collect();
    pushes.sort();
    // The listeners and routes of the service were not recorded step by step.
    let control = Resources::new();
    for kind in ["lds", "rds"] {
        control.set(resources(&Path::new(RECORDED).join("basic/sidecar").join(kind).with_extension("pb")));
    }
    let net = VirtualNet::default();
    let _server = control.serve_on(net.listen(CONTROL_PLANE));
    let _backend = Backend::http2("anyone", net.listen_elsewhere());
    let mesh = mesh(&net);
    let target = "echo.default.svc.cluster.local:7070";
    let channel = Channel::new(&mesh, &format!("xds:///{target}")).unwrap();
    let mut seen = Vec::new();
    for (index, push) in pushes.iter().enumerate() {
        let bytes = fs::read(push).unwrap();
        let response = DeltaDiscoveryResponse::decode(&bytes[..]).unwrap();
        control.set(response.resources.into_iter().filter_map(|resource| resource.resource));
        for gone in response.removed_resources {
            control.remove_named(&response.type_url, &gone);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let step = |path: &Path| path.file_name().unwrap().to_str().unwrap()[3..8].to_owned();
        if pushes.get(index + 1).is_some_and(|next| step(next) == step(push)) {
            continue;
        }
        let outcome = EchoClient::new(channel.clone()).unary(Message::new("x")).await;
        let endpoints = mesh.report().await.unwrap().endpoints;
        let mut used: Vec<_> = endpoints.iter().map(|endpoint| endpoint.label().to_string()).collect();
        used.sort();
        let outcome = outcome.map(|_| used).map_err(|status| status.message().to_owned());
        seen.push((step(push), outcome));
    }
    let at = |number: &[u8], step: &str| -> (String, Result<Vec<String>, String>) {
        let addresses = number.iter().map(|number| format!("127.0.0.{number}:17070"));
        (step.to_owned(), Ok(addresses.collect()))
    };
    let gone = seen.remove(5);
    assert_eq!(gone.0, "step6");
    assert!(
        gone.1.unwrap_err().contains("Cluster outbound|7070||echo.default.svc.cluster.local does not exist")
    );
    let back = ["127.0.5.1:17070", "127.0.5.2:17070"].map(str::to_owned).to_vec();
    let expected = [
        at(&[1, 2, 3], "step0"),
        at(&[1, 2, 3, 4], "step1"),
        at(&[2, 3, 4], "step2"),
        at(&[1, 2, 3, 4], "step3"),
        at(&[1, 2, 3, 4], "step4"),
        ("step7".to_owned(), Ok(back)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(control.nacks(), [""; 0]);
}
