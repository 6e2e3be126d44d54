//! What one client sees of an index, and a log of what was looked at.

use super::Index;
use super::endpoint::{EndpointSet, place_labels};
use super::policy::{Policy, selects};
use super::rules::Rules;
use super::service::Service;
use crate::model::MeshConfig;
use crate::model::values::{Labels, subset};
use crate::translate::{Locality, NodeView};
use std::cell::RefCell;
use std::sync::Arc;

/// How many services may share a port before a client gets only the one it asks for.
///
/// istiod up to 1.30 sends with each route configuration the virtual hosts of every service that has the port; a client
/// picks by name and needs one. That grows with the square of the services, so that beyond this number we do as later versions do.
const NEIGHBOURS: usize = 100;

/// The parts of a client on which answers depend.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) namespace: String,
    /// What short names are completed with, such as `default.svc.cluster.local`.
    pub(crate) domain: String,
    labels: Labels,
    locality: Locality,
}

impl Client {
    /// A client that runs at the address of an endpoint of its namespace has that endpoint's labels and locality, as for istiod.
    pub(crate) fn new(node: &NodeView, index: &Index) -> Self {
        let (mut labels, locality) = match index.endpoints.at(&node.ip, &node.namespace) {
            Some((labels, locality)) => (labels.clone(), locality.clone()),
            None => (node.labels.clone(), node.locality.clone()),
        };
        place_labels(&mut labels, &locality, &node.cluster, &node.network);
        let domain = format!("{}.{}", node.namespace, node.domain);
        Self { namespace: node.namespace.clone(), domain, labels, locality }
    }
}

/// Something that was looked at, and what was seen. A result holds as long as all that it was made from looks the same.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Home { namespace: String, domain: String },
    InNamespace(String, bool),
    HasLabels(Labels, bool),
    Label(String, Option<String>),
    Locality(Locality),
    Mesh(Arc<MeshConfig>),
    Service(String, Option<Arc<Service>>),
    Neighbours(u32, Option<Vec<Arc<Service>>>),
    Rules(Arc<str>, Vec<Arc<Rules>>),
    Policy(Arc<Service>, Option<Arc<Policy>>),
    Endpoints(Arc<Service>, Option<Arc<EndpointSet>>),
    Accounts(Arc<Service>, Option<Arc<Vec<String>>>),
}

/// What one client sees.
pub(crate) struct View<'a> {
    index: &'a Index,
    client: &'a Client,
    reads: RefCell<Vec<Read>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(index: &'a Index, client: &'a Client) -> Self {
        Self { index, client, reads: RefCell::default() }
    }

    /// Everything that was looked at.
    pub(crate) fn into_reads(self) -> Vec<Read> {
        self.reads.into_inner()
    }

    fn log(&self, read: Read) {
        self.reads.borrow_mut().push(read);
    }

    /// The client's namespace and domain.
    pub(crate) fn home(&self) -> (&'a str, &'a str) {
        let (namespace, domain) = (self.client.namespace.clone(), self.client.domain.clone());
        self.log(Read::Home { namespace, domain });
        (&self.client.namespace, &self.client.domain)
    }

    pub(crate) fn is_in_namespace(&self, namespace: &str) -> bool {
        let is = self.client.namespace == namespace;
        self.log(Read::InNamespace(namespace.to_owned(), is));
        is
    }

    pub(crate) fn has_labels(&self, wanted: &Labels) -> bool {
        let has = subset(wanted, &self.client.labels);
        self.log(Read::HasLabels(wanted.clone(), has));
        has
    }

    pub(crate) fn label(&self, key: &str) -> Option<&'a str> {
        let value = self.client.labels.get(key);
        self.log(Read::Label(key.to_owned(), value.cloned()));
        value.map(String::as_str)
    }

    pub(crate) fn locality(&self) -> &'a Locality {
        self.log(Read::Locality(self.client.locality.clone()));
        &self.client.locality
    }

    pub(crate) fn mesh(&self) -> &'a MeshConfig {
        self.log(Read::Mesh(self.index.mesh.clone()));
        &self.index.mesh
    }

    /// The service of this name.
    pub(crate) fn service(&self, host: &str) -> Option<Arc<Service>> {
        let service = self.find_service(host);
        self.log(Read::Service(host.to_owned(), service.clone()));
        service
    }

    fn find_service(&self, host: &str) -> Option<Arc<Service>> {
        self.index.services.find(host, &self.client.namespace).cloned()
    }

    /// All services with a port, by name; `None` if there are too many.
    pub(crate) fn neighbours(&self, port: u32) -> Option<Vec<Arc<Service>>> {
        let neighbours = self.find_neighbours(port);
        self.log(Read::Neighbours(port, neighbours.clone()));
        neighbours
    }

    fn find_neighbours(&self, port: u32) -> Option<Vec<Arc<Service>>> {
        let all = self.index.services.with_port(port);
        let seen = |service: &&Arc<Service>| {
            self.index
                .services
                .find(&service.host, &self.client.namespace)
                .is_some_and(|it| Arc::ptr_eq(it, service))
        };
        (all.len() <= NEIGHBOURS).then(|| all.iter().filter(seen).cloned().collect())
    }

    /// All services, by name. For lists of names only: it is not logged.
    pub(crate) fn services(&self) -> impl Iterator<Item = &'a Arc<Service>> {
        self.index.services.visible(&self.client.namespace)
    }

    /// The rules for a host, in the order in which they are to be tried.
    pub(crate) fn rules(&self, host: &Arc<str>) -> Vec<Arc<Rules>> {
        let rules = self.index.rules.find(host, &self.client.namespace);
        self.log(Read::Rules(host.clone(), rules.clone()));
        rules
    }

    /// How a service is to be called.
    pub(crate) fn policy(&self, service: &Arc<Service>) -> Option<Arc<Policy>> {
        let policy = self.find_policy(service);
        self.log(Read::Policy(service.clone(), policy.clone()));
        policy
    }

    fn find_policy(&self, service: &Service) -> Option<Arc<Policy>> {
        let found = self.index.policies.find(&service.host, &service.namespace, &self.client.namespace);
        let chosen = |policy: &&Arc<Policy>| {
            policy.selector().is_some_and(|wanted| selects(wanted, &self.client.labels))
        };
        let general = |policy: &&Arc<Policy>| policy.selector().is_none();
        found.iter().find(chosen).or_else(|| found.iter().find(general)).cloned()
    }

    pub(crate) fn endpoints(&self, service: &Arc<Service>) -> Option<Arc<EndpointSet>> {
        let endpoints = self.index.endpoints.find(&service.host, &service.namespace).cloned();
        self.log(Read::Endpoints(service.clone(), endpoints.clone()));
        endpoints
    }

    /// The service accounts of a service's endpoints.
    pub(crate) fn accounts(&self, service: &Arc<Service>) -> Option<Arc<Vec<String>>> {
        let accounts = self.index.endpoints.accounts(&service.host, &service.namespace).cloned();
        self.log(Read::Accounts(service.clone(), accounts.clone()));
        accounts
    }

    /// Whether something still looks as it did, to this client and in this index.
    pub(crate) fn looks_the_same(&self, read: &Read) -> bool {
        fn same<T: ?Sized>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (None, None) => true,
                _ => false,
            }
        }
        fn same_list<T>(one: &[Arc<T>], other: &[Arc<T>]) -> bool {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
        }
        let (index, client) = (self.index, self.client);
        match read {
            Read::Home { namespace, domain } => *namespace == client.namespace && *domain == client.domain,
            Read::InNamespace(namespace, is) => (client.namespace == *namespace) == *is,
            Read::HasLabels(wanted, has) => subset(wanted, &client.labels) == *has,
            Read::Label(key, value) => client.labels.get(key) == value.as_ref(),
            Read::Locality(locality) => client.locality == *locality,
            Read::Mesh(mesh) => Arc::ptr_eq(mesh, &index.mesh),
            Read::Service(host, service) => same(self.find_service(host).as_ref(), service.as_ref()),
            Read::Neighbours(port, seen) => match (self.find_neighbours(*port), seen) {
                (Some(now), Some(seen)) => same_list(&now, seen),
                (None, None) => true,
                _ => false,
            },
            Read::Rules(host, rules) => same_list(&index.rules.find(host, &client.namespace), rules),
            Read::Policy(service, policy) => same(self.find_policy(service).as_ref(), policy.as_ref()),
            Read::Endpoints(service, seen) => {
                same(index.endpoints.find(&service.host, &service.namespace), seen.as_ref())
            }
            Read::Accounts(service, seen) => {
                same(index.endpoints.accounts(&service.host, &service.namespace), seen.as_ref())
            }
        }
    }
}
