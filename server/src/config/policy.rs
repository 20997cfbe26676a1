//! The policy document that a configuration names.

use std::path::PathBuf;

use countersign_policy::{CompiledPolicy, Violation, Violations};

use super::{
    problem::{Origin, Problem},
    settings::{self, Settings},
};
use crate::dev;

/// A policy document that compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    /// Where it comes from, for messages.
    pub path: PathBuf,
    /// The YAML.
    pub text: String,
}

impl PolicyDocument {
    /// The document that is named; in dev, unless one is, the one that is shipped.
    pub(super) fn read(settings: &mut Settings, dev: bool) -> Option<Self> {
        let document = match settings.path("policy") {
            Some(path) => settings::read_text(&path).map(|text| Self { path, text }),
            None if dev => Ok(Self { path: dev::POLICY_NAME.into(), text: dev::POLICY.to_owned() }),
            None => return None,
        };
        document
            .map_err(|problem| vec![problem])
            .and_then(|document| document.check().map(|()| document))
            .map_err(|problems| settings.report_all(problems))
            .ok()
    }

    /// Everything that keeps it from being a policy, each with its line.
    fn check(&self) -> Result<(), Vec<Problem>> {
        let problem = |violation: Violation| {
            Problem::new(Origin::File(self.path.clone(), violation.line.into()), &violation.path, violation.message)
        };
        let problems = |violations: Violations| violations.into_iter().map(problem).collect();
        CompiledPolicy::load(&self.text, "").map(drop).map_err(problems)
    }
}
