//! Finding the first route that matches among many, without trying them all.
//!
//! Order decides between routes, so an index may only leave out those whose path cannot match. It groups routes by exact
//! path and by prefix; a lookup takes the few groups that fit the path and goes through them in the order of the routes.

use crate::resource::route::{PathMatch, RouteMatch};
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashMap};

/// Below this number of routes trying them all is faster than an index.
const WORTHWHILE: usize = 8;

/// Which routes can match a path.
#[derive(Debug)]
pub(super) enum PathIndex {
    /// Each may.
    All(usize),
    /// Those that the groups say.
    Groups(Groups),
}

/// Routes by what their paths must be; each group in the order of the routes.
#[derive(Debug, Default)]
pub(super) struct Groups {
    exact: HashMap<Box<str>, Vec<usize>>,
    prefix: HashMap<Box<str>, Vec<usize>>,
    /// The lengths of the prefixes.
    lengths: BTreeSet<usize>,
    /// Those with any other condition.
    other: Vec<usize>,
}

impl PathIndex {
    pub(super) fn new<'a>(conditions: impl ExactSizeIterator<Item = &'a RouteMatch>) -> Self {
        if conditions.len() < WORTHWHILE {
            return Self::All(conditions.len());
        }
        let mut groups = Groups::default();
        for (number, condition) in conditions.enumerate() {
            match &condition.path {
                PathMatch::Exact(path, false) => {
                    groups.exact.entry(path.clone()).or_default().push(number);
                }
                PathMatch::Prefix(prefix, false) => {
                    groups.lengths.insert(prefix.len());
                    groups.prefix.entry(prefix.clone()).or_default().push(number);
                }
                _ => groups.other.push(number),
            }
        }
        Self::Groups(groups)
    }

    /// The first route, by number, that may match `path` and for which `matches` holds.
    pub(super) fn find(&self, path: &str, mut matches: impl FnMut(usize) -> bool) -> Option<usize> {
        let groups = match self {
            Self::All(count) => return (0..*count).find(|&number| matches(number)),
            Self::Groups(groups) => groups,
        };
        let mut candidates: SmallVec<[&[usize]; 8]> = SmallVec::new();
        candidates.extend(groups.exact.get(path).map(Vec::as_slice));
        for &length in groups.lengths.range(..=path.len()) {
            let prefix = path.get(..length).and_then(|prefix| groups.prefix.get(prefix));
            candidates.extend(prefix.map(Vec::as_slice));
        }
        if !groups.other.is_empty() {
            candidates.push(&groups.other);
        }
        loop {
            let next =
                candidates.iter_mut().filter(|group| !group.is_empty()).min_by_key(|group| group[0])?;
            let number = next[0];
            if matches(number) {
                return Some(number);
            }
            *next = &next[1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, below};
    use crate::route::RequestHead;
    use http::{HeaderMap, Method};

    fn condition(path: PathMatch) -> RouteMatch {
        RouteMatch { path, headers: Vec::new(), query: Vec::new(), fraction: None, grpc_only: false }
    }

    /// Short paths over two letters, so that they often match each other.
    fn text(clock: &Clock) -> String {
        let length = below(clock.entropy() as u32, 5);
        (0..length).fold("/".to_owned(), |path, _| path + ["a", "b"][(clock.entropy() >> 7) as usize % 2])
    }

    #[test]
    fn agrees_with_trying_them_all() {
        let clock = Clock::seeded(2);
        for _ in 0..300 {
            let conditions: Vec<_> = (0..40)
                .map(|_| {
                    let text: Box<str> = text(&clock).into();
                    condition(match clock.entropy() >> 62 {
                        0 => PathMatch::Exact(text, false),
                        1 => PathMatch::Prefix(text, false),
                        2 => PathMatch::Prefix(text, true),
                        _ => PathMatch::SegmentPrefix(text, false),
                    })
                })
                .collect();
            let index = PathIndex::new(conditions.iter());
            assert!(matches!(index, PathIndex::Groups(_)));
            for _ in 0..50 {
                let path = text(&clock);
                let head = RequestHead {
                    method: &Method::GET,
                    scheme: "http",
                    authority: "a",
                    path: &path,
                    query: None,
                    headers: &HeaderMap::new(),
                    grpc: false,
                };
                let matches = |number: usize| head.satisfies(&conditions[number], 0);
                assert_eq!(index.find(&path, matches), (0..40).find(|&number| matches(number)), "{path}");
            }
        }
    }

    #[test]
    fn odd_paths_do_not_break_it() {
        let conditions: Vec<_> =
            (1..20).map(|length| condition(PathMatch::Prefix("é".repeat(length).into(), false))).collect();
        let index = PathIndex::new(conditions.iter());
        assert_eq!(index.find("ééé", |number| number >= 2), Some(2));
        assert_eq!(index.find("", |_| true), None);
        assert_eq!(index.find("日本", |_| true), None);
    }
}
