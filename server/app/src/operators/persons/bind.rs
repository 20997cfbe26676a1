//! BindPerson: binds a login to a person. It takes effect when a second person has confirmed it, or at once if there is
//! no one who could.

use countersign_core::{
    names::{OperatorId, PersonId},
    operator::reserved_person,
    person::Binding,
};
use countersign_store::person;

use super::{FourEyes, changed};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx},
    operators::four_eyes::Alone,
};

/// The login, the person, and the reason.
#[derive(Debug, Clone)]
pub struct BindPerson {
    /// The login.
    pub operator_id: OperatorId,
    /// The person.
    pub person_id: PersonId,
    /// The reason, in words.
    pub reason: String,
    /// The binding's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

struct BindBy<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    command: &'a BindPerson,
}

impl Change for BindBy<'_> {
    const METHOD: &'static str = "BindPerson";
    type Answer = Binding;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Binding, Error> {
        let BindPerson { operator_id, person_id, reason, etag } = self.command;
        if let Some(why) = reserved_person(operator_id) {
            return Err(Error::invalid("operator_id", why));
        }
        let before = person::get_all(tx.conn(), std::slice::from_ref(operator_id)).await?.pop();
        if etag.is_some() && *etag != before.as_ref().map(Binding::etag) {
            return Err(Error::EtagMismatch { what: "binding" });
        }
        let by = Some(&self.caller.operator_id);
        let stands = |before: &&Binding| before.is_confirmed() || before.bound_by.as_ref() == by;
        if let Some(before) = before.as_ref().filter(|before| before.person_id == *person_id).filter(stands) {
            // The same binding again changes nothing, and the confirmation stays.
            return Ok(before.clone());
        }
        let Bound { binding, alone } = bind_new(tx, self.caller, self.four_eyes, operator_id, person_id).await?;
        let leaf = changed(tx, &self.caller.operator_id, alone);
        let log_index = tx.write_binding(&binding, before.as_ref(), leaf, reason).await?;
        let login = tx.login(operator_id).await?;
        tx.tell_of_login("bound", &login, &self.caller.operator_id, log_index)?;
        Ok(binding)
    }
}

/// A binding to write, and how it was made.
pub(crate) struct Bound {
    pub(crate) binding: Binding,
    pub(crate) alone: Alone,
}

/// A binding that `caller` may make: of another login, to another person; confirmed at once if no one else could
/// confirm it.
pub(crate) async fn bind_new(
    tx: &mut ChangeTx,
    caller: &OperatorCaller,
    four_eyes: FourEyes,
    operator_id: &OperatorId,
    person_id: &PersonId,
) -> Result<Bound, Error> {
    let by = &caller.operator_id;
    let binder = tx.login(by).await?;
    four_eyes.hold(binder.may_bind(operator_id, person_id))?;
    // Without four eyes, no second person is asked.
    let alone = four_eyes.alone();
    let at_once = binder.binds_at_once(person::were_two(tx.conn()).await?);
    // A caller of a dev server on its machine may do everything.
    let confirmed = caller.anonymous || at_once || four_eyes == FourEyes::None;
    let now = tx.now();
    let binding = Binding {
        operator_id: operator_id.clone(),
        person_id: person_id.clone(),
        bound_by: Some(by.clone()),
        bind_time: now,
        confirmed_by: confirmed.then(|| by.clone()),
        confirm_time: confirmed.then_some(now),
    };
    Ok(Bound { binding, alone })
}

impl App {
    /// Binds a login to a person. It takes effect once a second person has confirmed it.
    pub async fn bind_person(
        &self,
        caller: &OperatorCaller,
        command: BindPerson,
        idempotency: Option<Idempotency>,
    ) -> Result<Binding, Error> {
        let change = BindBy { caller, four_eyes: self.inner.engine.config.four_eyes, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
