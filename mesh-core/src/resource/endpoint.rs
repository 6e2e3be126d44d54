//! `ClusterLoadAssignment`: the endpoints of a cluster.

use super::endpoint_wire::{self, Known, Reader, Segment};
use super::invalid::{At, Checked, Invalid, check_name, undecodable, unpack};
use super::matcher::Fraction;
use super::metadata::Metadata;
use super::strictness::Strictness;
use crate::bootstrap::Locality;
use crate::net::Address;
use crate::wire;
use bytes::Bytes;
use mesh_proto::envoy::config::endpoint::v3 as proto;
use prost::Message;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// How many endpoints of 100 may fail before a reserve is used, as a factor in percent (Envoy).
pub const DEFAULT_OVERPROVISIONING: u32 = 140;

/// The endpoints of a cluster. None occurs twice.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The priorities, the best first, without gaps.
    pub priorities: Vec<Vec<LocalityEndpoints>>,
    /// Requests to be dropped, one after the other.
    pub drops: Vec<DropOverload>,
    /// A priority is healthy as long as its healthy share times this is 100. In percent; default
    /// [`DEFAULT_OVERPROVISIONING`].
    pub overprovisioning: u32,
    /// What the next version is compared with.
    known: Known,
}

/// A share of requests to be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropOverload {
    /// What the drops are counted under.
    pub category: Arc<str>,
    /// The share.
    pub share: Fraction,
}

/// The endpoints of one locality in one priority.
#[derive(Clone, Debug)]
pub struct LocalityEndpoints {
    /// Where they are.
    pub locality: Arc<Locality>,
    /// The share of the priority's requests that they get, against other localities.
    pub weight: u32,
    /// How near they are, where that is said; less is nearer.
    pub proximity: Option<u32>,
    /// The endpoints.
    pub endpoints: EndpointList,
    /// What is attached to all of them.
    pub metadata: Option<Arc<Metadata>>,
}

/// Endpoints, in pieces that one version of an assignment shares with the next.
#[derive(Clone, Debug, Default)]
pub struct EndpointList {
    segments: Arc<[Segment]>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct LbEndpoint {
    /// Where it is.
    pub address: Address,
    /// The share of its locality's requests that it gets.
    pub weight: u32,
    /// What the control plane knows of its health.
    pub health: Health,
    /// What is attached to it.
    pub metadata: Option<Arc<Metadata>>,
    /// What only few endpoints have; apart, because an assignment may hold many thousand.
    pub more: Option<Box<More>>,
}

/// What only few endpoints have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct More {
    /// Its name, where it has one apart from its address.
    pub hostname: Option<Arc<str>>,
    /// Where it is as well (gRFC A61).
    pub additional: Vec<Address>,
}

/// What the control plane knows of the health of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Healthy, or not known, which counts as healthy.
    Healthy,
    /// Healthy, but with less capacity.
    Degraded,
    /// Not to be given new requests.
    Draining,
    /// Unhealthy.
    Unhealthy,
}

impl Assignment {
    /// These priorities, and nothing else said.
    #[must_use]
    pub fn new(priorities: Vec<Vec<LocalityEndpoints>>) -> Self {
        Self {
            priorities,
            drops: Vec::new(),
            overprovisioning: DEFAULT_OVERPROVISIONING,
            known: Known::default(),
        }
    }

    /// The same with other endpoints.
    #[must_use]
    pub fn with(&self, priorities: Vec<Vec<LocalityEndpoints>>) -> Self {
        let (drops, overprovisioning) = (self.drops.clone(), self.overprovisioning);
        Self { priorities, drops, overprovisioning, known: Known::default() }
    }

    /// Every locality of every priority.
    pub fn localities(&self) -> impl Iterator<Item = &LocalityEndpoints> {
        self.priorities.iter().flatten()
    }
}

impl Default for Assignment {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl LocalityEndpoints {
    /// Endpoints of which nobody says where they are.
    pub fn anywhere(endpoints: impl IntoIterator<Item = LbEndpoint>) -> Self {
        let endpoints = endpoints.into_iter().collect();
        Self { locality: Arc::default(), weight: 1, proximity: None, endpoints, metadata: None }
    }
}

impl EndpointList {
    /// The endpoints, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &LbEndpoint> {
        self.segments.iter().flat_map(|segment| segment.piece.iter())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.iter().map(|segment| segment.piece.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.iter().all(|segment| segment.piece.is_empty())
    }

    /// The pieces; one that is the same allocation as in the version before has not changed.
    pub fn pieces(&self) -> impl Iterator<Item = &Arc<[LbEndpoint]>> {
        self.segments.iter().map(|segment| &segment.piece).filter(|piece| !piece.is_empty())
    }

    pub(super) fn of(segments: Arc<[Segment]>) -> Self {
        Self { segments }
    }
}

impl FromIterator<LbEndpoint> for EndpointList {
    fn from_iter<I: IntoIterator<Item = LbEndpoint>>(endpoints: I) -> Self {
        Self { segments: [Segment::of(endpoints.into_iter().collect())].into() }
    }
}

impl LbEndpoint {
    /// A healthy endpoint of which nothing but the address is known.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { address, weight: 1, health: Health::Healthy, metadata: None, more: None }
    }

    /// Its name, where it has one apart from its address.
    #[must_use]
    pub fn hostname(&self) -> Option<&Arc<str>> {
        self.more.as_ref()?.hostname.as_ref()
    }

    /// Every address that it has, the one to use first at the front.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(self.more.iter().flat_map(|more| &more.additional))
    }
}

/// Decodes the resource `name`; what did not change is shared with `previous`.
pub(super) fn decode(
    name: &str,
    bytes: &Bytes,
    previous: Option<&Assignment>,
    strictness: Strictness,
) -> Checked<Assignment> {
    // gRFC A27: a locality without weight gets nothing.
    read(bytes, 0, previous, Some(name), strictness)
}

/// The endpoints; a locality that states no weight has `unstated_weight`, and one whose weight is zero is left out.
pub(super) fn from_proto(
    proto: proto::ClusterLoadAssignment,
    unstated_weight: u32,
    strictness: Strictness,
) -> Checked<Assignment> {
    read(&proto.encode_to_vec().into(), unstated_weight, None, None, strictness)
}

fn read(
    bytes: &Bytes,
    unstated_weight: u32,
    previous: Option<&Assignment>,
    name: Option<&str>,
    strictness: Strictness,
) -> Checked<Assignment> {
    let (mut rest, mut groups) = (Vec::new(), Vec::new());
    wire::split(bytes, endpoint_wire::ENDPOINTS, &mut rest, |group| groups.push(group))
        .map_err(undecodable)?;
    let whole: proto::ClusterLoadAssignment = unpack(&rest)?;
    if let Some(name) = name {
        check_name(&whole.cluster_name, name).at("cluster_name")?;
    }
    let mut reader = Reader::new(bytes, groups.len(), previous.map(|previous| &previous.known));
    let mut priorities: BTreeMap<u32, Vec<LocalityEndpoints>> = BTreeMap::new();
    let mut localities = HashSet::new();
    for (index, group) in groups.into_iter().enumerate() {
        let read = || {
            let Some(group) = reader.group(group, unstated_weight)? else { return Ok(None) };
            let (proto, weight) = (group.fields, group.weight);
            let locality = proto.locality.unwrap_or_default();
            let locality =
                Locality { region: locality.region, zone: locality.zone, sub_zone: locality.sub_zone };
            if !localities.insert((proto.priority, locality.clone())) {
                let why = format!("{locality:?} comes twice in priority {}", proto.priority);
                return Err(Invalid::new(why)).at("locality");
            }
            let endpoints = group.endpoints;
            let proximity = proto.proximity.as_ref().map(|proximity| proximity.value);
            let metadata = Metadata::from_proto(proto.metadata).at("metadata")?;
            let locality = Arc::new(locality);
            let locality = LocalityEndpoints { locality, weight, proximity, endpoints, metadata };
            Ok(Some((proto.priority, locality)))
        };
        if let Some((priority, group)) = { read }().at_index("endpoints", index)? {
            priorities.entry(priority).or_default().push(group);
        }
    }
    for (position, (priority, groups)) in priorities.iter().enumerate() {
        // To Envoy a priority that is missing is one without endpoints: what counts is the order.
        if *priority as usize != position && strictness == Strictness::Strict {
            let why = format!("there is a priority {priority}, but no {position}");
            return Err(Invalid::new(why)).at("endpoints");
        }
        check_sum(groups.iter().map(|group| u64::from(group.weight)).sum()).at("endpoints")?;
    }
    // Most assignments are small, and kept for long.
    priorities.values_mut().for_each(Vec::shrink_to_fit);
    let known = match reader.finish().at("endpoints") {
        // What was left out is in no piece, so that the next version cannot share any.
        Err(_) if strictness == Strictness::Lenient => {
            leave_out_repeated(&mut priorities);
            Known::default()
        }
        known => known?,
    };
    let policy = whole.policy.unwrap_or_default();
    let overprovisioning = policy.overprovisioning_factor.as_ref();
    let overprovisioning = overprovisioning.map_or(DEFAULT_OVERPROVISIONING, |factor| factor.value);
    if overprovisioning == 0 {
        return Err(Invalid::new("must not be zero")).at("overprovisioning_factor").at("policy");
    }
    let drops = policy.drop_overloads.iter().enumerate();
    let drops = drops.map(|(index, drop)| DropOverload::from_proto(drop).at_index("drop_overloads", index));
    Ok(Assignment {
        priorities: priorities.into_values().collect(),
        drops: drops.collect::<Checked<_>>().at("policy")?,
        overprovisioning,
        known,
    })
}

/// Leaves out the endpoints with an address that one before them has, as Envoy does.
fn leave_out_repeated(priorities: &mut BTreeMap<u32, Vec<LocalityEndpoints>>) {
    let mut seen = HashSet::new();
    for locality in priorities.values_mut().flatten() {
        let is_first = |endpoint: &&LbEndpoint| {
            let known = endpoint.addresses().any(|address| seen.contains(address));
            !known && endpoint.addresses().all(|address| seen.insert(address.clone()))
        };
        locality.endpoints = locality.endpoints.iter().filter(is_first).cloned().collect();
    }
}

impl DropOverload {
    fn from_proto(proto: &proto::cluster_load_assignment::policy::DropOverload) -> Checked<Self> {
        if proto.category.is_empty() {
            return Err(Invalid::new("must not be empty")).at("category");
        }
        let share = proto.drop_percentage.as_ref().map(Fraction::from_proto).transpose();
        // Nothing is 0 %, as everywhere in protobuf.
        let share = share.at("drop_percentage")?.unwrap_or_default();
        Ok(Self { category: proto.category.as_str().into(), share })
    }
}

/// Weights are added up in 32 bits.
pub(super) fn check_sum(sum: u64) -> Checked<()> {
    if sum > u64::from(u32::MAX) {
        return Err(Invalid::new(format!("the sum of the weights, {sum}, exceeds {}", u32::MAX)));
    }
    Ok(())
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
