//! Checks of ServiceEntry.

use super::super::meta::Meta;
use super::super::service_entry::{Location, Resolution, ServiceEntry, ServicePort};
use super::super::workload_entry::WorkloadEntry;
use super::workload_entry;
use super::{Check, names};
use std::net::IpAddr;

/// The protocols that a port may have.
const PROTOCOLS: [&str; 12] = [
    "http",
    "http_proxy",
    "https",
    "http2",
    "grpc",
    "grpc-web",
    "tcp",
    "tls",
    "udp",
    "mongo",
    "mysql",
    "redis",
];

pub(in super::super) fn service_entry(entry: &ServiceEntry, meta: &Meta, check: &mut Check) {
    hosts(entry, check);
    for (index, address) in entry.addresses.iter().enumerate() {
        let field = format!("addresses[{index}]");
        check.must(&field, names::address(address));
        if address.contains('/') && !matches!(entry.resolution, Resolution::None | Resolution::Static) {
            check.error(&field, "a block of addresses needs resolution NONE or STATIC");
        }
    }
    ports(entry, check);
    if let Some(selector) = &entry.workload_selector {
        check.selector("workloadSelector", &selector.labels);
        if !entry.endpoints.is_empty() {
            check.error("workloadSelector", "give either workloadSelector or endpoints");
        }
        if entry.resolution == Resolution::None {
            check.warn("workloadSelector", "has no effect with resolution NONE");
        }
    }
    check.each("endpoints", &entry.endpoints, |endpoint, check| each_endpoint(entry, endpoint, check));
    resolution(entry, check);
    check.export_to(&entry.export_to, &meta.namespace, true);
}

fn hosts(entry: &ServiceEntry, check: &mut Check) {
    if entry.hosts.is_empty() {
        check.error("hosts", "there must be at least one");
    }
    for (index, host) in entry.hosts.iter().enumerate() {
        let field = format!("hosts[{index}]");
        if host == "*" {
            check.error(&field, "`*` alone cannot be a service");
            continue;
        }
        check.must(&field, names::wildcard_domain(host));
        if host.starts_with('*') && !host.starts_with("*.") {
            check.warn(&field, "a wildcard for a part of a label matches nothing");
        }
    }
    let other = |port: &ServicePort| {
        let named = ["http", "http_proxy", "https", "http2", "grpc", "grpc-web", "tls"];
        !named.contains(&protocol(port).as_str())
    };
    let layer_4 = entry.ports.iter().any(other);
    if entry.hosts.len() > 1 && entry.resolution != Resolution::None && layer_4 {
        check.error(
            "hosts",
            "several hosts can share ports only whose protocol is written and is HTTP, gRPC or TLS",
        );
    }
}

fn protocol(port: &ServicePort) -> String {
    port.protocol.to_ascii_lowercase()
}

fn ports(entry: &ServiceEntry, check: &mut Check) {
    for (index, port) in entry.ports.iter().enumerate() {
        check.within(format!("ports[{index}]"), |check| {
            check.port("number", port.number);
            if port.target_port != 0 {
                check.port("targetPort", port.target_port);
            }
            check.must("name", names::label("port name", &port.name));
            if !port.protocol.is_empty() && !PROTOCOLS.contains(&protocol(port).as_str()) {
                check.error(
                    "protocol",
                    format!("{:?} is none of {}", port.protocol, PROTOCOLS.join(", ").to_uppercase()),
                );
            }
            let before = &entry.ports[..index];
            if before.iter().any(|other| other.name == port.name) {
                check.error("name", format!("{:?} is the name of another port too", port.name));
            }
            if before.iter().any(|other| other.number == port.number) {
                check.error("number", format!("{} is given twice", port.number));
            }
        });
    }
}

fn each_endpoint(entry: &ServiceEntry, endpoint: &WorkloadEntry, check: &mut Check) {
    let socket = endpoint.address.starts_with("unix://");
    match entry.resolution {
        Resolution::Static => {
            if workload_entry::address_given(endpoint, check)
                && !socket
                && endpoint.address.parse::<IpAddr>().is_err()
            {
                check.error(
                    "address",
                    format!("{:?} is no IP address, which resolution STATIC needs", endpoint.address),
                );
            }
            if socket && entry.ports.len() != 1 {
                check.error("address", "a unix socket serves exactly one port");
            }
        }
        Resolution::Dns | Resolution::DnsRoundRobin => {
            let name = || names::fqdn(&endpoint.address);
            if endpoint.address.parse::<IpAddr>().is_err() && name().is_err() {
                let what = "is neither an IP address nor a domain name, which resolution DNS needs";
                check.error("address", format!("{:?} {what}", endpoint.address));
            }
        }
        Resolution::None | Resolution::DynamicDns => {}
    }
    for name in endpoint.ports.keys() {
        if entry.ports.iter().all(|port| port.name != *name) {
            check.error(&format!("ports.{name}"), "the service has no port of this name");
        }
    }
    workload_entry::common(endpoint, check);
}

fn resolution(entry: &ServiceEntry, check: &mut Check) {
    if entry.resolution != Resolution::Static {
        check.warn("resolution", "not acted on yet: only STATIC services have endpoints");
    }
    match entry.resolution {
        Resolution::None => {
            if !entry.endpoints.is_empty() {
                check.error("endpoints", "resolution NONE has no endpoints; write STATIC");
            }
        }
        Resolution::Static => {}
        Resolution::Dns | Resolution::DnsRoundRobin => {
            if entry.endpoints.is_empty() {
                for (index, host) in entry.hosts.iter().enumerate() {
                    if names::fqdn(host).is_err() {
                        check.error(
                            &format!("hosts[{index}]"),
                            "without endpoints, DNS needs a complete domain name",
                        );
                    }
                }
            }
            if entry.resolution == Resolution::DnsRoundRobin && entry.endpoints.len() > 1 {
                check.error("endpoints", "resolution DNS_ROUND_ROBIN has one endpoint at most");
            }
            let tcp = |port: &ServicePort| {
                matches!(protocol(port).as_str(), "tcp" | "https" | "tls" | "mongo" | "mysql" | "redis")
            };
            if entry.hosts.len() > 1 && !entry.addresses.is_empty() && entry.ports.iter().any(tcp) {
                check.warn(
                    "addresses",
                    "with several hosts, the address does not tell which of them a TCP connection is for",
                );
            }
        }
        Resolution::DynamicDns => dynamic(entry, check),
    }
}

fn dynamic(entry: &ServiceEntry, check: &mut Check) {
    if entry.location != Location::MeshExternal {
        check.error("location", "resolution DYNAMIC_DNS needs MESH_EXTERNAL");
    }
    if !entry.addresses.is_empty() {
        check.error("addresses", "resolution DYNAMIC_DNS has no addresses");
    }
    if !entry.endpoints.is_empty() {
        check.error("endpoints", "resolution DYNAMIC_DNS has no endpoints");
    }
    for (index, host) in entry.hosts.iter().enumerate() {
        if !host.starts_with('*') {
            check.error(&format!("hosts[{index}]"), "resolution DYNAMIC_DNS needs wildcard hosts");
        }
    }
    for (index, port) in entry.ports.iter().enumerate() {
        if !matches!(protocol(port).as_str(), "http" | "tls") {
            check.error(
                &format!("ports[{index}].protocol"),
                "resolution DYNAMIC_DNS serves HTTP and TLS only",
            );
        }
    }
}
