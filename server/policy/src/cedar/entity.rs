//! The Cedar entity types: an Instance in its Role calls a Tool by an Action.

use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

/// The kinds of entity that policies name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Instance,
    Role,
    Tool,
    Action,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Instance, Self::Role, Self::Tool, Self::Action];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "Instance",
            Self::Role => "Role",
            Self::Tool => "Tool",
            Self::Action => "Action",
        }
    }

    /// The entity of this kind named `id`.
    pub(crate) fn uid(self, id: &str) -> EntityUid {
        static NAMES: LazyLock<[EntityTypeName; 4]> = LazyLock::new(|| {
            Kind::ALL.map(|kind| kind.as_str().parse().expect("a capitalised word is an entity type"))
        });
        EntityUid::from_type_name_and_id(NAMES[self as usize].clone(), EntityId::new(id))
    }

    /// The kind of `uid`, if it is one of ours.
    pub(crate) fn of(uid: &EntityUid) -> Option<Self> {
        let name = uid.type_name().to_string();
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}
