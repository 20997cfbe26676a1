//! `countersign policy ...`: policy documents, before they reach a server and on their way to one.

mod apply;
mod diff;
mod files;
mod open_rollout;
mod simulate;
mod test;

use std::{io, path::PathBuf};

use clap::Subcommand;

use self::{apply::ApplyArgs, diff::DiffArgs, files::PolicyFiles, simulate::SimulateArgs, test::TestArgs};
use crate::remote::{RemoteError, output::print};

/// What to do with a policy document.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List all errors in a policy document, with file, line and column. Needs no server.
    #[command(after_help = "Example: countersign policy validate policy.yaml")]
    Validate(PolicyFiles),
    /// Run the tests of a policy. Needs no server.
    #[command(after_help = "Example: countersign policy test policy.yaml tests.yaml")]
    Test(TestArgs),
    /// Store a policy document in a running server, and start the rollout that it asks for, or activate it for all
    /// callers. Needs the role policy-admin.
    #[command(after_help = "Example: countersign policy apply policy.yaml --reason 'refunds up to 500'")]
    Apply(ApplyArgs),
    /// List what changes from one policy to another, a sentence each. Needs a server, and the role policy-admin or
    /// auditor there, only for stored versions such as `pv_3`.
    #[command(after_help = "Example: countersign policy diff pv_3 policy.yaml")]
    Diff(DiffArgs),
    /// Evaluate the recorded decisions of a running server with a policy document or a stored version, and count the
    /// answers that differ, by rule and sponsor. Changes nothing. Needs the role policy-admin or auditor.
    #[command(after_help = "Example: countersign policy simulate policy.yaml --sponsor alice")]
    Simulate(SimulateArgs),
}

/// Why a policy command ends without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// A file that is named cannot be used at all.
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// What is wrong with a document, a line each.
    #[error("{0}")]
    Invalid(String),
    /// What is wrong with a file of tests, a line each.
    #[error("{0}")]
    InvalidTests(String),
    /// The policy does not answer as its tests say.
    #[error("{failed} of {cases} test cases failed")]
    Failed { failed: usize, cases: usize },
    /// A stored version has its Cedar with it.
    #[error("a stored version has its Cedar with it: leave --old-cedar or --new-cedar out")]
    CedarOfVersion,
    /// A server did not do it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A simulation found what it was told to mind.
    #[error("{0} decisions would have had another answer")]
    Different(i64),
    /// A comparison found what it was told to mind.
    #[error("the two policies differ")]
    Changed,
}

impl PolicyError {
    /// The exit code: 2 where the command line is wrong, 1 where what it names is, 3 where something differs that was to be minded.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } | Self::InvalidTests(_) | Self::CedarOfVersion => 2,
            Self::Invalid(_) | Self::Failed { .. } | Self::Remote(_) => 1,
            Self::Different(_) | Self::Changed => 3,
        }
    }

    /// Whether the text is lines that begin with a place, as other programs parse them.
    pub(crate) const fn is_list(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::InvalidTests(_))
    }
}

/// Does it, and prints what came of it.
pub(crate) fn run(command: PolicyCommand) -> Result<(), PolicyError> {
    let said = match command {
        PolicyCommand::Validate(files) => validate(&files)?,
        PolicyCommand::Test(args) => test::run(&args)?,
        PolicyCommand::Apply(args) => apply::run(&args)?,
        PolicyCommand::Diff(args) => return diff::run(&args),
        PolicyCommand::Simulate(args) => return simulate::run(&args),
    };
    Ok(print(&said)?)
}

fn validate(files: &PolicyFiles) -> Result<String, PolicyError> {
    let (_, policy) = files.load()?;
    let rules = counted(policy.rules().len(), "rule");
    let doubts = match policy.warnings().len() {
        0 => String::new(),
        warnings => format!(", {}", counted(warnings, "warning")),
    };
    Ok(format!("{}{} is valid: {rules}{doubts}.\n", files.warnings(&policy), files.name()))
}

/// `1 rule`, `2 rules`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
