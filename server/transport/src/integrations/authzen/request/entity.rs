//! Subjects, resources and actions of AuthZEN, and the attributes that rules read: the context and the properties of
//! the action as one set, of at most `MAX_ATTRIBUTES` values.

use countersign_policy::Context;
use serde_json::Value;

use super::members::{Object, member, object, properties, required};
use crate::convert::violations::{Refused, Violations};

/// How many values attributes may contain; a policy accepts fewer.
pub(super) const MAX_ATTRIBUTES: usize = 256;

/// A subject or a resource.
pub(super) struct Entity<'a> {
    pub(super) kind: &'a str,
    pub(super) id: &'a str,
    pub(super) properties: Option<&'a Object>,
}

impl<'a> Entity<'a> {
    /// A copy for the policy, within the limits.
    pub(super) fn owned(&self, v: &mut Violations, field: &str) -> Result<countersign_policy::Entity, Refused> {
        let mut left = MAX_ATTRIBUTES;
        let properties = self.properties.into_iter().flatten().filter(|(_, value)| !value.is_null());
        let properties = properties.map(|(name, value)| Some((name.clone(), copied(value, &mut left)?))).collect();
        let Some(properties) = properties else {
            return Err(v.refuse(&format!("{field}.properties"), format!("must hold at most {MAX_ATTRIBUTES} values")));
        };
        Ok(countersign_policy::Entity { kind: self.kind.to_owned(), id: self.id.to_owned(), properties })
    }

    pub(super) fn property(&self, name: &str) -> Option<&'a Value> {
        member(self.properties?, name)
    }
}

pub(super) fn entity<'a>(v: &mut Violations, field: &str, value: Option<&'a Value>) -> Result<Entity<'a>, Refused> {
    let members = object(v, field, value)?;
    v.within(field, |v| {
        let (kind, id) = (required(v, members, "type"), required(v, members, "id"));
        let properties = properties(v, members);
        Ok(Entity { kind: kind?, id: id?, properties: properties? })
    })
}

pub(super) struct Action<'a> {
    pub(super) name: &'a str,
    pub(super) properties: Option<&'a Object>,
}

pub(super) fn action<'a>(v: &mut Violations, value: Option<&'a Value>) -> Result<Action<'a>, Refused> {
    let members = object(v, "action", value)?;
    v.within("action", |v| {
        let name = required(v, members, "name");
        let properties = properties(v, members);
        Ok(Action { name: name?, properties: properties? })
    })
}

/// The attributes that rules read: the context of the call and the parameters of its action, as one set.
pub(super) fn attributes(
    v: &mut Violations,
    context: Option<&Object>,
    parameters: Option<&Object>,
) -> Result<Context, Refused> {
    let mut left = MAX_ATTRIBUTES;
    let mut all = Object::new();
    for (name, value) in context.into_iter().flatten().chain(parameters.into_iter().flatten()) {
        let Some(value) = (if value.is_null() { Some(Value::Null) } else { copied(value, &mut left) }) else {
            let why = format!("must hold at most {MAX_ATTRIBUTES} values with action.properties");
            return Err(v.refuse("context", why));
        };
        if !value.is_null() && all.insert(name.clone(), value).is_some() {
            v.refuse("action.properties", format!("has a name that context has too: {name:?}"));
        }
    }
    Context::from_json(all).map_err(|found| v.absorb(found))
}

/// A copy without members that are null. A null in a list is kept, and is refused with everything else that is not an
/// attribute. `None` if there are more than `left` values.
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
