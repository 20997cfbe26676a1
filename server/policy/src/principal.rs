//! Who calls: what is constant for one credential.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression};
use countersign_core::names::{RoleName, ToolId};

use crate::cedar::entity::Kind;

/// What a policy can know of a caller. In Cedar: `principal.agent`, `principal.depth` and so on; labels are tags,
/// `principal.hasTag("tier") && principal.getTag("tier") == "trial"`.
#[derive(Debug, Clone, Copy)]
pub struct PrincipalSpec<'a> {
    /// The run.
    pub agent_instance_id: &'a str,
    /// The run at the root of its chain; itself, if it is the root.
    pub root_instance_id: &'a str,
    /// Who answers for it.
    pub sponsor_id: &'a str,
    /// What kind of agent it is.
    pub agent: &'a str,
    /// What it acts as.
    pub role: &'a str,
    /// The roles that bind it beside its own, those of its ancestors: it is allowed only what every one of them is.
    pub inherited_roles: &'a [RoleName],
    /// How far below the root it is; 0 for a root.
    pub depth: u32,
    /// What it was started for.
    pub purpose: &'a str,
    /// What its credential lets it call.
    pub tools: &'a [ToolId],
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// A caller as Cedar sees it. Made once per credential, good for every call and every policy. Cheap to clone.
#[derive(Clone)]
pub struct Principal {
    pub(crate) uid: EntityUid,
    pub(crate) entities: Arc<Entities>,
    role: Arc<str>,
    /// The same caller as each of the other roles that bind it.
    inherited: Arc<[Self]>,
}

impl Principal {
    /// Builds the caller, once for each role that binds it.
    ///
    /// # Panics
    /// Never: text, numbers and sets of text evaluate to themselves, and one entity has no duplicates and no cycles.
    #[must_use]
    pub fn new(spec: &PrincipalSpec<'_>) -> Self {
        let alone = |role| Self::alone(&PrincipalSpec { role, ..*spec });
        let inherited = spec.inherited_roles.iter().map(|role| alone(role.as_str())).collect();
        Self { inherited, ..alone(spec.role) }
    }

    /// The caller as its own role alone.
    fn alone(spec: &PrincipalSpec<'_>) -> Self {
        let text = |value: &str| RestrictedExpression::new_string(value.to_owned());
        let uid = Kind::Instance.uid(spec.agent_instance_id);
        let attributes = HashMap::from([
            ("agent_instance_id".to_owned(), text(spec.agent_instance_id)),
            ("root_instance_id".to_owned(), text(spec.root_instance_id)),
            ("sponsor_id".to_owned(), text(spec.sponsor_id)),
            ("agent".to_owned(), text(spec.agent)),
            ("role".to_owned(), text(spec.role)),
            ("depth".to_owned(), RestrictedExpression::new_long(spec.depth.into())),
            ("purpose".to_owned(), text(spec.purpose)),
            ("tools".to_owned(), RestrictedExpression::new_set(spec.tools.iter().map(|tool| text(tool.as_str())))),
        ]);
        let labels = spec.labels.iter().map(|(key, value)| (key.clone(), text(value)));
        let parents = HashSet::from([Kind::Role.uid(spec.role)]);
        let entities = Entity::new_with_tags(uid.clone(), attributes, parents, labels)
            .ok()
            .and_then(|instance| Entities::from_entities([instance], None).ok())
            .expect("see Panics");
        Self { uid, entities: Arc::new(entities), role: spec.role.into(), inherited: Arc::new([]) }
    }

    /// The same caller, bound only by those of its roles that `holds` is true of; none: by none of them.
    #[must_use]
    pub fn as_roles(&self, holds: impl Fn(&str) -> bool) -> Option<Self> {
        let (mut held, mut first) = (Vec::new(), None);
        for one in self.by_role().filter(|one| holds(&one.role)) {
            let alone = Self { inherited: Arc::new([]), ..one.clone() };
            if first.is_none() { first = Some(alone) } else { held.push(alone) }
        }
        first.map(|first| Self { inherited: held.into(), ..first })
    }

    /// The caller as each role that binds it, its own first.
    pub(crate) fn by_role(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(self.inherited.iter())
    }

    /// What it acts as.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("uid", &self.uid.to_string())
            .field("role", &self.role)
            .field("inherited", &self.inherited.len())
            .finish_non_exhaustive()
    }
}
