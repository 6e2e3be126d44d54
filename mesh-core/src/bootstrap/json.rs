//! The JSON of the bootstrap.

use super::reader::{Item, Notes, Object};
use super::{Authority, Bootstrap, CertificateProvider, DiskCache, ListenerTemplate, Locality, Node, Server};
use crate::error::{Error, Kind};
use std::path::Path;

pub(super) fn parse(json: &str) -> Result<Bootstrap, Error> {
    let notes = Notes::default();
    let mut bootstrap = read(json, &notes).map_err(|why| Error::new(Kind::Bootstrap, why))?;
    bootstrap.unknown = notes.into_unknown();
    Ok(bootstrap)
}

fn read(json: &str, notes: &Notes) -> Result<Bootstrap, String> {
    let value = serde_json::from_str(json).map_err(|error| format!("not JSON: {error}"))?;
    let mut document = notes.root(&value).object()?;
    let servers = Server::read_list(&mut document)?;
    if servers.is_empty() {
        return Err(document.complain("xds_servers", "at least one control plane is needed"));
    }
    let mut bootstrap = Bootstrap::with_servers(servers);
    if let Some(node) = document.object("node")? {
        bootstrap.node = read_node(node)?;
    }
    bootstrap.client_listener_template =
        template(&mut document, "client_default_listener_resource_name_template")?.unwrap_or_default();
    bootstrap.server_listener_template = template(&mut document, "server_listener_resource_name_template")?;
    for (name, item) in document.named("authorities")? {
        bootstrap.authorities.insert(name.to_owned(), Authority::read(name, item)?);
    }
    for (name, item) in document.named("certificate_providers")? {
        bootstrap.certificate_providers.insert(name.to_owned(), read_provider(item)?);
    }
    if let Some(cache) = document.object("mesh.disk_cache")? {
        bootstrap.disk_cache = Some(read_disk_cache(cache)?);
    }
    // For side channels of extensions that are not supported, so it allows nothing that we would do.
    document.any("allowed_grpc_services")?;
    document.done();
    Ok(bootstrap)
}

fn template(document: &mut Object<'_>, field: &'static str) -> Result<Option<ListenerTemplate>, String> {
    let Some(text) = document.text(field)? else { return Ok(None) };
    ListenerTemplate::new(text).map(Some).map_err(|why| document.complain(field, why))
}

fn read_node(mut node: Object<'_>) -> Result<Node, String> {
    let locality = match node.object("locality")? {
        None => Locality::default(),
        Some(mut locality) => {
            let read = Locality {
                region: locality.text_or_empty("region")?,
                zone: locality.text_or_empty("zone")?,
                sub_zone: locality.text_or_empty("sub_zone")?,
            };
            locality.done();
            read
        }
    };
    let read = Node {
        id: node.text_or_empty("id")?,
        cluster: node.text_or_empty("cluster")?,
        metadata: node.any("metadata")?,
        locality,
    };
    node.done();
    Ok(read)
}

fn read_provider(item: Item<'_>) -> Result<CertificateProvider, String> {
    let mut provider = item.object()?;
    let plugin = provider.required_text("plugin_name")?.to_owned();
    let config = provider.any("config")?;
    provider.done();
    Ok(CertificateProvider { plugin, config })
}

fn read_disk_cache(mut object: Object<'_>) -> Result<DiskCache, String> {
    let path = object.required_text("path")?;
    if path.is_empty() {
        return Err(object.complain("path", "the path is empty"));
    }
    let mut cache = DiskCache::new(Path::new(path));
    if let Some(max_bytes) = object.count("max_bytes")? {
        cache.max_bytes = max_bytes;
    }
    object.done();
    Ok(cache)
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
