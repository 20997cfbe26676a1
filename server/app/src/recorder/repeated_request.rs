//! Repeated requests (idempotency, retries): a kept answer is given again only where it gives the caller no more than a
//! fresh one would. A refusal always; an ALLOW for a short time, if the same call would still be allowed; a grant while
//! its credential may act; an SVID until it expires.
//!
//! An ALLOW is given again for [`WINDOW`], and only where the snapshot of the head that is held would allow the same
//! call on the same credential by the same policy version: so no ALLOW is answered after a change that forbids it. The
//! window is bounded by when this server saw the log shorter, on its monotonic clock; wall clocks can only close it
//! early.

use std::time::{Duration, Instant};

use countersign_core::{
    approval::ApprovalState,
    credential::Verified,
    decision::{Effect, Reason},
};

use time::OffsetDateTime;

use super::{
    batch::BatchBuilder,
    job::{DecisionJob, GrantJob, Granted, SvidJob},
    prepared_decision::Preparation,
};
use crate::{
    DecisionAnswer, Error, StandsOn,
    decisions::evaluation::request::{DecisionRequest, Subject},
};

/// For so long an ALLOW is given again: as long as its receipt can be good.
const WINDOW: Duration = Duration::from_secs(30);

impl BatchBuilder<'_> {
    /// What a repeated question is answered.
    pub(super) fn decided_again(&self, job: &DecisionJob, kept: DecisionAnswer) -> Result<DecisionAnswer, Error> {
        if kept.effect != Effect::Allow {
            return Ok(kept);
        }
        let age = self.age(&job.question, &kept).filter(|age| *age < WINDOW);
        let given = match age {
            Some(_) => self.would_allow(job, &kept)?,
            None => false,
        };
        let outcome = if given { "given" } else { "refused" };
        metrics::counter!("countersign_replays_total", "outcome" => outcome).increment(1);
        let Some(age) = age.filter(|_| given) else { return Err(Error::AlreadyDecided(kept.policy_decision_id)) };
        let age = u32::try_from(age.as_secs() + 1).unwrap_or(u32::MAX);
        let cache_ttl_seconds = kept.cache_ttl_seconds.saturating_sub(age);
        let extended_cache_ttl_seconds = kept.extended_cache_ttl_seconds.saturating_sub(age);
        Ok(DecisionAnswer { replayed: true, cache_ttl_seconds, extended_cache_ttl_seconds, ..kept })
    }

    /// How long ago `kept` was decided, at most; none where that cannot be known.
    fn age(&self, question: &DecisionRequest, kept: &DecisionAnswer) -> Option<Duration> {
        let by_wall = question.now - kept.policy_decision_id.decide_time();
        // Where the machine slept its monotonic clock did too. A wall clock that is behind says nothing.
        let by_wall = Duration::try_from(by_wall).unwrap_or_default();
        Some(self.authority.head_marks.oldest(kept.log_index, Instant::now())?.max(by_wall))
    }

    /// Whether the call that `kept` allows would be allowed now, on the same ground. What this very decision used up counts as
    /// unused.
    fn would_allow(&self, job: &DecisionJob, kept: &DecisionAnswer) -> Result<bool, Error> {
        let (Preparation::Ready(now), Some(stood_on)) = (job.current(self)?, kept.stands_on) else { return Ok(false) };
        // Another credential of the same run: this decision did not use that one up, and its receipt would be another.
        let same_ground = now.answer.stands_on.and_then(|on| on.credential_id) == stood_on.credential_id
            && now.answer.policy_version == kept.policy_version
            && now.answer.enforcement == kept.enforcement;
        let allows = if now.asks {
            self.stands_on_its_approval(&job.question, stood_on)
        } else {
            now.answer.effect == Effect::Allow && stood_on.approval_id.is_none()
        };
        Ok(same_ground && allows)
    }

    /// Whether the yes that a decision used up would still be good for this call, had it not used it.
    fn stands_on_its_approval(&self, question: &DecisionRequest, stood_on: StandsOn) -> bool {
        let (Some(id), Subject::Run(run)) = (stood_on.approval_id, &question.subject) else { return false };
        let now = self.engine.clock.now();
        question.approval_id == Some(id)
            && self.approval(id).is_some_and(|approval| {
                approval.state == ApprovalState::Used
                    && now < approval.expire_time
                    && approval.call == question.call(run)
            })
    }

    /// The grant again, to be signed again, while what was granted may act. It is the same credential: same id, same time.
    pub(super) fn granted_again(&self, job: &GrantJob, kept: Granted) -> Result<Granted, Error> {
        let dead = match &kept.key_id {
            Some(kid) => self.dead(&Verified::new(kept.claims.clone(), kid.clone()), job.fresh.now),
            // Which key signed it first was not kept, so whether that was compromised is not known.
            None => Some(Reason::CredentialRevoked),
        };
        match dead {
            None => Ok(kept),
            Some(reason) => Err(Error::CredentialRefused {
                reason,
                message: format!(
                    "this request_id was answered before, with a credential that may not act any more ({reason}). A fresh \
                     request_id asks for another"
                ),
            }),
        }
    }

    /// Refuses the SVID of a repeated job, which ends at `end`, unless its holder may get one.
    pub(super) fn ensure_minted_again<D>(&self, job: &SvidJob<D>, end: OffsetDateTime) -> Result<(), Error> {
        self.ensure_live(&job.holder, job.now)?;
        if end <= job.now {
            return Err(Error::IllegalTransition(
                "this request_id was answered before, with an SVID that has expired: a fresh request_id asks for another"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}
