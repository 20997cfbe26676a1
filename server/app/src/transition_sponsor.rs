//! ApproveSponsor, RejectSponsor, SuspendSponsor, ReinstateSponsor, RevokeSponsor.

use countersign_core::{
    names::SponsorId,
    revocation::RevocationKind,
    sponsor::{DEFAULT_REVIEW, Sponsor, Transition},
};
use countersign_ledger::leaf::{Decimal, Digest, Kind, Leaf, SponsorState as Standing};
use countersign_store::{instance, sponsor};
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, Idempotency, OperatorCaller,
    change::{Change, ChangeTx},
    register_sponsor::terms,
};

/// Which sponsor, to what, and why.
#[derive(Debug, Clone)]
pub struct TransitionSponsor {
    /// Who.
    pub sponsor_id: SponsorId,
    /// What happens to them.
    pub transition: Transition,
    /// Why, in words.
    pub reason: String,
    /// The sponsor's etag as last read; none: no check.
    pub etag: Option<String>,
}

/// A sponsor after a transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SponsorTransitioned {
    /// The sponsor.
    pub sponsor: Sponsor,
    /// How many live instances stopped with it.
    pub revoked_instance_count: i64,
}

/// A transition by this caller.
pub(crate) struct TransitionBy<'a> {
    pub(crate) caller: &'a OperatorCaller,
    pub(crate) command: &'a TransitionSponsor,
}

impl Change for TransitionBy<'_> {
    // The verbs share one space of request ids; the fingerprint tells them apart.
    const METHOD: &'static str = "TransitionSponsor";
    type Answer = SponsorTransitioned;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<SponsorTransitioned, Error> {
        let (command, operator) = (self.command, &self.caller.operator_id);
        let found = sponsor::get(tx.conn(), &command.sponsor_id).await?;
        let mut sponsor = found.ok_or_else(|| Error::not_found("sponsor", &command.sponsor_id))?;
        if command.etag.as_ref().is_some_and(|etag| *etag != sponsor.etag()) {
            return Err(Error::EtagMismatch { what: "sponsor" });
        }
        let (now, before) = (tx.now(), sponsor.state);
        sponsor.state = sponsor.check(command.transition, operator, now)?;
        sponsor.revision += 1;
        match command.transition {
            Transition::Approve => {
                sponsor.approve_time = Some(now);
                sponsor.review_due_at = Some(now + DEFAULT_REVIEW);
            }
            Transition::Revoke => sponsor.revoke_time = Some(now),
            Transition::Reject | Transition::Suspend | Transition::Reinstate => {}
        }
        let revoked_instance_count = match command.transition {
            Transition::Revoke => instance::count_live(tx.conn(), &sponsor.sponsor_id, now).await?,
            _ => 0,
        };
        let revocation = if command.transition.stops_instances() {
            Some(tx.revoke(RevocationKind::Sponsor, sponsor.sponsor_id.to_string()).await?)
        } else {
            tx.changes_authority();
            None
        };
        let leaf = Leaf {
            custody_ref: sponsor.grant_leaf.map(Digest),
            revocation_seq: revocation.and_then(|seq| u64::try_from(seq).ok()).map(Decimal),
            sponsor_id: Some(sponsor.sponsor_id.as_str().to_owned().into()),
            sponsor_state: Some(if sponsor.is_active(now) { Standing::Live } else { Standing::Revoked }),
            state_after: Some(sponsor.state.as_str().into()),
            state_before: Some(before.as_str().into()),
            terms: Some(terms(&sponsor)),
            ..tx.leaf(kind(command.transition), operator)
        };
        let (_, hash) = tx.append(leaf, &command.reason)?;
        if command.transition.needs_four_eyes() {
            sponsor.grant_leaf = Some(hash);
        }
        sponsor::update(tx.conn(), &sponsor).await?;
        Ok(SponsorTransitioned { sponsor, revoked_instance_count })
    }
}

const fn kind(transition: Transition) -> Kind {
    match transition {
        Transition::Approve => Kind::SponsorApproved,
        Transition::Reject => Kind::SponsorRejected,
        Transition::Suspend => Kind::SponsorSuspended,
        Transition::Reinstate => Kind::SponsorReinstated,
        Transition::Revoke => Kind::SponsorRevoked,
    }
}

impl App {
    /// Makes a transition of a sponsor's life. From its commit on, no ALLOW that it forbids is recorded.
    pub async fn transition_sponsor(
        &self,
        caller: &OperatorCaller,
        command: TransitionSponsor,
        idempotency: Option<Idempotency>,
    ) -> Result<SponsorTransitioned, Error> {
        let change = TransitionBy { caller, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
