//! `countersign policy test`: whether a policy's answers are those that its tests expect.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use countersign_policy::{CompiledPolicy, PolicyTests, TestCase};

use super::{
    PolicyError,
    counted::counted,
    files::{PolicyFiles, placed, read_text},
};
use crate::remote::output::print;

/// Which policy, and which cases.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    files: PolicyFiles,
    /// Files of cases, YAML.
    #[arg(value_name = "TESTS", required = true)]
    tests: Vec<PathBuf>,
}

/// The results of the cases so far.
#[derive(Default)]
struct Report {
    text: String,
    cases: usize,
    failed: usize,
    reached: BTreeSet<Arc<str>>,
}

/// Runs all cases. Every file is read before the first case runs.
pub(super) fn run(args: &TestArgs) -> Result<String, PolicyError> {
    let (_, policy) = args.files.load()?;
    let files = args.tests.iter().map(|path| Ok((path.as_path(), read_tests(path)?)));
    let files = files.collect::<Result<Vec<_>, PolicyError>>()?;
    let mut report = Report::default();
    for (path, tests) in &files {
        for case in tests.cases() {
            report.run(&policy, path, case);
        }
    }
    report.finish(&policy)
}

fn read_tests(path: &Path) -> Result<PolicyTests, PolicyError> {
    PolicyTests::read(&read_text(path)?).map_err(|violations| {
        let lines: Vec<_> = violations.iter().map(|violation| placed(path, violation)).collect();
        PolicyError::InvalidTests(lines.join("\n"))
    })
}

impl Report {
    fn run(&mut self, policy: &CompiledPolicy, path: &Path, case: &TestCase) {
        self.cases += 1;
        let result = case.run(policy, &mut self.reached);
        if result.differences.is_empty() {
            return;
        }
        self.failed += 1;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{}:{}: {}", path.display(), case.line(), case.name());
        for difference in &result.differences {
            let _ = writeln!(self.text, "    {difference}");
        }
        let _ = writeln!(self.text, "    the policy says: {}\n", result.message);
    }

    fn finish(self, policy: &CompiledPolicy) -> Result<String, PolicyError> {
        let ids = policy.rules().iter().map(|rule| rule.rule_id.as_str());
        let missed: Vec<_> = ids.filter(|id| !self.reached.contains(*id)).collect();
        let coverage = if missed.is_empty() {
            "Every rule applied to a case.".to_owned()
        } else {
            format!("Rules that applied to no case: {}.", missed.join(", "))
        };
        let outcome = match self.failed {
            0 => format!("{} passed.", counted(self.cases, "case")),
            failed => format!("{failed} of {} failed.", counted(self.cases, "case")),
        };
        let text = format!("{}{outcome}\n{coverage}\n", self.text);
        if self.failed == 0 {
            return Ok(text);
        }
        print(&text)?;
        Err(PolicyError::Failed { failed: self.failed, cases: self.cases })
    }
}
