//! The floor: tonic's client code directly over an `h2` connection, with nothing that makes a channel of it.

use bytes::Bytes;
use http::uri::{Parts, Scheme};
use http::{HeaderMap, Request, Response, Uri};
use http_body::{Body, Frame};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;

/// One `h2` connection.
#[derive(Clone)]
pub struct Bare {
    sender: h2::client::SendRequest<Bytes>,
    authority: http::uri::Authority,
}

impl Bare {
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(2 << 20)
            .initial_connection_window_size(8 << 20)
            .handshake(stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { sender, authority: address.parse().unwrap() }
    }
}

impl tower_service::Service<Request<tonic::body::Body>> for Bare {
    type Response = Response<BareBody>;
    type Error = h2::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, h2::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let mut sender = self.sender.clone();
        let mut uri = Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = request.uri().path_and_query().cloned();
        Box::pin(async move {
            let (mut head, mut body) = request.into_parts();
            head.uri = Uri::from_parts(uri).unwrap();
            let (response, mut stream) = sender.send_request(Request::from_parts(head, ()), false)?;
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                if let Ok(data) = frame.unwrap().into_data() {
                    stream.send_data(data, false)?;
                }
            }
            stream.send_data(Bytes::new(), true)?;
            Ok(response.await?.map(BareBody))
        })
    }
}

/// The body of a response.
pub struct BareBody(h2::RecvStream);

impl Body for BareBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(data) = ready!(self.0.poll_data(cx)) {
            let data = data?;
            self.0.flow_control().release_capacity(data.len())?;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers: Option<HeaderMap> = ready!(self.0.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}
