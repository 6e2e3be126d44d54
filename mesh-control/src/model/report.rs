//! What is wrong with a configuration, in words for people.

use std::fmt;

/// What was found in a configuration: each with file, line and field where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// What keeps the configuration from being used.
    pub errors: Vec<String>,
    /// What is accepted, but not acted on yet or probably not meant.
    pub warnings: Vec<String>,
}

impl Problems {
    /// One error and nothing else.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { errors: vec![message.into()], warnings: Vec::new() }
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.errors.iter().map(|text| format!("error: {text}"));
        let lines: Vec<String> =
            errors.chain(self.warnings.iter().map(|text| format!("warning: {text}"))).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Problems {}
