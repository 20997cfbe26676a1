//! Tests of a policy: calls and the expected answers (effect, reason, rules). They are read and run without a server.

mod read;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use countersign_core::{
    decision::{Effect, Reason},
    names::{RoleName, ToolId},
};

use crate::{
    compiled::CompiledPolicy,
    context::Context,
    evaluate::by_role,
    evaluation::{Evaluation, Request},
    matches::Matches,
    principal::{Principal, PrincipalSpec},
    text::listed,
    violation::Violations,
};

/// A file of cases.
#[derive(Debug)]
pub struct PolicyTests {
    cases: Vec<TestCase>,
}

/// A call and the expected answer.
#[derive(Debug)]
pub struct TestCase {
    name: String,
    line: u32,
    principal: TestPrincipal,
    tool: Arc<str>,
    action: Arc<str>,
    /// `None` for the caller's purpose.
    purpose: Option<String>,
    context: Context,
    expected: Expected,
}

/// The caller.
#[derive(Debug)]
struct TestPrincipal {
    agent_instance_id: Arc<str>,
    root_instance_id: Arc<str>,
    sponsor_id: Arc<str>,
    agent: Arc<str>,
    role: Arc<str>,
    inherited_roles: Vec<RoleName>,
    depth: u32,
    purpose: String,
    tools: Vec<ToolId>,
    labels: BTreeMap<String, String>,
}

/// The expected answer. A field that is `None` may have any value.
#[derive(Debug)]
struct Expected {
    effect: Effect,
    reason: Option<Reason>,
    /// Sorted.
    rules: Option<Vec<Arc<str>>>,
}

/// How a policy answered one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// The differences from the expected answer, one line each; empty if the case passed.
    pub differences: Vec<String>,
    /// The policy's explanation for persons.
    pub message: String,
}

impl PolicyTests {
    /// Reads a file of cases. All violations are returned at once, each with line and column. A file without a case is
    /// an error.
    pub fn read(text: &str) -> Result<Self, Violations> {
        read::read(text)
    }

    /// The cases, in the file's order. At least one.
    #[must_use]
    pub fn cases(&self) -> &[TestCase] {
        &self.cases
    }
}

impl TestCase {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line it starts on, from 1.
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// Asks the policy, and adds the rules that applied to `reached`.
    pub fn run(&self, policy: &CompiledPolicy, reached: &mut BTreeSet<Arc<str>>) -> TestResult {
        let principal = self.principal.build();
        let request = Request {
            principal: &principal,
            tool: &self.tool,
            action: &self.action,
            purpose: self.purpose.as_deref().unwrap_or(&self.principal.purpose),
            context: &self.context,
        };
        reached.extend(policy.applying(&request));
        let (answer, message) = policy.evaluate_in_words(&request);
        TestResult { differences: self.expected.differences(&answer), message }
    }
}

impl TestPrincipal {
    fn build(&self) -> Principal {
        Principal::new(&PrincipalSpec {
            agent_instance_id: &self.agent_instance_id,
            root_instance_id: &self.root_instance_id,
            sponsor_id: &self.sponsor_id,
            agent: &self.agent,
            role: &self.role,
            inherited_roles: &self.inherited_roles,
            depth: self.depth,
            purpose: &self.purpose,
            tools: &self.tools,
            labels: &self.labels,
        })
    }
}

impl Expected {
    fn differences(&self, answer: &Evaluation) -> Vec<String> {
        let mut differences = Vec::new();
        if self.effect != answer.effect {
            differences.push(format!("effect: expected {}, is {}", self.effect, answer.effect));
        }
        if let Some(reason) = self.reason.filter(|reason| *reason != answer.reason) {
            differences.push(format!("reason: expected {reason}, is {}", answer.reason));
        }
        if let Some(rules) = self.rules.as_ref().filter(|rules| **rules != answer.rule_ids) {
            differences.push(format!("rules: expected {}, are {}", some(rules), some(&answer.rule_ids)));
        }
        differences
    }
}

fn some(rules: &[Arc<str>]) -> String {
    if rules.is_empty() { "none".to_owned() } else { listed(rules) }
}

impl CompiledPolicy {
    /// The rules that apply to a call, whether or not they determine the answer. Empty if no rule is evaluated.
    fn applying(&self, request: &Request<'_>) -> Vec<Arc<str>> {
        if self.outside_tables(request).or_else(|| self.outside_context(request)).is_some() {
            return Vec::new();
        }
        let applying = |request: Request<'_>| {
            let Matches { allowing, asking, denying, .. } = self.matches(&request, self.covering(&request));
            [allowing, asking, denying].into_iter().flatten()
        };
        by_role(request).flat_map(applying).map(|nth| self.compiled[nth].id.clone()).collect()
    }
}
