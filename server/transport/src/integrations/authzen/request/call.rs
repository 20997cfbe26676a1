//! Converts one evaluation to a call that is decided: of a run with its credential or id, or of a subject that a policy
//! declares, with the form of its id, and the hash of subject, action and resource for the record.

use aws_lc_rs::digest::{SHA256, digest};
use countersign_app::{Decide, DecisionSubject, EntityCall};
use countersign_core::{names::ToolId, text::MAX_TEXT};
use countersign_policy::Context;
use serde_json::{Value, json};

use super::{
    entity::{Action, Entity, action, attributes, entity},
    members::{Object, flag, hash, member, object, text},
};
use crate::convert::violations::{Refused, Violations};

/// The subject type of a run that is named by its id.
const INSTANCE: &str = "instance";
/// The subject type of a run that is named by its credential.
const CREDENTIAL: &str = "credential";
/// The resource type of a tool that a run calls.
const TOOL: &str = "tool";

/// The entities of one evaluation before they are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) subject: Option<&'a Value>,
    pub(super) action: Option<&'a Value>,
    pub(super) resource: Option<&'a Value>,
    pub(super) context: Option<&'a Value>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(object: &'a Object) -> Self {
        let part = |name: &str| member(object, name);
        Self { subject: part("subject"), action: part("action"), resource: part("resource"), context: part("context") }
    }

    /// Takes each part as a whole from here, or else from `defaults`.
    pub(super) fn over(self, defaults: Self) -> Self {
        Self {
            subject: self.subject.or(defaults.subject),
            action: self.action.or(defaults.action),
            resource: self.resource.or(defaults.resource),
            context: self.context.or(defaults.context),
        }
    }
}

pub(super) fn call(v: &mut Violations, parts: Parts<'_>) -> Result<Decide, Refused> {
    let subject = entity(v, "subject", parts.subject);
    let action = action(v, parts.action);
    let resource = entity(v, "resource", parts.resource);
    let context = parts.context.map(|context| object(v, "context", Some(context))).transpose();
    let (subject, action, resource) = (subject?, action?, resource?);
    let context = attributes(v, context?, action.properties);
    if !matches!(subject.kind, INSTANCE | CREDENTIAL) {
        return entities(v, &subject, &action, &resource, context);
    }
    let who = run(v, &subject);
    let purpose = v.within("subject.properties", |v| match text(v, "purpose", subject.property("purpose")) {
        Ok(Some(purpose)) => v.text("purpose", purpose.to_owned(), MAX_TEXT).map(Some),
        other => other.map(|_| None),
    });
    let tool_id = v.within("resource", |v| match resource.kind {
        TOOL => v.required("id", resource.id),
        _ => Err(v.refuse("type", format!("must be {TOOL} for a subject of type {}", subject.kind))),
    });
    let action = v.within("action", |v| v.required("name", action.name));
    let (request_hash, approval_id, want_receipt) = v.within("resource.properties", |v| {
        let request_hash = hash(v, "request_hash", resource.property("request_hash"));
        let approval = text(v, "approval_id", resource.property("approval_id"));
        let approval_id = approval.and_then(|id| v.optional("approval_id", id.unwrap_or_default()));
        (request_hash, approval_id, flag(v, "want_receipt", resource.property("want_receipt")))
    });
    Ok(Decide {
        subject: who?,
        tool_id: tool_id?,
        action: action?,
        purpose: purpose?,
        request_hash: request_hash?,
        context: context?,
        approval_id: approval_id?,
        arguments: None,
        refused: None,
        want_receipt: want_receipt?,
        cached_from: None,
        trace: None,
        idempotency: None,
    })
}

fn run(v: &mut Violations, subject: &Entity<'_>) -> Result<DecisionSubject, Refused> {
    v.within("subject", |v| match subject.kind {
        INSTANCE => v.required("id", subject.id).map(DecisionSubject::Instance),
        _ => Ok(DecisionSubject::Token(subject.id.to_owned())),
    })
}

/// A subject that is not a run. It and the resource have types that a policy may declare.
fn entities(
    v: &mut Violations,
    subject: &Entity<'_>,
    action: &Action<'_>,
    resource: &Entity<'_>,
    context: Result<Context, Refused>,
) -> Result<Decide, Refused> {
    let kind: Result<ToolId, _> = v.within("subject", |v| {
        // The log names the subject, and accepts only ids of this form.
        let plain = |id: &str| id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if !plain(subject.id) {
            v.refuse("id", "must be at most 128 visible ASCII characters other than \" and \\");
        }
        v.required("type", subject.kind)
    });
    let tool_id = v.within("resource", |v| v.required("type", resource.kind));
    let name = v.within("action", |v| v.required("name", action.name));
    kind?;
    Ok(Decide {
        request_hash: Some(identity(subject, action, resource)),
        subject: DecisionSubject::Entity(Box::new(EntityCall {
            subject: subject.owned(v, "subject")?,
            resource: resource.owned(v, "resource")?,
        })),
        tool_id: tool_id?,
        action: name?,
        purpose: None,
        context: context?,
        approval_id: None,
        arguments: None,
        refused: None,
        want_receipt: false,
        cached_from: None,
        trace: None,
        idempotency: None,
    })
}

/// SHA-256 of subject, action and resource in RFC 8785's JSON, because the record names only the type of the resource.
fn identity(subject: &Entity<'_>, action: &Action<'_>, resource: &Entity<'_>) -> [u8; 32] {
    let entity = |entity: &Entity<'_>| json!({ "id": entity.id, "type": entity.kind });
    // The keys are in order and there are no numbers, so serde_json writes what RFC 8785 requires.
    let text = json!({ "action": { "name": action.name }, "resource": entity(resource), "subject": entity(subject) });
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.to_string().as_bytes()).as_ref());
    hash
}
