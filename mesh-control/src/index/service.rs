//! Services by host and by port.

use super::export::{Export, Nearness};
use super::protocol::Protocol;
use super::{by_age, keep};
use crate::model::service_entry::{Resolution, ServiceEntry};
use crate::model::values::{Labels, Selector};
use crate::model::{MeshConfig, Meta, Object};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One host of a ServiceEntry, or of several in one namespace, without its endpoints.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) host: Arc<str>,
    pub(crate) namespace: Arc<str>,
    /// Where it listens: the first of its virtual addresses, a block if it is one.
    pub(crate) address: Option<Arc<str>>,
    pub(crate) ports: Vec<Port>,
    /// Labels in which endpoints should be like the client, the most important first.
    pub(crate) prefer: &'static [&'static str],
    export: Export,
}

/// What an annotation may ask for: to stay in the client's zone.
const SAME_ZONE: &[&str] =
    &["topology.istio.io/network", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"];
/// Or on its node.
const SAME_NODE: &[&str] =
    &[SAME_ZONE[0], SAME_ZONE[1], SAME_ZONE[2], "topology.istio.io/subzone", "kubernetes.io/hostname"];

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: u32,
    pub(crate) name: Arc<str>,
    pub(crate) protocol: Protocol,
    /// The virtual address by which clients may call it. Of several, istiod knows the last here.
    pub(crate) address: Option<Arc<str>>,
}

/// What ServiceEntries of one host and namespace must have in common to make one service. Of others, the oldest counts alone.
#[derive(PartialEq)]
struct Nature<'a> {
    resolution: Resolution,
    labels: &'a Labels,
    selector: Option<&'a Selector>,
    export_to: &'a [String],
}

impl Service {
    pub(crate) fn port(&self, number: u32) -> Option<&Port> {
        self.ports.iter().find(|port| port.number == number)
    }

    fn nearness(&self, namespace: &str) -> Option<Nearness> {
        self.export.nearness(&self.namespace, namespace)
    }

    /// Takes over the ports that only a younger entry has.
    fn add(&mut self, ports: impl Iterator<Item = Port>) {
        for port in ports {
            match self.ports.iter_mut().find(|known| known.number == port.number) {
                Some(known) => known.address = port.address,
                None => self.ports.push(port),
            }
        }
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
        let mut entries = by_age(entries);
        // Where two claim a host and are of the same age, their namespaces decide.
        entries.sort_by_key(|entry| (&entry.meta.created, &entry.meta.namespace));
        let mut services: BTreeMap<Arc<str>, Vec<(Nature<'_>, Service)>> = BTreeMap::new();
        for entry in entries {
            let spec = &entry.spec;
            let namespace: Arc<str> = entry.meta.namespace.as_str().into();
            let addresses: Vec<Arc<str>> = spec.addresses.iter().map(|it| single(it).into()).collect();
            for host in &spec.hosts {
                let host: Arc<str> = host.to_ascii_lowercase().into();
                let nature = Nature {
                    resolution: spec.resolution,
                    labels: &entry.meta.labels,
                    selector: spec.workload_selector.as_ref(),
                    export_to: &spec.export_to,
                };
                let known = services.entry(host.clone()).or_default();
                let same =
                    known.iter_mut().find(|(it, service)| *it == nature && service.namespace == namespace);
                let ports = spec.ports.iter().map(|it| port(it, addresses.last()));
                match same {
                    Some((_, service)) => service.add(ports),
                    None => known.push((
                        nature,
                        Service {
                            host,
                            namespace: namespace.clone(),
                            address: addresses.first().cloned(),
                            ports: ports.collect(),
                            prefer: preference(&entry.meta),
                            export: Export::new(&spec.export_to, &mesh.default_service_export_to, &namespace),
                        },
                    )),
                }
            }
        }
        let by_host: BTreeMap<Arc<str>, Vec<Arc<Service>>> = services
            .into_iter()
            .map(|(host, services)| {
                let known = previous.and_then(|previous| previous.by_host.get(&host));
                let shared = |service: Service| {
                    let known = known.and_then(|known| known.iter().find(|known| ***known == service));
                    keep(known, service)
                };
                (host, services.into_iter().map(|(_, service)| shared(service)).collect())
            })
            .collect();
        let mut by_port: HashMap<u32, Vec<Arc<Service>>> = HashMap::new();
        for service in by_host.values().flatten() {
            for port in &service.ports {
                by_port.entry(port.number).or_default().push(service.clone());
            }
        }
        Self { by_host, by_port }
    }

    /// The service of this name that clients in `namespace` see: the one of their own namespace, else one that is meant for
    /// them, else any; of those the oldest.
    pub(super) fn find(&self, host: &str, namespace: &str) -> Option<&Arc<Service>> {
        let services = self.by_host.get(host)?.iter();
        let near = services.filter_map(|service| {
            let nearness = service.nearness(namespace)?;
            Some(((*service.namespace != *namespace, nearness), service))
        });
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

/// What the annotation about the distribution of traffic asks for.
fn preference(meta: &Meta) -> &'static [&'static str] {
    let wanted = meta.annotations.get("networking.istio.io/traffic-distribution");
    match wanted.map(|wanted| wanted.to_ascii_lowercase()).as_deref() {
        Some("preferclose" | "prefersamezone") => SAME_ZONE,
        Some("prefersamenode") => SAME_NODE,
        _ => &[],
    }
}

/// An address, and a block of one as the address in it.
fn single(address: &str) -> &str {
    match address.split_once('/') {
        Some((inside, bits)) if bits == if inside.contains(':') { "128" } else { "32" } => inside,
        _ => address,
    }
}

fn port(port: &crate::model::service_entry::ServicePort, address: Option<&Arc<str>>) -> Port {
    Port {
        number: port.number,
        name: port.name.as_str().into(),
        protocol: Protocol::of(port),
        address: address.cloned(),
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
