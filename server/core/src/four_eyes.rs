//! Four eyes: whether a login belongs to a second person, that is, to another person than each of the other logins. A
//! login without a confirmed binding is refused on either side.

use crate::person::{Login, PersonRule};

/// Returns an error unless `actor` is confirmed to be another person than each of `others`. A login without a confirmed
/// binding cannot take part on either side.
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
    use crate::person::LoginPerson;

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
