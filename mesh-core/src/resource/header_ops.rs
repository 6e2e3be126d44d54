//! What a route adds to headers and takes from them.

use super::invalid::{At, Checked, Invalid};
use http::{HeaderName, HeaderValue};
use mesh_proto::envoy::config::core::v3::{HeaderValueOption, header_value_option::HeaderAppendAction};

/// What to change in the headers of requests and of responses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderOps {
    /// In those of requests.
    pub request: HeaderEdits,
    /// In those of responses.
    pub response: HeaderEdits,
}

/// What to change in headers: first removals, then additions (Envoy's order).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderEdits {
    /// The headers to take away.
    pub remove: Vec<HeaderName>,
    /// The headers to add or to overwrite.
    pub add: Vec<HeaderAddition>,
}

/// A header to add or to overwrite.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderAddition {
    /// Its name.
    pub name: HeaderName,
    /// Its value, where a `%…%` stands for something of the request; `%%` is a percent sign.
    pub value: HeaderValue,
    /// What to do if it is there already.
    pub action: AppendAction,
    /// Whether it is added even if its value turns out empty.
    pub keep_empty: bool,
}

/// What to do with a header that is there already, or is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppendAction {
    /// Add another value.
    #[default]
    Append,
    /// Leave it; add it only if it is not there.
    AddIfAbsent,
    /// Overwrite it, or add it.
    Overwrite,
    /// Overwrite it, but do not add it.
    OverwriteIfPresent,
}

/// Reads the four fields that every level of a route configuration has, each in a message of its own.
macro_rules! header_ops {
    ($proto:expr) => {
        $crate::resource::header_ops::HeaderOps::from_fields(
            &$proto.request_headers_to_add,
            &$proto.request_headers_to_remove,
            &$proto.response_headers_to_add,
            &$proto.response_headers_to_remove,
        )
    };
}
pub(super) use header_ops;

impl HeaderOps {
    pub(super) fn from_fields(
        request_add: &[HeaderValueOption],
        request_remove: &[String],
        response_add: &[HeaderValueOption],
        response_remove: &[String],
    ) -> Checked<Self> {
        let edits = |add: &[HeaderValueOption], remove: &[String], [to_add, to_remove]: [&str; 2]| {
            let add = add.iter().enumerate();
            let remove = remove.iter().enumerate();
            Ok(HeaderEdits {
                remove: remove
                    .map(|(index, name)| header_name(name).at_index(to_remove, index))
                    .collect::<Checked<_>>()?,
                add: add
                    .map(|(index, add)| HeaderAddition::from_proto(add).at_index(to_add, index))
                    .collect::<Checked<_>>()?,
            })
        };
        Ok(Self {
            request: edits(
                request_add,
                request_remove,
                ["request_headers_to_add", "request_headers_to_remove"],
            )?,
            response: edits(
                response_add,
                response_remove,
                ["response_headers_to_add", "response_headers_to_remove"],
            )?,
        })
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }
}

impl HeaderEdits {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }
}

impl HeaderAddition {
    #[expect(deprecated, reason = "istiod still sends `append`")]
    fn from_proto(proto: &HeaderValueOption) -> Checked<Self> {
        let header = proto.header.as_ref().ok_or_else(|| Invalid::new("is missing")).at("header")?;
        let name = header_name(&header.key).at("key").at("header")?;
        let (field, bytes) = match header.value.as_bytes() {
            [] if !header.raw_value.is_empty() => ("raw_value", header.raw_value.as_slice()),
            bytes => ("value", bytes),
        };
        let value = HeaderValue::from_bytes(bytes).map_err(|_| Invalid::new("no header may have this value"));
        let action = match (proto.append.as_ref(), HeaderAppendAction::try_from(proto.append_action)) {
            (Some(append), _) if !append.value => AppendAction::Overwrite,
            (_, Ok(HeaderAppendAction::AppendIfExistsOrAdd)) => AppendAction::Append,
            (_, Ok(HeaderAppendAction::AddIfAbsent)) => AppendAction::AddIfAbsent,
            (_, Ok(HeaderAppendAction::OverwriteIfExistsOrAdd)) => AppendAction::Overwrite,
            (_, Ok(HeaderAppendAction::OverwriteIfExists)) => AppendAction::OverwriteIfPresent,
            (_, Err(_)) => {
                return Err(Invalid::new(format!("{} is unknown", proto.append_action))).at("append_action");
            }
        };
        let value = value.at(field).at("header")?;
        Ok(Self { name, value, action, keep_empty: proto.keep_empty_value })
    }
}

/// The name of a header that a route may change. Pseudo-headers and `host` have fields of their own.
pub(super) fn header_name(name: &str) -> Checked<HeaderName> {
    if name.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(name) if name == http::header::HOST => Err(Invalid::new("host is changed by host_rewrite fields")),
        Ok(name) => Ok(name),
        Err(_) => Err(Invalid::new(format!("{name:?} is no name of a header that may be changed"))),
    }
}
