//! Discovery responses as they stand on the wire, read in place: of ten thousand resources of which one changed,
//! nothing but that one is copied.

use super::in_process::Protocol;
use super::name::canonical;
use crate::wire::{self, Field, Fields, Value};
use bytes::Bytes;
use mesh_proto::ads::RESOURCE_TYPE_URL;
use mesh_proto::google::protobuf;
use prost::Message as _;
use std::time::Duration;

/// A discovery response of either protocol.
#[derive(Debug, Default)]
pub(super) struct Response<'a> {
    /// All of it, of which the rest are slices.
    pub(super) message: Bytes,
    pub(super) version: &'a str,
    pub(super) type_url: &'a str,
    pub(super) nonce: &'a str,
    pub(super) control_plane: &'a str,
    /// Each an `Any`, or in a delta response a `Resource`.
    pub(super) resources: Vec<&'a [u8]>,
    /// Names that do not exist, or no more.
    pub(super) removed: Vec<&'a str>,
    pub(super) errors: Vec<Reported<'a>>,
}

/// The control plane's own words about a resource that it cannot deliver.
#[derive(Debug, Default)]
pub(super) struct Reported<'a> {
    pub(super) name: &'a str,
    pub(super) code: i32,
    pub(super) message: &'a str,
}

/// A resource of a response.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) name: &'a str,
    /// Its own version; empty if it has none.
    pub(super) version: &'a str,
    /// How long it may be used without being heard of again.
    pub(super) ttl: Option<Duration>,
    pub(super) payload: Payload<'a>,
}

#[derive(Debug)]
pub(super) enum Payload<'a> {
    Resource(&'a [u8]),
    /// The resource that the client has is still the right one.
    Heartbeat,
    /// Not a resource of this type, or not of this name: its bytes, and why.
    Foreign(&'a [u8], String),
}

impl<'a> Response<'a> {
    /// Reads a response.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub(super) fn read(protocol: Protocol, message: &'a Bytes) -> Result<Self, String> {
        let mut response = Self { message: message.clone(), ..Self::default() };
        let delta = protocol == Protocol::Delta;
        for field in fields(message) {
            match field? {
                (1, Value::Bytes(version)) => response.version = text(version)?,
                (2, Value::Bytes(resource)) => response.resources.push(resource),
                (4, Value::Bytes(url)) => response.type_url = text(url)?,
                (5, Value::Bytes(nonce)) => response.nonce = text(nonce)?,
                (6, Value::Bytes(name)) if delta => response.removed.push(text(name)?),
                (8, Value::Bytes(name)) if delta => response.removed.push(string_in(name, 1)?),
                (6, Value::Bytes(control_plane)) if !delta => {
                    response.control_plane = string_in(control_plane, 1)?;
                }
                (7, Value::Bytes(control_plane)) if delta => {
                    response.control_plane = string_in(control_plane, 1)?;
                }
                (7 | 9, Value::Bytes(error)) => response.errors.push(Reported::read(error)?),
                _ => {}
            }
        }
        Ok(response)
    }
}

impl<'a> Reported<'a> {
    fn read(message: &'a [u8]) -> Result<Self, String> {
        let mut reported = Self::default();
        for field in fields(message) {
            match field? {
                (1, Value::Bytes(name)) => reported.name = string_in(name, 1)?,
                (2, Value::Bytes(status)) => {
                    for field in fields(status) {
                        match field? {
                            (1, Value::Varint(code)) => reported.code = code as i32,
                            (2, Value::Bytes(message)) => reported.message = text(message)?,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(reported)
    }
}

impl<'a> Item<'a> {
    /// Reads an element of [`Response::resources`] that has to be of the type `url`.
    ///
    /// # Errors
    ///
    /// Why it cannot even be named.
    pub(super) fn read(protocol: Protocol, url: &str, message: &'a [u8]) -> Result<Self, String> {
        if protocol == Protocol::Delta {
            return Self::wrapped(protocol, url, message);
        }
        let (type_url, value) = any(message)?;
        if type_url == RESOURCE_TYPE_URL.as_bytes() {
            return Self::wrapped(protocol, url, value);
        }
        if type_url != url.as_bytes() {
            return Err(wrong_type(type_url, url));
        }
        let name = peek_name(value).filter(|name| !name.is_empty()).ok_or(NAMELESS)?;
        Ok(Self { name, version: "", ttl: None, payload: Payload::Resource(value) })
    }

    /// Out of its `Resource` wrapper. In a state of the world the name inside counts; in the incremental protocol the
    /// wrapper's is the one that is subscribed to and removed, and there may be no other inside.
    fn wrapped(protocol: Protocol, url: &str, message: &'a [u8]) -> Result<Self, String> {
        let mut item = Self { name: "", version: "", ttl: None, payload: Payload::Heartbeat };
        for field in fields(message) {
            let field = field.map_err(|error| format!("the Resource wrapper cannot be decoded: {error}"))?;
            match field {
                (1, Value::Bytes(version)) => item.version = text(version)?,
                (2, Value::Bytes(inner)) => {
                    let (type_url, value) = any(inner)?;
                    item.payload = if type_url == url.as_bytes() {
                        Payload::Resource(value)
                    } else {
                        Payload::Foreign(value, wrong_type(type_url, url))
                    };
                }
                (3, Value::Bytes(name)) => item.name = text(name)?,
                (6, Value::Bytes(ttl)) => item.ttl = duration(ttl)?,
                (8, Value::Bytes(name)) => item.name = string_in(name, 1)?,
                _ => {}
            }
        }
        match item.payload {
            Payload::Resource(value) => {
                let inner = peek_name(value).unwrap_or_default();
                if item.name.is_empty() || protocol == Protocol::StateOfTheWorld && !inner.is_empty() {
                    item.name = inner;
                } else if inner != item.name && canonical(inner) != canonical(item.name) {
                    let reason =
                        format!("name: the wrapper is named {:?}, the resource {inner:?}", item.name);
                    item.payload = Payload::Foreign(value, reason);
                }
            }
            Payload::Foreign(_, reason) if item.name.is_empty() => return Err(reason),
            Payload::Foreign(..) | Payload::Heartbeat => {}
        }
        if item.name.is_empty() { Err(NAMELESS.to_owned()) } else { Ok(item) }
    }
}

const NAMELESS: &str = "name: missing or not readable";

fn wrong_type(found: &[u8], url: &str) -> String {
    format!("type_url: {:?} in a response of {url:?}", String::from_utf8_lossy(found))
}

/// The type URL and the value of an `Any`.
fn any(message: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (mut type_url, mut value) = (&[][..], &[][..]);
    for field in fields(message) {
        match field? {
            (1, Value::Bytes(bytes)) => type_url = bytes,
            (2, Value::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((type_url, value))
}

/// A positive `google.protobuf.Duration`; any other sets no limit.
fn duration(message: &[u8]) -> Result<Option<Duration>, String> {
    let proto = protobuf::Duration::decode(message).map_err(|error| error.to_string())?;
    Ok(wire::duration(&proto).filter(|duration| !duration.is_zero()))
}

/// The string in field `number` of a message; empty if there is none.
fn string_in(message: &[u8], number: u32) -> Result<&str, String> {
    let mut found = "";
    for field in fields(message) {
        if let (tag, Value::Bytes(bytes)) = field?
            && tag == number
        {
            found = text(bytes)?;
        }
    }
    Ok(found)
}

/// The name of an encoded resource: the string in field 1, as every xDS resource has it.
fn peek_name(message: &[u8]) -> Option<&str> {
    for field in fields(message) {
        if let (1, Value::Bytes(name)) = field.ok()? {
            return std::str::from_utf8(name).ok();
        }
    }
    None
}

/// The fields of a message by their numbers.
fn fields(message: &[u8]) -> impl Iterator<Item = Result<(u32, Value<'_>), String>> {
    Fields::of(message).map(|field| match field {
        Ok(Field { number, value, .. }) => Ok((number, value)),
        Err(why) => Err(why.to_string()),
    })
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a string is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::envoy::config::cluster::v3::Cluster;
    use mesh_proto::envoy::service::discovery::v3 as envoy;
    use mesh_proto::google::protobuf::{Any, Duration as ProtoDuration};
    use mesh_proto::google::rpc::Status;

    #[test]
    fn the_name_is_found_without_decoding() {
        let cluster =
            Cluster { name: "outbound|80||a".into(), alt_stat_name: "b".into(), ..Default::default() };
        assert_eq!(peek_name(&cluster.encode_to_vec()), Some("outbound|80||a"));
        let nameless = Cluster { alt_stat_name: "b".into(), ..Default::default() };
        assert_eq!(peek_name(&nameless.encode_to_vec()), None);
        let bytes = [nameless.encode_to_vec(), cluster.encode_to_vec()].concat();
        assert_eq!(peek_name(&bytes), Some("outbound|80||a"));
    }

    #[test]
    fn garbage_has_no_name() {
        for bytes in [&[][..], &[0x0a], &[0x0a, 0xff], &[0x0a, 2, 0xff, 0xfe], &[0xff; 20], &[0x0b, 1]] {
            assert_eq!(peek_name(bytes), None, "{bytes:?}");
        }
    }

    fn reported() -> envoy::ResourceError {
        envoy::ResourceError {
            resource_name: Some(envoy::ResourceName { name: "bad".into(), ..Default::default() }),
            error_detail: Some(Status { code: 7, message: "not yours".into(), details: vec![] }),
        }
    }

    #[test]
    fn envelopes_are_read_as_envoys_types_write_them() {
        let identifier = mesh_proto::envoy::config::core::v3::ControlPlane { identifier: "cp".into() };
        let cluster = Cluster { name: "a".into(), ..Default::default() }.encode_to_vec();
        let any = Any { type_url: "t".into(), value: cluster.clone() };
        let sotw = envoy::DiscoveryResponse {
            version_info: "v1".into(),
            resources: vec![any.clone()],
            type_url: "t".into(),
            nonce: "n".into(),
            control_plane: Some(identifier.clone()),
            resource_errors: vec![reported()],
            canary: true,
        };
        let sotw = Bytes::from(sotw.encode_to_vec());
        let response = Response::read(Protocol::StateOfTheWorld, &sotw).unwrap();
        assert_eq!((response.version, response.type_url, response.nonce), ("v1", "t", "n"));
        assert_eq!(response.control_plane, "cp");
        let item = Item::read(Protocol::StateOfTheWorld, "t", response.resources[0]).unwrap();
        assert!(item.name == "a" && matches!(item.payload, Payload::Resource(bytes) if bytes == cluster));
        let error = &response.errors[0];
        assert_eq!((error.name, error.code, error.message), ("bad", 7, "not yours"));

        let delta = envoy::DeltaDiscoveryResponse {
            system_version_info: "v1".into(),
            resources: vec![envoy::Resource {
                name: "a".into(),
                aliases: vec!["alias".into()],
                version: "7".into(),
                resource: Some(any),
                ttl: Some(ProtoDuration { seconds: 3, nanos: 500_000_000 }),
                ..Default::default()
            }],
            type_url: "t".into(),
            removed_resources: vec!["x".into()],
            removed_resource_names: vec![envoy::ResourceName { name: "y".into(), ..Default::default() }],
            nonce: "n".into(),
            control_plane: Some(identifier),
            resource_errors: vec![reported()],
        };
        let delta = Bytes::from(delta.encode_to_vec());
        let response = Response::read(Protocol::Delta, &delta).unwrap();
        assert_eq!((response.version, response.type_url, response.nonce), ("v1", "t", "n"));
        assert_eq!((response.control_plane, response.removed), ("cp", vec!["x", "y"]));
        assert_eq!(response.errors[0].name, "bad");
        let item = Item::read(Protocol::Delta, "t", response.resources[0]).unwrap();
        assert_eq!((item.name, item.version), ("a", "7"));
        assert_eq!(item.ttl, Some(Duration::from_millis(3500)));
    }

    #[test]
    fn a_wrapper_of_another_name() {
        let url = "type.googleapis.com/c";
        let wrapped = |outer: &str, inner: &str| {
            let cluster = Cluster { name: inner.into(), alt_stat_name: "x".into(), ..Default::default() };
            let any = Any { type_url: url.into(), value: cluster.encode_to_vec() };
            envoy::Resource { name: outer.into(), resource: Some(any), ..Default::default() }
        };
        let read = |protocol, outer: &str, inner: &str| {
            let resource = wrapped(outer, inner).encode_to_vec();
            let any = Any { type_url: RESOURCE_TYPE_URL.into(), value: resource.clone() }.encode_to_vec();
            let message = if protocol == Protocol::Delta { &resource } else { &any };
            let item = Item::read(protocol, url, message)?;
            let refused = match item.payload {
                Payload::Foreign(_, reason) => Some(reason),
                _ => None,
            };
            Ok::<_, String>((item.name.to_owned(), refused))
        };
        let named = |name: &str| Ok((name.to_owned(), None));
        let refused = |reason: &str| Ok(("a".to_owned(), Some(reason.to_owned())));
        assert_eq!(read(Protocol::StateOfTheWorld, "a", "b"), named("b"), "the name inside counts");
        let another = "name: the wrapper is named \"a\", the resource \"b\"";
        assert_eq!(read(Protocol::Delta, "a", "b"), refused(another), "it answers to the name outside");
        for protocol in [Protocol::StateOfTheWorld, Protocol::Delta] {
            let nameless = "name: the wrapper is named \"a\", the resource \"\"";
            assert_eq!(read(protocol, "a", ""), refused(nameless));
            assert_eq!(read(protocol, "", "b"), named("b"));
            assert_eq!(read(protocol, "", ""), Err(NAMELESS.to_owned()));
        }
        let (one, same) = ("xdstp://a/c/svc%3A80", "xdstp://a/c/svc:80");
        assert_eq!(read(Protocol::Delta, one, same), named(one), "other spellings are the same name");
    }

    #[test]
    fn a_time_to_live_that_is_none_is_none() {
        for (seconds, nanos) in [(0, 0), (-1, 0), (0, -1), (i64::MIN, 0), (0, 1_000_000_000)] {
            let bytes = ProtoDuration { seconds, nanos }.encode_to_vec();
            assert_eq!(duration(&bytes), Ok(None));
        }
        let endless = ProtoDuration { seconds: i64::MAX, nanos: 0 }.encode_to_vec();
        assert_eq!(duration(&endless), Ok(Some(Duration::from_secs(i64::MAX as u64))));
    }

    #[test]
    fn garbage_is_told_from_a_response() {
        for bytes in [&[0xff; 7][..], &[0x12, 0x05, 1], &[0x0a, 2, 0xff, 0xfe], &[0x3a, 1, 0xff]] {
            let bytes = Bytes::copy_from_slice(bytes);
            assert!(Response::read(Protocol::StateOfTheWorld, &bytes).is_err(), "{bytes:?}");
        }
    }
}
