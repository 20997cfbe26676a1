//! DisableOperator, EnableOperator, DeleteOperator: whether a login can be used. Deletion is permanent. Operators
//! cannot enable themselves, and the last admin cannot be disabled.

use countersign_core::{
    four_eyes::second_person,
    names::OperatorId,
    operator::{Operator, OperatorRole, Roles, reserved_person},
};
use countersign_ledger::leaf::{Change as LeafChange, Kind, Leaf};
use countersign_store::{
    api_key::Except,
    disabled_operator::{self, Disabled},
    operator,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{last_admin::ensure_another_admin, persons::subject};
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx},
};

/// The new state of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorStanding {
    /// It is disabled.
    Disabled,
    /// It can be used again.
    Enabled,
    /// It is disabled permanently.
    Deleted,
}

/// The login, its new state, and the reason.
#[derive(Debug, Clone)]
pub struct ChangeOperator {
    /// The login, of any kind.
    pub operator_id: OperatorId,
    /// Its new state.
    pub standing: OperatorStanding,
    /// The reason, in words.
    pub reason: String,
    /// The operator's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

/// An operator after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorChanged {
    /// The operator.
    pub operator: Operator,
    /// The log index of the change; if there was nothing to change, the end of the log.
    pub log_index: i64,
}

struct ChangeBy<'a> {
    caller: &'a OperatorCaller,
    four_eyes: FourEyes,
    /// Whether an administrator can log in without a key.
    others_admit: bool,
    command: &'a ChangeOperator,
}

impl Change for ChangeBy<'_> {
    // The verbs share one set of request ids; the fingerprint tells them apart.
    const METHOD: &'static str = "ChangeOperator";
    type Answer = OperatorChanged;

    fn stops(&self) -> bool {
        self.command.standing != OperatorStanding::Enabled
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<OperatorChanged, Error> {
        let ChangeOperator { operator_id, standing, reason, etag } = self.command;
        if let Some(why) = reserved_person(operator_id) {
            return Err(Error::invalid("operator_id", why));
        }
        let before = self.read(tx).await?;
        if etag.as_ref().is_some_and(|etag| *etag != before.etag()) {
            return Err(Error::EtagMismatch { what: "operator" });
        }
        let wanted = match standing {
            OperatorStanding::Disabled => (true, before.deleted),
            OperatorStanding::Enabled => (false, false),
            OperatorStanding::Deleted => (true, true),
        };
        if wanted == (before.disable_time.is_some(), before.deleted) {
            return Ok(OperatorChanged { operator: before, log_index: tx.head_before().size() - 1 });
        }
        let disable_time = if *standing == OperatorStanding::Enabled {
            self.enable(tx, &before).await?;
            None
        } else {
            Some(self.disable(tx, &before).await?)
        };
        // A server does not use a cached login that it looked up at an earlier epoch.
        tx.changes_authority();
        let after = Operator { disable_time, deleted: wanted.1, revision: before.revision + 1, ..before.clone() };
        operator::update(tx.conn(), &after).await?;
        let leaf = Leaf {
            changes: vec![LeafChange {
                field: "standing".into(),
                before: Some(word(&before).into()),
                after: Some(word(&after).into()),
            }],
            subject: Some(subject(operator_id)),
            ..tx.leaf(Kind::OperatorChanged, &self.caller.operator_id)
        };
        let (log_index, _) = tx.append(leaf, reason)?;
        Ok(OperatorChanged { operator: after, log_index })
    }
}

const fn word(operator: &Operator) -> &'static str {
    match (operator.disable_time, operator.deleted) {
        (_, true) => "DELETED",
        (Some(_), false) => "DISABLED",
        (None, false) => "ENABLED",
    }
}

impl ChangeBy<'_> {
    /// The operator; for a login without a row on this server, a minimal record.
    async fn read(&self, tx: &mut ChangeTx) -> Result<Operator, Error> {
        let operator_id = &self.command.operator_id;
        if let Some(found) = operator::get(tx.conn(), operator_id).await? {
            return Ok(found);
        }
        if self.command.standing == OperatorStanding::Deleted {
            return Err(Error::not_found("operator", operator_id));
        }
        let disabled = disabled_operator::get(tx.conn(), operator_id).await?;
        let nameless = Operator::new(operator_id.clone(), String::new(), Roles::NONE, OffsetDateTime::UNIX_EPOCH);
        Ok(Operator { disable_time: disabled.map(|disabled| disabled.time), ..nameless })
    }

    async fn disable(&self, tx: &mut ChangeTx, before: &Operator) -> Result<OffsetDateTime, Error> {
        if before.roles.has(OperatorRole::Admin) {
            ensure_another_admin(tx, self.others_admit, Except::KeysOf(&before.operator_id)).await?;
        }
        let time = before.disable_time.unwrap_or(tx.now());
        let disabled = Disabled { time, deleted: self.command.standing == OperatorStanding::Deleted };
        disabled_operator::insert(tx.conn(), &before.operator_id, &self.caller.operator_id, disabled).await?;
        Ok(time)
    }

    /// Operators cannot enable themselves.
    async fn enable(&self, tx: &mut ChangeTx, before: &Operator) -> Result<(), Error> {
        if before.deleted {
            return Err(Error::IllegalTransition(format!(
                "operator {} was deleted, for good: add another one under another id",
                before.operator_id
            )));
        }
        if !self.caller.anonymous {
            let login = tx.login(&before.operator_id).await?;
            let actor = tx.login(&self.caller.operator_id).await?;
            // If it is unknown who the person is, there is no one to compare with.
            let known: Vec<_> = [login].into_iter().filter(|login| login.person().is_ok()).collect();
            self.four_eyes.hold(second_person(&actor, &known))?;
        }
        Ok(disabled_operator::delete(tx.conn(), &before.operator_id).await?)
    }
}

impl App {
    /// Disables, enables or deletes an operator. When a stop returns, the login is refused at this server, and within a
    /// quarter of a second at all servers.
    pub async fn change_operator(
        &self,
        caller: &OperatorCaller,
        command: ChangeOperator,
        idempotency: Option<Idempotency>,
    ) -> Result<OperatorChanged, Error> {
        let config = &self.inner.engine.config;
        let others_admit = config.operators.admit_an_admin();
        let change = ChangeBy { caller, four_eyes: config.four_eyes, others_admit, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
