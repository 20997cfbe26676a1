//! CreateOperator: adds a person or a service.

use countersign_core::{
    names::OperatorId,
    operator::{Operator, OperatorRole, Roles, reserved},
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf, Subject};
use countersign_store::{StoreError, operator};

use crate::{
    App, Error, Idempotency, OperatorCaller,
    change::{Change, ChangeTx},
};

/// Who, and what they may do.
#[derive(Debug, Clone)]
pub struct CreateOperator {
    /// Chosen id.
    pub operator_id: OperatorId,
    /// Name for people.
    pub display_name: String,
    /// What they may do; at least one.
    pub roles: Roles,
}

/// An operator who is added by this caller.
struct Create<'a> {
    caller: &'a OperatorCaller,
    command: &'a CreateOperator,
}

impl Change for Create<'_> {
    const METHOD: &'static str = "CreateOperator";
    type Answer = Operator;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<Operator, Error> {
        let CreateOperator { operator_id, display_name, roles } = self.command.clone();
        if let Some(why) = reserved(&operator_id) {
            return Err(Error::invalid("operator_id", why));
        }
        ensure_held(self.caller, roles)?;
        let operator = Operator { operator_id, display_name, roles, create_time: tx.now() };
        let leaf = tx.leaf(Kind::OperatorCreated, &self.caller.operator_id);
        add_operator(tx, &operator, &self.caller.operator_id, leaf).await?;
        Ok(operator)
    }
}

/// Stores an operator, added by `by`; `leaf` becomes the event of it.
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
    let subject = Subject { id: Some(operator_id.as_str().to_owned().into()), kind: "operator".into() };
    tx.append(Leaf { changes: vec![granted], subject: Some(subject), ..leaf }, "")?;
    Ok(())
}

/// Nobody grants a role they do not hold.
pub(crate) fn ensure_held(caller: &OperatorCaller, granted: Roles) -> Result<(), Error> {
    let missing: Vec<OperatorRole> = granted.without(caller.roles).iter().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|role| role.as_str()).collect();
    Err(Error::RoleRequired {
        message: format!("nobody grants a role they do not hold, and the caller lacks: {}", names.join(", ")),
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
    ) -> Result<Operator, Error> {
        let change = Create { caller, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
