//! Requests by what a control plane says.

use crate::common::get;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{Empty, Full};
use mesh_core::clock::now;
use mesh_core::error::Chain;
use mesh_core::{Kind, Mesh};
use mesh_hyper::{Client, UnknownHosts};
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::route::v3 as route;
use mesh_proto::envoy::service::discovery::v3::{
    DiscoveryRequest, DiscoveryResponse, ResourceError, ResourceName,
};
use mesh_proto::google::rpc::Status;
use mesh_testkit::ads::{Resources, Script};
use mesh_testkit::backend::{Backend, Behavior};
use mesh_testkit::net::VirtualNet;
use mesh_testkit::resources as r;
use prost::Message;
use std::time::Duration;

const HOST: &str = "reviews:9080";
const URL: &str = "http://reviews:9080/reviews/1";

struct World {
    net: VirtualNet,
    control: Resources,
    mesh: Mesh,
    client: Client,
}

impl World {
    /// A mesh whose control plane knows `reviews:9080` with these routes.
    fn new(routes: Vec<route::Route>) -> Self {
        let (net, control) = (VirtualNet::default(), Resources::new());
        let mesh =
            Mesh::builder().dialer(net.dialer()).seed(1).control_plane(control.clone()).build().unwrap();
        control.set([
            r::any(&r::listener(HOST, "routes")),
            r::any(&r::routes("routes", HOST, routes)),
            r::any(&r::cluster("v1")),
            r::any(&r::assignment("v1", &["10.0.0.1:80", "10.0.0.2:80"])),
        ]);
        Self { net, control, client: Client::new(&mesh), mesh }
    }

    fn backends(&self) -> [Backend; 2] {
        ["10.0.0.1:80", "10.0.0.2:80"].map(|address| Backend::http1(address, self.net.listen(address)))
    }
}

fn to_v1() -> Vec<route::Route> {
    vec![r::route("/", &[("v1", 1)])]
}

#[tokio::test(start_paused = true)]
async fn a_known_host_is_balanced() {
    let world = World::new(to_v1());
    let backends = world.backends();
    for _ in 0..20 {
        get(&world.client, URL).await.unwrap();
    }
    assert_eq!(backends.iter().map(Backend::requests).sum::<usize>(), 20);
    assert!(backends.iter().all(|backend| backend.requests() > 0));
    assert_eq!(backends[0].seen()[0].authority, HOST);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_host_is_passed_through_or_refused() {
    let world = World::new(to_v1());
    let outside = Backend::http1("outside", world.net.listen("example.org:80"));
    assert_eq!(get(&world.client, "http://example.org/x").await.unwrap(), "outside /x");
    assert_eq!(outside.seen()[0].authority, "example.org");

    let strict = Client::builder(&world.mesh).unknown_hosts(UnknownHosts::Refuse).build();
    let error = get(&strict, "http://example.org/x").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
    let text = Chain(&error).to_string();
    assert!(text.contains("Listener example.org:80 does not exist"), "{text}");

    // Once the control plane knows it, it is not passed through any more.
    world.control.set([
        r::any(&r::listener("example.org:80", "example")),
        r::any(&r::routes("example", "example.org", to_v1())),
    ]);
    let _backends = world.backends();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(get(&world.client, "http://example.org/x").await.unwrap().starts_with("10.0.0."));
    assert!(get(&strict, "http://example.org/x").await.unwrap().starts_with("10.0.0."));
}

#[tokio::test(start_paused = true)]
async fn what_the_control_plane_may_know_is_not_passed_through() {
    let (script, mut streams) = Script::new();
    tokio::spawn(async move {
        while let Some(mut stream) = streams.recv().await {
            let mut asked = Vec::new();
            while let Some(Ok(request)) = stream.requests.recv().await.map(DiscoveryRequest::decode) {
                if request.resource_names == asked {
                    continue;
                }
                asked = request.resource_names;
                // It may not say anything about the one, and has none of the others.
                let denied = asked.iter().filter(|name| *name == "denied.example:80");
                let error = |name: &String| ResourceError {
                    resource_name: Some(ResourceName { name: name.clone(), ..Default::default() }),
                    error_detail: Some(Status {
                        code: 7,
                        message: "not for you".to_owned(),
                        ..Default::default()
                    }),
                };
                let answer = DiscoveryResponse {
                    type_url: request.type_url,
                    nonce: asked.len().to_string(),
                    resource_errors: denied.map(error).collect(),
                    ..Default::default()
                };
                if stream.responses.send(answer.encode_to_vec().into()).await.is_err() {
                    break;
                }
            }
        }
    });
    let net = VirtualNet::default();
    let mesh = Mesh::builder().control_plane(script).dialer(net.dialer()).seed(1).build().unwrap();
    let client = Client::new(&mesh);
    let denied = Backend::http1("denied", net.listen("denied.example:80"));
    let _other = Backend::http1("other", net.listen("other.example:80"));
    assert_eq!(get(&client, "http://other.example/").await.unwrap(), "other /");
    let error = get(&client, "http://denied.example/").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
    let text = Chain(&error).to_string();
    assert!(text.contains("Listener denied.example:80") && text.contains("not for you"), "{text}");
    assert_eq!(denied.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn without_a_control_plane_there_is_only_dns() {
    let net = VirtualNet::default();
    let _backend = Backend::http1("a", net.listen("a:80"));
    let mesh = Mesh::builder().dialer(net.dialer()).seed(1).build().unwrap();
    assert_eq!(get(&Client::new(&mesh), "http://a/").await.unwrap(), "a /");
    let strict = Client::builder(&mesh).unknown_hosts(UnknownHosts::Refuse).build();
    assert_eq!(get(&strict, "http://a/").await.unwrap_err().kind(), Kind::Missing);
    let error = get(&Client::new(&mesh), "http://b/").await.unwrap_err();
    assert_eq!((error.kind(), error.endpoint()), (Kind::Unreachable, Some("b:80")));
}

#[tokio::test(start_paused = true)]
async fn a_503_is_tried_again_elsewhere_by_the_policy_of_the_route() {
    let retry = |action: &mut route::RouteAction| {
        let policy = action.retry_policy.as_mut().unwrap();
        policy.retry_on.push_str(",retriable-status-codes");
        policy.retriable_status_codes = vec![503];
    };
    let world = World::new(vec![r::with_action(r::route("/", &[("v1", 1)]), retry)]);
    let backends = world.backends();
    backends[0].set(Behavior::HttpStatus(503));
    for _ in 0..20 {
        let post = Request::post(URL).body(Full::from("again")).unwrap();
        assert_eq!(crate::common::read(world.client.request(post).await.unwrap()).await, "again");
    }
    assert!(backends[0].requests() > 0, "or nothing was tried again");
    assert_eq!(backends[1].requests(), 20);
    // When the tries are used up the caller gets the last response.
    backends[1].set(Behavior::HttpStatus(503));
    assert_eq!(world.client.get(URL).await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_is_sent_elsewhere_whatever_the_policy() {
    let never = |action: &mut route::RouteAction| action.retry_policy = None;
    let world = World::new(vec![r::with_action(r::route("/", &[("v1", 1)]), never)]);
    let [first, second] = world.backends();
    for _ in 0..4 {
        get(&world.client, URL).await.unwrap();
    }
    first.kill();
    world.net.refuse("10.0.0.1:80");
    for _ in 0..50 {
        let post = Request::post(URL).body(Full::from("x")).unwrap();
        assert_eq!(world.client.request(post).await.unwrap().status(), StatusCode::OK);
    }
    assert!(second.requests() >= 50);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_is_used_again_soon() {
    let world = World::new(to_v1());
    let [first, _second] = world.backends();
    for _ in 0..10 {
        get(&world.client, URL).await.unwrap();
    }
    // It fails, goes, and is back after a while.
    first.set(Behavior::Hangup);
    for _ in 0..10 {
        let _ = get(&world.client, URL).await;
    }
    first.kill();
    world.net.refuse("10.0.0.1:80");
    for _ in 0..10 {
        get(&world.client, URL).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let first = Backend::http1("10.0.0.1:80", world.net.listen("10.0.0.1:80"));
    // Long enough for the last failure to be forgiven, and for the next attempt to connect.
    tokio::time::sleep(Duration::from_secs(6)).await;
    for _ in 0..100 {
        get(&world.client, URL).await.unwrap();
    }
    assert!(first.requests() > 20, "{} of 100", first.requests());
}

#[tokio::test(start_paused = true)]
async fn routes_that_are_not_supported_say_so() {
    let mut redirect = r::route("/old", &[("v1", 1)]);
    redirect.action = Some(route::route::Action::Redirect(route::RedirectAction::default()));
    let mut direct = r::route("/teapot", &[("v1", 1)]);
    direct.action = Some(route::route::Action::DirectResponse(route::DirectResponseAction {
        status: 418,
        ..Default::default()
    }));
    let world = World::new([vec![redirect, direct], to_v1()].concat());
    let _backends = world.backends();
    for (path, what) in [("old", "redirect"), ("teapot", "direct_response")] {
        let error = get(&world.client, &format!("http://{HOST}/{path}")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains(what), "{error}");
    }
    get(&world.client, URL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn routes_see_headers_and_the_host_the_caller_gave() {
    let mut jason = r::route("/", &[("v2", 1)]);
    jason.r#match.as_mut().unwrap().headers = vec![route::HeaderMatcher {
        name: "end-user".to_owned(),
        header_match_specifier: Some(route::header_matcher::HeaderMatchSpecifier::PresentMatch(true)),
        ..Default::default()
    }];
    let world = World::new([vec![jason], to_v1()].concat());
    world.control.set([r::any(&r::cluster("v2")), r::any(&r::assignment("v2", &["10.0.0.3:80"]))]);
    let (_backends, v2) = (world.backends(), Backend::http1("v2", world.net.listen("10.0.0.3:80")));
    let request = Request::get(URL).header("end-user", "jason").header("host", "elsewhere");
    let answer = world.client.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(crate::common::read(answer).await, "v2 /reviews/1");
    assert_eq!(v2.seen()[0].authority, "elsewhere");
    assert!(get(&world.client, URL).await.unwrap().starts_with("10.0.0."));
}

#[tokio::test(start_paused = true)]
async fn the_host_the_caller_gave_says_which_virtual_host_serves() {
    let world = World::new(to_v1());
    let mut routes = r::routes("routes", HOST, to_v1());
    routes.virtual_hosts.extend(r::routes("", "ratings", vec![r::route("/", &[("v2", 1)])]).virtual_hosts);
    let v2 = [r::any(&r::cluster("v2")), r::any(&r::assignment("v2", &["10.0.0.3:80"]))];
    world.control.set([vec![r::any(&routes)], v2.to_vec()].concat());
    let (_backends, _v2) = (world.backends(), Backend::http1("v2", world.net.listen("10.0.0.3:80")));
    let request = Request::get(URL).header("host", "ratings").body(Empty::<Bytes>::new()).unwrap();
    let answer = world.client.request(request).await.unwrap();
    assert_eq!(crate::common::read(answer).await, "v2 /reviews/1");
    assert!(get(&world.client, URL).await.unwrap().starts_with("10.0.0."));
}

#[tokio::test(start_paused = true)]
async fn a_call_made_before_the_configuration_waits_and_learns_what_is_missing() {
    let world = World::new(to_v1());
    let _backends = world.backends();
    world.control.clear();
    let strict = Client::builder(&world.mesh).unknown_hosts(UnknownHosts::Refuse).build();
    let client = strict.clone();
    let early = tokio::spawn(async move { get(&client, URL).await });
    let hopeless = tokio::spawn(async move { get(&strict, "http://nobody/").await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.control.set([
        r::any(&r::listener(HOST, "routes")),
        r::any(&r::routes("routes", HOST, to_v1())),
        r::any(&r::cluster("v1")),
        r::any(&r::assignment("v1", &["10.0.0.1:80", "10.0.0.2:80"])),
    ]);
    assert!(early.await.unwrap().unwrap().starts_with("10.0.0."));
    let error = hopeless.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), Kind::Missing, "{}", Chain(&error));
    assert!(error.to_string().contains("Listener nobody:80"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_needs_a_connection_waits_for_it_as_long_as_its_cluster_says() {
    let world = World::new(vec![r::route("/quick", &[("quick", 1)]), r::route("/", &[("patient", 1)])]);
    let backend = Backend::http1("10.0.0.9:80", world.net.listen("10.0.0.9:80"));
    for (name, seconds) in [("quick", 1), ("patient", 3)] {
        let connect_timeout = Some(r::duration(Duration::from_secs(seconds)));
        world.control.set([
            r::any(&Cluster { connect_timeout, ..r::cluster(name) }),
            r::any(&r::assignment(name, &["10.0.0.9:80"])),
        ]);
    }
    let ask = |path| {
        let client = world.client.clone();
        let request = Request::post(format!("http://{HOST}/{path}")).body(Empty::<Bytes>::new()).unwrap();
        tokio::spawn(async move { (client.request(request).await.map(drop), now()) })
    };
    ask("quick").await.unwrap().0.unwrap();
    ask("patient").await.unwrap().0.unwrap();
    world.net.black_hole("10.0.0.9:80");
    backend.kill();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = now();
    for (call, seconds) in [(ask("quick"), 1), (ask("patient"), 3)] {
        let (result, end) = call.await.unwrap();
        let (why, took) = (Chain(&result.unwrap_err()).to_string(), end - start);
        let limit = Duration::from_secs(seconds);
        assert!(took >= limit && took < limit + Duration::from_millis(100), "{took:?}: {why}");
        assert!(why.contains(&format!("within {limit:?}")), "{why}");
    }
}
