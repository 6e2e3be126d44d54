//! Delta: every request says what is wanted more or less, every response what changed.

use super::session::{Refusal, identifier};
use super::watch::{Held, WILDCARD, Watch, is_complete, version};
use bytes::Bytes;
use mesh_proto::ads::{Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use prost::Message;
use std::sync::Arc;

/// Takes a request in.
pub(super) fn receive(watch: &mut Watch, request: DeltaDiscoveryRequest) -> Option<Refusal> {
    let first = !std::mem::replace(&mut watch.asked, true);
    let mut refusal = None;
    if !first && watch.answer(&request.response_nonce) {
        let detail = request.error_detail.map(|status| status.message);
        refusal = Refusal::new(watch, request.response_nonce, detail);
    }
    for name in request.resource_names_unsubscribe {
        if name == WILDCARD {
            watch.end_wildcard();
            continue;
        }
        for name in watch.unname(&Arc::from(name)) {
            match watch.wildcard {
                // Still wanted with everything else, if it is part of that: the client has to be told which.
                true => watch.ask(&name),
                false => watch.forget(&name),
            }
            watch.dirty |= watch.wildcard;
        }
    }
    let implicit = first && is_complete(watch.kind) && request.resource_names_subscribe.is_empty();
    let explicit = request.resource_names_subscribe.iter().any(|name| name == WILDCARD);
    if implicit || (explicit && is_complete(watch.kind)) {
        watch.begin_wildcard();
    }
    for name in request.resource_names_subscribe.into_iter().filter(|name| name != WILDCARD) {
        let name = Arc::from(name);
        // Also if it was subscribed to before: a client that asks again has nothing.
        watch.ask(&name);
        watch.name(name);
        watch.dirty = true;
    }
    if first {
        watch.owed = true;
        for (name, version) in request.initial_resource_versions {
            if watch.wildcard || watch.named.contains(&*name) {
                watch.held.insert(name.into(), Held::claimed(version));
            }
        }
    }
    watch.dirty |= implicit || explicit || first;
    refusal
}

/// A response, if there is something to say.
pub(super) fn respond(
    watch: &mut Watch,
    changed: Vec<(Arc<str>, Bytes)>,
    removed: Vec<Arc<str>>,
    system_version: u64,
) -> Option<DeltaDiscoveryResponse> {
    let owed = std::mem::take(&mut watch.owed);
    if !owed && changed.is_empty() && removed.is_empty() {
        return None;
    }
    let type_url = watch.kind.type_url().to_owned();
    let resource = |(name, value): (Arc<str>, Bytes)| Resource {
        version: version(&value),
        resource: Some(Any { type_url: type_url.clone(), value }),
        name: name.to_string(),
    };
    Some(DeltaDiscoveryResponse {
        system_version_info: system_version.to_string(),
        resources: changed.into_iter().map(resource).collect(),
        removed_resources: removed.iter().map(ToString::to_string).collect(),
        nonce: String::new(),
        control_plane: Some(identifier()),
        type_url,
    })
}

/// Encodes a response with its number.
pub(super) fn encode(mut response: DeltaDiscoveryResponse, number: u64) -> Bytes {
    response.nonce = number.to_string();
    response.encode_to_vec().into()
}
