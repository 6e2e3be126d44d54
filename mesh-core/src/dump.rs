//! What the control plane sent and nothing is done with: nothing is lost in silence.

use crate::resource::fields::{Use, scan};
use crate::snapshot::report::{Report, ResourceReport};
use serde_json::{Value, json};
use std::fmt;

/// Every resource that is subscribed to, and which of its fields have no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// The resources.
    pub resources: Vec<ResourceDump>,
}

/// A resource, and which of its fields have no effect. A path has no numbers: the items of a list share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceDump {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// `present`, `pending`, or why there is none.
    pub status: String,
    /// The version in force.
    pub version: Option<String>,
    /// Why the newest version was refused: `field path: reason`.
    pub rejection: Option<String>,
    /// What the control plane says is wrong with it; a version in force stays so all the same.
    pub error: Option<String>,
    /// Fields that are checked and kept, but not acted on yet.
    pub kept: Vec<String>,
    /// Fields that are neither checked nor kept.
    pub reported: Vec<String>,
    /// Fields and extensions that are not known.
    pub unknown: Vec<String>,
}

impl Dump {
    /// What there is to say of the resources of a report.
    #[must_use]
    pub fn new(report: &Report) -> Self {
        Self { resources: report.resources.iter().map(ResourceDump::new).collect() }
    }

    /// As JSON: a list of resources.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.resources.iter().map(ResourceDump::to_json).collect()
    }
}

impl ResourceDump {
    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "kind": self.kind,
            "name": self.name,
            "status": self.status,
            "version": self.version,
            "rejection": self.rejection,
            "error": self.error,
            "kept": self.kept,
            "reported": self.reported,
            "unknown": self.unknown,
        })
    }

    fn new(report: &ResourceReport) -> Self {
        let mut dump = Self {
            kind: report.kind.as_str(),
            name: report.name.to_string(),
            status: report.status.to_owned(),
            version: report.version.as_ref().map(ToString::to_string),
            rejection: report.rejection.as_ref().map(|rejection| rejection.reason.clone()),
            error: report.error.clone(),
            ..Self::default()
        };
        for (path, how) in report.bytes.iter().flat_map(|bytes| scan(report.kind, bytes)) {
            match how {
                Use::Kept => dump.kept.push(path),
                Use::Reported => dump.reported.push(path),
                Use::Unknown => dump.unknown.push(path),
                Use::Acted | Use::Ignored | Use::Refused => {}
            }
        }
        dump
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.resources.iter().try_for_each(|resource| resource.fmt(f))
    }
}

impl fmt::Display for ResourceDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.kind, self.name, self.status)?;
        if let Some(version) = &self.version {
            write!(f, ", version {version}")?;
        }
        writeln!(f)?;
        if let Some(rejection) = &self.rejection {
            writeln!(f, "  the newest version was refused: {rejection}")?;
        }
        if let Some(error) = &self.error {
            writeln!(f, "  the control plane reports: {error}")?;
        }
        for (title, paths) in [
            ("kept, but not acted on yet", &self.kept),
            ("without effect", &self.reported),
            ("not known", &self.unknown),
        ] {
            if !paths.is_empty() {
                writeln!(f, "  {title}:")?;
                paths.iter().try_for_each(|path| writeln!(f, "    {path}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;
    use crate::xds::cache::Status;
    use mesh_proto::envoy::config::cluster::v3::{Cluster, OutlierDetection};
    use prost::Message;

    #[test]
    fn nothing_is_lost_in_silence() {
        let cluster = Cluster {
            name: "a".to_owned(),
            outlier_detection: Some(OutlierDetection::default()),
            health_checks: vec![Default::default()],
            ..Default::default()
        };
        let mut bytes = cluster.encode_to_vec();
        // A field that nobody knows, number 2000.
        bytes.extend([0x82, 0x7d, 1, b'?']);
        let dump = ResourceDump::new(&ResourceReport {
            kind: Kind::Cluster,
            name: "a".into(),
            status: "present",
            version: Some("7".into()),
            bytes: Some(bytes.into()),
            rejection: None,
            client_status: Status::Acked,
            updated: None,
            refused_at: None,
            error: Some("gRPC status 7: not for you".to_owned()),
            reported_at: None,
        });
        let expected = "Cluster a: present, version 7\n  the control plane reports: gRPC status 7: not for you\n  kept, but not acted on yet:\n    outlier_detection\n  \
                        without effect:\n    health_checks\n  not known:\n    #2000\n";
        assert_eq!(dump.to_string(), expected);
        assert_eq!(dump.to_json()["kept"], json!(["outlier_detection"]));
        assert_eq!(dump.to_json()["error"], "gRPC status 7: not for you");
    }
}
