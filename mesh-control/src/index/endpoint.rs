//! Where services run.

use super::{by_age, keep};
use crate::model::service_entry::{Resolution, ServiceEntry};
use crate::model::values::{Labels, subset};
use crate::model::workload_entry::WorkloadEntry;
use crate::model::{Config, Meta, Object};
use crate::translate::Locality;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

/// The name of the one cluster there is, as istiod has it.
pub(crate) const CLUSTER: &str = "Kubernetes";
/// Says how an endpoint takes TLS.
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// The endpoints of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EndpointSet {
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Who the endpoints of a service may say they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Identities {
    /// The accounts that they run under, in the namespace of the service.
    pub(crate) accounts: BTreeSet<String>,
    /// Whole names beside those.
    pub(crate) others: BTreeSet<String>,
}

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Ip(String),
    /// A path, or a name that begins with `@`.
    Unix(String),
}

/// One process that serves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    /// Its port for each port of the service, by name.
    pub(crate) ports: Vec<(Arc<str>, u32)>,
    /// Its labels, and those that tell where it is.
    pub(crate) labels: Labels,
    pub(crate) locality: Locality,
    /// Not 0.
    pub(crate) weight: u32,
    /// The WorkloadEntry that it is: name and namespace, empty if written inside of a ServiceEntry.
    pub(crate) workload: (String, String),
    pub(crate) service_account: String,
    /// How it takes TLS; empty or `disabled` if not at all.
    pub(crate) tls_mode: String,
}

impl Endpoint {
    pub(crate) fn port(&self, name: &str) -> Option<u32> {
        self.ports.iter().find(|(known, _)| **known == *name).map(|(_, number)| *number)
    }
}

/// Endpoint sets by host and namespace of the service.
#[derive(Debug)]
pub(super) struct Endpoints {
    sets: HashMap<(String, String), Arc<EndpointSet>>,
    /// Who they may say they are, which changes less often.
    identities: HashMap<(String, String), Arc<Identities>>,
    /// Who runs at an address, by namespace.
    at_address: HashMap<(String, String), (Labels, Locality)>,
}

impl Endpoints {
    pub(super) fn new(config: &Config, previous: Option<&Self>) -> Self {
        let workloads = Workloads::new(&config.workload_entries);
        let mut sets: HashMap<(String, String), EndpointSet> = HashMap::new();
        let mut names: HashMap<(String, String), Identities> = HashMap::new();
        let mut at_address = HashMap::new();
        for entry in by_age(&config.service_entries) {
            let endpoints = of_entry(entry, &workloads);
            for endpoint in &endpoints {
                if let Address::Ip(ip) = &endpoint.address {
                    // The oldest entry counts, whenever this is read.
                    at_address
                        .entry((entry.meta.namespace.clone(), canonical(ip)))
                        .or_insert_with(|| (endpoint.labels.clone(), endpoint.locality.clone()));
                }
            }
            for host in &entry.spec.hosts {
                let key = (host.to_ascii_lowercase(), entry.meta.namespace.clone());
                let names = names.entry(key.clone()).or_default();
                names.others.extend(entry.spec.subject_alt_names.iter().cloned());
                let accounts = endpoints.iter().map(|it| it.service_account.clone());
                names.accounts.extend(accounts.filter(|name| !name.is_empty()));
                sets.entry(key).or_default().endpoints.extend(endpoints.iter().cloned());
            }
        }
        let identities = names.into_iter().map(|(key, names)| {
            let known = previous.and_then(|previous| previous.identities.get(&key));
            let names = keep(known, names);
            (key, names)
        });
        let identities = identities.collect();
        let sets = sets.into_iter().map(|(key, set)| {
            let known = previous.and_then(|previous| previous.sets.get(&key));
            let set = keep(known, set);
            (key, set)
        });
        Self { sets: sets.collect(), identities, at_address }
    }

    pub(super) fn find(&self, host: &str, namespace: &str) -> Option<&Arc<EndpointSet>> {
        self.sets.get(&(host.to_owned(), namespace.to_owned()))
    }

    pub(super) fn identities(&self, host: &str, namespace: &str) -> Option<&Arc<Identities>> {
        self.identities.get(&(host.to_owned(), namespace.to_owned()))
    }

    /// The labels and the locality of what runs at an address.
    pub(super) fn at(&self, ip: &str, namespace: &str) -> Option<&(Labels, Locality)> {
        self.at_address.get(&(namespace.to_owned(), canonical(ip)))
    }
}

/// WorkloadEntries under each of their labels, so that a selector need not look at all of them.
struct Workloads<'a> {
    by_label: HashMap<(&'a str, &'a str, &'a str), Vec<&'a Object<WorkloadEntry>>>,
    by_namespace: HashMap<&'a str, Vec<&'a Object<WorkloadEntry>>>,
}

impl<'a> Workloads<'a> {
    fn new(entries: &'a [Arc<Object<WorkloadEntry>>]) -> Self {
        let mut all = Self { by_label: HashMap::new(), by_namespace: HashMap::new() };
        for entry in by_age(entries) {
            let namespace = entry.meta.namespace.as_str();
            all.by_namespace.entry(namespace).or_default().push(entry);
            for (key, value) in &entry.spec.labels {
                all.by_label.entry((namespace, key, value)).or_default().push(entry);
            }
        }
        all
    }

    fn select(&self, namespace: &str, labels: &Labels) -> Vec<&'a Object<WorkloadEntry>> {
        let candidates = match labels.first_key_value() {
            Some((key, value)) => self.by_label.get(&(namespace, key.as_str(), value.as_str())),
            None => self.by_namespace.get(namespace),
        };
        candidates.into_iter().flatten().copied().filter(|entry| subset(labels, &entry.spec.labels)).collect()
    }
}

/// Only given addresses are endpoints to a client that balances itself: those of DNS services are not looked up here.
fn of_entry(entry: &Object<ServiceEntry>, workloads: &Workloads<'_>) -> Vec<Endpoint> {
    if entry.spec.resolution != Resolution::Static {
        return Vec::new();
    }
    let nameless = Meta::default();
    let inside = entry.spec.endpoints.iter().filter_map(|it| endpoint(&entry.spec, it, &nameless));
    let selected = entry.spec.workload_selector.iter().flat_map(|selector| {
        let selected = workloads.select(&entry.meta.namespace, &selector.labels).into_iter();
        let of_workload = |it: &Object<WorkloadEntry>| endpoint(&entry.spec, &it.spec, &it.meta);
        // A socket file can only be written inside of the ServiceEntry.
        selected.filter_map(of_workload).filter(|it| matches!(it.address, Address::Ip(_)))
    });
    inside.chain(selected).collect()
}

fn endpoint(service: &ServiceEntry, entry: &WorkloadEntry, meta: &Meta) -> Option<Endpoint> {
    let address = match entry.address.strip_prefix("unix://") {
        Some(path) => Address::Unix(path.to_owned()),
        // As it is written, whatever other ways there are to write it.
        None => Address::Ip(entry.address.parse::<IpAddr>().is_ok().then(|| entry.address.clone())?),
    };
    let ports = service.ports.iter().map(|port| {
        let own = entry.ports.get(&port.name).copied().filter(|port| *port > 0);
        let target = if port.target_port == 0 { port.number } else { port.target_port };
        (port.name.as_str().into(), own.unwrap_or(target))
    });
    let locality = locality(entry);
    let tls_mode = match entry.labels.get(TLS_MODE) {
        Some(mode) => mode.clone(),
        None if entry.service_account.is_empty() => String::new(),
        None => "istio".to_owned(),
    };
    let mut labels = entry.labels.clone();
    place_labels(&mut labels, &locality, CLUSTER, &entry.network);
    Some(Endpoint {
        address,
        ports: ports.collect(),
        labels,
        locality,
        weight: entry.weight.max(1),
        workload: (workload_name(meta), meta.namespace.clone()),
        service_account: entry.service_account.clone(),
        tls_mode,
    })
}

/// One of the ways to write an address.
fn canonical(ip: &str) -> String {
    ip.parse::<IpAddr>().map_or_else(|_| ip.to_owned(), |ip| ip.to_string())
}

/// What a workload is called: some stand for a group.
fn workload_name(meta: &Meta) -> String {
    let group = meta.annotations.get("istio.io/autoRegistrationGroup");
    group.or_else(|| meta.labels.get("service.istio.io/workload-name")).unwrap_or(&meta.name).clone()
}

/// Its own, or from a label, whose parts may be separated by dots.
fn locality(entry: &WorkloadEntry) -> Locality {
    if !entry.locality.is_empty() {
        return Locality::parse(&entry.locality);
    }
    let label = ["topology.istio.io/locality", "istio-locality"]
        .into_iter()
        .find_map(|label| entry.labels.get(label));
    match label {
        Some(text) if text.contains('/') => Locality::parse(text),
        Some(text) => Locality::parse(&text.replace('.', "/")),
        None => Locality::default(),
    }
}

/// Adds the labels that tell where something is, by which failover finds what is near.
pub(super) fn place_labels(labels: &mut Labels, locality: &Locality, cluster: &str, network: &str) {
    let mut tell = |key: &str, value: &str| {
        if !value.is_empty() {
            labels.insert(key.to_owned(), value.to_owned());
        }
    };
    tell("topology.kubernetes.io/region", &locality.region);
    tell("topology.kubernetes.io/zone", &locality.zone);
    tell("topology.istio.io/subzone", &locality.subzone);
    tell("topology.istio.io/cluster", cluster);
    if !labels.contains_key("topology.istio.io/network") && !network.is_empty() {
        labels.insert("topology.istio.io/network".to_owned(), network.to_owned());
    }
}
