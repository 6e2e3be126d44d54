//! HTTP servers that do what a test says, on a virtual network.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_core::net::Io;
use mesh_hyper::{Client, ResponseBody};
use mesh_testkit::net::Listener;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::{JoinHandle, JoinSet};

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// A server that counts its connections. Dropping it kills it.
pub(crate) struct Server {
    pub(crate) accepted: Arc<AtomicUsize>,
    pub(crate) open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Answers each request with `handler`, over HTTP/2 or HTTP/1.1.
    pub(crate) fn http<F>(
        listener: Listener,
        http2: bool,
        handler: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::raw(listener, move |io| {
            let handler = handler.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let io = TokioIo::new(io);
                let _ = if http2 {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(io, service)
                        .await
                } else {
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
                };
            }
        })
    }

    /// Answers the first request of each connection with these bytes, then hangs up.
    pub(crate) fn bytes(listener: Listener, answer: &'static [u8]) -> Self {
        Self::raw(listener, move |mut io| async move {
            let mut request = [0; 1024];
            if io.read(&mut request).await.is_ok_and(|length| length > 0) {
                let _ = io.write_all(answer).await;
                let _ = io.shutdown().await;
            }
        })
    }

    pub(crate) fn raw<F>(mut listener: Listener, serve: impl Fn(Io) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (accepted, open) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (count, now) = (accepted.clone(), open.clone());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(io) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                now.fetch_add(1, Ordering::SeqCst);
                let (serving, now) = (serve(io), now.clone());
                connections.spawn(async move {
                    serving.await;
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while connections.join_next().await.is_some() {}
        });
        Self { accepted, open, task }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer with this body.
pub(crate) fn text(text: impl Into<Bytes>) -> Answer {
    Response::new(UnsyncBoxBody::new(Full::new(text.into()).map_err(|never| match never {})))
}

/// The request body as it comes, trailers included.
pub(crate) async fn echo(request: Request<Incoming>) -> Answer {
    Response::new(UnsyncBoxBody::new(request.into_body()))
}

pub(crate) async fn read(response: Response<ResponseBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Lets everything run that can run without time passing.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Sends a request and reads the answer.
pub(crate) async fn get(client: &Client, url: &str) -> Result<String, mesh_core::Error> {
    let response = client.get(url).await?;
    let body = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}
