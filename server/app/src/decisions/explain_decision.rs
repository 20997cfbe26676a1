//! ExplainDecision: which rules matched, which nearly did, and what would have changed the answer.

use std::sync::Arc;

use countersign_core::{
    decision::{Effect, Reason, Stage},
    ids::{DecisionId, InstanceId, PolicyVersion},
    instance::Instance,
    names::ToolId,
};
use countersign_ledger::leaf::Grant;
use countersign_policy::{ExplainedCall, Explanation, PrincipalSpec};
use countersign_store::{Connection, event, instance};

use super::read_decisions::{decision, parsed};
use crate::{App, DecisionRecord, Error, EventRecord};

/// The explanation of a decision, or the answer that another policy would have given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionExplanation {
    /// The decision.
    pub decision: DecisionRecord,
    /// The rules that matched.
    pub matched_rule_ids: Vec<String>,
    /// The rules that would have matched except for one mismatch, and which one, nearest first.
    pub near_misses: Vec<String>,
    /// The answer of the explaining version.
    pub effect: Effect,
    /// The reason, for programs.
    pub reason: Reason,
    /// The explanation, for persons.
    pub message: String,
    /// What would change it, and who can do that.
    pub remedy: String,
    /// The explaining version. `None` if no policy was evaluated.
    pub policy_version: Option<PolicyVersion>,
    /// Rules whose conditions read data that was not kept.
    pub unevaluated_rule_ids: Vec<String>,
}

/// A recorded call in the form that a policy can explain.
struct Recorded {
    run: Instance,
    sponsor_id: String,
    agent: String,
    role: String,
    depth: u32,
    tools: Vec<ToolId>,
    tool: String,
    action: String,
    purpose: Option<String>,
}

impl App {
    /// Explains a decision with the policy that answered, or with `version`. Records nothing.
    pub async fn explain_decision(
        &self,
        id: &DecisionId,
        version: Option<PolicyVersion>,
    ) -> Result<DecisionExplanation, Error> {
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let (decision, event) = decision(&mut conn, id).await?;
        let call = recorded(&mut conn, &event).await?.filter(|_| decision.reason.stage() == Stage::Policy);
        drop(conn);
        let policy = match version.or(decision.policy_version) {
            Some(version) => Some(self.inner.authority.policy(version).await?),
            None => None,
        };
        let (Some(call), Some(policy)) = (call, policy) else { return Ok(without_policy(decision)) };
        let explaining = policy.clone();
        let explained = tokio::task::spawn_blocking(move || call.ask(|call| explaining.compiled.explain(call))).await;
        let explained = explained.map_err(|error| Error::internal("a decision could not be explained", error))?;
        Ok(if decision.policy_version == Some(policy.version) {
            of_its_own(decision, explained)
        } else {
            of_another(decision, policy.version, explained)
        })
    }
}

/// The call of a decision. `None` if it concerns no run, or the log no longer has the grant.
async fn recorded(conn: &mut Connection, event: &EventRecord) -> Result<Option<Recorded>, Error> {
    let leaf = &event.leaf;
    let run_id: Option<InstanceId> = parsed(leaf.agent_instance_id.as_deref());
    let (Some(run_id), Some(granted)) = (run_id, leaf.custody_ref) else { return Ok(None) };
    let Some(stored) = instance::get_all(conn, &[run_id.0]).await?.pop() else { return Ok(None) };
    let Some(grant) = event::grant(conn, run_id, &granted.0).await? else { return Ok(None) };
    let grant = EventRecord::try_from(grant)?;
    let Some(Grant { agent, role, depth, tools, .. }) = &grant.leaf.grant else { return Ok(None) };
    let purpose = event.disclosed.purpose.as_ref().map(|opening| opening.text.clone());
    Ok((|| {
        Some(Recorded {
            run: stored.instance,
            sponsor_id: leaf.sponsor_id.as_deref()?.to_owned(),
            agent: agent.to_string(),
            role: role.to_string(),
            depth: *depth,
            tools: tools.iter().filter_map(|tool| tool.parse().ok()).collect(),
            tool: leaf.tool_id.as_deref()?.to_owned(),
            action: leaf.action.as_deref()?.to_owned(),
            purpose,
        })
    })())
}

impl Recorded {
    /// Passes the call to `ask`.
    fn ask<T>(&self, ask: impl FnOnce(&ExplainedCall<'_>) -> T) -> T {
        ask(&ExplainedCall {
            principal: &PrincipalSpec {
                agent_instance_id: &self.run.agent_instance_id.to_string(),
                root_instance_id: &self.run.root_instance_id.to_string(),
                sponsor_id: &self.sponsor_id,
                agent: &self.agent,
                role: &self.role,
                inherited_roles: &self.run.inherited_roles,
                depth: self.depth,
                purpose: &self.run.purpose,
                tools: &self.tools,
                labels: &self.run.labels,
            },
            tool: &self.tool,
            action: &self.action,
            purpose: self.purpose.as_deref(),
        })
    }
}

/// The explanation of a decision that no policy made, or that cannot be evaluated again: the content of the record.
fn without_policy(decision: DecisionRecord) -> DecisionExplanation {
    let message = if decision.reason.stage() == Stage::Policy {
        decision.message.clone()
    } else {
        format!("{}; that was refused before any policy was asked", decision.message)
    };
    DecisionExplanation {
        matched_rule_ids: Vec::new(),
        near_misses: Vec::new(),
        effect: decision.effect,
        reason: decision.reason,
        message,
        remedy: decision.reason.remedy().to_owned(),
        policy_version: None,
        unevaluated_rule_ids: Vec::new(),
        decision,
    }
}

/// With the version that answered: the answer is the recorded one, and its rules are known to have matched.
fn of_its_own(decision: DecisionRecord, explained: Explanation) -> DecisionExplanation {
    let mut matched = texts(&explained.matched);
    let mut unevaluated = texts(&explained.unevaluated);
    unevaluated.retain(|rule| !decision.rule_ids.contains(rule));
    if decision.reason != Reason::PolicyError {
        matched.extend(decision.rule_ids.iter().cloned());
        matched.sort();
        matched.dedup();
    }
    // What would have changed the answer is known only if the same answer is found again.
    let otherwise = explained.otherwise.filter(|_| explained.evaluation.reason == decision.reason);
    DecisionExplanation {
        matched_rule_ids: matched,
        near_misses: explained.near_misses.iter().map(ToString::to_string).collect(),
        effect: decision.effect,
        reason: decision.reason,
        message: decision.message.clone(),
        remedy: remedy(decision.reason, otherwise),
        policy_version: decision.policy_version,
        unevaluated_rule_ids: unevaluated,
        decision,
    }
}

/// With another version: its answer now, to the extent that rules can be evaluated.
fn of_another(decision: DecisionRecord, version: PolicyVersion, explained: Explanation) -> DecisionExplanation {
    let Explanation { evaluation, message, matched, near_misses, unevaluated, otherwise } = explained;
    let left_out = match unevaluated.len() {
        0 => String::new(),
        1 => "; left out is a rule that reads what was not kept of the call".to_owned(),
        many => format!("; left out are {many} rules that read what was not kept of the call"),
    };
    DecisionExplanation {
        decision,
        matched_rule_ids: texts(&matched),
        near_misses: near_misses.iter().map(ToString::to_string).collect(),
        effect: evaluation.effect,
        reason: evaluation.reason,
        message: message + &left_out,
        remedy: remedy(evaluation.reason, otherwise),
        policy_version: Some(version),
        unevaluated_rule_ids: texts(&unevaluated),
    }
}

fn remedy(reason: Reason, otherwise: Option<String>) -> String {
    match otherwise {
        Some(otherwise) => format!("{otherwise} {}", reason.remedy()),
        None => reason.remedy().to_owned(),
    }
}

fn texts(ids: &[Arc<str>]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
