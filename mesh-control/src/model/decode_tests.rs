use super::super::values::{Duration, Unused};
use super::super::yaml;
use super::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct Sample {
    host_name: String,
    weight: i32,
    timeout: Option<Duration>,
    labels: BTreeMap<String, String>,
    inner: Vec<Sample>,
    later: Option<Unused<Vec<String>>>,
    mode: Mode,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Mode {
    #[default]
    First,
    SecondOne,
}

fn read(text: &str) -> (Option<Sample>, Remarks) {
    let documents = yaml::parse(text).unwrap();
    let mut remarks = Remarks::default();
    let value = decode(&documents[0], "spec", Unknown::Refuse, &mut remarks);
    (value, remarks)
}

fn refusal(text: &str) -> (String, usize, String) {
    let (value, remarks) = read(text);
    assert_eq!((value, remarks.errors.len()), (None, 1), "{text}");
    let remark = remarks.errors.into_iter().next().unwrap();
    (remark.path, remark.line, remark.message)
}

#[test]
fn both_spellings_numbers_as_text_and_enum_numbers_are_accepted() {
    let (value, remarks) =
        read("host_name: a\nweight: '5'\nmode: 1\ntimeout: 1m1.5s\nlabels: {a: b}\ninner: [null]\n");
    let value = value.unwrap();
    assert!(remarks.errors.is_empty() && remarks.warnings.is_empty());
    assert_eq!((value.host_name.as_str(), value.weight, value.mode), ("a", 5, Mode::SecondOne));
    assert_eq!(value.timeout.unwrap().as_millis(), 61_500);
    assert_eq!(value.inner, [Sample::default()]);
}

#[test]
fn a_wrong_type_is_told_with_path_and_line() {
    let (path, line, message) = refusal("hostName: a\ninner:\n- weight: 33.3\n");
    assert_eq!((path.as_str(), line), ("spec.inner[0].weight", 3));
    assert_eq!(message, "wants a whole number, not the number `33.3`");
    let (path, _, message) = refusal("labels: {version: no}\n");
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("spec.labels.version", "wants text, not the boolean `no`; put it in quotes")
    );
    let (path, line, message) = refusal("weight: 1\ntimeout: soon\n");
    assert_eq!((path.as_str(), line), ("spec.timeout", 2));
    assert!(message.contains("soon"), "{message}");
    assert!(refusal("mode: THIRD").2.contains("FIRST, SECOND_ONE"));
    assert!(refusal("weight: 4294967296").2.contains("not in the range"));
    assert!(refusal("inner: {a: b}").2.contains("wants a list"));
}

#[test]
fn every_unknown_field_is_told() {
    let (value, remarks) = read("hostname: a\ninner:\n- {wight: 1}\n");
    assert!(value.is_some());
    let told: Vec<_> = remarks.errors.iter().map(|error| (error.path.as_str(), error.line)).collect();
    assert_eq!(told, [("spec.hostname", 1), ("spec.inner[0].wight", 3)]);
    assert!(remarks.errors[0].message.ends_with("did you mean `hostName`?"));
}

#[test]
fn a_field_that_is_not_acted_on_is_checked_and_warned_of() {
    let (value, remarks) = read("later: [a]\n");
    assert_eq!(value.unwrap().later.unwrap().0, ["a"]);
    assert_eq!(remarks.warnings[0].path, "spec.later");
    assert_eq!(refusal("later: {a: b}").0, "spec.later");
}
