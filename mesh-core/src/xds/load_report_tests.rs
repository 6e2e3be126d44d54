use super::*;
use crate::clock::now;
use crate::xds::load_metrics::MetricChoice;
use mesh_proto::google::protobuf::Duration as ProtoDuration;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn cluster(name: &str) -> Arc<ClusterCounts> {
    Arc::new(ClusterCounts::new(name.into(), "".into(), MetricChoice::default()))
}

fn place(zone: &str, last: u8) -> Place {
    let locality = Locality { zone: zone.to_owned(), ..Locality::default() };
    (0, Arc::new(locality), Address::host_port(&format!("10.0.0.{last}"), 80))
}

/// What a server says: these clusters, or all.
fn answer(clusters: Option<&[&str]>, seconds: i64, per_endpoint: bool) -> Vec<u8> {
    let response = LoadStatsResponse {
        clusters: clusters.unwrap_or_default().iter().map(ToString::to_string).collect(),
        send_all_clusters: clusters.is_none(),
        load_reporting_interval: Some(ProtoDuration { seconds, nanos: 0 }),
        report_endpoint_granularity: per_endpoint,
    };
    response.encode_to_vec()
}

fn request(report: &mut LoadReport, now: Instant) -> Option<LoadStatsRequest> {
    report.next_request(now).map(|bytes| LoadStatsRequest::decode(bytes).unwrap())
}

/// A report of `clusters` to a server that wants all of them every second.
fn reporting(now: Instant, clusters: &[Arc<ClusterCounts>]) -> LoadReport {
    let mut report = LoadReport::new(&Node::default());
    report.set_clusters(now, clusters, &[]);
    report.opened();
    request(&mut report, now).unwrap();
    report.receive(now, &answer(None, 1, false)).unwrap();
    report
}

#[test]
fn the_node_goes_first_and_nothing_follows_until_the_server_asks() {
    let now = now();
    let node = Node { id: "me".to_owned(), ..Node::default() };
    let mut report = LoadReport::new(&node);
    report.set_clusters(now, &[cluster("a")], &[]);
    assert_eq!(report.next_timer(now), None, "there is no stream");
    report.opened();
    let first = request(&mut report, now).unwrap();
    let node = first.node.unwrap();
    assert_eq!(node.id, "me");
    assert!(node.client_features.iter().any(|feature| feature == SEND_ALL_CLUSTERS));
    assert!(first.cluster_stats.is_empty());
    assert_eq!(report.next_timer(now), None);
    assert_eq!(request(&mut report, now + 100 * SECOND), None);

    report.receive(now + SECOND, &answer(None, 10, false)).unwrap();
    assert_eq!(report.next_timer(now + SECOND), Some(now + 11 * SECOND));
    assert_eq!(request(&mut report, now + 10 * SECOND), None);
    assert_eq!(request(&mut report, now + 11 * SECOND).unwrap().node, None);
    assert_eq!(report.next_timer(now + 11 * SECOND), Some(now + 21 * SECOND));

    report.closed();
    report.opened();
    assert!(request(&mut report, now).unwrap().node.is_some(), "each stream begins with the node");
}

#[test]
fn a_report_sums_endpoints_by_locality_and_names_them_if_asked_to() {
    let now = now();
    let a = cluster("a");
    let endpoints = [place("x", 1), place("x", 2), place("y", 3)].map(|place| a.endpoint(place));
    for (index, endpoint) in endpoints.iter().enumerate() {
        for _ in 0..=index {
            endpoint.begin();
            endpoint.end(index != 1);
        }
    }
    endpoints[2].begin();
    a.dropped(&"overload".into()).add();
    let mut report = reporting(now, std::slice::from_ref(&a));
    report.receive(now, &answer(Some(&["a"]), 1, true)).unwrap();
    let stats = request(&mut report, now + SECOND).unwrap().cluster_stats.remove(0);
    assert_eq!((stats.cluster_name.as_str(), stats.total_dropped_requests), ("a", 1));
    assert_eq!(stats.dropped_requests[0].category, "overload");
    assert_eq!(stats.load_report_interval, Some(ProtoDuration { seconds: 1, nanos: 0 }));
    let localities = stats.upstream_locality_stats.iter().map(|stats| {
        let zone = stats.locality.as_ref().unwrap().zone.clone();
        let sums = (stats.total_issued_requests, stats.total_successful_requests, stats.total_error_requests);
        (zone, sums, stats.total_requests_in_progress, stats.upstream_endpoint_stats.len())
    });
    let localities: Vec<_> = localities.collect();
    assert_eq!(localities, [("x".to_owned(), (3, 1, 2), 0, 2), ("y".to_owned(), (4, 3, 0), 1, 1)]);
    let second = &stats.upstream_locality_stats[0].upstream_endpoint_stats[1];
    assert_eq!(second.address, Some(address_to_proto(&Address::host_port("10.0.0.2", 80))));
    assert_eq!((second.total_error_requests, second.total_issued_requests), (2, 2));

    let quiet = request(&mut report, now + 2 * SECOND).unwrap().cluster_stats.remove(0);
    let [y] = &quiet.upstream_locality_stats[..] else { panic!("{quiet:?}") };
    assert_eq!((y.total_issued_requests, y.total_requests_in_progress), (0, 1), "only what is in progress");
}

#[test]
fn a_cluster_that_was_not_asked_for_keeps_its_counts() {
    let now = now();
    let (a, b) = (cluster("a"), cluster("b"));
    for counts in [&a, &b] {
        counts.dropped(&"overload".into()).add();
    }
    let mut report = reporting(now, &[a, b]);
    let names = |request: LoadStatsRequest| -> Vec<(String, i64)> {
        let stats = request.cluster_stats.into_iter();
        stats.map(|stats| (stats.cluster_name, stats.load_report_interval.unwrap().seconds)).collect()
    };
    report.receive(now, &answer(Some(&["b", "other"]), 1, false)).unwrap();
    assert_eq!(names(request(&mut report, now + SECOND).unwrap()), [("b".to_owned(), 1)]);
    report.receive(now + SECOND, &answer(None, 1, false)).unwrap();
    assert_eq!(names(request(&mut report, now + 2 * SECOND).unwrap()), [("a".to_owned(), 2)]);
}

#[test]
fn clusters_of_the_same_name_are_one_in_a_report() {
    let now = now();
    let twins = [cluster("a"), cluster("a")];
    for counts in &twins {
        counts.endpoint(place("x", 1)).begin();
        counts.dropped(&"overload".into()).add();
    }
    let stats = request(&mut reporting(now, &twins), now + SECOND).unwrap().cluster_stats;
    let [stats] = &stats[..] else { panic!("{stats:?}") };
    assert_eq!(stats.total_dropped_requests, 2);
    assert_eq!(stats.upstream_locality_stats[0].total_issued_requests, 2);
}

#[test]
fn a_cluster_that_is_gone_is_reported_until_its_last_request_has_ended() {
    let now = now();
    let a = cluster("a");
    let endpoint = a.endpoint(place("x", 1));
    endpoint.begin();
    let mut report = reporting(now, &[a]);
    report.set_clusters(now, &[], &[]);
    assert!(!report.is_done());
    assert_eq!(report.next_timer(now), Some(now), "it is said at once");
    assert_eq!(request(&mut report, now).unwrap().cluster_stats.len(), 1);
    assert!(!report.is_done());
    endpoint.end(true);
    drop(endpoint);
    assert_eq!(request(&mut report, now), None);
    let last = request(&mut report, now + SECOND).unwrap().cluster_stats.remove(0);
    assert_eq!(last.upstream_locality_stats[0].total_successful_requests, 1);
    assert!(report.is_done());
}

#[test]
fn a_cluster_that_another_server_is_told_of_is_reported_once_more() {
    let now = now();
    let (a, b) = (cluster("a"), cluster("b"));
    let endpoints = [&a, &b].map(|counts| counts.endpoint(place("x", 1)));
    endpoints.iter().for_each(|endpoint| endpoint.begin());
    let mut report = reporting(now, &[a.clone(), b.clone()]);
    report.set_clusters(now, std::slice::from_ref(&b), std::slice::from_ref(&a));
    report.set_clusters(now, std::slice::from_ref(&b), &[]);
    let names = |request: LoadStatsRequest| -> Vec<String> {
        request.cluster_stats.into_iter().map(|stats| stats.cluster_name).collect()
    };
    assert_eq!(names(request(&mut report, now).unwrap()), ["a", "b"], "at once");
    assert_eq!(names(request(&mut report, now + SECOND).unwrap()), ["b"], "though it has a request yet");
    report.set_clusters(now + SECOND, &[a.clone(), b.clone()], &[]);
    assert_eq!(names(request(&mut report, now + 2 * SECOND).unwrap()), ["a", "b"], "it is back");

    report.closed();
    report.set_clusters(now, std::slice::from_ref(&b), std::slice::from_ref(&a));
    assert_eq!(report.clusters.len(), 1, "nobody asks for a last word");
    report.opened();
    request(&mut report, now).unwrap();
    report.receive(now, &answer(Some(&["a"]), 1, false)).unwrap();
    report.end();
    assert!(report.is_done());
    let mut taken = Taken::default();
    b.take(&mut taken);
    assert_eq!(taken.endpoints.len(), 1, "whoever is told of it next gets what is left");
}

#[test]
fn when_the_mesh_ends_what_has_happened_is_reported_at_once() {
    let now = now();
    let a = cluster("a");
    let endpoint = a.endpoint(place("x", 1));
    endpoint.begin();
    let mut report = reporting(now, &[a]);
    report.end();
    assert!(!report.is_done());
    assert_eq!(request(&mut report, now).unwrap().cluster_stats.len(), 1);
    assert!(report.is_done());
}

#[test]
fn clusters_that_come_and_go_unasked_for_are_kept_in_a_bounded_number() {
    let now = now();
    let mut report = LoadReport::new(&Node::default());
    let lasting = cluster("lasting");
    let counted = lasting.endpoint(place("x", 1));
    let leaving = cluster("leaving");
    let last_request = leaving.endpoint(place("x", 1));
    last_request.begin();
    report.set_clusters(now, &[lasting.clone(), leaving], &[]);
    for index in 0..3 * MAX_GONE_CLUSTERS {
        let brief = cluster(&format!("brief-{index}"));
        brief.dropped(&"overload".into()).add();
        counted.begin();
        report.set_clusters(now, &[lasting.clone(), brief], &[]);
        assert!(report.clusters.len() <= 3 + MAX_GONE_CLUSTERS);
    }
    last_request.end(true);
    report.opened();
    request(&mut report, now).unwrap();
    report.receive(now, &answer(None, 1, false)).unwrap();
    let stats = request(&mut report, now + SECOND).unwrap().cluster_stats;
    let issued = |name: &str| {
        let of_it = stats.iter().find(|stats| stats.cluster_name == name).unwrap();
        of_it.upstream_locality_stats[0].total_issued_requests
    };
    assert_eq!((issued("lasting"), issued("leaving")), (3 * MAX_GONE_CLUSTERS as u64, 1));
    assert!(stats.len() > MAX_GONE_CLUSTERS, "the latest are reported yet");
}

#[test]
fn there_is_nothing_to_do_without_clusters_or_for_a_server_that_never_asked() {
    let now = now();
    let mut report = LoadReport::new(&Node::default());
    assert!(report.is_done());
    report.set_clusters(now, &[cluster("a")], &[]);
    assert!(!report.is_done());
    report.opened();
    request(&mut report, now).unwrap();
    report.set_clusters(now, &[], &[]);
    assert!(report.is_done());
}

#[test]
fn an_interval_is_never_shorter_than_a_second_nor_negative() {
    let now = now();
    let mut report = reporting(now, &[cluster("a")]);
    report.receive(now, &answer(None, 0, false)).unwrap();
    assert_eq!(report.next_timer(now), Some(now + MIN_LOAD_REPORT_INTERVAL));
    report.receive(now, &LoadStatsResponse::default().encode_to_vec()).unwrap();
    assert_eq!(report.next_timer(now), Some(now + MIN_LOAD_REPORT_INTERVAL));
    assert!(report.receive(now, &answer(None, -1, false)).unwrap_err().contains("load_reporting_interval"));
    assert!(report.receive(now, b"\xff").is_err());
    report.receive(now, &answer(None, i64::MAX, false)).unwrap();
    assert_eq!(report.next_timer(now), None, "further away than time goes");
}

/// What may happen.
#[derive(Clone, Debug)]
enum Act {
    Begin(u8),
    End(bool),
    Drop(u8),
    Pass(u64),
    Answer(Option<Vec<u8>>, i64),
    Reconnect,
    Use(Vec<u8>),
}

fn act() -> impl Strategy<Value = Act> {
    let few = prop::collection::vec(0..3u8, 0..3);
    prop_oneof![
        6 => any::<u8>().prop_map(Act::Begin),
        4 => any::<bool>().prop_map(Act::End),
        2 => (0..3u8).prop_map(Act::Drop),
        4 => (0..5_000u64).prop_map(Act::Pass),
        2 => (prop::option::of(few.clone()), 0..4i64).prop_map(|(names, interval)| Act::Answer(names, interval)),
        1 => Just(Act::Reconnect),
        1 => few.prop_map(Act::Use),
    ]
}

proptest! {
    /// Whatever the server asks and however often the stream breaks between them, all reports together say what happened. A cluster
    /// that was let go and comes back begins anew, and what it had counted is reported beside it. Only clusters that are
    /// gone and that the server does not ask for are forgotten, so it asks for all once there may be such.
    #[test]
    fn all_reports_together_say_what_happened(acts in prop::collection::vec(act(), 0..120)) {
        let names = ["a", "b", "c"];
        let mut now = now();
        let mut clusters = names.map(cluster);
        let mut report = LoadReport::new(&Node::default());
        let mut used = vec![0, 1, 2];
        report.set_clusters(now, &clusters, &[]);
        let mut open = Vec::new();
        let mut happened = Counts::default();
        let mut dropped = 0;
        let mut gone = false;
        let mut told = Counts::default();
        let mut told_dropped = 0;
        let mut hear = |request: LoadStatsRequest| {
            let mut in_progress = 0;
            for stats in &request.cluster_stats {
                told_dropped += stats.total_dropped_requests;
                for locality in &stats.upstream_locality_stats {
                    told.issued += locality.total_issued_requests;
                    told.successes += locality.total_successful_requests;
                    told.errors += locality.total_error_requests;
                    in_progress += locality.total_requests_in_progress;
                }
            }
            told.in_progress = in_progress;
        };
        for act in acts {
            match act {
                Act::Begin(which) => {
                    let index = usize::from(which % 3);
                    // As in the stack: what is not in use gets no requests.
                    if used.contains(&index) {
                        let zone = ["x", "y"][usize::from(which / 3 % 2)];
                        let endpoint = clusters[index].endpoint(place(zone, which / 64));
                        endpoint.begin();
                        happened.issued += 1;
                        open.push(endpoint);
                    }
                }
                Act::End(success) => if let Some(endpoint) = open.pop() {
                    endpoint.end(success);
                    if success { happened.successes += 1 } else { happened.errors += 1 }
                },
                Act::Drop(index) => if used.contains(&usize::from(index)) {
                    clusters[usize::from(index)].dropped(&"overload".into()).add();
                    dropped += 1;
                },
                Act::Pass(millis) => now += Duration::from_millis(millis),
                Act::Answer(names_of, interval) => if !matches!(report.stream, Stream::Closed | Stream::New) {
                    let names_of = names_of.filter(|_| !gone);
                        let asked: Option<Vec<_>> =
                            names_of.map(|list| list.iter().map(|index| names[usize::from(*index)]).collect());
                    report.receive(now, &answer(asked.as_deref(), interval, false)).unwrap();
                },
                Act::Reconnect => {
                    report.closed();
                    report.opened();
                }
                Act::Use(list) => {
                    // Nothing is forgotten that somebody can still ask for: only what is asked for may go.
                    let all = answer(None, 1, false);
                    gone = true;
                    if matches!(report.stream, Stream::Asked(_)) {
                        report.receive(now, &all).unwrap();
                        for index in 0..3 {
                            let goes = !list.iter().any(|used| usize::from(*used) == index);
                            if goes && used.contains(&index) {
                                clusters[index] = cluster(names[index]);
                            }
                        }
                        used = (0..3).filter(|index| list.iter().any(|used| usize::from(*used) == *index)).collect();
                        let current: Vec<_> = used.iter().map(|index| clusters[*index].clone()).collect();
                        report.set_clusters(now, &current, &[]);
                        // They are gone with the next report.
                        now += SECOND;
                        hear(request(&mut report, now).unwrap());
                    }
                }
            }
            if let Some(request) = request(&mut report, now) {
                hear(request);
            }
        }
        report.closed();
        report.opened();
        request(&mut report, now).unwrap();
        report.receive(now, &answer(None, 1, false)).unwrap();
        hear(request(&mut report, now + SECOND).unwrap());
        happened.in_progress = open.len() as u64;
        prop_assert_eq!(told, happened);
        prop_assert_eq!(told_dropped, dropped);
    }
}
