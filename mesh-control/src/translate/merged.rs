//! The traffic policy that holds for a port of a service or of a subset.

use crate::index::Policy;
use crate::model::parts::Parts;
use crate::model::traffic_policy::TrafficPolicy;

/// What a rule says for the port; and over it what the subset says, whole parts at a time.
pub(super) fn merged<'a>(policy: &'a Policy, subset: &str, port: u32) -> Parts<'a> {
    let subset = policy.subset(subset).and_then(|subset| subset.traffic_policy.as_ref());
    let levels = [policy.traffic_policy.as_ref(), subset];
    levels.into_iter().flatten().fold(Parts::default(), |below, policy| over(below, policy, port))
}

/// What is said for a port replaces everything, parts that are not mentioned too.
fn over<'a>(below: Parts<'a>, policy: &'a TrafficPolicy, port: u32) -> Parts<'a> {
    policy.of_port(port).map_or_else(|| Parts::from(policy).or(below), Parts::from)
}
