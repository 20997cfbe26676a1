//! Persons: who stands behind a login. Rules that take a second person compare persons, never the names of logins.
//!
//! A login is an operator id, however it comes in: by API key, by an identity provider's token, by a client certificate. A
//! binding says whose it is. One person made it, and a second one confirmed it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::names::{OperatorId, PersonId};

/// Whose a login is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The login.
    pub operator_id: OperatorId,
    /// The person.
    pub person_id: PersonId,
    /// Who said so; none: it was taken over from a version that knew no persons.
    pub bound_by: Option<OperatorId>,
    /// When.
    #[serde(with = "time::serde::timestamp::microseconds")]
    pub bind_time: OffsetDateTime,
    /// Who confirmed it; none: nobody has, and the login may stop things and vouch for nothing.
    pub confirmed_by: Option<OperatorId>,
    /// When.
    #[serde(with = "time::serde::timestamp::microseconds::option")]
    pub confirm_time: Option<OffsetDateTime>,
}

impl Binding {
    /// Whether a second person confirmed it.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed_by.is_some()
    }

    /// The opaque version of this binding.
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

/// A login, and what is known of whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The login.
    pub operator_id: OperatorId,
    /// The person; none: nobody said whose it is.
    pub person: Option<LoginPerson>,
}

impl Login {
    /// The person, where it is confirmed who that is.
    pub fn person(&self) -> Result<&PersonId, PersonRule> {
        match &self.person {
            Some(LoginPerson { person_id, confirmed: true }) => Ok(person_id),
            Some(LoginPerson { person_id, confirmed: false }) => {
                Err(PersonRule::Unconfirmed { operator_id: self.operator_id.clone(), person_id: person_id.clone() })
            }
            None => Err(PersonRule::Unbound { operator_id: self.operator_id.clone() }),
        }
    }
}

/// A rule about persons that a request breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonRule {
    /// Nobody said whose the login is.
    #[error(
        "this takes two persons, and login {operator_id} is not bound to a person: another admin binds it with \
         BindPerson, and a second person confirms that with ConfirmPerson"
    )]
    Unbound {
        /// The login.
        operator_id: OperatorId,
    },
    /// No second person confirmed whose the login is.
    #[error(
        "this takes two persons, and no second person has confirmed that login {operator_id} is {person_id}'s: \
         another person confirms it with ConfirmPerson"
    )]
    Unconfirmed {
        /// The login.
        operator_id: OperatorId,
        /// Whose it is said to be.
        person_id: PersonId,
    },
    /// Somebody says of a login that it is theirs.
    #[error("a person cannot bind a login to themselves: an admin who is not {person_id} binds {operator_id} to them")]
    OwnBinding {
        /// The login.
        operator_id: OperatorId,
        /// Whose it would be.
        person_id: PersonId,
    },
    /// Both are one person.
    #[error("this takes a second person, and {}: another person must do it", both(actor, other, person_id))]
    SamePerson {
        /// Who asks.
        actor: OperatorId,
        /// Who did what it is about.
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

/// Refuses where `actor` is not, beyond doubt, another person than each of `others`. Whose login is not confirmed takes no part
/// in it, on either side.
pub fn second_person(actor: &Login, others: &[Login]) -> Result<(), PersonRule> {
    let person_id = actor.person()?;
    for other in others {
        if other.person()? == person_id {
            return Err(PersonRule::SamePerson {
                actor: actor.operator_id.clone(),
                other: other.operator_id.clone(),
                person_id: person_id.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(operator: &str, person: Option<(&str, bool)>) -> Login {
        let person = person.map(|(person, confirmed)| LoginPerson { person_id: person.parse().unwrap(), confirmed });
        Login { operator_id: operator.parse().unwrap(), person }
    }

    #[test]
    fn names_of_logins_prove_nothing_and_persons_are_compared() {
        let alice = login("oidc.corp@3f2a", Some(("alice", true)));
        let others = [login("alice", Some(("another-alice", true))), login("oscar", Some(("oscar", true)))];
        assert_eq!(second_person(&alice, &others), Ok(()));
        let her_key = login("key-of-alice", Some(("alice", true)));
        let refused = second_person(&alice, &[others[1].clone(), her_key]);
        assert!(matches!(refused, Err(PersonRule::SamePerson { person_id, .. }) if person_id.as_str() == "alice"));
    }

    #[test]
    fn whose_login_is_not_confirmed_takes_no_part_on_either_side() {
        let sure = login("oscar", Some(("oscar", true)));
        for doubtful in [login("rita", None), login("rita", Some(("rita", false)))] {
            assert!(second_person(&doubtful, &[]).is_err(), "{doubtful:?}");
            assert!(second_person(&sure, &[sure_other(), doubtful.clone()]).is_err(), "{doubtful:?}");
        }
        assert_eq!(second_person(&sure, &[sure_other()]), Ok(()));
    }

    fn sure_other() -> Login {
        login("carl", Some(("carl", true)))
    }
}
