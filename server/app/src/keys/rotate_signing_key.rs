//! RotateSigningKey: the next key signs, the active one retires, and a new one is published. On demand, and by schedule
//! when the active key has signed for its full time. Waits until every server and verifier can know the next key.

use countersign_core::{credential::KeyStanding, names::OperatorId, signing_key::SigningKeyRecord};
use countersign_ledger::leaf::Kind;
use countersign_store::signing_key;

use super::signing_keys::{activate, leaf_of, make_next, the};
use crate::{
    App, Error, Idempotency, OperatorCaller,
    engine::transaction::{Change, ChangeTx},
};

struct Rotate<'a> {
    app: &'a App,
    /// The operator. `None` for the schedule.
    operator: Option<&'a OperatorId>,
    reason: &'a str,
    /// The key that will sign. It was checked before that it was published for long enough.
    next: &'a str,
}

impl Change for Rotate<'_> {
    const METHOD: &'static str = "RotateSigningKey";
    type Answer = SigningKeyRecord;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<SigningKeyRecord, Error> {
        let mut next = the(tx, KeyStanding::Next).await?;
        let mut active = the(tx, KeyStanding::Active).await?;
        let due = self.operator.is_some() || active.age(tx.now()) >= self.app.inner.engine.config.key_rotation;
        if !due || next.kid != self.next {
            let why = "another rotation came first: list the keys, then decide whether to rotate once more";
            return Err(Error::Conflict(why.to_owned()));
        }
        active.retire(tx.now());
        tx.changes_authority();
        signing_key::update(tx.conn(), &active).await?;
        let leaf = leaf_of(tx, Kind::KeyRetired, &active, Some(KeyStanding::Active), self.operator);
        tx.append(leaf, "")?;
        activate(tx, &mut next, self.operator, self.reason).await?;
        make_next(tx, &self.app.inner.engine.secrets, self.operator).await?;
        Ok(next)
    }
}

impl App {
    /// Makes the next key the active one and returns it. Waits first, for at most a second, until every replica knows
    /// it.
    pub async fn rotate_signing_key(
        &self,
        caller: &OperatorCaller,
        reason: &str,
        idempotency: Option<Idempotency>,
    ) -> Result<SigningKeyRecord, Error> {
        self.rotate(Some(&caller.operator_id), reason, idempotency.as_ref()).await
    }

    /// Rotates if the active key has signed for its full time. Every replica checks, and one of them rotates.
    pub(crate) async fn rotate_when_due(&self) -> Result<(), Error> {
        let (keys, now) = (&self.snapshot().keys, self.inner.engine.clock.now());
        // A key that replaced a compromised one may be younger than what verifiers cache.
        if keys.active_record.age(now) < self.inner.engine.config.key_rotation || !keys.next_record.is_spread(now) {
            return Ok(());
        }
        match self.rotate(None, "", None).await {
            // Another replica was faster.
            Err(Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
            Ok(key) => {
                tracing::info!(kid = key.kid, "the signing key was rotated, as it is after every rotation period");
                Ok(())
            }
        }
    }

    async fn rotate(
        &self,
        operator: Option<&OperatorId>,
        reason: &str,
        idempotency: Option<&Idempotency>,
    ) -> Result<SigningKeyRecord, Error> {
        // Another replica may have rotated a moment ago; an operator who asks now means the current keys.
        self.inner.authority.try_refresh_snapshot().await?;
        let snapshot = self.snapshot();
        let next = &snapshot.keys.next_record;
        // Without the log head, so that no other change has to wait.
        tokio::time::sleep(next.left_before_use(self.inner.engine.clock.now()).unsigned_abs()).await;
        let change = Rotate { app: self, operator, reason, next: &next.kid };
        let caller = operator.map_or("", OperatorId::as_str);
        let key = self.change(caller, idempotency, &change).await?;
        // The answer to a repeated request names the key of its rotation.
        if key.kid == next.kid {
            let cause = if operator.is_some() { "request" } else { "clock" };
            metrics::counter!("countersign_signing_key_rotations_total", "cause" => cause).increment(1);
        }
        Ok(key)
    }
}
