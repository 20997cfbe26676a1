//! What the changes of a rollout have in common: who and why, the check of the etag, the figures of the gates in an
//! event, and the webhook message.

use countersign_core::{
    ids::RolloutId,
    names::OperatorId,
    rollout::{Figures, Gates, Percent, Reading, Rollout, RolloutState, Seen, Spans, Verdict},
};
use countersign_ledger::leaf::{self, Decimal, Figure, Kind, Leaf};
use countersign_store::rollout;
use serde::{Deserialize, Serialize};

use crate::{
    App, Error, RolloutReport, Topic, caller::bootstrap_id, engine::transaction::ChangeTx, webhook::RolloutNotice,
};

/// A rollout after a change of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutChanged {
    /// The rollout.
    pub rollout: RolloutReport,
    /// Where the custody log holds the change.
    pub log_index: i64,
}

/// What is kept of a change for a repeated request. Not the rollout: its salt is a secret, and is read again.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) rollout_id: RolloutId,
    pub(crate) log_index: i64,
}

/// Who changes a rollout, and why.
pub(crate) enum By<'a> {
    /// A person, and the reason they gave.
    Person(&'a OperatorId, &'a str),
    /// The server itself, and why as a code.
    Server(&'static str),
}

impl By<'_> {
    /// A leaf of theirs.
    pub(crate) fn leaf(&self, tx: &ChangeTx, kind: Kind) -> Leaf<'static> {
        match self {
            Self::Person(operator, _) => tx.leaf(kind, operator),
            Self::Server(code) => Leaf { reason: Some((*code).into()), ..tx.own_leaf(kind) },
        }
    }

    /// What a person gave as their reason.
    pub(crate) const fn reason(&self) -> &str {
        match self {
            Self::Person(_, reason) => reason,
            Self::Server(_) => "",
        }
    }

    /// Under whose name it stands.
    pub(crate) fn id(&self) -> Result<OperatorId, Error> {
        match self {
            Self::Person(operator, _) => Ok((*operator).clone()),
            Self::Server(_) => bootstrap_id(),
        }
    }
}

/// A rollout and what its gates said of it, before the head was held.
#[derive(Debug, Clone)]
pub(crate) struct RolloutInspection {
    pub(crate) rollout: Rollout,
    pub(crate) seen: Seen,
    pub(crate) readings: Vec<Reading>,
}

impl RolloutInspection {
    /// The gates that do not pass, those that fail first.
    pub(crate) fn not_passed(&self) -> Vec<Reading> {
        let with = |verdict| self.readings.iter().copied().filter(move |reading| reading.verdict == verdict);
        with(Verdict::Fail).chain(with(Verdict::Inconclusive)).collect()
    }

    /// The figures as an event states them, with the thresholds beside; and where a gate looked further back than its window,
    /// how far.
    pub(crate) fn figures(&self) -> Vec<Figure<'static>> {
        let Figures {
            decisions,
            missing_sponsor,
            latency_p95_us,
            candidate_evaluations,
            candidate_errors,
            issuances,
            issuance_failures,
            held_back: _,
        } = self.seen.figures;
        let Gates {
            missing_sponsor_bp,
            policy_error_bp,
            latency_p95_ms,
            window_seconds,
            min_decisions,
            on_breach: _,
            issuance_failure_bp,
        } = self.rollout.gates;
        let Spans { decisions: decisions_span, candidate_evaluations: evaluations_span, issuances: issuances_span } =
            self.seen.spans;
        let further = |seconds: u32| (seconds > window_seconds).then_some(u64::from(seconds));
        let figures = [
            ("candidate_errors", Some(candidate_errors)),
            ("candidate_evaluations", Some(candidate_evaluations)),
            ("candidate_evaluations_span_seconds", further(evaluations_span)),
            ("decisions", Some(decisions)),
            ("decisions_span_seconds", further(decisions_span)),
            ("issuance_failures", Some(issuance_failures)),
            ("issuances", Some(issuances)),
            ("issuances_span_seconds", further(issuances_span)),
            ("latency_p95_us", latency_p95_us),
            ("limit_issuance_failure_bp", issuance_failure_bp.map(u64::from)),
            ("limit_latency_p95_ms", Some(latency_p95_ms.into())),
            ("limit_missing_sponsor_bp", Some(missing_sponsor_bp.into())),
            ("limit_policy_error_bp", Some(policy_error_bp.into())),
            ("min_decisions", Some(min_decisions.into())),
            ("missing_sponsor", Some(missing_sponsor)),
            ("window_seconds", Some(window_seconds.into())),
        ];
        figures
            .into_iter()
            .filter_map(|(name, value)| Some(Figure { name: name.into(), value: Decimal(value?) }))
            .collect()
    }
}

/// A rollout as its own events name it.
pub(crate) fn part(rollout: &Rollout, percent_before: Option<Percent>) -> leaf::Rollout<'static> {
    leaf::Rollout {
        bucket: None,
        id: rollout.rollout_id.to_string().into(),
        percent: rollout.percent.get(),
        percent_before: percent_before.map(Percent::get),
        side: None,
    }
}

/// The leaf of a change of `rollout`; `percent_before` where the change is one of its percentage.
pub(crate) fn leaf_of(
    tx: &ChangeTx,
    kind: Kind,
    by: &By<'_>,
    rollout: &Rollout,
    state_before: RolloutState,
    percent_before: Option<Percent>,
) -> Leaf<'static> {
    Leaf {
        policy_version: Some(rollout.candidate.to_string().into()),
        rollout: Some(part(rollout, percent_before)),
        state_after: Some(rollout.state.as_str().into()),
        state_before: Some(state_before.as_str().into()),
        ..by.leaf(tx, kind)
    }
}

/// Tells webhooks that `rollout` changed, by the event at `log_index`.
pub(crate) fn tell(
    tx: &mut ChangeTx,
    topic: Topic,
    by: &By<'_>,
    rollout: &Rollout,
    percent_before: Percent,
    log_index: i64,
) -> Result<(), Error> {
    let (operator_id, reason) = match by {
        By::Person(operator, _) => (Some(*operator), None),
        By::Server(code) => (None, Some(*code)),
    };
    let Rollout { rollout_id, state, percent, .. } = *rollout;
    tx.notify(topic, &RolloutNotice { rollout_id, state, percent, percent_before, operator_id, reason, log_index })
}

/// The rollout, if its etag is still this one.
pub(crate) async fn checked(tx: &mut ChangeTx, id: RolloutId, etag: Option<&str>) -> Result<Rollout, Error> {
    let rollout = rollout::get(tx.conn(), id).await?.ok_or_else(|| Error::not_found("rollout", id))?;
    if etag.is_some_and(|etag| etag != rollout.etag()) {
        return Err(Error::EtagMismatch { what: "rollout" });
    }
    Ok(rollout)
}

/// The rollout, if it is still as it was looked at.
pub(crate) async fn unchanged(tx: &mut ChangeTx, look: &RolloutInspection) -> Result<Option<Rollout>, Error> {
    let rollout = rollout::get(tx.conn(), look.rollout.rollout_id).await?;
    Ok(rollout.filter(|rollout| rollout.revision == look.rollout.revision))
}

impl App {
    pub(crate) async fn rollout_changed(&self, changed: Changed) -> Result<RolloutChanged, Error> {
        Ok(RolloutChanged { rollout: self.changed_rollout(&changed.rollout_id).await?, log_index: changed.log_index })
    }
}
