use super::disk_format::encode;
use super::*;
use crate::clock;
use crate::xds::cache::Present;
use crate::xds::fixture::Toy;

/// A cache of so many bytes that holds ten resources, and what it is to write. Nobody reads its file.
fn disk(max_bytes: u64) -> (Disk, watch::Receiver<Selection>) {
    let (writes, latest) = watch::channel(Selection::default());
    let mut disk = Disk {
        records: BTreeMap::new(),
        bytes: 0,
        max_bytes,
        origin: "here".to_owned(),
        written: None,
        clock: Clock::seeded(1),
        writes,
    };
    for index in 0..10_u8 {
        disk.insert(
            Toy::Whole,
            Record {
                type_url: Toy::Whole.type_url().to_owned(),
                name: format!("name-{index}"),
                resource: Bytes::from(vec![index; 100]),
                expires: 0,
            },
        );
    }
    (disk, latest)
}

#[test]
fn the_size_is_bounded_and_what_is_not_in_use_makes_way() {
    let size = |selection: &Selection| {
        encode("here", u64::MAX, selection.records.iter().map(|record| &**record)).len() as u64
    };
    let empty = size(&Selection::default());
    let (mut all, latest) = disk(u64::MAX);
    all.write(clock::now(), |_: Toy, _| None);
    let whole = size(&latest.borrow());
    let mut kept = 0;
    for limit in 0..=whole {
        let in_use = |name: &str| ["name-7", "name-8", "name-9"].contains(&name);
        let (mut disk, latest) = disk(limit);
        let entry = Entry::new(true);
        disk.write(clock::now(), |_: Toy, name| in_use(name).then_some(&entry));
        let selection = latest.borrow();
        assert!(size(&selection) <= limit.max(empty), "{limit}");
        assert!(selection.records.len() >= kept, "{limit}: more room, and less in it");
        kept = selection.records.len();
        let used = selection.records.iter().filter(|record| in_use(&record.name)).count();
        assert_eq!((used, used + selection.left_out), (kept.min(3), 3), "{limit}");
        assert_eq!(
            disk.records.len(),
            kept.max(3),
            "{limit}: what is not written is not kept, unless it is used"
        );
        assert_eq!(disk.bytes, disk.records.values().map(|record| disk_format::size(record)).sum::<u64>());
    }
    assert_eq!(kept, 10, "there is room for all, to the byte");
}

#[test]
fn only_another_resource_is_news() {
    let (mut disk, _) = disk(u64::MAX);
    let mut hear = |name: &str, bytes: Vec<u8>, version: &str| {
        let present = Present { value: 1, bytes: bytes.into(), version: version.into(), since: clock::now() };
        disk.hear(Toy::Whole, name, &Entry { state: State::Present(present), ..Entry::new(true) })
    };
    let same = vec![3; 100];
    assert!(!hear("name-3", same.clone(), "v1"));
    assert!(!hear("name-3", same.clone(), "v2"), "a version says nothing");
    assert!(hear("name-3", vec![4; 100], "v2"));
    assert!(hear("name-3", same.clone(), "v2"));
    assert!(hear("another", same, "v2"));
}

#[test]
fn the_larger_the_file_the_less_often_it_is_written() {
    let (mut disk, _) = disk(8 << 20);
    let now = clock::now();
    let insert = |disk: &mut Disk, size: usize| {
        disk.insert(Toy::Whole, Record { resource: vec![0; size].into(), ..Record::default() });
    };
    insert(&mut disk, 5 << 20);
    assert_eq!(disk.due(now), now + DISK_WRITE_DELAY, "the first time it is written soon");
    let entry = Entry::new(true);
    disk.write(now, |_: Toy, _| Some(&entry));
    assert_eq!(disk.due(now), now + DISK_WRITE_DELAY + Duration::from_secs(5));
    let later = now + Duration::from_secs(3600);
    assert_eq!(disk.due(later), later + DISK_WRITE_DELAY, "nothing was written for long");
    insert(&mut disk, 64 << 20);
    assert_eq!(
        disk.due(now),
        now + DISK_WRITE_DELAY + Duration::from_secs(8),
        "no more than that is written"
    );
    disk.remove(Toy::Whole, "");
    assert_eq!(disk.due(now), now + DISK_WRITE_DELAY);
}

#[test]
fn what_may_not_be_used_any_more_is_forgotten() {
    let (mut disk, _) = disk(u64::MAX);
    let rejection = Entry { state: State::Pending, ..Entry::new(true) };
    let error = Entry { state: State::Absent(Absence::Failed), ..Entry::new(true) };
    for (name, entry) in [("name-1", rejection), ("name-2", error)] {
        assert!(!disk.hear(Toy::Whole, name, &entry), "the last good one serves the next process");
        assert!(disk.get(Toy::Whole, name).is_some());
        assert!(disk.hear(Toy::Whole, name, &Entry { forfeited: true, ..entry }));
        assert!(disk.get(Toy::Whole, name).is_none());
    }
}

/// Of a value that lives for so long, if not for ever.
fn lives(bytes: &[u8], ttl: Option<Duration>) -> Entry<u32> {
    let present = Present { value: 1, bytes: bytes.to_vec().into(), version: "".into(), since: clock::now() };
    let expires = ttl.map(|ttl| clock::now() + ttl);
    Entry { state: State::Present(present), expires, ..Entry::new(true) }
}

#[tokio::test(start_paused = true)]
async fn the_next_process_knows_until_when_a_resource_lives() {
    const TTL: Duration = Duration::from_secs(30);
    let (mut disk, latest) = disk(u64::MAX);
    let written = |latest: &watch::Receiver<Selection>| {
        let selection = latest.borrow();
        selection.records.iter().find(|record| record.name == "a").map(|record| record.expires)
    };
    assert!(!disk.any_expires());
    // The calendar goes on while the test runs.
    let soonest = disk.today() + 30_000;
    assert!(disk.hear(Toy::Whole, "a", &lives(b"1", Some(TTL))));
    let expires = disk.get(Toy::Whole, "a").unwrap().expires;
    assert!(disk.any_expires() && expires >= soonest && expires <= disk.today() + 30_000);
    let left = disk.expires(disk.get(Toy::Whole, "a").unwrap()).unwrap() - clock::now();
    assert!(left <= TTL && left + Duration::from_millis(disk.today() + 30_000 - soonest) >= TTL, "{left:?}");

    // It is renewed, which is no news, but written when something else is.
    let entry = lives(b"1", Some(TTL * 2));
    assert!(!disk.hear(Toy::Whole, "a", &entry));
    disk.write(clock::now(), |_: Toy, name| (name == "a").then_some(&entry));
    assert!(written(&latest).unwrap() >= soonest + 30_000);
    assert_eq!(disk.bytes, disk.records.values().map(|record| disk_format::size(record)).sum::<u64>());

    // It lives for ever after all.
    let entry = lives(b"1", None);
    assert!(disk.hear(Toy::Whole, "a", &entry));
    assert!(!disk.any_expires());
    disk.write(clock::now(), |_: Toy, name| (name == "a").then_some(&entry));
    assert_eq!(written(&latest), Some(0));
}

#[test]
fn what_does_not_live_any_more_is_not_found_and_makes_way() {
    let (mut disk, latest) = disk(u64::MAX);
    let name = |selection: &Selection, name: &str| selection.records.iter().any(|record| record.name == name);
    for (id, expires) in [("over", 1), ("for ever", 0), ("for long", u64::MAX)] {
        let record = Record { name: id.to_owned(), expires, ..Record::default() };
        disk.insert(Toy::Part, record);
    }
    let found = ["over", "for ever", "for long"].map(|name| disk.get(Toy::Part, name).is_some());
    assert_eq!(found, [false, true, true]);
    assert_eq!(disk.all(Toy::Part).map(|(name, _)| name).collect::<Vec<_>>(), ["for ever", "for long"]);
    let endless = disk.get(Toy::Part, "for long").unwrap();
    assert!(disk.expires(endless).is_none_or(|at| at > clock::now()), "no clock goes so far");
    disk.write(clock::now(), |_: Toy, _| None);
    assert!(!name(&latest.borrow(), "over") && name(&latest.borrow(), "for ever"));
    assert!(disk.record(Toy::Part, "over").is_none());
}
