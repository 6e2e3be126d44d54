//! When a route applies.

use super::proto;
use crate::model::http_route::HttpMatch;
use crate::model::values::StringMatch;
use mesh_proto::envoy::config::route::v3 as route;
use route::header_matcher::HeaderMatchSpecifier;
use route::query_parameter_matcher::QueryParameterMatchSpecifier;
use route::route_match::PathSpecifier;

/// A match, or no condition at all.
pub(super) fn route_match(matches: Option<&HttpMatch>) -> route::RouteMatch {
    let everything = PathSpecifier::Prefix("/".to_owned());
    let Some(it) = matches else {
        return route::RouteMatch { path_specifier: Some(everything), ..Default::default() };
    };
    route::RouteMatch {
        path_specifier: Some(it.uri.as_ref().and_then(path).unwrap_or(everything)),
        case_sensitive: Some(proto::boolean(!it.ignore_uri_case)),
        headers: headers(it),
        query_parameters: it.query_params.iter().map(|(name, value)| query_parameter(name, value)).collect(),
        ..Default::default()
    }
}

fn path(uri: &StringMatch) -> Option<PathSpecifier> {
    if let Some(exact) = &uri.exact {
        return Some(PathSpecifier::Path(exact.clone()));
    }
    // A prefix of characters, not of path segments.
    let prefix = uri.prefix.clone().map(PathSpecifier::Prefix);
    prefix.or_else(|| uri.regex.as_deref().map(|regex| PathSpecifier::SafeRegex(proto::regex(regex))))
}

/// By name, first those that are named; then method, authority and scheme.
fn headers(it: &HttpMatch) -> Vec<route::HeaderMatcher> {
    let with = it.headers.iter().map(|(name, value)| header(name, value));
    let without = it.without_headers.iter().map(|(name, value)| {
        let matcher = header(name, value);
        // Only a comparison can take a missing header for an empty one.
        let compares = matches!(matcher.header_match_specifier, Some(HeaderMatchSpecifier::StringMatch(_)));
        route::HeaderMatcher { invert_match: true, treat_missing_header_as_empty: compares, ..matcher }
    });
    let mut headers: Vec<_> = with.chain(without).collect();
    headers.sort_by(|one, other| one.name.cmp(&other.name));
    let special = [(":method", &it.method), (":authority", &it.authority), (":scheme", &it.scheme)];
    headers.extend(special.into_iter().filter_map(|(name, value)| Some(header(name, value.as_ref()?))));
    headers
}

fn header(name: &str, value: &StringMatch) -> route::HeaderMatcher {
    let specifier = proto::string_matcher(value)
        .map_or(HeaderMatchSpecifier::PresentMatch(true), HeaderMatchSpecifier::StringMatch);
    route::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

fn query_parameter(name: &str, value: &StringMatch) -> route::QueryParameterMatcher {
    let specifier = proto::string_matcher(value)
        .map_or(QueryParameterMatchSpecifier::PresentMatch(true), QueryParameterMatchSpecifier::StringMatch);
    route::QueryParameterMatcher { name: name.to_owned(), query_parameter_match_specifier: Some(specifier) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> StringMatch {
        StringMatch { exact: Some(text.to_owned()), ..StringMatch::default() }
    }

    #[test]
    fn headers_stand_by_name_and_the_special_ones_last() {
        let it = HttpMatch {
            headers: [("x-b".to_owned(), exact("1")), ("x-d".to_owned(), StringMatch::default())].into(),
            without_headers: [("x-a".to_owned(), exact("2")), ("x-c".to_owned(), StringMatch::default())]
                .into(),
            method: Some(exact("GET")),
            ..HttpMatch::default()
        };
        let headers = headers(&it);
        let seen: Vec<_> = headers
            .iter()
            .map(|it| (it.name.as_str(), it.invert_match, it.treat_missing_header_as_empty))
            .collect();
        assert_eq!(
            seen,
            [
                ("x-a", true, true),
                ("x-b", false, false),
                ("x-c", true, false),
                ("x-d", false, false),
                (":method", false, false)
            ]
        );
        assert_eq!(headers[2].header_match_specifier, Some(HeaderMatchSpecifier::PresentMatch(true)));
    }

    #[test]
    fn a_star_as_expression_means_presence() {
        let star = StringMatch { regex: Some("*".into()), ..StringMatch::default() };
        assert_eq!(header("x", &star).header_match_specifier, Some(HeaderMatchSpecifier::PresentMatch(true)));
    }
}
