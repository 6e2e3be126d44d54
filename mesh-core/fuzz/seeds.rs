//! The fuzz targets, and for each what a real istiod answered, in the form of the target's input.

use crate::answers::{Answer, Conversation, Response, answers, conversations};
use crate::bodies::assemble::World;
use crate::bodies::session::Script;
use crate::bodies::{assemble, bootstrap, decode, decode_after, disk, session};
use mesh_core::resource::Kind;
use mesh_core::xds::disk_format::{Content, Record, encode};
use mesh_core::xds::in_process::Protocol;
use mesh_core::xds::kind::ResourceKind;
use mesh_proto::ads::RESOURCE_TYPE_URL;
use mesh_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as tls;
use mesh_proto::envoy::service::discovery::v3 as discovery;
use mesh_proto::google::protobuf::{Any, Duration};
use mesh_proto::google::rpc::Status;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// A fuzz target.
#[derive(Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    /// Inputs to begin with, each different.
    pub seeds: BTreeSet<Vec<u8>>,
}

/// Every fuzz target.
pub fn targets() -> [Target; 6] {
    [
        Target { name: "session", run: session::run, seeds: &recorded_sessions() | &troubled_sessions() },
        Target { name: "decode", run: decode::run, seeds: decode() },
        Target { name: "decode_after", run: decode_after::run, seeds: decode_after() },
        Target { name: "assemble", run: assemble::run, seeds: assemble() },
        Target { name: "bootstrap", run: bootstrap::run, seeds: bootstrap() },
        Target { name: "disk", run: disk::run, seeds: disk() },
    ]
}

/// Clients that are sent one response, and those that lived through every change that was recorded. A response on its own
/// is faster to run, so that more comes of it.
pub fn recorded_sessions() -> BTreeSet<Vec<u8>> {
    let mut sessions = BTreeSet::new();
    for Conversation { delta, responses } in conversations() {
        sessions.extend(responses.chunks(1).map(|response| recorded_session(delta, response)));
        if responses.len() > 10 {
            sessions.insert(recorded_session(delta, &responses));
        }
    }
    sessions
}

/// A client that subscribes to what was sent and is sent it, loses the stream, and is sent the first of it again.
fn recorded_session(delta: bool, responses: &[Response]) -> Vec<u8> {
    let mut script = Script::new(if delta { Protocol::Delta } else { Protocol::StateOfTheWorld }, delta);
    let answers = responses.iter().flat_map(|response| &response.answers);
    let names: BTreeSet<_> = answers.map(|answer| (answer.kind, &answer.name)).collect();
    for (kind, name) in names.into_iter().filter(|(kind, _)| !delta || *kind != Kind::Cluster) {
        script.subscribe(kind, name);
    }
    script.open();
    responses.iter().for_each(|response| script.message(&response.bytes));
    script.close();
    script.open();
    responses.iter().take(1).for_each(|response| script.message(&response.bytes));
    script.0
}

/// Clients that have a cluster and are sent everything else that there can be in a response: one that is bad, one in a
/// wrapper with a time to live, that wrapper alone, one of a wrong type, and errors; and then the good one again.
fn troubled_sessions() -> BTreeSet<Vec<u8>> {
    let protocols = [Protocol::StateOfTheWorld, Protocol::Delta];
    let choices = protocols.into_iter().flat_map(|protocol| [(protocol, false), (protocol, true)]);
    choices.map(|(protocol, all)| troubled_session(protocol, all)).collect()
}

fn troubled_session(protocol: Protocol, all: bool) -> Vec<u8> {
    let all_answers = answers();
    let good =
        all_answers.iter().find(|answer| answer.kind == Kind::Cluster).expect("a cluster was recorded");
    let any = |type_url: &str, value: &[u8]| Any { type_url: type_url.to_owned(), value: value.to_vec() };
    let url = good.kind.type_url();
    let wrapped = |inner: Option<Any>, seconds: i64| discovery::Resource {
        name: good.name.clone(),
        version: "2".to_owned(),
        resource: inner,
        ttl: Some(Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    let bad = [&good.bytes[..], &[0x22, 1, 0xff]].concat();
    let resources = [
        wrapped(Some(any(url, &good.bytes)), 0),
        wrapped(Some(any(url, &bad)), 0),
        wrapped(Some(any(url, &good.bytes)), 5),
        wrapped(None, 20),
        wrapped(Some(any("t", &good.bytes)), 0),
    ];
    let errors = [5, 7, 14].map(|code| discovery::ResourceError {
        resource_name: Some(discovery::ResourceName { name: good.name.clone(), ..Default::default() }),
        error_detail: Some(Status { code, message: "trouble".to_owned(), details: Vec::new() }),
    });
    let message = |resource: Option<&discovery::Resource>, error: Option<&discovery::ResourceError>| {
        let (type_url, nonce) = (url.to_owned(), "n".to_owned());
        let resource_errors = error.into_iter().cloned().collect();
        match protocol {
            Protocol::StateOfTheWorld => {
                let wrap = |wrapped: &discovery::Resource| any(RESOURCE_TYPE_URL, &wrapped.encode_to_vec());
                let resources = resource.into_iter().map(wrap).collect();
                discovery::DiscoveryResponse {
                    resources,
                    type_url,
                    nonce,
                    resource_errors,
                    ..Default::default()
                }
                .encode_to_vec()
            }
            Protocol::Delta => {
                let resources = resource.into_iter().cloned().collect();
                discovery::DeltaDiscoveryResponse {
                    resources,
                    type_url,
                    nonce,
                    resource_errors,
                    ..Default::default()
                }
                .encode_to_vec()
            }
        }
    };
    let mut script = Script::new(protocol, all);
    if !all {
        script.subscribe(good.kind, &good.name);
    }
    script.open();
    errors.iter().for_each(|error| script.message(&message(None, Some(error))));
    resources.iter().for_each(|resource| script.message(&message(Some(resource), None)));
    script.wait();
    script.message(&message(resources.first(), None));
    errors.iter().rev().for_each(|error| script.message(&message(None, Some(error))));
    script.message(&message(resources.first(), None));
    script.0
}

fn decode() -> BTreeSet<Vec<u8>> {
    let secrets = secrets().map(|secret| decode::input(Kind::Secret, &secret.encode_to_vec()));
    answers().iter().map(|answer| decode::input(answer.kind, &answer.bytes)).chain(secrets).collect()
}

/// The control plane that was recorded sends none.
fn secrets() -> [tls::Secret; 2] {
    let inline = |text: &str| DataSource {
        specifier: Some(Specifier::InlineString(text.to_owned())),
        ..Default::default()
    };
    let file = |name: &str| DataSource {
        specifier: Some(Specifier::Filename(name.to_owned())),
        ..Default::default()
    };
    let certificate = tls::TlsCertificate {
        certificate_chain: Some(inline("-----BEGIN CERTIFICATE-----")),
        private_key: Some(file("/key.pem")),
        ..Default::default()
    };
    let validation =
        tls::CertificateValidationContext { trusted_ca: Some(file("/ca.pem")), ..Default::default() };
    [
        tls::Secret {
            name: "default".to_owned(),
            r#type: Some(tls::secret::Type::TlsCertificate(certificate)),
        },
        tls::Secret {
            name: "ROOTCA".to_owned(),
            r#type: Some(tls::secret::Type::ValidationContext(validation)),
        },
    ]
}

/// Each version of an assignment after the one that came before it.
fn decode_after() -> BTreeSet<Vec<u8>> {
    let mut versions: BTreeMap<String, Vec<Answer>> = BTreeMap::new();
    for answer in answers().into_iter().filter(|answer| answer.kind == Kind::Endpoint) {
        versions.entry(answer.name.clone()).or_default().push(answer);
    }
    let pairs = versions.values().flat_map(|versions| versions.windows(2));
    pairs.map(|pair| decode_after::input(&pair[0].bytes, &pair[1].bytes)).collect()
}

/// What each client was sent, response by response, and what came with each of its listeners alone: of that, a change of
/// a byte is more likely to matter.
fn assemble() -> BTreeSet<Vec<u8>> {
    let mut worlds = BTreeSet::from([without_listeners()]);
    for conversation in conversations() {
        let mut world = World::new(conversation.delta);
        for Response { bytes, answers } in &conversation.responses {
            answers.iter().for_each(|answer| world.put(answer.kind, &answer.bytes));
            for (kind, name) in removed(conversation.delta, bytes) {
                world.remove(kind, &name);
            }
            world.tell();
        }
        worlds.insert(world.0);
        let answers: Vec<_> = conversation.responses.iter().flat_map(|response| &response.answers).collect();
        for listener in answers.iter().filter(|answer| answer.kind == Kind::Listener) {
            let mut world = World::new(conversation.delta);
            reached(listener, &answers).into_iter().for_each(|answer| world.put(answer.kind, &answer.bytes));
            worlds.insert(world.0);
        }
    }
    worlds
}

/// A sidecar that is sent clusters, and that there is nothing else.
fn without_listeners() -> Vec<u8> {
    let mut world = World::new(true);
    let answers = answers();
    let clusters = answers.iter().filter(|answer| answer.kind == Kind::Cluster);
    clusters.take(3).for_each(|answer| world.put(answer.kind, &answer.bytes));
    world.0
}

/// What a response of the delta protocol takes away.
fn removed(delta: bool, response: &[u8]) -> Vec<(Kind, String)> {
    let response = match discovery::DeltaDiscoveryResponse::decode(response) {
        Ok(response) if delta => response,
        _ => return Vec::new(),
    };
    let kind = Kind::from_type_url(&response.type_url).expect("only kinds that are known were recorded");
    response.removed_resources.into_iter().map(|name| (kind, name)).collect()
}

/// A resource, and all that are named in it or in those.
fn reached<'a>(first: &'a Answer, all: &[&'a Answer]) -> Vec<&'a Answer> {
    let mut reached = vec![first];
    let mut done = 0;
    while let Some(from) = reached.get(done).copied() {
        done += 1;
        for answer in all {
            let name = answer.name.as_bytes();
            let is_named = from.bytes.windows(name.len().max(1)).any(|part| part == name);
            if answer.kind > from.kind
                && is_named
                && !reached.iter().any(|known| std::ptr::eq(*known, *answer))
            {
                reached.push(answer);
            }
        }
    }
    reached
}

fn bootstrap() -> BTreeSet<Vec<u8>> {
    let full = include_str!("../tests/bootstrap/full.json");
    let agent = include_str!("../tests/bootstrap/agent.json");
    [full, agent].map(|text| text.as_bytes().to_vec()).into()
}

/// Files with what came in each response, whole and damaged.
fn disk() -> BTreeSet<Vec<u8>> {
    let record = |answer: &Answer| Record {
        type_url: answer.kind.type_url().to_owned(),
        name: answer.name.clone(),
        resource: answer.bytes.clone(),
        expires: 0,
    };
    let write = |(index, Response { answers, .. }): (usize, &Response)| {
        let records = answers.iter().map(record).collect();
        let content = Content { origin: disk::ORIGIN.to_owned(), written: 1, records };
        let bytes = content.encode_to_vec();
        let place = u16::try_from(7 * index).unwrap_or(u16::MAX);
        [
            disk::content(&bytes),
            disk::damaged(place, 4, &bytes),
            disk::file(&encode(disk::ORIGIN, 1, &content.records)),
        ]
    };
    let responses: Vec<_> =
        conversations().into_iter().flat_map(|conversation| conversation.responses).collect();
    responses.iter().enumerate().flat_map(write).collect()
}
