//! One client process: warms up, calls, and says what it cost.

use crate::bare::Bare;
use bytes::Bytes;
use mesh_core::bootstrap::Node;
use mesh_core::{Bootstrap, Mesh};
use mesh_testkit::echo::{EchoClient, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, StdError};
use tonic::transport::Endpoint;

const PAYLOAD: &[u8] = b"0123456789a";
/// Calls that are not counted.
const WARM_UP: u64 = 2_000;
/// How long the first answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two figures, for each call.
pub type Cost = (f64, f64);

/// Calls through a kind of channel; `measure` does the work it is given and says what it cost.
pub fn run(
    kind: &str,
    addresses: &str,
    control_plane: &str,
    in_flight: u64,
    calls: u64,
    measure: impl FnOnce(&mut dyn FnMut()) -> Cost,
) -> Cost {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let load = Load { in_flight, calls, runtime: &runtime };
    let (name, several) = kind.strip_suffix(", 3").map_or((kind, false), |name| (name, true));
    let target = if several { "xds:///three:80" } else { "xds:///one:80" };
    let first = addresses.split(',').next().unwrap();
    match name {
        "h2" => load.run(runtime.block_on(Bare::connect(first)), measure),
        "tonic Channel" => {
            let endpoint = Endpoint::from_shared(format!("http://{first}")).unwrap().tcp_nodelay(true);
            load.run(runtime.block_on(endpoint.connect()).unwrap(), measure)
        }
        "tonic balance_list" => {
            let endpoint = |address| Endpoint::from_shared(format!("http://{address}")).unwrap();
            let _runtime = runtime.enter();
            load.run(tonic::transport::Channel::balance_list(addresses.split(',').map(endpoint)), measure)
        }
        #[cfg(feature = "tonic-xds")]
        "tonic-xds" => {
            use tonic_xds::{
                BootstrapConfig, ChannelCredentialType, XdsChannelBuilder, XdsChannelConfig, XdsUri,
            };
            let _runtime = runtime.enter();
            let bootstrap = BootstrapConfig::builder(format!("http://{control_plane}"))
                .channel_creds([ChannelCredentialType::Insecure])
                .node_id("peers")
                .build()
                .unwrap();
            let config = XdsChannelConfig::new(XdsUri::parse(target).unwrap()).with_bootstrap(bootstrap);
            load.run(XdsChannelBuilder::new(config).build_grpc_channel().unwrap(), measure)
        }
        "mesh" => {
            let _runtime = runtime.enter();
            let bootstrap = Bootstrap::new(control_plane, Node::default()).unwrap();
            let mesh = Mesh::from_bootstrap(bootstrap).unwrap();
            load.run(mesh_tonic::Channel::new(&mesh, target).unwrap(), measure)
        }
        _ => panic!("no such kind: {kind}"),
    }
}

/// CPU microseconds and calls per second.
pub fn time(work: &mut dyn FnMut()) -> Cost {
    let (cpu, start) = (cpu_nanos(), Instant::now());
    work();
    ((cpu_nanos() - cpu) as f64 / 1_000.0, start.elapsed().as_secs_f64())
}

struct Load<'a> {
    in_flight: u64,
    calls: u64,
    runtime: &'a Runtime,
}

impl Load<'_> {
    fn run<T>(&self, channel: T, measure: impl FnOnce(&mut dyn FnMut()) -> Cost) -> Cost
    where
        T: GrpcService<Body, Future: Send, Error: Into<StdError>> + Clone + Send + 'static,
        T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    {
        let client = EchoClient::new(channel);
        self.wait(client.clone());
        self.call(&client, WARM_UP);
        let (a, b) = measure(&mut || self.call(&client, self.calls));
        (a / self.calls as f64, b / self.calls as f64)
    }

    /// Some channels fail calls until they are configured and connected.
    fn wait<T>(&self, mut client: EchoClient<T>)
    where
        T: GrpcService<Body, Error: Into<StdError>>,
        T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    {
        self.runtime.block_on(async {
            let start = Instant::now();
            while let Err(status) = client.unary(Message::new(PAYLOAD)).await {
                assert!(start.elapsed() < PATIENCE, "{status:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    fn call<T>(&self, client: &EchoClient<T>, calls: u64)
    where
        T: GrpcService<Body, Future: Send, Error: Into<StdError>> + Clone + Send + 'static,
        T::ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    {
        let begun = Arc::new(AtomicU64::new(0));
        let callers: Vec<_> = (0..self.in_flight)
            .map(|_| {
                let (mut client, begun) = (client.clone(), begun.clone());
                self.runtime.spawn(async move {
                    while begun.fetch_add(1, Ordering::Relaxed) < calls {
                        let answer = client.unary(Message::new(PAYLOAD)).await.unwrap();
                        assert_eq!(answer.get_ref().payload, PAYLOAD);
                    }
                })
            })
            .collect();
        self.runtime.block_on(async {
            for caller in callers {
                caller.await.unwrap();
            }
        });
    }
}

/// The CPU time of this process, which has one thread.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
