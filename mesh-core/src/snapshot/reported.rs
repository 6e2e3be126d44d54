//! The clusters whose load is to be reported.

use std::collections::BTreeSet;

/// The clusters whose load is to be reported, and whether that is news.
#[derive(Debug, Default)]
pub(super) struct Reported {
    clusters: BTreeSet<usize>,
    news: bool,
}

impl Reported {
    /// A cluster is not what it was, and whether its load is to be reported.
    pub(super) fn note(&mut self, cluster: usize, reported: bool) {
        let before = self.clusters.remove(&cluster);
        if reported {
            self.clusters.insert(cluster);
        }
        self.news |= before || reported;
    }

    /// All of them, if they or one of them are not what they were when this was asked last.
    pub(super) fn news(&mut self) -> Option<&BTreeSet<usize>> {
        std::mem::take(&mut self.news).then_some(&self.clusters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_it_was_is_no_news() {
        let mut reported = Reported::default();
        reported.note(1, false);
        assert_eq!(reported.news(), None);
        reported.note(1, true);
        assert_eq!(reported.news(), Some(&BTreeSet::from([1])));
        assert_eq!(reported.news(), None);
        reported.note(2, false);
        assert_eq!(reported.news(), None, "nobody asks for it");
        reported.note(1, true);
        assert_eq!(reported.news(), Some(&BTreeSet::from([1])), "it may have other counts");
        reported.note(1, false);
        assert_eq!(reported.news(), Some(&BTreeSet::new()));
    }
}
