//! `docs/defaults.md` says what the code says.

mod read_sources;

use self::read_sources::{code, sources, workspace};
use std::fs;
use std::path::Path;

const PACKAGES: [&str; 4] = ["mesh-core", "mesh-tonic", "mesh-hyper", "mesh-control"];

/// A row for each public constant that is a number or a duration: its name, its value as written, what it means.
fn rows(path: &Path) -> Vec<String> {
    let lines = code(path);
    let mut rows = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(declaration) = line.strip_prefix("pub const ") else { continue };
        let Some((name, rest)) = declaration.split_once(": ") else { continue };
        let Some((kind, value)) = rest.split_once(" =") else { continue };
        if !["Duration", "usize", "u16", "u32", "u64", "f64", "Backoff"].contains(&kind) {
            continue;
        }
        let value = if value.trim().is_empty() { &lines[index + 1] } else { value };
        let value = value.trim().trim_end_matches(';');
        let mut first = index;
        while first > 0 && lines[first - 1].starts_with("///") {
            first -= 1;
        }
        let meaning = lines[first..index].iter().map(|line| line.trim_start_matches("///").trim());
        let meaning = meaning.collect::<Vec<_>>().join(" ").replace('|', "\\|");
        rows.push(format!("| `{name}` | `{value}` | {meaning} |"));
    }
    rows
}

/// The page as it should be.
fn page() -> String {
    let mut page = String::from(
        "# Defaults and limits\n\nEvery public constant by which the mesh chooses a number by itself, documented where it stands. A test compares this page \
         with the sources and prints the page anew when they differ.\n",
    );
    for package in PACKAGES {
        let root = workspace();
        for file in sources(&root.join(package).join("src")) {
            let rows = rows(&file);
            if !rows.is_empty() {
                let name = file.strip_prefix(&root).expect("below the root").display().to_string();
                page += &format!("\n## `{name}`\n\n| Constant | Value | Meaning |\n|---|---|---|\n");
                page += &(rows.join("\n") + "\n");
            }
        }
    }
    page
}

#[test]
fn the_page_says_what_the_code_says() {
    let path = workspace().join("docs/defaults.md");
    let written = fs::read_to_string(&path).unwrap_or_default();
    let page = page();
    assert!(page.contains("| `RESOURCE_TIMEOUT` | `Duration::from_secs(15)` |"), "{page}");
    assert!(written == page, "docs/defaults.md should be:\n-----\n{page}-----");
}
