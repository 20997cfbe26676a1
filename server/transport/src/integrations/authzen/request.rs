//! Converts evaluations of OpenID's AuthZEN Authorization API 1.0 to calls: one, or several with their defaults and
//! `evaluations_semantic` (execute_all, deny_on_first_deny, permit_on_first_permit).
//!
//! As the standard requires, unknown members are ignored, and `null` counts as missing.

mod call;
mod entity;
mod members;
mod search;
#[cfg(test)]
mod tests;

use countersign_app::{Decide, Error};
use serde_json::Value;

pub(crate) use members::Object;
pub(crate) use search::{Pages, Search, search};

use self::{
    call::{Parts, call},
    entity::{action, entity},
    members::{member, mistyped, object},
};
use crate::convert::{Refused, decision::MAX_BATCH, read, violations::Violations};

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

/// The content of an Access Evaluations request.
#[derive(Debug)]
pub(crate) enum Evaluations {
    /// The same as an Access Evaluation request.
    One(Box<Decide>),
    /// Several calls, each with its errors.
    Many(Vec<Result<Decide, Error>>, Semantic),
}

impl Evaluations {
    /// Each call that could be read.
    pub(crate) fn calls(&mut self) -> impl Iterator<Item = &mut Decide> {
        let (one, many) = match self {
            Self::One(one) => (Some(&mut **one), None),
            Self::Many(all, _) => (None, Some(all)),
        };
        one.into_iter().chain(many.into_iter().flatten().filter_map(|call| call.as_mut().ok()))
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
        check_defaults(v, defaults)?;
        Ok((items?, semantic?))
    })?;
    let one = |item: &Value| {
        read(|v| match item {
            Value::Object(item) => call(v, Parts::of(item).over(defaults)),
            _ => Err(mistyped(v, "", "an object")),
        })
    };
    Ok(Evaluations::Many(items.iter().map(one).collect(), semantic))
}

fn array<'a>(v: &mut Violations, items: &'a Value) -> Result<&'a [Value], Refused> {
    let Value::Array(items) = items else { return Err(mistyped(v, "evaluations", "an array")) };
    v.counted("evaluations", items.len(), 1..=MAX_BATCH)?;
    Ok(items)
}

fn semantic(v: &mut Violations, options: Option<&Value>) -> Result<Semantic, Refused> {
    let Some(options) = options else { return Ok(Semantic::ExecuteAll) };
    let Value::Object(options) = options else { return Err(mistyped(v, "options", "an object")) };
    let Some(word) = member(options, "evaluations_semantic") else { return Ok(Semantic::ExecuteAll) };
    let known = Semantic::ALL.into_iter().find(|(name, _)| word.as_str() == Some(name));
    known.map(|(_, semantic)| semantic).ok_or_else(|| {
        let names = Semantic::ALL.map(|(name, _)| name).join(", ");
        v.refuse("options.evaluations_semantic", format!("must be one of: {names}"))
    })
}

/// An error in the defaults is an error of the whole request, whatever its items are.
fn check_defaults(v: &mut Violations, defaults: Parts<'_>) -> Result<(), Refused> {
    let subject = defaults.subject.map(|subject| entity(v, "subject", Some(subject)));
    let action = defaults.action.map(|said| action(v, Some(said)));
    let resource = defaults.resource.map(|resource| entity(v, "resource", Some(resource)));
    let context = defaults.context.map(|context| object(v, "context", Some(context)));
    subject.transpose()?;
    action.transpose()?;
    resource.transpose()?;
    context.transpose()?;
    Ok(())
}
