//! Files to a configuration.

use super::check::{self, Check};
use super::decode::{self, Remark, Remarks, Unknown};
use super::destination_rule::DestinationRule;
use super::kinds::{self, Known};
use super::meta::{Envelope, Meta, Object, RawMeta};
use super::report::Problems;
use super::service_entry::ServiceEntry;
use super::virtual_service::VirtualService;
use super::workload_entry::WorkloadEntry;
use super::yaml::{self, Node, Value};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::sync::Arc;

/// All objects of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Services.
    pub service_entries: Vec<Arc<Object<ServiceEntry>>>,
    /// Endpoints on their own.
    pub workload_entries: Vec<Arc<Object<WorkloadEntry>>>,
    /// Rules for requests.
    pub virtual_services: Vec<Arc<Object<VirtualService>>>,
    /// Rules for calls.
    pub destination_rules: Vec<Arc<Object<DestinationRule>>>,
}

impl Config {
    /// How many objects there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.service_entries.len()
            + self.workload_entries.len()
            + self.virtual_services.len()
            + self.destination_rules.len()
    }

    /// Reads the documents of all files, each given as its name and its text. With errors, the configuration lacks the objects that have them.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Problems) {
        let mut load = Load::default();
        for (name, text) in files {
            load.file(name, text);
        }
        (load.config, load.problems)
    }
}

#[derive(Default)]
struct Load {
    config: Config,
    problems: Problems,
    /// Where each object stands.
    seen: HashMap<(&'static str, String, String), Arc<str>>,
}

impl Load {
    fn file(&mut self, file: &str, text: &str) {
        match yaml::parse(text) {
            Ok(documents) => documents.iter().for_each(|document| self.document(file, document)),
            Err(error) => self.problems.errors.push(format!("{file}:{}: {}", error.line, error.message)),
        }
    }

    fn document(&mut self, file: &str, node: &Node) {
        let kind = text_at(node, "kind");
        if kind == "List" || (kind.ends_with("List") && matches!(node.locate("items").value, Value::List(_)))
        {
            match &node.locate("items").value {
                Value::List(items) => items.iter().for_each(|item| self.document(file, item)),
                _ => self.error(file, node, &format!("{kind}: items: wants a list of objects")),
            }
            return;
        }
        let mut remarks = Remarks::default();
        let envelope =
            decode::decode::<Envelope>(node, "", Unknown::RefuseExcept(Envelope::OTHERS), &mut remarks);
        let Some(envelope) = envelope else { return self.tell(file, kind, remarks) };
        if kind.is_empty() {
            return self.error(file, node, "kind: required; name the kind of the object");
        }
        let known = match kinds::find(&envelope.api_version, &envelope.kind) {
            Ok(known) => known,
            Err(message) => return self.error(file, node, &message),
        };
        if let Known::Foreign(message) = known {
            return self.problems.warnings.push(format!("{file}:{}: {message}", node.line));
        }
        let Some(metadata) = metadata(node, &mut remarks) else { return self.tell(file, kind, remarks) };
        let namespace = if metadata.namespace.is_empty() { "default".to_owned() } else { metadata.namespace };
        let who = format!("{kind} {namespace}/{}", metadata.name);
        if known == Known::Ignored {
            self.problems
                .warnings
                .push(format!("{file}:{}: {who}: this kind is known, but not acted on yet", node.line));
            return;
        }
        if metadata.name.is_empty() {
            let message = "required".to_owned();
            remarks.errors.push(Remark {
                path: "metadata.name".into(),
                line: node.locate("metadata").line,
                message,
            });
        }
        let place: Arc<str> = format!("{file}:{}", node.line).into();
        let meta = Meta {
            name: metadata.name,
            namespace,
            labels: metadata.labels,
            annotations: metadata.annotations,
            created: metadata.creation_timestamp,
        };
        let key = (known.name(), meta.namespace.clone(), meta.name.clone());
        if let Some(first) = self.seen.get(&key) {
            let message = format!("the same name is already taken at {first}");
            remarks.errors.push(Remark {
                path: "metadata.name".into(),
                line: node.locate("metadata.name").line,
                message,
            });
        } else {
            self.seen.insert(key, place.clone());
        }
        let config = &mut self.config;
        match known {
            Known::ServiceEntry => {
                add(&mut config.service_entries, node, meta, place, check::service_entry, &mut remarks);
            }
            Known::WorkloadEntry => {
                add(&mut config.workload_entries, node, meta, place, check::workload_entry, &mut remarks);
            }
            Known::VirtualService => {
                add(&mut config.virtual_services, node, meta, place, check::virtual_service, &mut remarks);
            }
            Known::DestinationRule => {
                add(&mut config.destination_rules, node, meta, place, check::destination_rule, &mut remarks);
            }
            Known::Ignored | Known::Foreign(_) => {}
        }
        self.tell(file, &who, remarks);
    }

    fn error(&mut self, file: &str, node: &Node, message: &str) {
        self.problems.errors.push(format!("{file}:{}: {message}", node.line));
    }

    fn tell(&mut self, file: &str, who: &str, remarks: Remarks) {
        let who = if who.is_empty() { String::new() } else { format!("{who}: ") };
        let told = |it: Remark| {
            let path = if it.path.is_empty() { String::new() } else { format!("{}: ", it.path) };
            format!("{file}:{}: {who}{path}{}", it.line, it.message)
        };
        self.problems.errors.extend(remarks.errors.into_iter().map(told));
        self.problems.warnings.extend(remarks.warnings.into_iter().map(told));
    }
}

/// Reads and checks one spec.
fn add<T: DeserializeOwned + Default>(
    list: &mut Vec<Arc<Object<T>>>,
    node: &Node,
    meta: Meta,
    place: Arc<str>,
    check: fn(&T, &Meta, &mut Check),
    remarks: &mut Remarks,
) {
    let spec = match node.field("spec") {
        Some(spec) => decode::decode::<T>(spec, "spec", Unknown::Refuse, remarks),
        None => Some(T::default()),
    };
    let Some(spec) = spec else { return };
    let mut found = Check::default();
    found.within("spec", |found| check(&spec, &meta, found));
    found.into_remarks(node, remarks);
    list.push(Arc::new(Object { meta, spec, place }));
}

fn metadata(node: &Node, remarks: &mut Remarks) -> Option<RawMeta> {
    let Some(metadata) = node.field("metadata") else { return Some(RawMeta::default()) };
    decode::decode(metadata, "metadata", Unknown::RefuseExcept(RawMeta::OTHERS), remarks)
}

fn text_at<'a>(node: &'a Node, key: &str) -> &'a str {
    match node.field(key).map(|node| &node.value) {
        Some(Value::Scalar { text, .. }) => text,
        _ => "",
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
