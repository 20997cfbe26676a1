//! Elastic Common Schema. The exported form is the object `countersign`; everything else is ECS.
//!
//! `agent.*` is the shipper in ECS, so an AI agent is `gen_ai.agent.*`. The categories and types are words that ECS lists.

use serde_json::Value;

use super::{Object, Severity, Source, actor, by_a_run, enforced, severity, summary, target};
use crate::leaf::{Kind, Leaf};
use countersign_core::decision::{Effect, Outcome};

/// The version whose fields these are.
const ECS_VERSION: &str = "9.4.0";

pub(super) fn render(source: Source<'_>) -> Value {
    let leaf = source.leaf;
    let object = Object::default()
        .with("@timestamp", leaf.timestamp.to_string())
        .with("ecs", Object::default().with("version", ECS_VERSION))
        .with("event", event(&source))
        .with("log", Object::default().with("level", level(severity(leaf))))
        .with("message", summary(leaf))
        .with(
            "service",
            Object::default().with("id", source.origin).with("name", "countersign").with("type", "countersign"),
        )
        .maybe("gen_ai", gen_ai(leaf))
        .maybe("related", related(leaf))
        .maybe("rule", rule(leaf))
        .maybe("span", leaf.span_id.map(|id| Object::default().with("id", id.to_string())))
        .maybe("trace", leaf.trace_id.map(|id| Object::default().with("id", id.to_string())))
        .maybe("user", user(leaf));
    object.with("countersign", source.export).into()
}

fn event(source: &Source<'_>) -> Object {
    let leaf = source.leaf;
    let (category, types) = classify(leaf);
    Object::default()
        .with("action", leaf.kind.as_str())
        .with("category", category.to_vec())
        .with("created", leaf.received_time.to_string())
        .with("dataset", "countersign.custody")
        .with("hash", source.exported("leaf_hash"))
        .with("id", leaf.event_id.as_ref())
        .with("kind", "event")
        .with("module", "countersign")
        .with("type", types)
        .maybe("duration", leaf.duration_us.and_then(|us| long(us.0.checked_mul(1000)?)))
        .maybe("outcome", outcome(leaf))
        .maybe("reason", leaf.reason.as_deref())
        .maybe("sequence", source.export["log_index"].as_str().and_then(|index| long(index.parse().ok()?)))
}

/// A number that Elasticsearch's `long` holds.
fn long(value: u64) -> Option<i64> {
    i64::try_from(value).ok()
}

/// `event.category` and `event.type`: what ECS expects of each category.
fn classify(leaf: &Leaf<'_>) -> (&'static [&'static str], Vec<&'static str>) {
    use Kind as K;
    match leaf.kind {
        K::Decision | K::Unattributed => {
            let mut types = vec!["access"];
            types.extend(match leaf.effect {
                Some(Effect::Allow) => Some("allowed"),
                // The call goes on: nothing was denied.
                _ if !enforced(leaf) => Some("allowed"),
                Some(Effect::Deny) => Some("denied"),
                // Neither yet.
                Some(Effect::RequireApproval) | None => None,
            });
            (&["iam", "api"], types)
        }
        K::ToolCall => (&["api"], vec!["access", "end"]),
        K::RefusalsUnanswered => (&["iam", "api"], vec!["access", "denied"]),
        K::AdministrationRefused => (&["iam", "api"], vec!["admin", "denied"]),
        K::SponsorRegistered | K::OperatorCreated => (&["iam"], vec!["user", "creation"]),
        K::SponsorApproved
        | K::SponsorRejected
        | K::SponsorSuspended
        | K::SponsorReinstated
        | K::SponsorRecertified
        | K::SponsorChanged
        | K::SponsorDeparted
        | K::SponsorRevoked
        | K::OperatorKeyCreated
        | K::OperatorKeyRevoked
        | K::OperatorChanged => (&["iam"], vec!["user", "change"]),
        K::CredentialIssued | K::Delegated | K::SvidIssued | K::ApprovalRequested => (&["iam"], vec!["creation"]),
        K::InstanceEnded => (&["iam", "session"], vec!["end"]),
        K::InstanceRevoked => (&["iam", "session"], vec!["change", "end"]),
        K::InstanceOrphaned
        | K::InstanceAccepted
        | K::ApprovalApproved
        | K::ApprovalRejected
        | K::ApprovalExpired
        | K::Revocation => (&["iam"], vec!["change"]),
        K::Erasure => (&["iam"], vec!["deletion"]),
        K::PolicyCreated | K::RolloutStarted => (&["iam", "configuration"], vec!["creation"]),
        K::PolicyActivated
        | K::RolloutAdvanced
        | K::RolloutPaused
        | K::RolloutResumed
        | K::RolloutCompleted
        | K::RolloutRolledBack
        | K::RevocationFloorMoved
        | K::KillSwitchEngaged
        | K::KillSwitchReleased
        | K::CacheExtensionChanged => (&["iam", "configuration"], vec!["change"]),
        K::KeyCreated => (&["configuration"], vec!["creation"]),
        K::KeyActivated
        | K::KeyRetired
        | K::KeyCompromised
        | K::KeysRewrapped
        | K::LegalHoldPlaced
        | K::LegalHoldReleased
        | K::CheckpointOverridden => (&["configuration"], vec!["change"]),
        K::Archive | K::Manifest => (&["configuration"], vec!["info"]),
    }
}

/// `event.outcome`, as Countersign sees it: a denial is a decision that was made, as ECS has it for firewalls.
fn outcome(leaf: &Leaf<'_>) -> Option<&'static str> {
    use Kind as K;
    match (leaf.kind, leaf.outcome) {
        (K::ToolCall, Some(Outcome::Success)) => Some("success"),
        (K::ToolCall, Some(Outcome::Failure)) | (K::AdministrationRefused, _) => Some("failure"),
        (K::ToolCall, Some(Outcome::Unknown)) => Some("unknown"),
        // A call that was not made has no outcome, and neither has a summary.
        (K::ToolCall | K::Archive | K::Manifest | K::RefusalsUnanswered, _) => None,
        _ => Some("success"),
    }
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Informational => "info",
        Severity::Low => "notice",
        Severity::Medium => "warning",
        Severity::High => "alert",
    }
}

fn gen_ai(leaf: &Leaf<'_>) -> Option<Object> {
    let grant = leaf.grant.as_ref();
    let agent = leaf
        .agent_instance_id
        .as_deref()
        .map(|id| Object::default().with("id", id).maybe("name", grant.map(|grant| grant.agent.as_ref())));
    let call = matches!(leaf.kind, Kind::Decision | Kind::ToolCall | Kind::Unattributed);
    let operation = call.then(|| Object::default().with("name", "execute_tool"));
    let tool = leaf.tool_id.as_deref().map(|tool| Object::default().with("name", tool));
    let object = Object::default().maybe("agent", agent).maybe("operation", operation).maybe("tool", tool);
    (!object.0.is_empty()).then_some(object)
}

fn related(leaf: &Leaf<'_>) -> Option<Object> {
    let operator = leaf.operator_id.as_deref();
    let mut users: Vec<&str> = [actor(leaf), target(leaf), operator].into_iter().flatten().collect();
    users.sort_unstable();
    users.dedup();
    (!users.is_empty()).then(|| Object::default().with("user", users))
}

fn rule(leaf: &Leaf<'_>) -> Option<Object> {
    // One rule as a string, as ECS has it; several as a list, which Elasticsearch indexes alike.
    let id = match &leaf.rule_ids[..] {
        [] => return None,
        [id] => Value::from(id.as_ref()),
        ids => ids.iter().map(AsRef::as_ref).collect(),
    };
    Some(Object::default().with("id", id).maybe("ruleset", leaf.policy_version.as_deref()))
}

fn user(leaf: &Leaf<'_>) -> Option<Object> {
    let (actor, target) = (actor(leaf), target(leaf));
    let target = target.map(|id| Object::default().with("id", id));
    let roles = leaf.grant.as_ref().filter(|_| by_a_run(leaf.kind)).map(|grant| vec![grant.role.as_ref()]);
    let user = Object::default().maybe("id", actor).maybe("target", target);
    (!user.0.is_empty()).then(|| user.maybe("roles", roles.filter(|_| actor.is_some())))
}
