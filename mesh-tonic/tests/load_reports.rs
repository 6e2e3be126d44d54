//! Load reports and drops, as a control plane sees them: in memory and in virtual time.

use mesh_core::Mesh;
use mesh_core::bootstrap::Bootstrap;
use mesh_core::telemetry::metrics;
use mesh_core::xds::in_process::ServerStream;
use mesh_proto::ads::Any;
use mesh_proto::envoy::config::core::v3::{ConfigSource, Locality, SelfConfigSource, config_source};
use mesh_proto::envoy::config::endpoint::v3::ClusterStats;
use mesh_proto::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use mesh_proto::envoy::config::endpoint::v3::cluster_load_assignment::policy::DropOverload;
use mesh_proto::envoy::service::load_stats::v3::{LoadStatsRequest, LoadStatsResponse};
use mesh_proto::envoy::r#type::v3::FractionalPercent;
use mesh_proto::google::protobuf::UInt32Value;
use mesh_testkit::ads::Server;
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::resources::{any, assignment, cluster, duration};
use mesh_testkit::world::{CONTROL_PLANE, TARGET, World};
use mesh_tonic::Channel;
use prost::Message as _;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};
use tonic::{Code, Request};

const BACKENDS: [&str; 2] = ["10.0.0.1:80", "10.0.0.2:80"];
const SECOND: Duration = Duration::from_secs(1);

/// A cluster whose load is to be reported to whoever sent it.
fn reported(name: &str, metrics: &[&str]) -> Any {
    let mut cluster = cluster(name);
    cluster.lrs_server = Some(ConfigSource {
        config_source_specifier: Some(config_source::ConfigSourceSpecifier::Self_(
            SelfConfigSource::default(),
        )),
        ..Default::default()
    });
    cluster.lrs_report_endpoint_metrics = metrics.iter().map(ToString::to_string).collect();
    any(&cluster)
}

/// An assignment with each endpoint in a zone of its own, called like it; `drops` are categories and percentages.
fn in_zones(name: &str, endpoints: &[&str], drops: &[(&str, u32)]) -> Any {
    let mut zones = assignment(name, &[]);
    zones.endpoints = endpoints
        .iter()
        .map(|endpoint| {
            let mut zone = assignment(name, &[endpoint]).endpoints.remove(0);
            zone.locality = Some(Locality { zone: (*endpoint).to_owned(), ..Default::default() });
            zone.load_balancing_weight = Some(UInt32Value { value: 1 });
            zone
        })
        .collect();
    let drops = drops.iter().map(|(category, percent)| DropOverload {
        category: (*category).to_owned(),
        drop_percentage: Some(FractionalPercent { numerator: *percent, denominator: 0 }),
    });
    zones.policy = Some(Policy { drop_overloads: drops.collect(), ..Default::default() });
    any(&zones)
}

/// A world with a backend in each of two zones, whose control plane wants to hear of load.
struct Reporting {
    world: World,
    backends: Vec<Backend>,
    _server: Server,
    streams: UnboundedReceiver<ServerStream>,
    mesh: Mesh,
    client: EchoClient<Channel>,
}

impl Reporting {
    fn new(metrics: &[&str], drops: &[(&str, u32)]) -> Self {
        let (world, backends) = World::with_backends(&BACKENDS);
        world.control.set([reported("echo", metrics), in_zones("echo", &BACKENDS, drops)]);
        let (server, streams) = world.control.serve_with_loads(world.net.listen(CONTROL_PLANE));
        let mesh = world.remote_mesh().unwrap();
        let client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
        Self { world, backends, _server: server, streams, mesh, client }
    }

    /// The next stream on which load is reported, after its first message.
    async fn stream(&mut self) -> Loads {
        let stream = timeout(60 * SECOND, self.streams.recv()).await.expect("a stream").unwrap();
        let mut loads = Loads { stream };
        let first = loads.next().await.expect("a first message");
        let features = first.node.expect("the node goes first").client_features;
        assert!(
            features.iter().any(|feature| feature == "envoy.lrs.supports_send_all_clusters"),
            "{features:?}"
        );
        assert!(first.cluster_stats.is_empty());
        loads
    }

    /// Calls so many times; how many went well, and the messages of those that did not.
    async fn call(&mut self, times: usize) -> (usize, Vec<tonic::Status>) {
        let (mut well, mut failures) = (0, Vec::new());
        for _ in 0..times {
            match self.client.unary(Request::new(Message::new("x"))).await {
                Ok(_) => well += 1,
                Err(status) => failures.push(status),
            }
        }
        (well, failures)
    }
}

struct Loads {
    stream: ServerStream,
}

impl Loads {
    async fn ask(&self, clusters: Option<&[&str]>, seconds: u64, per_endpoint: bool) {
        let response = LoadStatsResponse {
            clusters: clusters.unwrap_or_default().iter().map(ToString::to_string).collect(),
            send_all_clusters: clusters.is_none(),
            load_reporting_interval: Some(duration(Duration::from_secs(seconds))),
            report_endpoint_granularity: per_endpoint,
        };
        self.stream.responses.send(response.encode_to_vec().into()).await.unwrap();
    }

    /// The next message; none if the stream ends.
    async fn next(&mut self) -> Option<LoadStatsRequest> {
        let message = timeout(60 * SECOND, self.stream.requests.recv()).await.expect("a message or an end");
        message.map(|message| LoadStatsRequest::decode(message).unwrap())
    }

    /// The next report of one cluster.
    async fn cluster(&mut self) -> ClusterStats {
        let mut stats = self.next().await.expect("a report").cluster_stats;
        assert_eq!(stats.len(), 1, "{stats:?}");
        stats.remove(0)
    }
}

/// Issued, good and bad requests by zone.
fn by_zone(stats: &ClusterStats) -> BTreeMap<String, (u64, u64, u64)> {
    let zone = |zone: &mesh_proto::envoy::config::endpoint::v3::UpstreamLocalityStats| {
        let name = zone.locality.as_ref().unwrap().zone.clone();
        (name, (zone.total_issued_requests, zone.total_successful_requests, zone.total_error_requests))
    };
    stats.upstream_locality_stats.iter().map(zone).collect()
}

#[tokio::test(start_paused = true)]
async fn two_hundred_calls_of_which_102_fail_are_reported_by_zone() {
    let mut it = Reporting::new(&[], &[]);
    let mut loads = it.stream().await;
    loads.ask(None, 30, true).await;
    let (good, bad) = it.call(98).await;
    assert_eq!((good, bad.len()), (98, 0));
    for backend in &it.backends {
        backend.set(Behavior::GrpcStatus(9));
    }
    let (good, bad) = it.call(102).await;
    assert_eq!((good, bad.len()), (0, 102));

    let stats = loads.cluster().await;
    assert_eq!(stats.cluster_name, "echo");
    assert_eq!(stats.total_dropped_requests, 0);
    let zones = by_zone(&stats);
    let sum = |of: fn(&(u64, u64, u64)) -> u64| zones.values().map(of).sum::<u64>();
    assert_eq!((sum(|zone| zone.0), sum(|zone| zone.1), sum(|zone| zone.2)), (200, 98, 102));
    for (backend, zone) in it.backends.iter().zip(&stats.upstream_locality_stats) {
        assert_eq!(zone.total_issued_requests, backend.requests() as u64);
        assert_eq!(zone.total_requests_in_progress, 0);
        let [endpoint] = &zone.upstream_endpoint_stats[..] else { panic!("{zone:?}") };
        assert_eq!(endpoint.total_issued_requests, backend.requests() as u64);
    }

    it.backends.iter().for_each(|backend| backend.set(Behavior::Stall));
    let mut client = it.client.clone();
    let stuck = tokio::spawn(async move { client.unary(Message::new("x")).await });
    let stats = loads.cluster().await;
    let [zone] = &stats.upstream_locality_stats[..] else { panic!("{stats:?}") };
    assert_eq!((zone.total_issued_requests, zone.total_requests_in_progress), (1, 1));
    stuck.abort();
    let stats = loads.cluster().await;
    let [zone] = &stats.upstream_locality_stats[..] else { panic!("{stats:?}") };
    assert_eq!((zone.total_error_requests, zone.total_requests_in_progress), (1, 0), "it was given up");
    assert!(loads.next().await.unwrap().cluster_stats.is_empty(), "nothing happened");
    assert!(it.mesh.close(10 * SECOND).await);
    assert!(loads.next().await.unwrap().cluster_stats.is_empty(), "the last word");
    assert_eq!(loads.next().await, None, "the stream ends with the mesh");
}

#[tokio::test(start_paused = true)]
async fn a_share_of_the_calls_is_dropped_at_once_and_counted_by_category() {
    let mut it = Reporting::new(&[], &[("throttle", 30), ("never", 0)]);
    let mut loads = it.stream().await;
    loads.ask(Some(&["echo"]), 30, false).await;
    let (good, bad) = it.call(1000).await;
    assert!((200..400).contains(&bad.len()), "{} of 1000 were dropped", bad.len());
    for status in &bad {
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("echo") && status.message().contains("throttle"), "{status}");
    }
    let sent: usize = it.backends.iter().map(Backend::requests).sum();
    assert_eq!(sent, good, "what is dropped is neither sent nor tried again");
    let stats = loads.cluster().await;
    assert_eq!(stats.total_dropped_requests, bad.len() as u64);
    let dropped: Vec<_> =
        stats.dropped_requests.iter().map(|drop| (drop.category.as_str(), drop.dropped_count)).collect();
    assert_eq!(dropped, [("throttle", bad.len() as u64)]);
    let zones = by_zone(&stats);
    assert_eq!(zones.values().map(|zone| zone.0).sum::<u64>(), good as u64, "drops belong to no zone");
    let measured = [("never".to_owned(), 0.0), ("throttle".to_owned(), bad.len() as f64)];
    assert_eq!(dropped_by_category(&it.mesh).await, measured);

    it.world.control.set([in_zones("echo", &BACKENDS, &[("all", 100)])]);
    sleep(SECOND).await;
    let (good, bad) = it.call(10).await;
    assert_eq!((good, bad.len()), (0, 10));
    it.world.control.set([in_zones("echo", &BACKENDS, &[])]);
    sleep(SECOND).await;
    assert_eq!(it.call(10).await.0, 10);
}

/// What the metrics say was dropped of the cluster `echo`.
async fn dropped_by_category(mesh: &Mesh) -> Vec<(String, f64)> {
    let samples = mesh.metrics().await.unwrap().into_iter();
    let dropped = samples.filter(|sample| *sample.metric == metrics::CLUSTER_DROPPED);
    dropped
        .map(|sample| {
            assert_eq!(*sample.labels[0], *"echo");
            (sample.labels[1].to_string(), sample.value)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn drops_are_measured_where_nobody_wants_a_report() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    world.control.set([in_zones("echo", &BACKENDS, &[("all", 100)])]);
    let mesh = world.mesh().unwrap();
    let mut client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    for _ in 0..3 {
        client.unary(Request::new(Message::new("x"))).await.unwrap_err();
    }
    assert_eq!(dropped_by_category(&mesh).await, [("all".to_owned(), 3.0)]);
    world.control.set([in_zones("echo", &BACKENDS, &[])]);
    sleep(SECOND).await;
    assert_eq!(dropped_by_category(&mesh).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_connection_is_dropped_like_any_other() {
    let mut it = Reporting::new(&[], &[("all", 100)]);
    let (good, bad) = it.call(1).await;
    assert_eq!((good, bad[0].code()), (0, Code::Unavailable));
    assert!(bad[0].message().contains("category all"), "{}", bad[0].message());
    assert!(it.backends.iter().all(|backend| backend.requests() == 0));
}

#[tokio::test(start_paused = true)]
async fn what_endpoints_say_of_their_load_is_summed_as_far_as_it_was_asked_for() {
    let mut it = Reporting::new(&["named_metrics.queue", "cpu_utilization"], &[]);
    let mut loads = it.stream().await;
    loads.ask(None, 30, false).await;
    it.backends[0]
        .set(Behavior::TellLoad("TEXT cpu_utilization=0.5,named_metrics.queue=3,named_metrics.b=1"));
    it.call(40).await;
    let told = it.backends[0].requests() as u64;
    assert!(told > 0);
    let stats = loads.cluster().await;
    let [first, second] = &stats.upstream_locality_stats[..] else { panic!("{stats:?}") };
    let [queue] = &first.load_metric_stats[..] else { panic!("{first:?}") };
    assert_eq!(queue.metric_name, "named_metrics.queue");
    assert_eq!(
        (queue.num_requests_finished_with_metric, queue.total_metric_value),
        (told, 3.0 * told as f64)
    );
    assert_eq!(first.cpu_utilization.unwrap().total_metric_value, 0.5 * told as f64);
    assert!(second.load_metric_stats.is_empty() && second.cpu_utilization.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_or_hangs_up_loses_no_counts() {
    let mut it = Reporting::new(&[], &[]);
    let mut loads = it.stream().await;
    it.call(10).await;
    let silence = timeout(300 * SECOND, loads.stream.requests.recv()).await;
    assert!(silence.is_err(), "nothing is said that was not asked for");
    drop(loads);
    let mut loads = it.stream().await;
    loads.ask(Some(&["other"]), 5, false).await;
    assert!(loads.next().await.unwrap().cluster_stats.is_empty(), "another cluster was asked for");
    it.call(5).await;
    drop(loads);
    let mut loads = it.stream().await;
    loads.ask(Some(&["other", "echo"]), 5, false).await;
    let zones = by_zone(&loads.cluster().await);
    assert_eq!(zones.values().map(|zone| zone.1).sum::<u64>(), 15);
    // Garbage ends the stream, and another one follows.
    loads.stream.responses.send(vec![0xff].into()).await.unwrap();
    assert_eq!(loads.next().await, None);
    it.stream().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_reported_when_the_mesh_closes() {
    let mut it = Reporting::new(&[], &[]);
    let mut loads = it.stream().await;
    loads.ask(None, 3600, false).await;
    it.call(7).await;
    it.backends.iter().for_each(|backend| backend.set(Behavior::Stall));
    let mut client = it.client.clone();
    tokio::spawn(async move { client.unary(Message::new("x")).await });
    sleep(SECOND).await;
    let mesh = it.mesh.clone();
    let closed = tokio::spawn(async move { mesh.close(10 * SECOND).await });
    let stats = loads.cluster().await;
    assert_eq!(by_zone(&stats).values().map(|zone| zone.1).sum::<u64>(), 7);
    assert_eq!(loads.next().await, None);
    assert!(!closed.await.unwrap(), "the last call never ends");

    let mut it = Reporting::new(&[], &[]);
    let loads = it.stream().await;
    loads.ask(None, 3600, false).await;
    it.call(7).await;
    assert!(it.mesh.close(10 * SECOND).await, "a server that does not let go is not waited for without end");
    assert_eq!(it.mesh.tasks(), 0);
}

/// Both control planes know the same, and want to hear of load.
#[tokio::test(start_paused = true)]
async fn load_is_reported_once_whichever_control_plane_is_in_charge() {
    const OTHER: &str = "10.255.0.2:15010";
    let (world, _backends) = World::with_backends(&BACKENDS);
    world.control.set([reported("echo", &[]), in_zones("echo", &BACKENDS, &[])]);
    let (_other, other_streams) = world.control.serve_with_loads(world.net.listen(OTHER));
    let server = |uri| format!(r#"{{"server_uri": "{uri}", "channel_creds": [{{"type": "insecure"}}]}}"#);
    let servers = format!(r#"{{"xds_servers": [{}, {}]}}"#, server(CONTROL_PLANE), server(OTHER));
    let bootstrap = Bootstrap::from_json(&servers).unwrap();
    let mesh = Mesh::builder().bootstrap(bootstrap).dialer(world.net.dialer()).seed(1).build().unwrap();
    let client = EchoClient::new(Channel::new(&mesh, TARGET).unwrap());
    let mut it =
        Reporting { world, backends: Vec::new(), _server: _other, streams: other_streams, mesh, client };

    // The first one is away, so the other one is in charge.
    let mut other = it.stream().await;
    other.ask(None, 5, false).await;
    it.call(7).await;
    let issued = |stats: &ClusterStats| by_zone(stats).values().map(|zone| zone.0).sum::<u64>();
    assert_eq!(issued(&other.cluster().await), 7);
    it.call(3).await;

    // It is back: whoever was in charge says what is left, and no more.
    let (_first, first_streams) = it.world.control.serve_with_loads(it.world.net.listen(CONTROL_PLANE));
    let mut other_streams = std::mem::replace(&mut it.streams, first_streams);
    let mut first = it.stream().await;
    assert_eq!(issued(&other.cluster().await), 3);
    assert_eq!(other.next().await, None);
    first.ask(None, 5, false).await;
    for _ in 0..5 {
        it.call(2).await;
        assert_eq!(issued(&first.cluster().await), 2);
    }
    assert!(other_streams.try_recv().is_err());

    // And away once more, with what it has not been told.
    it.call(4).await;
    drop((first, _first));
    it.world.net.refuse(CONTROL_PLANE);
    it.streams = other_streams;
    let another = Channel::new(&it.mesh, "xds:///other:80").unwrap();
    let mut other = it.stream().await;
    other.ask(None, 5, false).await;
    assert_eq!(issued(&other.cluster().await), 4);
    drop(another);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_goes_is_reported_for_the_last_time_and_the_stream_ends() {
    let mut it = Reporting::new(&[], &[]);
    let mut loads = it.stream().await;
    loads.ask(None, 3600, false).await;
    it.call(7).await;
    it.world.control.set([any(&cluster("echo"))]);
    let zones = by_zone(&loads.cluster().await);
    assert_eq!(zones.values().map(|zone| zone.1).sum::<u64>(), 7);
    assert_eq!(loads.next().await, None, "nobody has anything to report");
    it.call(5).await;
    assert!(timeout(60 * SECOND, it.streams.recv()).await.is_err());

    it.world.control.set([reported("echo", &[])]);
    let mut loads = it.stream().await;
    loads.ask(None, 5, false).await;
    it.call(3).await;
    let zones = by_zone(&loads.cluster().await);
    assert_eq!(zones.values().map(|zone| zone.0).sum::<u64>(), 3, "what was not to be reported is not");
}
