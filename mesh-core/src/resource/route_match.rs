//! The conditions of routes.

use super::invalid::{At, Checked, Invalid};
use super::matcher::{Fraction, HeaderMatch, QueryMatch, whole};
use super::re2::Expression;
use mesh_proto::envoy::config::route::v3 as proto;
use std::fmt;

/// The condition of a route. All of its parts have to hold.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// On the path, without the query.
    pub path: PathMatch,
    /// On headers.
    pub headers: Vec<HeaderMatch>,
    /// On query parameters.
    pub query: Vec<QueryMatch>,
    /// The share of requests.
    pub fraction: Option<Fraction>,
    /// Whether only gRPC requests match.
    pub grpc_only: bool,
}

/// A condition on a path; the flag says whether case is ignored.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(Box<str>, bool),
    /// How it begins.
    Prefix(Box<str>, bool),
    /// How it begins, up to a `/` or its end.
    SegmentPrefix(Box<str>, bool),
    /// The whole path, by expression.
    Regex(Expression),
}

impl RouteMatch {
    /// The condition; none if part of it cannot be evaluated here, so that it never holds.
    pub(super) fn from_proto(proto: &proto::RouteMatch) -> Checked<Option<Self>> {
        use proto::route_match::PathSpecifier as Path;
        let ignore_case = proto.case_sensitive.as_ref().is_some_and(|flag| !flag.value);
        let text = |path: &String| Box::<str>::from(path.as_str());
        let path = match &proto.path_specifier {
            Some(Path::Prefix(prefix)) => PathMatch::Prefix(text(prefix), ignore_case),
            Some(Path::Path(path)) => PathMatch::Exact(text(path), ignore_case),
            Some(Path::PathSeparatedPrefix(prefix)) => {
                if !prefix.starts_with('/') || prefix.ends_with('/') {
                    let why = "must begin with a slash and not end with one";
                    return Err(Invalid::new(why)).at("path_separated_prefix");
                }
                PathMatch::SegmentPrefix(text(prefix), ignore_case)
            }
            Some(Path::SafeRegex(regex)) => {
                PathMatch::Regex(whole(&regex.regex).at("regex").at("safe_regex")?)
            }
            Some(Path::ConnectMatcher(_)) => {
                return Err(Invalid::new("is not supported")).at("connect_matcher");
            }
            Some(Path::PathMatchPolicy(_)) => {
                return Err(Invalid::new("is not supported")).at("path_match_policy");
            }
            None => return Err(Invalid::new("is missing")).at("path_specifier"),
        };
        let headers = proto.headers.iter().enumerate();
        let headers = headers
            .map(|(index, header)| HeaderMatch::from_proto(header).at_index("headers", index))
            .collect::<Checked<_>>()?;
        let query = proto.query_parameters.iter().enumerate();
        let query = query
            .map(|(index, query)| QueryMatch::from_proto(query).at_index("query_parameters", index))
            .collect::<Checked<_>>()?;
        let fraction = proto.runtime_fraction.as_ref().and_then(|fraction| fraction.default_value.as_ref());
        let fraction =
            fraction.map(Fraction::from_proto).transpose().at("default_value").at("runtime_fraction")?;
        let beyond_us = !proto.cookies.is_empty()
            || proto.tls_context.is_some()
            || !proto.dynamic_metadata.is_empty()
            || !proto.filter_state.is_empty();
        let grpc_only = proto.grpc.is_some();
        Ok((!beyond_us).then_some(Self { path, headers, query, fraction, grpc_only }))
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = |ignored: &bool| if *ignored { " (any case)" } else { "" };
        match self {
            Self::Exact(path, ignore_case) => write!(f, "{path}{}", case(ignore_case)),
            Self::Prefix(prefix, ignore_case) => write!(f, "{prefix}*{}", case(ignore_case)),
            Self::SegmentPrefix(prefix, ignore_case) => write!(f, "{prefix}/*{}", case(ignore_case)),
            Self::Regex(regex) => write!(f, "~ {regex}"),
        }
    }
}
