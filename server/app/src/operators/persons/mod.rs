//! The persons of logins: how their bindings are written and listed (ListPersonBindings), who is told of a change of a
//! login (webhook), and the warning at a start that logins are not confirmed.

mod bind;
mod confirm;
mod confirm_key;

use countersign_core::{
    names::{OperatorId, PersonId},
    operator::{ANONYMOUS, BOOTSTRAP},
    person::{Binding, Login, LoginPerson},
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf, Subject};
use countersign_store::{Connection, person};
use serde_json::json;

pub use bind::BindPerson;
pub use confirm::ConfirmPerson;
pub use confirm_key::ConfirmApiKey;

pub(crate) use bind::{Bound, bind_new};

use crate::{
    App, Error, FourEyes, Page, PageRequest, Topic, engine::transaction::ChangeTx, operators::four_eyes::Alone,
};

/// Which bindings to list.
#[derive(Debug, Clone, Default)]
pub struct BindingFilter {
    /// Of this person.
    pub person_id: Option<PersonId>,
    /// Only those that wait for a second person.
    pub unconfirmed: bool,
}

impl ChangeTx {
    /// These logins and their persons, in the same order.
    pub(crate) async fn logins(&mut self, operators: &[OperatorId]) -> Result<Vec<Login>, Error> {
        logins(self.conn(), operators).await
    }

    /// One login.
    pub(crate) async fn login(&mut self, operator: &OperatorId) -> Result<Login, Error> {
        let found = self.logins(std::slice::from_ref(operator)).await?.pop();
        found.ok_or_else(|| Error::internal("a login was not looked up", operator))
    }

    /// Writes the binding of a login; `leaf` becomes the event, `before` is the previous binding.
    pub(crate) async fn write_binding(
        &mut self,
        binding: &Binding,
        before: Option<&Binding>,
        leaf: Leaf<'static>,
        reason: &str,
    ) -> Result<i64, Error> {
        person::upsert(self.conn(), binding).await?;
        if binding.is_confirmed() {
            let now = self.now();
            person::note_two(self.conn(), now).await?;
        }
        let standing = |binding: &Binding| if binding.is_confirmed() { "CONFIRMED" } else { "UNCONFIRMED" };
        let mut changes = leaf.changes;
        changes.push(LeafChange {
            field: "binding".into(),
            before: before.map(|before| standing(before).into()),
            after: Some(standing(binding).into()),
        });
        changes.push(LeafChange {
            field: "person_id".into(),
            before: before.map(|before| before.person_id.to_string().into()),
            after: Some(binding.person_id.to_string().into()),
        });
        changes.sort_by(|a, b| a.field.cmp(&b.field));
        let (log_index, _) =
            self.append(Leaf { changes, subject: Some(subject(&binding.operator_id)), ..leaf }, reason)?;
        Ok(log_index)
    }

    /// Informs webhooks about a change of a login, and who made it, so that its owner does not only hear of it from the
    /// person who made the change.
    pub(crate) fn tell_of_login(
        &mut self,
        what: &str,
        login: &Login,
        by: &OperatorId,
        log_index: i64,
    ) -> Result<(), Error> {
        let data = json!({
            "operator_id": login.operator_id,
            "person_id": login.person.as_ref().map(|person| &person.person_id),
            "change": what,
            "by": by,
            "log_index": log_index,
        });
        self.notify(Topic::OperatorChanged, &data)
    }
}

/// An operator as the subject of an event.
pub(crate) fn subject(operator_id: &OperatorId) -> Subject<'static> {
    Subject { id: Some(operator_id.to_string().into()), kind: "operator".into() }
}

async fn logins(conn: &mut Connection, operators: &[OperatorId]) -> Result<Vec<Login>, Error> {
    let bound = person::get_all(conn, operators).await?;
    let login = |operator_id: &OperatorId| Login {
        operator_id: operator_id.clone(),
        person: bound
            .iter()
            .find(|binding| binding.operator_id == *operator_id)
            .map(|binding| LoginPerson { person_id: binding.person_id.clone(), confirmed: binding.is_confirmed() })
            .or_else(|| nobody(operator_id)),
    };
    Ok(operators.iter().map(login).collect())
}

/// The server itself, and the caller of a dev server without a credential: each is a separate person, whom no one can
/// bind.
fn nobody(operator_id: &OperatorId) -> Option<LoginPerson> {
    let own = [BOOTSTRAP, ANONYMOUS].contains(&operator_id.as_str());
    own.then(|| operator_id.as_str().parse().ok().map(|person_id| LoginPerson { person_id, confirmed: true })).flatten()
}

/// A binding to a separate person that needs no confirmation: for logins that a start or a recovery creates on the
/// machine itself.
pub(crate) fn of_the_machine(operator_id: &OperatorId, tx: &ChangeTx) -> Result<Binding, Error> {
    let by = crate::caller::bootstrap_id()?;
    let person_id =
        operator_id.as_str().parse().map_err(|error| Error::internal("an id belongs to no person", error))?;
    Ok(Binding {
        operator_id: operator_id.clone(),
        person_id,
        bound_by: Some(by.clone()),
        bind_time: tx.now(),
        confirmed_by: Some(by),
        confirm_time: Some(tx.now()),
    })
}

impl App {
    /// The binding of an operator's login. `None` if it is not bound.
    pub async fn person_of(&self, operator_id: &OperatorId) -> Result<Option<Binding>, Error> {
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        Ok(person::get_all(&mut conn, std::slice::from_ref(operator_id)).await?.pop())
    }

    /// One page of bindings, in the order of their logins.
    pub async fn list_person_bindings(&self, filter: BindingFilter, page: PageRequest) -> Result<Page<Binding>, Error> {
        let mut conn = self.inner.engine.store.for_reads().connection().await?;
        Ok(person::list(&mut conn, filter.person_id.as_ref(), filter.unconfirmed, &page).await?)
    }

    /// Logs at a start that logins wait for a second person; until then they cannot approve.
    pub(crate) async fn warn_of_unconfirmed(&self) -> Result<(), Error> {
        let waiting = person::unconfirmed(&mut *self.inner.engine.store.connection().await?).await?;
        if waiting > 0 && self.inner.engine.config.four_eyes != FourEyes::None {
            tracing::warn!(
                "{waiting} login(s) are not confirmed: they do not count where two persons are needed until a second \
                 person calls ConfirmPerson. ListPersonBindings shows them"
            );
        }
        Ok(())
    }
}

/// The event of a change of a binding.
pub(crate) fn changed(tx: &ChangeTx, by: &OperatorId, alone: Alone) -> Leaf<'static> {
    Leaf { changes: alone.changes(), ..tx.leaf(Kind::OperatorChanged, by) }
}
