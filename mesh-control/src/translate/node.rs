//! Who asks, as istiod reads a node.

use crate::index::CLUSTER_DOMAIN;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::google::protobuf::{Struct, value::Kind as Value};
use std::collections::BTreeMap;
use std::net::IpAddr;

const DEFAULT_NAMESPACE: &str = "default";

/// Where something runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Locality {
    /// The region.
    pub region: String,
    /// The zone within the region.
    pub zone: String,
    /// A part of the zone.
    pub subzone: String,
}

impl Locality {
    /// Reads `region/zone/subzone`, whose later parts may be absent. What follows these is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Self { region: next(), zone: next(), subzone: next() }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.subzone.is_empty()
    }
}

/// The client's own facts on which an answer may depend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeView {
    /// The whole node id.
    pub id: String,
    /// `metadata.INSTANCE_IPS`, else the address in the id; none if the id has another form.
    pub addresses: Vec<String>,
    /// `metadata.NAMESPACE`, else the first part of the id's domain, else `default`.
    pub namespace: String,
    /// What short names are completed with: the id's domain if it is one of a cluster, as `NAMESPACE.svc.DOMAIN` is, else
    /// the namespace with `svc.cluster.local`.
    pub domain: String,
    /// `metadata.LABELS`.
    pub labels: BTreeMap<String, String>,
    /// From the labels if they tell, else the node's own.
    pub locality: Locality,
    /// `metadata.CLUSTER_ID`.
    pub cluster: String,
    /// `metadata.NETWORK`.
    pub network: String,
}

impl NodeView {
    /// Reads a node. Whatever is missing or has an unexpected type counts as absent: a client without metadata is still served.
    #[must_use]
    pub fn from_proto(node: &core::Node) -> Self {
        let mut parts = node.id.split('~');
        let (_, ip, _, domain) = (parts.next(), parts.next(), parts.next(), parts.next());
        let whole = parts.next().is_none();
        let (ip, domain) = match (ip, domain, whole) {
            (Some(ip), Some(domain), true) => (ip, domain),
            _ => ("", ""),
        };
        let own_namespace = domain.split_once('.').map_or("", |(namespace, _)| namespace);
        let metadata = node.metadata.as_ref();
        let namespace = [text(metadata, "NAMESPACE"), own_namespace, DEFAULT_NAMESPACE]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_default();
        let labels = labels(metadata);
        let locality = locality_of_labels(&labels).unwrap_or_else(|| {
            node.locality.as_ref().map_or_else(Locality::default, |own| Locality {
                region: own.region.clone(),
                zone: own.zone.clone(),
                subzone: own.sub_zone.clone(),
            })
        });
        Self {
            id: node.id.clone(),
            addresses: addresses(metadata, ip),
            namespace: namespace.to_owned(),
            domain: match domain.contains(".svc.") {
                true => domain.to_owned(),
                false => format!("{namespace}.{CLUSTER_DOMAIN}"),
            },
            labels,
            locality,
            cluster: text(metadata, "CLUSTER_ID").to_owned(),
            network: text(metadata, "NETWORK").to_owned(),
        }
    }
}

fn text<'a>(metadata: Option<&'a Struct>, key: &str) -> &'a str {
    match metadata.and_then(|fields| fields.fields.get(key)).and_then(|value| value.kind.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

/// Those that the metadata lists, separated by commas, if all are addresses.
fn addresses(metadata: Option<&Struct>, own: &str) -> Vec<String> {
    let address = |text: &str| text.parse::<IpAddr>().is_ok().then(|| text.to_owned());
    let all = |list: &str| list.split(',').map(address).collect();
    let listed: Option<Vec<String>> = all(text(metadata, "INSTANCE_IPS"));
    listed.or_else(|| all(own)).unwrap_or_default()
}

fn labels(metadata: Option<&Struct>) -> BTreeMap<String, String> {
    let Some(Value::StructValue(labels)) =
        metadata.and_then(|fields| fields.fields.get("LABELS")).and_then(|value| value.kind.as_ref())
    else {
        return BTreeMap::new();
    };
    let text = |(key, value): (&String, &mesh_proto::google::protobuf::Value)| match &value.kind {
        Some(Value::StringValue(value)) => Some((key.clone(), value.clone())),
        _ => None,
    };
    labels.fields.iter().filter_map(text).collect()
}

/// The locality that labels tell: of Kubernetes' nodes, else one label with all parts.
fn locality_of_labels(labels: &BTreeMap<String, String>) -> Option<Locality> {
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    let own = Locality {
        region: label("topology.kubernetes.io/region"),
        zone: label("topology.kubernetes.io/zone"),
        subzone: label("topology.istio.io/subzone"),
    };
    if !own.is_empty() {
        return Some(own);
    }
    let one = labels.get("topology.istio.io/locality").or_else(|| labels.get("istio-locality"))?;
    (!one.is_empty()).then(|| Locality::parse(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::google::protobuf;

    fn string(text: &str) -> protobuf::Value {
        protobuf::Value { kind: Some(Value::StringValue(text.to_owned())) }
    }

    fn node(id: &str, labels: &[(&str, &str)], metadata: &[(&str, &str)]) -> NodeView {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), string(value))).collect();
        let labels = protobuf::Value { kind: Some(Value::StructValue(Struct { fields: labels })) };
        let mut fields: std::collections::HashMap<_, _> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), string(value))).collect();
        fields.insert("LABELS".to_owned(), labels);
        NodeView::from_proto(&core::Node {
            id: id.to_owned(),
            metadata: Some(Struct { fields: fields.into_iter().collect() }),
            locality: Some(core::Locality { region: "own".into(), ..Default::default() }),
            ..Default::default()
        })
    }

    #[test]
    fn the_id_tells_address_namespace_and_domain() {
        let view = node("sidecar~10.0.0.1~client.shop~shop.svc.example.org", &[], &[]);
        assert_eq!((view.addresses, view.namespace.as_str()), (vec!["10.0.0.1".to_owned()], "shop"));
        assert_eq!(view.domain, "shop.svc.example.org");
        assert_eq!(view.locality.region, "own");
    }

    #[test]
    fn the_namespace_of_the_metadata_wins_and_the_domain_stays() {
        let view =
            node("sidecar~10.0.0.1~client.shop~shop.svc.cluster.local", &[], &[("NAMESPACE", "other")]);
        assert_eq!((view.namespace.as_str(), view.domain.as_str()), ("other", "shop.svc.cluster.local"));
        // As the template of Istio for clients without an agent writes it.
        let view = node("sidecar~10.0.0.1~client.shop~cluster.local", &[], &[("NAMESPACE", "shop")]);
        assert_eq!(view.domain, "shop.svc.cluster.local");
    }

    #[test]
    fn a_client_without_a_proper_id_lives_in_the_default_namespace() {
        for id in ["", "me", "a~b~c", "a~b~c~d~e", "a~b~c~local"] {
            let view = node(id, &[], &[]);
            assert_eq!(
                (view.namespace.as_str(), view.domain.as_str(), view.addresses.len()),
                ("default", "default.svc.cluster.local", 0),
                "{id}"
            );
        }
    }

    #[test]
    fn the_addresses_of_the_metadata_come_before_that_of_the_id() {
        let addresses = |listed: &str| node("a~10.0.0.1~c~d", &[], &[("INSTANCE_IPS", listed)]).addresses;
        assert_eq!(addresses("10.0.0.2,::1"), ["10.0.0.2", "::1"]);
        assert_eq!(addresses("10.0.0.2,me"), ["10.0.0.1"]);
    }

    #[test]
    fn locality_labels_win_over_the_locality_of_the_node() {
        let zone = [("topology.kubernetes.io/region", "eu"), ("topology.kubernetes.io/zone", "z1")];
        assert_eq!(node("", &zone, &[]).locality, Locality::parse("eu/z1"));
        assert_eq!(node("", &[("istio-locality", "eu/z1/a")], &[]).locality, Locality::parse("eu/z1/a"));
        assert_eq!(node("", &[("istio-locality", "eu.z1.a")], &[]).locality.region, "eu.z1.a");
    }
}
