//! Small types that several kinds share.

use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::fmt;

/// The name by which the decoder knows [`Unused`].
pub(super) const UNUSED: &str = "Unused";

/// A field of Istio that is read and checked, but that nothing acts on yet. Its use is answered with a warning.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename = "Unused")]
pub struct Unused<T>(pub T);

/// A length of time as Istio writes it: `1h30m`, `2.5s`, `300ms`. May be negative until it is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    nanos: i128,
}

impl Duration {
    /// A duration of so many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self { nanos: millis as i128 * 1_000_000 }
    }

    /// Whole nanoseconds.
    #[must_use]
    pub fn as_nanos(self) -> i128 {
        self.nanos
    }

    /// Whole milliseconds.
    #[must_use]
    pub fn as_millis(self) -> i128 {
        self.nanos / 1_000_000
    }

    /// Reads Go's notation.
    ///
    /// # Errors
    /// If the text is none, or too long for 290 years.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a duration; write for example 1h30m, 2.5s or 300ms");
        let (sign, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            _ => (1, text),
        };
        if rest == "0" {
            return Ok(Self::default());
        }
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut nanos = 0_f64;
        while !rest.is_empty() {
            let digits = rest.find(|next: char| !next.is_ascii_digit() && next != '.').ok_or_else(wrong)?;
            let (number, after) = rest.split_at(digits);
            let units = after.find(|next: char| next.is_ascii_digit() || next == '.').unwrap_or(after.len());
            let (unit, next) = after.split_at(units);
            let scale = match unit {
                "h" => 3_600e9,
                "m" => 60e9,
                "s" => 1e9,
                "ms" => 1e6,
                "us" | "µs" | "μs" => 1e3,
                "ns" => 1.0,
                _ => return Err(wrong()),
            };
            nanos += number.parse::<f64>().map_err(|_| wrong())? * scale;
            rest = next;
        }
        if nanos > i64::MAX as f64 {
            return Err(format!("{text:?} is too long"));
        }
        Ok(Self { nanos: sign * nanos.round() as i128 })
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, Self::parse)
    }
}

/// A value that is written as text. What is wrong with it is told at its own place.
pub(super) fn from_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Text<T>(fn(&str) -> Result<T, String>);
    impl<T> de::Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.0)(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text(parse))
}

/// A share of a whole, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Percent {
    /// In percent.
    pub value: f64,
}

/// A port, given by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PortSelector {
    /// The number.
    pub number: u32,
}

/// Labels or the like, in a fixed order.
pub type Labels = BTreeMap<String, String>;

/// Whether `all` has every label of `wanted`.
#[must_use]
pub fn subset(wanted: &Labels, all: &Labels) -> bool {
    wanted.iter().all(|(key, value)| all.get(key) == Some(value))
}

/// Which workloads a ServiceEntry takes, by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Selector {
    /// All of these labels must be there.
    pub labels: Labels,
}

/// Which clients a DestinationRule is for, by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MatchLabels {
    /// All of these labels must be there.
    pub match_labels: Labels,
}

/// How a text is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StringMatch {
    /// Equal to this.
    pub exact: Option<String>,
    /// Begins with this.
    pub prefix: Option<String>,
    /// Matches this RE2 expression as a whole.
    pub regex: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let millis = |text: &str| Duration::parse(text).map(Duration::as_millis);
        assert_eq!(millis("1h30m"), Ok(5_400_000));
        assert_eq!(millis("2.5s"), Ok(2_500));
        assert_eq!(millis("300ms"), Ok(300));
        assert_eq!(millis("-1s"), Ok(-1000));
        assert_eq!(millis("0"), Ok(0));
        for wrong in ["", "1", "s", "1x", "soon", "1..s", "1s2", "-", "9999999999h"] {
            assert!(Duration::parse(wrong).is_err(), "{wrong}");
        }
    }
}
