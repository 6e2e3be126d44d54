//! Drives the session of one stream: the part that waits.

use super::World;
use super::session::{Session, Violation};
use bytes::Bytes;
use mesh_core::xds::in_process::Protocol;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_stream::{Stream, StreamExt};

/// How long a client may leave responses unanswered before what is gone is taken away all the same.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Serves one stream until the client is gone.
///
/// A response is made when there is room for it, so that a slow client gets the latest state and nothing piles up.
///
/// # Errors
///
/// What is wrong with a request; the stream has to be ended with it.
pub(crate) async fn run<W: World>(
    protocol: Protocol,
    mut worlds: watch::Receiver<Arc<W>>,
    requests: impl Stream<Item = Bytes>,
    responses: mpsc::Sender<Bytes>,
) -> Result<(), Violation> {
    let mut requests = pin!(requests);
    let mut session = Session::new(protocol, worlds.borrow_and_update().clone());
    let mut due = false;
    let mut patience = pin!(sleep(PATIENCE));
    let (mut waits, mut impatient) = (false, false);
    loop {
        tokio::select! {
            request = requests.next() => {
                let Some(request) = request else { return Ok(()) };
                if let Some(refusal) = session.receive(request)? {
                    let node = session.node().map_or("", |node| &node.id);
                    tracing::warn!(node, kind = ?refusal.kind, nonce = refusal.nonce, reason = refusal.message,
                        "a client refuses its configuration and keeps the last good one");
                }
                due = true;
            }
            Ok(()) = worlds.changed() => {
                session.update(worlds.borrow_and_update().clone());
                due = true;
            }
            permit = responses.reserve(), if due => {
                let Ok(permit) = permit else { return Ok(()) };
                let response = match impatient {
                    true => session.next_response().or_else(|| session.next_held_back()),
                    false => session.next_response(),
                };
                match response {
                    Some(response) => permit.send(response),
                    None => (due, impatient) = (false, false),
                }
            }
            () = responses.closed() => return Ok(()),
            () = &mut patience, if waits => (waits, due, impatient) = (false, true, true),
        }
        if session.holds_back() != waits && !impatient {
            waits = !waits;
            patience.set(sleep(PATIENCE));
        }
    }
}
