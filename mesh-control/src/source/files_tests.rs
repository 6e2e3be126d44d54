use super::*;

fn entry(name: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: [{name}.example], \
         resolution: STATIC, ports: [{{number: 80, name: http}}]}}\n"
    )
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

    fs::write(dir.path().join("b.yml"), entry("b")).unwrap();
    assert_eq!(version_after(&mut translations).await, 2);

    problems.borrow_and_update();
    fs::write(dir.path().join("b.yml"), entry("b") + "spce: {}\n").unwrap();
    tokio::time::timeout(Duration::from_secs(30), problems.changed()).await.unwrap().unwrap();
    assert!(
        problems.borrow_and_update().errors[0]
            .ends_with("b.yml:5: ServiceEntry default/b: spce: unknown field")
    );
    assert_eq!(translations.borrow_and_update().version(), 2);

    fs::write(dir.path().join("b.yml"), entry("c")).unwrap();
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
    fs::write(&mesh, "trustDomain: b\n").unwrap();
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
        let texts = Place { dir: dir.path().to_owned(), mesh: None }.read();
        assert_eq!(texts.files.len(), 20);
        Files::open(dir.path(), None).unwrap();
    }
}
