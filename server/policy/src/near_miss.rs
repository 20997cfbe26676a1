//! Explains the answer to a recorded call: which rules matched, which nearly did (near misses, and how many are named),
//! and what would have changed the answer.

use std::{collections::HashMap, fmt, sync::Arc};

use countersign_core::decision::{Effect, Reason};

use crate::{
    compiled::{CompiledPolicy, Rule},
    context::Context,
    evaluation::{Evaluation, Request},
    explain,
    matches::{Basis, Matches},
    principal::{Principal, PrincipalSpec},
    text::{listed, quoted},
};

/// Limit of the rules that are named as near misses.
pub const MAX_NEAR_MISSES: usize = 50;
/// Limit of the conditions that are evaluated to find them, because a document may have 20,000.
const MAX_TRIES: usize = 1_000;

/// A recorded call that is explained.
#[derive(Debug, Clone, Copy)]
pub struct ExplainedCall<'a> {
    /// The caller. An empty purpose was erased.
    pub principal: &'a PrincipalSpec<'a>,
    /// The tool.
    pub tool: &'a str,
    /// The action.
    pub action: &'a str,
    /// The purpose. `None` if it was erased.
    pub purpose: Option<&'a str>,
}

/// A policy's explanation of a recorded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The answer, to the extent that rules could be evaluated.
    pub evaluation: Evaluation,
    /// The explanation for persons. Never contains a value of the context.
    pub message: String,
    /// The rules that cover the call and have no condition, or one that is true; sorted.
    pub matched: Vec<Arc<str>>,
    /// The rules that would have matched except for one mismatch, nearest first: condition, actions, tool, role.
    pub near_misses: Vec<NearMiss>,
    /// The rules that cover the call and read data that was not kept; sorted.
    pub unevaluated: Vec<Arc<str>>,
    /// What would have changed the answer, in a sentence. `None` if there is no near miss.
    pub otherwise: Option<String>,
}

/// A rule that would have matched except for one mismatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearMiss {
    /// The rule.
    pub rule_id: Arc<str>,
    /// Its answer if it had matched.
    pub effect: Effect,
    /// The mismatch.
    pub miss: Mismatch,
    /// Whether its condition reads data that was not kept: the condition must be true too, and it is unknown whether it
    /// is.
    pub undetermined: bool,
}

/// The only reason why a rule did not match, nearest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mismatch {
    /// Its condition is false: the condition, cut if it is long.
    Condition(String),
    /// It covers other actions.
    Action {
        /// The actions that it covers.
        covered: Vec<String>,
        /// The action of the call.
        asked: String,
    },
    /// It covers another tool.
    Tool {
        /// The tool that it covers.
        covered: String,
        /// The tool of the call.
        asked: String,
    },
    /// It covers another role.
    Role {
        /// The role that it covers.
        covered: String,
        /// The role of the caller.
        held: String,
    },
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = match self.effect {
            Effect::Allow => "allow it",
            Effect::Deny => "forbid it",
            Effect::RequireApproval => "allow it once a person has approved it",
        };
        write!(f, "rule {:?} would {would}, but ", self.rule_id)?;
        match &self.miss {
            Mismatch::Condition(condition) => write!(f, "its condition does not hold: {condition}")?,
            Mismatch::Action { covered, asked } => {
                let covered = listed(covered.iter().map(|action| quoted(action)));
                write!(f, "covers the action {covered} and not {}", quoted(asked))?;
            }
            Mismatch::Tool { covered, asked } => write!(f, "covers the tool {covered:?} and not {}", quoted(asked))?,
            Mismatch::Role { covered, held } => write!(f, "is for the role {covered:?} and not {}", quoted(held))?,
        }
        if self.undetermined {
            f.write_str("; and its condition reads data of the call that was not stored")
        } else {
            Ok(())
        }
    }
}

impl CompiledPolicy {
    /// Explains a recorded call. Its context was not kept, so the rules that cover the call and read the context are
    /// named and left out, and so are the document's declarations about the context.
    ///
    /// If several roles restrict the caller, the explanation is that of the role with the most restrictive answer.
    #[must_use]
    pub fn explain(&self, call: &ExplainedCall<'_>) -> Explanation {
        let alone = PrincipalSpec { inherited_roles: &[], ..*call.principal };
        let inherited =
            call.principal.inherited_roles.iter().map(|role| PrincipalSpec { role: role.as_str(), ..alone });
        let own = self.explain_as(&ExplainedCall { principal: &alone, ..*call });
        inherited
            .fold(own, |own, principal| own.and(self.explain_as(&ExplainedCall { principal: &principal, ..*call })))
    }

    /// [`Self::explain`] for the caller's first role.
    fn explain_as(&self, call: &ExplainedCall<'_>) -> Explanation {
        let principal = Principal::new(call.principal);
        let context = Context::default();
        let request = call.request(&principal, &context);
        let (undetermined, sure): (Vec<_>, Vec<_>) =
            self.covering(&request).partition(|nth| self.is_unsure(*nth, call));
        let by_rules = || Basis::Rules(self.matches(&request, sure.into_iter()));
        let basis = self.outside_tables(&request).unwrap_or_else(by_rules);
        let evaluation = self.evaluation(&request, &basis);
        let message = explain::words(self, &request, &basis, &evaluation);
        let Basis::Rules(matches) = basis else {
            return Explanation {
                evaluation,
                message,
                matched: Vec::new(),
                near_misses: Vec::new(),
                unevaluated: Vec::new(),
                otherwise: None,
            };
        };
        let near_misses = self.near_misses(call, &matches);
        Explanation {
            otherwise: self.otherwise(&evaluation, &matches, &near_misses),
            evaluation,
            message,
            matched: self.sorted_ids([&matches.allowing, &matches.asking, &matches.denying].into_iter().flatten()),
            unevaluated: self.sorted_ids(undetermined.iter()),
            near_misses,
        }
    }

    /// Whether the rule reads data of the call that was not kept.
    fn is_unsure(&self, nth: usize, call: &ExplainedCall<'_>) -> bool {
        let erased = call.principal.purpose.is_empty();
        self.compiled[nth].reads_what_is_gone(call.purpose.is_some())
            || (erased && self.rules()[nth].when.as_ref().is_some_and(|when| when.contains("purpose")))
    }

    fn sorted_ids<'n>(&self, nths: impl Iterator<Item = &'n usize>) -> Vec<Arc<str>> {
        let mut ids: Vec<_> = nths.map(|nth| self.compiled[*nth].id.clone()).collect();
        ids.sort();
        ids
    }

    fn near_misses(&self, call: &ExplainedCall<'_>, matches: &Matches) -> Vec<NearMiss> {
        let near = |nth: usize, miss, undetermined| {
            let rule = &self.compiled[nth];
            NearMiss { rule_id: rule.id.clone(), effect: rule.effect, miss, undetermined }
        };
        let mut found: Vec<_> = matches
            .unmet
            .iter()
            .chain(&matches.unmet_denying)
            .map(|nth| {
                let condition = self.rules()[*nth].when.as_deref().unwrap_or_default().trim();
                near(*nth, Mismatch::Condition(quoted(condition)), false)
            })
            .collect();
        let mut candidates: Vec<(usize, Mismatch)> =
            self.rules().iter().enumerate().filter_map(|(nth, rule)| Some((nth, only_miss(rule, call)?))).collect();
        // A stable sort: rules with the same mismatch stay in the order of the document.
        candidates.sort_by_key(|(nth, miss)| (rank(miss), self.is_unsure(*nth, call)));
        let mut others = HashMap::new();
        for (nth, miss) in candidates.into_iter().take(MAX_TRIES) {
            if found.len() >= MAX_NEAR_MISSES {
                break;
            }
            let undetermined = self.is_unsure(nth, call);
            if undetermined || self.would_match(nth, &miss, call, &mut others) {
                found.push(near(nth, miss, undetermined));
            }
        }
        found.truncate(MAX_NEAR_MISSES);
        found
    }

    /// Whether the rule would match without its mismatch. `principals`: the caller with other roles, each made once.
    fn would_match(
        &self,
        nth: usize,
        miss: &Mismatch,
        call: &ExplainedCall<'_>,
        principals: &mut HashMap<String, Principal>,
    ) -> bool {
        let role = if let Mismatch::Role { covered, .. } = miss { covered.as_str() } else { call.principal.role };
        let principal = principals
            .entry(role.to_owned())
            .or_insert_with(|| Principal::new(&PrincipalSpec { role, ..*call.principal }));
        let context = Context::default();
        let mut request = call.request(principal, &context);
        match miss {
            Mismatch::Action { covered, .. } => request.action = covered.first().map_or(request.action, String::as_str),
            Mismatch::Tool { covered, .. } => request.tool = covered,
            Mismatch::Role { .. } | Mismatch::Condition(_) => {}
        }
        !self.by_these(&request, std::iter::once(nth)).rule_ids.is_empty()
    }

    /// What would have changed the answer: the nearest change that turns a denial into an allowance.
    fn otherwise(&self, answer: &Evaluation, matches: &Matches, near: &[NearMiss]) -> Option<String> {
        let allows = |nths: &[usize]| self.sorted_ids(nths.iter()).into_iter().next();
        match answer.reason {
            Reason::DeniedByRule => Some(match (allows(&matches.allowing), allows(&matches.asking)) {
                (_, Some(rule)) => format!("Without that, rule {rule:?} would allow it once a person has approved it."),
                (Some(rule), None) => format!("Without that, rule {rule:?} would allow it."),
                (None, None) => "Without that, no rule would allow it either.".to_owned(),
            }),
            Reason::NoMatchingRule => {
                let nearest = near.iter().find(|near| near.effect != Effect::Deny)?;
                Some(format!("Nearest is: {nearest}."))
            }
            _ => None,
        }
    }
}

impl Explanation {
    /// The combined explanation of two answers that both apply. A rule that could not be evaluated in one is listed.
    fn and(self, other: Self) -> Self {
        let evaluation = self.evaluation.clone().and(other.evaluation.clone());
        let alike =
            (self.evaluation.effect, self.evaluation.reason) == (other.evaluation.effect, other.evaluation.reason);
        let (mut first, mut second) =
            if other.evaluation.restricts() > self.evaluation.restricts() { (other, self) } else { (self, other) };
        first.unevaluated.append(&mut second.unevaluated);
        first.matched.append(&mut second.matched);
        for ids in [&mut first.unevaluated, &mut first.matched] {
            ids.sort();
            ids.dedup();
        }
        if alike && first.message != second.message {
            first.message = format!("{}; {}", first.message, second.message);
        }
        Self { evaluation, ..first }
    }
}

impl<'a> ExplainedCall<'a> {
    const fn request<'r>(&'r self, principal: &'r Principal, context: &'r Context) -> Request<'r>
    where
        'a: 'r,
    {
        let purpose = match self.purpose {
            Some(purpose) => purpose,
            None => "",
        };
        Request { principal, tool: self.tool, action: self.action, purpose, context }
    }
}

const fn rank(miss: &Mismatch) -> u8 {
    match miss {
        Mismatch::Condition(_) => 0,
        Mismatch::Action { .. } => 1,
        Mismatch::Tool { .. } => 2,
        Mismatch::Role { .. } => 3,
    }
}

/// The only part of the rule's scope that does not cover the call, if there is exactly one.
fn only_miss(rule: &Rule, call: &ExplainedCall<'_>) -> Option<Mismatch> {
    let other_role = rule.role.as_ref().filter(|role| *role != call.principal.role);
    let other_tool = rule.tool.as_ref().filter(|tool| *tool != call.tool);
    let covered = &rule.actions;
    let other_actions = !covered.is_empty() && !covered.iter().any(|action| action == call.action);
    match (other_actions, other_tool, other_role) {
        (true, None, None) => Some(Mismatch::Action { covered: covered.clone(), asked: call.action.to_owned() }),
        (false, Some(tool), None) => Some(Mismatch::Tool { covered: tool.clone(), asked: call.tool.to_owned() }),
        (false, None, Some(one)) => Some(Mismatch::Role { covered: one.clone(), held: call.principal.role.to_owned() }),
        _ => None,
    }
}
