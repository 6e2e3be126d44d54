//! The client status discovery service (gRFC A40): what a mesh knows, for tools such as `grpcdebug`.

use mesh_core::Mesh;
use mesh_core::snapshot::report::{Report, ResourceReport};
use mesh_core::xds::cache::Status as ResourceStatus;
use mesh_core::xds::kind::ResourceKind;
use mesh_proto::envoy::admin::v3::{ClientResourceStatus, UpdateFailureState};
use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::status::v3::client_config::GenericXdsConfig;
use mesh_proto::envoy::service::status::v3::client_status_discovery_service_server::{
    ClientStatusDiscoveryService, ClientStatusDiscoveryServiceServer,
};
use mesh_proto::envoy::service::status::v3::{ClientConfig, ClientStatusRequest, ClientStatusResponse};
use mesh_proto::google::protobuf::{Any, Timestamp};
use prost::Message;
use std::pin::Pin;
use std::time::SystemTime;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// Answers what a mesh knows of every resource, what it refused and why.
///
/// Add it to any tonic server; it should listen where only operators reach it:
///
/// ```
/// # fn example(mesh: &mesh_core::Mesh) {
/// let service = mesh_tonic::Csds::new(mesh).into_service();
/// // tonic::transport::Server::builder().add_service(service).serve("127.0.0.1:19000".parse()?)
/// # drop(service);
/// # }
/// ```
///
/// A request that selects nodes is refused with `INVALID_ARGUMENT`, as gRFC A40 says: there is only this one.
#[derive(Clone, Debug)]
pub struct Csds {
    mesh: Mesh,
}

type Answers = Pin<Box<dyn Stream<Item = Result<ClientStatusResponse, Status>> + Send>>;

impl Csds {
    /// Answers for `mesh`.
    #[must_use]
    pub fn new(mesh: &Mesh) -> Self {
        Self { mesh: mesh.clone() }
    }

    /// The service, to be added to a server.
    #[must_use]
    pub fn into_service(self) -> ClientStatusDiscoveryServiceServer<Self> {
        ClientStatusDiscoveryServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl ClientStatusDiscoveryService for Csds {
    type StreamClientStatusStream = Answers;

    async fn stream_client_status(
        &self,
        request: Request<Streaming<ClientStatusRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let mesh = self.mesh.clone();
        let answers = request.into_inner().then(move |request| {
            let mesh = mesh.clone();
            async move { answer(mesh, request?).await }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn fetch_client_status(
        &self,
        request: Request<ClientStatusRequest>,
    ) -> Result<Response<ClientStatusResponse>, Status> {
        answer(self.mesh.clone(), request.into_inner()).await.map(Response::new)
    }
}

async fn answer(mesh: Mesh, request: ClientStatusRequest) -> Result<ClientStatusResponse, Status> {
    if !request.node_matchers.is_empty() {
        let why = "node_matchers: not supported, this server answers for the one client that it is";
        return Err(Status::invalid_argument(why));
    }
    let report = mesh.report().await.map_err(crate::status)?;
    Ok(ClientStatusResponse { config: vec![client_config(&report, !request.exclude_resource_contents)] })
}

fn client_config(report: &Report, contents: bool) -> ClientConfig {
    ClientConfig {
        node: Node::decode(&report.node.encode()[..]).ok(),
        generic_xds_configs: report.resources.iter().map(|resource| config(resource, contents)).collect(),
        ..Default::default()
    }
}

fn config(resource: &ResourceReport, contents: bool) -> GenericXdsConfig {
    let status = match resource.client_status {
        ResourceStatus::Requested => ClientResourceStatus::Requested,
        ResourceStatus::DoesNotExist => ClientResourceStatus::DoesNotExist,
        ResourceStatus::Acked => ClientResourceStatus::Acked,
        ResourceStatus::Nacked => ClientResourceStatus::Nacked,
        ResourceStatus::ReceivedError => ClientResourceStatus::ReceivedError,
        ResourceStatus::Timeout => ClientResourceStatus::Timeout,
    };
    GenericXdsConfig {
        type_url: resource.kind.type_url().to_owned(),
        name: resource.name.to_string(),
        version_info: resource.version.as_deref().unwrap_or_default().to_owned(),
        xds_config: resource.bytes.as_deref().filter(|_| contents).map(|bytes| pack(resource, bytes)),
        last_updated: resource.updated.and_then(timestamp),
        client_status: status as i32,
        error_state: error_state(resource, contents),
        ..Default::default()
    }
}

/// What was wrong with the newest version, or what the control plane says is wrong.
fn error_state(resource: &ResourceReport, contents: bool) -> Option<UpdateFailureState> {
    if let Some(rejection) = &resource.rejection {
        let bytes = Some(&rejection.bytes).filter(|bytes| contents && !bytes.is_empty());
        return Some(UpdateFailureState {
            failed_configuration: bytes.map(|bytes| pack(resource, bytes)),
            last_update_attempt: resource.refused_at.and_then(timestamp),
            details: rejection.reason.clone(),
            version_info: rejection.version.to_string(),
        });
    }
    let details = resource.error.clone()?;
    let last_update_attempt = resource.reported_at.and_then(timestamp);
    Some(UpdateFailureState { details, last_update_attempt, ..Default::default() })
}

fn pack(resource: &ResourceReport, bytes: &[u8]) -> Any {
    Any { type_url: resource.kind.type_url().to_owned(), value: bytes.to_vec() }
}

/// A date as the wire has it; none before 1970.
fn timestamp(date: SystemTime) -> Option<Timestamp> {
    let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp {
        seconds: since.as_secs().try_into().ok()?,
        nanos: since.subsec_nanos().try_into().ok()?,
    })
}
