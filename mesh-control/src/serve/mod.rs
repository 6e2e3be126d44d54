//! Serves translations to xDS clients: state of the world and delta, over sockets and within the process.
//!
//! [`session`] is the protocol of one stream as a pure state machine, `stream` drives it, [`ads`] is the gRPC service
//! around it and [`server`] the process around that.

#[cfg(feature = "server")]
pub mod ads;
mod by_name;
mod delta;
#[cfg(feature = "server")]
pub mod server;
pub mod session;
mod sotw;
pub(crate) mod stream;
mod watch;

use crate::translate::{Kind, NodeView, Translation};
use bytes::Bytes;
use mesh_core::xds::in_process::ServerStream;
use std::sync::Arc;
use tokio::sync::watch::Receiver;
use tokio_stream::wrappers::ReceiverStream;

/// How the control plane calls itself.
pub const IDENTIFIER: &str = concat!("mesh ", env!("CARGO_PKG_VERSION"));

/// One state of everything that clients may ask for.
pub trait World {
    /// Counts the states.
    fn version(&self) -> u64;
    /// The encoded resource that the client at `node` gets under `name`; none if it sees no such thing.
    fn resource(&self, node: &NodeView, kind: Kind, name: &str) -> Option<Bytes>;
    /// Every name of a kind that the client at `node` sees.
    fn names(&self, node: &NodeView, kind: Kind) -> Vec<Arc<str>>;
    /// The Listeners that a host, named without port, stands for.
    fn listeners(&self, node: &NodeView, host: &str) -> Vec<Arc<str>> {
        let mut names = self.names(node, Kind::Listener);
        names.retain(|name| name.rsplit_once(':').is_some_and(|(of, _)| of == host));
        names
    }
}

/// Serves one stream within the process with the latest of `worlds`, until the client is gone.
pub async fn in_process<W: World>(stream: ServerStream, worlds: Receiver<Arc<W>>) {
    let ServerStream { protocol, requests, responses } = stream;
    if let Err(violation) = stream::run(protocol, worlds, ReceiverStream::new(requests), responses).await {
        tracing::error!(%violation, "the embedded control plane cannot answer its client");
    }
}

impl World for Translation {
    fn version(&self) -> u64 {
        Self::version(self)
    }

    fn resource(&self, node: &NodeView, kind: Kind, name: &str) -> Option<Bytes> {
        Self::resource(self, node, kind, name).map(|encoded| encoded.bytes)
    }

    fn names(&self, node: &NodeView, kind: Kind) -> Vec<Arc<str>> {
        Self::names(self, node, kind)
    }

    fn listeners(&self, node: &NodeView, host: &str) -> Vec<Arc<str>> {
        Self::listeners(self, node, host)
    }
}
