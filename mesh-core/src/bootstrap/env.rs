//! The environment variables that lead to the bootstrap.

use super::{Bootstrap, DiskCache};
use crate::error::{Error, Kind};
use std::ffi::OsString;
use std::path::Path;

/// Names the bootstrap file. Wins over [`BOOTSTRAP_CONFIG_VARIABLE`].
pub const BOOTSTRAP_VARIABLE: &str = "GRPC_XDS_BOOTSTRAP";
/// Holds the bootstrap itself.
pub const BOOTSTRAP_CONFIG_VARIABLE: &str = "GRPC_XDS_BOOTSTRAP_CONFIG";

/// Names the file of the disk cache. Wins over the bootstrap's field.
pub const DISK_CACHE_VARIABLE: &str = "MESH_DISK_CACHE";

pub(super) fn load(variable: impl Fn(&str) -> Option<OsString>) -> Result<Bootstrap, Error> {
    let mut bootstrap = load_bootstrap(&variable)?;
    if let Some(path) = variable(DISK_CACHE_VARIABLE).filter(|path| !path.is_empty()) {
        bootstrap.disk_cache = Some(DiskCache::new(Path::new(&path)));
    }
    Ok(bootstrap)
}

fn load_bootstrap(variable: impl Fn(&str) -> Option<OsString>) -> Result<Bootstrap, Error> {
    let value = |name| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = value(BOOTSTRAP_VARIABLE) {
        let path = Path::new(&path);
        let fail = |what: String, source: crate::error::BoxError| {
            Error::new(Kind::Bootstrap, format!("{BOOTSTRAP_VARIABLE}={}: {what}", path.display()))
                .with_source(source)
        };
        let json = std::fs::read_to_string(path)
            .map_err(|error| fail("the file cannot be read".to_owned(), error.into()))?;
        return Bootstrap::from_json(&json)
            .map_err(|error| fail("the bootstrap is not usable".to_owned(), error.into()));
    }
    if let Some(json) = value(BOOTSTRAP_CONFIG_VARIABLE) {
        let Some(json) = json.to_str() else {
            return Err(Error::new(Kind::Bootstrap, format!("{BOOTSTRAP_CONFIG_VARIABLE} is not UTF-8")));
        };
        return Bootstrap::from_json(json).map_err(|error| {
            Error::new(Kind::Bootstrap, format!("{BOOTSTRAP_CONFIG_VARIABLE}: the bootstrap is not usable"))
                .with_source(error)
        });
    }
    Err(Error::new(
        Kind::Bootstrap,
        format!(
            "no bootstrap: set {BOOTSTRAP_VARIABLE} to the path of a bootstrap file, or \
             {BOOTSTRAP_CONFIG_VARIABLE} to its content"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Chain;

    const JSON: &str = r#"{"xds_servers":[{"server_uri":"h:1","channel_creds":[{"type":"insecure"}]}]}"#;

    fn load_with(variables: &[(&str, &str)]) -> Result<Bootstrap, String> {
        load(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
            .map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn the_file_wins_over_the_inline_text() {
        let file = std::env::temp_dir().join(format!("mesh-bootstrap-{}.json", std::process::id()));
        std::fs::write(&file, JSON.replace("h:1", "file:1")).unwrap();
        let both = [(BOOTSTRAP_VARIABLE, file.to_str().unwrap()), (BOOTSTRAP_CONFIG_VARIABLE, JSON)];
        assert_eq!(load_with(&both).unwrap().servers[0].uri, "file:1");
        std::fs::remove_file(&file).unwrap();
        let error = load_with(&both).unwrap_err();
        assert!(error.contains("cannot be read") && error.contains("mesh-bootstrap-"), "{error}");
    }

    #[test]
    fn the_inline_text_serves_alone() {
        assert_eq!(load_with(&[(BOOTSTRAP_CONFIG_VARIABLE, JSON)]).unwrap().servers[0].uri, "h:1");
        let error = load_with(&[(BOOTSTRAP_CONFIG_VARIABLE, "{")]).unwrap_err();
        assert!(error.contains(BOOTSTRAP_CONFIG_VARIABLE) && error.contains("line 1"), "{error}");
    }

    #[test]
    fn the_disk_cache_may_be_named_beside_the_bootstrap() {
        let variables = [(BOOTSTRAP_CONFIG_VARIABLE, JSON), (DISK_CACHE_VARIABLE, "/var/cache/mesh")];
        let cache = load_with(&variables).unwrap().disk_cache.unwrap();
        assert_eq!(cache, DiskCache::new("/var/cache/mesh"));
    }

    #[test]
    fn without_either_the_error_says_what_to_do() {
        let error = load_with(&[(BOOTSTRAP_VARIABLE, "")]).unwrap_err();
        assert!(error.contains("set GRPC_XDS_BOOTSTRAP"), "{error}");
    }
}
