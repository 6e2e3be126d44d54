//! What a caller decides for one call, as an extension of the request.

use crate::clock::Instant;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a caller decides for one call.
///
/// Put it into the extensions of the request:
///
/// ```
/// use mesh_core::overrides::Overrides;
/// use std::time::Duration;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Overrides::default().timeout(Duration::from_millis(300)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub(crate) timeout: Option<Duration>,
    pub(crate) trace: Option<CallTrace>,
}

impl Overrides {
    /// Limits the time of the call; the limit of the route counts too, if it is shorter.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Writes down what is decided for the call.
    #[must_use]
    pub fn trace(mut self, trace: &CallTrace) -> Self {
        self.trace = Some(trace.clone());
        self
    }
}

/// What was decided for one call, in order: which route, cluster and endpoints, and why it was sent again.
#[derive(Clone, Debug, Default)]
pub struct CallTrace(Arc<Mutex<Vec<(Instant, Decision)>>>);

/// Something that was decided for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// A route and one of its clusters were chosen.
    Route {
        /// The name of the route.
        route: Arc<str>,
        /// The Istio resource it was made from, if that is known.
        origin: Option<Arc<str>>,
        /// The name of the cluster.
        cluster: Arc<str>,
    },
    /// There is no configuration yet, or no connection: the call waits.
    Wait,
    /// The request is sent to an endpoint.
    Try(Arc<str>),
    /// The endpoint answered.
    Answer {
        /// The HTTP status.
        status: u16,
    },
    /// The try failed.
    Failure(Arc<str>),
    /// The request is sent again, after a pause.
    Retry {
        /// The pause.
        delay: Duration,
        /// Whether it was never processed, so that the retry policy does not matter.
        transparent: bool,
    },
}

impl CallTrace {
    /// What was decided so far.
    #[must_use]
    pub fn decisions(&self) -> Vec<(Instant, Decision)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The endpoint that was tried last.
    #[must_use]
    pub fn endpoint(&self) -> Option<Arc<str>> {
        let decisions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        decisions.iter().rev().find_map(|(_, decision)| match decision {
            Decision::Try(endpoint) => Some(endpoint.clone()),
            _ => None,
        })
    }

    pub(crate) fn note(&self, now: Instant, decision: Decision) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((now, decision));
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { route, origin, cluster } => {
                write!(f, "route {route}")?;
                if let Some(origin) = origin {
                    write!(f, " of {origin}")?;
                }
                write!(f, " leads to cluster {cluster}")
            }
            Self::Wait => f.write_str("waits for configuration or a connection"),
            Self::Try(endpoint) => write!(f, "tries endpoint {endpoint}"),
            Self::Answer { status } => write!(f, "answered with HTTP status {status}"),
            Self::Failure(why) => write!(f, "failed: {why}"),
            Self::Retry { delay, transparent: true } => {
                write!(f, "sent again after {delay:?}: it was not processed")
            }
            Self::Retry { delay, .. } => write!(f, "tried again after {delay:?} by the retry policy"),
        }
    }
}
