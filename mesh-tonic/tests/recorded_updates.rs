//! What a real istiod pushed while its configuration changed, replayed push by push.

mod replay;

use mesh_core::clock::now;
use mesh_core::xds::RESOURCE_TIMEOUT;
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::load::Load;
use mesh_testkit::net::VirtualNet;
use replay::{Dialect, SCENARIOS, UPDATES};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::sleep;
use tonic::Request;

const TARGET: &str = "echo.default.svc.cluster.local:7070";
/// Every address at which the service ever is.
const ADDRESSES: [&str; 6] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.5.1", "127.0.5.2"];
const MS: fn(u64) -> Duration = Duration::from_millis;

struct Stage {
    replay: replay::Stage,
    _backends: Vec<Backend>,
}

impl Stage {
    async fn new(dialect: Dialect) -> Self {
        let net = VirtualNet::default();
        let backend = |address| Backend::http2(address, net.listen(&format!("{address}:17070")));
        let _backends = ADDRESSES.into_iter().map(backend).collect();
        Self { replay: replay::Stage::new(dialect, &net, &[TARGET.to_owned()]).await, _backends }
    }

    /// Who answers how many of 200 calls, or why a call fails, which it does at once, or that it waits.
    async fn calls(&self) -> Result<BTreeMap<String, usize>, String> {
        let mut answers = BTreeMap::new();
        for _ in 0..200 {
            let start = now();
            let mut request = Request::new(Message::new("x"));
            request.set_timeout(MS(1));
            let answer = EchoClient::new(self.replay.channels[0].clone()).unary(request).await;
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
        let snapshot = self.replay.mesh.published().load();
        let short =
            |name: &str| name.replace("outbound|7070|", "").replace("|echo.default.svc.cluster.local", "");
        snapshot.clusters().map(|view| short(&view.cluster.name)).collect()
    }
}

fn recorded(dialect: Dialect) -> Vec<PathBuf> {
    let folder = Path::new(UPDATES).join(dialect.folder());
    let mut pushes: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pushes.sort();
    pushes
}

fn pushes(dialect: Dialect) -> Vec<PathBuf> {
    let mut pushes = recorded(dialect);
    if dialect == Dialect::Sidecar {
        // What leads to the service was not recorded step by step.
        let before = ["lds", "rds"].map(|kind| Path::new(SCENARIOS).join("basic/sidecar").join(kind));
        pushes.splice(0..0, before.map(|path| path.with_extension("pb")));
    }
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
    // Nothing of what was known before the service went is used again. The routes of another service that come along are
    // nobody's.
    ("28-step7-lds", &[], WAITS),
    ("29-step7-rds", &[""], WAITS),
    ("30-step7-cds", &[""], WAITS),
    ("31-step7-eds", &[""], &["127.0.5.1", "127.0.5.2"]),
];

/// The same for sidecars, whose endpoints come alone when nothing else changed.
#[rustfmt::skip]
const EXPECTED_BY_SIDECARS: &[(&str, &[&str], &[&str])] = &[
    ("lds", &[], WAITS),
    ("rds", SERVICE, WAITS),
    ("01-step0-cds", SERVICE, WAITS),
    ("02-step0-eds", SERVICE, FIRST_THREE),
    ("03-step1-eds", SERVICE, ALL_FOUR),
    ("04-step2-eds", SERVICE, LAST_THREE),
    ("05-step3-cds", SERVICE, LAST_THREE),
    ("06-step3-eds", SERVICE, ALL_FOUR),
    ("07-step3-eds", SERVICE, ALL_FOUR),
    ("08-step4-cds", SERVICE, ALL_FOUR),
    ("09-step6-cds", SERVICE, ALL_FOUR),
    ("10-step6-eds", SERVICE, SERVICE_GONE),
    ("11-step6-eds", SERVICE, SERVICE_GONE),
    ("12-step7-cds", SERVICE, WAITS),
    ("13-step7-eds", SERVICE, &["127.0.5.1", "127.0.5.2"]),
];
/// One of all the clusters at the port.
const SERVICE: &[&str] = &[""];
const SERVICE_GONE: &[&str] = &["Cluster outbound|7070||echo.default.svc.cluster.local does not exist"];

/// The same where the control plane has no listeners, so that the service's own cluster is all there is; and what is told where
/// it did not even say so.
#[rustfmt::skip]
const EXPECTED_OF_CLUSTERS: &[(&str, &[&str], &[&str])] = &[
    ("01-step0-cds", &[""], WAITS),
    ("02-step0-eds", &[""], FIRST_THREE),
    ("03-step1-eds", &[""], ALL_FOUR),
    ("04-step2-eds", &[""], LAST_THREE),
    ("05-step3-cds", &[""], LAST_THREE),
    ("06-step3-eds", &[""], ALL_FOUR),
    ("07-step3-eds", &[""], ALL_FOUR),
    ("08-step4-cds", &[""], ALL_FOUR),
    ("09-step6-cds", &[], NOWHERE),
    ("10-step6-eds", &[], NOWHERE),
    ("11-step6-eds", &[], NOWHERE),
    ("12-step7-cds", &[""], WAITS),
    ("13-step7-eds", &[""], &["127.0.5.1", "127.0.5.2"]),
];
const NOWHERE: &[&str] = &[
    "no Listener of the control plane takes echo.default.svc.cluster.local:7070, and no Cluster is called after it \
     (target echo.default.svc.cluster.local:7070)",
];
const NOBODY_KNOWS: &str = "it is not known where echo.default.svc.cluster.local:7070 leads";

type Seen = (String, Vec<String>, Vec<String>);

fn assert_seen(seen: &[Seen], expected: &[(&str, &[&str], &[&str])]) {
    for (seen, (name, clusters, told)) in seen.iter().zip(expected) {
        assert_eq!(seen.0, *name);
        assert_eq!(seen.1, *clusters, "{name}");
        assert_eq!(seen.2, *told, "{name}");
    }
    assert_eq!(seen.len(), expected.len(), "{seen:#?}");
}

#[tokio::test(start_paused = true)]
async fn push_by_push() {
    let mut stage = Stage::new(Dialect::Grpc).await;
    let mut seen = Vec::new();
    for push in pushes(Dialect::Grpc) {
        let name = name(&push);
        stage.replay.push(&push).await;
        let clusters: Vec<_> = stage.clusters().into_iter().collect();
        let calls = stage.calls().await;
        let first = calls.as_ref().ok().and_then(|calls| calls.get("127.0.0.1").copied());
        match &name[..] {
            "18-step3-eds" => assert!(matches!(first, Some(170..=190)), "{calls:?}"),
            "21-step4-rds" => {
                assert!(matches!(first, Some(10..=30)), "{calls:?}");
                // The next step was an invalid document, at which istiod pushed nothing.
                let before = stage.replay.mesh.published().load().number;
                sleep(Duration::from_secs(3600)).await;
                assert_eq!(stage.replay.mesh.published().load().number, before);
            }
            _ => {}
        }
        seen.push((name, clusters, calls.map_or_else(|why| vec![why], |calls| calls.into_keys().collect())));
    }
    assert_seen(&seen, EXPECTED);
}

#[tokio::test(start_paused = true)]
async fn push_by_push_for_a_sidecar() {
    let mut stage = Stage::new(Dialect::Sidecar).await;
    let mut seen = Vec::new();
    for push in pushes(Dialect::Sidecar) {
        stage.replay.push(&push).await;
        let clusters: Vec<_> = stage.clusters().into_iter().collect();
        let told = stage.calls().await.map_or_else(|why| vec![why], |calls| calls.into_keys().collect());
        seen.push((name(&push), clusters, told));
    }
    assert_seen(&seen, EXPECTED_BY_SIDECARS);
}

#[tokio::test(start_paused = true)]
async fn push_by_push_without_listeners() {
    for lists in [true, false] {
        let mut stage = Stage::new(Dialect::Sidecar).await;
        if lists {
            stage.replay.istiod.list_nothing("type.googleapis.com/envoy.config.listener.v3.Listener").await;
        }
        let mut seen = Vec::new();
        for push in recorded(Dialect::Sidecar) {
            stage.replay.push(&push).await;
            if seen.is_empty() && !lists {
                // There may be routes on their way.
                assert_eq!(
                    (stage.clusters(), stage.calls().await),
                    (BTreeSet::new(), Err("waits".to_owned()))
                );
                sleep(RESOURCE_TIMEOUT).await;
                stage.replay.istiod.listen();
            }
            let clusters: Vec<_> = stage.clusters().into_iter().collect();
            let told = stage.calls().await.map_or_else(|why| vec![why], |calls| calls.into_keys().collect());
            let told = told.into_iter().map(|told| match &told[..] {
                NOBODY_KNOWS if !lists => NOWHERE[0].to_owned(),
                _ => told,
            });
            seen.push((name(&push), clusters, told.collect()));
        }
        assert_seen(&seen, EXPECTED_OF_CLUSTERS);
    }
}

/// Nobody who calls meanwhile notices anything, until the service is gone, and from when it is back.
#[tokio::test(start_paused = true)]
async fn under_load() {
    let mut stage = Stage::new(Dialect::Grpc).await;
    let mut load = None;
    for push in pushes(Dialect::Grpc) {
        let name = name(&push);
        stage.replay.istiod.push(&push).await;
        match &name[..] {
            "04-step0-eds" | "28-step7-lds" => {
                sleep(MS(10)).await;
                load = Some(Load::echo(&stage.replay.channels[0], MS(1)));
            }
            "21-step4-rds" | "31-step7-eds" => {
                sleep(Duration::from_secs(5)).await;
                let record = load.take().map(Load::finish).unwrap().await;
                assert_eq!(record.failures, [""; 0], "{name}");
                assert!(record.answers.len() > 4000, "{name}: {}", record.answers.len());
            }
            _ => sleep(MS(20)).await,
        }
        stage.replay.istiod.listen();
    }
}
