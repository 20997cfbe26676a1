//! The policy document in a configuration (in dev, the built-in one), its roles, its warnings, and its faults, with
//! which it is refused unless it is already stored.

use std::path::PathBuf;

use countersign_core::names::RoleName;
use countersign_policy::{CompiledPolicy, Violation};

use super::{
    problem::{Origin, Problem},
    settings::{self, Settings},
};
use crate::dev;

/// A policy document that compiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDocument {
    /// The path, for messages.
    pub path: PathBuf,
    /// The YAML.
    pub text: String,
    /// The roles in it.
    pub roles: Vec<RoleName>,
    /// Errors for which a server refuses this document, unless it is already stored. `serve` asks the database; a check
    /// cannot.
    pub faults: Vec<Problem>,
    /// Constructs that are permitted but are probably a mistake.
    pub warnings: Vec<Problem>,
}

impl PolicyDocument {
    /// The configured document; in dev, if none is configured, the built-in one.
    pub(super) fn read(settings: &mut Settings, dev: bool) -> Option<Self> {
        let (path, text) = match settings.path("policy") {
            Some(path) => match settings::read_text(&path) {
                Ok(text) => (path, text),
                Err(problem) => {
                    settings.report_all(vec![problem]);
                    return None;
                }
            },
            None if dev => (dev::POLICY_NAME.into(), dev::POLICY.to_owned()),
            None => return None,
        };
        let problem = |violation: &Violation| {
            let origin = Origin::File(path.clone(), violation.line.into());
            Problem::new(origin, &violation.path, violation.message.clone())
        };
        let problems = |violations: &[Violation]| violations.iter().map(problem).collect::<Vec<_>>();
        // A document that is already stored stays in use; whether this one may be stored is checked when it is loaded.
        match CompiledPolicy::load_stored(&text, "") {
            Ok(policy) => {
                let (faults, warnings) = (problems(policy.faults()), problems(policy.warnings()));
                Some(Self { roles: roles(&policy), path, text, faults, warnings })
            }
            Err(violations) => {
                settings.report_all(violations.iter().map(problem).collect());
                None
            }
        }
    }
}

/// Every role that the policy lists or has a rule for, in the order of the document.
fn roles(policy: &CompiledPolicy) -> Vec<RoleName> {
    let of_rules = policy.rules().iter().filter_map(|rule| rule.role.as_deref()?.parse().ok());
    let mut roles: Vec<RoleName> = Vec::new();
    for role in policy.role_names().cloned().chain(of_rules) {
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    roles
}
