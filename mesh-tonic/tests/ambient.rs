//! What is wrong with a configuration that stays in force: nobody suffers from it, and everybody can see it.

use bytes::Bytes;
use mesh_core::bootstrap::{Bootstrap, Node};
use mesh_core::clock::now;
use mesh_core::telemetry::events::Event;
use mesh_core::xds::in_process::{ControlPlane, ServerStream};
use mesh_core::{Kind, Mesh};
use mesh_proto::envoy::service::discovery::v3::{DiscoveryResponse, ResourceError, ResourceName};
use mesh_proto::google::rpc::Status as Reason;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::log::Lines;
use mesh_testkit::resources::{any, cluster};
use mesh_testkit::world::{CONTROL_PLANE, TARGET, World};
use mesh_tonic::{Channel, mesh_error};
use prost::Message as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

/// A control plane in whose streams another may interject.
#[derive(Clone)]
struct Interrupted {
    world: World,
    responses: Arc<Mutex<Vec<Sender<Bytes>>>>,
}

impl ControlPlane for Interrupted {
    fn serve(&self, stream: ServerStream) {
        self.responses.lock().unwrap().push(stream.responses.clone());
        self.world.control.serve(stream);
    }
}

impl Interrupted {
    async fn report(&self, code: i32, message: &str) {
        let reason = Reason { code, message: message.to_owned(), ..Default::default() };
        let name = ResourceName { name: "echo".to_owned(), ..Default::default() };
        let response = DiscoveryResponse {
            type_url: CLUSTER.to_owned(),
            nonce: "interjected".to_owned(),
            resource_errors: vec![ResourceError { resource_name: Some(name), error_detail: Some(reason) }],
            ..Default::default()
        };
        let responses = self.responses.lock().unwrap().last().unwrap().clone();
        responses.send(response.encode_to_vec().into()).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
}

async fn call(channel: &Channel) -> Result<(), tonic::Status> {
    EchoClient::new(channel.clone()).unary(Message::new("x")).await.map(|_| ())
}

/// Why a call fails that finds no endpoint.
async fn obstacle(channel: &Channel) -> String {
    let status = call(channel).await.unwrap_err();
    assert_eq!(mesh_error(&status).unwrap().kind(), Kind::Unreachable, "{status}");
    status.message().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_refused_version_is_named_where_the_one_before_fails() {
    let (world, mut backends) = World::with_backends(&["10.0.0.1:80"]);
    let channel = Channel::new(&world.mesh().unwrap(), TARGET).unwrap();
    call(&channel).await.unwrap();
    let mut bad = cluster("echo");
    bad.lb_policy = 99;
    world.control.set([any(&bad)]);
    sleep(Duration::from_millis(10)).await;
    call(&channel).await.expect("the version before it is in force");

    world.net.refuse("10.0.0.1:80");
    backends.remove(0).kill();
    let why = obstacle(&channel).await;
    assert!(why.contains("10.0.0.1:80") && why.contains("refused"), "the reason comes first: {why}");
    assert!(why.contains("Cluster echo is kept, because a newer one was refused: lb_policy: 99"), "{why}");
    world.control.set([any(&cluster("echo"))]);
    sleep(Duration::from_millis(10)).await;
    let why = obstacle(&channel).await;
    assert!(!why.contains("is kept"), "it is over: {why}");
}

/// Whether there is one before it, and whether that may be used.
#[tokio::test(start_paused = true)]
async fn of_a_refused_version_it_is_told_what_is_in_force_instead() {
    let mut bad = cluster("echo");
    bad.lb_policy = 99;
    for (first, fail, expected) in [
        (cluster("echo"), false, "resource refused; the version before it stays in force"),
        (bad.clone(), false, "resource refused; none is in force"),
        (cluster("echo"), true, "resource refused; none is in force"),
    ] {
        let (log, _guard) = Lines::capture();
        let (world, _backends) = World::with_backends(&["10.0.0.1:80"]);
        let _server = world.control.serve_on(world.net.listen(CONTROL_PLANE));
        world.control.set([any(&first)]);
        let mut bootstrap = Bootstrap::new(CONTROL_PLANE, Node::default()).unwrap();
        bootstrap.servers[0].features.fail_on_data_errors = fail;
        let mesh = Mesh::builder().bootstrap(bootstrap).dialer(world.net.dialer()).build().unwrap();
        let channel = Channel::new(&mesh, TARGET).unwrap();
        let _ = call(&channel).await;
        world.control.set([any(&bad)]);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(call(&channel).await.is_ok(), expected.contains("before"));
        let lines = log.take();
        let told: Vec<_> = lines.iter().filter(|line| line.contains("refused")).collect();
        assert!(told.len() == 1 && told[0].contains(expected), "{expected}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_control_plane_reports_is_told_once_and_named_where_it_matters() {
    let (log, _guard) = Lines::capture();
    let (world, mut backends) = World::with_backends(&["10.0.0.1:80"]);
    let control = Interrupted { world: world.clone(), responses: Arc::default() };
    let mesh =
        Mesh::builder().control_plane(control.clone()).dialer(world.net.dialer()).seed(1).build().unwrap();
    let mut events = mesh.events();
    let channel = Channel::new(&mesh, TARGET).unwrap();
    call(&channel).await.unwrap();
    let (_, _) = (log.take(), std::iter::from_fn(|| events.try_recv().ok()).count());

    control.report(7, "echo is not for you").await;
    control.report(7, "echo is not for you").await;
    control.report(7, "nor tomorrow").await;
    call(&channel).await.expect("what is known stays in force");
    let lines = log.take();
    assert!(
        lines.len() == 1 && lines[0].starts_with("WARN") && lines[0].contains("echo is not for you"),
        "{lines:?}"
    );
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    let reported = told.iter().filter_map(|event| match event {
        Event::Reported { name, reason, .. } => Some((&**name, &**reason)),
        _ => None,
    });
    assert_eq!(reported.collect::<Vec<_>>(), [("echo", "echo is not for you"), ("echo", "nor tomorrow")]);

    world.net.refuse("10.0.0.1:80");
    backends.remove(0).kill();
    let why = obstacle(&channel).await;
    assert!(why.contains("Cluster echo is kept, but the control plane reports: nor tomorrow"), "{why}");
    let mut changed = cluster("echo");
    changed.alt_stat_name = "changed".to_owned();
    world.control.set([any(&changed)]);
    sleep(Duration::from_millis(10)).await;
    let why = obstacle(&channel).await;
    assert!(!why.contains("is kept"), "it is over: {why}");
    assert!(log.take().iter().any(|line| line.contains("accepted again")));
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_away_is_named_where_endpoints_are_missing() {
    let (world, mut backends) = World::with_backends(&["10.0.0.1:80"]);
    let server = world.control.serve_on(world.net.listen(CONTROL_PLANE));
    let channel = Channel::new(&world.remote_mesh().unwrap(), TARGET).unwrap();
    call(&channel).await.unwrap();
    drop(server);
    world.net.refuse(CONTROL_PLANE);
    sleep(Duration::from_secs(5)).await;
    call(&channel).await.expect("what is known stays in force");
    world.net.refuse("10.0.0.1:80");
    backends.remove(0).kill();
    let why = obstacle(&channel).await;
    let who = format!("; the control plane: {CONTROL_PLANE}: connection refused");
    assert!(why.contains(&who), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_known_to_be_slow_is_waited_for_longer() {
    let world = World::default();
    let _server = world.control.serve_on(world.net.listen(CONTROL_PLANE));
    let mut bootstrap = Bootstrap::new(CONTROL_PLANE, Node::default()).unwrap();
    bootstrap.servers[0].features.resource_timer_is_transient_error = true;
    let mesh = Mesh::builder().bootstrap(bootstrap).dialer(world.net.dialer()).seed(1).build().unwrap();
    let start = now();
    let status = call(&Channel::new(&mesh, TARGET).unwrap()).await.unwrap_err();
    assert!(status.message().contains("the control plane has not answered in time"), "{status}");
    assert!((30..32).contains(&(now() - start).as_secs()), "{:?}", now() - start);
}
