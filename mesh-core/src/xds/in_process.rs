//! A control plane in the same process: an ADS stream without a socket.
//!
//! The messages are the encoded ones of the wire, so that an embedded control plane goes through the same session,
//! decoder and validation as a remote one.

use bytes::Bytes;
use tokio::sync::mpsc;

/// Messages that may wait in each direction; beyond it the sender waits.
pub const IN_PROCESS_BUFFER: usize = 16;

/// Something that answers ADS streams inside the process, such as `mesh_control::Embedded`.
pub trait ControlPlane: Send + Sync + 'static {
    /// Serves one new state-of-the-world stream until either end is dropped. Must not block.
    fn serve(&self, stream: ServerStream);
}

/// The control plane's end of a stream.
#[derive(Debug)]
pub struct ServerStream {
    /// Encoded `DiscoveryRequest`s; ends when the client is gone.
    pub requests: mpsc::Receiver<Bytes>,
    /// Takes encoded `DiscoveryResponse`s; dropping it ends the stream.
    pub responses: mpsc::Sender<Bytes>,
}

/// The client's end of a stream.
#[derive(Debug)]
pub struct ClientStream {
    /// Takes encoded `DiscoveryRequest`s.
    pub requests: mpsc::Sender<Bytes>,
    /// Encoded `DiscoveryResponse`s; ends when the control plane is gone.
    pub responses: mpsc::Receiver<Bytes>,
}

/// Makes the two ends of a stream.
#[must_use]
pub fn stream() -> (ClientStream, ServerStream) {
    let (requests, request_rx) = mpsc::channel(IN_PROCESS_BUFFER);
    let (response_tx, responses) = mpsc::channel(IN_PROCESS_BUFFER);
    (ClientStream { requests, responses }, ServerStream { requests: request_rx, responses: response_tx })
}
