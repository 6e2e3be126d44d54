//! A mesh whose control plane sends what a real istiod sent, response by response, as they were recorded.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod scenario;

use mesh_core::xds::in_process::{Protocol, ServerStream};
use mesh_core::{Bootstrap, Mesh};
use mesh_proto::ads::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};
use mesh_testkit::ads::{Script, Server};
use mesh_testkit::net::VirtualNet;
use mesh_testkit::world::CONTROL_PLANE;
use mesh_tonic::Channel;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

/// One folder for each scenario, with the responses of the four types.
pub(crate) const SCENARIOS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../mesh-core/tests/recorded/scenarios");
/// A folder for each dialect, with one file for each push, numbered.
pub(crate) const UPDATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mesh-core/tests/recorded/updates");
/// Long enough for the mesh to draw its conclusions from a response, and for its answers to arrive.
const A_MOMENT: Duration = Duration::from_millis(700);

/// As what istiod treats us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As a gRPC client, in the state-of-the-world protocol.
    Grpc,
    /// As a sidecar, in the incremental protocol.
    Sidecar,
}

impl Dialect {
    /// The folder of what was recorded of it.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Sidecar => "sidecar",
        }
    }

    fn bootstrap(self) -> Bootstrap {
        let features = match self {
            Self::Grpc => vec![],
            Self::Sidecar => vec!["mesh.sidecar"],
        };
        let bootstrap = serde_json::json!({
            "xds_servers": [{
                "server_uri": CONTROL_PLANE,
                "channel_creds": [{ "type": "insecure" }],
                "server_features": features,
            }],
            "node": { "id": "sidecar~127.99.0.1~client.default~default.svc.cluster.local" },
            "certificate_providers": { "default": { "plugin_name": "file_watcher", "config": {} } },
        });
        Bootstrap::from_json(&bootstrap.to_string()).unwrap()
    }
}

/// istiod's end of the stream.
pub(crate) struct Istiod {
    stream: ServerStream,
    /// The names that are subscribed to, by type.
    asked: BTreeMap<String, BTreeSet<String>>,
    /// The answers to pushes that are awaited.
    pub(crate) unanswered: BTreeSet<String>,
    sent: usize,
}

impl Istiod {
    /// Reads what the client said; it may not have refused anything.
    pub(crate) fn listen(&mut self) {
        while let Ok(bytes) = self.stream.requests.try_recv() {
            match self.stream.protocol {
                Protocol::StateOfTheWorld => {
                    let request = DiscoveryRequest::decode(bytes).unwrap();
                    assert_eq!(request.error_detail, None, "{}", request.type_url);
                    self.unanswered.remove(&request.response_nonce);
                    self.asked.insert(request.type_url, request.resource_names.into_iter().collect());
                }
                Protocol::Delta => {
                    let request = DeltaDiscoveryRequest::decode(bytes).unwrap();
                    assert_eq!(request.error_detail, None, "{}", request.type_url);
                    self.unanswered.remove(&request.response_nonce);
                    let asked = self.asked.entry(request.type_url).or_default();
                    asked.retain(|name| !request.resource_names_unsubscribe.contains(name));
                    asked.extend(request.resource_names_subscribe);
                }
            }
        }
    }

    /// The names of a type that are subscribed to.
    pub(crate) fn asked(&self, url: &str) -> BTreeSet<String> {
        self.asked.get(url).cloned().unwrap_or_default()
    }

    /// Sends what istiod sent, under a version and a nonce of this stream.
    pub(crate) async fn push(&mut self, path: &Path) {
        self.sent += 1;
        let (version, nonce) = (format!("version {}", self.sent), format!("nonce {}", self.sent));
        let bytes = fs::read(path).unwrap();
        let bytes = match self.stream.protocol {
            Protocol::StateOfTheWorld => {
                let response = DiscoveryResponse::decode(&bytes[..]).unwrap();
                DiscoveryResponse { version_info: version, nonce: nonce.clone(), ..response }.encode_to_vec()
            }
            Protocol::Delta => {
                let response = DeltaDiscoveryResponse::decode(&bytes[..]).unwrap();
                DeltaDiscoveryResponse { system_version_info: version, nonce: nonce.clone(), ..response }
                    .encode_to_vec()
            }
        };
        self.unanswered.insert(nonce);
        self.stream.responses.send(bytes.into()).await.unwrap();
    }
}

impl Istiod {
    /// Says that there is nothing of a type, in the incremental protocol.
    pub(crate) async fn list_nothing(&mut self, url: &str) {
        self.sent += 1;
        let nonce = format!("nonce {}", self.sent);
        let response =
            DeltaDiscoveryResponse { type_url: url.to_owned(), nonce: nonce.clone(), ..Default::default() };
        self.unanswered.insert(nonce);
        self.stream.responses.send(response.encode_to_vec().into()).await.unwrap();
    }
}

/// A mesh, and the istiod it hears.
pub(crate) struct Stage {
    pub(crate) istiod: Istiod,
    pub(crate) mesh: Mesh,
    pub(crate) channels: Vec<Channel>,
    _server: Server,
}

impl Stage {
    /// With a channel to each of the targets.
    pub(crate) async fn new(dialect: Dialect, net: &VirtualNet, targets: &[String]) -> Self {
        let (script, mut streams) = Script::new();
        let _server = script.serve_on(net.listen(CONTROL_PLANE));
        let builder = Mesh::builder().bootstrap(dialect.bootstrap());
        let mesh = builder.dialer(net.dialer()).seed(1).build().unwrap();
        let channel = |target: &String| Channel::new(&mesh, &format!("xds:///{target}")).unwrap();
        let channels = targets.iter().map(channel).collect();
        let stream = streams.recv().await.unwrap();
        let istiod = Istiod { stream, asked: BTreeMap::new(), unanswered: BTreeSet::new(), sent: 0 };
        Self { istiod, mesh, channels, _server }
    }

    /// Sends a response and waits until the mesh has made of it what it will; it has to acknowledge it.
    pub(crate) async fn push(&mut self, path: &Path) {
        self.istiod.push(path).await;
        sleep(A_MOMENT).await;
        self.istiod.listen();
        assert_eq!(self.istiod.unanswered, BTreeSet::new(), "{} is not acknowledged", path.display());
    }
}
