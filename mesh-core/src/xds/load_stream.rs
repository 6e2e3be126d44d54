//! Reports load to one server: joins a [`LoadReport`] to its stream. A stream is open only while there is something to
//! report.

use super::grpc_stream::GrpcStream;
use super::load_counts::ClusterCounts;
use super::load_report::{LoadReport, STREAM_LOAD_STATS};
use super::session::DEFAULT_STREAM_BACKOFF;
use crate::bootstrap::{Node, Server};
use crate::clock::{reached, sleep, sleep_until};
use crate::net::Environment;
use bytes::Bytes;
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;

/// How long a server may take to read the last report.
const FAREWELL: Duration = Duration::from_secs(2);

/// Reports load to one server until it is dropped; what is left is reported then. If the mesh ends that is what has happened
/// by then, else also how the last requests end.
#[derive(Debug)]
pub(super) struct LoadReporter {
    server: Server,
    assigned: watch::Sender<Assigned>,
}

/// Who reports about which clusters.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// Those that one server is told of.
    pub(super) own: Vec<Arc<ClusterCounts>>,
    /// Those that others are told of.
    pub(super) of_others: Vec<Arc<ClusterCounts>>,
}

/// What the task that reports has.
struct Task {
    server: Server,
    assigned: watch::Receiver<Assigned>,
    report: LoadReport,
    environment: Environment,
    /// Streams in a row that failed before the server said anything.
    failures: u32,
}

/// What happens on a stream.
enum Step {
    Message(Bytes),
    /// Something may be sent.
    Ready,
}

impl LoadReporter {
    /// Reports to `server` as `node`, about nothing yet.
    #[must_use]
    pub(super) fn start(server: Server, node: &Node, environment: &Environment) -> Self {
        let (sender, receiver) = watch::channel(Assigned::default());
        let task = Task {
            server: server.clone(),
            assigned: receiver,
            report: LoadReport::new(node),
            environment: environment.clone(),
            failures: 0,
        };
        let tasks = environment.tasks.clone();
        let limit = async move {
            tasks.stopped().await;
            sleep(FAREWELL).await;
        };
        environment.tasks.spawn_to_end(async move {
            tokio::select! {
                () = task.run() => {}
                () = limit => {}
            }
        });
        Self { server, assigned: sender }
    }

    /// Who is reported to.
    #[must_use]
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// Reports about its own of these from now on.
    pub(super) fn assign(&self, assigned: Assigned) {
        self.assigned.send_if_modified(|before| {
            let news =
                !is_same(&before.own, &assigned.own) || !is_same(&before.of_others, &assigned.of_others);
            if news {
                *before = assigned;
            }
            news
        });
    }
}

fn is_same(before: &[Arc<ClusterCounts>], now: &[Arc<ClusterCounts>]) -> bool {
    before.len() == now.len() && before.iter().zip(now).all(|(before, now)| Arc::ptr_eq(before, now))
}

impl Drop for LoadReporter {
    fn drop(&mut self) {
        self.assigned.send_if_modified(|assigned| !std::mem::take(&mut assigned.own).is_empty());
    }
}

impl Task {
    async fn run(mut self) {
        // The first clusters come at once.
        changed(&mut self.assigned).await;
        self.hear();
        while !self.report.is_done() {
            let Err(reason) = self.stream().await else { return };
            self.report.closed();
            let server = &self.server.uri;
            tracing::debug!(%server, reason, "the stream of load reports ended");
            self.failures = self.failures.saturating_add(1);
            let clock = &self.environment.clock;
            let again = clock.now() + DEFAULT_STREAM_BACKOFF.delay(self.failures, clock.entropy());
            while !self.report.is_done() {
                tokio::select! {
                    () = changed(&mut self.assigned) => self.hear(),
                    () = sleep_until(again) => break,
                }
            }
        }
    }

    /// Takes note of the clusters.
    fn hear(&mut self) {
        let now = self.environment.clock.now();
        let assigned = self.assigned.borrow_and_update();
        self.report.set_clusters(now, &assigned.own, &assigned.of_others);
        if self.environment.tasks.is_stopped() {
            self.report.end();
        }
    }

    /// Reports on one stream; an error says why it ended before everything was said.
    async fn stream(&mut self) -> Result<(), String> {
        let (server, environment) = (self.server.clone(), self.environment.clone());
        let mut opening = std::pin::pin!(GrpcStream::open(&server, STREAM_LOAD_STATS, &environment));
        let mut stream = loop {
            tokio::select! {
                stream = &mut opening => break stream?,
                () = changed(&mut self.assigned) => self.hear(),
            }
            if self.report.is_done() {
                return Ok(());
            }
        };
        self.report.opened();
        while !self.report.is_done() {
            let now = self.environment.clock.now();
            let timer = self.report.next_timer(now);
            let due = timer.is_some_and(|at| at <= now);
            let step = poll_fn(|cx| {
                if stream.poll_ready(cx)?.is_ready() && due {
                    return Poll::Ready(Ok(Step::Ready));
                }
                stream.poll_next(cx).map_ok(Step::Message)
            });
            tokio::select! {
                () = changed(&mut self.assigned) => self.hear(),
                step = step => match step? {
                    Step::Message(message) => {
                        self.report.receive(self.environment.clock.now(), &message)?;
                        self.failures = 0;
                    }
                    Step::Ready => {
                        if let Some(request) = self.report.next_request(now) {
                            stream.send(&request);
                        }
                    }
                },
                () = reached(timer.filter(|_| !due)) => {}
            }
        }
        // A stream that is let go at once takes the last report with it, so the server gets to end it.
        let farewell = async {
            poll_fn(|cx| stream.poll_ready(cx)).await?;
            stream.finish()?;
            while poll_fn(|cx| stream.poll_next(cx)).await.is_ok() {}
            Ok(())
        };
        tokio::time::timeout(FAREWELL, farewell).await.unwrap_or(Ok(()))
    }
}

/// Resolves when the clusters are others than before; never again once nobody can change them.
async fn changed(assigned: &mut watch::Receiver<Assigned>) {
    if assigned.changed().await.is_err() {
        pending::<()>().await;
    }
}
