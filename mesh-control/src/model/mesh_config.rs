//! MeshConfig: the settings of the whole mesh that matter to translation, with istiod's defaults.

use super::decode::{self, Remarks, Unknown};
use super::http_route::Retries;
use super::report::Problems;
use super::traffic_policy::LocalityLb;
use super::{check, yaml};
use serde::Deserialize;

/// Settings of the whole mesh.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MeshConfig {
    /// The namespace whose rules hold for everyone; `istio-system`.
    pub root_namespace: String,
    /// The first part of every identity; `cluster.local`.
    pub trust_domain: String,
    /// Older names of the trust domain.
    pub trust_domain_aliases: Vec<String>,
    /// What is retried on routes that do not say.
    pub default_http_retry_policy: Option<Retries>,
    /// Who sees a service that does not say: `*` or `.`; everyone if empty.
    pub default_service_export_to: Vec<String>,
    /// Who sees a VirtualService that does not say.
    pub default_virtual_service_export_to: Vec<String>,
    /// Who sees a DestinationRule that does not say.
    pub default_destination_rule_export_to: Vec<String>,
    /// Balancing by locality where no DestinationRule says otherwise; enabled.
    pub locality_lb_setting: Option<LocalityLb>,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            root_namespace: "istio-system".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            trust_domain_aliases: Vec::new(),
            default_http_retry_policy: None,
            default_service_export_to: Vec::new(),
            default_virtual_service_export_to: Vec::new(),
            default_destination_rule_export_to: Vec::new(),
            locality_lb_setting: Some(LocalityLb { enabled: Some(true), ..LocalityLb::default() }),
        }
    }
}

impl MeshConfig {
    /// Reads a MeshConfig, the YAML that istiod has under the key `mesh`. Settings that nothing here acts on are warned of.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, text: &str) -> Result<(Self, Problems), Problems> {
        let documents = match yaml::parse(text) {
            Ok(documents) => documents,
            Err(error) => return Err(Problems::error(format!("{file}:{}: {}", error.line, error.message))),
        };
        let node = match documents.as_slice() {
            [] => return Ok((Self::default(), Problems::default())),
            [node] => node,
            [_, second, ..] => {
                return Err(Problems::error(format!("{file}:{}: a MeshConfig is one document", second.line)));
            }
        };
        let mut remarks = Remarks::default();
        let config = decode::decode::<Self>(node, "", Unknown::Warn, &mut remarks);
        if let Some(policy) = config.as_ref().and_then(|config| config.default_http_retry_policy.as_ref()) {
            let mut found = check::Check::default();
            found.within("defaultHttpRetryPolicy", |found| check::retries(policy, found));
            found.into_remarks(node, &mut remarks);
        }
        let told = |remarks: Vec<decode::Remark>| {
            remarks.into_iter().map(|it| format!("{file}:{}: {}: {}", it.line, it.path, it.message)).collect()
        };
        let problems = Problems { errors: told(remarks.errors), warnings: told(remarks.warnings) };
        match config {
            Some(config) if problems.errors.is_empty() => Ok((config, problems)),
            _ => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_has_istiods_default() {
        let (config, problems) =
            MeshConfig::parse("mesh.yaml", "trustDomain: prod\naccessLogFile: /dev/stdout\n").unwrap();
        assert_eq!((config.trust_domain.as_str(), config.root_namespace.as_str()), ("prod", "istio-system"));
        assert_eq!(problems.warnings, ["mesh.yaml:2: accessLogFile: not acted on"]);
    }

    #[test]
    fn mistakes_have_a_place() {
        let problems =
            MeshConfig::parse("mesh.yaml", "defaultHttpRetryPolicy:\n  attempts: 2\n  retryOn: soon\n")
                .unwrap_err();
        assert!(
            problems.errors[0].starts_with("mesh.yaml:3: defaultHttpRetryPolicy.retryOn: "),
            "{problems}"
        );
        let problems = MeshConfig::parse("mesh.yaml", "trustDomain: 3\n").unwrap_err();
        assert!(problems.errors[0].starts_with("mesh.yaml:1: trustDomain: "), "{problems}");
    }
}
