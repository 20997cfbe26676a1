//! Answers a recorded call again, as in a simulation, from what was kept of it: not its context, and possibly not its
//! purpose. There is no answer if it depends on what was not kept.

use countersign_core::decision::{Effect, Reason};

use crate::{
    compiled::{Compiled, CompiledPolicy},
    context::{Context, PURPOSE},
    evaluation::{Evaluation, Request},
    principal::Principal,
};

/// A recorded call.
#[derive(Debug, Clone, Copy)]
pub struct Replay<'a> {
    /// The caller.
    pub principal: &'a Principal,
    /// The tool.
    pub tool: &'a str,
    /// The action.
    pub action: &'a str,
    /// The purpose. `None` if it was erased.
    pub purpose: Option<&'a str>,
}

/// What the answer to a call depends on besides its role, tool and action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stakes {
    /// Facts about the caller other than its role.
    pub principal: bool,
    /// The purpose.
    pub purpose: bool,
}

impl Stakes {
    /// What either depends on.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { principal: self.principal || other.principal, purpose: self.purpose || other.purpose }
    }
}

impl CompiledPolicy {
    /// What the answer to such a call depends on: calls that agree in this too have the same answer.
    #[must_use]
    pub fn stakes(&self, role: &str, tool: &str, action: &str) -> Stakes {
        let mut stakes = Stakes::default();
        for rule in self.index.matching(tool, action, role).map(|nth| &self.compiled[nth]) {
            stakes.principal |= rule.policy.is_some();
            stakes.purpose |= rule.reads_purpose();
        }
        stakes
    }

    /// Whether any condition reads the purpose of a call.
    #[must_use]
    pub fn reads_purpose(&self) -> bool {
        self.compiled.iter().any(Compiled::reads_purpose)
    }

    /// Answers a recorded call as [`Self::evaluate`] would have. `None` if the answer depends on data that was not
    /// kept. A denial that does not depend on it names the rules that are certain.
    ///
    /// If several roles restrict the caller, a denial for any of them is final, whatever the others say.
    #[must_use]
    pub fn replay(&self, call: &Replay<'_>) -> Option<Evaluation> {
        let answers: Vec<_> =
            call.principal.by_role().map(|principal| self.replay_as(&Replay { principal, ..*call })).collect();
        let known = || answers.iter().flatten().cloned().reduce(Evaluation::and);
        let all_known = answers.iter().all(Option::is_some);
        known().filter(|answer| all_known || answer.effect == Effect::Deny)
    }

    /// [`Self::replay`] for the caller's first role.
    fn replay_as(&self, call: &Replay<'_>) -> Option<Evaluation> {
        let Replay { principal, tool, action, purpose } = *call;
        let context = Context::default();
        let request = Request { principal, tool, action, purpose: purpose.unwrap_or_default(), context: &context };
        if let Some(basis) = self.outside_tables(&request) {
            return Some(self.evaluation(&request, &basis));
        }
        let (undetermined, sure): (Vec<_>, Vec<_>) =
            self.covering(&request).partition(|nth| self.compiled[*nth].reads_what_is_gone(purpose.is_some()));
        let answer = self.by_these(&request, sure.into_iter());
        // An uncertain rule may also fail, which denies; so an allowance beside one is not certain. A denial is certain
        // if a rule denies, or if nothing else could have allowed.
        let denied_by_a_rule = matches!(answer.reason, Reason::PolicyError | Reason::DeniedByRule);
        let may_allow = undetermined.iter().any(|nth| self.compiled[*nth].effect != Effect::Deny);
        // A context that did not match the declarations would deny too.
        let sure = undetermined.is_empty() && !self.declares_for(tool);
        let stands = sure || denied_by_a_rule || (answer.effect == Effect::Deny && !may_allow);
        stands.then_some(answer)
    }
}

impl Compiled {
    fn reads_purpose(&self) -> bool {
        self.reads.iter().any(|path| is_purpose(path))
    }

    /// Whether the rule reads the context, apart from a purpose that was kept.
    pub(crate) fn reads_what_is_gone(&self, purpose_is_kept: bool) -> bool {
        self.reads.iter().any(|path| !(purpose_is_kept && is_purpose(path)))
    }
}

fn is_purpose(path: &str) -> bool {
    path.strip_prefix("context.") == Some(PURPOSE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::PrincipalSpec;

    const DOCUMENT: &str = r#"
rules:
  - {id: plain, role: support, tool: search, allowed_actions: [find]}
  - {id: small, role: support, tool: billing, allowed_actions: [charge], when: context.amount_cents <= 500}
  - {id: shallow, role: support, tool: billing, allowed_actions: [refund], when: principal.depth == 0}
  - {id: for-tickets, role: support, tool: mail, allowed_actions: [send], when: 'context.purpose like "ticket*"'}
  - {id: large, effect: deny, role: support, tool: crm, allowed_actions: [read, write, erase], when: context.rows > 10}
  - {id: reads, role: support, tool: crm, allowed_actions: [read]}
  - {id: no-erasing, effect: deny, role: support, tool: crm, allowed_actions: [erase]}
"#;

    fn principal(depth: u32) -> Principal {
        Principal::new(&PrincipalSpec {
            agent_instance_id: "inst_1",
            root_instance_id: "inst_1",
            sponsor_id: "alice",
            agent: "assistant",
            role: "support",
            inherited_roles: &[],
            depth,
            purpose: "ticket 1",
            tools: &[],
            labels: &BTreeMap::new(),
        })
    }

    /// The answer and its rules, or `?`.
    fn answer(tool: &str, action: &str, depth: u32, purpose: Option<&str>) -> String {
        let policy = CompiledPolicy::load(DOCUMENT, "").unwrap();
        let principal = principal(depth);
        let answer = policy.replay(&Replay { principal: &principal, tool, action, purpose });
        answer.map_or_else(|| "?".to_owned(), |answer| format!("{} [{}]", answer.effect, answer.rule_ids.join(" ")))
    }

    #[test]
    fn a_replay_answers_only_what_the_kept_context_decides() {
        let purpose = Some("ticket 1");
        assert_eq!(answer("search", "find", 0, purpose), "ALLOW [plain]");
        assert_eq!(answer("billing", "refund", 0, purpose), "ALLOW [shallow]");
        assert_eq!(answer("billing", "refund", 1, purpose), "DENY []");
        assert_eq!(answer("billing", "charge", 0, purpose), "?", "the amount decides");
        assert_eq!(answer("crm", "read", 0, purpose), "?", "the deny rule may apply, or fail");
        assert_eq!(answer("crm", "write", 0, purpose), "DENY []", "nothing could allow it");
        assert_eq!(answer("crm", "erase", 0, purpose), "DENY [no-erasing]", "denied whatever the rows");
        assert_eq!(answer("mail", "send", 0, purpose), "ALLOW [for-tickets]");
        assert_eq!(answer("mail", "send", 0, Some("spam")), "DENY []");
        assert_eq!(answer("mail", "send", 0, None), "?", "the purpose was erased");
    }

    #[test]
    fn an_allow_with_a_declared_context_depends_on_it() {
        let document =
            format!("context: {{n: {{type: long, tools: [search]}}}}\n{DOCUMENT}").replace("amount_cents", "n");
        let document =
            document.replace("tool: billing, allowed_actions: [charge]", "tool: search, allowed_actions: [buy]");
        let policy = CompiledPolicy::load(&document.replace("context.rows", "principal.depth"), "").unwrap();
        let principal = principal(0);
        let answer = |tool, action| {
            let call = Replay { principal: &principal, tool, action, purpose: Some("ticket 1") };
            policy.replay(&call).map(|answer| answer.effect)
        };
        assert_eq!(answer("search", "find"), None);
        assert_eq!(answer("search", "unheard-of"), Some(Effect::Deny));
        assert_eq!(answer("billing", "refund"), Some(Effect::Allow));
    }

    #[test]
    fn stakes_are_what_conditions_read() {
        let policy = CompiledPolicy::load(DOCUMENT, "").unwrap();
        let stakes = |tool, action| policy.stakes("support", tool, action);
        assert_eq!(stakes("search", "find"), Stakes::default());
        assert_eq!(stakes("billing", "refund"), Stakes { principal: true, purpose: false });
        assert_eq!(stakes("mail", "send"), Stakes { principal: true, purpose: true });
        assert!(policy.reads_purpose());
        assert!(
            !CompiledPolicy::load(include_str!("../tests/documents/policy-config.yaml"), "").unwrap().reads_purpose()
        );
    }
}
