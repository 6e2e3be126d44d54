//! What the benchmarks measure: members to pick from, routes to match, configuration to take in.

use bytes::Bytes;
use mesh_core::balance::{Members, MembersBuilder, Registry};
use mesh_core::clock::Clock;
use mesh_core::endpoint::ready::Readiness;
use mesh_core::endpoint::{ConnectOptions, EndpointKey, Protocol};
use mesh_core::net::{Address, Dialer, Environment};
use mesh_core::resource::{Kind, Resource};
use mesh_core::route::{ClusterIndex, RouteTable};
use mesh_core::xds::kind::ResourceKind;
use mesh_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use mesh_proto::envoy::config::route::v3::route_match::PathSpecifier;
use mesh_proto::envoy::config::route::v3::{HeaderMatcher, Route};
use mesh_proto::envoy::r#type::matcher::v3::StringMatcher;
use mesh_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use mesh_testkit::resources as r;
use std::sync::Arc;
use std::time::Duration;

/// The address of an endpoint.
#[must_use]
pub fn address(number: usize) -> String {
    format!("10.{}.{}.{}:80", number / 62_500, number / 250 % 250, 1 + number % 250)
}

/// So many endpoints, all of them ready and with a latency that was measured.
///
/// # Panics
///
/// If an address is none.
#[must_use]
pub fn members(count: usize) -> Members {
    let options = Arc::new(ConnectOptions {
        protocol: Protocol::Http2,
        family: Default::default(),
        keepalive: Default::default(),
        tls: false,
        unsupported: None,
    });
    let key = |number| EndpointKey {
        address: Address::parse(&address(number)).expect("an address"),
        hostname: None,
        options: options.clone(),
    };
    let keys: Vec<_> = (0..count).map(key).collect();
    let environment = Arc::new(Environment::new(Dialer::default(), Clock::seeded(1)));
    let (mut registry, mut builder) = (Registry::default(), MembersBuilder::default());
    builder.add(keys.into_iter(), &mut registry, &environment);
    let members = builder.members();
    drop(builder);
    for (number, endpoint) in members.iter().enumerate() {
        endpoint.load().observe(0, Duration::from_micros(1_000 + number as u64 % 97));
        members.ready().set(number, Some(Readiness::Ready));
    }
    members
}

/// What the routes of a table look at.
#[derive(Clone, Copy, Debug)]
pub enum Condition {
    /// The whole path.
    Exact,
    /// How the path begins.
    Prefix,
    /// A header, whatever the path.
    Header,
}

/// So many routes; number `n` matches the path `/package.Service{n}/Method`, or the header `x-route: {n}`.
///
/// # Panics
///
/// If the routes are refused.
#[must_use]
pub fn routes(count: usize, condition: Condition) -> RouteTable {
    let routes = (0..count).map(|number| route(number, condition)).collect();
    let config = r::any(&r::routes("routes", "host", routes));
    let bytes: Bytes = config.value;
    let Ok(Resource::Route(config)) = Kind::Route.decode("routes", &bytes, None) else {
        panic!("the routes are refused")
    };
    RouteTable::new(&config, config.virtual_hosts.iter(), |_| ClusterIndex(0))
}

fn route(number: usize, condition: Condition) -> Route {
    let mut route = r::route("/", &[("cluster", 1)]);
    let matched = route.r#match.get_or_insert_default();
    match condition {
        Condition::Exact => {
            matched.path_specifier = Some(PathSpecifier::Path(format!("/package.Service{number}/Method")));
        }
        Condition::Prefix => {
            matched.path_specifier = Some(PathSpecifier::Prefix(format!("/package.Service{number}/")));
        }
        Condition::Header => {
            let exact = StringMatcher {
                match_pattern: Some(MatchPattern::Exact(number.to_string())),
                ..Default::default()
            };
            let specifier = HeaderMatchSpecifier::StringMatch(exact);
            let header = HeaderMatcher {
                name: "x-route".to_owned(),
                header_match_specifier: Some(specifier),
                ..Default::default()
            };
            matched.headers.push(header);
        }
    }
    route
}
