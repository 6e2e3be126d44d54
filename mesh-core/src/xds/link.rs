//! A stream to a control plane, over a socket or within the process.

use super::features::Features;
use super::grpc_stream::GrpcStream;
use super::in_process::{self, ControlPlane, Protocol};
use super::kind::ResourceKind;
use super::session::Session;
use crate::bootstrap::{Node, Server};
use crate::clock::Instant;
use crate::net::Environment;
use bytes::Bytes;
use mesh_proto::ads::{DELTA_AGGREGATED_RESOURCES, STREAM_AGGREGATED_RESOURCES};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

pub use super::inbox::MAX_MESSAGE;

/// What istiod's sidecars do not have in their metadata.
const GENERATOR: &str = "GENERATOR";

/// Where the configuration comes from.
#[derive(Clone)]
pub enum Source {
    /// A control plane at the other end of a socket.
    Server(Server),
    /// A control plane in this process.
    InProcess(Arc<dyn ControlPlane>),
}

/// A stream to a control plane.
#[derive(Debug)]
pub(super) enum Link {
    Grpc(GrpcStream),
    InProcess { requests: PollSender<Bytes>, responses: mpsc::Receiver<Bytes> },
}

impl Source {
    /// A session as this control plane wants it.
    pub(super) fn session<K: ResourceKind>(&self, node: &Node, local: &K::Local, now: Instant) -> Session<K> {
        let features = match self {
            Self::Server(Server { features, .. }) => features,
            Self::InProcess(control_plane) => {
                let (node, protocol) = (node.to_proto(), control_plane.protocol());
                return Session::new(node, protocol, Features::default(), local, now);
            }
        };
        let mut node = node.clone();
        if features.sidecar {
            node.metadata.remove(GENERATOR);
        }
        let protocol = if features.delta { Protocol::Delta } else { Protocol::StateOfTheWorld };
        let features = Features {
            fail_on_data_errors: features.fail_on_data_errors,
            ignore_resource_deletion: features.ignore_resource_deletion,
            resource_timer_is_transient_error: features.resource_timer_is_transient_error,
        };
        Session::new(node.to_proto(), protocol, features, local, now)
    }

    pub(super) async fn open(&self, protocol: Protocol, environment: &Environment) -> Result<Link, String> {
        match self {
            Self::Server(server) => {
                let path = match protocol {
                    Protocol::StateOfTheWorld => STREAM_AGGREGATED_RESOURCES,
                    Protocol::Delta => DELTA_AGGREGATED_RESOURCES,
                };
                GrpcStream::open(server, path, environment).await.map(Link::Grpc)
            }
            Self::InProcess(control_plane) => {
                let (client, server) = in_process::stream(protocol);
                control_plane.serve(server);
                let requests = PollSender::new(client.requests);
                Ok(Link::InProcess { requests, responses: client.responses })
            }
        }
    }
}

impl Link {
    /// Ready when a message may be sent.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), String>> {
        match self {
            Self::Grpc(stream) => stream.poll_ready(cx),
            Self::InProcess { requests, .. } => Poll::Ready(ready!(requests.poll_reserve(cx)).map_err(gone)),
        }
    }

    /// Sends a message; only when [`poll_ready`](Self::poll_ready) is.
    pub(super) fn send(&mut self, message: Bytes) -> Result<(), String> {
        match self {
            Self::Grpc(stream) => {
                stream.send(&message);
                Ok(())
            }
            Self::InProcess { requests, .. } => requests.send_item(message).map_err(gone),
        }
    }

    /// The next message. An error ends the stream.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        match self {
            Self::Grpc(stream) => stream.poll_next(cx),
            Self::InProcess { responses, .. } => {
                Poll::Ready(ready!(responses.poll_recv(cx)).ok_or_else(|| gone(())))
            }
        }
    }
}

fn gone<E>(_: E) -> String {
    "the control plane in this process is gone".to_owned()
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => f.write_str(&server.uri),
            Self::InProcess(_) => f.write_str("in-process"),
        }
    }
}
