//! Changes of a sponsor after the registration: what they set, and whether they need a new approval, for which the
//! sponsor is PENDING again. Only labels need none.

use std::collections::{BTreeMap, BTreeSet};

use super::{Sponsor, SponsorRule, SponsorState};
use crate::names::{OperatorId, PersonId, RoleName};

/// What a change sets. A field that is `None` stays unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SponsorChange {
    /// The person's name.
    pub display_name: Option<String>,
    /// The person's e-mail address.
    pub email: Option<String>,
    /// The person, as in the bindings of logins.
    pub person_id: Option<PersonId>,
    /// The complete list of roles that instances may have.
    pub roles: Option<Vec<RoleName>>,
    /// Longest credential, seconds.
    pub max_ttl_seconds: Option<u32>,
    /// Deepest delegation below a root.
    pub max_depth: Option<u32>,
    /// The complete set of free labels.
    pub labels: Option<BTreeMap<String, String>>,
}

/// One difference from what was approved. Never contains personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The field that differs.
    pub field: String,
    /// The value before. `None` if there was none.
    pub before: Option<String>,
    /// The value after. `None` if it was removed.
    pub after: Option<String>,
}

/// A sponsor after a change, and the effect of the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The sponsor; PENDING again if the approval no longer covers them.
    pub sponsor: Sponsor,
    /// The differences in person, roles, longest TTL and depth, sorted by `field`.
    pub terms: Vec<Difference>,
    /// Whether the name or the e-mail address differs.
    pub identity: bool,
}

impl Changed {
    /// Whether the approval no longer covers the sponsor, because anything except labels differs.
    #[must_use]
    pub fn needs_approval(&self) -> bool {
        self.identity || !self.terms.is_empty()
    }
}

impl Sponsor {
    /// This sponsor after `change` by `operator`. `None` if it changes nothing.
    ///
    /// An approval covers exactly what was registered, so any change needs a new one.
    pub fn changed(&self, change: SponsorChange, operator: &OperatorId) -> Result<Option<Changed>, SponsorRule> {
        if !matches!(self.state, SponsorState::Pending | SponsorState::Active | SponsorState::Suspended) {
            return Err(SponsorRule::IllegalTransition { verb: "change", from: self.state });
        }
        let mut sponsor = self.clone();
        sponsor.display_name = change.display_name.unwrap_or(sponsor.display_name);
        sponsor.email = change.email.unwrap_or(sponsor.email);
        if change.person_id.is_some() && change.person_id != self.person_id {
            sponsor.person_id = change.person_id;
            sponsor.person_confirmed = false;
        }
        sponsor.max_ttl_seconds = change.max_ttl_seconds.unwrap_or(sponsor.max_ttl_seconds);
        sponsor.max_depth = change.max_depth.unwrap_or(sponsor.max_depth);
        sponsor.labels = change.labels.unwrap_or(sponsor.labels);
        // The same roles in another order are equal.
        if let Some(roles) = change.roles.filter(|roles| set(roles) != set(&self.roles)) {
            sponsor.roles = roles;
        }
        if sponsor == *self {
            return Ok(None);
        }
        sponsor.revision += 1;
        let identity = (&sponsor.display_name, &sponsor.email) != (&self.display_name, &self.email);
        let mut changed = Changed { terms: differences(self, &sponsor), identity, sponsor };
        if changed.needs_approval() {
            let sponsor = &mut changed.sponsor;
            sponsor.state = SponsorState::Pending;
            sponsor.suspend_cause = None;
            sponsor.approve_time = None;
            sponsor.review_due_at = None;
            sponsor.changed_by = Some(operator.clone());
            if self.state != SponsorState::Pending {
                sponsor.terms_by.clear();
            }
            if !sponsor.terms_by.contains(operator) {
                sponsor.terms_by.push(operator.clone());
            }
        }
        Ok(Some(changed))
    }
}

fn set(roles: &[RoleName]) -> BTreeSet<&RoleName> {
    roles.iter().collect()
}

fn differences(before: &Sponsor, after: &Sponsor) -> Vec<Difference> {
    let number = |field: &str, before: u32, after: u32| {
        (before != after).then(|| Difference {
            field: field.to_owned(),
            before: Some(before.to_string()),
            after: Some(after.to_string()),
        })
    };
    let (held, wanted) = (set(&before.roles), set(&after.roles));
    let added = wanted.difference(&held).enumerate().map(|(nth, role)| Difference {
        field: format!("role_added.{nth:02}"),
        before: None,
        after: Some(role.to_string()),
    });
    let removed = held.difference(&wanted).enumerate().map(|(nth, role)| Difference {
        field: format!("role_removed.{nth:02}"),
        before: Some(role.to_string()),
        after: None,
    });
    let person = |sponsor: &Sponsor| sponsor.person_id.as_ref().map(ToString::to_string);
    let person = (before.person_id != after.person_id).then(|| Difference {
        field: "person_id".to_owned(),
        before: person(before),
        after: person(after),
    });
    number("max_depth", before.max_depth, after.max_depth)
        .into_iter()
        .chain(number("max_ttl_seconds", before.max_ttl_seconds, after.max_ttl_seconds))
        .chain(person)
        .chain(added)
        .chain(removed)
        .collect()
}
