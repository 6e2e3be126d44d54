//! HTTP filters: which are known, and what happens to those that are not (gRFC A39).

use super::invalid::{At, Checked, Invalid, unpack};
use mesh_proto::envoy::config::route::v3::FilterConfig;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use mesh_proto::google::protobuf::Any;
use mesh_proto::typed_struct::{TypedStruct, UDPA_TYPE_URL, XDS_TYPE_URL};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

const PREFIX: &str = "type.googleapis.com/";
/// The filter that ends a chain: it forwards the request.
const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";
/// Wraps the configuration of a filter where a route overrides it.
const FILTER_CONFIG: &str = "envoy.config.route.v3.FilterConfig";

/// What is understood, though not acted on yet: see `docs/xds-support.md`. A control plane that sends these to a
/// client expects it to work without them where they are missing.
const KNOWN: [&str; 9] = [
    "envoy.extensions.filters.http.fault.v3.HTTPFault",
    "envoy.extensions.filters.http.cors.v3.Cors",
    "envoy.extensions.filters.http.cors.v3.CorsPolicy",
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
    "envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
    "envoy.extensions.filters.http.rbac.v3.RBAC",
    "envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
    "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
];

/// A filter of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFilter {
    /// Its name, by which routes refer to it.
    pub name: Arc<str>,
    /// The message that configures it.
    pub message: Arc<str>,
}

impl HttpFilter {
    /// Whether this is the filter that forwards requests.
    #[must_use]
    pub fn is_router(&self) -> bool {
        *self.message == *ROUTER
    }
}

/// The filters of a listener.
pub(super) fn chain(protos: &[hcm::HttpFilter]) -> Checked<Vec<HttpFilter>> {
    let mut filters: Vec<HttpFilter> = Vec::with_capacity(protos.len());
    let mut names = BTreeSet::new();
    for (index, proto) in protos.iter().enumerate() {
        if proto.name.is_empty() {
            return Err(Invalid::new("must not be empty")).at("name").at_index("http_filters", index);
        }
        if !names.insert(proto.name.as_str()) {
            let why = format!("{:?} is the name of two filters", proto.name);
            return Err(Invalid::new(why)).at("name").at_index("http_filters", index);
        }
        let config = match &proto.config_type {
            Some(hcm::http_filter::ConfigType::TypedConfig(config)) => Some(config),
            _ => None,
        };
        match known(config, proto.is_optional).at("typed_config").at_index("http_filters", index)? {
            Some(message) => filters.push(HttpFilter { name: proto.name.as_str().into(), message }),
            None => continue,
        }
    }
    let routers = filters.iter().filter(|filter| filter.is_router()).count();
    if routers != 1 || !filters.last().is_some_and(HttpFilter::is_router) {
        return Err(Invalid::new("the chain must end in the router, and have it once")).at("http_filters");
    }
    Ok(filters)
}

/// Checks the configurations by which a route or host overrides those of the listener's filters.
pub(super) fn check_overrides(overrides: &HashMap<String, Any>) -> Checked<()> {
    for (name, config) in overrides {
        let check = || {
            if config.type_url.strip_prefix(PREFIX) == Some(FILTER_CONFIG) {
                let wrapper: FilterConfig = unpack(&config.value)?;
                return known(wrapper.config.as_ref(), wrapper.is_optional);
            }
            known(Some(config), false)
        };
        check().at(&format!("typed_per_filter_config[{name}]"))?;
    }
    Ok(())
}

/// The message that configures a filter; none if the filter is not known and may be left out.
fn known(config: Option<&Any>, is_optional: bool) -> Checked<Option<Arc<str>>> {
    let message = match config {
        Some(config) => message_name(config)?,
        None => String::new(),
    };
    if message == ROUTER || KNOWN.contains(&message.as_str()) {
        Ok(Some(message.into()))
    } else if is_optional {
        Ok(None)
    } else {
        Err(Invalid::new(format!("{message:?} is not supported and not optional")))
    }
}

/// The full name of the message that configures an extension, which may be hidden in a `TypedStruct`.
fn message_name(config: &Any) -> Checked<String> {
    let url = match config.type_url.as_str() {
        XDS_TYPE_URL | UDPA_TYPE_URL => unpack::<TypedStruct>(&config.value)?.type_url,
        url => url.to_owned(),
    };
    Ok(url.rsplit_once('/').map_or(url.as_str(), |(_, name)| name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn any(message: &str) -> Any {
        Any { type_url: format!("{PREFIX}{message}"), value: Vec::new() }
    }

    fn filter(name: &str, message: &str, is_optional: bool) -> hcm::HttpFilter {
        hcm::HttpFilter {
            name: name.to_owned(),
            is_optional,
            disabled: false,
            config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any(message))),
        }
    }

    fn refused(filters: &[hcm::HttpFilter]) -> String {
        chain(filters).unwrap_err().to_string()
    }

    #[test]
    fn a_chain_ends_in_the_router() {
        let filters = chain(&[filter("fault", KNOWN[0], false), filter("router", ROUTER, false)]).unwrap();
        assert_eq!(filters.len(), 2);
        assert!(filters[1].is_router());
        assert!(refused(&[]).contains("must end in the router"));
        assert!(refused(&[filter("fault", KNOWN[0], false)]).contains("must end in the router"));
        assert!(refused(&[filter("r", ROUTER, false), filter("f", KNOWN[0], false)]).contains("must end"));
        assert!(refused(&[filter("r", ROUTER, false), filter("s", ROUTER, false)]).contains("once"));
    }

    #[test]
    fn unknown_filters_are_fatal_unless_optional() {
        let error = refused(&[filter("x", "example.Unknown", false), filter("router", ROUTER, false)]);
        assert_eq!(
            error,
            "http_filters[0].typed_config: \"example.Unknown\" is not supported and not optional"
        );
        let filters =
            chain(&[filter("x", "example.Unknown", true), filter("router", ROUTER, false)]).unwrap();
        assert_eq!(filters.len(), 1);
    }

    #[test]
    fn names_are_checked() {
        assert!(refused(&[filter("", ROUTER, false)]).starts_with("http_filters[0].name: must not be empty"));
        let twice = [filter("a", KNOWN[0], false), filter("a", ROUTER, false)];
        assert!(refused(&twice).starts_with("http_filters[1].name: \"a\" is the name of two"));
    }

    #[test]
    fn a_typed_struct_is_looked_into() {
        let hidden = |type_url: &str, message: &str| {
            let inner = TypedStruct { type_url: format!("{PREFIX}{message}"), value: None };
            Any { type_url: type_url.to_owned(), value: inner.encode_to_vec() }
        };
        for url in [XDS_TYPE_URL, UDPA_TYPE_URL] {
            assert_eq!(known(Some(&hidden(url, KNOWN[0])), false).unwrap().as_deref(), Some(KNOWN[0]));
            assert!(known(Some(&hidden(url, "example.Unknown")), false).is_err());
        }
    }

    #[test]
    fn overrides_are_checked() {
        let overrides = |config| HashMap::from([("f".to_owned(), config)]);
        let wrapped = |is_optional| Any {
            type_url: format!("{PREFIX}{FILTER_CONFIG}"),
            value: FilterConfig { config: Some(any("example.Unknown")), is_optional, disabled: false }
                .encode_to_vec(),
        };
        assert!(check_overrides(&overrides(any(KNOWN[0]))).is_ok());
        assert!(check_overrides(&overrides(wrapped(true))).is_ok());
        let error = check_overrides(&overrides(wrapped(false))).unwrap_err().to_string();
        assert!(error.starts_with("typed_per_filter_config[f]: \"example.Unknown\""), "{error}");
    }
}
