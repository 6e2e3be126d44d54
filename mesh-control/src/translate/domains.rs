//! The names under which a client may call a service.

use crate::index::Service;
use std::collections::HashSet;

/// Every name of a service at a port, with and without the port: the whole one, the short ones that fit the client's domain, and its addresses.
pub(super) fn domains(service: &Service, port: u32, client_domain: &str) -> Vec<String> {
    let host = &*service.host;
    let mut names = vec![host.to_owned(), format!("{host}.")];
    names.extend(short_names(host, client_domain));
    names.extend(service.addresses.iter().map(|address| bracketed(address)));
    names
        .into_iter()
        .flat_map(|name| {
            let with_port = format!("{name}:{port}");
            [name, with_port]
        })
        .collect()
}

/// Drops the domains that an earlier virtual host has, and short names that are whole names of other services.
pub(super) fn without_taken(
    domains: Vec<String>,
    host: &str,
    whole_names: &HashSet<&str>,
    taken: &mut HashSet<String>,
) -> Vec<String> {
    let bare = |domain: &str| domain.rsplit_once(':').map_or(domain, |(name, _)| name).to_owned();
    let foreign = |domain: &String| {
        let bare = bare(domain);
        bare != host && whole_names.contains(bare.as_str())
    };
    domains.into_iter().filter(|domain| !foreign(domain) && taken.insert(domain.clone())).collect()
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
    fn a_name_belongs_to_one_virtual_host() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut taken = HashSet::from(["echo".to_owned()]);
        let whole = HashSet::from(["echo.shop", "a.example"]);
        let left = without_taken(
            names(&["a.example", "a.example:80", "echo", "echo.shop", "echo.shop:80"]),
            "a.example",
            &whole,
            &mut taken,
        );
        assert_eq!(left, names(&["a.example", "a.example:80"]));
    }
}
