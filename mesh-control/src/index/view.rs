//! What one client sees of an index, and a log of what was looked at.

use super::Index;
use super::endpoint::{EndpointSet, Identities, place_labels};
use super::policy::Policy;
use super::rules::{self, Rules};
use super::service::Service;
use crate::model::MeshConfig;
use crate::model::values::{Labels, subset};
use crate::translate::{Locality, NodeView};
use std::cell::RefCell;
use std::sync::Arc;

/// How many services may share a port, and how many rules there may be, before a client gets only the service it asks for.
///
/// istiod up to 1.30 sends with each route configuration the virtual hosts of everything that has the port; a client
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
        let known = node.addresses.iter().find_map(|ip| index.endpoints.at(ip, &node.namespace));
        let (mut labels, locality) =
            known.cloned().unwrap_or_else(|| (node.labels.clone(), node.locality.clone()));
        place_labels(&mut labels, &locality, &node.cluster, &node.network);
        Self { namespace: node.namespace.clone(), domain: node.domain.clone(), labels, locality }
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
    AllRules(Option<Vec<Arc<Rules>>>),
    Policy(Arc<Service>, Option<Arc<Policy>>),
    Endpoints(Arc<Service>, Option<Arc<EndpointSet>>),
    Identities(Arc<Service>, Option<Arc<Identities>>),
}

impl Read {
    /// About how much memory it takes, without what it shares with an index.
    pub(crate) fn size(&self) -> usize {
        fn texts(labels: &Labels) -> usize {
            labels.iter().map(|(key, value)| 2 * size_of::<String>() + key.len() + value.len()).sum()
        }
        let more = match self {
            Self::Home { namespace, domain } => namespace.len() + domain.len(),
            Self::InNamespace(name, _) | Self::Service(name, _) => name.len(),
            Self::HasLabels(labels, _) => texts(labels),
            Self::Label(key, value) => key.len() + value.as_ref().map_or(0, String::len),
            Self::Locality(Locality { region, zone, subzone }) => region.len() + zone.len() + subzone.len(),
            Self::Neighbours(_, seen) => seen.as_deref().map_or(0, size_of_val),
            Self::Rules(_, rules) => size_of_val(rules.as_slice()),
            Self::AllRules(seen) => seen.as_deref().map_or(0, size_of_val),
            Self::Mesh(_) | Self::Policy(..) | Self::Endpoints(..) | Self::Identities(..) => 0,
        };
        size_of::<Self>() + more
    }
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
        let mut reads = self.reads.into_inner();
        reads.shrink_to_fit();
        reads
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

    /// All rules, in the order in which they are to be tried; `None` if there are too many.
    pub(crate) fn all_rules(&self) -> Option<Vec<Arc<Rules>>> {
        let rules = self.find_all_rules();
        self.log(Read::AllRules(rules.clone()));
        rules
    }

    fn find_all_rules(&self) -> Option<Vec<Arc<Rules>>> {
        Some(self.index.rules.all(&self.client.namespace)).filter(|rules| rules.len() <= NEIGHBOURS)
    }

    /// Rules without those that come twice, in the order in which they are to be tried.
    pub(crate) fn in_order(&self, rules: &[Arc<Rules>]) -> Vec<Arc<Rules>> {
        let mut rules = rules::in_order(rules, &self.client.namespace);
        rules.dedup_by(|one, other| Arc::ptr_eq(one, other));
        rules
    }

    /// How a service is to be called.
    pub(crate) fn policy(&self, service: &Arc<Service>) -> Option<Arc<Policy>> {
        let policy = self.find_policy(service);
        self.log(Read::Policy(service.clone(), policy.clone()));
        policy
    }

    fn find_policy(&self, service: &Service) -> Option<Arc<Policy>> {
        let Client { namespace, labels, .. } = self.client;
        let found = self.index.policies.find(&service.host, &service.namespace, namespace);
        let chosen =
            |policy: &&&Arc<Policy>| policy.selector(namespace).is_some_and(|wanted| subset(wanted, labels));
        let general = |policy: &&&Arc<Policy>| policy.is_for_all_workloads();
        let policy = found.iter().find(chosen).or_else(|| found.iter().rfind(general))?;
        Some(Arc::clone(policy))
    }

    pub(crate) fn endpoints(&self, service: &Arc<Service>) -> Option<Arc<EndpointSet>> {
        let endpoints = self.index.endpoints.find(&service.host, &service.namespace).cloned();
        self.log(Read::Endpoints(service.clone(), endpoints.clone()));
        endpoints
    }

    /// Who a service's endpoints may say they are.
    pub(crate) fn identities(&self, service: &Arc<Service>) -> Option<Arc<Identities>> {
        let identities = self.index.endpoints.identities(&service.host, &service.namespace).cloned();
        self.log(Read::Identities(service.clone(), identities.clone()));
        identities
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
        fn same_lists<T>(one: Option<Vec<Arc<T>>>, other: &Option<Vec<Arc<T>>>) -> bool {
            match (one, other) {
                (Some(one), Some(other)) => same_list(&one, other),
                (None, None) => true,
                _ => false,
            }
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
            Read::Neighbours(port, seen) => same_lists(self.find_neighbours(*port), seen),
            Read::Rules(host, rules) => same_list(&index.rules.find(host, &client.namespace), rules),
            Read::AllRules(seen) => same_lists(self.find_all_rules(), seen),
            Read::Policy(service, policy) => same(self.find_policy(service).as_ref(), policy.as_ref()),
            Read::Endpoints(service, seen) => {
                same(index.endpoints.find(&service.host, &service.namespace), seen.as_ref())
            }
            Read::Identities(service, seen) => {
                same(index.endpoints.identities(&service.host, &service.namespace), seen.as_ref())
            }
        }
    }
}
