//! A control plane in the same process: an ADS stream without a socket.
//!
//! The messages are the encoded ones of the wire, so that an embedded control plane goes through the same session,
//! decoder and validation as a remote one.

use bytes::Bytes;
use tokio::sync::mpsc;

/// Messages that may wait in each direction; beyond it the sender waits.
pub const IN_PROCESS_BUFFER: usize = 16;

/// Which protocol a stream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `DiscoveryRequest` and `DiscoveryResponse`.
    StateOfTheWorld,
    /// `DeltaDiscoveryRequest` and `DeltaDiscoveryResponse`.
    Delta,
}

/// Something that answers ADS streams inside the process, such as `mesh_control::Embedded`.
pub trait ControlPlane: Send + Sync + 'static {
    /// Serves one new stream, in the protocol that it speaks, until either end is dropped. Must not block.
    fn serve(&self, stream: ServerStream);

    /// The protocol that its streams are to speak; state of the world unless it says otherwise.
    fn protocol(&self) -> Protocol {
        Protocol::StateOfTheWorld
    }
}

/// The control plane's end of a stream.
#[derive(Debug)]
pub struct ServerStream {
    /// What is spoken.
    pub protocol: Protocol,
    /// Encoded requests; ends when the client is gone.
    pub requests: mpsc::Receiver<Bytes>,
    /// Takes encoded responses; dropping it ends the stream.
    pub responses: mpsc::Sender<Bytes>,
}

/// The client's end of a stream.
#[derive(Debug)]
pub struct ClientStream {
    /// Takes encoded requests.
    pub requests: mpsc::Sender<Bytes>,
    /// Encoded responses; ends when the control plane is gone.
    pub responses: mpsc::Receiver<Bytes>,
}

/// Makes the two ends of a stream.
#[must_use]
pub fn stream(protocol: Protocol) -> (ClientStream, ServerStream) {
    let (requests, request_rx) = mpsc::channel(IN_PROCESS_BUFFER);
    let (response_tx, responses) = mpsc::channel(IN_PROCESS_BUFFER);
    (
        ClientStream { requests, responses },
        ServerStream { protocol, requests: request_rx, responses: response_tx },
    )
}
