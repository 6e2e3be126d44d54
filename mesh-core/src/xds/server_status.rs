//! How a control plane does, over all sessions there were with it (gRFC A78).

use super::kind::ResourceKind;
use super::session::{Received, Session};

/// How a control plane does, over all sessions there were with it (gRFC A78).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus<K> {
    /// Where it is.
    pub source: String,
    /// Whether it does what it should: from the first stream that is open until one fails before it brought anything, and
    /// again once one does. `None` while it is not tried, because a better one is in charge.
    pub connected: Option<bool>,
    /// How often it went from healthy to unhealthy.
    pub outages: u64,
    /// How many resources of each kind it sent.
    pub received: Vec<(K, Received)>,
}

impl<K: ResourceKind> ServerStatus<K> {
    /// Of a control plane with which there was no session yet.
    pub(super) fn new(source: String) -> Self {
        let received = K::ALL.iter().map(|&kind| (kind, Received::default())).collect();
        Self { source, connected: None, outages: 0, received }
    }

    /// The same, and what a session says that is in use.
    pub(super) fn with(&self, session: &Session<K>) -> Self {
        let mut status = Self { connected: Some(session.is_connected()), ..self.clone() };
        status.add(session);
        status
    }

    /// A session is over.
    pub(super) fn add(&mut self, session: &Session<K>) {
        self.outages += session.outages();
        for (kind, sum) in &mut self.received {
            let received = session.received(*kind);
            sum.valid += received.valid;
            sum.invalid += received.invalid;
        }
    }
}
