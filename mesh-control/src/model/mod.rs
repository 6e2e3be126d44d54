//! Istio's kinds as checked, typed objects.

/// All objects of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {}

/// The settings of the whole mesh that matter to translation, with istiod's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeshConfig {}

/// What is wrong with a configuration, in words for people: each with file, line and field where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// What keeps a configuration from being used.
    pub errors: Vec<String>,
    /// What is accepted but probably not meant, or not acted on yet.
    pub warnings: Vec<String>,
}
