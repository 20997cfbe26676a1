//! One custody event in the forms that SIEMs read: the exported form as it is, Elastic Common Schema (ECS), Open
//! Cybersecurity Schema Framework (OCSF), and an OpenTelemetry log record. `docs/siem.md` has the tables.
//!
//! Each form carries the exported form whole ([`crate::export`]) in one place, so nothing of the leaf is lost, whatever
//! the schema has no field for: [`carried`] finds it, and `leaf_from_export` rebuilds the leaf's bytes from it. The
//! fields of the schema repeat only what people search and alert on.
//!
//! No value of an event ever becomes a key: [`Object`] takes keys from the program text only.

mod ecs;
mod ocsf;
mod otel;

use countersign_core::{
    decision::{Effect, Enforcement, Outcome},
    words,
};
use serde_json::{Map, Value};

use crate::{
    export::{Disclosed, ExportError, export_json},
    leaf::{Kind, Leaf, SponsorState},
};

words!(
    /// A form in which an event is sent.
    Form {
        /// The exported form as it is (`docs/audit-log-schema.json`).
        Countersign = "countersign",
        /// Elastic Common Schema.
        Ecs = "ecs",
        /// Open Cybersecurity Schema Framework.
        Ocsf = "ocsf",
        /// An OpenTelemetry log record, as OTLP/HTTP sends it in JSON.
        Otel = "otel",
    }
);

/// An event to send.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The leaf, as hashed.
    pub leaf_bytes: &'a [u8],
    /// Its index in the log.
    pub log_index: u64,
    /// The texts that go along.
    pub disclosed: &'a Disclosed,
}

/// The event in a form. `origin` is the name of the log, as in its checkpoints.
///
/// Refuses what [`export_json`] refuses: bytes that are not a leaf, and texts that the leaf does not commit to.
pub fn render(form: Form, event: &Event<'_>, origin: &str) -> Result<Value, ExportError> {
    let export = export_json(event.leaf_bytes, event.log_index, event.disclosed)?;
    if form == Form::Countersign {
        return Ok(export);
    }
    let leaf = &Leaf::parse(event.leaf_bytes)?;
    let source = Source { leaf, export, origin };
    Ok(match form {
        Form::Countersign => source.export,
        Form::Ecs => ecs::render(source),
        Form::Ocsf => ocsf::render(source),
        Form::Otel => otel::render(&source),
    })
}

/// The exported form that a rendered event carries, for [`crate::export::leaf_from_export`]. `None` if it is missing.
#[must_use]
pub fn carried(form: Form, rendered: &Value) -> Option<Value> {
    match form {
        Form::Countersign => Some(rendered.clone()),
        Form::Ecs => rendered.get("countersign").cloned(),
        Form::Ocsf => rendered.pointer("/unmapped/countersign").cloned(),
        Form::Otel => serde_json::from_str(rendered.pointer("/body/stringValue")?.as_str()?).ok(),
    }
}

/// What a form is rendered from.
struct Source<'a> {
    leaf: &'a Leaf<'a>,
    export: Value,
    origin: &'a str,
}

impl Source<'_> {
    /// A key of the export that is always there.
    fn exported(&self, key: &'static str) -> Value {
        self.export[key].clone()
    }
}

/// A JSON object. Keys come from the program text, and values that are absent are left out.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    fn maybe<V: Into<Value>>(self, key: &'static str, value: Option<V>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// How much attention an event asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    /// None.
    Informational,
    /// Someone may want to look: a call waits or did not succeed, an authority lapsed.
    Low,
    /// Something was refused or taken away.
    Medium,
    /// Someone must look now: everything or a part is stopped, or a key or the log cannot be trusted.
    High,
}

fn severity(leaf: &Leaf<'_>) -> Severity {
    use Kind as K;
    match leaf.kind {
        K::Decision => match leaf.effect {
            _ if matches!(leaf.sponsor_state, Some(SponsorState::Missing | SponsorState::Revoked)) => Severity::Medium,
            Some(Effect::Deny) => Severity::Medium,
            Some(Effect::RequireApproval) => Severity::Low,
            Some(Effect::Allow) | None => Severity::Informational,
        },
        K::ToolCall => match leaf.outcome {
            Some(Outcome::Failure | Outcome::Unknown) => Severity::Low,
            _ => Severity::Informational,
        },
        K::SponsorSuspended
        | K::SponsorRejected
        | K::SponsorDeparted
        | K::InstanceOrphaned
        | K::ApprovalRequested
        | K::ApprovalRejected
        | K::ApprovalExpired
        | K::RolloutPaused => Severity::Low,
        K::Unattributed
        | K::RefusalsUnanswered
        | K::AdministrationRefused
        | K::SponsorRevoked
        | K::InstanceRevoked
        | K::Revocation
        | K::OperatorKeyRevoked
        | K::RolloutRolledBack => Severity::Medium,
        K::KillSwitchEngaged | K::KeyCompromised | K::CheckpointOverridden => Severity::High,
        _ => Severity::Informational,
    }
}

/// Whether a call is refused by this decision. One that is recorded only (`shadow`) refuses nothing.
fn enforced(leaf: &Leaf<'_>) -> bool {
    leaf.enforcement != Some(Enforcement::Shadow)
}

/// Whether a run acted, for its sponsor. The operator of such an event is the enforcement point that asked or reported.
fn by_a_run(kind: Kind) -> bool {
    use Kind as K;
    matches!(kind, K::Decision | K::ToolCall | K::Unattributed | K::CredentialIssued | K::Delegated | K::SvidIssued)
}

/// The person or login that acted: for what runs do the sponsor, for everything else the operator, if one did it.
fn actor<'a>(leaf: &'a Leaf<'_>) -> Option<&'a str> {
    let (sponsor, operator) = (leaf.sponsor_id.as_deref(), leaf.operator_id.as_deref());
    if by_a_run(leaf.kind) { sponsor } else { operator.or(sponsor) }
}

/// The person or login to whom it was done: the login of an event about operators, or the sponsor if an operator acted.
fn target<'a>(leaf: &'a Leaf<'_>) -> Option<&'a str> {
    use Kind as K;
    match leaf.kind {
        K::OperatorCreated | K::OperatorChanged | K::OperatorKeyCreated | K::OperatorKeyRevoked => login(leaf),
        kind if by_a_run(kind) => None,
        _ => leaf.sponsor_id.as_deref().filter(|sponsor| Some(*sponsor) != actor(leaf)),
    }
}

/// The login that an event about operators and their keys is about. The subject of a key's event is the key.
fn login<'a>(leaf: &'a Leaf<'_>) -> Option<&'a str> {
    let subject = leaf.subject.as_ref().filter(|subject| subject.kind == "operator").and_then(|it| it.id.as_deref());
    let owner = || leaf.changes.iter().find(|change| change.field == "operator_id");
    subject.or_else(|| owner().and_then(|change| change.after.as_deref().or(change.before.as_deref())))
}

/// One line for people, of words, ids and codes only.
fn summary(leaf: &Leaf<'_>) -> String {
    let subject = leaf.subject.as_ref();
    let words = [
        Some(leaf.kind.as_str()),
        leaf.effect.map(Effect::as_str),
        leaf.outcome.map(Outcome::as_str),
        leaf.state_after.as_deref(),
        leaf.reason.as_deref(),
        leaf.tool_id.as_deref(),
        leaf.action.as_deref(),
        subject.map(|subject| subject.kind.as_ref()),
        subject.and_then(|subject| subject.id.as_deref()),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leaf::{Change, Subject, Timestamp};

    fn leaf(kind: Kind) -> Leaf<'static> {
        Leaf::new(kind, "evt_01890a5d-ac96-774b-bcce-b302099a8057", Timestamp::default())
    }

    #[test]
    fn the_enforcement_point_is_not_the_actor_of_a_call() {
        let both = |kind| Leaf { operator_id: Some("gateway".into()), sponsor_id: Some("alice".into()), ..leaf(kind) };
        let call = both(Kind::Decision);
        assert_eq!((actor(&call), target(&call)), (Some("alice"), None));
        let act = both(Kind::SponsorSuspended);
        assert_eq!((actor(&act), target(&act)), (Some("gateway"), Some("alice")));
        let own = Leaf { operator_id: None, ..act };
        assert_eq!((actor(&own), target(&own)), (Some("alice"), None));
    }

    #[test]
    fn the_login_of_a_key_is_its_owner() {
        let key = Leaf {
            changes: vec![Change { after: Some("olga".into()), before: None, field: "operator_id".into() }],
            subject: Some(Subject { id: Some("key-1".into()), kind: "api_key".into() }),
            ..leaf(Kind::OperatorKeyCreated)
        };
        assert_eq!(target(&key), Some("olga"));
        let created = Leaf {
            subject: Some(Subject { id: Some("petra".into()), kind: "operator".into() }),
            ..leaf(Kind::OperatorCreated)
        };
        assert_eq!(target(&created), Some("petra"));
    }

    #[test]
    fn the_summary_names_what_happened() {
        let decision = Leaf {
            action: Some("refund".into()),
            effect: Some(Effect::Deny),
            reason: Some("NO_MATCHING_RULE".into()),
            tool_id: Some("billing".into()),
            ..leaf(Kind::Decision)
        };
        assert_eq!(summary(&decision), "decision DENY NO_MATCHING_RULE billing refund");
    }

    #[test]
    fn a_denial_asks_for_more_attention_than_an_allowed_call() {
        let of = |effect| severity(&Leaf { effect: Some(effect), ..leaf(Kind::Decision) });
        assert_eq!(of(Effect::Allow), Severity::Informational);
        assert_eq!(of(Effect::RequireApproval), Severity::Low);
        assert_eq!(of(Effect::Deny), Severity::Medium);
        let missing =
            Leaf { effect: Some(Effect::Allow), sponsor_state: Some(SponsorState::Missing), ..leaf(Kind::Decision) };
        assert_eq!(severity(&missing), Severity::Medium);
    }
}
