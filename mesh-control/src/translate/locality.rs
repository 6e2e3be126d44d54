//! How the places of endpoints are weighed against the place of the client.

use super::endpoints::Group;
use crate::index::{Endpoint, View};
use crate::model::traffic_policy::{Distribute, Failover, LocalityLb};
use crate::translate::Locality;
use std::collections::BTreeMap;

/// Puts endpoints first that are like the client in the first of these labels.
pub(super) fn prefer<'a>(view: &View<'_>, labels: &[&str], groups: Vec<Group<'a>>) -> Vec<Group<'a>> {
    let label = |key: &str| view.label(key).unwrap_or_default().to_owned();
    let mut groups = by_labels(label, labels, groups);
    without_gaps(&mut groups);
    groups
}

/// Applies a setting, unless it is switched off: shares, or else an order of priorities. `failover` is whether anything notices that a place is ill.
pub(super) fn apply<'a>(
    view: &View<'_>,
    setting: &LocalityLb,
    failover: bool,
    mut groups: Vec<Group<'a>>,
) -> Vec<Group<'a>> {
    if setting.enabled == Some(false) {
        return groups;
    }
    if !setting.distribute.is_empty() {
        distribute(view.locality(), &setting.distribute, &mut groups);
        return groups;
    }
    if !failover {
        return groups;
    }
    if !setting.failover_priority.is_empty() {
        let label = |key: &str| view.label(key).unwrap_or_default().to_owned();
        groups = by_labels(label, &setting.failover_priority, groups);
    }
    if setting.failover_priority.is_empty() || !setting.failover.is_empty() {
        by_distance(view.locality(), &setting.failover, &mut groups);
    }
    without_gaps(&mut groups);
    groups
}

/// The shares of the first setting that covers the client. Places that get none stay without endpoints.
fn distribute(client: &Locality, settings: &[Distribute], groups: &mut [Group<'_>]) {
    let Some(setting) = settings.iter().find(|setting| covers(&setting.from, client)) else { return };
    let mut left: Vec<usize> = (0..groups.len()).collect();
    for (pattern, share) in &setting.to {
        let (here, others): (Vec<usize>, Vec<usize>) =
            left.into_iter().partition(|index| covers(pattern, groups[*index].locality));
        left = others;
        let total: u64 = here.iter().map(|index| u64::from(groups[*index].weight)).sum();
        for index in here {
            let part = (u64::from(groups[index].weight) * u64::from(*share)).div_ceil(total.max(1));
            groups[index].weight = u32::try_from(part).unwrap_or(u32::MAX);
        }
    }
    for index in left {
        groups[index].endpoints.clear();
    }
}

/// Whether `region/zone/subzone`, each of which may be `*` or absent, covers a place.
fn covers(pattern: &str, place: &Locality) -> bool {
    let pattern = Locality::parse(pattern);
    let fits = |pattern: &str, part: &str| matches!(pattern, "*" | "") || pattern == part;
    (pattern.region == "*" || pattern.region == place.region)
        && fits(&pattern.zone, &place.zone)
        && fits(&pattern.subzone, &place.subzone)
}

/// The same place, zone and region come first. Of the others, the region that `failover` names comes before the rest.
fn by_distance(client: &Locality, failover: &[Failover], groups: &mut [Group<'_>]) {
    const LEVELS: u32 = 5;
    let to = failover.iter().find(|failover| failover.from == client.region).map(|failover| &failover.to);
    for group in groups {
        let place = group.locality;
        let distance = if place.region != client.region {
            if to.is_none_or(|to| *to == place.region) { 3 } else { 4 }
        } else if place.zone != client.zone {
            2
        } else {
            u32::from(place.subzone != client.subzone)
        };
        group.priority = group.priority * LEVELS + distance;
    }
}

/// Endpoints that share the first labels with the client come first; the first that differs decides. A label may have a fixed value instead, `key=value`.
fn by_labels<'a>(
    client: impl Fn(&str) -> String,
    labels: &[impl AsRef<str>],
    groups: Vec<Group<'a>>,
) -> Vec<Group<'a>> {
    let wanted: Vec<(&str, String)> = labels
        .iter()
        .map(AsRef::as_ref)
        .map(|label| match label.split_once('=') {
            Some((key, value)) => (key, value.to_owned()),
            None => (label, client(label)),
        })
        .collect();
    let priority = |endpoint: &Endpoint| {
        let differs =
            |(key, value): &(&str, String)| endpoint.labels.get(*key).map_or("", String::as_str) != value;
        wanted.iter().position(differs).map_or(0, |index| wanted.len() - index)
    };
    let split = |group: Group<'a>| {
        let mut parts: BTreeMap<usize, Vec<(&'a Endpoint, u32)>> = BTreeMap::new();
        for it in group.endpoints {
            parts.entry(priority(it.0)).or_default().push(it);
        }
        parts.into_iter().map(move |(priority, endpoints)| Group {
            priority: u32::try_from(priority).unwrap_or(u32::MAX),
            ..Group::new(group.locality, endpoints)
        })
    };
    groups.into_iter().flat_map(split).collect()
}

/// Clients want priorities without gaps, beginning with 0.
fn without_gaps(groups: &mut [Group<'_>]) {
    let mut used: Vec<u32> = groups.iter().map(|group| group.priority).collect();
    used.sort_unstable();
    used.dedup();
    for group in groups {
        group.priority =
            used.binary_search(&group.priority).ok().and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(places: &[Locality]) -> Vec<Group<'_>> {
        places
            .iter()
            .map(|place| Group { locality: place, endpoints: Vec::new(), weight: 1, priority: 0 })
            .collect()
    }

    fn places(texts: &[&str]) -> Vec<Locality> {
        texts.iter().map(|text| Locality::parse(text)).collect()
    }

    #[test]
    fn shares_are_rounded_up_within_a_place() {
        let places = places(&["eu/a", "eu/b", "eu/c", "us/a"]);
        let mut groups = groups(&places);
        (groups[0].weight, groups[2].weight) = (5, 2);
        let to = [("eu/*".to_owned(), 100)].into();
        distribute(&Locality::parse("eu/a"), &[Distribute { from: "eu/*".into(), to }], &mut groups);
        let weights: Vec<u32> = groups.iter().map(|group| group.weight).collect();
        assert_eq!(weights, [63, 13, 25, 1]);
    }

    #[test]
    fn nearer_places_come_first_and_no_priority_is_left_out() {
        let places = places(&["eu/a/1", "eu/a/2", "us/a/1", "asia/a/1"]);
        let mut groups = groups(&places);
        let failover = [Failover { from: "eu".into(), to: "asia".into() }];
        by_distance(&Locality::parse("eu/a/1"), &failover, &mut groups);
        without_gaps(&mut groups);
        let priorities: Vec<u32> = groups.iter().map(|group| group.priority).collect();
        assert_eq!(priorities, [0, 1, 3, 2]);
    }

    #[test]
    fn a_client_that_is_nowhere_prefers_nothing() {
        let places = places(&["eu/a", "us/a"]);
        let mut groups = groups(&places);
        by_distance(&Locality::default(), &[], &mut groups);
        without_gaps(&mut groups);
        assert!(groups.iter().all(|group| group.priority == 0));
    }
}
