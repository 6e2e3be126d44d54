//! The echo server, and a control plane that leads to it.

use mesh_testkit::ads::Resources;
use mesh_testkit::echo::EchoServer;
use mesh_testkit::net::Listener;
use mesh_testkit::resources as r;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

/// Endpoints that the server has.
const ENDPOINTS: usize = 3;

/// Serves for ever; prints its addresses and that of its control plane.
pub fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut addresses = Vec::new();
        for number in 0..ENDPOINTS {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.push(listener.local_addr().unwrap().to_string());
            let server = Server::builder().tcp_nodelay(true).add_service(EchoServer::new(number.to_string()));
            tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        }
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let resources = Resources::new();
        for (target, endpoints) in [("one:80", &addresses[..1]), ("three:80", &addresses[..])] {
            resources.set([
                r::any(&r::listener(target, target)),
                r::any(&r::routes(target, target, vec![r::route("/", &[(target, 1)])])),
                r::any(&r::cluster(target)),
                r::any(&r::assignment(target, endpoints)),
            ]);
        }
        let listener = Listener::loopback().await.unwrap();
        let control_plane = listener.local_address().unwrap();
        let _server = resources.serve_on(listener);
        println!("{} {control_plane}", addresses.join(","));
        std::future::pending::<()>().await;
    });
}
