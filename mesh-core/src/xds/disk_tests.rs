use super::*;
use crate::clock;
use crate::xds::cache::Present;
use crate::xds::fixture::Toy;

fn content(records: usize) -> Content {
    let record = |index| Record {
        type_url: "type.googleapis.com/t".to_owned(),
        name: format!("name-{index}"),
        resource: Bytes::from(vec![index as u8; 100]),
    };
    Content { origin: "here".to_owned(), written: 7, records: (0..records).map(record).collect() }
}

fn file(records: usize) -> Vec<u8> {
    encode(&content(records))
}

#[test]
fn what_is_written_is_read() {
    for records in [0, 1, 100] {
        assert_eq!(decode(file(records).into(), "here"), Ok(content(records)));
    }
}

#[test]
fn a_file_that_does_not_fit_is_not_used() {
    let good = file(3);
    let changed = |at: usize, to: u8| {
        let mut file = good.clone();
        file[at] = to;
        file
    };
    let garbled = {
        let body = [0xFF; 5];
        let mut file = good[..12].to_vec();
        file.put_u64(body.len() as u64);
        file.put_u64(checksum(&body));
        file.put_slice(&body);
        file
    };
    for (what, file, reason) in [
        ("empty", Vec::new(), Unusable::Foreign),
        ("another file", b"{\"a\": 1}".to_vec(), Unusable::Foreign),
        ("another magic", changed(0, b'M'), Unusable::Foreign),
        ("only the magic", good[..8].to_vec(), Unusable::Length),
        ("only a part of the header", good[..20].to_vec(), Unusable::Length),
        ("an earlier format", changed(11, 1), Unusable::Format(1)),
        ("a later format", changed(11, 3), Unusable::Format(3)),
        ("one byte short", good[..good.len() - 1].to_vec(), Unusable::Length),
        ("one byte more", [&good[..], &[0]].concat(), Unusable::Length),
        ("a wrong length", changed(12, 1), Unusable::Length),
        ("a wrong checksum", changed(HEADER - 1, good[HEADER - 1] ^ 1), Unusable::Checksum),
        ("a flipped bit", changed(good.len() - 5, good[good.len() - 5] ^ 4), Unusable::Checksum),
        ("senseless content", garbled, Unusable::Garbled),
    ] {
        assert_eq!(decode(file.into(), "here"), Err(reason), "{what}");
    }
    assert_eq!(decode(good.into(), "there"), Err(Unusable::Origin("here".to_owned())));
}

/// A cache of so many bytes that holds ten resources, and what it is to write. Nobody reads its file.
fn disk(max_bytes: u64) -> (Disk, watch::Receiver<Selection>) {
    let (writes, latest) = watch::channel(Selection::default());
    let key = |record: &Record| (Toy::Whole.type_url(), record.name.clone());
    let records = content(10).records.into_iter();
    let records = records.map(|record| Record { type_url: Toy::Whole.type_url().to_owned(), ..record });
    let records = records.map(|record| (key(&record), record)).collect();
    (Disk { records, max_bytes, origin: "here".to_owned(), writes }, latest)
}

#[test]
fn the_size_is_bounded_and_what_is_not_in_use_makes_way() {
    let size = |selection: &Selection| {
        let records = selection.records.clone();
        encode(&Content { origin: "here".to_owned(), written: u64::MAX, records }).len() as u64
    };
    let empty = size(&Selection::default());
    let (mut all, latest) = disk(u64::MAX);
    all.write(|_: Toy, _| false);
    let whole = size(&latest.borrow());
    let mut kept = 0;
    for limit in 0..=whole {
        let in_use = |_: Toy, name: &str| ["name-7", "name-8", "name-9"].contains(&name);
        let (mut disk, latest) = disk(limit);
        disk.write(in_use);
        let selection = latest.borrow();
        assert!(size(&selection) <= limit.max(empty), "{limit}");
        assert!(selection.records.len() >= kept, "{limit}: more room, and less in it");
        kept = selection.records.len();
        let used = selection.records.iter().filter(|record| in_use(Toy::Whole, &record.name)).count();
        assert_eq!((used, used + selection.left_out), (kept.min(3), 3), "{limit}");
        assert_eq!(
            disk.records.len(),
            kept.max(3),
            "{limit}: what is not written is not kept, unless it is used"
        );
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
fn a_file_is_replaced_as_a_whole_and_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let config = DiskCache::new(folder.path().join("cache"));
    assert_eq!(load(&config, "here"), Ok(None));
    for records in [3, 1] {
        replace(&config.path, &file(records)).unwrap();
        assert_eq!(load(&config, "here"), Ok(Some(content(records))));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&config.path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let small = DiskCache { max_bytes: 50, ..config.clone() };
    assert_eq!(load(&small, "here"), Err("larger than 50 bytes".to_owned()));
    let is_folder = DiskCache::new(folder.path());
    assert!(load(&is_folder, "here").is_err());
    assert!(replace(&folder.path().join("missing/cache"), b"").is_err());
}
