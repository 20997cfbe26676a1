//! CreateOperator: adds a person or a service, and binds the login to a person. No one can grant a role that they do
//! not have.

use countersign_core::{
    names::{OperatorId, PersonId},
    operator::{Operator, OperatorRole, Roles, reserved},
    person::Binding,
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf};
use countersign_store::{StoreError, operator, person};
use serde::{Deserialize, Serialize};

use super::persons::{Bound, bind_new, changed, subject};
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx},
};

/// The operator and their roles.
#[derive(Debug, Clone)]
pub struct CreateOperator {
    /// The chosen id.
    pub operator_id: OperatorId,
    /// The name for persons.
    pub display_name: String,
    /// Their roles.
    pub roles: Roles,
    /// The person of the login. `None` for a new person with the same id.
    pub person_id: Option<PersonId>,
}

/// An operator and the person of the login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value")]
pub struct OperatorCreated {
    /// The operator.
    #[serde(flatten)]
    pub operator: Operator,
    /// The person of the login. `None` in an answer stored by a version without persons.
    pub binding: Option<Binding>,
}

/// A stored answer is first read as a value, because serde cannot read times, which are 128-bit numbers, from flattened
/// fields.
impl TryFrom<serde_json::Value> for OperatorCreated {
    type Error = serde_json::Error;
    fn try_from(mut kept: serde_json::Value) -> Result<Self, serde_json::Error> {
        let binding = kept.get_mut("binding").map(serde_json::Value::take).unwrap_or_default();
        Ok(Self { operator: serde_json::from_value(kept)?, binding: serde_json::from_value(binding)? })
    }
}

/// An operator whom this caller adds.
struct Create<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    command: &'a CreateOperator,
}

impl Change for Create<'_> {
    const METHOD: &'static str = "CreateOperator";
    type Answer = OperatorCreated;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<OperatorCreated, Error> {
        let CreateOperator { operator_id, display_name, roles, person_id } = self.command.clone();
        if let Some(why) = reserved(&operator_id) {
            return Err(Error::invalid("operator_id", why));
        }
        ensure_held(self.caller, roles)?;
        let operator = Operator::new(operator_id, display_name, roles, tx.now());
        let by = &self.caller.operator_id;
        let leaf = tx.leaf(Kind::OperatorCreated, by);
        add_operator(tx, &operator, by, leaf).await?;
        let person_id = match person_id {
            Some(person_id) => person_id,
            None => own_person(&operator.operator_id)?,
        };
        let before = person::get_all(tx.conn(), std::slice::from_ref(&operator.operator_id)).await?.pop();
        let binding = match before {
            // A certificate holder with the same id was bound before: it is the same login.
            Some(before) if before.person_id == person_id => before,
            before => {
                let Bound { binding, alone } =
                    bind_new(tx, self.caller, self.four_eyes, &operator.operator_id, &person_id).await?;
                let leaf = changed(tx, by, alone);
                tx.write_binding(&binding, before.as_ref(), leaf, "").await?;
                binding
            }
        };
        Ok(OperatorCreated { operator, binding: Some(binding) })
    }
}

/// The person of an operator whose login was not bound to a person.
fn own_person(operator_id: &OperatorId) -> Result<PersonId, Error> {
    operator_id.as_str().parse().map_err(|error| Error::internal("an id belongs to no person", error))
}

/// Stores an operator, added by `by`; `leaf` becomes the event.
pub(crate) async fn add_operator(
    tx: &mut ChangeTx,
    operator: &Operator,
    by: &OperatorId,
    leaf: Leaf<'static>,
) -> Result<(), Error> {
    let Operator { operator_id, roles, .. } = operator;
    match operator::insert(tx.conn(), operator, by).await {
        Err(StoreError::Exists { .. }) => {
            return Err(Error::AlreadyExists { what: "operator", id: operator_id.to_string() });
        }
        other => other?,
    }
    let granted = LeafChange { field: "roles".into(), after: Some(roles.to_string().into()), ..LeafChange::default() };
    // No roles means no change.
    let changes = if roles.is_empty() { Vec::new() } else { vec![granted] };
    tx.append(Leaf { changes, subject: Some(subject(operator_id)), ..leaf }, "")?;
    Ok(())
}

/// Operators cannot grant a role that they do not have.
pub(crate) fn ensure_held(caller: &OperatorCaller, granted: Roles) -> Result<(), Error> {
    let missing: Vec<OperatorRole> = granted.without(caller.roles).iter().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|role| role.as_str()).collect();
    Err(Error::RoleRequired {
        message: format!("no one can grant a role that they do not have, and the caller lacks: {}", names.join(", ")),
        roles: missing,
    })
}

impl App {
    /// Adds an operator. They can do nothing until they have a key.
    pub async fn create_operator(
        &self,
        caller: &OperatorCaller,
        command: CreateOperator,
        idempotency: Option<Idempotency>,
    ) -> Result<OperatorCreated, Error> {
        let change = Create { caller, four_eyes: self.inner.engine.config.four_eyes, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    #[test]
    fn a_kept_answer_is_read_back_also_one_from_before_there_were_persons() {
        let operator = Operator::new("rita".parse().unwrap(), "Rita".to_owned(), Roles::NONE, NOW);
        let binding = Binding {
            operator_id: operator.operator_id.clone(),
            person_id: "rita".parse().unwrap(),
            bound_by: None,
            bind_time: NOW,
            confirmed_by: None,
            confirm_time: None,
        };
        let created = OperatorCreated { operator: operator.clone(), binding: Some(binding) };
        let kept = serde_json::to_string(&created).unwrap();
        assert_eq!(serde_json::from_str::<OperatorCreated>(&kept).unwrap(), created);
        let before = serde_json::to_string(&operator).unwrap();
        assert_eq!(
            serde_json::from_str::<OperatorCreated>(&before).unwrap(),
            OperatorCreated { operator, binding: None }
        );
    }
}
