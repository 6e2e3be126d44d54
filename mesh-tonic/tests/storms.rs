//! A control plane that never stops, or never listens: the exchange becomes slow, and calls do not notice.

use mesh_core::Mesh;
use mesh_core::xds::in_process::{ControlPlane, ServerStream};
use mesh_proto::ads::{Any, DiscoveryRequest, DiscoveryResponse};
use mesh_testkit::load::Load;
use mesh_testkit::log::Lines;
use mesh_testkit::resources::{any, assignment, cluster, inline_listener, route, routes};
use mesh_testkit::world::{TARGET, World};
use mesh_tonic::Channel;
use prost::Message as _;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

const BACKENDS: [&str; 1] = ["10.0.0.1:80"];
const NO_FAILURES: [&str; 0] = [];

/// What a control plane does with what it is told.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// It sends everything anew upon each request, as if nothing had been acknowledged.
    Deaf,
    /// It sends everything once.
    Silent,
}

/// Sends the same answers again and again, with another nonce each time.
#[derive(Clone)]
struct Storm {
    manner: Manner,
    /// By type URL.
    answers: Arc<Mutex<HashMap<String, Any>>>,
    requests: Arc<Mutex<Vec<DiscoveryRequest>>>,
}

impl Storm {
    fn new(manner: Manner) -> Self {
        let list = routes("r", "*", vec![route("/", &[("echo", 1)])]);
        let answers = [
            any(&inline_listener("echo:80", list)),
            any(&cluster("echo")),
            any(&assignment("echo", &BACKENDS)),
        ];
        let answers = answers.into_iter().map(|any| (any.type_url.clone(), any)).collect();
        Self { manner, answers: Arc::new(Mutex::new(answers)), requests: Arc::default() }
    }

    fn mesh(&self, world: &World) -> Mesh {
        Mesh::builder().control_plane(self.clone()).dialer(world.net.dialer()).seed(1).build().unwrap()
    }

    fn take(&self) -> Vec<DiscoveryRequest> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }

    async fn run(self, mut stream: ServerStream) {
        let mut nonce = 0;
        while let Some(request) = stream.requests.recv().await {
            let request = DiscoveryRequest::decode(request).unwrap();
            let first = request.response_nonce.is_empty();
            let resources =
                self.answers.lock().unwrap().get(&request.type_url).cloned().into_iter().collect();
            let type_url = request.type_url.clone();
            self.requests.lock().unwrap().push(request);
            if self.manner == Manner::Silent && !first {
                continue;
            }
            nonce += 1;
            let (version_info, nonce) = (format!("v{nonce}"), format!("n{nonce}"));
            let response =
                DiscoveryResponse { version_info, resources, type_url, nonce, ..Default::default() };
            if stream.responses.send(response.encode_to_vec().into()).await.is_err() {
                return;
            }
        }
    }
}

impl ControlPlane for Storm {
    fn serve(&self, stream: ServerStream) {
        tokio::spawn(self.clone().run(stream));
    }
}

/// The cluster, which nobody accepts so.
fn refused() -> Any {
    let mut broken = cluster("echo");
    broken.lb_policy = 99;
    any(&broken)
}

#[tokio::test(start_paused = true)]
async fn endless_nonces_are_answered_ever_more_slowly() {
    let (log, _guard) = Lines::capture();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let storm = Storm::new(Manner::Deaf);
    let mesh = storm.mesh(&world);
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), Duration::from_secs(1));
    sleep(Duration::from_secs(600)).await;
    let answered = storm.take().len();
    // Three types, and one answer in five seconds for each when it goes on.
    assert!((30..3 * 140).contains(&answered), "{answered} requests in ten minutes");
    assert_eq!(log.take().len(), 1, "connected");
    let record = load.finish().await;
    assert_eq!(record.failures, NO_FAILURES);
    assert!(record.answers.len() >= 600, "{}", record.answers.len());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_answered_by_the_same_again_does_not_become_a_storm() {
    let (log, _guard) = Lines::capture();
    let (world, _backends) = World::with_backends(&BACKENDS);
    let storm = Storm::new(Manner::Deaf);
    let mesh = storm.mesh(&world);
    let load = Load::echo(&Channel::new(&mesh, TARGET).unwrap(), Duration::from_secs(1));
    sleep(Duration::from_secs(60)).await;
    storm.answers.lock().unwrap().insert(refused().type_url, refused());
    sleep(Duration::from_secs(10)).await;
    storm.take();
    sleep(Duration::from_secs(600)).await;
    let nacks: Vec<_> = storm.take().into_iter().filter_map(|request| request.error_detail).collect();
    assert!((60..=130).contains(&nacks.len()), "{} refusals in ten minutes", nacks.len());
    assert!(nacks.iter().all(|nack| nack.message.starts_with("echo: lb_policy: 99")), "{nacks:?}");
    let lines = log.take();
    assert!(lines.len() == 2 && lines[1].contains("resource refused"), "{lines:?}");
    assert_eq!(load.finish().await.failures, NO_FAILURES, "the last good cluster serves");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_said_once() {
    let (world, _backends) = World::with_backends(&BACKENDS);
    let storm = Storm::new(Manner::Silent);
    storm.answers.lock().unwrap().insert(refused().type_url, refused());
    let mesh = storm.mesh(&world);
    let _channel = Channel::new(&mesh, TARGET).unwrap();
    sleep(Duration::from_secs(10)).await;
    let said = storm.take();
    assert_eq!(said.iter().filter(|request| request.error_detail.is_some()).count(), 1, "{said:?}");
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(storm.take(), [], "nothing has changed since");
}
