//! The disk cache: whatever the file, it is used as it was written or not at all. The first byte says what the rest of
//! the input is: a file, the content of a file that is sound otherwise, or such a file after where and how it is damaged.

use bytes::Bytes;
use mesh_core::clock::Clock;
use mesh_core::resource::Kind;
use mesh_core::xds::cache::Present;
use mesh_core::xds::disk_format::{Content, Room, decode, encode};
use mesh_core::xds::features::Features;
use mesh_core::xds::in_process::Protocol;
use mesh_core::xds::kind::ResourceKind;
use mesh_core::xds::session::Session;
use mesh_proto::ads::DeltaDiscoveryRequest;
use mesh_proto::envoy::config::core::v3::Node;
use prost::Message;
use std::sync::Arc;

/// The control planes that the files are for.
pub const ORIGIN: &str = "fuzz";

/// Reads a file.
pub fn run(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    match choice % 3 {
        0 => read(rest),
        1 => read(&sound(rest)),
        _ => damage(rest),
    }
}

/// The input that makes [`run`] read `file`.
pub fn file(file: &[u8]) -> Vec<u8> {
    [&[0], file].concat()
}

/// The input that makes [`run`] read a sound file with `content`.
pub fn content(content: &[u8]) -> Vec<u8> {
    [&[1], content].concat()
}

/// The input that makes [`run`] read such a file with the bits `how` changed at `place`, and without all that follows it.
pub fn damaged(place: u16, how: u8, content: &[u8]) -> Vec<u8> {
    let [low, high] = place.to_le_bytes();
    [&[2, low, high, how], content].concat()
}

/// A file that has everything right but, perhaps, its content.
fn sound(content: &[u8]) -> Vec<u8> {
    let sum = content
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let length = content.len() as u64;
    [&b"mesh-xds"[..], &2_u32.to_be_bytes(), &length.to_be_bytes(), &sum.to_be_bytes(), content].concat()
}

fn read(file: &[u8]) {
    match decode(Bytes::copy_from_slice(file), ORIGIN) {
        Err(unusable) => assert!(!unusable.to_string().is_empty()),
        Ok(content) => check(content, file.len()),
    }
}

/// A file with any byte changed, or cut short anywhere, is not used.
fn damage(rest: &[u8]) {
    let Some((&[low, high, how], content)) = rest.split_first_chunk::<3>() else { return };
    let mut file = sound(content);
    let place = usize::from(u16::from_le_bytes([low, high])) % file.len();
    assert!(decode(file[..place].to_vec().into(), ORIGIN).is_err(), "a part is taken for the whole");
    file[place] ^= how;
    assert!(how == 0 || decode(file.into(), ORIGIN).is_err(), "damage goes unnoticed");
}

fn write(content: &Content) -> Vec<u8> {
    encode(&content.origin, content.written, &content.records)
}

/// What holds for every content of a file of `size` bytes.
fn check(content: Content, size: usize) {
    assert_eq!(content.origin, ORIGIN);
    let room = |content: &Content| content.records.iter().map(Message::encoded_len).sum::<usize>();
    assert!(room(&content) <= size, "more is read than there is");
    assert_eq!(decode(write(&content).into(), ORIGIN).as_ref(), Ok(&content));

    let (limit, empty) = (size as u64 / 2, Content { records: Vec::new(), ..content.clone() });
    let mut room = Room::new(limit, ORIGIN);
    let records = content.records.iter().filter(|record| room.take(record)).cloned().collect();
    let small = write(&Content { records, ..empty.clone() });
    assert!(small.len() <= (size / 2).max(write(&empty).len()), "larger than allowed");

    preload(&content);
}

/// Puts the resources in force as the client does: they are known at once, and no control plane is told of them.
fn preload(content: &Content) {
    let now = Clock::seeded(0).now();
    let local = Default::default();
    let mut session =
        Session::<Kind>::new(Node::default(), Protocol::Delta, Features::default(), &local, now);
    for record in &content.records {
        let Some(kind) = Kind::from_type_url(&record.type_url) else { continue };
        let Ok(value) = kind.decode(&record.name, &record.resource, None) else { continue };
        let name: Arc<str> = record.name.as_str().into();
        session.change_subscription(kind, std::slice::from_ref(&name), &[]);
        let (bytes, version) = (record.resource.clone(), "1".into());
        session.preload(kind, &name, Present { value, bytes, version, since: now }, None);
        let entry = session.get(kind, &name).expect("it was subscribed to");
        assert!(entry.present().is_some_and(|present| present.bytes == record.resource));
    }
    session.opened(now);
    while let Some(request) = session.next_request(now) {
        let request = DeltaDiscoveryRequest::decode(request).expect("a request");
        assert!(request.initial_resource_versions.is_empty(), "the control plane has not sent these");
    }
}
