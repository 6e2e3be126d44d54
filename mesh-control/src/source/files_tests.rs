use super::*;
use crate::translate::{Kind, NodeView};
use mesh_proto::envoy::config::core::v3::Node;

fn entry(name: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: [{name}.example], \
         resolution: STATIC, ports: [{{number: 80, name: http}}]}}\n"
    )
}

/// Puts a file in its place in one step: a test that is held up while it writes must not have half of it read.
fn put(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).unwrap();
    fs::rename(draft, path).unwrap();
}

async fn version_after(translations: &mut watch::Receiver<Arc<Translation>>) -> u64 {
    let changed = tokio::time::timeout(Duration::from_secs(30), translations.changed()).await;
    changed.expect("a change is seen").unwrap();
    translations.borrow_and_update().version()
}

#[tokio::test]
async fn a_change_is_seen_and_an_error_keeps_the_last_good_state() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/a.yaml"), entry("a")).unwrap();
    fs::write(dir.path().join("ignored.txt"), "a: [").unwrap();
    let files = Files::open(dir.path(), None).unwrap();
    let mut translations = files.translations();
    let mut problems = files.problems();
    assert_eq!(translations.borrow_and_update().version(), 1);

    put(&dir.path().join("b.yml"), &entry("b"));
    assert_eq!(version_after(&mut translations).await, 2);

    problems.borrow_and_update();
    put(&dir.path().join("b.yml"), &(entry("b") + "spce: {}\n"));
    tokio::time::timeout(Duration::from_secs(30), problems.changed()).await.unwrap().unwrap();
    assert!(
        problems.borrow_and_update().errors[0]
            .ends_with("b.yml:5: ServiceEntry default/b: spce: unknown field")
    );
    assert_eq!(translations.borrow_and_update().version(), 2);

    put(&dir.path().join("b.yml"), &entry("c"));
    assert_eq!(version_after(&mut translations).await, 3);
    assert!(files.problems().borrow().errors.is_empty());
}

#[tokio::test]
async fn settings_of_the_mesh_are_followed_too() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = dir.path().join("mesh");
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(&mesh, "trustDomain: a\n").unwrap();
    let files = Files::open(&dir.path().join("config"), Some(&mesh)).unwrap();
    let mut translations = files.translations();
    translations.borrow_and_update();
    put(&mesh, "trustDomain: b\n");
    assert_eq!(version_after(&mut translations).await, 2);
}

#[tokio::test]
async fn opening_tells_every_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), "a: [").unwrap();
    fs::write(dir.path().join("b.yaml"), "kind: Nonsense\n").unwrap();
    let problems = Files::open(dir.path(), Some(&dir.path().join("missing"))).unwrap_err();
    assert_eq!(problems.errors.len(), 3, "{problems}");
    assert!(Files::open(&dir.path().join("nowhere"), None).is_err());
}

#[tokio::test]
async fn a_hundred_starts_find_everything() {
    let dir = tempfile::tempdir().unwrap();
    for name in 0..20 {
        fs::write(dir.path().join(format!("{name}.yaml")), entry(&format!("e{name}"))).unwrap();
    }
    for _ in 0..100 {
        let files = Files::open(dir.path(), None).unwrap();
        let client = NodeView::from_proto(&Node::default());
        assert_eq!(files.translations().borrow().names(&client, Kind::Cluster).len(), 20);
    }
}

#[tokio::test]
async fn a_mounted_config_map_is_followed_through_its_links() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("..first")).unwrap();
    fs::write(at("..first/a.yaml"), entry("a")).unwrap();
    symlink("..first", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let files = Files::open(dir.path(), None).unwrap();
    let mut translations = files.translations();
    let before = translations.borrow_and_update().version();
    // As the kubelet does it: a new directory, and then one rename.
    fs::create_dir(at("..second")).unwrap();
    fs::write(at("..second/a.yaml"), entry("b")).unwrap();
    symlink("..second", at("..next")).unwrap();
    fs::rename(at("..next"), at("..data")).unwrap();
    assert!(version_after(&mut translations).await > before);
    let (config, problems) = Files::read(dir.path(), None);
    assert!(problems.is_empty() && config.service_entries[0].meta.name == "b", "{problems}");
}

#[tokio::test]
async fn linked_directories_are_read_once_and_circles_end() {
    use std::os::unix::fs::symlink;
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(other.path().join("a.yaml"), entry("a")).unwrap();
    for (to, name) in [(other.path(), "one"), (other.path(), "two"), (dir.path(), "circle")] {
        symlink(to, dir.path().join(name)).unwrap();
    }
    symlink("nowhere", dir.path().join("broken.yaml")).unwrap();
    let (config, problems) = Files::read(dir.path(), None);
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(config.count(), 1);
}

#[test]
fn what_is_no_text_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, b"# one\n# caf\xe9\n").unwrap();
    let (_, problems) = Files::read(dir.path(), None);
    let wanted = format!("{}:2: not UTF-8; save the file in that encoding", path.display());
    assert_eq!(problems.errors, [wanted]);
}

#[test]
fn one_file_may_stand_for_a_directory_and_an_empty_one_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let (_, problems) = Files::read(dir.path(), None);
    assert!(
        problems.errors.is_empty() && problems.warnings[0].ends_with("no .yaml or .yml file"),
        "{problems}"
    );
    let path = dir.path().join("a.yaml");
    fs::write(&path, entry("a")).unwrap();
    let (config, problems) = Files::read(&path, None);
    assert!(problems.is_empty() && config.count() == 1, "{problems}");
}

#[test]
fn every_way_to_write_a_document_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("windows.yaml", entry("a").replace('\n', "\r\n")),
        ("marked.yaml", format!("\u{feff}{}", entry("b"))),
        ("comments.yml", "# nothing\n---\n---\n".to_owned()),
        ("empty.yaml", String::new()),
        ("other.txt", "}".to_owned()),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let (config, problems) = Files::read(dir.path(), None);
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(config.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_panics_is_told_and_the_directory_is_followed_on() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), entry("a")).unwrap();
    let place = Place { dir: dir.path().to_owned(), mesh: None };
    let seen = place.read();
    let state = State::open(seen.documents(), MeshConfig::default(), Problems::default()).unwrap();
    let state = Arc::new(state);
    let (mut translations, mut problems) = (state.translations.subscribe(), state.problems.subscribe());
    fs::write(dir.path().join("a.yaml"), entry("b")).unwrap();
    let readings = Arc::new(AtomicU32::new(0));
    let counted = readings.clone();
    let read = move |place: &Place| match counted.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => panic!("on purpose"),
        _ => place.read(),
    };
    // Nobody tells of a change: the clock has to do.
    let (_changes, told) = mpsc::channel(1);
    let following = tokio::spawn(follow(place, read, seen, state.clone(), told, None));
    for reading in 1..=2 {
        tokio::time::timeout(Duration::from_secs(60), problems.changed()).await.expect("it is told").unwrap();
        let error = problems.borrow_and_update().errors.join("");
        assert!(error.contains("on purpose") && error.contains("stays in force"), "{error}");
        assert_eq!((readings.load(Ordering::SeqCst), translations.borrow().version()), (reading, 1));
    }
    assert_eq!(version_after(&mut translations).await, 2);
    assert!(problems.borrow().is_empty());
    following.abort();
}
