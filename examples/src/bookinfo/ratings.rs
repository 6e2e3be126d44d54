//! The ratings service and its client: gRPC, written out as tonic would generate it.

use bytes::Bytes;
use http::uri::PathAndQuery;
use mesh_tonic::Channel;
use std::convert::Infallible;
use tonic::body::Body;
use tonic::codegen::BoxFuture;
use tonic::server::UnaryService;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

const METHOD: &str = "/bookinfo.Ratings/Get";

/// Which book.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Product {
    #[prost(uint32, tag = "1")]
    id: u32,
}

/// What its readers think of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stars {
    #[prost(uint32, repeated, tag = "1")]
    pub(super) stars: Vec<u32>,
}

/// Asks for the ratings of a book through the mesh.
pub(super) async fn get(channel: Channel, id: u32) -> Result<Stars, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let path = PathAndQuery::from_static(METHOD);
    let codec = ProstCodec::<Product, Stars>::default();
    Ok(client.unary(Request::new(Product { id }), path, codec).await?.into_inner())
}

#[derive(Clone, Copy, Debug)]
struct Get;

impl UnaryService<Product> for Get {
    type Response = Stars;
    type Future = BoxFuture<Response<Stars>, Status>;

    fn call(&mut self, _: Request<Product>) -> Self::Future {
        Box::pin(async { Ok(Response::new(Stars { stars: vec![5, 4] })) })
    }
}

/// Answers a request to the service.
pub(super) async fn answer(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Body>, Infallible> {
    if request.uri().path() != METHOD {
        return Ok(Status::unimplemented("no such method").into_http());
    }
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<Stars, Product>::default());
    Ok(grpc.unary(Get, request.map(Body::new)).await)
}

/// The type that bodies of other services have, too.
pub(super) fn body(text: String) -> Body {
    Body::new(http_body_util::Full::new(Bytes::from(text)))
}
