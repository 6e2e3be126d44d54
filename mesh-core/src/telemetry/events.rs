//! Things that happen, for whoever wants to watch.

use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::sync::broadcast;

/// Events that a slow watcher may be behind before it loses some.
pub const EVENT_BUFFER: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A new snapshot is in force; its number.
    Snapshot(u64),
    /// The stream to the control plane is open.
    ControlPlaneUp,
    /// The stream to the control plane is gone, and why; the configuration stays in force.
    ControlPlaneDown(Arc<str>),
    /// Another control plane is in charge; where it is.
    ControlPlaneChanged(Arc<str>),
    /// No control plane has answered yet, so this many resources of the disk cache are in force.
    FromDisk(usize),
    /// A resource was refused; the version before it stays in force if there is one, unless `fail_on_data_errors` forbids
    /// it.
    Rejected {
        /// The kind of the resource.
        kind: &'static str,
        /// Its name.
        name: Arc<str>,
        /// Why: `field path: reason`.
        reason: Arc<str>,
    },
    /// The control plane reports an error of a resource; what came before it stays in force.
    Reported {
        /// The kind of the resource.
        kind: &'static str,
        /// Its name.
        name: Arc<str>,
        /// What the control plane says.
        reason: Arc<str>,
    },
    /// A resource does not exist.
    Missing {
        /// The kind of the resource.
        kind: &'static str,
        /// Its name.
        name: Arc<str>,
    },
    /// An endpoint can be used.
    EndpointUp(Arc<str>),
    /// An endpoint cannot be used, and why.
    EndpointDown {
        /// The address of the endpoint.
        endpoint: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
}

/// Hands events to whoever watches.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Made for the first who watches: its buffer is large.
    sender: Arc<OnceLock<broadcast::Sender<Event>>>,
}

impl Events {
    /// Hands out an event, which is only made if somebody watches.
    pub fn emit(&self, event: impl FnOnce() -> Event) {
        if let Some(sender) = self.sender.get().filter(|sender| sender.receiver_count() > 0) {
            // Fails only if the last watcher left just now.
            let _ = sender.send(event());
        }
    }

    /// Watches from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Event> {
        self.sender.get_or_init(|| broadcast::Sender::new(EVENT_BUFFER)).subscribe()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshot(number) => write!(f, "configuration {number} in force"),
            Self::ControlPlaneUp => f.write_str("control plane connected"),
            Self::ControlPlaneDown(reason) => write!(f, "control plane lost: {reason}"),
            Self::ControlPlaneChanged(source) => write!(f, "control plane {source} in charge"),
            Self::FromDisk(resources) => write!(f, "{resources} resources of the disk cache in force"),
            Self::Rejected { kind, name, reason } => write!(f, "{kind} {name} refused: {reason}"),
            Self::Reported { kind, name, reason } => write!(f, "{kind} {name} is in trouble: {reason}"),
            Self::Missing { kind, name } => write!(f, "{kind} {name} does not exist"),
            Self::EndpointUp(endpoint) => write!(f, "endpoint {endpoint} up"),
            Self::EndpointDown { endpoint, reason } => write!(f, "endpoint {endpoint} down: {reason}"),
        }
    }
}
