//! The structure that `docs/architecture.md` promises, read from the sources.

mod read_sources;

use self::read_sources::{code, sources, workspace};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a file may have before its tests: one concept each.
const LONGEST_FILE: usize = 400;

/// The modules of mesh-core from the lowest rank to the highest. A module imports lower ranks only.
const RANKS: &[&[&str]] = &[
    &["error", "clock", "telemetry", "tasks", "slots", "wire"],
    &["dialect", "overrides"],
    &["policy", "net"],
    &["bootstrap"],
    &["xds"],
    &["resource"],
    &["identity"],
    &["endpoint"],
    &["balance"],
    &["cluster"],
    &["route"],
    &["snapshot"],
    &["body"],
    &["layer"],
    &["stack", "cluster_config", "dump"],
    &["mesh"],
];

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}

fn is_test_file(path: &Path) -> bool {
    stem(path).ends_with("_tests")
}

/// The modules of this crate that a line of code names by `crate::`.
fn named_modules(line: &str) -> impl Iterator<Item = &str> {
    let is_code = !line.trim_start().starts_with("//");
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let after = line.split("crate::").skip(1).filter(move |_| is_code);
    after.filter_map(move |rest| rest.split(ends).next()).filter(|name| !name.is_empty())
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|modules| modules.contains(&module))
}

#[test]
fn imports_go_downward_only() {
    let root = workspace().join("mesh-core/src");
    let mut wrong = Vec::new();
    for path in sources(&root).iter().filter(|path| !is_test_file(path) && stem(path) != "lib") {
        let inside = path.strip_prefix(&root).expect("below the root");
        let first = Path::new(inside.components().next().expect("a file has a name").as_os_str());
        let module = stem(first);
        let own = rank(module).unwrap_or_else(|| panic!("module {module} has no rank: give it one"));
        for (number, line) in code(path).iter().enumerate() {
            assert!(!line.contains("crate::{"), "{}: {line}: name each module by itself", path.display());
            for named in named_modules(line).filter(|named| *named != module) {
                // What the crate root re-exports hides the module it is from.
                let theirs = rank(named).unwrap_or(usize::MAX);
                if theirs > own || (theirs == own && own > 0) {
                    wrong.push(format!("{}:{}: {}", inside.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that do not go downward:\n{}", wrong.join("\n"));
}

#[test]
fn the_page_has_every_module_at_its_rank() {
    let page = fs::read_to_string(workspace().join("docs/architecture.md")).expect("the page is there");
    for (rank, modules) in RANKS.iter().enumerate() {
        let begin = format!("| {rank} | ");
        let row = page.lines().find_map(|line| line.strip_prefix(&begin)).expect("a row for each rank");
        let names = row.split('|').next().unwrap_or_default().split('`').map(str::trim);
        let named: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
        assert_eq!(named, modules.iter().copied().collect(), "rank {rank}");
    }
}

#[test]
fn no_layer_imports_another() {
    let folder = workspace().join("mesh-core/src/layer");
    // What every layer works on is no layer.
    let files: Vec<PathBuf> =
        sources(&folder).into_iter().filter(|path| !["mod", "call"].contains(&stem(path))).collect();
    let layers: BTreeSet<&str> = files.iter().map(|path| stem(path)).collect();
    assert!(layers.contains("retry") && layers.contains("deadline"), "{layers:?}");
    for path in &files {
        for line in code(path).iter().filter(|line| line.trim_start().starts_with("use ")) {
            for other in layers.iter().filter(|other| **other != stem(path)) {
                let (near, far) = (format!("super::{other}::"), format!("layer::{other}::"));
                assert!(!line.contains(&near) && !line.contains(&far), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_one_concept_needs() {
    let packages =
        ["mesh-proto", "mesh-core", "mesh-tonic", "mesh-hyper", "mesh-control", "mesh-testkit", "examples"];
    let mut long = Vec::new();
    for package in packages {
        for path in sources(&workspace().join(package).join("src")).iter().filter(|path| !is_test_file(path))
        {
            let lines = code(path).len();
            if lines > LONGEST_FILE {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "over {LONGEST_FILE} lines before their tests:\n{}", long.join("\n"));
}

#[test]
fn no_queue_or_foreign_channel_is_in_the_request_path() {
    let banned = ["tonic::transport", "tower::buffer", "tower::balance", "hyper_util::client"];
    for package in ["mesh-core", "mesh-tonic", "mesh-hyper"] {
        for path in sources(&workspace().join(package).join("src")) {
            for line in code(&path).iter().filter(|line| !line.trim_start().starts_with("//")) {
                for name in banned {
                    assert!(!line.contains(name), "{}: {line}", path.display());
                }
            }
        }
    }
}
