//! An HTTP client that is a service mesh.
//!
//! A request to a host that the mesh knows is routed, balanced, retried and limited in time by what the control plane
//! says of that host. A request to any other host goes where its name leads by DNS, or is refused: see
//! [`UnknownHosts`].
//!
//! ```no_run
//! use http_body_util::BodyExt;
//!
//! # async fn example() -> Result<(), mesh_core::Error> {
//! let mesh = mesh_core::Mesh::from_env().await?;
//! let client = mesh_hyper::Client::new(&mesh);
//! let response = client.get("http://reviews.default.svc.cluster.local:9080/reviews/1").await?;
//! let body = response.into_body().collect().await?.to_bytes();
//! # Ok(())
//! # }
//! ```
//!
//! Any [`http::Request`] can be sent, with any body that is an [`http_body::Body`] of [`Bytes`](bytes::Bytes). Bodies are
//! streamed both ways, trailers included. What is decided for one call only goes into its extensions, as
//! [`Overrides`](mesh_core::overrides::Overrides):
//!
//! ```no_run
//! use http_body_util::Full;
//! use mesh_core::overrides::Overrides;
//! use std::time::Duration;
//!
//! # async fn example(client: mesh_hyper::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let request = http::Request::post("http://ratings:9080/ratings/1")
//!     .header("end-user", "jason")
//!     .extension(Overrides::default().timeout(Duration::from_millis(300)))
//!     .body(Full::from("5"))?;
//! let response = client.request(request).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Errors are those of the mesh: [`mesh_core::Error`] says what went wrong, where, and whether the request may be sent
//! again. A response is never an error, whatever its status.

mod client;
mod request;
mod targets;

pub use self::client::{Builder, Client, ResponseBody, ResponseFuture, UnknownHosts};
pub use self::targets::{MAX_TARGETS, TARGET_IDLE_TIME};
