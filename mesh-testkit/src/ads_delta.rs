//! The incremental side of the control plane for tests.

use super::ads::Resources;
use mesh_core::xds::in_process::ServerStream;
use mesh_proto::ads::{Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// Everything, whatever its name.
const WILDCARD: &str = "*";

/// What a stream is subscribed to of one type, and what the client holds.
#[derive(Debug, Default)]
struct Subscription {
    begun: bool,
    wildcard: bool,
    names: BTreeSet<String>,
    /// Names that have to be answered, even if there is nothing to say.
    asked: BTreeSet<String>,
    held: BTreeMap<String, Any>,
    /// Whether the client waits for an answer.
    due: bool,
    /// The last nonce.
    nonce: String,
}

impl Subscription {
    fn take(&mut self, request: DeltaDiscoveryRequest) {
        let first = !std::mem::replace(&mut self.begun, true);
        self.wildcard |= first && request.resource_names_subscribe.is_empty();
        self.due |= first;
        for name in request.resource_names_subscribe {
            self.due = true;
            match &*name {
                WILDCARD => self.wildcard = true,
                _ => {
                    self.held.remove(&name);
                    self.asked.insert(name.clone());
                    self.names.insert(name);
                }
            }
        }
        for name in request.resource_names_unsubscribe {
            match &*name {
                WILDCARD => self.wildcard = false,
                _ => {
                    self.names.remove(&name);
                    self.held.remove(&name);
                }
            }
        }
    }

    /// What changed, and what is gone, since the client was told last.
    fn news(&mut self, world: &BTreeMap<String, Any>) -> (Vec<Resource>, Vec<String>) {
        let wanted = world.iter().filter(|(name, _)| self.wildcard || self.names.contains(*name));
        let wanted: BTreeMap<_, _> = wanted.map(|(name, any)| (name.clone(), any.clone())).collect();
        let asked = std::mem::take(&mut self.asked).into_iter();
        let gone = self.held.keys().cloned().chain(asked).filter(|name| !wanted.contains_key(name));
        let gone = gone.collect::<BTreeSet<_>>().into_iter().collect();
        let changed = wanted.iter().filter(|(name, any)| self.held.get(*name) != Some(*any));
        let changed = changed.map(|(name, any)| Resource {
            name: name.clone(),
            version: "1".to_owned(),
            resource: Some(any.clone()),
        });
        let changed = changed.collect();
        self.held = wanted;
        (changed, gone)
    }
}

/// Serves one stream.
pub(super) async fn run(resources: Resources, mut stream: ServerStream) {
    let mut changed = resources.changes();
    let mut subscriptions: BTreeMap<String, Subscription> = BTreeMap::new();
    let mut number = 0u64;
    loop {
        tokio::select! {
            message = stream.requests.recv() => {
                let Some(Ok(request)) = message.map(DeltaDiscoveryRequest::decode) else { return };
                if let Some(error) = &request.error_detail {
                    resources.note_nack(&error.message);
                }
                let subscription = subscriptions.entry(request.type_url.clone()).or_default();
                let spontaneous = request.response_nonce.is_empty();
                // As istiod does it, whatever names there are.
                if request.error_detail.is_some() || !spontaneous && request.response_nonce != subscription.nonce {
                    continue;
                }
                subscription.take(request);
            }
            result = changed.changed() => if result.is_err() { return },
        }
        for (url, subscription) in &mut subscriptions {
            let (changed, gone) = resources.with(url, |world| subscription.news(world));
            if changed.is_empty() && gone.is_empty() && !subscription.due {
                continue;
            }
            subscription.due = false;
            number += 1;
            subscription.nonce = format!("nonce-{number}");
            let response = DeltaDiscoveryResponse {
                system_version_info: format!("v{number}"),
                resources: changed,
                type_url: url.clone(),
                nonce: subscription.nonce.clone(),
                removed_resources: gone,
                control_plane: None,
            };
            if stream.responses.send(response.encode_to_vec().into()).await.is_err() {
                return;
            }
        }
    }
}
