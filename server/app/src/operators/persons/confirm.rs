//! ConfirmPerson: a second person confirms the binding of a login. A binding from a version without persons can be
//! confirmed by any other person.

use countersign_core::{
    four_eyes::second_person,
    names::{OperatorId, PersonId},
    person::{Binding, Login, PersonRule},
};
use countersign_store::person;

use super::{FourEyes, changed};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx},
};

/// The login, the person, and the reason.
#[derive(Debug, Clone)]
pub struct ConfirmPerson {
    /// The login.
    pub operator_id: OperatorId,
    /// The person, as the confirming operator has read it.
    pub person_id: PersonId,
    /// The reason, in words.
    pub reason: String,
    /// The binding's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

struct ConfirmBy<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    command: &'a ConfirmPerson,
}

impl Change for ConfirmBy<'_> {
    const METHOD: &'static str = "ConfirmPerson";
    type Answer = Binding;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Binding, Error> {
        let ConfirmPerson { operator_id, person_id, reason, etag } = self.command;
        let before = person::get_all(tx.conn(), std::slice::from_ref(operator_id)).await?.pop();
        let before = before.ok_or_else(|| Error::not_found("binding of operator", operator_id))?;
        if before.person_id != *person_id || etag.as_ref().is_some_and(|etag| *etag != before.etag()) {
            return Err(Error::EtagMismatch { what: "binding" });
        }
        if before.is_confirmed() {
            return Ok(before);
        }
        let by = &self.caller.operator_id;
        let confirmer = tx.login(by).await?;
        let rule = match &before.bound_by {
            _ if self.caller.anonymous => Ok(()),
            Some(binder) => second_person(&confirmer, &[tx.login(binder).await?]),
            None => of_before(&confirmer, &before, taken_over(tx, by).await?),
        };
        let alone = self.four_eyes.hold(rule)?;
        let now = tx.now();
        let binding = Binding { confirmed_by: Some(by.clone()), confirm_time: Some(now), ..before.clone() };
        let leaf = changed(tx, by, alone);
        let log_index = tx.write_binding(&binding, Some(&before), leaf, reason).await?;
        let login = tx.login(operator_id).await?;
        tx.tell_of_login("confirmed", &login, by, log_index)?;
        Ok(binding)
    }
}

/// Whether the login was taken over from a version without persons, as the binding that is confirmed was.
async fn taken_over(tx: &mut ChangeTx, login: &OperatorId) -> Result<bool, Error> {
    let binding = person::get_all(tx.conn(), std::slice::from_ref(login)).await?.pop();
    Ok(binding.is_some_and(|binding| binding.bound_by.is_none()))
}

/// A binding that no one made. Any other person can confirm it; the first one to do so is not confirmed either.
fn of_before(confirmer: &Login, before: &Binding, taken_over: bool) -> Result<(), PersonRule> {
    let person = match &confirmer.person {
        Some(said) if taken_over => &said.person_id,
        _ => confirmer.person()?,
    };
    if *person == before.person_id {
        return Err(PersonRule::SamePerson {
            actor: confirmer.operator_id.clone(),
            other: before.operator_id.clone(),
            person_id: person.clone(),
        });
    }
    Ok(())
}

impl App {
    /// Confirms the binding of a login.
    pub async fn confirm_person(
        &self,
        caller: &OperatorCaller,
        command: ConfirmPerson,
        idempotency: Option<Idempotency>,
    ) -> Result<Binding, Error> {
        let change = ConfirmBy { caller, four_eyes: self.inner.engine.config.four_eyes, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
