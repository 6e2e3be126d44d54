//! HTTP filters: which are known, on which side, and what happens to those that are not (gRFC A39).

use super::cors::CorsPolicy;
use super::extension::{Config, Extension, PREFIX};
use super::fault::Fault;
use super::invalid::{At, Checked, Invalid, unpack};
use super::rbac::Rbac;
use super::session::StatefulSession;
use super::strictness::Strictness;
use mesh_proto::envoy::config::route::v3::FilterConfig as Wrapper;
use mesh_proto::envoy::extensions::filters::http;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use mesh_proto::google::protobuf::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Wraps the configuration of a filter where a route overrides it.
const WRAPPER: &str = "envoy.config.route.v3.FilterConfig";

/// A filter of a listener.
#[derive(Clone, Debug)]
pub struct HttpFilter {
    /// Its name, by which routes refer to it.
    pub name: Arc<str>,
    /// The message that configures it.
    pub message: Arc<str>,
    /// Whether it is off unless a route turns it on.
    pub disabled: bool,
    /// Its configuration.
    pub config: FilterConfig,
}

/// The configuration of a filter.
#[derive(Clone, Debug)]
pub enum FilterConfig {
    /// Forwards the request; ends a chain.
    Router,
    /// Delays and failures on purpose.
    Fault(Arc<Fault>),
    /// Which pages of other origins may call; a listener's filter has none of its own.
    Cors(Option<Arc<CorsPolicy>>),
    /// Which calls a server accepts.
    Rbac(Arc<Rbac>),
    /// Keeps the requests of a session at one endpoint; none where a route turns it off.
    StatefulSession(Option<Arc<StatefulSession>>),
    /// Known, but there is nothing to do: Envoy's gRPC statistics, Istio's choice of ALPN.
    Passive,
    /// Not known; only where that is allowed.
    Unknown,
}

/// What a route, a virtual host or a cluster of a route says about the filters of the listener, by their names.
#[derive(Clone, Debug, Default)]
pub struct FilterOverrides(BTreeMap<Arc<str>, FilterOverride>);

/// What is said about one filter.
#[derive(Clone, Debug)]
pub struct FilterOverride {
    /// Its configuration instead of the listener's; none leaves that.
    pub config: Option<FilterConfig>,
    /// Whether it is off.
    pub disabled: bool,
}

/// On which side of a call filters stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The caller's.
    Client,
    /// The one that is called.
    Server,
}

/// The sides on which each filter does its work. On another one it would be accepted, and not be there.
const SIDES: &[(Extension, &[Side])] = &[
    (Extension::Router, &[Side::Client, Side::Server]),
    (Extension::GrpcStats, &[Side::Client, Side::Server]),
    (Extension::Alpn, &[Side::Client, Side::Server]),
    (Extension::Cors, &[Side::Client, Side::Server]),
    (Extension::Fault, &[Side::Client]),
    (Extension::StatefulSession, &[Side::Client]),
    (Extension::Rbac, &[Side::Server]),
];

impl HttpFilter {
    /// Whether this is the filter that forwards requests.
    #[must_use]
    pub fn is_router(&self) -> bool {
        matches!(self.config, FilterConfig::Router)
    }
}

impl FilterOverrides {
    /// What is said about the filter `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&FilterOverride> {
        self.0.get(name)
    }

    /// Everything that is said, by the names of filters.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &FilterOverride)> {
        self.0.iter()
    }

    pub(super) fn from_proto(overrides: &HashMap<String, Any>, strictness: Strictness) -> Checked<Self> {
        let mut read = BTreeMap::new();
        for (name, any) in overrides {
            if let Some(found) =
                read_override(any, strictness).at(&format!("typed_per_filter_config[{name}]"))?
            {
                read.insert(name.as_str().into(), found);
            }
        }
        Ok(Self(read))
    }
}

/// The filters of a listener for `side`; none is a sidecar's, of which everything is kept that is understood.
pub(super) fn chain(protos: &[hcm::HttpFilter], side: Option<Side>) -> Checked<Vec<HttpFilter>> {
    let mut filters: Vec<HttpFilter> = Vec::with_capacity(protos.len());
    let mut names = BTreeSet::new();
    let lenient = side.is_none();
    for (index, proto) in protos.iter().enumerate() {
        if proto.name.is_empty() {
            return Err(Invalid::new("must not be empty")).at("name").at_index("http_filters", index);
        }
        if !names.insert(proto.name.as_str()) && !lenient {
            let why = format!("{:?} is the name of two filters", proto.name);
            return Err(Invalid::new(why)).at("name").at_index("http_filters", index);
        }
        let config = match &proto.config_type {
            Some(hcm::http_filter::ConfigType::TypedConfig(config)) => Some(config),
            _ => None,
        };
        let read = known(config, side, proto.is_optional).at("typed_config").at_index("http_filters", index);
        let (message, config) = match read {
            Ok(Some(known)) => known,
            Ok(None) if !lenient => continue,
            Err(invalid) if !lenient => return Err(invalid),
            // What the filter does is not for us, so neither is what is wrong with it.
            _ => (config.map_or("", |any| any.type_url.as_str()).into(), FilterConfig::Unknown),
        };
        filters.push(HttpFilter {
            name: proto.name.as_str().into(),
            message,
            disabled: proto.disabled,
            config,
        });
    }
    let routers = filters.iter().filter(|filter| filter.is_router()).count();
    if routers != 1 || !filters.last().is_some_and(HttpFilter::is_router) {
        return Err(Invalid::new("the chain must end in the router, and have it once")).at("http_filters");
    }
    Ok(filters)
}

/// What is said about a filter; none if it is not known and may be left out, as a sidecar's may.
fn read_override(any: &Any, strictness: Strictness) -> Checked<Option<FilterOverride>> {
    let lenient = strictness == Strictness::Lenient;
    if any.type_url.strip_prefix(PREFIX) != Some(WRAPPER) {
        let read = known(Some(any), None, lenient)?;
        return Ok(read.map(|(_, config)| FilterOverride { config: Some(config), disabled: false }));
    }
    let wrapper: Wrapper = unpack(&any.value)?;
    // Nothing but `disabled` is said.
    if wrapper.config.is_none() && wrapper.disabled {
        return Ok(Some(FilterOverride { config: None, disabled: true }));
    }
    let read = known(wrapper.config.as_ref(), None, wrapper.is_optional || lenient)?;
    Ok(read.map(|(_, config)| FilterOverride { config: Some(config), disabled: wrapper.disabled }))
}

/// The message that configures a filter of a listener for `side`, or one that may stand anywhere, and what it says; none if
/// the filter is not known there and may be left out.
fn known(
    any: Option<&Any>,
    side: Option<Side>,
    is_optional: bool,
) -> Checked<Option<(Arc<str>, FilterConfig)>> {
    let config = any.map(Config::of).transpose()?;
    let message = config.as_ref().map_or("", |config| &config.message);
    let sides = config.as_ref().and_then(|config| sides(config.extension()?));
    let works = side.is_none_or(|side| sides.is_some_and(|sides| sides.contains(&side)));
    match config.as_ref().filter(|_| works).map(read_config).transpose()?.flatten() {
        Some(read) => Ok(Some((message.into(), read))),
        None if is_optional => Ok(None),
        None => {
            let there = match side.filter(|_| sides.is_some()) {
                Some(Side::Client) => " for clients",
                Some(Side::Server) => " for servers",
                None => "",
            };
            Err(Invalid::new(format!("{message:?} is not supported{there} and not optional")))
        }
    }
}

/// The sides on which a filter does its work; none if that is no filter.
fn sides(extension: Extension) -> Option<&'static [Side]> {
    SIDES.iter().find(|(filter, _)| *filter == extension).map(|(_, sides)| *sides)
}

/// The configuration; none if the filter is not known.
fn read_config(config: &Config<'_>) -> Checked<Option<FilterConfig>> {
    let Some(extension) = config.extension() else { return Ok(None) };
    Ok(Some(match extension {
        Extension::Router => FilterConfig::Router,
        Extension::GrpcStats | Extension::Alpn => FilterConfig::Passive,
        Extension::Fault => {
            let proto: http::fault::v3::HttpFault = config.decode()?;
            FilterConfig::Fault(Arc::new(Fault::from_proto(&proto)?))
        }
        Extension::Cors => FilterConfig::Cors(None),
        Extension::CorsPolicy => {
            let proto: http::cors::v3::CorsPolicy = config.decode()?;
            FilterConfig::Cors(Some(Arc::new(CorsPolicy::from_proto(&proto)?)))
        }
        Extension::Rbac => FilterConfig::Rbac(Arc::new(Rbac::from_proto(&config.decode()?)?)),
        Extension::RbacPerRoute => {
            let proto: http::rbac::v3::RbacPerRoute = config.decode()?;
            // A route without rules of its own has none.
            let rbac = Rbac::from_proto(&proto.rbac.unwrap_or_default()).at("rbac")?;
            FilterConfig::Rbac(Arc::new(rbac))
        }
        Extension::StatefulSession => {
            FilterConfig::StatefulSession(StatefulSession::from_proto(&config.decode()?)?.map(Arc::new))
        }
        Extension::StatefulSessionPerRoute => {
            use http::stateful_session::v3::stateful_session_per_route::Override;
            let proto: http::stateful_session::v3::StatefulSessionPerRoute = config.decode()?;
            let session = match &proto.r#override {
                Some(Override::StatefulSession(session)) => {
                    StatefulSession::from_proto(session).at("stateful_session")?
                }
                Some(Override::Disabled(_)) | None => None,
            };
            FilterConfig::StatefulSession(session.map(Arc::new))
        }
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    const FAULT: &str = "envoy.extensions.filters.http.fault.v3.HTTPFault";
    const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";

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

    fn strict(filters: &[hcm::HttpFilter]) -> Checked<Vec<HttpFilter>> {
        chain(filters, Some(Side::Client))
    }

    fn refused(filters: &[hcm::HttpFilter]) -> String {
        strict(filters).unwrap_err().to_string()
    }

    #[test]
    fn a_chain_ends_in_the_router() {
        let filters = strict(&[filter("fault", FAULT, false), filter("router", ROUTER, false)]).unwrap();
        assert_eq!(filters.len(), 2);
        assert!(filters[1].is_router());
        assert!(refused(&[]).contains("must end in the router"));
        assert!(refused(&[filter("fault", FAULT, false)]).contains("must end in the router"));
        assert!(refused(&[filter("r", ROUTER, false), filter("f", FAULT, false)]).contains("must end"));
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
            strict(&[filter("x", "example.Unknown", true), filter("router", ROUTER, false)]).unwrap();
        assert_eq!(filters.len(), 1);
    }

    #[test]
    fn names_are_checked() {
        assert!(refused(&[filter("", ROUTER, false)]).starts_with("http_filters[0].name: must not be empty"));
        let twice = [filter("a", FAULT, false), filter("a", ROUTER, false)];
        assert!(refused(&twice).starts_with("http_filters[1].name: \"a\" is the name of two"));
    }

    #[test]
    fn a_chain_of_another_kind_of_proxy_is_kept() {
        let filters = [filter("x", "example.Unknown", false), filter("router", ROUTER, false)];
        let filters = chain(&filters, None).unwrap();
        assert!(matches!(filters[0].config, FilterConfig::Unknown));
        assert!(filters[1].is_router());
    }

    #[test]
    fn overrides_are_checked() {
        let overrides = |config| HashMap::from([("f".to_owned(), config)]);
        let wrapped = |is_optional| Any {
            type_url: format!("{PREFIX}{WRAPPER}"),
            value: Wrapper { config: Some(any("example.Unknown")), is_optional, disabled: false }
                .encode_to_vec(),
        };
        let read = |config, strictness| FilterOverrides::from_proto(&overrides(config), strictness);
        assert!(read(any(FAULT), Strictness::Strict).is_ok());
        assert!(read(wrapped(true), Strictness::Strict).is_ok());
        for unknown in [wrapped(false), any("example.Unknown")] {
            assert_eq!(read(unknown, Strictness::Lenient).unwrap().iter().count(), 0);
        }
        let error = read(wrapped(false), Strictness::Strict).unwrap_err().to_string();
        assert!(error.starts_with("typed_per_filter_config[f]: \"example.Unknown\""), "{error}");
    }
}
