//! Which control planes answer for which names (gRFC A47).

use super::disk_format::checksum;
use super::features::{CONFIGURATION_TIMEOUT, TRANSIENT_CONFIGURATION_TIMEOUT};
use super::in_process::ControlPlane;
use super::kind::ResourceKind;
use super::link::Source;
use super::name::{FederatedName, is_federated};
use super::outages::Outages;
use crate::bootstrap::{Bootstrap, Node, Server};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Control planes that answer for the same names, best first.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The control planes, best first. Never empty.
    pub sources: Vec<Source>,
    /// Whether to move on to the next one even if everything needed is known (gRFC A95).
    pub eager: bool,
}

/// Which control planes answer for which names. Authorities with the same servers share them.
#[derive(Clone, Debug)]
pub struct Directory {
    groups: Vec<Servers>,
    authorities: BTreeMap<String, usize>,
    /// Whether the first group answers for every other authority as well.
    everyone: bool,
}

/// Why nobody answers for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misnamed {
    /// It is not written as such names are.
    Malformed,
    /// It is of another type.
    OtherKind,
    /// Nobody is known by its authority.
    UnknownAuthority,
}

/// The group that answers for names without an authority.
const DEFAULT: usize = 0;

impl Directory {
    /// What a bootstrap says.
    #[must_use]
    pub fn new(bootstrap: &Bootstrap) -> Self {
        let mut known: Vec<(&[Server], bool)> = vec![(&bootstrap.servers, false)];
        let mut authorities = BTreeMap::new();
        for (name, authority) in &bootstrap.authorities {
            let servers = if authority.servers.is_empty() { &bootstrap.servers } else { &authority.servers };
            let group = (servers.as_slice(), authority.fallback_on_reachability_only);
            // With one server there is nothing to move on to.
            let same =
                |other: &(&[Server], bool)| *other == group || (other.0 == group.0 && servers.len() == 1);
            let index = known.iter().position(same).unwrap_or_else(|| {
                known.push(group);
                known.len() - 1
            });
            authorities.insert(name.clone(), index);
        }
        let servers = |(servers, eager): (&[Server], bool)| Servers {
            sources: servers.iter().cloned().map(Source::Server).collect(),
            eager,
        };
        Self { groups: known.into_iter().map(servers).collect(), authorities, everyone: false }
    }

    /// One control plane in this process answers for every name, whatever its authority.
    #[must_use]
    pub fn in_process(control_plane: Arc<dyn ControlPlane>) -> Self {
        let servers = Servers { sources: vec![Source::InProcess(control_plane)], eager: false };
        Self { groups: vec![servers], authorities: BTreeMap::new(), everyone: true }
    }

    /// The control planes.
    #[must_use]
    pub fn groups(&self) -> &[Servers] {
        &self.groups
    }

    /// How long a call waits for configuration: a little longer than the slowest control plane is waited for.
    #[must_use]
    pub fn configuration_timeout(&self) -> Duration {
        let slow = |source: &Source| matches!(source, Source::Server(server) if server.features.resource_timer_is_transient_error);
        match self.groups.iter().flat_map(|group| &group.sources).any(slow) {
            true => TRANSIENT_CONFIGURATION_TIMEOUT,
            false => CONFIGURATION_TIMEOUT,
        }
    }

    /// What tells these answers from others, for what is kept longer than a process lives: who asks, whom, and how. The same
    /// control plane tells one process other things than another one, and other things to sidecars.
    #[must_use]
    pub fn fingerprint(&self, node: &Node) -> String {
        let server = |source: &Source| match source {
            Source::Server(server) => format!("{source}[{}]", server.features.names().join(",")),
            Source::InProcess(_) => source.to_string(),
        };
        let servers = |group: &Servers| group.sources.iter().map(server).collect::<Vec<_>>().join(",");
        let groups: Vec<_> = self.groups.iter().map(servers).collect();
        let authorities: Vec<_> =
            self.authorities.iter().map(|(name, group)| format!("{name}={group}")).collect();
        let Node { id, cluster, metadata, locality } = node;
        // There may be much of it, and not everybody is to read it in a log.
        let metadata: BTreeMap<_, _> =
            metadata.iter().map(|(name, value)| (name, value.to_string())).collect();
        let metadata = checksum(format!("{metadata:?}").as_bytes());
        format!(
            "{}; {}; node {id:?}, cluster {cluster:?}, region {:?}, zone {:?}, sub-zone {:?}, metadata {metadata:016x}",
            groups.join(" "),
            authorities.join(" "),
            locality.region,
            locality.zone,
            locality.sub_zone,
        )
    }

    /// The authorities that a group answers for, in order.
    pub(super) fn authorities(&self, group: usize) -> impl Iterator<Item = &str> {
        self.authorities.iter().filter(move |(_, index)| **index == group).map(|(name, _)| name.as_str())
    }

    /// What cannot be asked for, given why each group cannot be reached that cannot.
    pub(super) fn outages<'a>(&self, errors: impl Iterator<Item = Option<&'a Arc<str>>>) -> Outages {
        let mut outages = Outages::default();
        for (group, reason) in errors.enumerate() {
            let Some(reason) = reason else { continue };
            if group == DEFAULT {
                outages.add_plain(reason, self.everyone);
            }
            self.authorities(group).for_each(|authority| outages.add(authority, reason));
        }
        outages
    }

    /// The group that answers for a name.
    pub(super) fn find<K: ResourceKind>(&self, kind: K, name: &str) -> Result<usize, Misnamed> {
        if !is_federated(name) {
            return Ok(DEFAULT);
        }
        let name = FederatedName::parse(name).ok_or(Misnamed::Malformed)?;
        if kind.type_name() != name.kind {
            return Err(Misnamed::OtherKind);
        }
        let others = self.everyone.then_some(DEFAULT);
        self.authorities.get(name.authority).copied().or(others).ok_or(Misnamed::UnknownAuthority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn fingerprint(server: &str, node: &str, authorities: &str) -> String {
        let json = format!(
            r#"{{"xds_servers": [{{"channel_creds": [{{"type": "insecure"}}], {server}}}], "node": {{{node}}},
                "authorities": {{{authorities}}}}}"#
        );
        let bootstrap = Bootstrap::from_json(&json).unwrap();
        Directory::new(&bootstrap).fingerprint(&bootstrap.node)
    }

    #[test]
    fn whoever_asks_otherwise_is_somebody_else() {
        let server = |features: &str| format!(r#""server_uri": "h:1", "server_features": [{features}]"#);
        let node =
            |more: &str| format!(r#""id": "a", {more}"metadata": {{"NAMESPACE": "x", "M": {{"k": 1}}}}"#);
        let (plain, me) = (server(""), node(""));
        let alike = [
            fingerprint(&plain, &me, ""),
            fingerprint(&server(r#""xds_v3", "whatever""#), &me, ""),
            fingerprint(&plain, r#""metadata": {"M": {"k": 1}, "NAMESPACE": "x"}, "id": "a""#, ""),
        ];
        assert!(alike.iter().all(|it| *it == alike[0]), "{alike:#?}");
        let features = [
            "mesh.sidecar",
            "mesh.delta",
            "ignore_resource_deletion",
            "fail_on_data_errors",
            "resource_timer_is_transient_error",
            "trusted_xds_server",
        ];
        let mut all: Vec<_> =
            features.iter().map(|feature| fingerprint(&server(&format!("{feature:?}")), &me, "")).collect();
        all.extend([
            alike[0].clone(),
            fingerprint(r#""server_uri": "h:2""#, &me, ""),
            fingerprint(&plain, &me, r#""auth": {}"#),
            fingerprint(&plain, r#""id": "b", "metadata": {"NAMESPACE": "x", "M": {"k": 1}}"#, ""),
            fingerprint(&plain, &node(r#""cluster": "c", "#), ""),
            fingerprint(&plain, &node(r#""locality": {"region": "r"}, "#), ""),
            fingerprint(&plain, &node(r#""locality": {"zone": "r"}, "#), ""),
            fingerprint(&plain, &node(r#""locality": {"sub_zone": "r"}, "#), ""),
            fingerprint(&plain, r#""id": "a", "metadata": {"NAMESPACE": "y", "M": {"k": 1}}"#, ""),
            fingerprint(&plain, r#""id": "a", "metadata": {"NAMESPACE": "x", "M": {"k": 2}}"#, ""),
        ]);
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:#?}");
    }
}
