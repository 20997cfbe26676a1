//! The caller in Cedar's form: the facts that are constant for one credential (agent, role, sponsor, depth, purpose,
//! tools; labels as tags), once for each role that restricts it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
};

use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression};
use countersign_core::names::{RoleName, ToolId};

use crate::cedar::entity::Kind;

/// What a policy can know about a caller. In Cedar: `principal.agent`, `principal.depth` and so on; labels are tags,
/// `principal.hasTag("tier") && principal.getTag("tier") == "trial"`.
#[derive(Debug, Clone, Copy)]
pub struct PrincipalSpec<'a> {
    /// The run.
    pub agent_instance_id: &'a str,
    /// The run at the root of its chain; itself, if it is the root.
    pub root_instance_id: &'a str,
    /// Its sponsor.
    pub sponsor_id: &'a str,
    /// Its kind of agent.
    pub agent: &'a str,
    /// Its role.
    pub role: &'a str,
    /// The inherited roles, those of its ancestors: a call is allowed only if it is allowed for every role.
    pub inherited_roles: &'a [RoleName],
    /// Its distance from the root; 0 for a root.
    pub depth: u32,
    /// What it was started for.
    pub purpose: &'a str,
    /// The tools that its credential permits.
    pub tools: &'a [ToolId],
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// A caller in Cedar's form. Made once per credential, for every call and every policy. Cheap to clone.
#[derive(Clone)]
pub struct Principal {
    pub(crate) uid: EntityUid,
    pub(crate) entities: Arc<Entities>,
    role: Arc<str>,
    /// The same caller with each of its inherited roles.
    inherited: Arc<[Self]>,
}

impl Principal {
    /// Builds the caller, once for each role that restricts it.
    ///
    /// # Panics
    /// Never: text, numbers and sets of text evaluate to themselves, and one entity has no duplicates and no cycles.
    #[must_use]
    pub fn new(spec: &PrincipalSpec<'_>) -> Self {
        let alone = |role| Self::alone(&PrincipalSpec { role, ..*spec });
        let inherited = spec.inherited_roles.iter().map(|role| alone(role.as_str())).collect();
        Self { inherited, ..alone(spec.role) }
    }

    /// The caller with its own role only.
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

    /// The same caller with only those of its roles for which `holds` is true. `None` if there is no such role.
    #[must_use]
    pub fn as_roles(&self, holds: impl Fn(&str) -> bool) -> Option<Self> {
        let (mut held, mut first) = (Vec::new(), None);
        for one in self.by_role().filter(|one| holds(&one.role)) {
            let alone = Self { inherited: Arc::new([]), ..one.clone() };
            if first.is_none() { first = Some(alone) } else { held.push(alone) }
        }
        first.map(|first| Self { inherited: held.into(), ..first })
    }

    /// The caller with each role that restricts it, its own first.
    pub(crate) fn by_role(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(self.inherited.iter())
    }

    /// Its role.
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
