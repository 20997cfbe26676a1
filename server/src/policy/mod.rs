//! `countersign policy validate | test | apply | diff | simulate`: checks policy documents, and applies them to a
//! server. `validate` is in this file.

mod apply;
mod counted;
mod diff;
mod error;
mod files;
mod open_rollout;
mod simulate;
mod test;

use clap::Subcommand;

use self::{
    apply::ApplyArgs, counted::counted, diff::DiffArgs, files::PolicyFiles, simulate::SimulateArgs, test::TestArgs,
};
pub(crate) use error::PolicyError;

use crate::remote::output::print;

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

/// Runs the command and prints the result.
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
