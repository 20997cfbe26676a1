//! UpdateSponsor: changes the terms of a sponsor. A change of what an approval covered needs a new approval: the
//! sponsor is PENDING again, and their instances stop.

use countersign_core::{
    names::SponsorId,
    revocation::RevocationKind,
    sponsor::{Changed, Difference, Sponsor, SponsorChange, SponsorState},
};
use countersign_ledger::{
    commitment::identity_text,
    export::Disclosed,
    leaf::{self, Decimal, Digest, Kind, Leaf, SponsorState as Standing},
};
use countersign_store::{instance, sponsor};

use super::{register_sponsor::terms, transition_sponsor::read};
use crate::{
    App, Error, Idempotency, OperatorCaller, SponsorTransitioned,
    engine::transaction::{Change, ChangeTx},
};

/// The sponsor, the change, and the reason.
#[derive(Debug, Clone)]
pub struct UpdateSponsor {
    /// The sponsor.
    pub sponsor_id: SponsorId,
    /// The new values.
    pub change: SponsorChange,
    /// The reason, in words.
    pub reason: String,
    /// The sponsor's etag as last read. `None` for no check.
    pub etag: Option<String>,
}

struct UpdateBy<'a> {
    caller: &'a OperatorCaller,
    command: &'a UpdateSponsor,
}

impl Change for UpdateBy<'_> {
    const METHOD: &'static str = "UpdateSponsor";
    type Answer = SponsorTransitioned;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<SponsorTransitioned, Error> {
        let command = self.command;
        let before = read(tx, &command.sponsor_id, command.etag.as_deref()).await?;
        let Some(changed) = before.changed(command.change.clone(), &self.caller.operator_id)? else {
            // A request for the current values changes nothing, and the approval stays valid.
            return Ok(SponsorTransitioned { sponsor: before, stopped_instance_count: 0, log_index: 0 });
        };
        let mut stopped_instance_count = 0;
        let (sponsor, log_index) = if changed.needs_approval() {
            let now = tx.now();
            stopped_instance_count = instance::count_live(tx.conn(), &before.sponsor_id, now).await?;
            self.return_to_pending(tx, before.state, changed).await?
        } else {
            (changed.sponsor, 0)
        };
        sponsor::update(tx.conn(), &sponsor).await?;
        Ok(SponsorTransitioned { sponsor, stopped_instance_count, log_index })
    }
}

impl UpdateBy<'_> {
    /// Stops the instances that are based on the approval that no longer covers the sponsor, and states the
    /// differences.
    async fn return_to_pending(
        &self,
        tx: &mut ChangeTx,
        before: SponsorState,
        changed: Changed,
    ) -> Result<(Sponsor, i64), Error> {
        let Changed { mut sponsor, terms: differences, identity } = changed;
        // A sponsor that was never approved, or was already changed, has no live instances.
        let revocation = match before {
            SponsorState::Pending => None,
            _ => Some(tx.revoke(RevocationKind::Sponsor, sponsor.sponsor_id.to_string()).await?),
        };
        let mut leaf = Leaf {
            changes: differences.into_iter().map(change).collect(),
            custody_ref: sponsor.grant_leaf.map(Digest),
            revocation_seq: revocation.and_then(|seq| u64::try_from(seq).ok()).map(Decimal),
            sponsor_id: Some(sponsor.sponsor_id.as_str().to_owned().into()),
            sponsor_state: Some(Standing::Revoked),
            state_after: Some(sponsor.state.as_str().into()),
            state_before: Some(before.as_str().into()),
            terms: Some(terms(&sponsor)),
            ..tx.leaf(Kind::SponsorChanged, &self.caller.operator_id)
        };
        let identity = identity.then(|| identity_text(&sponsor.display_name, &sponsor.email));
        let identity = identity.and_then(|text| tx.commit_to(&text, &mut leaf.identity_commitment));
        let reason = tx.commit_to(&self.command.reason, &mut leaf.reason_commitment);
        let (log_index, hash) = tx.append_disclosing(&leaf, Disclosed { identity, reason, ..Disclosed::default() })?;
        // The next approval is based on this change.
        sponsor.grant_leaf = Some(hash);
        Ok((sponsor, log_index))
    }
}

fn change(difference: Difference) -> leaf::Change<'static> {
    let Difference { field, before, after } = difference;
    leaf::Change { after: after.map(Into::into), before: before.map(Into::into), field: field.into() }
}

impl App {
    /// Changes a sponsor. If the approval no longer covers them, they are PENDING again and their instances are
    /// stopped.
    pub async fn update_sponsor(
        &self,
        caller: &OperatorCaller,
        command: UpdateSponsor,
        idempotency: Option<Idempotency>,
    ) -> Result<SponsorTransitioned, Error> {
        let change = UpdateBy { caller, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
