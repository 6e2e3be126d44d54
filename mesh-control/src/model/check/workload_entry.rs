//! Checks of WorkloadEntry, alone or inside a ServiceEntry.

use super::super::meta::Meta;
use super::super::workload_entry::WorkloadEntry;
use super::{Check, names};
use std::net::IpAddr;

pub(in super::super) fn workload_entry(entry: &WorkloadEntry, _meta: &Meta, check: &mut Check) {
    if address_given(entry, check) {
        address(&entry.address, check);
    }
    common(entry, check);
}

/// Whether there is an address to look at; without one, a network has to do.
pub(super) fn address_given(entry: &WorkloadEntry, check: &mut Check) -> bool {
    if !entry.address.is_empty() {
        return true;
    }
    if entry.network.is_empty() {
        check.error("address", "required");
    } else {
        check.warn("address", format!("there is none, only the network {:?}", entry.network));
    }
    false
}

/// An IP address, a host name or a socket.
fn address(address: &str, check: &mut Check) {
    if address.starts_with("unix://") {
        check.warn("address", "not acted on: a socket is an endpoint only where it stands in a ServiceEntry");
    } else if address.parse::<IpAddr>().is_err() {
        match names::fqdn(address) {
            Ok(()) => check.warn("address", "not acted on yet: only IP addresses are endpoints"),
            Err(_) => {
                check.error("address", format!("{address:?} is neither an IP address nor a domain name"));
            }
        }
    }
}

/// What holds for every endpoint.
pub(super) fn common(entry: &WorkloadEntry, check: &mut Check) {
    if let Some(path) = entry.address.strip_prefix("unix://") {
        let file = path.starts_with('/') && !path.ends_with('/');
        let named = path.len() > 1 && path.starts_with('@');
        if !file && !named {
            check.error("address", format!("{path:?} is not an absolute path to a file"));
        }
        if !entry.ports.is_empty() {
            check.error("ports", "a unix socket has no ports");
        }
    }
    for (name, port) in &entry.ports {
        check.must("ports", names::label("port name", name));
        check.port(&format!("ports.{name}"), *port);
    }
    check.labels("labels", &entry.labels);
}
