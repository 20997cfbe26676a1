//! Answers a call; the default is deny. The order of the checks: tool, role and the role's tools, context, rules. A
//! rule that fails denies, whatever the others say. This file also decides when an ALLOW is cacheable, and how much
//! stack an evaluation gets.

use std::{cell::OnceCell, sync::Arc};

use cedar_policy::{Authorizer, Decision, Entities, PolicySet, RestrictedExpression};
use countersign_core::decision::{Effect, Reason};

use crate::{
    cedar::entity::Kind,
    compiled::{Compiled, CompiledPolicy},
    context::fit::unfit,
    context::{Context, PURPOSE},
    evaluation::{Evaluation, Request},
    explain,
    matches::{Basis, Matches},
    schema::ContextAttribute,
};

/// The result of one rule for a call that its scope covers.
pub(crate) enum Verdict {
    /// Its condition is true, or it has none.
    Applies,
    /// Its condition is false.
    Unmet,
    /// Its condition could not be evaluated.
    Failed,
    /// Its condition names an attribute that the call has and no rule can read.
    Unreadable,
}

/// Stack that the deepest accepted condition can need, in bytes. Cedar refuses to evaluate if the stack is too small,
/// and an answer must depend on the question, not on the depth of the stack at which it is evaluated.
const EVALUATION_STACK: usize = 4 << 20;
/// The stack that a thread with less is given for the evaluation; only the part that is used becomes memory.
const AMPLE_STACK: usize = 16 << 20;

/// Evaluates one policy. Cedar skips a policy that fails, which would turn a failing deny rule into an allowance; here
/// a failure is a separate result.
pub(crate) fn ask(request: &cedar_policy::Request, policy: &PolicySet, entities: &Entities) -> Verdict {
    let authorize = || Authorizer::new().is_authorized(request, policy, entities);
    let response = stacker::maybe_grow(EVALUATION_STACK, AMPLE_STACK, authorize);
    let diagnostics = response.diagnostics();
    if diagnostics.errors().next().is_some() {
        Verdict::Failed
    } else if response.decision() == Decision::Allow || diagnostics.reason().next().is_some() {
        Verdict::Applies
    } else {
        Verdict::Unmet
    }
}

/// The entities of the document and those of a call. For an entity in both, the call's version is used, which was made
/// from the document's.
pub(crate) fn with(document: &Entities, call: &Entities) -> Option<Entities> {
    document.clone().upsert_entities(call.iter().cloned(), None).ok()
}

impl CompiledPolicy {
    /// Answers a call. The default is deny. In this order:
    ///
    /// 1. a tool that the document does not register: DENY, `TOOL_UNKNOWN`;
    /// 2. a role that the document does not list, or a tool outside of the role's: DENY, `NO_MATCHING_RULE`;
    /// 3. a context that does not match the declarations, or a covering rule whose condition fails to evaluate or names
    ///    an unreadable value: DENY, `POLICY_ERROR`, whatever the other rules say;
    /// 4. a deny rule: DENY, `DENIED_BY_RULE`;
    /// 5. an allow rule that requires approval: REQUIRE_APPROVAL, even beside rules that do not;
    /// 6. an allow rule: ALLOW;
    /// 7. none of these: DENY, `NO_MATCHING_RULE`.
    ///
    /// A caller with several roles is answered once for each of them, and the most restrictive answer is used.
    #[must_use]
    pub fn evaluate(&self, request: &Request<'_>) -> Evaluation {
        let mut answers = by_role(request).map(|request| self.evaluation(&request, &self.basis(&request)));
        let own = answers.next().unwrap_or(Evaluation::deny(Reason::NoMatchingRule));
        answers.fold(own, Evaluation::and)
    }

    /// Like [`Self::evaluate`], with an explanation for persons, which never contains a value of the context.
    #[must_use]
    pub fn evaluate_in_words(&self, request: &Request<'_>) -> (Evaluation, String) {
        let answers: Vec<_> = by_role(request)
            .map(|request| {
                let basis = self.basis(&request);
                let evaluation = self.evaluation(&request, &basis);
                let words = explain::words(self, &request, &basis, &evaluation);
                (evaluation, words)
            })
            .collect();
        let own = Evaluation::deny(Reason::NoMatchingRule);
        let together = answers.iter().map(|(evaluation, _)| evaluation.clone()).reduce(Evaluation::and).unwrap_or(own);
        let same = |one: &Evaluation| (one.effect, one.reason) == (together.effect, together.reason);
        let words: Vec<_> = answers.iter().filter(|(one, _)| same(one)).map(|(_, words)| words.as_str()).collect();
        (together, words.join("; "))
    }

    fn basis(&self, request: &Request<'_>) -> Basis {
        self.outside_tables(request)
            .or_else(|| self.outside_context(request))
            .unwrap_or_else(|| Basis::Rules(self.matches(request, self.covering(request))))
    }

    /// The answer that follows from this basis.
    pub(crate) fn evaluation(&self, request: &Request<'_>, basis: &Basis) -> Evaluation {
        match basis {
            Basis::UnknownTool => Evaluation::deny(Reason::ToolUnknown),
            Basis::UnknownRole | Basis::ToolOutsideRole => Evaluation::deny(Reason::NoMatchingRule),
            Basis::UnfitContext(_) => Evaluation::deny(Reason::PolicyError),
            Basis::Rules(matches) => self.by_matches(request, matches),
        }
    }

    /// Whether the call's context does not match the document's declarations for its tool.
    pub(crate) fn outside_context(&self, request: &Request<'_>) -> Option<Basis> {
        let wrong = unfit(self.context()?, request.tool, request.context);
        (!wrong.is_empty()).then_some(Basis::UnfitContext(wrong))
    }

    /// Whether the call is not in the document's tables.
    pub(crate) fn outside_tables(&self, request: &Request<'_>) -> Option<Basis> {
        let (tool, role) = (request.tool, request.principal.role());
        if self.lists_tools() && self.tool(tool).is_none() {
            return Some(Basis::UnknownTool);
        }
        if !self.lists_roles() {
            return None;
        }
        match self.role(role) {
            None => Some(Basis::UnknownRole),
            Some(spec) if !spec.tools.is_empty() && !spec.tools.iter().any(|listed| listed.as_str() == tool) => {
                Some(Basis::ToolOutsideRole)
            }
            Some(_) => None,
        }
    }

    /// The answer of the rules alone, for the caller's first role.
    pub(crate) fn by_rules(&self, request: &Request<'_>) -> Evaluation {
        self.by_these(request, self.covering(request))
    }

    /// The rules whose scope covers a call.
    pub(crate) fn covering(&self, request: &Request<'_>) -> impl Iterator<Item = usize> {
        self.index.matching(request.tool, request.action, request.principal.role())
    }

    /// The answer of `rules` alone, which cover the call.
    pub(crate) fn by_these(&self, request: &Request<'_>, rules: impl Iterator<Item = usize>) -> Evaluation {
        self.by_matches(request, &self.matches(request, rules))
    }

    fn by_matches(&self, request: &Request<'_>, matches: &Matches) -> Evaluation {
        let (effect, reason, rules) = matches.answer();
        let rule_ids = self.rule_ids(rules);
        let cacheable = effect == Effect::Allow
            && !matches.context_matters
            && !self.declares_for(request.tool)
            && self.tool(request.tool).is_none_or(|tool| tool.cacheable);
        Evaluation { effect, reason, rule_ids, cacheable }
    }

    /// The result of each of `rules`, which cover the call.
    pub(crate) fn matches(&self, request: &Request<'_>, rules: impl Iterator<Item = usize>) -> Matches {
        let cedar = Cedar::new(request, self.context());
        self.sorted(rules, request.context, |policy, reaches| cedar.ask(policy, reaches))
    }

    /// The ids of these rules, sorted.
    pub(crate) fn rule_ids(&self, rules: &[usize]) -> Vec<Arc<str>> {
        let mut rule_ids: Vec<_> = rules.iter().map(|nth| self.compiled[*nth].id.clone()).collect();
        rule_ids.sort();
        rule_ids
    }

    /// Evaluates `rules`, which cover the call, and sorts them by their results.
    pub(crate) fn sorted(
        &self,
        rules: impl Iterator<Item = usize>,
        context: &Context,
        ask: impl Fn(&PolicySet, Option<&Entities>) -> Verdict,
    ) -> Matches {
        let mut matches = Matches::default();
        for nth in rules {
            let rule = &self.compiled[nth];
            let verdict = match &rule.policy {
                None => Verdict::Applies,
                Some(_) if rule.is_blind(context) => Verdict::Unreadable,
                Some(policy) => ask(policy, rule.reaches.as_ref()),
            };
            matches.context_matters |= !rule.reads.is_empty();
            match (verdict, rule.effect) {
                (Verdict::Failed, _) => matches.failed.push(nth),
                (Verdict::Unreadable, _) => {
                    matches.failed.push(nth);
                    matches.unreadable.push(nth);
                }
                (Verdict::Applies, Effect::Allow) => matches.allowing.push(nth),
                (Verdict::Applies, Effect::RequireApproval) => matches.asking.push(nth),
                (Verdict::Applies, Effect::Deny) => matches.denying.push(nth),
                (Verdict::Unmet, Effect::Allow | Effect::RequireApproval) => matches.unmet.push(nth),
                (Verdict::Unmet, Effect::Deny) => matches.unmet_denying.push(nth),
            }
        }
        matches
    }
}

impl Compiled {
    /// Whether the answer may depend on values in the context that no rule can read.
    fn is_blind(&self, context: &Context) -> bool {
        !context.is_readable() && self.names.iter().any(|named| context.concerns(named))
    }
}

/// The call with each role that restricts its caller, the caller's own role first.
pub(crate) fn by_role<'r>(request: &Request<'r>) -> impl Iterator<Item = Request<'r>> {
    let request = *request;
    request.principal.by_role().map(move |principal| Request { principal, ..request })
}

/// A call in Cedar's form, made when the first rule with a condition needs it.
struct Cedar<'r> {
    request: &'r Request<'r>,
    declared: Option<&'r [ContextAttribute]>,
    made: OnceCell<Option<cedar_policy::Request>>,
}

impl<'r> Cedar<'r> {
    const fn new(request: &'r Request<'r>, declared: Option<&'r [ContextAttribute]>) -> Self {
        Self { request, declared, made: OnceCell::new() }
    }

    /// Evaluates one policy, which can reach these entities of the document besides the caller.
    fn ask(&self, policy: &PolicySet, reaches: Option<&Entities>) -> Verdict {
        let caller = &self.request.principal.entities;
        let Some(request) = self.made.get_or_init(|| self.make()).as_ref() else { return Verdict::Failed };
        match reaches {
            None => ask(request, policy, caller),
            Some(reaches) => with(reaches, caller).map_or(Verdict::Failed, |entities| ask(request, policy, &entities)),
        }
    }

    fn make(&self) -> Option<cedar_policy::Request> {
        let Request { principal, tool, action, purpose, context } = self.request;
        let purpose = (PURPOSE.to_owned(), RestrictedExpression::new_string((*purpose).to_owned()));
        let attributes = context.to_cedar(self.declared, tool);
        let context = cedar_policy::Context::from_pairs(attributes.into_iter().chain([purpose])).ok()?;
        let (action, tool) = (Kind::Action.uid(action), Kind::Tool.uid(tool));
        cedar_policy::Request::new(principal.uid.clone(), action, tool, context, None).ok()
    }
}
