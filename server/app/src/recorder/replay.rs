//! Repeated requests: what is kept is given again only where it gives nobody more than they would get now.
//!
//! A refusal can be repeated for ever. An ALLOW is given again for [`WINDOW`], and only where the snapshot of the head that is
//! held would allow the same call on the same credential by the same policy version: so no ALLOW is answered after a change
//! that forbids it. A grant is given again while it may act. The window is bounded by when this server saw the log
//! shorter, on its monotonic clock; wall clocks can only close it early.

use std::time::{Duration, Instant};

use countersign_core::{
    approval::ApprovalState,
    credential::Verified,
    decision::{Effect, Reason},
};

use super::{GrantJob, Granted, Job, JobResult, Minted, Prepared, SvidJob, batch::BatchBuilder};
use crate::{
    DecisionAnswer, Error, StandsOn,
    decisions::evaluation::{
        request::{DecisionRequest, Subject},
        verdict::NoPolicy,
    },
};

/// For so long an ALLOW is given again: as long as its receipt can be good.
const WINDOW: Duration = Duration::from_secs(30);

impl BatchBuilder<'_> {
    /// What a repeated job is answered, `kept` being what it was answered first.
    pub(super) fn again(&self, job: &Job, kept: JobResult) -> Result<JobResult, Error> {
        match (job, kept) {
            (Job::Decision(question, prepared), JobResult::Decision(answer)) => {
                self.decided_again(question, prepared, *answer).map(|answer| JobResult::Decision(Box::new(answer)))
            }
            (Job::Grant(job), JobResult::Grant(granted)) => {
                self.granted_again(job, *granted).map(|granted| JobResult::Grant(Box::new(granted)))
            }
            (Job::Svid(job), JobResult::Svid(minted)) => {
                self.minted_again(job, *minted).map(|minted| JobResult::Svid(Box::new(minted)))
            }
            (_, kept) => Ok(kept),
        }
    }

    fn decided_again(
        &self,
        question: &DecisionRequest,
        prepared: &Result<Box<Prepared>, NoPolicy>,
        kept: DecisionAnswer,
    ) -> Result<DecisionAnswer, Error> {
        if kept.effect != Effect::Allow {
            return Ok(kept);
        }
        let age = self.age(question, &kept).filter(|age| *age < WINDOW);
        let given = match age {
            Some(_) => self.would_allow(question, prepared, &kept)?,
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
    fn would_allow(
        &self,
        question: &DecisionRequest,
        prepared: &Result<Box<Prepared>, NoPolicy>,
        kept: &DecisionAnswer,
    ) -> Result<bool, Error> {
        let again;
        let now = match prepared {
            Ok(prepared) if prepared.epoch == self.snapshot.epoch => Ok(prepared),
            _ => {
                again = Prepared::new(question, self.snapshot)?;
                again.as_ref()
            }
        };
        let (Ok(now), Some(stood_on)) = (now, kept.stands_on) else { return Ok(false) };
        // Another credential of the same run: this decision did not use that one up, and its receipt would be another.
        let same_ground = now.answer.stands_on.and_then(|on| on.credential_id) == stood_on.credential_id
            && now.answer.policy_version == kept.policy_version
            && now.answer.enforcement == kept.enforcement;
        let allows = if now.asks {
            self.stands_on_its_approval(question, stood_on)
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
            && self.found.approvals.get(&id).is_some_and(|approval| {
                approval.state == ApprovalState::Used
                    && now < approval.expire_time
                    && approval.call == question.call(run)
            })
    }

    /// The grant again, to be signed again, while what was granted may act. It is the same credential: same id, same time.
    fn granted_again(&self, job: &GrantJob, kept: Granted) -> Result<Granted, Error> {
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

    /// The SVID again, while its holder may get one.
    fn minted_again(&self, job: &SvidJob, kept: Minted) -> Result<Minted, Error> {
        self.ensure_live(&job.holder, job.now)?;
        let end = match &kept {
            Minted::Jwt { claims, .. } => claims.expire_time(),
            Minted::X509 { expire_time, .. } => *expire_time,
        };
        if end <= job.now {
            return Err(Error::IllegalTransition(
                "this request_id was answered before, with an SVID whose time is over: a fresh request_id asks for another"
                    .to_owned(),
            ));
        }
        Ok(kept)
    }
}
