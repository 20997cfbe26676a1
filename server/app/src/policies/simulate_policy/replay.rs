//! Evaluates recorded decisions again, and counts equal, different and inconclusive answers (inconclusive: the answer
//! depends on data that was not kept). Equal questions are evaluated once; limits what is remembered.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use countersign_core::{
    decision::{Effect, Reason},
    ids::InstanceId,
    names::RoleName,
};
use countersign_ledger::leaf::Digest;
use countersign_policy::{Principal, PrincipalSpec, Replay, Stakes};
use countersign_store::recorded::{RecordedDecision, RunFacts};
use uuid::Uuid;

use super::{
    recorded::{Recorded, Said},
    result::{PolicyDifference, SimulationCounts},
};
use crate::{Error, authority::compiled_policies::LoadedPolicy};

/// Limit of the remembered items of each kind; above it all are forgotten and learnt again.
const REMEMBERED: usize = 50_000;
/// In a [`Question`]: the part is unknown, or the answer does not depend on it.
const NONE: u32 = 0;

/// Numbers for texts, from 1.
#[derive(Debug, Default)]
struct Names(HashMap<Box<str>, u32>);

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.0.get(text) {
            return *number;
        }
        let next = u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX);
        self.0.insert(text.into(), next);
        next
    }
}

/// A question to a policy, by the numbers of its parts: two decisions with equal questions have the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Question {
    role: u32,
    tool: u32,
    action: u32,
    run: u32,
    sponsor: u32,
    purpose: u32,
}

/// The simulated answer.
#[derive(Debug)]
struct Answer {
    effect: Effect,
    reason: Reason,
    rule_ids: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Run {
    facts: RunFacts,
    number: u32,
    /// All its roles, as one text.
    role: u32,
}

/// What was learnt so far. All of it can be learnt again.
#[derive(Debug, Default)]
struct Memory {
    names: Names,
    /// `None` if there is no such run.
    runs: HashMap<Uuid, Option<Run>>,
    /// By role, tool and action.
    stakes: HashMap<[u32; 3], Stakes>,
    /// `None` if it is inconclusive.
    answers: HashMap<Question, Option<Arc<Answer>>>,
}

/// Evaluates one policy, and counts.
#[derive(Debug)]
pub(super) struct Replayer {
    policy: Arc<LoadedPolicy>,
    content_hash: String,
    version: String,
    memory: Memory,
    counts: SimulationCounts,
}

impl Replayer {
    pub(super) fn new(policy: Arc<LoadedPolicy>) -> Self {
        let content_hash = Digest(policy.compiled.content_hash()).to_string();
        let version = policy.version.to_string();
        Self { policy, content_hash, version, memory: Memory::default(), counts: SimulationCounts::default() }
    }

    pub(super) const fn counts(&self) -> SimulationCounts {
        self.counts
    }

    /// The runs of `decisions` that are not known yet; they must be read and learnt before the decisions are evaluated.
    pub(super) fn unknown_runs(&mut self, decisions: &[RecordedDecision]) -> Vec<Uuid> {
        let Memory { names, runs, answers, .. } = &self.memory;
        if [names.0.len(), runs.len(), answers.len()].into_iter().any(|many| many > REMEMBERED) {
            self.memory = Memory::default();
        }
        let runs = decisions.iter().filter_map(|decision| decision.agent_instance_id).map(|id| id.0);
        let unknown: HashSet<_> = runs.filter(|id| !self.memory.runs.contains_key(id)).collect();
        self.memory.runs.extend(unknown.iter().map(|id| (*id, None)));
        unknown.into_iter().collect()
    }

    pub(super) fn learn(&mut self, facts: Vec<RunFacts>) {
        let Memory { names, runs, .. } = &mut self.memory;
        for facts in facts {
            let id = facts.agent_instance_id;
            let roles: Vec<_> = facts.roles().map(RoleName::as_str).collect();
            let (number, role) = (names.number(&id.to_string()), names.number(&roles.join(" ")));
            runs.insert(id.0, Some(Run { facts, number, role }));
        }
    }

    /// Evaluates these decisions again, counts, and returns those with a different answer, in order.
    pub(super) fn weigh(&mut self, decisions: &[RecordedDecision]) -> Result<Vec<PolicyDifference>, Error> {
        let mut differences = Vec::new();
        for decision in decisions {
            let recorded = Recorded::read(&decision.leaf_bytes)
                .map_err(|error| Error::internal("a stored leaf cannot be read", error))?;
            // An event of an unknown caller need not be about a decision.
            if recorded.policy_decision_id.is_some() {
                differences.extend(self.weigh_one(decision, &recorded));
            }
        }
        Ok(differences)
    }

    fn weigh_one(&mut self, decision: &RecordedDecision, recorded: &Recorded<'_>) -> Option<PolicyDifference> {
        let (Some((effect, reason)), Some(run)) = (recorded.answered(), decision.agent_instance_id) else {
            self.counts.not_asked += 1;
            return None;
        };
        let answer = self.ask(run, decision, recorded).or_else(|| {
            // Its recorded answer, which was given when all data was known.
            let Said { effect, reason, rule_ids } = recorded.said_by(&self.content_hash, &self.version)?;
            Some(Arc::new(Answer { effect, reason, rule_ids: rule_ids.iter().map(|id| Arc::from(*id)).collect() }))
        });
        let Some(answer) = answer else {
            self.counts.inconclusive += 1;
            return None;
        };
        self.counts.evaluated += 1;
        if answer.effect == effect {
            return None;
        }
        self.counts.different += 1;
        self.counts.new_allows += i64::from(answer.effect == Effect::Allow);
        self.counts.new_denies += i64::from(effect == Effect::Allow);
        Some(PolicyDifference {
            policy_decision_id: recorded.policy_decision_id?.parse().ok()?,
            recorded_effect: effect,
            recorded_reason: reason,
            recorded_rule_ids: recorded.rule_ids.iter().map(ToString::to_string).collect(),
            simulated_effect: answer.effect,
            simulated_reason: answer.reason,
            simulated_rule_ids: answer.rule_ids.clone(),
            sponsor_id: recorded.sponsor_id?.parse().ok()?,
            agent_instance_id: run,
            tool_id: recorded.tool_id?.parse().ok()?,
            action: recorded.action?.parse().ok()?,
        })
    }

    /// The policy's answer. `None` if it depends on data that was not kept.
    fn ask(&mut self, run: InstanceId, decision: &RecordedDecision, recorded: &Recorded<'_>) -> Option<Arc<Answer>> {
        let compiled = &self.policy.compiled;
        let Memory { names, runs, stakes, answers } = &mut self.memory;
        let run = runs.get(&run.0)?.as_ref()?;
        let (tool, action, sponsor) = (recorded.tool_id?, recorded.action?, recorded.sponsor_id?);
        let scope = [run.role, names.number(tool), names.number(action)];
        let of_roles = || {
            let each = run.facts.roles().map(|role| compiled.stakes(role.as_str(), tool, action));
            each.fold(Stakes::default(), Stakes::or)
        };
        let stakes = *stakes.entry(scope).or_insert_with(of_roles);
        let mut question = Question { role: scope[0], tool: scope[1], action: scope[2], ..Question::default() };
        if stakes.principal {
            (question.run, question.sponsor) = (run.number, names.number(sponsor));
        }
        let purpose = recorded.purpose(decision.purpose.as_deref());
        if stakes.purpose {
            question.purpose = purpose.map_or(NONE, |purpose| names.number(purpose));
        }
        let ask = || {
            let principal = principal(&run.facts, sponsor);
            let answer = compiled.replay(&Replay { principal: &principal, tool, action, purpose })?;
            Some(Arc::new(Answer { effect: answer.effect, reason: answer.reason, rule_ids: answer.rule_ids }))
        };
        answers.entry(question).or_insert_with(ask).clone()
    }
}

/// The caller as it was then: a run may have another sponsor now.
fn principal(run: &RunFacts, sponsor_id: &str) -> Principal {
    Principal::new(&PrincipalSpec {
        agent_instance_id: &run.agent_instance_id.to_string(),
        root_instance_id: &run.root_instance_id.to_string(),
        sponsor_id,
        agent: run.agent.as_str(),
        role: run.role.as_str(),
        inherited_roles: &run.inherited_roles,
        depth: run.depth,
        purpose: &run.purpose,
        tools: &run.tools,
        labels: &run.labels,
    })
}
