//! `countersign operator recover`: creates an administrator key, valid for a short time, for a person who has access to
//! the database and the key-encryption key. That person could do anything manually; this way it is recorded in the log.

use std::{io, sync::Arc};

use countersign_core::{
    clock::{Clock, Entropy},
    credential::KeyStanding,
    names::OperatorId,
    operator::{BOOTSTRAP, Operator, OperatorRole, Roles},
    person::Binding,
};
use countersign_ledger::leaf::{Kind, Leaf};
use countersign_store::{Store, event, operator, person, signing_key};
use secrecy::SecretString;
use time::{Duration, OffsetDateTime};

use super::{create_api_key::FreshKey, create_operator::add_operator, persons::of_the_machine};
use crate::{
    Error, KeyEncryptionKeys,
    engine::{secrets::Secrets, transaction::ChangeTx},
};

/// How long the key is valid: long enough to create a permanent one.
const LIFE: Duration = Duration::DAY;
/// The reason code of its events.
const REASON: &str = "RECOVERY";

/// The operator, and the reason.
#[derive(Debug, Clone)]
pub struct RecoverAdmin {
    /// An administrator, or the id of a new one, who gets every role.
    pub operator_id: OperatorId,
    /// The reason, in words, for the custody log.
    pub reason: String,
}

/// Creates a new administrator key, also while servers run, and returns when it expires. `hand_over` gets it before it
/// is stored, so that a key that cannot be delivered is not created.
pub async fn recover_admin(
    store: &Store,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    keys: KeyEncryptionKeys,
    command: &RecoverAdmin,
    hand_over: impl FnOnce(&SecretString) -> io::Result<()>,
) -> Result<OffsetDateTime, Error> {
    let mut conn = store.writing().await?;
    event::ensure_partitions(&mut conn, clock.now() - Duration::DAY, 2).await?;
    conn.done().await?;
    let mut tx = ChangeTx::begin(store, clock, entropy).await?;
    tx.ensure_time_is_known()?;
    let secrets = of_this_installation(&mut tx, keys).await?;
    let found = operator::get(tx.conn(), &command.operator_id).await?;
    let roles = match &found {
        Some(operator) if operator.roles.has(OperatorRole::Admin) => operator.roles,
        Some(_) => {
            let why =
                format!("{} is an operator without the role admin: name an admin, or a new id", command.operator_id);
            return Err(Error::IllegalTransition(why));
        }
        None => Roles::all(),
    };
    if found.as_ref().is_some_and(|operator| operator.disable_time.is_some()) {
        let why = format!("{} is disabled: name another admin, or a new id", command.operator_id);
        return Err(Error::IllegalTransition(why));
    }
    let end = tx.now() + LIFE;
    let key = FreshKey::make(&tx, &secrets, &command.operator_id, roles, end);
    hand_over(&key.text).map_err(|error| Error::internal("the key cannot be handed over", error))?;
    if found.is_none() {
        let bootstrap = BOOTSTRAP.parse().map_err(|error| Error::internal("a built-in name is invalid", error))?;
        let operator_id = command.operator_id.clone();
        let display_name = operator_id.to_string();
        let operator = Operator::new(operator_id, display_name, roles, tx.now());
        let leaf = Leaf { reason: Some(REASON.into()), ..tx.own_leaf(Kind::OperatorCreated) };
        add_operator(&mut tx, &operator, &bootstrap, leaf).await?;
    }
    // The person with access to the machine decides whose login it is: if there were no one left to confirm it, the key
    // would be useless.
    let before = person::get_all(tx.conn(), std::slice::from_ref(&command.operator_id)).await?.pop();
    if !before.as_ref().is_some_and(Binding::is_confirmed) {
        let person_id = before.as_ref().map(|before| before.person_id.clone());
        let own = of_the_machine(&command.operator_id, &tx)?;
        let binding = Binding { person_id: person_id.unwrap_or_else(|| own.person_id.clone()), ..own };
        let leaf = Leaf { reason: Some(REASON.into()), ..tx.own_leaf(Kind::OperatorChanged) };
        tx.write_binding(&binding, before.as_ref(), leaf, &command.reason).await?;
    }
    let leaf = Leaf { reason: Some(REASON.into()), ..tx.own_leaf(Kind::OperatorKeyCreated) };
    key.store(&mut tx, leaf, &command.reason).await?;
    tx.finish().await?;
    Ok(end)
}

/// The secrets of an installation, by which its servers will recognise what is made with them. Refused for a database that no server has prepared.
pub(crate) async fn of_this_installation(tx: &mut ChangeTx, keys: KeyEncryptionKeys) -> Result<Secrets, Error> {
    if signing_key::standing(tx.conn(), KeyStanding::Active).await?.is_none() {
        return Err(Error::NotReady("no server was ever started on this database".to_owned()));
    }
    Secrets::load(tx, keys).await
}
