//! A tonic channel that is a service mesh.
//!
//! [`Channel`] takes the place of `tonic::transport::Channel` under any client that tonic generates: calls are routed,
//! balanced, retried and limited in time by what the control plane says.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mesh = mesh_core::Mesh::from_env().await?;
//! let channel = mesh_tonic::Channel::new(&mesh, "xds:///greeter.default.svc.cluster.local:50051")?;
//! // let client = GreeterClient::new(channel);
//! # Ok(())
//! # }
//! ```

mod body;
mod channel;
mod csds;
mod status;

pub use self::body::ResponseBody;
pub use self::channel::{Channel, ResponseFuture};
pub use self::csds::Csds;
pub use self::status::{mesh_error, status};
