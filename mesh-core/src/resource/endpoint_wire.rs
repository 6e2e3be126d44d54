//! Endpoints from the wire, of which those that did not change are not decoded again.
//!
//! The encoded endpoints of a locality are cut into pieces of neighbours. When a new version comes, the bytes that it has
//! in common with the one before, from the front and from the back, show which pieces it shares; only what lies between
//! is decoded. So one endpoint that changes among ten thousand costs a comparison of bytes and the decoding of one piece.

use super::address;
use super::endpoint::{EndpointList, Health, LbEndpoint, More, check_sum};
use super::invalid::{At, Checked, Invalid, undecodable, unpack};
use super::metadata::Metadata;
use super::sieve::{Mark, Sieve};
use crate::net::Address;
use crate::wire::{self, Fields, Value};
use bytes::Bytes;
use mesh_proto::envoy::config::core::v3::{HealthStatus as HealthProto, Metadata as MetadataProto};
use mesh_proto::envoy::config::endpoint::v3 as proto;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// `ClusterLoadAssignment.endpoints`.
pub(super) const ENDPOINTS: u32 = 2;
/// `LocalityLbEndpoints.locality`.
const LOCALITY: u32 = 1;
/// `LocalityLbEndpoints.lb_endpoints`.
const LB_ENDPOINTS: u32 = 2;
/// `LbEndpoint.metadata`.
const METADATA: u32 = 3;
/// Endpoints in a piece. Larger pieces cost more when one of them changes, smaller ones when nothing does.
const PIECE: usize = 32;
/// So few new addresses are looked for one by one.
const FEW: usize = 16;

/// What the next version of an assignment is compared with.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    groups: Vec<Group>,
}

/// A locality and its endpoints.
pub(super) struct Locality {
    /// Everything but the endpoints.
    pub(super) fields: proto::LocalityLbEndpoints,
    /// Its weight, not zero.
    pub(super) weight: u32,
    /// The endpoints.
    pub(super) endpoints: EndpointList,
}

/// The endpoints of one locality, as they came.
#[derive(Clone, Debug)]
struct Group {
    /// The encoded `LocalityLbEndpoints`.
    bytes: Bytes,
    segments: Arc<[Segment]>,
}

/// Neighbouring endpoints, or (where `piece` is empty) other fields.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Where they stand in the bytes of the group.
    place: Range<usize>,
    pub(super) piece: Arc<[LbEndpoint]>,
    /// The sum of their weights.
    weight: u64,
    /// Their addresses.
    sieve: Sieve,
}

/// Reads the endpoints of an assignment, locality by locality.
pub(super) struct Reader<'a> {
    bytes: &'a Bytes,
    /// The groups of the version before that are not taken yet, by their encoded locality.
    before: HashMap<&'a [u8], &'a Group>,
    metadata: HashMap<Vec<u8>, Option<Arc<Metadata>>>,
    groups: Vec<Group>,
    /// The pieces that were decoded, not shared.
    fresh: Vec<Arc<[LbEndpoint]>>,
    /// The pieces of the version before that they take the place of.
    replaced: Vec<Arc<[LbEndpoint]>>,
    scratch: Scratch,
}

/// Memory that is used again for each endpoint.
#[derive(Default)]
struct Scratch {
    rest: Vec<u8>,
    metadata: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Reads so many slices of `bytes`.
    pub(super) fn new(bytes: &'a Bytes, groups: usize, before: Option<&'a Known>) -> Self {
        let before = before.map_or(&[][..], |known| &known.groups);
        let before = before.iter().filter_map(|group| Some((locality_of(&group.bytes)?, group))).collect();
        Self {
            bytes,
            before,
            metadata: HashMap::new(),
            groups: Vec::with_capacity(groups),
            fresh: Vec::new(),
            replaced: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// An encoded `LocalityLbEndpoints`; none if its weight is zero, or not stated and `unstated_weight` is.
    pub(super) fn group(&mut self, group: &'a [u8], unstated_weight: u32) -> Checked<Option<Locality>> {
        let weigh = |fields: &proto::LocalityLbEndpoints| {
            fields.load_balancing_weight.as_ref().map_or(unstated_weight, |weight| weight.value)
        };
        let before = locality_of(group).and_then(|locality| self.before.remove(locality));
        let (fresh, replaced) = (self.fresh.len(), self.replaced.len());
        // An error there is found again below, with the right number of the endpoint.
        let updated =
            before.filter(|before| before.is_compact()).and_then(|before| self.update(before, group).ok());
        let (fields, segments) = match updated {
            Some(segments) => (fields_of(group, &segments)?, Some(segments)),
            None => (without_endpoints(group)?, None),
        };
        let weight = weigh(&fields);
        if segments.is_none() || weight == 0 {
            self.fresh.truncate(fresh);
            self.replaced.truncate(replaced);
        }
        if weight == 0 {
            return Ok(None);
        }
        let segments = match segments {
            Some(segments) => segments,
            None => {
                self.replaced
                    .extend(before.iter().flat_map(|before| before.segments.iter()).map(Segment::share));
                let mut segments = Vec::new();
                self.decode(group, 0..group.len(), &mut segments)?;
                segments
            }
        };
        let segments: Arc<[Segment]> = segments.into();
        check_sum(segments.iter().map(|segment| segment.weight).sum()).at("lb_endpoints")?;
        let endpoints = EndpointList::of(segments.clone());
        self.groups.push(Group { bytes: self.bytes.slice_ref(group), segments });
        Ok(Some(Locality { fields, weight, endpoints }))
    }

    /// Checks that no address comes twice. What is known for the next version.
    pub(super) fn finish(self) -> Checked<Known> {
        let twice = |address: &Address| Err(Invalid::new(format!("the address {address} comes twice")));
        let mut fresh = HashSet::new();
        for address in addresses(self.fresh.iter()) {
            if !fresh.insert(address) {
                return twice(address);
            }
        }
        // What was in the version before was there once, and is in no piece that is shared with it.
        for address in addresses(self.replaced.iter()) {
            fresh.remove(address);
        }
        let few = fresh.len() <= FEW;
        let marks: Vec<_> = fresh.iter().filter(|_| few).map(|address| Mark::of(address)).collect();
        let suspect = |segment: &&Segment| !few || marks.iter().any(|mark| segment.sieve.may_hold(mark));
        let is_fresh = |address: &Address| match few {
            true => fresh.iter().any(|fresh| *fresh == address),
            false => fresh.contains(address),
        };
        let decoded: HashSet<_> = self.fresh.iter().map(|piece| piece.as_ptr()).collect();
        let suspects = self.groups.iter().flat_map(|group| group.segments.iter()).filter(suspect);
        let shared =
            suspects.map(|segment| &segment.piece).filter(|piece| !decoded.contains(&piece.as_ptr()));
        let found = addresses(shared).find(|address| is_fresh(address));
        if let Some(address) = found {
            return twice(address);
        }
        Ok(Known { groups: self.groups })
    }

    /// Takes over what did not change, and decodes the rest.
    fn update(&mut self, before: &Group, group: &'a [u8]) -> Checked<Vec<Segment>> {
        let (old, new) = (&before.bytes[..], group);
        let front = common_prefix(old, new);
        let kept_front = before.segments.partition_point(|segment| segment.place.end <= front);
        let front = kept_front.checked_sub(1).map_or(0, |last| before.segments[last].place.end);
        // What is common at the back must not reach into what is taken from the front.
        let back = common_suffix(&old[front..], &new[front..]);
        let kept_back = before.segments.partition_point(|segment| segment.place.start < old.len() - back);
        let kept_back = kept_back.max(kept_front);
        let back = before.segments.get(kept_back).map_or(0, |first| old.len() - first.place.start);
        let middle = front..new.len() - back;

        let shift = |segment: &Segment| Segment {
            place: segment.place.start + new.len() - old.len()..segment.place.end + new.len() - old.len(),
            ..segment.clone()
        };
        let mut segments = Vec::with_capacity(before.segments.len() + 2);
        segments.extend_from_slice(&before.segments[..kept_front]);
        let replaced = &before.segments[kept_front..kept_back];
        self.replaced.extend(replaced.iter().map(Segment::share));
        self.decode(group, middle, &mut segments)?;
        segments.extend(before.segments[kept_back..].iter().map(shift));
        Ok(segments)
    }

    /// Decodes a part of a group.
    fn decode(&mut self, group: &'a [u8], part: Range<usize>, segments: &mut Vec<Segment>) -> Checked<()> {
        let mut piece = Vec::with_capacity(PIECE);
        let mut position = 0;
        let (mut start, mut end) = (part.start, part.start);
        for field in Fields::of(&group[part]) {
            let field = field.map_err(undecodable)?;
            match field.value {
                Value::Bytes(endpoint) if field.number == LB_ENDPOINTS => {
                    piece.push(self.endpoint(endpoint).at_index("lb_endpoints", position)?);
                    position += 1;
                    end += field.whole.len();
                    if piece.len() == PIECE {
                        segments.push(self.segment(start..end, &mut piece));
                        start = end;
                    }
                }
                _ => {
                    if !piece.is_empty() {
                        segments.push(self.segment(start..end, &mut piece));
                    }
                    start = end;
                    end += field.whole.len();
                    segments.push(Segment { place: start..end, ..Segment::of(Arc::default()) });
                    start = end;
                }
            }
        }
        if !piece.is_empty() {
            segments.push(self.segment(start..end, &mut piece));
        }
        Ok(())
    }

    fn segment(&mut self, place: Range<usize>, piece: &mut Vec<LbEndpoint>) -> Segment {
        let segment = Segment { place, ..Segment::of(piece.drain(..).collect()) };
        self.fresh.push(segment.share());
        segment
    }

    fn endpoint(&mut self, bytes: &[u8]) -> Checked<LbEndpoint> {
        let Scratch { rest, metadata } = &mut self.scratch;
        rest.clear();
        metadata.clear();
        wire::split(bytes, METADATA, rest, |part| metadata.extend_from_slice(part)).map_err(undecodable)?;
        let mut endpoint = read_endpoint(&unpack(rest)?)?;
        if !metadata.is_empty() {
            // Many endpoints of an assignment have the same.
            endpoint.metadata = match self.metadata.get(metadata.as_slice()) {
                Some(known) => known.clone(),
                None => {
                    let proto: Checked<MetadataProto> = unpack(metadata);
                    let read = proto.and_then(|proto| Metadata::from_proto(Some(proto))).at("metadata")?;
                    self.metadata.insert(metadata.clone(), read.clone());
                    read
                }
            };
        }
        Ok(endpoint)
    }
}

impl Group {
    /// Whether its pieces are not too small on average, which many changes make them.
    fn is_compact(&self) -> bool {
        let endpoints: usize = self.segments.iter().map(|segment| segment.piece.len()).sum();
        self.segments.len() <= 16 + 4 * endpoints / PIECE
    }
}

impl Segment {
    /// Endpoints that stand nowhere.
    pub(super) fn of(piece: Arc<[LbEndpoint]>) -> Self {
        let weight = piece.iter().map(|endpoint| u64::from(endpoint.weight)).sum();
        let mut sieve = Sieve::default();
        addresses([&piece].into_iter()).for_each(|address| sieve.insert(Mark::of(address)));
        Self { place: 0..0, piece, weight, sieve }
    }

    fn share(&self) -> Arc<[LbEndpoint]> {
        self.piece.clone()
    }
}

fn addresses<'a>(pieces: impl Iterator<Item = &'a Arc<[LbEndpoint]>>) -> impl Iterator<Item = &'a Address> {
    pieces.flat_map(|piece| piece.iter()).flat_map(LbEndpoint::addresses)
}

/// A group of which the segments are known, decoded without its endpoints.
fn fields_of(group: &[u8], segments: &[Segment]) -> Checked<proto::LocalityLbEndpoints> {
    let other = segments.iter().filter(|segment| segment.piece.is_empty());
    let rest: Vec<u8> = other.flat_map(|segment| &group[segment.place.clone()]).copied().collect();
    unpack(&rest)
}

/// An encoded `LocalityLbEndpoints`, decoded without its endpoints.
fn without_endpoints(group: &[u8]) -> Checked<proto::LocalityLbEndpoints> {
    let mut rest = Vec::new();
    wire::split(group, LB_ENDPOINTS, &mut rest, |_| ()).map_err(undecodable)?;
    unpack(&rest)
}

/// What stands first in an encoded `LocalityLbEndpoints`, if that is its locality.
fn locality_of(group: &[u8]) -> Option<&[u8]> {
    match Fields::of(group).next()?.ok()? {
        wire::Field { number: LOCALITY, value: Value::Bytes(locality), .. } => Some(locality),
        _ => None,
    }
}

/// What bytes are compared by: large blocks while they are the same, then ever smaller ones.
const BLOCKS: [usize; 3] = [4096, 64, 1];

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    BLOCKS.iter().fold(0, |common, &block| {
        let (a, b) = (a[common..].chunks_exact(block), b[common..].chunks_exact(block));
        common + block * a.zip(b).take_while(|(a, b)| a == b).count()
    })
}

fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    BLOCKS.iter().fold(0, |common, &block| {
        let (a, b) = (&a[..a.len() - common], &b[..b.len() - common]);
        let blocks = a.rchunks_exact(block).zip(b.rchunks_exact(block));
        common + block * blocks.take_while(|(a, b)| a == b).count()
    })
}

fn read_endpoint(proto: &proto::LbEndpoint) -> Checked<LbEndpoint> {
    let Some(proto::lb_endpoint::HostIdentifier::Endpoint(endpoint)) = &proto.host_identifier else {
        return Err(Invalid::new("is missing")).at("endpoint");
    };
    let address = address::from_proto(endpoint.address.as_ref()).at("address").at("endpoint")?;
    let additional = endpoint.additional_addresses.iter().enumerate();
    let additional = additional
        .map(|(index, more)| {
            let address = address::from_proto(more.address.as_ref()).at("address");
            address.at_index("additional_addresses", index).at("endpoint")
        })
        .collect::<Checked<Vec<Address>>>()?;
    let weight = proto.load_balancing_weight.as_ref().map_or(1, |weight| weight.value);
    if weight == 0 {
        return Err(Invalid::new("must not be zero")).at("load_balancing_weight");
    }
    let health = match HealthProto::try_from(proto.health_status) {
        Ok(HealthProto::Unknown | HealthProto::Healthy) => Health::Healthy,
        Ok(HealthProto::Degraded) => Health::Degraded,
        Ok(HealthProto::Draining) => Health::Draining,
        Ok(HealthProto::Unhealthy | HealthProto::Timeout) | Err(_) => Health::Unhealthy,
    };
    let hostname: Option<Arc<str>> =
        (!endpoint.hostname.is_empty()).then(|| endpoint.hostname.as_str().into());
    let more =
        (hostname.is_some() || !additional.is_empty()).then(|| Box::new(More { hostname, additional }));
    Ok(LbEndpoint { address, weight, health, metadata: None, more })
}
