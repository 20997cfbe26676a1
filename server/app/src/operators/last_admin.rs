//! The last admin: no change may leave an installation without a key that lets an administrator in.

use countersign_store::api_key::{self, Except};

use crate::{Error, engine::transaction::ChangeTx};

/// Refuses a change that ends what `lost` says, if afterwards no key would let an administrator in. `others_admit`:
/// whether one can log in without a key.
pub(crate) async fn ensure_another_admin(tx: &mut ChangeTx, others_admit: bool, lost: Except<'_>) -> Result<(), Error> {
    let earliest = tx.earliest();
    if others_admit || api_key::another_admits_an_admin(tx.conn(), lost, earliest).await? {
        return Ok(());
    }
    let why = match lost {
        Except::Key(key_id) => {
            format!("API key {key_id} is the last working key of an admin, and without it no one could make another:")
        }
        Except::KeysOf(operator_id) => format!(
            "operator {operator_id} is the last admin with a working key, and without them no one could make another \
             key:"
        ),
    };
    Err(Error::IllegalTransition(format!(
        "{why} make another admin's key first. If this one is in the wrong hands, the server's administrator can make \
         one with `countersign operator recover`"
    )))
}
