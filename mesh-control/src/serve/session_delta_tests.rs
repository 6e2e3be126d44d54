use super::testing::{Stream, refused, strings, world};
use super::*;

#[test]
fn delta_answers_every_name_and_says_what_does_not_exist() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["c", "nothing"], &[]);
    let (names, removed, nonce) = stream.delta_response();
    assert_eq!((names, removed), (strings(&["c"]), strings(&["nothing"])));
    stream.accept(Kind::Cluster, &nonce);
    assert_eq!(stream.deltas(), []);
    stream.change(Kind::Cluster, &["d"], &[]);
    assert_eq!(stream.delta_response().0, ["d"], "only what is new");
    stream.update(world().with(Kind::Cluster, "nothing", "n1"));
    assert_eq!(stream.delta_response().0, ["nothing"], "unknown names are not forgotten");
}

#[test]
fn delta_pushes_what_changed_and_what_is_gone() {
    let mut stream = Stream::delta(world());
    stream.delta_subscribed(Kind::Endpoint, &["c", "d"]);
    stream.update(world().with(Kind::Endpoint, "c", "e2").without(Kind::Endpoint, "d"));
    let (names, removed, nonce) = stream.delta_response();
    assert_eq!((names, removed), (strings(&["c"]), strings(&[])));
    assert_eq!(stream.deltas(), []);
    stream.accept(Kind::Endpoint, &nonce);
    let (names, removed, _) = stream.delta_response();
    assert_eq!((names, removed), (strings(&[]), strings(&["d"])));
}

#[test]
fn delta_resources_carry_their_own_version() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["c", "d"], &[]);
    let first = stream.deltas().remove(0);
    let version = |name: &str| {
        let found = first.resources.iter().find(|resource| resource.name == name);
        found.map(|resource| resource.version.clone()).unwrap()
    };
    assert_ne!(version("c"), version("d"));
    // On a new stream, to a new process: what is held is not sent again, what is not is.
    let mut again = Stream::delta(world().with(Kind::Cluster, "d", "d2").without(Kind::Cluster, "e"));
    let (c, d) = (version("c"), version("d"));
    let held = [("c", c.as_str()), ("d", d.as_str()), ("e", "v1"), ("unrelated", "v2")];
    again.delta_request(Kind::Cluster, &["c", "d", "e"], &[], &held, "", None);
    let (names, removed, nonce) = again.delta_response();
    assert_eq!((names, removed), (strings(&["d"]), strings(&[])));
    again.accept(Kind::Cluster, &nonce);
    let (names, removed, _) = again.delta_response();
    assert_eq!((names, removed), (strings(&[]), strings(&["e"])));
}

#[test]
fn delta_answers_a_first_request_even_if_there_is_no_news() {
    let mut stream = Stream::delta(world());
    let held = crate::serve::watch::version(b"c1");
    stream.delta_request(Kind::Cluster, &["c"], &[], &[("c", &held)], "", None);
    let (names, removed, _) = stream.delta_response();
    assert_eq!((names.len(), removed.len()), (0, 0));
}

#[test]
fn delta_sends_again_to_who_subscribes_again() {
    let mut stream = Stream::delta(world());
    stream.delta_subscribed(Kind::Cluster, &["c"]);
    stream.change(Kind::Cluster, &["c"], &[]);
    assert_eq!(stream.delta_response().0, ["c"]);
    stream.change(Kind::Cluster, &[], &["c"]);
    stream.update(world().with(Kind::Cluster, "c", "c2"));
    assert_eq!(stream.deltas(), []);
    stream.change(Kind::Cluster, &["c"], &[]);
    assert_eq!(stream.delta_response().0, ["c"]);
}

#[test]
fn delta_takes_subscriptions_with_any_nonce() {
    let mut stream = Stream::delta(world());
    stream.delta_subscribed(Kind::Cluster, &["c"]);
    stream.delta_request(Kind::Cluster, &["d"], &[], &[], "0", None);
    assert_eq!(stream.delta_response().0, ["d"]);
    stream.delta_request(Kind::Cluster, &["nothing"], &[], &[], "garbage", None);
    assert_eq!(stream.delta_response().1, ["nothing"]);
}

#[test]
fn delta_refusals_are_told_once_and_not_answered() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["c"], &[]);
    let (.., nonce) = stream.delta_response();
    let refuse =
        |stream: &mut Stream| stream.delta_request(Kind::Cluster, &[], &[], &[], &nonce, refused("bad"));
    assert_eq!(refuse(&mut stream).unwrap().message, "bad");
    assert_eq!(refuse(&mut stream), None);
    assert_eq!(stream.deltas(), []);
    let mut same = world();
    same.version += 1;
    stream.update(same);
    assert_eq!(stream.deltas(), []);
}

#[test]
fn delta_knows_both_wildcards() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &[], &[]);
    let (names, _, nonce) = stream.delta_response();
    assert_eq!(names, ["c", "d"], "naming nothing at first");
    stream.accept(Kind::Cluster, &nonce);
    stream.update(world().with(Kind::Cluster, "e", "e1"));
    let (names, _, nonce) = stream.delta_response();
    assert_eq!(names, ["e"]);
    stream.accept(Kind::Cluster, &nonce);
    stream.update(world());
    assert_eq!(stream.delta_response().1, ["e"]);

    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["*", "c", "nothing"], &[]);
    let (names, removed, _) = stream.delta_response();
    assert_eq!((names, removed), (strings(&["c", "d"]), strings(&["nothing"])));
    stream.change(Kind::Cluster, &[], &["c", "nothing"]);
    let (names, removed, _) = stream.delta_response();
    assert_eq!(
        (names, removed),
        (strings(&["c"]), strings(&["nothing"])),
        "still part of everything, or not"
    );
    stream.change(Kind::Cluster, &["d"], &["*"]);
    stream.deltas();
    stream.update(world().with(Kind::Cluster, "c", "c2").with(Kind::Cluster, "d", "d2"));
    assert_eq!(stream.delta_response().0, ["d"]);
}

#[test]
fn delta_remembers_what_was_on_the_way_when_everything_was_not_wanted_for_a_moment() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Listener, &["*"], &[]);
    assert_eq!(stream.delta_response().0, ["l"]);
    stream.update(world().without(Kind::Listener, "l"));
    stream.change(Kind::Listener, &[], &["*"]);
    stream.change(Kind::Listener, &["*"], &[]);
    // By now the client has l, from the first response.
    assert_eq!(stream.delta_response().1, ["l"]);
}

#[test]
fn delta_knows_hosts_without_port() {
    let with = |second: &str| world().with(Kind::Listener, "h:1", "h1").with(Kind::Listener, "h:2", second);
    let mut stream = Stream::delta(with("h2"));
    stream.change(Kind::Listener, &["h", "h:2"], &[]);
    let (names, removed, nonce) = stream.delta_response();
    assert_eq!((names, removed), (strings(&["h:1", "h:2"]), strings(&["h"])));
    stream.accept(Kind::Listener, &nonce);
    // Only the port that is named on its own stays.
    stream.change(Kind::Listener, &[], &["h"]);
    stream.update(with("h3").with(Kind::Listener, "h:1", "h4"));
    assert_eq!(stream.delta_response().0, strings(&["h:2"]));
}

#[test]
fn delta_takes_back_what_was_on_the_way_to_who_wanted_it_by_name_and_then_wants_everything() {
    let mut stream = Stream::delta(world());
    stream.change(Kind::Cluster, &["c"], &[]);
    let (names, _, nonce) = stream.delta_response();
    assert_eq!(names, ["c"]);
    stream.update(world().without(Kind::Cluster, "c"));
    stream.change(Kind::Cluster, &[], &["c"]);
    stream.change(Kind::Cluster, &["*"], &[]);
    let (_, removed, _) = stream.delta_response();
    assert_eq!(removed, ["c"], "it arrives after the client wants everything, so the client keeps it");
    stream.accept(Kind::Cluster, &nonce);
    assert_eq!(stream.deltas(), []);
}
