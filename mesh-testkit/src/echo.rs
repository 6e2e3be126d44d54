//! A gRPC service that answers what it is sent, as tonic would generate it.

use crate::net::Listener;
use bytes::Bytes;
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, BoxFuture, CompressionEncoding, StdError};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower_service::Service;

/// The name of the service.
pub const SERVICE: &str = "mesh.test.Echo";
/// Request metadata: the server waits this many milliseconds.
pub const DELAY: &str = "x-delay-ms";
/// Request metadata: the server answers with this status code.
pub const STATUS: &str = "x-status";

/// What is sent and answered.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// Anything.
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
    /// The server that answered.
    #[prost(string, tag = "2")]
    pub server: String,
}

impl Message {
    /// A message from a client.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), server: String::new() }
    }
}

/// A client of the service.
#[derive(Clone, Debug)]
pub struct EchoClient<T> {
    inner: tonic::client::Grpc<T>,
}

impl<T> EchoClient<T>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<StdError> + Send,
{
    /// A client that calls through `channel`.
    pub fn new(channel: T) -> Self {
        Self { inner: tonic::client::Grpc::new(channel) }
    }

    /// Compresses requests and accepts compressed responses.
    #[must_use]
    pub fn compressed(mut self, encoding: CompressionEncoding) -> Self {
        self.inner = self.inner.send_compressed(encoding).accept_compressed(encoding);
        self
    }

    /// Accepts messages up to this size.
    #[must_use]
    pub fn max_decoding_message_size(mut self, limit: usize) -> Self {
        self.inner = self.inner.max_decoding_message_size(limit);
        self
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.inner.ready().await.map_err(|error| Status::from_error(error.into()))
    }

    /// One message, one answer.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn unary(
        &mut self,
        request: impl tonic::IntoRequest<Message>,
    ) -> Result<Response<Message>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/mesh.test.Echo/Unary");
        self.inner.unary(request.into_request(), path, ProstCodec::default()).await
    }

    /// Many messages, one answer: all of them joined.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn client_streaming(
        &mut self,
        request: impl tonic::IntoStreamingRequest<Message = Message>,
    ) -> Result<Response<Message>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/mesh.test.Echo/ClientStreaming");
        self.inner.client_streaming(request.into_streaming_request(), path, ProstCodec::default()).await
    }

    /// One message, as many answers as it has bytes.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn server_streaming(
        &mut self,
        request: impl tonic::IntoRequest<Message>,
    ) -> Result<Response<Streaming<Message>>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/mesh.test.Echo/ServerStreaming");
        self.inner.server_streaming(request.into_request(), path, ProstCodec::default()).await
    }

    /// Many messages, each answered as it comes.
    ///
    /// # Errors
    ///
    /// The status of the call.
    pub async fn bidirectional(
        &mut self,
        request: impl tonic::IntoStreamingRequest<Message = Message>,
    ) -> Result<Response<Streaming<Message>>, Status> {
        self.ready().await?;
        let path = PathAndQuery::from_static("/mesh.test.Echo/Bidirectional");
        self.inner.streaming(request.into_streaming_request(), path, ProstCodec::default()).await
    }
}

/// The service.
#[derive(Clone, Debug)]
pub struct EchoServer {
    name: String,
    compression: Option<CompressionEncoding>,
}

impl EchoServer {
    /// A service that calls itself `name` in its answers.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), compression: None }
    }

    /// Accepts compressed requests and compresses responses.
    #[must_use]
    pub fn compressed(mut self, encoding: CompressionEncoding) -> Self {
        self.compression = Some(encoding);
        self
    }

    fn grpc(&self) -> tonic::server::Grpc<ProstCodec<Message, Message>> {
        let grpc = tonic::server::Grpc::new(ProstCodec::default());
        match self.compression {
            Some(encoding) => grpc.accept_compressed(encoding).send_compressed(encoding),
            None => grpc,
        }
    }

    fn answer(&self, payload: Bytes) -> Message {
        Message { payload, server: self.name.clone() }
    }
}

/// Does what the metadata of a request asks for.
async fn obey<T>(request: &Request<T>) -> Result<(), Status> {
    let number = |name| request.metadata().get(name)?.to_str().ok()?.parse::<u64>().ok();
    if let Some(delay) = number(DELAY) {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    match number(STATUS) {
        Some(code) => Err(Status::new(Code::from_i32(code as i32), "as asked")),
        None => Ok(()),
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

impl tonic::server::UnaryService<Message> for EchoServer {
    type Response = Message;
    type Future = BoxFuture<Response<Message>, Status>;

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            obey(&request).await?;
            let metadata = request.metadata().clone();
            let mut response = Response::new(this.answer(request.into_inner().payload));
            for name in ["x-echo", "grpc-timeout", "grpc-previous-rpc-attempts"] {
                if let Some(value) = metadata.get(name) {
                    let name = format!("x-got-{name}");
                    if let Ok(name) = tonic::metadata::MetadataKey::from_bytes(name.as_bytes()) {
                        response.metadata_mut().insert(name, value.clone());
                    }
                }
            }
            Ok(response)
        })
    }
}

impl tonic::server::ClientStreamingService<Message> for EchoServer {
    type Response = Message;
    type Future = BoxFuture<Response<Message>, Status>;

    fn call(&mut self, request: Request<Streaming<Message>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            obey(&request).await?;
            let mut messages = request.into_inner();
            let mut joined = Vec::new();
            while let Some(message) = messages.message().await? {
                joined.extend_from_slice(&message.payload);
            }
            Ok(Response::new(this.answer(joined.into())))
        })
    }
}

impl tonic::server::ServerStreamingService<Message> for EchoServer {
    type Response = Message;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    fn call(&mut self, request: Request<Message>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            obey(&request).await?;
            let payload = request.into_inner().payload;
            let pieces: Vec<_> =
                (0..payload.len()).map(|at| Ok(this.answer(payload.slice(at..=at)))).collect();
            Ok(Response::new(Box::pin(tokio_stream::iter(pieces)) as Answers))
        })
    }
}

impl tonic::server::StreamingService<Message> for EchoServer {
    type Response = Message;
    type ResponseStream = Answers;
    type Future = BoxFuture<Response<Answers>, Status>;

    fn call(&mut self, request: Request<Streaming<Message>>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            obey(&request).await?;
            let answers =
                request.into_inner().map(move |message| message.map(|message| this.answer(message.payload)));
            Ok(Response::new(Box::pin(answers) as Answers))
        })
    }
}

impl Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let mut grpc = this.grpc();
            Ok(match request.uri().path().rsplit('/').next() {
                Some("Unary") => grpc.unary(this, request).await,
                Some("ClientStreaming") => grpc.client_streaming(this, request).await,
                Some("ServerStreaming") => grpc.server_streaming(this, request).await,
                Some("Bidirectional") => grpc.streaming(this, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

impl EchoServer {
    /// Serves every connection of `listener` until dropped.
    #[must_use]
    pub fn serve_on(self, mut listener: Listener) -> Server {
        Server(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(io) = listener.accept().await {
                let this = self.clone();
                let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
                    Service::call(&mut this.clone(), request.map(Body::new))
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                connections.spawn(builder.serve_connection(TokioIo::new(io), service));
            }
            while connections.join_next().await.is_some() {}
        }))
    }
}

/// A running [`EchoServer`]. Dropping it kills it.
#[derive(Debug)]
pub struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl tonic::server::NamedService for EchoServer {
    const NAME: &'static str = SERVICE;
}
