//! The xDS session, driven by bytes: the first chooses protocol and features, the others say what happens.

use mesh_core::clock::Clock;
use mesh_core::resource::Kind;
use mesh_core::xds::features::Features;
use mesh_core::xds::in_process::Protocol;
use mesh_core::xds::kind::ResourceKind;
use mesh_core::xds::session::{DEFAULT_STREAM_BACKOFF, Session};
use mesh_proto::ads::{
    Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use mesh_proto::envoy::config::core::v3::Node;
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const NAMES: [&str; 6] = ["a", "b", "", "*", "ü\u{0}", "outbound|80||c"];

/// The bytes that are left, and what they can be read as.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.byte()?).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(bytes)
    }

    fn name(&mut self) -> Option<String> {
        Some(NAMES[usize::from(self.byte()?) % NAMES.len()].to_owned())
    }

    fn kind(&mut self) -> Option<Kind> {
        Some(Kind::ALL[usize::from(self.byte()?) % Kind::ALL.len()])
    }

    /// A resource that has the right type most of the time, and a name if its bytes do not say one.
    fn any(&mut self, kind: Kind) -> Option<Any> {
        let choice = self.byte()?;
        let (name, bytes) = (self.name()?, self.bytes()?);
        let mut value = Vec::new();
        if choice & 1 == 0 {
            prost::encoding::string::encode(1, &name, &mut value);
        }
        value.extend_from_slice(bytes);
        let type_url = if choice & 0x70 == 0x70 { "t" } else { kind.type_url() }.to_owned();
        Some(Any { type_url, value: value.into() })
    }

    /// A well-formed response with resources that may be anything.
    fn response(&mut self, protocol: Protocol) -> Option<Vec<u8>> {
        let kind = self.kind()?;
        let (version, nonce, count) = (self.byte()?, self.byte()?, self.byte()? % 8);
        let (version, nonce, type_url) = (version.to_string(), nonce.to_string(), kind.type_url().to_owned());
        let mut resources = Vec::new();
        for _ in 0..count {
            resources.push(self.any(kind)?);
        }
        Some(match protocol {
            Protocol::StateOfTheWorld => {
                DiscoveryResponse { version_info: version, resources, type_url, nonce, ..Default::default() }
                    .encode_to_vec()
            }
            Protocol::Delta => {
                let removed_resources = vec![self.name()?, self.name()?];
                let mut wrapped = Vec::new();
                for any in resources {
                    let name = self.name()?;
                    wrapped.push(Resource { version: version.clone(), resource: Some(any), name });
                }
                DeltaDiscoveryResponse {
                    resources: wrapped,
                    type_url,
                    nonce,
                    removed_resources,
                    ..Default::default()
                }
                .encode_to_vec()
            }
        })
    }
}

/// Drives a session.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let choice = input.byte().unwrap_or(0);
    let protocol = if choice & 1 == 0 { Protocol::StateOfTheWorld } else { Protocol::Delta };
    let features = Features {
        fail_on_data_errors: choice & 2 != 0,
        ignore_resource_deletion: choice & 4 != 0,
        resource_timer_is_transient_error: choice & 8 != 0,
    };
    let mut now = Clock::seeded(0).now();
    let node = Node { id: "fuzz".to_owned(), ..Default::default() };
    let mut session =
        Session::<Kind>::new(node, DEFAULT_STREAM_BACKOFF, now).with(protocol, features, &Default::default());
    let wildcard = choice & 16 != 0;
    if wildcard {
        session.add_all(Kind::Cluster);
    }
    let mut subscribed = [(); Kind::ALL.len()].map(|()| BTreeSet::<Arc<str>>::new());
    let mut changes = Vec::new();
    while let Some(step) = input.byte() {
        changes.clear();
        let done = match step % 8 {
            0 => input.kind().zip(input.name()).map(|(kind, name)| {
                let name: Arc<str> = name.into();
                subscribed[kind.index()].insert(name.clone());
                session.change_subscription(kind, &[name], &[]);
            }),
            1 => input.kind().zip(input.name()).map(|(kind, name)| {
                let name: Arc<str> = name.into();
                subscribed[kind.index()].remove(&name);
                session.change_subscription(kind, &[], &[name]);
            }),
            2 => {
                if session.should_open(now) {
                    session.opened(now);
                }
                Some(())
            }
            3 => {
                session.closed(now, "closed", step.into());
                Some(())
            }
            4 => input.byte().map(|millis| now += Duration::from_millis(u64::from(millis) * 97)),
            5 => input.bytes().map(|message| {
                // What cannot be read has the caller close the stream.
                if session.receive(now, message.to_vec().into(), &mut changes).is_err() {
                    session.closed(now, "garbled", 0);
                }
            }),
            _ => input.response(protocol).map(|message| {
                session.receive(now, message.into(), &mut changes).expect("the response is well-formed");
            }),
        };
        if done.is_none() {
            break;
        }
        session.fire(now, &mut changes);
        let mut requests = 0;
        while let Some(request) = session.next_request(now) {
            requests += 1;
            match protocol {
                Protocol::StateOfTheWorld => drop(DiscoveryRequest::decode(request).expect("a request")),
                Protocol::Delta => drop(DeltaDiscoveryRequest::decode(request).expect("a request")),
            }
            assert!(requests < 100, "a session that never stops talking");
        }
        for &kind in Kind::ALL {
            let known: BTreeSet<_> = session.entries(kind).map(|(name, _)| name.clone()).collect();
            let subscribed = &subscribed[kind.index()];
            assert!(known.is_superset(subscribed), "a subscription was forgotten");
            assert!(
                wildcard && kind == Kind::Cluster || known.len() == subscribed.len(),
                "kept without being asked"
            );
        }
    }
}
