//! What a real istiod pushed to a gRPC client while its configuration changed, replayed push by push.

use mesh_core::Mesh;
use mesh_core::clock::now;
use mesh_core::xds::in_process::ServerStream;
use mesh_proto::ads::{DiscoveryRequest, DiscoveryResponse};
use mesh_testkit::ads::Script;
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::load::Load;
use mesh_testkit::net::VirtualNet;
use mesh_tonic::Channel;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;
use tonic::Request;

/// One file for each push, numbered.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../mesh-core/tests/recorded/updates/grpc");
const TARGET: &str = "xds:///echo.default.svc.cluster.local:7070";
/// Every address at which the service ever is.
const ADDRESSES: [&str; 6] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.5.1", "127.0.5.2"];
const MS: fn(u64) -> Duration = Duration::from_millis;

/// istiod's end of the stream.
struct Istiod {
    stream: ServerStream,
    /// The names that were asked for last, by type.
    asked: BTreeMap<String, Vec<String>>,
    /// The answers to pushes that are awaited.
    unanswered: BTreeSet<String>,
    sent: usize,
}

impl Istiod {
    /// Reads what the client said; it may not have refused anything.
    fn listen(&mut self) {
        while let Ok(bytes) = self.stream.requests.try_recv() {
            let request = DiscoveryRequest::decode(bytes).unwrap();
            assert_eq!(request.error_detail, None, "{}", request.type_url);
            self.unanswered.remove(&request.response_nonce);
            self.asked.insert(request.type_url, request.resource_names);
        }
    }

    /// Sends what istiod sent, under a version and a nonce of this stream.
    async fn push(&mut self, path: &Path) {
        self.sent += 1;
        let mut response = DiscoveryResponse::decode(&fs::read(path).unwrap()[..]).unwrap();
        response.version_info = format!("version {}", self.sent);
        response.nonce = format!("nonce {}", self.sent);
        self.unanswered.insert(response.nonce.clone());
        self.stream.responses.send(response.encode_to_vec().into()).await.unwrap();
    }
}

struct Stage {
    istiod: Istiod,
    mesh: Mesh,
    channel: Channel,
    _backends: Vec<Backend>,
}

impl Stage {
    async fn new() -> Self {
        let net = VirtualNet::default();
        let backend = |address| Backend::http2(address, net.listen(&format!("{address}:17070")));
        let _backends = ADDRESSES.into_iter().map(backend).collect();
        let (script, mut streams) = Script::new();
        let mesh = Mesh::builder().control_plane(script).dialer(net.dialer()).seed(1).build().unwrap();
        let channel = Channel::new(&mesh, TARGET).unwrap();
        let stream = streams.recv().await.unwrap();
        let istiod = Istiod { stream, asked: BTreeMap::new(), unanswered: BTreeSet::new(), sent: 0 };
        Self { istiod, mesh, channel, _backends }
    }

    /// Who answers how many of 200 calls, or why a call fails, which it does at once, or that it waits.
    async fn calls(&self) -> Result<BTreeMap<String, usize>, String> {
        let mut answers = BTreeMap::new();
        for _ in 0..200 {
            let start = now();
            let mut request = Request::new(Message::new("x"));
            request.set_timeout(MS(1));
            let answer = EchoClient::new(self.channel.clone()).unary(request).await;
            if answer.as_ref().is_err_and(|status| status.message().contains("time for the call is over")) {
                return Err("waits".to_owned());
            }
            let answer = answer.map_err(|status| {
                assert_eq!(now(), start, "a failure takes no time: {status}");
                // Who took it away, and the target, follow.
                status.message().split(": ").next().unwrap().to_owned()
            })?;
            let backend = answer.metadata().get("x-backend").unwrap().to_str().unwrap();
            *answers.entry(backend.to_owned()).or_default() += 1;
        }
        Ok(answers)
    }

    /// The clusters of the present snapshot, without what all their names have in common.
    fn clusters(&self) -> BTreeSet<String> {
        let snapshot = self.mesh.published().load();
        let short =
            |name: &str| name.replace("outbound|7070|", "").replace("|echo.default.svc.cluster.local", "");
        snapshot.clusters().map(|view| short(&view.cluster.name)).collect()
    }
}

fn pushes() -> Vec<PathBuf> {
    let mut pushes: Vec<_> = fs::read_dir(RECORDED).unwrap().map(|entry| entry.unwrap().path()).collect();
    pushes.sort();
    pushes
}

fn name(push: &Path) -> String {
    push.file_stem().unwrap().to_str().unwrap().to_owned()
}

const WAITS: &[&str] = &["waits"];
const FIRST_THREE: &[&str] = &["127.0.0.1", "127.0.0.2", "127.0.0.3"];
const ALL_FOUR: &[&str] = &["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"];
const LAST_THREE: &[&str] = &["127.0.0.2", "127.0.0.3", "127.0.0.4"];
const SUBSETS: &[&str] = &["127.0.0.1", "127.0.0.2"];
const CLUSTER_GONE: &[&str] =
    &["Cluster outbound|7070|v2|echo.default.svc.cluster.local does not exist any more"];
const LISTENER_GONE: &[&str] = &["Listener echo.default.svc.cluster.local:7070 does not exist any more"];

/// After each push: the clusters that routes lead to, and who answers or why nobody does.
#[rustfmt::skip]
const EXPECTED: &[(&str, &[&str], &[&str])] = &[
    ("01-step0-lds", &[], WAITS),
    ("02-step0-rds", &[""], WAITS),
    ("03-step0-cds", &[""], WAITS),
    ("04-step0-eds", &[""], FIRST_THREE),
    ("05-step1-cds", &[""], FIRST_THREE),
    ("06-step1-eds", &[""], ALL_FOUR),
    ("07-step1-lds", &[""], ALL_FOUR),
    ("08-step1-rds", &[""], ALL_FOUR),
    ("09-step2-cds", &[""], ALL_FOUR),
    ("10-step2-eds", &[""], LAST_THREE),
    ("11-step2-lds", &[""], LAST_THREE),
    ("12-step2-rds", &[""], LAST_THREE),
    ("13-step3-cds", &[""], LAST_THREE),
    ("14-step3-eds", &[""], ALL_FOUR),
    ("15-step3-lds", &[""], ALL_FOUR),
    // The old route serves until the clusters of the new one are there.
    ("16-step3-rds", &[""], ALL_FOUR),
    ("17-step3-cds", &[""], ALL_FOUR),
    ("18-step3-eds", &["v1", "v2"], SUBSETS),
    ("19-step4-cds", &["v1", "v2"], SUBSETS),
    ("20-step4-lds", &["v1", "v2"], SUBSETS),
    ("21-step4-rds", &["v1", "v2"], SUBSETS),
    // For a moment, because the routes that lead elsewhere may be about to come.
    ("22-step6-cds", &["v1", "v2"], SUBSETS),
    ("23-step6-eds", &["v1", "v2"], CLUSTER_GONE),
    ("24-step6-lds", &[], LISTENER_GONE),
    ("25-step6-rds", &[], LISTENER_GONE),
    ("26-step6-cds", &[], LISTENER_GONE),
    ("27-step7-cds", &[], LISTENER_GONE),
    // Nothing of what was known before the service went is used again.
    ("28-step7-lds", &[], WAITS),
    ("29-step7-rds", &["", "|other.default.svc.cluster.local"], WAITS),
    ("30-step7-cds", &["", "|other.default.svc.cluster.local"], WAITS),
    ("31-step7-eds", &["", "|other.default.svc.cluster.local"], &["127.0.5.1", "127.0.5.2"]),
];

#[tokio::test(start_paused = true)]
async fn push_by_push() {
    let mut stage = Stage::new().await;
    let mut seen = Vec::new();
    for push in pushes() {
        let name = name(&push);
        stage.istiod.push(&push).await;
        sleep(MS(700)).await;
        stage.istiod.listen();
        assert_eq!(stage.istiod.unanswered, BTreeSet::new(), "{name} is not acknowledged");
        let clusters: Vec<_> = stage.clusters().into_iter().collect();
        let calls = stage.calls().await;
        let first = calls.as_ref().ok().and_then(|calls| calls.get("127.0.0.1").copied());
        match &name[..] {
            "18-step3-eds" => assert!(matches!(first, Some(170..=190)), "{calls:?}"),
            "21-step4-rds" => {
                assert!(matches!(first, Some(10..=30)), "{calls:?}");
                // The next step was an invalid document, at which istiod pushed nothing.
                let before = stage.mesh.published().load().number;
                sleep(Duration::from_secs(3600)).await;
                assert_eq!(stage.mesh.published().load().number, before);
            }
            _ => {}
        }
        seen.push((name, clusters, calls.map_or_else(|why| vec![why], |calls| calls.into_keys().collect())));
    }
    for (seen, expected) in seen.iter().zip(EXPECTED) {
        let (name, clusters, told) = expected;
        assert_eq!(seen.0, *name);
        assert_eq!(seen.1, *clusters, "{name}");
        assert_eq!(seen.2, *told, "{name}");
    }
    assert_eq!(seen.len(), EXPECTED.len(), "{seen:#?}");
}

/// Nobody who calls meanwhile notices anything, until the service is gone, and from when it is back.
#[tokio::test(start_paused = true)]
async fn under_load() {
    let mut stage = Stage::new().await;
    let mut load = None;
    for push in pushes() {
        let name = name(&push);
        stage.istiod.push(&push).await;
        match &name[..] {
            "04-step0-eds" | "28-step7-lds" => {
                sleep(MS(10)).await;
                load = Some(Load::echo(&stage.channel, MS(1)));
            }
            "21-step4-rds" | "31-step7-eds" => {
                sleep(Duration::from_secs(5)).await;
                let record = load.take().map(Load::finish).unwrap().await;
                assert_eq!(record.failures, [""; 0], "{name}");
                assert!(record.answers.len() > 4000, "{name}: {}", record.answers.len());
            }
            _ => sleep(MS(20)).await,
        }
        stage.istiod.listen();
    }
}
