//! What istiod refuses although the types are right.

mod destination_rule;
mod http_match;
mod http_route;
mod names;
mod reach;
mod service_entry;
mod traffic_policy;
mod virtual_service;
mod workload_entry;

pub(super) use self::destination_rule::destination_rule;
pub(super) use self::http_route::retries;
pub(super) use self::service_entry::service_entry;
pub(super) use self::virtual_service::virtual_service;
pub(super) use self::workload_entry::workload_entry;

use super::decode::{Remark, Remarks};
use super::values::{Duration, Labels};
use super::yaml::Node;
use std::fmt::Display;

/// Collects what is wrong, with the path of the field that is looked at.
#[derive(Debug, Default)]
pub(super) struct Check {
    path: String,
    errors: Vec<(String, String)>,
    warnings: Vec<(String, String)>,
}

impl Check {
    /// Looks at a field.
    pub(super) fn within(&mut self, field: impl Display, look: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        self.path = self.join(field);
        look(self);
        self.path.truncate(before);
    }

    /// Looks at a field if it is given.
    fn given<T>(&mut self, field: &str, value: Option<&T>, look: impl FnOnce(&T, &mut Self)) {
        if let Some(value) = value {
            self.within(field, |check| look(value, check));
        }
    }

    /// Looks at each item of a list.
    fn each<'a, T: 'a>(
        &mut self,
        field: &str,
        items: impl IntoIterator<Item = &'a T>,
        mut look: impl FnMut(&T, &mut Self),
    ) {
        for (index, item) in items.into_iter().enumerate() {
            self.within(format!("{field}[{index}]"), |check| look(item, check));
        }
    }

    fn join(&self, field: impl Display) -> String {
        if self.path.is_empty() { field.to_string() } else { format!("{}.{field}", self.path) }
    }

    fn error(&mut self, field: &str, message: impl Into<String>) {
        let path = if field.is_empty() { self.path.clone() } else { self.join(field) };
        self.errors.push((path, message.into()));
    }

    fn warn(&mut self, field: &str, message: impl Into<String>) {
        let path = if field.is_empty() { self.path.clone() } else { self.join(field) };
        self.warnings.push((path, message.into()));
    }

    /// Notes an error unless all is well.
    fn must(&mut self, field: &str, result: Result<(), String>) {
        if let Err(message) = result {
            self.error(field, message);
        }
    }

    /// A duration that must be whole milliseconds, one at least.
    fn duration(&mut self, field: &str, duration: Option<Duration>) {
        let Some(duration) = duration else { return };
        if duration.as_millis() < 1 {
            self.error(field, "must be 1ms at least");
        } else if duration.as_nanos() % 1_000_000 != 0 {
            self.error(field, "must be whole milliseconds");
        }
    }

    fn port(&mut self, field: &str, port: u32) {
        if !(1..=65535).contains(&port) {
            self.error(field, format!("the port {port} is not in the range 1 to 65535"));
        }
    }

    fn labels(&mut self, field: &str, labels: &Labels) {
        for (key, value) in labels {
            self.must(field, names::label_key(key));
            self.must(field, names::label_value(value));
        }
    }

    /// A selector: wildcards are for other systems.
    fn selector(&mut self, field: &str, labels: &Labels) {
        for (key, value) in labels {
            if key.is_empty() || key.contains('*') || value.contains('*') {
                self.error(
                    field,
                    format!(
                        "`{key}={value}`: keys must not be empty, and wildcards have no meaning in a selector"
                    ),
                );
            }
        }
        if labels.is_empty() {
            self.warn(field, "selects without labels, and so everything in the namespace");
        }
    }

    /// Who may see an object. Only a service can be hidden from everyone.
    fn export_to(&mut self, export_to: &[String], own: &str, service: bool) {
        let same = |name: &str| if name == "." { own.to_owned() } else { name.to_owned() };
        for (index, name) in export_to.iter().enumerate() {
            let field = format!("exportTo[{index}]");
            match name.as_str() {
                "*" | "." => {}
                "~" if service => {}
                "~" => self.error(&field, "`~` is for services only"),
                name => self.must(&field, names::label("namespace", name)),
            }
            if export_to[..index].iter().any(|other| same(other) == same(name)) {
                self.error(&field, format!("{name:?} is given twice"));
            }
        }
        let alone = |wildcard: &str| export_to.iter().any(|name| name == wildcard) && export_to.len() > 1;
        if alone("*") {
            self.error("exportTo", "`*` stands for everyone and must stand alone");
        }
        if alone("~") {
            self.error("exportTo", "`~` stands for nobody and must stand alone");
        }
    }

    /// Gives each finding the line of its field.
    pub(super) fn into_remarks(self, node: &Node, remarks: &mut Remarks) {
        let place = |(path, message): (String, String)| {
            let line = node.locate(&path).line;
            Remark { path, line, message }
        };
        remarks.errors.extend(self.errors.into_iter().map(place));
        remarks.warnings.extend(self.warnings.into_iter().map(place));
    }
}

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod tests;

#[cfg(test)]
mod table_tests;
