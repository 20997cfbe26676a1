//! Evaluations as OpenID's AuthZEN Authorization API 1.0 writes them, to calls.
//!
//! As that standard wants, members that it does not know are passed over, and `null` is as good as absent.

use aws_lc_rs::digest::{SHA256, digest};
use countersign_app::{Decide, DecisionSubject, EntityCall, Error};
use countersign_core::{names::ToolId, text::MAX_TEXT};
use countersign_ledger::leaf::Digest;
use countersign_policy::Context;
use serde::Deserialize;
use serde_json::{Map, Value, json};

mod search;

pub(crate) use search::{Pages, Search, search};

use crate::convert::{decision::MAX_BATCH, read, violations::Violations};

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// The type of a subject that is a run, by its id.
const INSTANCE: &str = "instance";
/// The type of a subject that is a run, by its credential.
const CREDENTIAL: &str = "credential";
/// The type of the resource that a run calls.
const TOOL: &str = "tool";

/// Longest id of a subject or resource, bytes; longer than any token.
const MAX_ID: usize = 16 * 1024;
/// Most values that attributes may hold; what a policy takes is less.
const MAX_ATTRIBUTES: usize = 256;

/// How several evaluations are answered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Semantic {
    /// Each of them.
    ExecuteAll,
    /// In order, up to the first that is not allowed.
    DenyOnFirstDeny,
    /// In order, up to the first that is allowed.
    PermitOnFirstPermit,
}

impl Semantic {
    const ALL: [(&'static str, Self); 3] = [
        ("execute_all", Self::ExecuteAll),
        ("deny_on_first_deny", Self::DenyOnFirstDeny),
        ("permit_on_first_permit", Self::PermitOnFirstPermit),
    ];

    /// Whether nothing is evaluated after this decision.
    pub(crate) fn ends(self, decision: bool) -> bool {
        match self {
            Self::ExecuteAll => false,
            Self::DenyOnFirstDeny => !decision,
            Self::PermitOnFirstPermit => decision,
        }
    }
}

/// What an Access Evaluations request asks.
#[derive(Debug)]
pub(crate) enum Evaluations {
    /// The same as an Access Evaluation request.
    One(Box<Decide>),
    /// Several, each with what is wrong with it by itself.
    Many(Vec<Result<Decide, Error>>, Semantic),
}

impl Evaluations {
    /// Each call that can be asked.
    pub(crate) fn calls(&mut self) -> impl Iterator<Item = &mut Decide> {
        let (one, many) = match self {
            Self::One(one) => (Some(&mut **one), None),
            Self::Many(all, _) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten().filter_map(|call| call.as_mut().ok()))
    }
}

/// The entities of one evaluation, unread.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    subject: Option<&'a Value>,
    action: Option<&'a Value>,
    resource: Option<&'a Value>,
    context: Option<&'a Value>,
}

impl<'a> Parts<'a> {
    fn of(object: &'a Object) -> Self {
        let part = |name: &str| member(object, name);
        Self { subject: part("subject"), action: part("action"), resource: part("resource"), context: part("context") }
    }

    /// Each part whole, from here or else from `defaults`.
    fn over(self, defaults: Self) -> Self {
        Self {
            subject: self.subject.or(defaults.subject),
            action: self.action.or(defaults.action),
            resource: self.resource.or(defaults.resource),
            context: self.context.or(defaults.context),
        }
    }
}

/// An Access Evaluation request.
pub(crate) fn evaluation(body: &Object) -> Result<Decide, Error> {
    read(|v| call(v, Parts::of(body)))
}

/// An Access Evaluations request.
pub(crate) fn evaluations(body: &Object) -> Result<Evaluations, Error> {
    let items = match member(body, "evaluations") {
        None => return evaluation(body).map(|one| Evaluations::One(Box::new(one))),
        Some(Value::Array(items)) if items.is_empty() => {
            return evaluation(body).map(|one| Evaluations::One(Box::new(one)));
        }
        Some(items) => items,
    };
    let defaults = Parts::of(body);
    let (items, semantic) = read(|v| {
        let semantic = semantic(v, member(body, "options"));
        let items = array(v, items);
        check_defaults(v, defaults);
        Some((items?, semantic?))
    })?;
    let one = |item: &Value| {
        read(|v| match item {
            Value::Object(item) => call(v, Parts::of(item).over(defaults)),
            _ => mistyped(v, "", "an object"),
        })
    };
    Ok(Evaluations::Many(items.iter().map(one).collect(), semantic))
}

fn array<'a>(v: &mut Violations, items: &'a Value) -> Option<&'a [Value]> {
    let Value::Array(items) = items else { return mistyped(v, "evaluations", "an array") };
    v.counted("evaluations", items.len(), 1..=MAX_BATCH)?;
    Some(items)
}

fn semantic(v: &mut Violations, options: Option<&Value>) -> Option<Semantic> {
    let Some(options) = options else { return Some(Semantic::ExecuteAll) };
    let Value::Object(options) = options else { return mistyped(v, "options", "an object") };
    let Some(word) = member(options, "evaluations_semantic") else { return Some(Semantic::ExecuteAll) };
    let known = Semantic::ALL.into_iter().find(|(name, _)| word.as_str() == Some(name));
    known.map(|(_, semantic)| semantic).or_else(|| {
        let names = Semantic::ALL.map(|(name, _)| name).join(", ");
        v.refuse("options.evaluations_semantic", format!("must be one of: {names}"));
        None
    })
}

/// What is wrong at the top is the whole request's fault, whatever its items say.
fn check_defaults(v: &mut Violations, defaults: Parts<'_>) {
    if defaults.subject.is_some() {
        entity(v, "subject", defaults.subject);
    }
    if defaults.action.is_some() {
        action(v, defaults.action);
    }
    if defaults.resource.is_some() {
        entity(v, "resource", defaults.resource);
    }
    if defaults.context.is_some() {
        object(v, "context", defaults.context);
    }
}

fn call(v: &mut Violations, parts: Parts<'_>) -> Option<Decide> {
    let subject = entity(v, "subject", parts.subject);
    let action = action(v, parts.action);
    let resource = entity(v, "resource", parts.resource);
    let context = match parts.context {
        None => Some(None),
        Some(context) => object(v, "context", Some(context)).map(Some),
    };
    let (subject, action, resource) = (subject?, action?, resource?);
    let context = attributes(v, context?, action.properties);
    if !matches!(subject.kind, INSTANCE | CREDENTIAL) {
        return entities(v, &subject, &action, &resource, context);
    }
    let who = run(v, &subject);
    let purpose = v.within("subject.properties", |v| match text(v, "purpose", subject.property("purpose")) {
        Some(Some(purpose)) => v.text("purpose", purpose.to_owned(), MAX_TEXT).map(Some),
        other => other.map(|_| None),
    });
    let tool_id = v.within("resource", |v| match resource.kind {
        TOOL => v.required("id", resource.id),
        _ => refuse(v, "type", format!("must be {TOOL} for a subject of type {}", subject.kind)),
    });
    let action = v.within("action", |v| v.required("name", action.name));
    let (request_hash, approval_id, want_receipt) = v.within("resource.properties", |v| {
        let request_hash = hash(v, "request_hash", resource.property("request_hash"));
        let approval = text(v, "approval_id", resource.property("approval_id"));
        let approval_id = approval.and_then(|id| v.optional("approval_id", id.unwrap_or_default()));
        (request_hash, approval_id, flag(v, "want_receipt", resource.property("want_receipt")))
    });
    Some(Decide {
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

fn run(v: &mut Violations, subject: &Entity<'_>) -> Option<DecisionSubject> {
    v.within("subject", |v| match subject.kind {
        INSTANCE => v.required("id", subject.id).map(DecisionSubject::Instance),
        _ => Some(DecisionSubject::Token(subject.id.to_owned())),
    })
}

/// A subject that is no run: it and the resource are of types that a policy may declare.
fn entities(
    v: &mut Violations,
    subject: &Entity<'_>,
    action: &Action<'_>,
    resource: &Entity<'_>,
    context: Option<Context>,
) -> Option<Decide> {
    let kind: Option<ToolId> = v.within("subject", |v| {
        // The log names the subject, and takes ids of this shape only.
        let plain = |id: &str| id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if !plain(subject.id) {
            v.refuse("id", "must be at most 128 visible ASCII characters other than \" and \\");
        }
        v.required("type", subject.kind)
    });
    let tool_id = v.within("resource", |v| v.required("type", resource.kind));
    let name = v.within("action", |v| v.required("name", action.name));
    kind?;
    Some(Decide {
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

/// SHA-256 of who acts how on what, in RFC 8785's JSON: the record names only the resource's type beside the subject.
fn identity(subject: &Entity<'_>, action: &Action<'_>, resource: &Entity<'_>) -> [u8; 32] {
    let entity = |entity: &Entity<'_>| json!({ "id": entity.id, "type": entity.kind });
    // Keys in order, and no numbers: serde_json writes what RFC 8785 wants.
    let text = json!({ "action": { "name": action.name }, "resource": entity(resource), "subject": entity(subject) });
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.to_string().as_bytes()).as_ref());
    hash
}

/// A subject or a resource.
struct Entity<'a> {
    kind: &'a str,
    id: &'a str,
    properties: Option<&'a Object>,
}

impl<'a> Entity<'a> {
    /// A copy for the policy, within bounds.
    fn owned(&self, v: &mut Violations, field: &str) -> Option<countersign_policy::Entity> {
        let mut left = MAX_ATTRIBUTES;
        let properties = self.properties.into_iter().flatten().filter(|(_, value)| !value.is_null());
        let properties = properties.map(|(name, value)| Some((name.clone(), copied(value, &mut left)?))).collect();
        let Some(properties) = properties else {
            return v.within(field, |v| refuse(v, "properties", format!("must hold at most {MAX_ATTRIBUTES} values")));
        };
        Some(countersign_policy::Entity { kind: self.kind.to_owned(), id: self.id.to_owned(), properties })
    }

    fn property(&self, name: &str) -> Option<&'a Value> {
        member(self.properties?, name)
    }
}

fn entity<'a>(v: &mut Violations, field: &str, value: Option<&'a Value>) -> Option<Entity<'a>> {
    let members = object(v, field, value)?;
    v.within(field, |v| {
        let (kind, id) = (required(v, members, "type"), required(v, members, "id"));
        let properties = properties(v, members);
        Some(Entity { kind: kind?, id: id?, properties: properties? })
    })
}

struct Action<'a> {
    name: &'a str,
    properties: Option<&'a Object>,
}

fn action<'a>(v: &mut Violations, value: Option<&'a Value>) -> Option<Action<'a>> {
    let members = object(v, "action", value)?;
    v.within("action", |v| {
        let name = required(v, members, "name");
        let properties = properties(v, members);
        Some(Action { name: name?, properties: properties? })
    })
}

/// What rules read: the context of the call and the parameters of its action, as one set.
fn attributes(v: &mut Violations, context: Option<&Object>, parameters: Option<&Object>) -> Option<Context> {
    let mut left = MAX_ATTRIBUTES;
    let mut all = Object::new();
    for (name, value) in context.into_iter().flatten().chain(parameters.into_iter().flatten()) {
        let Some(value) = (if value.is_null() { Some(Value::Null) } else { copied(value, &mut left) }) else {
            return refuse(v, "context", format!("must hold at most {MAX_ATTRIBUTES} values with action.properties"));
        };
        if !value.is_null() && all.insert(name.clone(), value).is_some() {
            v.refuse("action.properties", format!("has a name that context has too: {name:?}"));
        }
    }
    Context::from_json(all).map_err(|found| v.absorb(found)).ok()
}

/// A copy without members that are null; a null in a list stays, and is refused with everything else that is no attribute.
/// None: it holds more than `left` values.
fn copied(value: &Value, left: &mut usize) -> Option<Value> {
    *left = left.checked_sub(1)?;
    Some(match value {
        Value::Array(items) => Value::Array(items.iter().map(|item| copied(item, left)).collect::<Option<_>>()?),
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                members.map(|(name, value)| Some((name.clone(), copied(value, left)?))).collect::<Option<_>>()?,
            )
        }
        scalar => scalar.clone(),
    })
}

/// A member that is there; null is as good as absent.
fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn refuse<T>(v: &mut Violations, field: &str, description: impl Into<String>) -> Option<T> {
    v.refuse(field, description);
    None
}

fn mistyped<T>(v: &mut Violations, field: &str, wanted: &str) -> Option<T> {
    refuse(v, field, format!("must be {wanted}"))
}

fn object<'a>(v: &mut Violations, field: &str, value: Option<&'a Value>) -> Option<&'a Object> {
    match value {
        Some(Value::Object(object)) => Some(object),
        Some(_) => mistyped(v, field, "an object"),
        None => refuse(v, field, "is required"),
    }
}

#[expect(clippy::option_option, reason = "wrong, absent, or there")]
fn properties<'a>(v: &mut Violations, of: &'a Object) -> Option<Option<&'a Object>> {
    match member(of, "properties") {
        None => Some(None),
        value => object(v, "properties", value).map(Some),
    }
}

fn required<'a>(v: &mut Violations, of: &'a Object, name: &str) -> Option<&'a str> {
    match text(v, name, member(of, name))? {
        None | Some("") => refuse(v, name, "is required"),
        Some(text) if text.len() > MAX_ID => refuse(v, name, format!("must be at most {MAX_ID} bytes")),
        Some(text) => Some(text),
    }
}

#[expect(clippy::option_option, reason = "wrong, absent, or there")]
fn text<'a>(v: &mut Violations, field: &str, value: Option<&'a Value>) -> Option<Option<&'a str>> {
    match value {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => mistyped(v, field, "a string"),
    }
}

fn flag(v: &mut Violations, field: &str, value: Option<&Value>) -> Option<bool> {
    match value {
        None => Some(false),
        Some(Value::Bool(flag)) => Some(*flag),
        Some(_) => mistyped(v, field, "true or false"),
    }
}

#[expect(clippy::option_option, reason = "wrong, absent, or there")]
fn hash(v: &mut Violations, field: &str, value: Option<&Value>) -> Option<Option<[u8; 32]>> {
    let Some(value) = value else { return Some(None) };
    match Digest::deserialize(value) {
        Ok(digest) => Some(Some(digest.0)),
        Err(_) => mistyped(v, field, "a SHA-256 hash, 64 lower-case hexadecimal digits"),
    }
}

#[cfg(test)]
mod tests;
