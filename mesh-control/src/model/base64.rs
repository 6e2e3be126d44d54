//! Bytes, which YAML holds as Base64.

use super::values::from_text;
use base64::Engine;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer};

/// Bytes. Both alphabets are taken, with and without padding, as istiod takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, |text| parse(text).map(Self))
    }
}

fn parse(text: &str) -> Result<Vec<u8>, String> {
    /// What stands at the end may be left out, and need not be zero.
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let engine = |alphabet: &Alphabet| GeneralPurpose::new(alphabet, LENIENT);
    let alphabet = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    // YAML may break long texts into lines.
    let digits = text.replace(['\r', '\n'], "");
    engine(alphabet).decode(digits).map_err(|error| format!("is not Base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_bytes() {
        for (text, bytes) in [
            ("", &b""[..]),
            ("aGVsbG8=", b"hello"),
            ("aGVsbG8", b"hello"),
            ("aGVs\nbG8=\n", b"hello"),
            ("/+8=", b"\xff\xef"),
            ("_-8=", b"\xff\xef"),
            ("_-8", b"\xff\xef"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_base64_is_told() {
        for text in ["a", "a b", "aGVsbG8=x", "_+8=", "%"] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("is not Base64: "), "{text:?}: {error}");
        }
    }
}
