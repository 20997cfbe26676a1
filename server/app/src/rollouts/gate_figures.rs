//! What gates are read from: the window, and where that holds too few samples of a kind, the shortest span that holds
//! enough; and how much one caller alone counts for the gate MISSING_SPONSOR.

use countersign_core::{
    ids::RolloutId,
    rollout::{Figures, Gates, Rollout, Seen, Spans},
};
use countersign_store::{
    Connection,
    indicator::{self, Counts, Window},
    look_back::{self, Samples},
};
use time::OffsetDateTime;

use crate::{Error, OneCaller, recorder::indicators::Latency};

impl OneCaller {
    /// The number of calls without a sponsor that counts for the gate. `told` has the number of each caller; if there
    /// are callers without such calls, at least one of them is in it with 0. A team with only one gateway has no other
    /// caller to compare with.
    fn of(self, told: &[u64]) -> u64 {
        let (all, most) = (told.iter().sum::<u64>(), told.iter().max().copied().unwrap_or_default());
        let others = all - most;
        match self {
            Self::Capped if told.len() > 1 => others + most.min(others),
            Self::Capped | Self::Counted => all,
        }
    }
}

/// What the samples of one rollout are counted by.
struct Counting<'a> {
    tx: &'a mut Connection,
    rollout_id: RolloutId,
    /// Nothing counts from before the rollout's start, last step or last resumption.
    since: OffsetDateTime,
    one_caller: OneCaller,
}

impl Counting<'_> {
    /// Adds to `figures` the decisions of the last `seconds`.
    async fn decisions(&mut self, seconds: u32, figures: Figures) -> Result<(Figures, Window), Error> {
        let window = indicator::window(self.tx, seconds, Some(self.since)).await?;
        let told = indicator::without_sponsor(self.tx, seconds, self.since).await?;
        let figures = Figures {
            decisions: window.counts.decisions,
            missing_sponsor: self.one_caller.of(&told),
            latency_p95_us: Latency::of(&window.latency).quantile(0.95),
            ..figures
        };
        Ok((figures, window))
    }

    /// Adds to `figures` the evaluations of the candidate of the last `seconds`.
    async fn evaluations(&mut self, seconds: u32, figures: Figures) -> Result<Figures, Error> {
        Ok(indicator::of_rollout(self.tx, self.rollout_id, seconds, self.since, figures).await?)
    }

    async fn span(&mut self, samples: Samples, needed: u32) -> Result<u32, Error> {
        Ok(look_back::span(self.tx, samples, needed, self.since).await?)
    }

    /// Looks further back for each kind of sample of which the window holds too few.
    async fn look_back(&mut self, gates: &Gates, seen: &mut Seen) -> Result<(), Error> {
        let (needed, window, recent) = (gates.min_decisions, gates.window_seconds, seen.recent);
        let few = |samples| samples < u64::from(needed);
        let Spans { decisions, candidate_evaluations, issuances } = &mut seen.spans;
        if few(recent.decisions) {
            *decisions = self.span(Samples::Decisions, needed).await?;
            if *decisions > window {
                (seen.figures, _) = self.decisions(*decisions, seen.figures).await?;
            }
        }
        if few(recent.candidate_evaluations) {
            *candidate_evaluations = self.span(Samples::Evaluations(self.rollout_id), needed).await?;
            if *candidate_evaluations > window {
                let further = self.evaluations(*candidate_evaluations, seen.figures).await?;
                seen.figures = Figures { held_back: recent.held_back, ..further };
            }
        }
        if gates.issuance_failure_bp.is_some() && few(recent.issuances) {
            *issuances = self.span(Samples::Issuances, needed).await?;
            if *issuances > window {
                seen.figures = look_back::issuances(self.tx, *issuances, self.since, seen.figures).await?;
            }
        }
        Ok(())
    }
}

/// What all servers counted for the gates of `rollout`, and when. `tx` is a transaction that sees one state throughout.
pub(crate) async fn seen(
    tx: &mut Connection,
    rollout: &Rollout,
    one_caller: OneCaller,
) -> Result<(Seen, OffsetDateTime), Error> {
    let (gates, rollout_id, since) = (&rollout.gates, rollout.rollout_id, rollout.gates_since);
    let mut counting = Counting { tx, rollout_id, since, one_caller };
    let (figures, window) = counting.decisions(gates.window_seconds, Figures::default()).await?;
    let Counts { issuances, issuance_failures, .. } = window.counts;
    let figures = Figures { issuances, issuance_failures, ..figures };
    let mut seen = Seen::window(counting.evaluations(gates.window_seconds, figures).await?, gates.window_seconds);
    // Beyond that the slots to look through would be too many.
    if gates.min_decisions <= Gates::LOOKS_BACK_FOR {
        counting.look_back(gates, &mut seen).await?;
    }
    Ok((seen, window.end_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_several_callers_adds_no_more_than_all_others_together() {
        for (told, capped, counted) in [
            (&[][..], 0, 0),
            (&[100], 100, 100),
            (&[100, 0], 0, 100),
            (&[5, 5], 10, 10),
            (&[100, 1], 2, 101),
            (&[10, 4, 3], 14, 17),
            (&[3, 2, 2], 7, 7),
        ] {
            assert_eq!((OneCaller::Capped.of(told), OneCaller::Counted.of(told)), (capped, counted), "{told:?}");
        }
    }
}
