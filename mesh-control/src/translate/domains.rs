//! The names under which a client may call a service.

use crate::index::{Port, Service};
use std::collections::HashSet;
use std::sync::Arc;

/// Every name of a service at a port, with and without the port: the whole one, the short ones that fit the client's domain, and its address.
pub(super) fn domains(service: &Service, port: &Port, client_domain: &str) -> Vec<String> {
    let host = &*service.host;
    let mut names = vec![host.to_owned(), format!("{host}.")];
    names.extend(short_names(host, client_domain));
    names.extend(port.address.as_deref().map(str::to_owned));
    names.into_iter().flat_map(|name| of_host(&name, port.number)).collect()
}

/// The names of a host that is no service: only as it is written.
pub(super) fn of_host(host: &str, port: u32) -> Vec<String> {
    vec![bracketed(host), with_port(host, port)]
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn with_port(host: &str, port: u32) -> String {
    format!("{}:{port}", bracketed(host))
}

/// Drops short names that are whole names of other services.
pub(super) fn without_foreign(
    mut domains: Vec<String>,
    host: &str,
    whole_names: &HashSet<Arc<str>>,
) -> Vec<String> {
    let bare = |domain: &str| domain.rsplit_once(':').map_or(domain, |(name, _)| name).to_owned();
    domains.retain(|domain| {
        let bare = bare(domain);
        bare == host || !whole_names.contains(bare.as_str())
    });
    domains
}

/// `echo.shop.svc.cluster.local` is `echo` to its own namespace, and `echo.shop` to every namespace of the cluster.
fn short_names(host: &str, client_domain: &str) -> Vec<String> {
    let Some((client_namespace, cluster)) = client_domain.split_once('.') else { return Vec::new() };
    if !cluster.starts_with("svc.") {
        return Vec::new();
    }
    let Some(short) = host.strip_suffix(cluster).and_then(|short| short.strip_suffix('.')) else {
        return Vec::new();
    };
    match short.split_once('.') {
        Some((name, namespace)) if namespace == client_namespace => {
            vec![name.to_owned(), format!("{short}.svc"), short.to_owned()]
        }
        Some(_) => vec![short.to_owned(), format!("{short}.svc")],
        None => Vec::new(),
    }
}

fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_depend_on_where_the_client_is() {
        let names = |host: &str, domain: &str| short_names(host, domain).join(" ");
        let host = "echo.shop.svc.cluster.local";
        assert_eq!(names(host, "shop.svc.cluster.local"), "echo echo.shop.svc echo.shop");
        assert_eq!(names(host, "other.svc.cluster.local"), "echo.shop echo.shop.svc");
        assert_eq!(names(host, "shop.svc.other.domain"), "");
        assert_eq!(names("api.example.com", "shop.svc.cluster.local"), "");
    }

    #[test]
    fn a_short_name_gives_way_to_a_service_of_that_name() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let whole = HashSet::from(["echo.shop".into(), "a.example".into()]);
        let left = without_foreign(
            names(&["a.example", "a.example:80", "echo", "echo.shop", "echo.shop:80"]),
            "a.example",
            &whole,
        );
        assert_eq!(left, names(&["a.example", "a.example:80", "echo"]));
    }

    #[test]
    fn addresses_of_the_newer_kind_stand_in_brackets() {
        assert_eq!(of_host("::1", 80), ["[::1]", "[::1]:80"]);
        assert_eq!(of_host("*.example.com", 80), ["*.example.com", "*.example.com:80"]);
    }
}
