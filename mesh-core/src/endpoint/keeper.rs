//! Keeps an endpoint connected: one task for each endpoint in use.

use super::ready::Readiness;
use super::{Endpoint, Transport};
use crate::clock::{Instant, sleep};
use crate::net::DEFAULT_CONNECT_TIMEOUT;
use crate::policy::backoff::Backoff;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::timeout;

/// The pause after a failed attempt to connect. Short at first, because an endpoint that restarts is back soon; never
/// long, because one that is gone for good is soon gone from the configuration, too.
pub const CONNECT_BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(100), factor: 1.6, max: Duration::from_secs(5), jitter: 0.2 };

/// A connection that was lost sooner than this counts as a failed attempt, so that a peer that accepts and hangs up is
/// not called in a loop.
const SETTLED: Duration = Duration::from_secs(1);

/// Connects and reconnects until the endpoint is given up.
pub(super) async fn run(endpoint: Weak<Endpoint>) {
    let mut failures = 0;
    let mut connected: Option<Instant> = None;
    while let Some(strong) = endpoint.upgrade() {
        let (wake, clock) = (strong.wake().clone(), strong.environment.clock.clone());
        if !strong.transport().wants_connection() {
            drop(strong);
            wake.notified().await;
            continue;
        }
        let lost_at_once =
            strong.connections() == 0 && connected.is_some_and(|connected| clock.now() < connected + SETTLED);
        if connected.take().is_some() && !lost_at_once {
            failures = 0;
        }
        let anew = strong.connections() == 0;
        let failed = lost_at_once
            || match strong.connect().await {
                Ok(()) => {
                    connected = Some(clock.now());
                    if anew {
                        strong.load.forget(clock.micros(clock.now()));
                    }
                    strong.set_readiness(Readiness::Ready, None);
                    false
                }
                Err(reason) => {
                    if strong.connections() == 0 {
                        strong.set_readiness(Readiness::Failed, Some(reason.into()));
                    }
                    true
                }
            };
        drop(strong);
        if failed {
            failures += 1;
            sleep(CONNECT_BACKOFF.delay(failures, clock.entropy())).await;
        }
    }
}

fn too_late(limit: Duration) -> String {
    format!("no connection within {limit:?}")
}

impl Transport {
    fn wants_connection(&self) -> bool {
        match self {
            Self::Http1(http1) => http1.wants_connection(),
            Self::Http2(http2) => http2.wants_connection(),
        }
    }
}

impl Endpoint {
    /// Makes one connection.
    async fn connect(self: &Arc<Self>) -> Result<(), String> {
        let options = &self.key.options;
        if let Some(why) = &options.unsupported {
            return Err(why.to_string());
        }
        if options.tls {
            let why =
                "the cluster asks for TLS, and this process has no identity to secure the connection with";
            return Err(why.to_owned());
        }
        // Closed only with the mesh, and then this task ends too.
        let _permit = self.environment.connects.acquire().await.map_err(|error| error.to_string())?;
        let mut limits = self.connect_timeouts();
        let longest = limits.pop().unwrap_or(DEFAULT_CONNECT_TIMEOUT);
        let connect = async {
            let io = self.environment.dialer.dial_family(&self.key.address, options.family, longest).await;
            let io = io.map_err(|error| error.to_string())?;
            match self.transport() {
                Transport::Http1(http1) => http1.add(io, &self.environment).await,
                Transport::Http2(http2) => {
                    let endpoint = Arc::downgrade(self);
                    http2
                        .add(io, &self.environment, move |why| {
                            if let Some(endpoint) = endpoint.upgrade() {
                                endpoint.connection_lost(&why.to_string());
                            }
                        })
                        .await
                }
            }
        };
        let mut connect = pin!(timeout(longest, connect));
        let mut waited = Duration::ZERO;
        for limit in limits {
            match timeout(limit - waited, &mut connect).await {
                Ok(result) => return result.unwrap_or_else(|_| Err(too_late(limit))),
                Err(_) if self.connections() == 0 => self.give_up(limit, &too_late(limit)),
                Err(_) => {}
            }
            waited = limit;
        }
        connect.await.unwrap_or_else(|_| Err(too_late(longest)))
    }

    /// A connection takes no new requests.
    pub(super) fn connection_lost(&self, why: &str) {
        tracing::debug!(endpoint = %self.label(), why, "connection lost");
        if let Transport::Http2(http2) = self.transport() {
            http2.prune();
            // One that never became usable is not lost, and the reason why is told by who tried to make it.
            if http2.len() == 0 && self.readiness() == Readiness::Ready {
                self.set_readiness(Readiness::Connecting, Some(why.into()));
            }
        }
        self.wake().notify_one();
    }
}
