//! The aggregated discovery service over gRPC.

use super::session::Violation;
use super::{World, stream};
use crate::raw::RawCodec;
use bytes::Bytes;
use mesh_core::xds::in_process::Protocol;
use mesh_proto::ads::{DELTA_AGGREGATED_RESOURCES, STREAM_AGGREGATED_RESOURCES};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::{NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service;

/// The largest request that is taken: the names of a hundred thousand subscriptions.
pub const MAX_REQUEST: usize = 16 * 1024 * 1024;
/// Responses that wait for a client to take them; the rest is not made before.
const WAITING_RESPONSES: usize = 1;

/// The service: serves the latest world, in either protocol.
#[derive(Debug)]
pub struct Ads<W> {
    worlds: watch::Receiver<Arc<W>>,
    closing: watch::Receiver<bool>,
}

impl<W> Ads<W> {
    /// Serves the latest of `worlds`; ends every stream when `closing` is true.
    #[must_use]
    pub fn new(worlds: watch::Receiver<Arc<W>>, closing: watch::Receiver<bool>) -> Self {
        Self { worlds, closing }
    }
}

impl<W> Clone for Ads<W> {
    fn clone(&self) -> Self {
        Self { worlds: self.worlds.clone(), closing: self.closing.clone() }
    }
}

impl<W> NamedService for Ads<W> {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl<W: World + Send + Sync + 'static> Service<http::Request<Body>> for Ads<W> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let protocol = match request.uri().path() {
            STREAM_AGGREGATED_RESOURCES => Protocol::StateOfTheWorld,
            DELTA_AGGREGATED_RESOURCES => Protocol::Delta,
            other => {
                let status = Status::unimplemented(format!("this is an ADS server; it has no {other}"));
                return Box::pin(async move { Ok(status.into_http()) });
            }
        };
        let opening = Opening { protocol, ads: self.clone() };
        let mut grpc = tonic::server::Grpc::new(RawCodec).max_decoding_message_size(MAX_REQUEST);
        Box::pin(async move { Ok(grpc.streaming(opening, request).await) })
    }
}

/// A stream that is being opened.
struct Opening<W> {
    protocol: Protocol,
    ads: Ads<W>,
}

impl<W: World + Send + Sync + 'static> StreamingService<Bytes> for Opening<W> {
    type Response = Bytes;
    type ResponseStream = Responses;
    type Future = Ready<Result<Response<Responses>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let peer = request.remote_addr();
        tracing::debug!(?peer, protocol = ?self.protocol, "ADS stream opened");
        let (sender, messages) = mpsc::channel(WAITING_RESPONSES);
        let (end, ended) = oneshot::channel();
        let Ads { worlds, mut closing } = self.ads.clone();
        let protocol = self.protocol;
        // A broken request stream is a client that is gone.
        let requests = request.into_inner().map_while(Result::ok);
        tokio::spawn(async move {
            let end_with = tokio::select! {
                result = stream::run(protocol, worlds, requests, sender) => {
                    result.err().map(|Violation(what)| Status::invalid_argument(what))
                }
                // Also if nobody is left who could close it.
                _ = closing.wait_for(|closing| *closing) => {
                    Some(Status::unavailable("the control plane is shutting down"))
                }
            };
            tracing::debug!(?peer, status = ?end_with, "ADS stream ended");
            // Nobody hears it if the client is gone.
            let _ = end.send(end_with);
        });
        ready(Ok(Response::new(Responses { messages, ended })))
    }
}

/// The responses of a stream.
#[derive(Debug)]
pub struct Responses {
    messages: mpsc::Receiver<Bytes>,
    ended: oneshot::Receiver<Option<Status>>,
}

impl Stream for Responses {
    type Item = Result<Bytes, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(message) = ready!(this.messages.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(message)));
        }
        if this.ended.is_terminated() {
            return Poll::Ready(None);
        }
        let end = ready!(Pin::new(&mut this.ended).poll(cx));
        Poll::Ready(end.ok().flatten().map(Err))
    }
}
