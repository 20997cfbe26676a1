//! How a rollout may change: advance (it can only grow, after the minimum soak or by force), pause, resume, roll back
//! and complete; and the automatic increment: how often, up to which percentage, and when it needs a person again.

use time::{Duration, OffsetDateTime};

use super::{Percent, Rollout, RolloutState};

/// How often, at most, automation grows a rollout.
pub const INCREMENT_EVERY: Duration = Duration::DAY;
/// The most that automation grows a rollout to: completion is a person's.
const AUTOMATION_LIMIT: Percent = Percent::of::<99>();

/// A rule that a change of a rollout breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RolloutRule {
    /// The rollout is over, or paused.
    #[error("the rollout is {0} and cannot be advanced: resume it first if it is PAUSED, or start another one")]
    NotRunning(RolloutState),
    /// Only what runs is paused.
    #[error("the rollout is {0} and cannot be paused: only one that is RUNNING can")]
    NotToPause(RolloutState),
    /// Only what is paused is resumed.
    #[error("the rollout is {0} and cannot be resumed: only one that is PAUSED can")]
    NotPaused(RolloutState),
    /// The rollout is over.
    #[error("the rollout is already {0}")]
    Closed(RolloutState),
    /// The step is not one of growth.
    #[error("a rollout can only grow: it is at {from} %, and {to} % is not more")]
    NotGrowing {
        /// Percentage now.
        from: Percent,
        /// Percentage asked for.
        to: Percent,
    },
    /// Too early.
    #[error("the minimum soak is not over: {left_seconds} s are left on this step; force it with a reason")]
    Soaking {
        /// Seconds until it may advance.
        left_seconds: u64,
    },
}

impl Rollout {
    /// The opaque version of this row.
    #[must_use]
    pub fn etag(&self) -> String {
        self.revision.to_string()
    }

    /// The percentage after this one on the path; 100 where the path ends.
    #[must_use]
    pub fn next_step(&self) -> Percent {
        self.step_after(self.percent)
    }

    fn step_after(&self, percent: Percent) -> Percent {
        self.steps.iter().copied().find(|step| *step > percent).unwrap_or(Percent::ALL)
    }

    /// Checks an advance by a person to `to` at `now`; `forced` passes over the soak.
    pub fn check_advance(&self, to: Percent, now: OffsetDateTime, forced: bool) -> Result<(), RolloutRule> {
        if self.state != RolloutState::Running {
            return Err(RolloutRule::NotRunning(self.state));
        }
        if to <= self.percent {
            return Err(RolloutRule::NotGrowing { from: self.percent, to });
        }
        let soaked = u64::try_from((now - self.advance_time).whole_seconds()).unwrap_or(0);
        if !forced && soaked < self.min_soak_seconds {
            return Err(RolloutRule::Soaking { left_seconds: self.min_soak_seconds - soaked });
        }
        Ok(())
    }

    /// The percentage that automation may give it at `now`; none where no increment is due. A day after the last change of
    /// the percentage at the earliest, after the minimum soak, and up to the step after the one that a person last chose:
    /// beyond that it takes a person again, and so does completion.
    #[must_use]
    pub fn due_increment(&self, now: OffsetDateTime) -> Option<Percent> {
        let points = self.increment_per_day?;
        let soak = Duration::seconds(i64::try_from(self.min_soak_seconds).unwrap_or(i64::MAX));
        if self.state != RolloutState::Running || now - self.advance_time < INCREMENT_EVERY.max(soak) {
            return None;
        }
        let most = self.step_after(self.person_percent).min(AUTOMATION_LIMIT);
        Some(self.percent.plus(points).min(most)).filter(|to| *to > self.percent)
    }

    /// Grows it to `to` at `now`; `by_person` says on whose word. At 100 % it completes.
    pub fn advance(&mut self, to: Percent, now: OffsetDateTime, by_person: bool) {
        self.percent = to;
        self.advance_time = now;
        self.gates_since = now;
        if by_person {
            self.person_percent = to;
        }
        if to == Percent::ALL {
            self.state = RolloutState::Completed;
            self.end_time = Some(now);
        }
        self.revision += 1;
    }

    /// Holds it where it is.
    pub fn pause(&mut self) -> Result<(), RolloutRule> {
        if self.state != RolloutState::Running {
            return Err(RolloutRule::NotToPause(self.state));
        }
        self.state = RolloutState::Paused;
        self.revision += 1;
        Ok(())
    }

    /// Undoes a pause at `now`: what was seen before counts for no gate any more.
    pub fn resume(&mut self, now: OffsetDateTime) -> Result<(), RolloutRule> {
        if self.state != RolloutState::Paused {
            return Err(RolloutRule::NotPaused(self.state));
        }
        self.state = RolloutState::Running;
        self.gates_since = now;
        self.revision += 1;
        Ok(())
    }

    /// Ends it at `now`, undone.
    pub fn roll_back(&mut self, now: OffsetDateTime, reason: String) -> Result<(), RolloutRule> {
        if !self.state.is_open() {
            return Err(RolloutRule::Closed(self.state));
        }
        self.state = RolloutState::RolledBack;
        self.percent = Percent::NONE;
        self.rollback_reason = Some(reason);
        self.end_time = Some(now);
        self.revision += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
