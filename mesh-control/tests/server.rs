//! The ADS server over real sockets on loopback.

use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_control::raw::RawCodec;
use mesh_control::serve::World;
use mesh_control::serve::server::{Access, BindError, Server};
use mesh_control::translate::{Kind, NodeView};
use mesh_core::bootstrap::{Bootstrap, Node};
use mesh_core::{ClusterConfig, Mesh};
use mesh_proto::ads::{
    Any, DELTA_AGGREGATED_RESOURCES, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest,
    DiscoveryResponse, STREAM_AGGREGATED_RESOURCES,
};
use mesh_proto::envoy::config::core::v3::Node as NodeProto;
use mesh_testkit::backend::Backend;
use mesh_testkit::echo::{EchoClient, Message};
use mesh_testkit::net::Listener;
use mesh_testkit::resources::{any, assignment, cluster, listener, route, routes};
use mesh_tonic::Channel;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(20);

/// A world of given resources.
#[derive(Clone, Debug, Default)]
struct Fixed {
    version: u64,
    resources: BTreeMap<(Kind, String), Bytes>,
}

impl Fixed {
    fn with(mut self, name: &str, any: Any) -> Self {
        self.version += 1;
        let kind = Kind::from_type_url(&any.type_url).unwrap();
        self.resources.insert((kind, name.to_owned()), any.value);
        self
    }

    /// Service `echo:80` at these endpoints.
    fn echo(endpoints: &[&str]) -> Self {
        Self::default()
            .with("echo:80", any(&listener("echo:80", "r")))
            .with("r", any(&routes("r", "echo:80", vec![route("/", &[("c", 1)])])))
            .with("c", any(&cluster("c")))
            .with("c", any(&assignment("c", endpoints)))
    }
}

impl World for Fixed {
    fn version(&self) -> u64 {
        self.version
    }

    fn resource(&self, _: &NodeView, kind: Kind, name: &str) -> Option<Bytes> {
        self.resources.get(&(kind, name.to_owned())).cloned()
    }

    fn names(&self, _: &NodeView, kind: Kind) -> Vec<Arc<str>> {
        self.resources.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.as_str().into()).collect()
    }
}

/// A server that runs until told.
struct Running {
    address: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start<W: World + Send + Sync + 'static>(worlds: watch::Receiver<Arc<W>>) -> Self {
        let server = Server::bind("127.0.0.1:0", Access::Local).await.unwrap();
        let address = server.local_address().to_string();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(worlds, async move { drop(stopped.await) }));
        Self { address, stop, task }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(LONG, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// An ADS stream, by hand.
struct Stream {
    requests: mpsc::Sender<Bytes>,
    responses: Streaming<Bytes>,
    _mesh: Mesh,
}

impl Stream {
    async fn open(address: &str, path: &'static str) -> Result<Self, Status> {
        let cluster = ClusterConfig::new("server").endpoint(address).unwrap();
        let mesh = Mesh::builder().cluster(cluster).build().unwrap();
        let channel = Channel::new(&mesh, "static:///server").unwrap();
        let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(64 << 20);
        grpc.ready().await?;
        let (requests, receiver) = mpsc::channel(16);
        let request = tonic::Request::new(ReceiverStream::new(receiver));
        let responses =
            grpc.streaming(request, PathAndQuery::from_static(path), RawCodec).await?.into_inner();
        Ok(Self { requests, responses, _mesh: mesh })
    }

    async fn send(&self, request: impl prost::Message) {
        self.requests.send(request.encode_to_vec().into()).await.unwrap();
    }

    async fn next<M: prost::Message + Default>(&mut self) -> Result<M, Status> {
        let message = timeout(LONG, self.responses.message()).await.expect("no answer")?;
        Ok(M::decode(message.expect("the stream ended")).unwrap())
    }
}

fn node() -> Option<NodeProto> {
    Some(NodeProto {
        id: "sidecar~127.0.0.1~test.default~default.svc.cluster.local".into(),
        ..Default::default()
    })
}

/// Asks for every Listener.
fn everything() -> DiscoveryRequest {
    DiscoveryRequest { node: node(), type_url: Kind::Listener.type_url().to_owned(), ..Default::default() }
}

async fn mesh(address: &str) -> Mesh {
    Mesh::from_bootstrap(Bootstrap::new(address, Node::default()).unwrap()).unwrap()
}

async fn call(client: &mut EchoClient<Channel>) -> Result<String, Status> {
    let answer = timeout(LONG, client.unary(Message::new("hello"))).await.expect("no answer")?;
    Ok(answer.metadata().get("x-backend").unwrap().to_str().unwrap().to_owned())
}

async fn backend(name: &str) -> (Backend, String) {
    let listener = Listener::loopback().await.unwrap();
    let address = listener.local_address().unwrap();
    (Backend::http2(name, listener), address)
}

#[tokio::test]
async fn several_clients_are_led_to_backends_and_follow_changes() {
    let (_a, a_address) = backend("a").await;
    let (_b, b_address) = backend("b").await;
    let worlds = watch::Sender::new(Arc::new(Fixed::echo(&[&a_address])));
    let server = Running::start(worlds.subscribe()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mesh = mesh(&server.address).await;
        let mut client = EchoClient::new(Channel::new(&mesh, "xds:///echo:80").unwrap());
        assert_eq!(call(&mut client).await.unwrap(), "a");
        clients.push((mesh, client));
    }
    let next = Fixed { version: 9, ..Fixed::echo(&[&b_address]) };
    worlds.send_replace(Arc::new(next));
    for (_, client) in &mut clients {
        let moved = async { while call(client).await.unwrap() != "b" {} };
        timeout(LONG, moved).await.expect("the change does not arrive");
    }
    server.stop().await;
    // Configured once, clients do without.
    for (mesh, client) in &mut clients {
        assert_eq!(call(client).await.unwrap(), "b");
        assert!(mesh.close(LONG).await);
    }
}

#[tokio::test]
async fn shutting_down_ends_open_streams_and_says_why() {
    let worlds = watch::Sender::new(Arc::new(Fixed::echo(&[])));
    let server = Running::start(worlds.subscribe()).await;
    let mut stream = Stream::open(&server.address, STREAM_AGGREGATED_RESOURCES).await.unwrap();
    stream.send(everything()).await;
    let first: DiscoveryResponse = stream.next().await.unwrap();
    assert_eq!((first.resources.len(), first.version_info.as_str()), (1, "4"));
    server.stop().await;
    let status = stream.next::<DiscoveryResponse>().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("shutting down"), "{status:?}");
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_a_reason() {
    let worlds = watch::Sender::new(Arc::new(Fixed::echo(&[])));
    let server = Running::start(worlds.subscribe()).await;
    let mut stream = Stream::open(&server.address, DELTA_AGGREGATED_RESOURCES).await.unwrap();
    stream
        .send(DeltaDiscoveryRequest { type_url: Kind::Cluster.type_url().into(), ..Default::default() })
        .await;
    let status = stream.next::<DeltaDiscoveryResponse>().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("node"), "{status:?}");
    let mut stream = Stream::open(&server.address, STREAM_AGGREGATED_RESOURCES).await.unwrap();
    stream.requests.send(Bytes::from_static(b"\xff\xff")).await.unwrap();
    assert_eq!(stream.next::<DiscoveryResponse>().await.unwrap_err().code(), Code::InvalidArgument);
    let status = Stream::open(&server.address, "/other.Service/Method").await.err().unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_the_latest_state_and_little_before() {
    let big = |content: u8| Any {
        type_url: Kind::Cluster.type_url().to_owned(),
        value: Bytes::from(vec![content; 100_000]),
    };
    let worlds = watch::Sender::new(Arc::new(Fixed::default().with("c", big(0))));
    let server = Running::start(worlds.subscribe()).await;
    let mut stream = Stream::open(&server.address, DELTA_AGGREGATED_RESOURCES).await.unwrap();
    let type_url = Kind::Cluster.type_url().to_owned();
    let names = vec!["c".to_owned()];
    stream
        .send(DeltaDiscoveryRequest {
            node: node(),
            type_url,
            resource_names_subscribe: names,
            ..Default::default()
        })
        .await;
    let _: DeltaDiscoveryResponse = stream.next().await.unwrap();
    const LAST: u8 = 250;
    for content in 1..=LAST {
        worlds.send_replace(Arc::new(Fixed {
            version: content.into(),
            ..Fixed::default().with("c", big(content))
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut responses = 0;
    loop {
        let response: DeltaDiscoveryResponse = stream.next().await.unwrap();
        responses += 1;
        if response.resources[0].resource.as_ref().unwrap().value[0] == LAST {
            break;
        }
    }
    assert!(responses < 100, "{responses} responses had piled up");
    server.stop().await;
}

#[tokio::test]
async fn remote_addresses_need_leave() {
    let error = Server::bind("0.0.0.0:0", Access::Local).await.unwrap_err();
    assert!(matches!(error, BindError::Remote(_)));
    let text = error.to_string();
    assert!(text.contains("0.0.0.0") && text.contains("--allow-remote"), "{text}");
    Server::bind("0.0.0.0:0", Access::Anybody).await.unwrap();
    Server::bind("localhost:0", Access::Local).await.unwrap();
    assert!(matches!(Server::bind("nonsense", Access::Local).await, Err(BindError::Io { .. })));
}
