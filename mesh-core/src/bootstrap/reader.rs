//! Reads JSON field by field and knows at any time where it is, so that every complaint leads to its field.

use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is learnt on the way.
#[derive(Debug, Default)]
pub(super) struct Notes {
    unknown: RefCell<Vec<String>>,
    #[cfg(test)]
    pub(super) asked: RefCell<BTreeSet<String>>,
}

/// A JSON object, and where it stands.
#[derive(Debug)]
pub(super) struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
    known: BTreeSet<&'a str>,
    notes: &'a Notes,
}

/// A JSON value, and where it stands.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) path: String,
    pub(super) value: &'a Value,
    notes: &'a Notes,
}

impl Notes {
    /// The document as a whole.
    pub(super) fn root<'a>(&'a self, value: &'a Value) -> Item<'a> {
        Item { path: String::new(), value, notes: self }
    }

    /// The paths of the fields that nobody asked for.
    pub(super) fn into_unknown(self) -> Vec<String> {
        self.unknown.into_inner()
    }
}

impl<'a> Item<'a> {
    pub(super) fn object(self) -> Result<Object<'a>, String> {
        match self.value {
            Value::Object(fields) => {
                Ok(Object { path: self.path, fields, known: BTreeSet::new(), notes: self.notes })
            }
            other => Err(wrong(&self.path, "an object", other)),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, String> {
        self.value.as_str().ok_or_else(|| wrong(&self.path, "a string", self.value))
    }
}

impl<'a> Object<'a> {
    /// The path of a field.
    pub(super) fn path(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// The complaint `why` about a field, which is called as it is written.
    pub(super) fn complain(&self, field: &str, why: impl std::fmt::Display) -> String {
        format!("{}: {why}", self.path(self.key(field).unwrap_or(field)))
    }

    /// How a field is written, if it is there.
    fn key(&self, field: &str) -> Option<&'a str> {
        let suffixed = || self.fields.keys().find(|key| key.strip_suffix(EXPERIMENTAL) == Some(field));
        let exact = self.fields.get_key_value(field).map(|(key, _)| key);
        exact.or_else(suffixed).map(String::as_str)
    }

    /// A field; `null` is as good as none. What gRPC still calls experimental may be written with the suffix for that.
    pub(super) fn get(&mut self, field: &'static str) -> Option<Item<'a>> {
        #[cfg(test)]
        self.notes.asked.borrow_mut().insert(field.to_owned());
        let key = self.key(field)?;
        let value = self.fields.get(key)?;
        self.known.insert(key);
        let path = self.path(key);
        (!value.is_null()).then_some(Item { path, value, notes: self.notes })
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<Option<&'a str>, String> {
        self.get(field).map(Item::text).transpose()
    }

    pub(super) fn required_text(&mut self, field: &'static str) -> Result<&'a str, String> {
        self.text(field)?.ok_or_else(|| self.complain(field, "missing"))
    }

    /// A text, empty if it is not there.
    pub(super) fn text_or_empty(&mut self, field: &'static str) -> Result<String, String> {
        Ok(self.text(field)?.unwrap_or_default().to_owned())
    }

    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, String> {
        let Some(item) = self.get(field) else { return Ok(false) };
        item.value.as_bool().ok_or_else(|| wrong(&item.path, "true or false", item.value))
    }

    pub(super) fn count(&mut self, field: &'static str) -> Result<Option<u64>, String> {
        let Some(item) = self.get(field) else { return Ok(None) };
        item.value.as_u64().map(Some).ok_or_else(|| wrong(&item.path, "a number from 0", item.value))
    }

    /// A duration as protobuf's JSON has it: `"1.5s"`.
    pub(super) fn duration(&mut self, field: &'static str) -> Result<Option<Duration>, String> {
        let Some(item) = self.get(field) else { return Ok(None) };
        let seconds = item.value.as_str().and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok());
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.map(Some).ok_or_else(|| wrong(&item.path, "a duration such as \"600s\"", item.value))
    }

    pub(super) fn object(&mut self, field: &'static str) -> Result<Option<Object<'a>>, String> {
        self.get(field).map(Item::object).transpose()
    }

    /// The elements of a list, none if it is not there.
    pub(super) fn list(&mut self, field: &'static str) -> Result<Vec<Item<'a>>, String> {
        let Some(list) = self.get(field) else { return Ok(Vec::new()) };
        let Value::Array(elements) = list.value else { return Err(wrong(&list.path, "a list", list.value)) };
        let element =
            |(index, value)| Item { path: format!("{}[{index}]", list.path), value, notes: self.notes };
        Ok(elements.iter().enumerate().map(element).collect())
    }

    /// The fields of an object whose keys are names that users choose, none if it is not there.
    pub(super) fn named(&mut self, field: &'static str) -> Result<Vec<(&'a str, Item<'a>)>, String> {
        let Some(object) = self.object(field)? else { return Ok(Vec::new()) };
        let entry = |(name, value): (&'a String, &'a Value)| {
            (name.as_str(), Item { path: object.path(name), value, notes: object.notes })
        };
        Ok(object.fields.iter().map(entry).collect())
    }

    /// An object that is taken as it is, empty if it is not there.
    pub(super) fn any(&mut self, field: &'static str) -> Result<Map<String, Value>, String> {
        Ok(self.object(field)?.map(|object| object.fields.clone()).unwrap_or_default())
    }

    /// Nothing more is asked for: whatever is left is unknown.
    pub(super) fn done(self) {
        let left = self.fields.keys().filter(|key| !self.known.contains(key.as_str()));
        self.notes.unknown.borrow_mut().extend(left.map(|key| self.path(key)));
    }
}

/// The suffix of what gRPC has not made stable yet.
const EXPERIMENTAL: &str = "_EXPERIMENTAL";

/// The name of a feature without the suffix of what is not stable yet.
pub(super) fn stable_name(name: &str) -> &str {
    name.strip_suffix(EXPERIMENTAL).unwrap_or(name)
}

fn wrong(path: &str, wanted: &str, got: &Value) -> String {
    let at = if path.is_empty() { "the document" } else { path };
    let got = match got {
        Value::Null => "null".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.len() > 40 => "a long string".to_owned(),
        simple => simple.to_string(),
    };
    format!("{at}: {wanted} is needed, not {got}")
}
