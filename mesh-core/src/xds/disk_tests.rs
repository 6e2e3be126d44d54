use super::*;

fn content(records: usize) -> Content {
    let record = |index| Record {
        type_url: "type.googleapis.com/t".to_owned(),
        name: format!("name-{index}"),
        version: "v1".to_owned(),
        resource: Bytes::from(vec![index as u8; 100]),
    };
    Content { origin: "here".to_owned(), written: 7, records: (0..records).map(record).collect() }
}

fn file(records: usize) -> Vec<u8> {
    encode(content(records), u64::MAX).0
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
        ("a later format", changed(11, 2), Unusable::Format(2)),
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

#[test]
fn the_size_is_bounded() {
    let whole = file(10).len() as u64;
    for limit in 0..whole + 100 {
        let (file, left_out) = encode(content(10), limit);
        let smallest = encode(content(0), 0).0.len() as u64;
        assert!(file.len() as u64 <= limit.max(smallest), "{limit}");
        let kept = decode(file.into(), "here").unwrap().records.len();
        assert_eq!(kept + left_out, 10, "{limit}");
    }
    assert_eq!(encode(content(10), whole + 80).1, 0);
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
