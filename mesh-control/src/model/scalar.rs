//! What a plain scalar means in YAML 1.1, which is what istiod reads.

/// A scalar without quotes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text,
}

impl Plain {
    pub(super) fn of(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
                return Self::Bool(true);
            }
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
                return Self::Bool(false);
            }
            _ => {}
        }
        if !text.starts_with(['+', '-', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
            return Self::Text;
        }
        integer(text).map(Self::Integer).or_else(|| float(text).map(Self::Float)).unwrap_or(Self::Text)
    }

    /// How an error message calls it.
    pub(super) fn describe(self, text: &str) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(_) => format!("the boolean `{text}`"),
            Self::Integer(_) | Self::Float(_) => format!("the number `{text}`"),
            Self::Text => format!("the text {text:?}"),
        }
    }
}

/// An integer in any of the notations of YAML 1.1.
pub(super) fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let (radix, digits) = if let Some(rest) = digits.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = digits.strip_prefix("0b") {
        (2, rest)
    } else if let Some(rest) = digits.strip_prefix("0o") {
        (8, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits.as_str())
    };
    if !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok().map(|value| sign * value)
}

pub(super) fn float(text: &str) -> Option<f64> {
    let special = text.trim_start_matches(['+', '-']);
    if special.eq_ignore_ascii_case(".inf") || special.eq_ignore_ascii_case(".nan") {
        return Some(f64::NAN);
    }
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    (number && text.bytes().any(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_yaml_1_1_are_booleans() {
        for word in ["yes", "on", "y", "TRUE"] {
            assert_eq!(Plain::of(word), Plain::Bool(true));
        }
        assert_eq!(Plain::of("off"), Plain::Bool(false));
        assert_eq!(Plain::of("offline"), Plain::Text);
    }

    #[test]
    fn numbers_have_many_notations() {
        assert_eq!(Plain::of("8080"), Plain::Integer(8080));
        assert_eq!(Plain::of("-1"), Plain::Integer(-1));
        assert_eq!(Plain::of("0x1F"), Plain::Integer(31));
        assert_eq!(Plain::of("010"), Plain::Integer(8));
        assert_eq!(Plain::of("1_000"), Plain::Integer(1000));
        assert_eq!(Plain::of("33.3"), Plain::Float(33.3));
        assert_eq!(Plain::of("1e-5"), Plain::Float(1e-5));
        for text in [
            "127.0.0.1",
            "v1",
            "1s",
            "-",
            "0x",
            "1.2.3",
            "99999999999999999999999999999999999999999",
            "2026-01-01",
        ] {
            assert!(!matches!(Plain::of(text), Plain::Integer(_) | Plain::Bool(_)), "{text}");
        }
        assert_eq!(Plain::of("127.0.0.1"), Plain::Text);
    }
}
