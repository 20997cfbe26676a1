//! GetDecision and ListDecisions: recorded answers, read from their leaves, newest first, with their outcomes (of
//! several, the last).

use std::{collections::HashMap, str::FromStr};

use countersign_core::{
    decision::Reason,
    ids::{DecisionId, InstanceId},
    instance::Instance,
};
use countersign_ledger::leaf::{self, Kind, Leaf, Timestamp};
use countersign_store::{Connection, event, instance, tool_call};
use time::OffsetDateTime;

pub use countersign_store::event::DecisionFilter;

use super::decision::{explain, explain_approval};
use crate::{
    App, DecisionRecord, Error, EventRecord, OperatorCaller, Page, PageRequest, RolloutPart, ShadowAnswer, Trace,
};

impl App {
    /// One recorded answer.
    pub async fn get_decision(&self, caller: &OperatorCaller, id: &DecisionId) -> Result<DecisionRecord, Error> {
        let found = decision(&mut *self.inner.engine.store.for_reads().connection().await?, id).await?.0;
        caller.within(&format!("it may not read decision {id}"), |scope| {
            scope.has_call(found.sponsor_id.as_ref().map(AsRef::as_ref), found.tool_id.as_ref().map(AsRef::as_ref))
        })?;
        Ok(found)
    }

    /// One page of recorded answers, newest first.
    pub async fn list_decisions(
        &self,
        filter: DecisionFilter,
        page: PageRequest,
    ) -> Result<Page<DecisionRecord>, Error> {
        let _turn = if filter.may_scan() { Some(self.inner.authn.reads.scan().await?) } else { None };
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        let Page { items, next } = event::list_decisions(&mut conn, &filter, &page).await?;
        let events = EventRecord::compared(&mut conn, items).await?;
        Ok(Page { items: records(&mut conn, events, HashMap::new()).await?, next })
    }
}

/// One recorded answer, and its event.
pub(crate) async fn decision(conn: &mut Connection, id: &DecisionId) -> Result<(DecisionRecord, EventRecord), Error> {
    let found = event::get_all(conn, &[id.0]).await?;
    let event = EventRecord::compared(conn, found).await?.pop();
    let event = event.filter(is_decision).ok_or_else(|| Error::not_found("decision", id))?;
    let mut records = records(conn, vec![event.clone()], HashMap::new()).await?;
    let record = records.pop().ok_or_else(|| Error::not_found("decision", id))?;
    Ok((record, event))
}

pub(crate) fn is_decision(event: &EventRecord) -> bool {
    matches!(event.leaf.kind, Kind::Decision | Kind::Unattributed) && event.leaf.policy_decision_id.is_some()
}

/// The records of these decision events, with their outcomes. `known` avoids reading instances that were read before.
pub(crate) async fn records(
    conn: &mut Connection,
    decisions: Vec<EventRecord>,
    mut known: HashMap<InstanceId, Instance>,
) -> Result<Vec<DecisionRecord>, Error> {
    let ids: Vec<_> = decisions.iter().filter_map(|event| decision_id(&event.leaf)).map(|id| id.0).collect();
    let outcomes = tool_call::get_all(conn, &ids).await?;
    let outcome_ids: Vec<_> = outcomes.iter().map(|outcome| outcome.event_id.0).collect();
    let mut outcomes = HashMap::new();
    for event in event::get_all(conn, &outcome_ids).await? {
        let event = EventRecord::try_from(event)?;
        // In log order, so the last outcome is shown.
        outcomes.insert(decision_id(&event.leaf), event.leaf);
    }
    let missing: Vec<_> = decisions
        .iter()
        .filter_map(|event| parsed::<InstanceId>(event.leaf.agent_instance_id.as_deref()))
        .filter(|id| !known.contains_key(id))
        .map(|id| id.0)
        .collect();
    for stored in instance::get_all(conn, &missing).await? {
        known.insert(stored.instance.agent_instance_id, stored.instance);
    }
    decisions
        .into_iter()
        .map(|event| {
            let outcome = outcomes.get(&decision_id(&event.leaf));
            let run = parsed(event.leaf.agent_instance_id.as_deref()).and_then(|id: InstanceId| known.get(&id));
            record(&event, outcome, run)
                .ok_or_else(|| Error::internal("a decision's leaf is incomplete", event.log_index))
        })
        .collect()
}

fn decision_id(leaf: &Leaf<'_>) -> Option<DecisionId> {
    parsed(leaf.policy_decision_id.as_deref())
}

pub(crate) fn parsed<T: FromStr>(text: Option<&str>) -> Option<T> {
    text.and_then(|text| text.parse().ok())
}

pub(crate) fn instant(at: Timestamp) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.micros()) * 1_000).ok()
}

fn record(event: &EventRecord, outcome: Option<&Leaf<'static>>, run: Option<&Instance>) -> Option<DecisionRecord> {
    let leaf = &event.leaf;
    let reason: Reason = parsed(leaf.reason.as_deref())?;
    let (tool, action) = (leaf.tool_id.as_deref().unwrap_or_default(), leaf.action.as_deref().unwrap_or_default());
    let rule_ids: Vec<String> = leaf.rule_ids.iter().map(ToString::to_string).collect();
    let by_approval = explain_approval(reason, leaf.approval_id.is_some(), leaf.approval_ref.is_some());
    Some(DecisionRecord {
        policy_decision_id: decision_id(leaf)?,
        effect: leaf.effect?,
        reason,
        message: explain(reason, tool, action, &rule_ids) + by_approval,
        rule_ids,
        policy_version: parsed(leaf.policy_version.as_deref()),
        policy_content_hash: leaf.policy_hash.map(|hash| hash.0),
        rollout: leaf.rollout.as_ref().and_then(rollout),
        enforcement: leaf.enforcement?,
        sponsor_id: parsed(leaf.sponsor_id.as_deref()),
        agent_instance_id: parsed(leaf.agent_instance_id.as_deref()),
        parent_agent_id: parsed(leaf.parent_agent_id.as_deref()),
        root_instance_id: parsed(leaf.root_instance_id.as_deref()),
        agent: run.map(|run| run.agent.clone()),
        role: run.map(|run| run.role.clone()),
        tool_id: parsed(Some(tool)),
        action: parsed(Some(action)),
        purpose: event.disclosed.purpose.as_ref().map(|opening| opening.text.clone()).unwrap_or_default(),
        request_hash: leaf.request_hash.map(|hash| hash.0),
        operator_id: parsed(leaf.operator_id.as_deref()),
        decide_time: instant(leaf.timestamp)?,
        log_index: event.log_index,
        credential_id: parsed(leaf.credential_id.as_deref()),
        cached_from: parsed(leaf.cached_from.as_deref()),
        shadow: leaf.shadow.as_ref().and_then(|other| shadow(other, tool, action)),
        approval_id: parsed(leaf.approval_id.as_deref()),
        event_id: parsed(Some(&leaf.event_id))?,
        outcome: outcome.and_then(|leaf| leaf.outcome),
        response_hash: outcome.and_then(|leaf| leaf.response_hash).map(|hash| hash.0),
        outcome_operator_id: outcome.and_then(|leaf| parsed(leaf.operator_id.as_deref())),
        outcome_time: outcome.and_then(|leaf| instant(leaf.received_time)),
        trace: leaf.trace_id.zip(leaf.span_id).map(|(trace_id, span_id)| Trace { trace_id, span_id }),
        context: leaf.context.clone(),
        altered: event.altered,
    })
}

fn rollout(part: &leaf::Rollout<'_>) -> Option<RolloutPart> {
    Some(RolloutPart { rollout_id: parsed(Some(&part.id))?, bucket: part.bucket?, side: part.side? })
}

fn shadow(shadow: &leaf::Shadow<'_>, tool: &str, action: &str) -> Option<ShadowAnswer> {
    let rule_ids = shadow.rule_ids.iter().map(ToString::to_string).collect();
    let (reason, version) = (parsed(Some(&shadow.reason))?, parsed(shadow.policy_version.as_deref()));
    Some(ShadowAnswer::new(shadow.effect, reason, tool, action, rule_ids, version))
}
