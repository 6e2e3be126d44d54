//! What names, labels, addresses and expressions look like.

use mesh_core::resource::re2::Expression;
use std::net::IpAddr;

const MAX_LABEL: usize = 63;
const MAX_DOMAIN: usize = 255;
const MAX_REGEX: usize = 1024;

/// A DNS label, capitals allowed.
pub(super) fn label(what: &str, name: &str) -> Result<(), String> {
    let inner = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let ends = !name.starts_with('-') && !name.ends_with('-');
    if name.is_empty() {
        Err(format!("the {what} must not be empty"))
    } else if name.len() > MAX_LABEL || !inner || !ends {
        Err(format!("{name:?} is no {what}: up to {MAX_LABEL} letters, digits and dashes within"))
    } else {
        Ok(())
    }
}

/// A complete domain name.
pub(super) fn fqdn(name: &str) -> Result<(), String> {
    domain(name, false)
}

/// A domain name whose first label may be or begin with `*`.
pub(super) fn wildcard_domain(name: &str) -> Result<(), String> {
    domain(name, true)
}

fn domain(name: &str, wildcard: bool) -> Result<(), String> {
    if name.is_empty() {
        return Err("a domain name must not be empty".to_owned());
    }
    if name.len() > MAX_DOMAIN {
        return Err(format!("a domain name has {MAX_DOMAIN} characters at most"));
    }
    let labels: Vec<&str> = name.strip_suffix('.').unwrap_or(name).split('.').collect();
    for (index, part) in labels.iter().enumerate() {
        let rest = match part.strip_prefix('*') {
            Some("") if wildcard && index == 0 => continue,
            Some(rest) if wildcard && index == 0 => rest.strip_prefix('-').unwrap_or(rest),
            _ => part,
        };
        label("label", rest).map_err(|why| format!("{name:?} is no domain name: {why}"))?;
    }
    match labels.last() {
        Some(top) if top.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("{name:?} is no domain name: its last label is a number"))
        }
        _ => Ok(()),
    }
}

/// The key of a label.
pub(super) fn label_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if let Some(prefix) = prefix {
        fqdn(prefix).map_err(|why| format!("{key:?} is no key of a label: {why}"))?;
    }
    if name.is_empty() || !word(name) {
        return Err(format!("{key:?} is no key of a label"));
    }
    Ok(())
}

/// The value of a label.
pub(super) fn label_value(value: &str) -> Result<(), String> {
    if word(value) { Ok(()) } else { Err(format!("{value:?} is no value of a label")) }
}

fn word(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// An IP address or a block of them.
pub(super) fn address(text: &str) -> Result<(), String> {
    let Some((address, bits)) = text.split_once('/') else {
        return text.parse::<IpAddr>().map(drop).map_err(|_| format!("{text:?} is no IP address"));
    };
    let wrong = || format!("{text:?} is no block of IP addresses");
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let bits: u32 = bits.parse().map_err(|_| wrong())?;
    if bits > if address.is_ipv4() { 32 } else { 128 } { Err(wrong()) } else { Ok(()) }
}

/// An expression as Envoy takes it.
pub(super) fn regex(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a regular expression must not be empty".to_owned());
    }
    if text.len() > MAX_REGEX {
        return Err(format!("a regular expression has {MAX_REGEX} characters at most"));
    }
    Expression::anywhere(text).map(drop)
}

/// The name of a header.
pub(super) fn header(name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err("a header's name must not be empty".to_owned())
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
        Err(format!("{name:?} is no name of a header"))
    } else {
        Ok(())
    }
}

/// The value of a header that is set: text with variables such as `%START_TIME%` or `%REQ(name)%`, and `%%` for a `%`.
pub(super) fn header_value(value: &str) -> Result<(), String> {
    if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(format!("{value:?} has control characters"));
    }
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        let open = || format!("{value:?} has a `%` that begins no variable; write `%%`");
        rest = match after.strip_prefix('%') {
            Some(after) => after,
            None => {
                let end = after.find(['%', '(']).ok_or_else(open)?;
                let arguments = after[end..].strip_prefix('(').map(|it| it.split_once(')').ok_or_else(open));
                let after = match arguments.transpose()? {
                    Some((_, after)) => after.trim_start_matches(' '),
                    None => &after[end..],
                };
                after.strip_prefix('%').ok_or_else(open)?
            }
        };
    }
    Ok(())
}

/// A share in percent.
pub(super) fn percent(value: f64) -> Result<(), String> {
    if value == 0.0 || (0.0001..=100.0).contains(&value) {
        Ok(())
    } else {
        Err(format!("{value} is neither 0 nor in the range 0.0001 to 100"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_follow_dns() {
        for good in ["echo", "echo.default.svc.cluster.local", "a.b.", "Pier.Example"] {
            assert_eq!(fqdn(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "a_b", "-a", "a..b", "1.2.3.4", "barge:8080", "*.a"] {
            assert!(fqdn(bad).is_err(), "{bad}");
        }
        for good in ["*", "*.a.example", "*a.example", "*-a.example"] {
            assert_eq!(wildcard_domain(good), Ok(()), "{good}");
        }
        assert!(wildcard_domain("a.*.example").is_err());
    }

    #[test]
    fn values_of_headers_may_have_variables() {
        for good in
            ["", "yes", "100%%", "%START_TIME%", "a %REQ(x-id)% b", "%START_TIME(%s.%3f)%", "%A([\"b\"])  %"]
        {
            assert_eq!(header_value(good), Ok(()), "{good}");
        }
        for bad in ["%", "50%", "a%b", "%A%%", "%A(b%", "%A(b)c%", "a\nb"] {
            assert!(header_value(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_may_be_blocks() {
        assert!(address("10.0.0.0/8").is_ok() && address("::1").is_ok());
        assert!(
            address("10.0.0.0/33").is_err()
                && address("310.0.0.1").is_err()
                && address("10.0.0.1/x").is_err()
        );
    }
}
