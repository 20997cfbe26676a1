//! Conversion of requests about rollouts, and their limits: steps that rise to 100 (`MAX_STEPS`), names in a scope
//! (`MAX_SCOPE`), and the minimum soak (`MAX_SOAK`). The answers are in [`super::rollout_report`].

use std::{mem, ops::RangeInclusive};

use countersign_app::{AdvanceRollout, Error, HoldRollout, RollbackRollout, RolloutFilter, StartRollout};
use countersign_core::{
    ids::RolloutId,
    names::{RoleName, SponsorId, ToolId},
    rollout::{Gates, Percent, Scope},
    text::MAX_TEXT,
};
use countersign_proto::v1;

use super::{
    idempotency::Idem,
    page::Paging,
    read, texts,
    violations::{Refused, Violations},
};

/// Most steps of a rollout: one for each percent.
const MAX_STEPS: usize = 100;
/// Most names in one list of a scope.
const MAX_SCOPE: usize = 100;
/// Longest minimum soak, seconds.
const MAX_SOAK: i64 = 30 * 24 * 3600;
/// Sliding window of gates and indicators, seconds.
pub(super) const WINDOW: RangeInclusive<i64> = *Gates::WINDOW.start() as i64..=*Gates::WINDOW.end() as i64;

pub(crate) fn start(mut request: v1::StartRolloutRequest) -> Result<(StartRollout, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("StartRollout", request_id, &request);
        let baseline = v.optional("baseline", &request.baseline);
        let candidate = v.required("candidate", &request.candidate);
        let percent = request.percent.map(|percent| v.number("percent", percent, 0..=99));
        let sticky_key = v.optional_enum("sticky_key", request.sticky_key);
        let steps = steps(v, &request.steps);
        let increment: Result<Percent, _> = v.number("increment_per_day", request.increment_per_day, 0..=100);
        let gates = request.gates.map(|wire| v.within("gates", |v| gates(v, wire)));
        let min_soak_seconds = v.seconds("min_soak", request.min_soak, 0..=MAX_SOAK);
        let scope = request.scope.map(|wire| v.within("scope", |v| scope(v, wire)));
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let start = StartRollout {
            baseline: baseline?,
            candidate: candidate?,
            percent: percent.transpose()?,
            sticky_key: sticky_key?.unwrap_or_default(),
            steps: steps?,
            increment_per_day: Some(increment?).filter(|points| *points > Percent::NONE),
            gates: gates.transpose()?.unwrap_or_default(),
            min_soak_seconds: min_soak_seconds?,
            scope: scope.transpose()?.unwrap_or_default(),
            reason: reason?,
        };
        Ok((start, idem?))
    })
}

/// Rising percentages up to 100; the default ones if the list is empty.
fn steps(v: &mut Violations, steps: &[i32]) -> Result<Vec<Percent>, Refused> {
    v.counted("steps", steps.len(), 0..=MAX_STEPS)?;
    let read: Vec<_> =
        steps.iter().enumerate().map(|(nth, step)| v.number(&format!("steps[{nth}]"), *step, 1..=100)).collect();
    let read: Vec<Percent> = read.into_iter().collect::<Result<_, _>>()?;
    if read.is_empty() || (read.is_sorted_by(|a, b| a < b) && read.last() == Some(&Percent::ALL)) {
        return Ok(read);
    }
    Err(v.refuse("steps", "must increase from step to step, and end with 100"))
}

/// The thresholds; the default for each one that is missing.
fn gates(v: &mut Violations, wire: v1::RolloutGates) -> Result<Gates, Refused> {
    let default = Gates::default();
    let mut basis_points =
        |field: &str, rate: Option<i32>| rate.map(|rate| v.number(field, rate, 0..=Gates::MAX_BP.into()));
    let missing_sponsor = basis_points("missing_sponsor_bp", wire.missing_sponsor_bp);
    let policy_error = basis_points("policy_error_bp", wire.policy_error_bp);
    let issuance_failure = basis_points("issuance_failure_bp", wire.issuance_failure_bp);
    let latency = v.milliseconds("latency_p95", wire.latency_p95, Gates::MAX_LATENCY_MS);
    let window = v.seconds("window", wire.window, WINDOW);
    let min_decisions = wire.min_decisions.map(|count| v.number("min_decisions", count, 1..=i32::MAX.into()));
    let on_breach = v.optional_enum("on_breach", wire.on_breach);
    Ok(Gates {
        missing_sponsor_bp: missing_sponsor.unwrap_or(Ok(default.missing_sponsor_bp))?,
        policy_error_bp: policy_error.unwrap_or(Ok(default.policy_error_bp))?,
        latency_p95_ms: latency?.unwrap_or(default.latency_p95_ms),
        window_seconds: window?.unwrap_or(default.window_seconds),
        min_decisions: min_decisions.unwrap_or(Ok(default.min_decisions))?,
        on_breach: on_breach?.unwrap_or(default.on_breach),
        issuance_failure_bp: issuance_failure.transpose()?,
    })
}

fn scope(v: &mut Violations, wire: v1::RolloutScope) -> Result<Scope, Refused> {
    let tools = v.list::<ToolId>("tools", &wire.tools, 0..=MAX_SCOPE);
    let roles = v.list::<RoleName>("roles", &wire.roles, 0..=MAX_SCOPE);
    let sponsors = v.list::<SponsorId>("sponsors", &wire.sponsors, 0..=MAX_SCOPE);
    let labels = v.labels(wire.labels);
    Ok(Scope { tools: texts(tools?), roles: texts(roles?), sponsors: texts(sponsors?), labels: labels? })
}

pub(crate) fn get(request: &v1::GetRolloutRequest) -> Result<RolloutId, Error> {
    read(|v| v.required("rollout_id", &request.rollout_id))
}

pub(crate) fn list(mut request: v1::ListRolloutsRequest) -> Result<(RolloutFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListRollouts", size, &token, &request);
        let state = v.optional_enum("state", request.state);
        let candidate = v.optional("candidate", &request.candidate);
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        let filter =
            RolloutFilter { state: state?, candidate: candidate?, start_time: start_time?, end_time: end_time? };
        Ok((filter, paging?))
    })
}

pub(crate) fn advance(mut request: v1::AdvanceRolloutRequest) -> Result<(AdvanceRollout, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("AdvanceRollout", request_id, &request);
        let rollout_id = v.required("rollout_id", &request.rollout_id);
        let percent: Result<Percent, _> = v.number("percent", request.percent, 0..=100);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        let advance = AdvanceRollout {
            rollout_id: rollout_id?,
            percent: Some(percent?).filter(|percent| *percent > Percent::NONE),
            reason: reason?,
            force: request.force,
            etag: etag?,
        };
        Ok((advance, idem?))
    })
}

pub(crate) fn rollback(mut request: v1::RollbackRolloutRequest) -> Result<(RollbackRollout, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RollbackRollout", request_id, &request);
        let rollout_id = v.required("rollout_id", &request.rollout_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        Ok((RollbackRollout { rollout_id: rollout_id?, reason: reason?, etag: etag? }, idem?))
    })
}

pub(crate) fn pause(mut request: v1::PauseRolloutRequest) -> Result<(HoldRollout, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("PauseRollout", request_id, &request);
        Ok((hold(v, &request.rollout_id, request.reason, request.etag)?, idem?))
    })
}

pub(crate) fn resume(mut request: v1::ResumeRolloutRequest) -> Result<(HoldRollout, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("ResumeRollout", request_id, &request);
        Ok((hold(v, &request.rollout_id, request.reason, request.etag)?, idem?))
    })
}

fn hold(v: &mut Violations, rollout_id: &str, reason: String, etag: String) -> Result<HoldRollout, Refused> {
    let rollout_id = v.required("rollout_id", rollout_id);
    let reason = v.text("reason", reason, MAX_TEXT);
    let etag = v.etag(etag);
    Ok(HoldRollout { rollout_id: rollout_id?, reason: reason?, etag: etag? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(request: v1::StartRolloutRequest) -> Vec<String> {
        let Err(Error::Invalid(found)) = start(request) else { return Vec::new() };
        found.into_iter().map(|violation| violation.field.into_owned()).collect()
    }

    #[test]
    fn steps_rise_to_a_hundred_and_gates_keep_their_bounds() {
        let good = v1::StartRolloutRequest {
            candidate: "pv_2".to_owned(),
            reason: "new limits".to_owned(),
            steps: vec![1, 50, 100],
            percent: Some(0),
            ..Default::default()
        };
        assert_eq!(wrong(good.clone()), [""; 0]);
        for steps in [vec![10, 10, 100], vec![10, 60], vec![60, 10, 100]] {
            assert_eq!(wrong(v1::StartRolloutRequest { steps, ..good.clone() }), ["steps"]);
        }
        assert_eq!(wrong(v1::StartRolloutRequest { steps: vec![0, 101], ..good.clone() }), ["steps[0]", "steps[1]"]);
        let gates = v1::RolloutGates {
            missing_sponsor_bp: Some(10_001),
            latency_p95: Some(prost_types::Duration { seconds: 0, nanos: 1 }),
            min_decisions: Some(0),
            issuance_failure_bp: Some(-1),
            ..Default::default()
        };
        assert_eq!(
            wrong(v1::StartRolloutRequest { gates: Some(gates), ..good }),
            ["gates.missing_sponsor_bp", "gates.issuance_failure_bp", "gates.latency_p95", "gates.min_decisions"]
        );
    }
}
