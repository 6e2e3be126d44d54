//! Why a resource is refused, with the path to the field.

use crate::wire;
use crate::xds::name::canonical;
use mesh_proto::google::protobuf;
use std::fmt;
use std::time::Duration;

/// Why a resource is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    path: String,
    reason: String,
}

/// A checked value, or why it is refused.
pub(super) type Checked<T> = Result<T, Invalid>;

impl Invalid {
    /// Refuses the field at hand.
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into() }
    }

    fn within(mut self, field: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.path = format!("{field}{dot}{}", self.path);
        self
    }
}

/// Adds the way to a field to the error that was found in it.
pub(super) trait At {
    /// The error was found in the field `name`.
    fn at(self, name: &str) -> Self;
    /// The error was found in the item `index` of the list `name`.
    fn at_index(self, name: &str, index: usize) -> Self;
}

impl<T> At for Checked<T> {
    fn at(self, name: &str) -> Self {
        self.map_err(|invalid| invalid.within(name))
    }

    fn at_index(self, name: &str, index: usize) -> Self {
        self.map_err(|invalid| invalid.within(&format!("{name}[{index}]")))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}

/// A resource has the name that it came by. Who reads a field that is there twice may take either.
pub(super) fn check_name(found: &str, name: &str) -> Checked<()> {
    if found == name || canonical(found) == name { Ok(()) } else { Err(Invalid::new("is given twice")) }
}

/// The longest duration there is: 10,000 years (google/protobuf/duration.proto).
const LONGEST: Duration = Duration::from_secs(315_576_000_000);

/// A duration that is there, valid and not negative.
pub(super) fn duration(proto: Option<&protobuf::Duration>) -> Checked<Option<Duration>> {
    let Some(proto) = proto else { return Ok(None) };
    let not_valid = || Invalid::new(format!("{}s {}ns is not a valid duration", proto.seconds, proto.nanos));
    wire::duration(proto).filter(|duration| *duration <= LONGEST).map(Some).ok_or_else(not_valid)
}

/// Refuses bytes that are no message.
pub(super) fn undecodable(why: impl fmt::Display) -> Invalid {
    Invalid::new(format!("cannot be decoded: {why}"))
}

/// A message packed into an `Any`, whose type URL was looked at already.
pub(super) fn unpack<M: prost::Message + Default>(value: &[u8]) -> Checked<M> {
    M::decode(value).map_err(undecodable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_leads_to_the_field() {
        let checked: Checked<()> = Err(Invalid::new("must not be empty"));
        let checked = checked.at("name").at_index("headers", 2).at("match").at_index("routes", 0);
        assert_eq!(checked.unwrap_err().to_string(), "routes[0].match.headers[2].name: must not be empty");
    }

    #[test]
    fn a_wrong_duration_is_told() {
        let read = |seconds, nanos| duration(Some(&protobuf::Duration { seconds, nanos }));
        assert_eq!(duration(None), Ok(None));
        assert_eq!(read(315_576_000_000, 0), Ok(Some(LONGEST)));
        assert_eq!(read(-1, 2).unwrap_err().to_string(), "-1s 2ns is not a valid duration");
        assert!(read(315_576_000_001, 0).is_err() && read(i64::MAX, 0).is_err());
    }
}
