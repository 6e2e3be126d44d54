//! A network, a control plane and one service: what most tests begin with.

use crate::ads::Resources;
use crate::backend::Backend;
use crate::net::VirtualNet;
use crate::resources::{any, assignment, cluster, listener, route, routes};
use mesh_core::bootstrap::{Bootstrap, Node};
use mesh_core::{Error, Mesh, mesh};
use mesh_proto::envoy::config::route::v3::Route;

/// The target of the service.
pub const TARGET: &str = "xds:///echo:80";
/// Where the control plane listens if it is one behind a socket.
pub const CONTROL_PLANE: &str = "10.255.0.1:15010";

const LISTENER: &str = "echo:80";
const ROUTES: &str = "echo-routes";

/// A network, a control plane and one service.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The network.
    pub net: VirtualNet,
    /// The resources of the control plane.
    pub control: Resources,
}

impl World {
    /// A world in which the service is one cluster, `echo`, with a gRPC backend at each of these addresses, named like it.
    #[must_use]
    pub fn with_backends(addresses: &[&str]) -> (Self, Vec<Backend>) {
        let world = Self::default();
        world.cluster("echo", addresses);
        world.route("echo");
        let backends = addresses.iter().map(|address| world.backend(address)).collect();
        (world, backends)
    }

    /// A gRPC backend at this address, named like it.
    #[must_use]
    pub fn backend(&self, address: &str) -> Backend {
        Backend::http2(address, self.net.listen(address))
    }

    /// Adds or replaces a cluster with these endpoints.
    pub fn cluster(&self, name: &str, addresses: &[&str]) {
        self.control.set([any(&cluster(name)), any(&assignment(name, addresses))]);
    }

    /// Takes a cluster away.
    pub fn remove_cluster(&self, name: &str) {
        self.control.remove(&any(&cluster(name)));
        self.control.remove(&any(&assignment(name, &[])));
    }

    /// Leads the service to one cluster.
    pub fn route(&self, cluster: &str) {
        self.routes(vec![route("/", &[(cluster, 1)])]);
    }

    /// Leads the service where these routes lead.
    pub fn routes(&self, list: Vec<Route>) {
        self.control.set([any(&listener(LISTENER, ROUTES)), any(&routes(ROUTES, LISTENER, list))]);
    }

    /// Begins a mesh that asks the control plane in the process.
    #[must_use]
    pub fn builder(&self) -> mesh::Builder {
        Mesh::builder().control_plane(self.control.clone()).dialer(self.net.dialer()).seed(1)
    }

    /// A mesh that asks the control plane in the process.
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime.
    pub fn mesh(&self) -> Result<Mesh, Error> {
        self.builder().build()
    }

    /// A mesh that asks whoever listens at [`CONTROL_PLANE`].
    ///
    /// # Errors
    ///
    /// Outside of a tokio runtime.
    pub fn remote_mesh(&self) -> Result<Mesh, Error> {
        let bootstrap = Bootstrap::new(CONTROL_PLANE, Node::default())?;
        Mesh::builder().bootstrap(bootstrap).dialer(self.net.dialer()).seed(1).build()
    }
}
