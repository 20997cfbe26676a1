//! Four eyes: which actions need a second person (activating one's own policy, releasing one's own kill switch, keys
//! with which one could approve as someone else, confirming one's own proposal), and what is recorded where one person
//! did one alone.

use countersign_core::{
    four_eyes::second_person,
    names::OperatorId,
    operator::{OperatorRole, Roles},
    person::Login,
};
use countersign_ledger::leaf::Change as LeafChange;
use countersign_store::person;

use crate::{AlsoTwo, Error, FourEyes, OperatorCaller, engine::transaction::ChangeTx};

/// Roles with which a person approves what others did.
const VOUCHING: Roles = Roles::of(&[OperatorRole::Admin, OperatorRole::Approver]);

impl FourEyes {
    /// Refuses an operator who would activate their own policy, if that needs two persons.
    pub(crate) async fn of_policy(self, tx: &mut ChangeTx, by: &OperatorId, author: &OperatorId) -> Result<(), Error> {
        match self {
            Self::Persons(AlsoTwo { policies: true, .. }) => beside(tx, by, author).await,
            _ => Ok(()),
        }
    }

    /// Whether a key that `caller` creates with these roles for `login` must wait for a second person, because with it
    /// the caller could approve as someone else. It need not wait if there is no one who could confirm it.
    pub(crate) async fn of_key(
        self,
        tx: &mut ChangeTx,
        caller: &OperatorCaller,
        login: &Login,
        roles: Roles,
    ) -> Result<bool, Error> {
        let Self::Persons(AlsoTwo { admin_keys: true, .. }) = self else { return Ok(false) };
        let Ok(person) = login.person() else { return Ok(false) };
        let maker = tx.login(&caller.operator_id).await?;
        if caller.anonymous || maker.person().is_ok_and(|maker| maker == person) {
            return Ok(false);
        }
        let vouches = roles.meets(VOUCHING) || person::is_any_sponsor(tx.conn(), person).await?;
        Ok(vouches && person::were_two(tx.conn()).await?)
    }

    /// Refuses an operator who would release a switch that they engaged, if that needs two persons.
    pub(crate) async fn of_release(
        self,
        tx: &mut ChangeTx,
        by: &OperatorId,
        engaged: &OperatorId,
    ) -> Result<(), Error> {
        match self {
            Self::Persons(AlsoTwo { kill_switch_release: true, .. }) => beside(tx, by, engaged).await,
            _ => Ok(()),
        }
    }

    /// Refuses an operator who would confirm their own proposal, for actions that always need two persons.
    pub(crate) async fn of_two(
        self,
        tx: &mut ChangeTx,
        by: &OperatorId,
        proposed: &OperatorId,
    ) -> Result<Alone, Error> {
        let (actor, other) = (tx.login(by).await?, tx.login(proposed).await?);
        Ok(self.hold(second_person(&actor, &[other]))?)
    }

    /// Whether an action that would need two persons is done by one.
    pub(crate) fn alone(self) -> Alone {
        Alone(self == Self::None)
    }

    /// The result of `rule`, or without four eyes, the information that it was violated.
    pub(crate) fn hold<E>(self, rule: Result<(), E>) -> Result<Alone, E> {
        match (self, rule) {
            (_, Ok(())) => Ok(Alone(false)),
            (Self::None, Err(_)) => Ok(Alone(true)),
            (Self::Persons(_), Err(error)) => Err(error),
        }
    }
}

/// Whether one person did alone what needs two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Alone(bool);

impl Alone {
    /// The changes that the event states about it.
    pub(crate) fn changes(self) -> Vec<LeafChange<'static>> {
        let none = LeafChange { field: "four_eyes".into(), after: Some("none".into()), ..LeafChange::default() };
        self.0.then_some(none).into_iter().collect()
    }
}

async fn beside(tx: &mut ChangeTx, by: &OperatorId, other: &OperatorId) -> Result<(), Error> {
    let (actor, other) = (tx.login(by).await?, tx.login(other).await?);
    Ok(second_person(&actor, &[other])?)
}
