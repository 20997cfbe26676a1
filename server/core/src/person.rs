//! Persons: the humans behind logins. Rules that need two persons compare persons, never the names of logins. This file
//! decides whether a login is bound and confirmed, who may bind it (no person to themself), and when a binding counts
//! at once.
//!
//! A login is an operator id, however it comes in: with an API key, with an identity provider's token, or with a client
//! certificate. A binding says which person it belongs to. One person makes a binding, and a second person confirms it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::names::{OperatorId, PersonId};

/// The binding of a login to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The login.
    pub operator_id: OperatorId,
    /// The person.
    pub person_id: PersonId,
    /// The operator who made it. `None` if it was taken over from a version without persons.
    pub bound_by: Option<OperatorId>,
    /// When it was made.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub bind_time: OffsetDateTime,
    /// The operator who confirmed it. `None` if it is not confirmed; then the login may stop things, but cannot be a
    /// second person.
    pub confirmed_by: Option<OperatorId>,
    /// When it was confirmed.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub confirm_time: Option<OffsetDateTime>,
}

impl Binding {
    /// Whether a second person confirmed it.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed_by.is_some()
    }

    /// The etag of this binding.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("{}.{}", self.bind_time.unix_timestamp_nanos() / 1_000, u8::from(self.is_confirmed()))
    }
}

/// Whose a login is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginPerson {
    /// The person.
    pub person_id: PersonId,
    /// Whether a second person confirmed it.
    pub confirmed: bool,
}

/// A login and its person, if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The login.
    pub operator_id: OperatorId,
    /// The person, and whether a second person confirmed the binding. `None` if the login is not bound.
    pub person: Option<LoginPerson>,
}

impl Login {
    /// The person, if the binding is confirmed.
    pub fn person(&self) -> Result<&PersonId, PersonRule> {
        match &self.person {
            Some(LoginPerson { person_id, confirmed: true }) => Ok(person_id),
            Some(LoginPerson { person_id, confirmed: false }) => {
                Err(PersonRule::Unconfirmed { operator_id: self.operator_id.clone(), person_id: person_id.clone() })
            }
            None => Err(PersonRule::Unbound { operator_id: self.operator_id.clone() }),
        }
    }

    /// Whether this login may bind `operator_id` to `person_id`: a person binds no login to themself.
    pub fn may_bind(&self, operator_id: &OperatorId, person_id: &PersonId) -> Result<(), PersonRule> {
        let own = self.operator_id == *operator_id
            || self.person.as_ref().is_some_and(|binder| binder.person_id == *person_id);
        if own {
            return Err(PersonRule::OwnBinding { operator_id: operator_id.clone(), person_id: person_id.clone() });
        }
        Ok(())
    }

    /// Whether a binding that this login makes counts at once, without a second person who confirms it: until there
    /// were two persons (`were_two`) the first one has no one to ask.
    #[must_use]
    pub fn binds_at_once(&self, were_two: bool) -> bool {
        !were_two && self.person().is_ok()
    }
}

/// A rule about persons that a request violates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonRule {
    /// The login is not bound to a person.
    #[error(
        "this takes two persons, and login {operator_id} is not bound to a person: another admin binds it with \
         BindPerson, and a second person confirms that with ConfirmPerson"
    )]
    Unbound {
        /// The login.
        operator_id: OperatorId,
    },
    /// No second person confirmed the binding of the login.
    #[error(
        "this takes two persons, and no second person has confirmed that login {operator_id} is {person_id}'s: \
         another person confirms it with ConfirmPerson"
    )]
    Unconfirmed {
        /// The login.
        operator_id: OperatorId,
        /// The person it is bound to.
        person_id: PersonId,
    },
    /// An operator binds a login to themself.
    #[error("a person cannot bind a login to themselves: an admin who is not {person_id} binds {operator_id} to them")]
    OwnBinding {
        /// The login.
        operator_id: OperatorId,
        /// The person it would be bound to.
        person_id: PersonId,
    },
    /// Both logins belong to one person.
    #[error("this takes a second person, and {}: another person must do it", both(actor, other, person_id))]
    SamePerson {
        /// The login that asks.
        actor: OperatorId,
        /// The login that made the first step.
        other: OperatorId,
        /// The person.
        person_id: PersonId,
    },
}

fn both(actor: &OperatorId, other: &OperatorId, person_id: &PersonId) -> String {
    if actor == other {
        format!("{actor} would be both")
    } else {
        format!("{actor} and {other} are both {person_id}'s logins")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(operator: &str, person: Option<(&str, bool)>) -> Login {
        let person = person.map(|(person, confirmed)| LoginPerson { person_id: person.parse().unwrap(), confirmed });
        Login { operator_id: operator.parse().unwrap(), person }
    }

    #[test]
    fn what_the_first_person_binds_counts_at_once() {
        for (person, were_two, at_once) in [
            (Some(("olga", true)), false, true),
            (Some(("olga", true)), true, false),
            (Some(("olga", false)), false, false),
            (None, false, false),
            (None, true, false),
        ] {
            assert_eq!(login("olga", person).binds_at_once(were_two), at_once, "{person:?}, were two: {were_two}");
        }
    }

    #[test]
    fn a_person_binds_no_login_to_themself() {
        for (person, operator_id, person_id, may) in [
            (Some(("olga", true)), "rita", "rita", true),
            (Some(("olga", true)), "olga", "rita", false),
            (Some(("olga", true)), "rita", "olga", false),
            (Some(("olga", false)), "rita", "olga", false),
            (None, "rita", "olga", true),
        ] {
            let bound = login("olga", person).may_bind(&operator_id.parse().unwrap(), &person_id.parse().unwrap());
            assert_eq!(bound.is_ok(), may, "{operator_id} to {person_id} by {person:?}");
        }
    }
}
