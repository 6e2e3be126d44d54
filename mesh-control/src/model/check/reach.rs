//! Rules and matches that are never reached, because others before them take all that they would take.

use super::super::http_route::{HttpMatch, HttpRoute};
use super::super::values::StringMatch;
use super::Check;

/// Warns of what is never reached.
pub(super) fn reach(http: &[HttpRoute], check: &mut Check) {
    // What a delegate takes is not known here.
    let all = http.iter().position(|route| route.matches.is_empty() && route.delegate.is_none());
    for index in all.map_or(0..0, |all| all + 1..http.len()) {
        check.warn(&format!("http[{index}]"), "is never reached: a rule without match stands before it");
    }
    // Up to that rule, match by match.
    let mut before: Vec<(String, &HttpMatch)> = Vec::new();
    for (index, route) in http.iter().take(all.unwrap_or(http.len())).enumerate() {
        let mut again = 0;
        for (number, it) in route.matches.iter().enumerate() {
            let place = format!("http[{index}].match[{number}]");
            if let Some((earlier, _)) = before.iter().find(|(_, other)| *other == it) {
                check.warn(&place, format!("is never reached: {earlier} is the same"));
                again += 1;
                continue;
            }
            if let Some((earlier, _)) = before.iter().find(|(_, other)| covers(other, it)) {
                check.warn(&place, format!("is never reached: {earlier} takes all of it"));
            }
            if route.delegate.is_none() {
                before.push((place, it));
            }
        }
        if again > 0 && again == route.matches.len() {
            check.warn(&format!("http[{index}]"), "is never reached: others take all that it matches");
        }
    }
}

/// Whether a match takes a prefix of the paths of another one, under the same conditions.
fn covers(one: &HttpMatch, other: &HttpMatch) -> bool {
    let prefix = |it: &HttpMatch| {
        it.uri.as_ref().and_then(|uri| uri.prefix.clone()).filter(|prefix| !prefix.is_empty())
    };
    let (Some(short), Some(long)) = (prefix(one), prefix(other)) else { return false };
    let rest = |it: &HttpMatch| HttpMatch {
        uri: Some(StringMatch::default()),
        name: String::new(),
        stat_prefix: String::new(),
        ..it.clone()
    };
    long.starts_with(&short) && rest(one) == rest(other)
}

#[cfg(test)]
mod tests {
    use crate::model::Config;

    /// Marks a rule whose requests another VirtualService takes.
    const DELEGATED: &str = " delegated";

    /// The places that are warned of in a VirtualService with these rules, each given by its matches.
    fn places(rules: &[&str]) -> String {
        let rules: Vec<String> = rules
            .iter()
            .map(|it| {
                let (matches, action) = match it.strip_suffix(DELEGATED) {
                    Some(matches) => (matches, "delegate: {name: b}"),
                    None => (*it, "route: [{destination: {host: a}}]"),
                };
                let matches =
                    if matches.is_empty() { String::new() } else { format!("match: [{matches}], ") };
                format!("{{{matches}{action}}}")
            })
            .collect();
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\n\
             spec: {{hosts: [a], http: [{}]}}\n",
            rules.join(", ")
        );
        let (_, problems) = Config::parse([("f", text.as_str())]);
        assert!(problems.errors.is_empty(), "{problems}");
        let place = |told: &String| {
            let (_, path) = told.split_once("spec.http").unwrap();
            path.split(": ").next().unwrap().to_owned()
        };
        problems.warnings.iter().map(place).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_stands_behind_a_catch_all_or_a_twin_is_told() {
        const A: &str = "{uri: {prefix: /a}}";
        const B: &str = "{uri: {exact: /b}}";
        for (rules, wanted) in [
            (vec![A, B, ""], ""),
            (vec![A, "", B, ""], "[2] [3]"),
            (vec![A, A], "[1].match[0] [1]"),
            (vec!["{uri: {prefix: /a}}, {uri: {exact: /b}}", B], "[1].match[0] [1]"),
            (vec![A, "{uri: {exact: /b}}, {uri: {prefix: /a}}"], "[1].match[1]"),
            (vec![A, "{uri: {prefix: /ab}}"], "[1].match[0]"),
            (vec!["{uri: {prefix: /ab}}", A], ""),
            (vec![A, "{uri: {prefix: /ab}, method: {exact: GET}}"], ""),
            (vec![A, "{uri: {prefix: /ab}, port: 80}"], ""),
        ] {
            assert_eq!(places(&rules), wanted, "{rules:?}");
        }
    }

    /// The VirtualService that it leads to may leave over what it does not match itself.
    #[test]
    fn what_stands_behind_a_delegation_may_still_be_reached() {
        const A: &str = "{uri: {prefix: /a}}";
        const A_DELEGATED: &str = "{uri: {prefix: /a}} delegated";
        for (rules, wanted) in [
            (vec![DELEGATED, ""], ""),
            (vec![DELEGATED, A, ""], ""),
            (vec!["", DELEGATED], "[1]"),
            (vec![A_DELEGATED, A], ""),
            (vec![A_DELEGATED, A_DELEGATED], ""),
            (vec![A_DELEGATED, "{uri: {prefix: /ab}}"], ""),
            (vec![A, A_DELEGATED], "[1].match[0] [1]"),
            (vec![A, "{uri: {prefix: /ab}} delegated"], "[1].match[0]"),
            (vec![DELEGATED, "", A], "[2]"),
        ] {
            assert_eq!(places(&rules), wanted, "{rules:?}");
        }
    }
}
