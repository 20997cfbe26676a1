//! Decisions in the form of AuthZEN, `{"decision","context"}`, and the results of searches.

use countersign_app::{ActionPage, DecisionAnswer, Error};
use countersign_core::decision::Effect;
use serde_json::{Map, Value, json};

use super::request::Pages;
use crate::status::Refusal;

/// Whether the call may happen. A baseline that observes lets every call through, and the context says so.
pub(super) fn allows(answer: &DecisionAnswer) -> bool {
    answer.effect == Effect::Allow
}

/// One recorded answer. A field that does not apply is left out of the context.
pub(super) fn decision(answer: &DecisionAnswer) -> Value {
    let mut context = Map::new();
    let mut say = |name: &str, value: Value| drop(context.insert(name.to_owned(), value));
    say("policy_decision_id", json!(answer.policy_decision_id));
    say("effect", json!(answer.effect));
    say("enforcement", json!(answer.enforcement.as_str().to_ascii_uppercase()));
    let (code, message, remedy) = (answer.reason, answer.message.as_str(), answer.reason.remedy());
    let mut reason = json!({ "code": code, "message": message });
    if !allows(answer) {
        reason["retryable"] = code.retryable().into();
        reason["remedy"] = remedy.into();
        // Keys of the standard for enforcement points that know no others, by HTTP status.
        say("reason_user", json!({ "403": format!("{message}. {remedy}") }));
        say("reason_admin", json!({ "403": format!("{code}: {message}") }));
    }
    say("reason", reason);
    if !answer.rule_ids.is_empty() {
        say("rule_ids", json!(answer.rule_ids));
    }
    if let Some(version) = answer.policy_version {
        say("policy_version", json!(version));
    }
    if let Some(part) = &answer.rollout {
        say("rollout_id", json!(part.rollout_id));
    }
    if allows(answer) {
        say("cache_ttl_seconds", json!(answer.cache_ttl_seconds));
    }
    if let Some(approval_id) = answer.approval_id {
        say("approval_id", json!(approval_id));
    }
    if let Some(receipt) = &answer.receipt {
        say("receipt", json!(receipt));
    }
    say("log_index", json!(answer.log_index));
    json!({ "decision": allows(answer), "context": context })
}

/// The result of a search. If it is not complete, or the request uses pages, it says how to continue.
pub(super) fn found(page: &ActionPage, pages: &Pages) -> Value {
    let actions = page.actions.iter().map(|action| json!({ "name": action.as_str() })).collect::<Vec<_>>();
    let mut answer = json!({ "results": actions });
    if pages.asked_for || !page.done {
        let next_token = if page.done { String::new() } else { pages.token(page.reached.as_ref()) };
        answer["page"] = json!({ "next_token": next_token, "count": actions.len() });
    }
    answer
}

/// The answer to an evaluation, among others, that cannot be read.
pub(super) fn unread(error: Error) -> Value {
    let status = Refusal::from(error).status("");
    json!({ "decision": false, "context": { "error": { "status": 400, "message": status.message() } } })
}
