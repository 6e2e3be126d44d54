//! What istioctl says to documents with one mistake each.

use crate::model::Config;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Where we refuse what istioctl takes, or the other way round, on purpose: case and reason.
const DIFFERENCES: &[(&str, &str)] = &[];

#[derive(Deserialize)]
struct Case {
    name: String,
    doc: String,
}

fn corpus(kind: &str) -> (Vec<Case>, BTreeMap<String, Value>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validate");
    let cases = fs::read_to_string(dir.join(format!("{kind}.cases.json"))).unwrap();
    let expected = fs::read_to_string(dir.join(format!("{kind}.expected.json"))).unwrap();
    (serde_json::from_str(&cases).unwrap(), serde_json::from_str(&expected).unwrap())
}

fn compare(kind: &str, count: usize) {
    let (cases, expected) = corpus(kind);
    assert_eq!(cases.len(), count, "the corpus of {kind} is there");
    let mut wrong = Vec::new();
    for case in cases {
        if DIFFERENCES.iter().any(|(name, _)| *name == case.name) {
            continue;
        }
        let said = &expected[&case.name];
        let (_, problems) = Config::parse([("FILE", case.doc.as_str())]);
        let valid = problems.errors.is_empty();
        if valid != said["valid"].as_bool().unwrap() {
            wrong.push(format!("{}: valid {valid}, istioctl says {said}, we {problems}", case.name));
        }
        let warned = said["warnings"].as_array().is_some_and(|warnings| !warnings.is_empty());
        if valid && warned && problems.warnings.is_empty() {
            wrong.push(format!("{}: no warning, istioctl says {said}", case.name));
        }
        assert!(problems.errors.iter().all(|error| error.starts_with("FILE:")), "{problems}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn service_entries_are_judged_as_istioctl_judges_them() {
    compare("serviceentry", 55);
}

#[test]
fn workload_entries_are_judged_as_istioctl_judges_them() {
    compare("workloadentry", 21);
}

#[test]
fn virtual_services_are_judged_as_istioctl_judges_them() {
    compare("virtualservice", 134);
}

#[test]
fn destination_rules_are_judged_as_istioctl_judges_them() {
    compare("destinationrule", 76);
}
