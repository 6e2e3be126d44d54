//! Checks of VirtualService.

use super::super::meta::Meta;
use super::super::virtual_service::{Destination, RouteDestination, TcpRoute, TlsRoute, VirtualService};
use super::{Check, Labels, http_match, http_route, names, reach};
use std::net::IpAddr;

pub(in super::super) fn virtual_service(service: &VirtualService, meta: &Meta, check: &mut Check) {
    let tls = service.tls.as_ref().map_or(&[][..], |routes| &routes.0);
    let tcp = service.tcp.as_ref().map_or(&[][..], |routes| &routes.0);
    let delegate = service.hosts.is_empty();
    if delegate {
        if !service.gateways.is_empty() {
            check.error(
                "gateways",
                "a VirtualService without hosts, to which others delegate, has no gateways",
            );
        }
        if !tcp.is_empty() || !tls.is_empty() {
            check.error(
                if tcp.is_empty() { "tls" } else { "tcp" },
                "a VirtualService without hosts has HTTP rules only",
            );
        }
    }
    hosts(service, check);
    gateways(&service.gateways, check);
    if !service.is_for_mesh() {
        check.warn("gateways", "not acted on: without `mesh` among them, the rules are for gateways only");
    }
    if service.http.is_empty() && tls.is_empty() && tcp.is_empty() {
        check.error("http", "give rules in http, tls or tcp");
    }
    check.each("http", &service.http, |route, check| {
        http_route::http_route(route, delegate, check);
        for (index, matches) in route.matches.iter().enumerate() {
            check.within(format!("match[{index}]"), |check| {
                http_match::http_match(matches, service.is_for_mesh(), check);
            });
        }
    });
    reach::reach(&service.http, check);
    check.each("tls", tls, |route, check| tls_route(service, route, check));
    check.each("tcp", tcp, tcp_route);
    check.export_to(&service.export_to, &meta.namespace, false);
}

fn hosts(service: &VirtualService, check: &mut Check) {
    for (index, host) in service.hosts.iter().enumerate() {
        let field = format!("hosts[{index}]");
        if host == "*" && service.is_for_mesh() {
            check.error(&field, "`*` alone cannot be used inside the mesh");
        } else if host.parse::<IpAddr>().is_err() {
            check.must(&field, names::wildcard_domain(host));
        }
        let covers = |wildcard: &str, name: &str| {
            wildcard.strip_prefix('*').is_some_and(|suffix| name.ends_with(suffix))
        };
        let clash = |other: &&String| *other == host || covers(other, host) || covers(host, other);
        if let Some(other) = service.hosts[..index].iter().find(clash) {
            check.error(&field, format!("{host:?} and {other:?} cover each other"));
        }
    }
}

/// The names of gateways, `NAMESPACE/NAME` or one of the older forms; `mesh` is one of these.
pub(super) fn gateways(gateways: &[String], check: &mut Check) {
    for (index, gateway) in gateways.iter().enumerate() {
        let field = format!("gateways[{index}]");
        let Some((namespace, name)) = gateway.split_once('/') else {
            if let Some((name, namespace)) = gateway.split_once('.') {
                check.warn(&field, format!("an old way to write {namespace}/{name}"));
            }
            check.must(&field, names::fqdn(gateway));
            continue;
        };
        check.must(&field, names::label("namespace", namespace));
        check.must(&field, names::label("name of a gateway", name));
    }
}

/// A destination that requests go to.
pub(super) fn destination(field: &str, destination: Option<&Destination>, check: &mut Check) {
    let Some(destination) = destination else { return check.error(field, "required") };
    check.within(field, |check| {
        if destination.host == "*" {
            check.error("host", "`*` is no destination");
        } else {
            check.must("host", names::wildcard_domain(&destination.host));
        }
        if !destination.subset.is_empty() {
            check.must("subset", names::label("subset name", &destination.subset));
        }
        if let Some(port) = destination.port {
            check.port("port.number", port.number);
        }
    });
}

/// The shares of several destinations.
pub(super) fn weights(weights: &[i32], check: &mut Check) {
    for (index, weight) in weights.iter().enumerate() {
        if *weight < 0 {
            check.error(&format!("route[{index}].weight"), format!("{weight} is less than 0"));
        }
    }
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    if weights.len() > 1 && total == 0 {
        check.error("route", "the weights are all 0");
    }
    if total > i64::from(u32::MAX) {
        check.error("route", "the sum of the weights is too large");
    }
}

fn layer_4(routes: &[RouteDestination], check: &mut Check) {
    if routes.is_empty() {
        check.error("route", "required");
    }
    check.each("route", routes, |route, check| destination("destination", route.destination.as_ref(), check));
    weights(&routes.iter().map(|route| route.weight).collect::<Vec<_>>(), check);
}

fn tls_route(service: &VirtualService, route: &TlsRoute, check: &mut Check) {
    if route.matches.is_empty() {
        check.error("match", "a TLS rule needs one");
    }
    check.each("match", &route.matches, |it, check| {
        if it.sni_hosts.is_empty() {
            check.error("sniHosts", "there must be at least one");
        }
        for (index, name) in it.sni_hosts.iter().enumerate() {
            let field = format!("sniHosts[{index}]");
            check.must(&field, names::wildcard_domain(name));
            let within = |host: &String| match host.strip_prefix('*') {
                Some(suffix) => name.ends_with(suffix),
                None => host == name,
            };
            if !service.hosts.iter().any(within) {
                check.error(&field, format!("{name:?} is none of the hosts of the VirtualService"));
            }
        }
        connection(&it.destination_subnets, it.port, &it.source_labels, check);
    });
    layer_4(&route.route, check);
}

fn tcp_route(route: &TcpRoute, check: &mut Check) {
    check.each("match", &route.matches, |it, check| {
        if !it.source_subnet.is_empty() {
            check.must("sourceSubnet", names::address(&it.source_subnet));
        }
        connection(&it.destination_subnets, it.port, &it.source_labels, check);
    });
    layer_4(&route.route, check);
}

fn connection(subnets: &[String], port: u32, labels: &Labels, check: &mut Check) {
    for (index, subnet) in subnets.iter().enumerate() {
        check.must(&format!("destinationSubnets[{index}]"), names::address(subnet));
    }
    if port != 0 {
        check.port("port", port);
    }
    check.labels("sourceLabels", labels);
}
