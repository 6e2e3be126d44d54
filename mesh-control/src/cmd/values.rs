//! Values on the command line.

use std::time::Duration;

/// A duration with its unit: `300ms`, `1.5s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let fail = || format!("{text:?} is not a duration: write a number and a unit, such as 300ms, 1.5s or 2m");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| fail())?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(fail()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| fail())
}

/// A gRPC target as it is written: a name alone is one of the control plane's.
pub(super) fn target(text: &str) -> String {
    if text.contains(":/") { text.to_owned() } else { format!("xds:///{text}") }
}

/// What is likely wrong with a target that is not known.
pub(super) fn doubt(target: &str) -> Option<String> {
    let name = target.strip_prefix("xds:///")?;
    let port = name.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.is_none().then(|| format!("{name} has no port: control planes of Istio know targets as host:port"))
}

/// A header, `name=value` or `name: value`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(['=', ':']).ok_or_else(|| format!("{text:?} is not a header: write name=value"))?;
    http::HeaderName::try_from(name).map_err(|_| format!("{name:?} cannot be the name of a header"))?;
    let value = value.trim_start_matches(' ');
    http::HeaderValue::try_from(value).map_err(|_| format!("{value:?} cannot be the value of a header"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A rate per second: a positive number.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err(format!("{text:?} is not a rate: write calls per second, such as 100 or 0.5")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "1d", "1.2.3s", "1e400s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets_are_names_of_the_control_plane_unless_they_say_otherwise() {
        assert_eq!(target("echo:80"), "xds:///echo:80");
        assert_eq!(target("dns:///echo:80"), "dns:///echo:80");
        assert_eq!(doubt("xds:///echo:80").or(doubt("dns:///echo")), None);
        assert!(doubt("xds:///echo").is_some_and(|doubt| doubt.contains("host:port")));
        assert!(doubt("xds:///echo:http").is_some());
    }

    #[test]
    fn headers_have_a_name_and_a_value() {
        assert_eq!(header("end-user=jason"), Ok(("end-user".into(), "jason".into())));
        assert_eq!(header("accept: text/plain=x"), Ok(("accept".into(), "text/plain=x".into())));
        for wrong in ["none", "two words=x", "=x", "a=\n"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_positive() {
        assert_eq!(rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "x", "inf", "NaN"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
