//! Services by host and by port.

use super::export::{Export, Nearness};
use super::protocol::Protocol;
use super::{by_age, keep};
use crate::model::service_entry::{Location, ServiceEntry};
use crate::model::{MeshConfig, Object};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One host of a ServiceEntry, without its endpoints.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) host: Arc<str>,
    pub(crate) namespace: Arc<str>,
    /// Its virtual addresses, blocks left out.
    pub(crate) addresses: Vec<String>,
    pub(crate) ports: Vec<Port>,
    /// Whether it is part of the mesh, so that its endpoints have identities.
    pub(crate) internal: bool,
    export: Export,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: u32,
    pub(crate) name: Arc<str>,
    pub(crate) protocol: Protocol,
}

impl Service {
    pub(crate) fn port(&self, number: u32) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    pub(super) fn nearness(&self, namespace: &str) -> Option<Nearness> {
        self.export.nearness(&self.namespace, namespace)
    }
}

#[derive(Debug)]
pub(super) struct Services {
    /// Several of one host in the order of their age.
    by_host: BTreeMap<Arc<str>, Vec<Arc<Service>>>,
    by_port: HashMap<u32, Vec<Arc<Service>>>,
}

impl Services {
    pub(super) fn new(
        entries: &[Arc<Object<ServiceEntry>>],
        mesh: &MeshConfig,
        previous: Option<&Self>,
    ) -> Self {
        let mut by_host: BTreeMap<Arc<str>, Vec<Arc<Service>>> = BTreeMap::new();
        for entry in by_age(entries) {
            let namespace: Arc<str> = entry.meta.namespace.as_str().into();
            for host in &entry.spec.hosts {
                let host: Arc<str> = host.to_ascii_lowercase().into();
                let service = Service {
                    host: host.clone(),
                    namespace: namespace.clone(),
                    addresses: entry.spec.addresses.iter().filter_map(|address| single(address)).collect(),
                    ports: entry.spec.ports.iter().map(port).collect(),
                    internal: entry.spec.location == Location::MeshInternal,
                    export: Export::new(&entry.spec.export_to, &mesh.default_service_export_to, &namespace),
                };
                let known = previous.and_then(|previous| previous.by_host.get(&host));
                let known = known.and_then(|known| known.iter().find(|known| ***known == service));
                by_host.entry(host).or_default().push(keep(known, service));
            }
        }
        let mut by_port: HashMap<u32, Vec<Arc<Service>>> = HashMap::new();
        for service in by_host.values().flatten() {
            for port in &service.ports {
                by_port.entry(port.number).or_default().push(service.clone());
            }
        }
        Self { by_host, by_port }
    }

    /// The service of this name that clients in `namespace` see: the nearest, and of those the oldest.
    pub(super) fn find(&self, host: &str, namespace: &str) -> Option<&Arc<Service>> {
        let services = self.by_host.get(host)?.iter();
        let near = services.filter_map(|service| Some((service.nearness(namespace)?, service)));
        near.min_by_key(|(nearness, _)| *nearness).map(|(_, service)| service)
    }

    /// Every service that has the port, whoever sees it, by name.
    pub(super) fn with_port(&self, port: u32) -> &[Arc<Service>] {
        self.by_port.get(&port).map_or(&[], Vec::as_slice)
    }

    /// Every service that clients in `namespace` see, by name.
    pub(super) fn visible<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Service>> {
        self.by_host.keys().filter_map(move |host| self.find(host, namespace))
    }
}

/// An address that is no block, or a block of one.
fn single(address: &str) -> Option<String> {
    match address.split_once('/') {
        None => Some(address.to_owned()),
        Some((address, bits)) => {
            (bits == if address.contains(':') { "128" } else { "32" }).then(|| address.to_owned())
        }
    }
}

fn port(port: &crate::model::service_entry::ServicePort) -> Port {
    Port { number: port.number, name: port.name.as_str().into(), protocol: Protocol::of(port) }
}
