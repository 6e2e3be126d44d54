//! The kinds of resources that are answered.

use mesh_core::resource;
use mesh_core::xds::kind::ResourceKind;

/// A kind of xDS resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `envoy.config.listener.v3.Listener`, named `host:port`.
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration`, named `outbound|port||host`.
    Route,
    /// `envoy.config.cluster.v3.Cluster`, named `outbound|port|subset|host`.
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`, named as its cluster.
    Endpoint,
}

impl Kind {
    /// Every kind, in the order in which a client needs them.
    pub const ALL: [Self; 4] = [Self::Listener, Self::Route, Self::Cluster, Self::Endpoint];

    /// The type URL on the wire.
    #[must_use]
    pub fn type_url(self) -> &'static str {
        let asked = match self {
            Self::Listener => resource::Kind::Listener,
            Self::Route => resource::Kind::Route,
            Self::Cluster => resource::Kind::Cluster,
            Self::Endpoint => resource::Kind::Endpoint,
        };
        asked.type_url()
    }

    /// The kind with this type URL, `None` for any other.
    #[must_use]
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_url() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_type_url(kind.type_url()), Some(kind));
        }
        assert_eq!(Kind::from_type_url("type.googleapis.com/other"), None);
    }
}
