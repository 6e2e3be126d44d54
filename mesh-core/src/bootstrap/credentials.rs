//! How to prove to a control plane who we are, and it to us.

use super::reader::{Item, Object};
use crate::net::tls::TlsFiles;
use std::path::Path;
use std::sync::Arc;

/// How to speak to a control plane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelCredentials {
    /// In plain text.
    Insecure,
    /// Over TLS (gRFC A65).
    Tls(TlsFiles),
}

/// What is shown to a control plane at the start of each stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallCredentials {
    /// A bearer token, read from a file for each stream (gRFC A97).
    TokenFile(Arc<Path>),
}

/// The types of `channel_creds` that are supported, for messages.
const SUPPORTED: &str = "insecure, tls";

/// The first supported entry of `channel_creds`.
pub(super) fn read_channel(server: &mut Object<'_>) -> Result<ChannelCredentials, String> {
    let mut types = Vec::new();
    for entry in server.list("channel_creds")? {
        let mut entry = entry.object()?;
        let kind = entry.required_text("type")?;
        match kind {
            "insecure" => return Ok(ChannelCredentials::Insecure),
            "tls" => {
                let files = entry.object("config")?.map(read_tls).transpose()?;
                entry.done();
                return Ok(ChannelCredentials::Tls(files.unwrap_or_default()));
            }
            _ => types.push(format!("{kind:?}")),
        }
    }
    let got =
        if types.is_empty() { "the list is empty".to_owned() } else { format!("got {}", types.join(", ")) };
    Err(server.complain("channel_creds", format!("no supported type: {got}; supported: {SUPPORTED}")))
}

fn read_tls(mut config: Object<'_>) -> Result<TlsFiles, String> {
    let mut file = |field| -> Result<Option<Arc<Path>>, String> {
        match config.text(field)? {
            Some("") => Err(config.complain(field, "the path is empty")),
            path => Ok(path.map(|path| Path::new(path).into())),
        }
    };
    let roots = file("ca_certificate_file")?;
    let (certificate, key) = (file("certificate_file")?, file("private_key_file")?);
    if file("spiffe_trust_bundle_map_file")?.is_some() {
        let why = "not supported; without it the wrong peers would be trusted";
        return Err(config.complain("spiffe_trust_bundle_map_file", why));
    }
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(config.complain("private_key_file", "missing beside certificate_file")),
        (None, Some(_)) => return Err(config.complain("certificate_file", "missing beside private_key_file")),
    };
    // The files are read at every connection, so there is nothing to refresh in between.
    config.duration("refresh_interval")?;
    let server_name = config.text("mesh.server_name")?.map(Arc::from);
    config.done();
    Ok(TlsFiles { roots, identity, server_name })
}

/// The supported entries of `call_creds`; the others are ignored (gRFC A97).
pub(super) fn read_call(
    server: &mut Object<'_>,
    channel: &ChannelCredentials,
) -> Result<Vec<CallCredentials>, String> {
    let entries = server.list("call_creds")?.into_iter().map(|entry| read_call_entry(entry, channel));
    entries.filter_map(Result::transpose).collect()
}

fn read_call_entry(entry: Item<'_>, channel: &ChannelCredentials) -> Result<Option<CallCredentials>, String> {
    let mut entry = entry.object()?;
    if entry.required_text("type")? != "jwt_token_file" {
        return Ok(None);
    }
    let Some(mut config) = entry.object("config")? else { return Err(entry.complain("config", "missing")) };
    let path = config.required_text("jwt_token_file")?;
    if path.is_empty() {
        return Err(config.complain("jwt_token_file", "the path is empty"));
    }
    let allowed = config.flag("mesh.allow_insecure")?;
    if *channel == ChannelCredentials::Insecure && !allowed {
        let why = "the token would travel in plain text; use tls channel_creds, or set \"mesh.allow_insecure\" here";
        return Err(config.complain("jwt_token_file", why));
    }
    config.done();
    entry.done();
    Ok(Some(CallCredentials::TokenFile(Path::new(path).into())))
}
