//! Subjects and resources of types that a document declares, besides runs and their tools. Their attributes come from
//! the caller, except those that the document states for single entities, which have priority.

mod evaluate;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use cedar_policy::{Entities, Entity as CedarEntity, EntityId, EntityTypeName, EntityUid, Policy};
use serde_json::{Map, Value as Json};

use crate::{
    context::fit::check,
    context::{Context, Value},
    schema::{ContextAttribute, ContextType},
};

/// A subject or a resource as a question names it.
#[derive(Clone)]
pub struct Entity {
    /// Its type.
    pub kind: String,
    /// Its id within its type.
    pub id: String,
    /// The attributes that the caller states; those that its type does not declare are ignored.
    pub properties: Map<String, Json>,
}

/// The caller's values must not get into logs.
impl fmt::Debug for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entity").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The question whether a subject may perform an action on a resource.
#[derive(Debug, Clone, Copy)]
pub struct EntityRequest<'a> {
    /// The subject.
    pub subject: &'a Entity,
    /// The action.
    pub action: &'a str,
    /// The resource.
    pub resource: &'a Entity,
    /// The other attributes of the call.
    pub context: &'a Context,
}

/// What a document says of one entity, in its order.
pub(crate) type Known = Vec<KnownAttribute>;

/// The attributes that a document states for one entity.
#[derive(Debug)]
pub(crate) struct KnownAttribute {
    pub(crate) name: String,
    pub(crate) value: Value,
}

/// The document's declarations.
#[derive(Debug, Default)]
pub(crate) struct EntityTypes {
    pub(crate) types: BTreeMap<Arc<str>, Vec<ContextAttribute>>,
    /// By type and id.
    pub(crate) known: HashMap<Arc<str>, HashMap<String, Known>>,
}

impl EntityTypes {
    /// The attributes of entities of a type. `None` if the type is not declared.
    pub(crate) fn attributes(&self, kind: &str) -> Option<&[ContextAttribute]> {
        self.types.get(kind).map(Vec::as_slice)
    }

    /// The type of an attribute of such entities; of any entity, if all have the same type.
    pub(crate) fn kind_of(&self, kind: Option<&str>, attribute: &str) -> Option<&ContextType> {
        let of_this = |(name, _): &(&Arc<str>, &Vec<_>)| kind.is_none_or(|kind| ***name == *kind);
        let all = self.types.iter().filter(of_this).flat_map(|(_, declared)| declared);
        let mut kinds = all.filter(|known| known.name == attribute).map(|known| &known.kind);
        let first = kinds.next()?;
        kinds.all(|other| other == first).then_some(first)
    }

    /// The types in Cedar's schema language.
    pub(crate) fn schema(&self) -> String {
        let entity = |(name, declared): (&Arc<str>, &Vec<_>)| format!("entity {name} = {};\n", record(declared));
        self.types.iter().map(entity).collect::<Vec<_>>().concat()
    }

    /// Both entities in Cedar's form. `None` if one does not match the declarations.
    fn entities(&self, subject: &Entity, resource: &Entity) -> Option<Entities> {
        let mut wrong = Vec::new();
        let mut made = vec![self.entity("subject", subject, &mut wrong)];
        // A subject that acts on itself is one entity, with the properties of the subject.
        if (&subject.kind, &subject.id) != (&resource.kind, &resource.id) {
            made.push(self.entity("resource", resource, &mut wrong));
        }
        let made: Option<Vec<_>> = made.into_iter().collect();
        made.filter(|_| wrong.is_empty()).and_then(|made| Entities::from_entities(made, None).ok())
    }

    /// The entities of the document that a policy names. `None` if it names none.
    pub(crate) fn named_by(&self, policy: &Policy) -> Option<Entities> {
        let named = policy.entity_literals().into_iter().filter_map(|uid| {
            let (kind, of_kind) = self.known.get_key_value(uid.type_name().to_string().as_str())?;
            let declared = self.attributes(kind)?;
            let value = |KnownAttribute { name, value }: &KnownAttribute| {
                let kind = declared.iter().find(|attribute| attribute.name == *name).map(|attribute| &attribute.kind);
                (name.clone(), value.to_cedar(kind))
            };
            let attributes = of_kind.get(uid.id().unescaped())?.iter().map(value).collect();
            CedarEntity::new(uid, attributes, HashSet::new()).ok()
        });
        // A policy may name an entity twice.
        let named: HashMap<EntityUid, CedarEntity> = named.map(|entity| (entity.uid(), entity)).collect();
        let named = Entities::from_entities(named.into_values(), None).ok()?;
        (!named.is_empty()).then_some(named)
    }

    fn entity(&self, place: &str, entity: &Entity, wrong: &mut Vec<String>) -> Option<CedarEntity> {
        let known = self.known.get(entity.kind.as_str()).and_then(|known| known.get(&entity.id));
        let mut attributes = HashMap::new();
        for declared in self.attributes(&entity.kind)? {
            let said = || entity.properties.get(&declared.name).filter(|value| !value.is_null());
            // The document's values for an entity have priority over the caller's.
            let value = match known.and_then(|known| known.iter().find(|known| known.name == declared.name)) {
                Some(known) => Some(known.value.clone()),
                None => match said().map(|json| Value::from_json(json.clone())) {
                    Some(None) => {
                        wrong.push(format!("{place}.{} must be {}", declared.name, declared.kind.words()));
                        continue;
                    }
                    value => value.flatten(),
                },
            };
            check(declared, place, value.as_ref(), wrong);
            attributes.extend(value.map(|value| (declared.name.clone(), value.to_cedar(Some(&declared.kind)))));
        }
        CedarEntity::new(uid(&entity.kind, &entity.id)?, attributes, HashSet::new()).ok()
    }
}

/// The name of an entity in Cedar. `None` if its type is not a valid name there.
fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    let kind: EntityTypeName = kind.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn record(declared: &[ContextAttribute]) -> String {
    let field = |attribute: &ContextAttribute| {
        let optional = if attribute.required { "" } else { "?" };
        format!("{:?}{optional}: {}", attribute.name, kind(&attribute.kind))
    };
    format!("{{{}}}", declared.iter().map(field).collect::<Vec<_>>().join(", "))
}

fn kind(kind: &ContextType) -> String {
    match kind {
        ContextType::One(scalar) => scalar.schema().to_owned(),
        ContextType::Set(scalar) => format!("Set<{}>", scalar.schema()),
        ContextType::Record(declared) => record(declared),
    }
}
