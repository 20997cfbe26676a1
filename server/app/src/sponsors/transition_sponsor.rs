//! ApproveSponsor, RejectSponsor, SuspendSponsor, ReinstateSponsor, RecertifySponsor, DepartSponsor, RevokeSponsor; and
//! the suspension of a sponsor whose review lapsed. Sets when the next review is due, until when orphans may be
//! accepted, and confirms the sponsor's person with the terms.

use countersign_core::{
    instance::ORPHANS_KEPT,
    names::{OperatorId, SponsorId},
    revocation::RevocationKind,
    sponsor::{DEFAULT_REVIEW, Departure, Sponsor, SponsorRule, SponsorState, SuspendCause, Transition, next_review},
};
use countersign_ledger::leaf::{Decimal, Digest, Kind, Leaf, SponsorState as Standing};
use countersign_store::{instance, sponsor};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::register_sponsor::terms;
use crate::{
    App, Error, FourEyes, Idempotency, OperatorCaller,
    caller::{AccessBasis, Authorized, Own},
    engine::transaction::{Change, ChangeTx},
    operators::four_eyes::Alone,
};

/// The sponsor, the transition, and the reason.
#[derive(Debug, Clone)]
pub struct TransitionSponsor {
    /// The sponsor.
    pub sponsor_id: SponsorId,
    /// The transition.
    pub transition: Transition,
    /// The reason, in words.
    pub reason: String,
    /// The sponsor's etag as last read. `None` for no check.
    pub etag: Option<String>,
    /// When the renewed review is due. `None` for the default. For Recertify only.
    pub review_due_at: Option<OffsetDateTime>,
}

/// A sponsor after a transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SponsorTransitioned {
    /// The sponsor.
    pub sponsor: Sponsor,
    /// The number of live instances that stopped with it.
    #[serde(alias = "revoked_instance_count")]
    pub stopped_instance_count: i64,
    /// The log index of the event. 0 in an answer that an earlier version stored.
    #[serde(default)]
    pub log_index: i64,
}

/// A transition by this caller.
pub(crate) struct TransitionBy<'a> {
    caller: &'a OperatorCaller,
    basis: AccessBasis,
    four_eyes: FourEyes,
    command: &'a TransitionSponsor,
}

impl<'a> TransitionBy<'a> {
    /// By an operator whose role permits it.
    pub(crate) const fn of(caller: &'a OperatorCaller, four_eyes: FourEyes, command: &'a TransitionSponsor) -> Self {
        Self { caller, basis: AccessBasis::Role, four_eyes, command }
    }

    /// Refuses a transition that needs a second person if the caller is not one.
    async fn check_person(&self, tx: &mut ChangeTx, sponsor: &Sponsor) -> Result<Alone, Error> {
        let transition = self.command.transition;
        if !transition.needs_four_eyes() {
            return Ok(self.four_eyes.hold(Ok::<_, SponsorRule>(()))?);
        }
        let actor = tx.login(&self.caller.operator_id).await?;
        let writers: Vec<_> = sponsor.writers().cloned().collect();
        let writers = tx.logins(&writers).await?;
        Ok(self.four_eyes.hold(sponsor.check_person(transition, &actor, &writers))?)
    }
}

impl Change for TransitionBy<'_> {
    // The verbs share one set of request ids; the fingerprint tells them apart.
    const METHOD: &'static str = "TransitionSponsor";
    type Answer = SponsorTransitioned;

    fn stops(&self) -> bool {
        self.command.transition.stops()
    }

    async fn apply(&self, tx: &mut ChangeTx) -> Result<SponsorTransitioned, Error> {
        let (command, operator) = (self.command, &self.caller.operator_id);
        let own = Some(&command.sponsor_id).filter(|_| command.transition.is_own());
        self.basis.permits(tx.conn(), self.caller, own, Own::Stop).await?;
        let sponsor = read(tx, &command.sponsor_id, command.etag.as_deref()).await?;
        let now = tx.now();
        let after = sponsor.check(command.transition, now)?;
        let alone = self.check_person(tx, &sponsor).await?;
        let review_due_at = match command.transition {
            Transition::Approve => Some(now + DEFAULT_REVIEW),
            Transition::Recertify => Some(next_review(now, command.review_due_at)?),
            _ => sponsor.review_due_at,
        };
        let stopped_instance_count = match command.transition {
            Transition::Revoke | Transition::Depart => {
                instance::count_live(tx.conn(), &sponsor.sponsor_id, now).await?
            }
            _ => 0,
        };
        let made = Made { transition: command.transition, after, review_due_at, by: Some(operator), code: None, alone };
        let (sponsor, log_index) = make(tx, sponsor, made, &command.reason).await?;
        Ok(SponsorTransitioned { sponsor, stopped_instance_count, log_index })
    }
}

/// A sponsor, for a change; refuses a stale etag.
pub(crate) async fn read(tx: &mut ChangeTx, id: &SponsorId, etag: Option<&str>) -> Result<Sponsor, Error> {
    let found = sponsor::get(tx.conn(), id).await?;
    let sponsor = found.ok_or_else(|| Error::not_found("sponsor", id))?;
    if etag.is_some_and(|etag| etag != sponsor.etag()) {
        return Err(Error::EtagMismatch { what: "sponsor" });
    }
    Ok(sponsor)
}

/// A transition that was checked.
struct Made<'a> {
    transition: Transition,
    after: SponsorState,
    review_due_at: Option<OffsetDateTime>,
    /// `None` for a transition by the clock.
    by: Option<&'a OperatorId>,
    /// The reason code, if no person gave a reason.
    code: Option<&'static str>,
    /// Whether one person does alone what needs two.
    alone: Alone,
}

/// Makes a transition: the entry that stops live instances, the event, the row. Also returns the log index of the
/// event.
async fn make(tx: &mut ChangeTx, before: Sponsor, made: Made<'_>, reason: &str) -> Result<(Sponsor, i64), Error> {
    let (now, transition) = (tx.now(), made.transition);
    let mut sponsor = Sponsor {
        state: made.after,
        review_due_at: made.review_due_at,
        revision: before.revision + 1,
        ..before.clone()
    };
    let revocation = if transition.stops_instances() {
        Some(tx.revoke(RevocationKind::Sponsor, sponsor.sponsor_id.to_string()).await?)
    } else {
        tx.changes_authority();
        None
    };
    sponsor.suspend_cause = match (made.after, transition, made.by) {
        (SponsorState::Suspended, Transition::Suspend, None) => Some(SuspendCause::ReviewLapsed),
        (SponsorState::Suspended, Transition::Suspend, Some(_)) => Some(SuspendCause::Operator),
        (SponsorState::Suspended, ..) => before.suspend_cause,
        _ => None,
    };
    match (transition, made.by, revocation) {
        (Transition::Approve, ..) => sponsor.approve_time = Some(now),
        (Transition::Depart, Some(by), Some(revocation_seq)) => {
            let orphans_due_at = Some(now + ORPHANS_KEPT);
            sponsor.departure = Some(Departure { time: now, recorded_by: by.clone(), revocation_seq, orphans_due_at });
        }
        (Transition::Revoke, ..) => {
            sponsor.revoke_time = Some(now);
            // The entry also stopped the orphans.
            sponsor.departure.iter_mut().for_each(|departure| departure.orphans_due_at = None);
        }
        _ => {}
    }
    // The operator who confirms the terms also confirms who the sponsor's person is.
    if matches!(transition, Transition::Approve | Transition::Recertify) {
        sponsor.person_confirmed = sponsor.person_id.is_some();
    }
    let kind = kind(transition);
    let leaf = Leaf {
        changes: made.alone.changes(),
        custody_ref: sponsor.grant_leaf.map(Digest),
        reason: made.code.map(Into::into),
        revocation_seq: revocation.and_then(|seq| u64::try_from(seq).ok()).map(Decimal),
        sponsor_id: Some(sponsor.sponsor_id.as_str().to_owned().into()),
        sponsor_state: Some(if sponsor.is_active(now) { Standing::Live } else { Standing::Revoked }),
        state_after: Some(sponsor.state.as_str().into()),
        state_before: Some(before.state.as_str().into()),
        terms: Some(terms(&sponsor)),
        ..made.by.map_or_else(|| tx.own_leaf(kind), |by| tx.leaf(kind, by))
    };
    let (log_index, hash) = tx.append(leaf, reason)?;
    if transition.needs_four_eyes() {
        sponsor.grant_leaf = Some(hash);
    }
    sponsor::update(tx.conn(), &sponsor).await?;
    Ok((sponsor, log_index))
}

const fn kind(transition: Transition) -> Kind {
    match transition {
        Transition::Approve => Kind::SponsorApproved,
        Transition::Reject => Kind::SponsorRejected,
        Transition::Suspend => Kind::SponsorSuspended,
        Transition::Reinstate => Kind::SponsorReinstated,
        Transition::Recertify => Kind::SponsorRecertified,
        Transition::Depart => Kind::SponsorDeparted,
        Transition::Revoke => Kind::SponsorRevoked,
    }
}

/// The suspension of a sponsor whose review lapsed, if no one was faster.
pub(crate) struct Lapse<'a> {
    pub(crate) sponsor_id: &'a SponsorId,
}

impl Change for Lapse<'_> {
    const METHOD: &'static str = "ReviewLapsed";
    /// Whether it was still necessary.
    type Answer = bool;

    async fn apply(&self, tx: &mut ChangeTx) -> Result<bool, Error> {
        let sponsor = read(tx, self.sponsor_id, None).await?;
        if !sponsor.review_lapsed(tx.now()) {
            return Ok(false);
        }
        let made = Made {
            transition: Transition::Suspend,
            after: SponsorState::Suspended,
            review_due_at: sponsor.review_due_at,
            by: None,
            code: Some(SuspendCause::ReviewLapsed.as_str()),
            alone: Alone::default(),
        };
        make(tx, sponsor, made, "").await?;
        Ok(true)
    }
}

impl App {
    /// Makes a transition of a sponsor. From the commit on, no ALLOW that it forbids is recorded.
    pub async fn transition_sponsor(
        &self,
        authorized: &Authorized,
        command: TransitionSponsor,
        idempotency: Option<Idempotency>,
    ) -> Result<SponsorTransitioned, Error> {
        let (caller, basis) = authorized.operator()?;
        let change = TransitionBy { caller, basis, four_eyes: self.inner.engine.config.four_eyes, command: &command };
        self.change(caller.operator_id.as_str(), idempotency.as_ref(), &change).await
    }
}
