//! State of the world: every request says all that is wanted, every response of Listeners and Clusters holds all of it.

use super::session::{Refusal, identifier};
use super::watch::{Held, WILDCARD, Watch, is_complete};
use bytes::Bytes;
use mesh_proto::ads::{Any, DiscoveryRequest, DiscoveryResponse};
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Takes a request in.
pub(super) fn receive(watch: &mut Watch, request: DiscoveryRequest) -> Option<Refusal> {
    let first = !std::mem::replace(&mut watch.asked, true);
    // A first request has nothing to answer, even if its nonce, from an earlier stream, says otherwise.
    let fresh = first || request.response_nonce.is_empty();
    if fresh {
        subscribe(watch, request.resource_names, true);
        watch.dirty |= watch.owed;
        return None;
    }
    if !watch.answer(&request.response_nonce) {
        // An answer to nothing that was sent on this stream.
        return None;
    }
    subscribe(watch, request.resource_names, false);
    if request.response_nonce == watch.sent.to_string() {
        watch.dirty |= watch.owed;
    }
    // Otherwise it was sent before the client saw the last response: its wishes are noted, and the request that
    // answers the last response will have them looked after.
    Refusal::new(watch, request.response_nonce, request.error_detail.map(|status| status.message))
}

fn subscribe(watch: &mut Watch, names: Vec<String>, fresh: bool) {
    let everything = is_complete(watch.kind)
        && match names.is_empty() {
            true => !watch.ever_named,
            false => names.iter().any(|name| name == WILDCARD),
        };
    watch.ever_named |= !names.is_empty();
    let names: BTreeSet<Arc<str>> =
        names.into_iter().filter(|name| name != WILDCARD).map(Arc::from).collect();
    let before = watch.rename(names);
    watch.owed |= everything && !watch.wildcard;
    match everything {
        true => watch.begin_wildcard(),
        false => watch.end_wildcard(),
    }
    if fresh && everything {
        watch.owed = true;
        watch.held.values_mut().for_each(|held| *held = Held::Unanswered);
        watch.drop_gone();
    }
    for name in watch.named.clone() {
        if fresh || !before.contains(&name) {
            watch.owed = true;
            watch.ask(&name);
        }
    }
    watch.owed &= !watch.is_idle();
}

/// A response, if there is something to say: of complete kinds all that the client is to hold, of the others what
/// changed.
pub(super) fn respond(
    watch: &mut Watch,
    changed: Vec<(Arc<str>, Bytes)>,
    removed: bool,
    version: u64,
) -> Option<DiscoveryResponse> {
    if !is_complete(watch.kind) {
        // Leaving a resource out says nothing here.
        watch.drop_gone();
    }
    let owed = std::mem::take(&mut watch.owed);
    let complete = is_complete(watch.kind);
    if !owed && changed.is_empty() && !(removed && complete) {
        return None;
    }
    let any = |value| Any { type_url: watch.kind.type_url().to_owned(), value };
    let resources = match complete {
        // What is gone and may still be in use is part of it until it is taken away.
        true => watch
            .held
            .values()
            .filter_map(|held| match held {
                Held::Sent(bytes) => Some(any(bytes.clone())),
                _ => None,
            })
            .collect(),
        false => changed.into_iter().map(|(_, bytes)| any(bytes)).collect(),
    };
    Some(DiscoveryResponse {
        version_info: version.to_string(),
        resources,
        type_url: watch.kind.type_url().to_owned(),
        nonce: watch.sent.to_string(),
        control_plane: Some(identifier()),
    })
}

/// Encodes a response with its number.
pub(super) fn encode(mut response: DiscoveryResponse, number: u64) -> Bytes {
    response.nonce = number.to_string();
    response.encode_to_vec().into()
}
