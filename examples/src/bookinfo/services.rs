//! The services of Bookinfo, each with several replicas behind real sockets.

use super::ratings;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_core::Mesh;
use mesh_core::error::{BoxError, Chain};
use mesh_hyper::Client;
use mesh_tonic::Channel;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tonic::body::Body;

/// Where the front page is.
pub(super) const PRODUCT_PAGE: &str = "http://productpage.default.svc.cluster.local:9080/productpage";
const DETAILS: &str = "http://details.default.svc.cluster.local:9080/details/0";
const REVIEWS: &str = "http://reviews.default.svc.cluster.local:9080/reviews/0";
const RATINGS: &str = "xds:///ratings.default.svc.cluster.local:9080";

/// Who asks; the route of the reviews depends on it.
pub(super) const END_USER: &str = "end-user";
/// Which version of the reviews answered.
pub(super) const REVIEWS_VERSION: &str = "x-reviews-version";

/// Every replica, with the port that the YAML of the example has for it.
const REPLICAS: [(&str, &str, u16); 13] = [
    ("productpage", "v1", 21011),
    ("productpage", "v1", 21012),
    ("details", "v1", 21021),
    ("details", "v1", 21022),
    ("reviews", "v1", 21031),
    ("reviews", "v1", 21032),
    ("reviews", "v1", 21033),
    ("reviews", "v2", 21041),
    ("reviews", "v2", 21042),
    ("reviews", "v3", 21051),
    ("reviews", "v3", 21052),
    ("ratings", "v1", 21061),
    ("ratings", "v1", 21062),
];

/// A replica of a service.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) app: &'static str,
    pub(super) version: &'static str,
    /// Its port in the YAML of the example.
    pub(super) port: u16,
    pub(super) address: SocketAddr,
    served: Arc<AtomicUsize>,
    listener: Option<TcpListener>,
    /// What serves, for as long as the sender is there.
    serving: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// What the services call other services with.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    http: Client,
    ratings: Channel,
}

impl Clients {
    pub(super) fn new(mesh: &Mesh) -> Result<Self, mesh_core::Error> {
        Ok(Self { http: Client::new(mesh), ratings: Channel::new(mesh, RATINGS)? })
    }
}

/// Every replica, each with a socket of its own and not yet serving.
pub(super) async fn bind() -> std::io::Result<Vec<Replica>> {
    let mut replicas = Vec::new();
    for (app, version, port) in REPLICAS {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (served, listener) = (Arc::default(), Some(listener));
        replicas.push(Replica { app, version, port, address, served, listener, serving: None });
    }
    Ok(replicas)
}

impl Replica {
    /// Requests served so far.
    pub(super) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// Begins to serve, at the same address as ever.
    pub(super) async fn start(&mut self, clients: &Clients) -> std::io::Result<()> {
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(self.address).await?,
        };
        let replica = Serving {
            app: self.app,
            version: self.version,
            served: self.served.clone(),
            clients: clients.clone(),
        };
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => drop(connections.spawn(replica.clone().serve(stream))),
                    _ = &mut stopped => break,
                }
                while connections.try_join_next().is_some() {}
            }
            drop(listener);
            // Waits for those that another thread is about to serve.
            connections.shutdown().await;
        });
        self.serving = Some((stop, task));
        Ok(())
    }

    /// Stops in the middle of whatever it does: the socket and every connection are gone.
    pub(super) async fn kill(&mut self) {
        if let Some((stop, task)) = self.serving.take() {
            drop(stop);
            // It ends well, or has ended by panicking.
            let _ = task.await;
        }
    }
}

#[derive(Clone)]
struct Serving {
    app: &'static str,
    version: &'static str,
    served: Arc<AtomicUsize>,
    clients: Clients,
}

impl Serving {
    async fn serve(self, stream: TcpStream) {
        let (grpc, io) = (self.app == "ratings", TokioIo::new(stream));
        let service = service_fn(move |request| {
            self.served.fetch_add(1, Ordering::Relaxed);
            let this = self.clone();
            async move { this.answer(request).await }
        });
        // A connection that fails is the client's to notice.
        let _ = if grpc {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
        } else {
            hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
        };
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if self.app == "ratings" {
            return ratings::answer(request).await;
        }
        let user = request.headers().get(END_USER).cloned();
        let result = match self.app {
            "productpage" => self.product_page(user).await,
            "reviews" => self.reviews().await,
            _ => Ok(Response::new(ratings::body("The Comedy of Errors, 1595, paperback".to_owned()))),
        };
        Ok(result.unwrap_or_else(|error| {
            let text = format!("{}: {}", self.app, Chain(&*error));
            let mut response = Response::new(ratings::body(text));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }))
    }

    /// The page shows details and reviews side by side; the reviews depend on who asks.
    async fn product_page(&self, user: Option<http::HeaderValue>) -> Result<Response<Body>, BoxError> {
        let mut reviews = Request::get(REVIEWS).body(http_body_util::Empty::<bytes::Bytes>::new())?;
        reviews.headers_mut().extend(user.map(|user| (http::HeaderName::from_static(END_USER), user)));
        let details = async { text(self.clients.http.get(DETAILS).await?).await };
        let reviews = async {
            let response = self.clients.http.request(reviews).await?;
            let version = response.headers().get(REVIEWS_VERSION).cloned();
            Ok::<_, BoxError>((version, text(response).await?))
        };
        let (details, (version, reviews)) = tokio::try_join!(details, reviews)?;
        let mut page = Response::new(ratings::body(format!("<p>{details}</p><p>{reviews}</p>")));
        if let Some(version) = version {
            page.headers_mut().insert(REVIEWS_VERSION, version);
        }
        Ok(page)
    }

    /// Version 1 shows no stars, 2 black ones, 3 red ones.
    async fn reviews(&self) -> Result<Response<Body>, BoxError> {
        let colour = match self.version {
            "v1" => None,
            "v2" => Some("black"),
            _ => Some("red"),
        };
        let mut text = "An extremely entertaining play. Absolutely fun.".to_owned();
        if let Some(colour) = colour {
            let stars = ratings::get(self.clients.ratings.clone(), 0).await?.stars;
            text.push_str(&format!(" {stars:?} {colour} stars"));
        }
        let mut response = Response::new(ratings::body(text));
        response.headers_mut().insert(REVIEWS_VERSION, http::HeaderValue::from_static(self.version));
        Ok(response)
    }
}

/// The body of a response that went well.
async fn text(response: Response<mesh_hyper::ResponseBody>) -> Result<String, BoxError> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() { Ok(text) } else { Err(format!("{status}: {text}").into()) }
}
