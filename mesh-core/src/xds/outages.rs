//! Which names cannot be asked for at present.

use super::name::{FederatedName, is_federated};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why control planes cannot be reached, by the names that they answer for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    /// For names without an authority.
    plain: Option<Arc<str>>,
    authorities: BTreeMap<String, Arc<str>>,
    /// For the other authorities.
    others: Option<Arc<str>>,
}

impl Outages {
    /// Those who answer for names without an authority cannot be reached; if they do for `everyone`, nobody can.
    pub(super) fn add_plain(&mut self, reason: &Arc<str>, everyone: bool) {
        self.plain = Some(reason.clone());
        self.others = everyone.then(|| reason.clone());
    }

    /// Those who answer for an authority cannot be reached.
    pub(super) fn add(&mut self, authority: &str, reason: &Arc<str>) {
        self.authorities.insert(authority.to_owned(), reason.clone());
    }

    /// Why nobody can be asked for the resource of this name, if so.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&Arc<str>> {
        if !is_federated(name) {
            return self.plain.as_ref();
        }
        let name = FederatedName::parse(name)?;
        self.authorities.get(name.authority).or(self.others.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_the_reason_of_those_who_answer_for_it() {
        let mut outages = Outages::default();
        let names = ["x", "xdstp://a/t/x", "xdstp:///t/x", "xdstp://b/t/x", "xdstp:x"];
        let reasons = |outages: &Outages| names.map(|name| outages.of(name).map(|why| why.to_string()));
        assert_eq!(reasons(&outages), [const { None }; 5]);
        outages.add("a", &"one".into());
        outages.add("", &"two".into());
        let (one, two, three) = (Some("one".to_owned()), Some("two".to_owned()), Some("three".to_owned()));
        assert_eq!(reasons(&outages), [None, one.clone(), two.clone(), None, None]);
        outages.add_plain(&"three".into(), false);
        assert_eq!(reasons(&outages), [three.clone(), one, two, None, None]);
        let mut outages = Outages::default();
        outages.add_plain(&"three".into(), true);
        assert_eq!(reasons(&outages), [three.clone(), three.clone(), three.clone(), three, None]);
    }
}
