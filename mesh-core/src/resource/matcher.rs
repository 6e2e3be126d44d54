//! Conditions on paths, headers and query parameters: read from xDS once, evaluated for each request.

use super::invalid::{At, Checked, Invalid};
use super::re2::Expression;
use crate::clock;
use mesh_proto::envoy::config::route::v3::{
    HeaderMatcher as HeaderProto, QueryParameterMatcher as QueryProto,
};
use mesh_proto::envoy::r#type::matcher::v3 as matcher;
use mesh_proto::envoy::r#type::v3::{FractionalPercent, fractional_percent};
use std::borrow::Cow;
use std::ops::Range;

/// A condition on a text.
#[derive(Clone, Debug)]
pub enum StringMatch {
    /// The whole text; the flag says whether case is ignored, as in the next three.
    Exact(Box<str>, bool),
    /// How it begins.
    Prefix(Box<str>, bool),
    /// How it ends.
    Suffix(Box<str>, bool),
    /// What is in it.
    Contains(Box<str>, bool),
    /// The whole text, by expression.
    Regex(Expression),
}

/// A condition on the value of a header.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// The name of the header, in lower case; may be a pseudo-header such as `:method`.
    pub name: Box<str>,
    /// The condition.
    pub condition: ValueMatch,
    /// Whether the condition must not hold. A header that is not there satisfies an inverted condition on presence
    /// only, unless missing headers count as empty.
    pub invert: bool,
    /// Whether a header that is not there counts as empty.
    pub missing_as_empty: bool,
}

/// A condition on a value.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Whether it is there.
    Present(bool),
    /// Its text.
    Text(StringMatch),
    /// Its value as a whole number; the end is not included.
    Range(Range<i64>),
}

/// A condition on a query parameter.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// The name of the parameter.
    pub name: Box<str>,
    /// The condition; never a range.
    pub condition: ValueMatch,
}

/// A share of requests, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fraction(u32);

impl StringMatch {
    /// Whether the condition holds for `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(what, false) => **what == *text,
            Self::Exact(what, true) => what.eq_ignore_ascii_case(text),
            Self::Prefix(what, false) => text.starts_with(&**what),
            Self::Prefix(what, true) => text
                .as_bytes()
                .get(..what.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(what.as_bytes())),
            Self::Suffix(what, false) => text.ends_with(&**what),
            Self::Suffix(what, true) => {
                let start = text.len().checked_sub(what.len());
                start.is_some_and(|start| text.as_bytes()[start..].eq_ignore_ascii_case(what.as_bytes()))
            }
            Self::Contains(what, false) => text.contains(&**what),
            Self::Contains(what, true) => text.to_ascii_lowercase().contains(&what.to_ascii_lowercase()),
            Self::Regex(expression) => expression.is_match(text),
        }
    }

    pub(super) fn from_proto(proto: &matcher::StringMatcher) -> Checked<Self> {
        use matcher::string_matcher::MatchPattern as Pattern;
        let case = proto.ignore_case;
        let text = |text: &String, what: &str| {
            if text.is_empty() {
                Err(Invalid::new("must not be empty")).at(what)
            } else {
                Ok(text.as_str().into())
            }
        };
        match &proto.match_pattern {
            Some(Pattern::Exact(what)) => Ok(Self::Exact(what.as_str().into(), case)),
            Some(Pattern::Prefix(what)) => Ok(Self::Prefix(text(what, "prefix")?, case)),
            Some(Pattern::Suffix(what)) => Ok(Self::Suffix(text(what, "suffix")?, case)),
            Some(Pattern::Contains(what)) => Ok(Self::Contains(text(what, "contains")?, case)),
            // `ignore_case` has no effect on expressions, which can say `(?i)` themselves.
            Some(Pattern::SafeRegex(what)) => whole(&what.regex).at("safe_regex.regex").map(Self::Regex),
            Some(Pattern::Custom(_)) => Err(Invalid::new("custom matchers are not supported")).at("custom"),
            None => Err(Invalid::new("one of exact, prefix, suffix, contains and safe_regex is needed")),
        }
    }
}

impl ValueMatch {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Present(wanted) => *wanted,
            Self::Text(text) => text.matches(value),
            Self::Range(range) => value.trim().parse().is_ok_and(|number| range.contains(&number)),
        }
    }
}

impl HeaderMatch {
    /// Whether the condition holds for a header with `value`, several of its kind being joined by commas, or for
    /// one that is not there.
    #[must_use]
    pub fn matches(&self, value: Option<Cow<'_, str>>) -> bool {
        let value = value.or(self.missing_as_empty.then_some(Cow::Borrowed("")));
        match (&self.condition, value) {
            (condition, Some(value)) => condition.matches(&value) != self.invert,
            (ValueMatch::Present(wanted), None) => *wanted == self.invert,
            // Envoy: a missing header matches nothing, inverted or not.
            (_, None) => false,
        }
    }

    #[expect(deprecated, reason = "istiod and older control planes still send these")]
    pub(super) fn from_proto(proto: &HeaderProto) -> Checked<Self> {
        use mesh_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier as Specifier;
        if proto.name.is_empty() {
            return Err(Invalid::new("must not be empty")).at("name");
        }
        let text = |what: &String| Box::<str>::from(what.as_str());
        let condition = match &proto.header_match_specifier {
            Some(Specifier::PresentMatch(wanted)) => ValueMatch::Present(*wanted),
            Some(Specifier::StringMatch(what)) => {
                ValueMatch::Text(StringMatch::from_proto(what).at("string_match")?)
            }
            Some(Specifier::ExactMatch(what)) => ValueMatch::Text(StringMatch::Exact(text(what), false)),
            Some(Specifier::PrefixMatch(what)) => ValueMatch::Text(StringMatch::Prefix(text(what), false)),
            Some(Specifier::SuffixMatch(what)) => ValueMatch::Text(StringMatch::Suffix(text(what), false)),
            Some(Specifier::ContainsMatch(what)) => {
                ValueMatch::Text(StringMatch::Contains(text(what), false))
            }
            Some(Specifier::SafeRegexMatch(what)) => {
                ValueMatch::Text(StringMatch::Regex(whole(&what.regex).at("safe_regex_match.regex")?))
            }
            Some(Specifier::RangeMatch(range)) => ValueMatch::Range(range.start..range.end),
            None => return Err(Invalid::new("a condition is needed")).at("header_match_specifier"),
        };
        Ok(Self {
            name: proto.name.to_ascii_lowercase().into(),
            condition,
            invert: proto.invert_match,
            missing_as_empty: proto.treat_missing_header_as_empty,
        })
    }
}

impl QueryMatch {
    /// Whether the condition holds for the query of a request (what follows the `?`).
    #[must_use]
    pub fn matches(&self, query: Option<&str>) -> bool {
        let value = query.into_iter().flat_map(|query| query.split('&')).find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == &*self.name).then_some(value)
        });
        match (&self.condition, value) {
            (condition, Some(value)) => condition.matches(value),
            (ValueMatch::Present(wanted), None) => !wanted,
            (_, None) => false,
        }
    }

    pub(super) fn from_proto(proto: &QueryProto) -> Checked<Self> {
        use mesh_proto::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier as Specifier;
        if proto.name.is_empty() {
            return Err(Invalid::new("must not be empty")).at("name");
        }
        let condition = match &proto.query_parameter_match_specifier {
            Some(Specifier::StringMatch(what)) => {
                ValueMatch::Text(StringMatch::from_proto(what).at("string_match")?)
            }
            Some(Specifier::PresentMatch(wanted)) => ValueMatch::Present(*wanted),
            None => ValueMatch::Present(true),
        };
        Ok(Self { name: proto.name.as_str().into(), condition })
    }
}

impl Fraction {
    /// So many of a million; more count as all.
    #[must_use]
    pub fn millionths(millionths: u32) -> Self {
        Self(millionths.min(1_000_000))
    }

    /// Whether a request that drew `entropy` belongs to the share.
    #[must_use]
    pub fn contains(self, entropy: u64) -> bool {
        // Strictly less, so that 0 % takes none.
        clock::below((entropy >> 32) as u32, 1_000_000) < self.0
    }

    pub(super) fn from_proto(proto: &FractionalPercent) -> Checked<Self> {
        use fractional_percent::DenominatorType as Denominator;
        let scale = match Denominator::try_from(proto.denominator) {
            Ok(Denominator::Hundred) => 10_000,
            Ok(Denominator::TenThousand) => 100,
            Ok(Denominator::Million) => 1,
            Err(_) => {
                return Err(Invalid::new(format!("{} is unknown", proto.denominator))).at("denominator");
            }
        };
        Ok(Self::millionths(proto.numerator.saturating_mul(scale)))
    }
}

/// What an expression finds in a text, and what it is replaced by.
#[derive(Clone, Debug)]
pub struct Substitution {
    /// The expression; every match counts.
    pub regex: Expression,
    /// What takes the place of a match: `\0` to `\9` stand for the groups of the expression, `\\` for a backslash.
    pub replacement: Box<str>,
}

impl Substitution {
    pub(super) fn from_proto(proto: &matcher::RegexMatchAndSubstitute) -> Checked<Self> {
        let pattern = proto.pattern.as_ref().ok_or_else(|| Invalid::new("is missing")).at("pattern")?;
        let regex = Expression::anywhere(&pattern.regex).map_err(Invalid::new).at("regex").at("pattern")?;
        let groups = regex.groups();
        let mut rest = proto.substitution.chars();
        while let Some(c) = rest.next() {
            if c != '\\' {
                continue;
            }
            let fits = match rest.next() {
                Some('\\') => true,
                Some(other) => other.to_digit(10).is_some_and(|group| (group as usize) < groups),
                None => false,
            };
            if !fits {
                let why = format!("{:?} names a group that is not there", proto.substitution);
                return Err(Invalid::new(why)).at("substitution");
            }
        }
        Ok(Self { regex, replacement: proto.substitution.as_str().into() })
    }
}

/// Compiles an expression that has to match a whole text.
pub(super) fn whole(regex: &str) -> Checked<Expression> {
    Expression::whole(regex).map_err(Invalid::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use matcher::string_matcher::MatchPattern as Pattern;
    use mesh_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier as Specifier;

    fn string(pattern: Pattern, ignore_case: bool) -> Checked<StringMatch> {
        StringMatch::from_proto(&matcher::StringMatcher { ignore_case, match_pattern: Some(pattern) })
    }

    fn regex(text: &str) -> Pattern {
        Pattern::SafeRegex(matcher::RegexMatcher { regex: text.to_owned(), ..Default::default() })
    }

    fn header(specifier: Specifier, invert: bool, missing_as_empty: bool) -> HeaderMatch {
        HeaderMatch::from_proto(&HeaderProto {
            name: "X-Test".to_owned(),
            invert_match: invert,
            treat_missing_header_as_empty: missing_as_empty,
            header_match_specifier: Some(specifier),
        })
        .unwrap()
    }

    fn exact(what: &str) -> Specifier {
        Specifier::StringMatch(matcher::StringMatcher {
            match_pattern: Some(Pattern::Exact(what.to_owned())),
            ..Default::default()
        })
    }

    #[test]
    fn texts() {
        let holds = |pattern: Pattern, ignore_case, text| string(pattern, ignore_case).unwrap().matches(text);
        assert!(holds(Pattern::Exact("Ab".into()), false, "Ab"));
        assert!(!holds(Pattern::Exact("Ab".into()), false, "ab"));
        assert!(holds(Pattern::Exact("Ab".into()), true, "aB"));
        assert!(holds(Pattern::Exact(String::new()), false, ""));
        assert!(holds(Pattern::Prefix("Ab".into()), false, "Abc"));
        assert!(holds(Pattern::Prefix("Ab".into()), true, "aBc"));
        assert!(!holds(Pattern::Prefix("Ab".into()), true, "a"));
        assert!(!holds(Pattern::Prefix("éé".into()), true, "é"), "lengths in bytes cut no character");
        assert!(holds(Pattern::Suffix("yz".into()), false, "xyz"));
        assert!(holds(Pattern::Suffix("YZ".into()), true, "xyz"));
        assert!(!holds(Pattern::Suffix("wxyz".into()), true, "xyz"));
        assert!(holds(Pattern::Contains("b".into()), false, "abc"));
        assert!(holds(Pattern::Contains("B".into()), true, "abc"));
        assert!(holds(regex("a+"), false, "aaa"));
        assert!(!holds(regex("a+"), false, "aaab"), "the whole text");
        assert!(!holds(regex("a|ab"), false, "abc"));
        assert!(holds(regex("^(.*?;)?(user=jason)(;.*)?$"), false, "x=1;user=jason;y"));
    }

    #[test]
    fn texts_that_are_refused() {
        let refused = |pattern| string(pattern, false).unwrap_err().to_string();
        assert!(refused(Pattern::Prefix(String::new())).starts_with("prefix: must not"));
        assert!(refused(regex("a(")).starts_with("safe_regex.regex: "));
        assert!(refused(regex("a)|(?:b")).starts_with("safe_regex.regex: "), "no way out of the group");
        assert!(refused(regex("(?:a{1000}){1000}")).contains("repeated"));
        assert!(StringMatch::from_proto(&Default::default()).is_err());
    }

    #[test]
    fn headers_that_are_there() {
        let value = || Some(Cow::Borrowed("5"));
        assert!(header(exact("5"), false, false).matches(value()));
        assert!(!header(exact("5"), true, false).matches(value()));
        assert!(header(exact("6"), true, false).matches(value()));
        assert!(header(Specifier::PresentMatch(true), false, false).matches(value()));
        assert!(header(Specifier::PresentMatch(true), false, false).matches(Some(Cow::Borrowed(""))));
        assert!(!header(Specifier::PresentMatch(false), false, false).matches(value()));
        let range =
            |start, end| Specifier::RangeMatch(mesh_proto::envoy::r#type::v3::Int64Range { start, end });
        assert!(header(range(5, 6), false, false).matches(value()));
        assert!(!header(range(4, 5), false, false).matches(value()), "the end is not included");
        assert!(!header(range(0, 9), false, false).matches(Some(Cow::Borrowed("x"))));
        assert!(header(range(0, 9), true, false).matches(Some(Cow::Borrowed("x"))));
        assert_eq!(&*header(exact("5"), false, false).name, "x-test");
    }

    #[test]
    fn headers_that_are_not_there() {
        assert!(!header(exact("5"), false, false).matches(None));
        assert!(!header(exact("5"), true, false).matches(None), "Envoy: missing matches nothing");
        assert!(header(exact("5"), true, true).matches(None), "unless it counts as empty");
        assert!(header(exact(""), false, true).matches(None));
        assert!(!header(Specifier::PresentMatch(true), false, false).matches(None));
        assert!(header(Specifier::PresentMatch(true), true, false).matches(None));
        assert!(header(Specifier::PresentMatch(false), false, false).matches(None));
        assert!(!header(Specifier::PresentMatch(false), true, false).matches(None));
    }

    #[test]
    fn query_parameters() {
        use mesh_proto::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier as Query;
        let query = |specifier| {
            let proto = QueryProto { name: "ver".to_owned(), query_parameter_match_specifier: specifier };
            QueryMatch::from_proto(&proto).unwrap()
        };
        let three = query(Some(Query::StringMatch(matcher::StringMatcher {
            match_pattern: Some(Pattern::Exact("3".into())),
            ..Default::default()
        })));
        assert!(three.matches(Some("a=1&ver=3&b")));
        assert!(!three.matches(Some("ver=4&ver=3")), "the first one counts");
        assert!(!three.matches(Some("version=3")));
        assert!(!three.matches(None));
        let present = query(None);
        assert!(present.matches(Some("ver")) && present.matches(Some("ver=")) && !present.matches(Some("")));
        assert!(query(Some(Query::PresentMatch(false))).matches(Some("x=1")));
    }

    #[test]
    fn fractions() {
        let fraction = |numerator, denominator| {
            Fraction::from_proto(&FractionalPercent { numerator, denominator }).unwrap()
        };
        let clock = clock::Clock::seeded(3);
        let share = |fraction: Fraction| (0..100_000).filter(|_| fraction.contains(clock.entropy())).count();
        assert_eq!(share(fraction(0, 0)), 0);
        assert_eq!(share(fraction(100, 0)), 100_000);
        assert_eq!(share(fraction(500, 0)), 100_000);
        assert!((24_000..26_000).contains(&share(fraction(25, 0))));
        assert!((800..1_200).contains(&share(fraction(100, 1))));
        assert!(Fraction::from_proto(&FractionalPercent { numerator: 1, denominator: 7 }).is_err());
    }
}
