use super::*;

fn prefix(text: &str) -> StringMatch {
    StringMatch { prefix: Some(text.into()), ..StringMatch::default() }
}

fn exact(text: &str) -> StringMatch {
    StringMatch { exact: Some(text.into()), ..StringMatch::default() }
}

fn route(matches: &[HttpMatch]) -> HttpRoute {
    HttpRoute { matches: matches.to_vec(), ..HttpRoute::default() }
}

fn path(uri: StringMatch) -> HttpMatch {
    HttpMatch { uri: Some(uri), ..HttpMatch::default() }
}

#[test]
fn an_inner_path_must_lie_within_the_outer_one() {
    assert!(is_narrower(&prefix("/team"), &prefix("/team/a")));
    assert!(is_narrower(&prefix("/team"), &exact("/team/a")));
    assert!(!is_narrower(&prefix("/team"), &prefix("/other")));
    assert!(!is_narrower(&exact("/team"), &prefix("/team")));
    let regex = StringMatch { regex: Some(".*".into()), ..StringMatch::default() };
    assert!(!is_narrower(&regex, &exact("/team")));
    assert!(!is_narrower(&StringMatch::default(), &StringMatch::default()));
}

#[test]
fn one_match_that_fits_nowhere_voids_the_whole_rule() {
    let outer = route(&[path(prefix("/team"))]);
    assert!(join(&outer, &route(&[path(prefix("/team/a")), path(prefix("/other"))])).is_none());
    assert_eq!(join(&outer, &route(&[path(prefix("/team/a"))])).unwrap().matches, [path(prefix("/team/a"))]);
}

#[test]
fn matches_are_joined_in_pairs() {
    let header =
        |name: &str| HttpMatch { headers: [(name.into(), exact("1"))].into(), ..HttpMatch::default() };
    let outer = route(&[path(prefix("/a")), path(prefix("/b"))]);
    let joined = join(&outer, &route(&[header("x"), header("y")])).unwrap();
    let told: Vec<_> = joined
        .matches
        .iter()
        .map(|it| (it.uri.clone().unwrap().prefix.unwrap(), it.headers.keys().next().unwrap().clone()))
        .collect();
    let pair = |path: &str, header: &str| (path.to_owned(), header.to_owned());
    assert_eq!(told, [pair("/a", "x"), pair("/b", "x"), pair("/a", "y"), pair("/b", "y")]);
}

#[test]
fn what_the_inner_rule_says_replaces_what_the_outer_one_says() {
    use crate::model::values::Duration;
    let outer = HttpRoute {
        name: "root".into(),
        timeout: Some(Duration::from_millis(1)),
        retries: Some(Default::default()),
        ..HttpRoute::default()
    };
    let inner =
        HttpRoute { name: "leaf".into(), timeout: Some(Duration::from_millis(2)), ..HttpRoute::default() };
    let joined = join(&outer, &inner).unwrap();
    assert_eq!((joined.name.as_str(), joined.timeout), ("root-leaf", Some(Duration::from_millis(2))));
    assert!(joined.retries.is_some());
}
