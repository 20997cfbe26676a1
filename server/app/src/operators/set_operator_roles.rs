//! SetOperatorRoles: replaces an operator's roles. The role admin needs a login whose person is confirmed, and the last
//! admin keeps it.

use countersign_core::{
    names::OperatorId,
    operator::{Operator, OperatorRole, Roles},
    person::{Login, PersonRule},
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf};
use countersign_store::{api_key::Except, operator};

use super::{create_operator::ensure_held, last_admin::ensure_another_admin, persons::subject};
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller, OperatorChanged,
    engine::transaction::{Change, ChangeTx},
};

/// The operator, and their new roles.
#[derive(Debug, Clone)]
pub struct SetOperatorRoles {
    /// The operator.
    pub operator_id: OperatorId,
    /// The complete set of their roles.
    pub roles: Roles,
    /// The reason, in words.
    pub reason: String,
    /// The operator's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

struct SetBy<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    others_admit: bool,
    command: &'a SetOperatorRoles,
}

impl Change for SetBy<'_> {
    const METHOD: &'static str = "SetOperatorRoles";
    type Answer = OperatorChanged;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<OperatorChanged, Error> {
        let SetOperatorRoles { operator_id, roles, reason, etag } = self.command;
        let found = operator::get(tx.conn(), operator_id).await?;
        let before = found.ok_or_else(|| Error::not_found("operator", operator_id))?;
        if etag.as_ref().is_some_and(|etag| *etag != before.etag()) {
            return Err(Error::EtagMismatch { what: "operator" });
        }
        if before.deleted {
            return Err(Error::IllegalTransition(format!("operator {operator_id} was deleted, for good")));
        }
        if *roles == before.roles {
            return Ok(OperatorChanged { operator: before, log_index: tx.head_before().size() - 1 });
        }
        let (added, taken) = (roles.without(before.roles), before.roles.without(*roles));
        ensure_held(self.caller, added)?;
        if added.has(OperatorRole::Admin) {
            let login = tx.login(operator_id).await?;
            self.four_eyes.hold(of_admin(self.caller, &login))?;
        }
        if taken.has(OperatorRole::Admin) {
            ensure_another_admin(tx, self.others_admit, Except::KeysOf(operator_id)).await?;
        }
        // A server does not use a cached key that it looked up at an earlier epoch.
        tx.changes_authority();
        let after = Operator { roles: *roles, revision: before.revision + 1, ..before.clone() };
        operator::update(tx.conn(), &after).await?;
        let text = |roles: Roles| Some(roles.to_string()).filter(|roles| !roles.is_empty()).map(Into::into);
        let leaf = Leaf {
            changes: vec![LeafChange { field: "roles".into(), before: text(before.roles), after: text(*roles) }],
            subject: Some(subject(operator_id)),
            ..tx.leaf(Kind::OperatorChanged, &self.caller.operator_id)
        };
        let (log_index, _) = tx.append(leaf, reason)?;
        Ok(OperatorChanged { operator: after, log_index })
    }
}

/// The binding of a login that gets the role admin must be confirmed by a second person. A caller of a dev server
/// without a credential may do everything.
pub(crate) fn of_admin(caller: &OperatorCaller, login: &Login) -> Result<(), PersonRule> {
    if caller.anonymous { Ok(()) } else { login.person().map(drop) }
}

impl App {
    /// Sets an operator's roles. Their existing keys never get more roles than they were created with.
    pub async fn set_operator_roles(
        &self,
        caller: &OperatorCaller,
        command: SetOperatorRoles,
        idempotency: Option<Idempotency>,
    ) -> Result<OperatorChanged, Error> {
        let config = &self.inner.engine.config;
        let others_admit = config.operators.admit_an_admin();
        let change = SetBy { caller, four_eyes: config.four_eyes, others_admit, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
