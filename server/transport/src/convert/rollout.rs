//! Rollouts.

use std::mem;

use countersign_app::{AdvanceRollout, Caller, Error, RollbackRollout, RolloutFilter, StartRollout};
use countersign_core::{
    ids::RolloutId,
    names::{RoleName, SponsorId, ToolId},
    operator::{OperatorRole, Roles},
    rollout::{Gates, Rollout, Scope},
    text::MAX_TEXT,
};
use countersign_proto::v1;

use super::{
    idempotency::Idem,
    narrow,
    page::Paging,
    read, text, texts,
    time::{milliseconds, seconds, timestamp},
    violations::Violations,
    words::Word,
};

/// Most steps of a rollout: one for each percent.
const MAX_STEPS: usize = 100;
/// Most names in one list of a scope.
const MAX_SCOPE: usize = 100;
/// Longest minimum soak, seconds.
const MAX_SOAK: i64 = 30 * 24 * 3600;
/// All of it, basis points.
const WHOLE_BP: i64 = 10_000;
/// Highest latency threshold, milliseconds: no decision takes longer than this.
const MAX_LATENCY_MS: u32 = 60_000;
/// Sliding window of the gates, seconds.
const WINDOW: std::ops::RangeInclusive<i64> = 10..=3600;
/// Who may read a salt.
const SALT_READERS: Roles = Roles::of(&[OperatorRole::Gate, OperatorRole::PolicyAdmin, OperatorRole::Auditor]);

pub(crate) fn start(mut request: v1::StartRolloutRequest) -> Result<(StartRollout, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("StartRollout", request_id, &request);
        let baseline = v.optional("baseline", &request.baseline);
        let candidate = v.required("candidate", &request.candidate);
        let percent = request.percent.map(|percent| v.number("percent", percent, 0..=99));
        let sticky_key = v.optional_word("sticky_key", request.sticky_key);
        let steps = steps(v, &request.steps);
        let increment = v.number("increment_per_day", request.increment_per_day, 0..=100);
        let gates = request.gates.map(|wire| v.within("gates", |v| gates(v, wire)));
        let min_soak_seconds = v.seconds("min_soak", request.min_soak, 0..=MAX_SOAK);
        let scope = request.scope.map(|wire| v.within("scope", |v| scope(v, wire)));
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let start = StartRollout {
            baseline: baseline?,
            candidate: candidate?,
            percent: percent.flatten(),
            sticky_key: sticky_key?.unwrap_or_default(),
            steps: steps?,
            increment_per_day: Some(increment?).filter(|points| *points > 0),
            gates: gates.flatten().unwrap_or_default(),
            min_soak_seconds: min_soak_seconds?,
            scope: scope.flatten().unwrap_or_default(),
            reason: reason?,
        };
        Some((start, idem?))
    })
}

/// Rising percentages up to 100; empty: the default ones.
fn steps(v: &mut Violations, steps: &[i32]) -> Option<Vec<u32>> {
    v.counted("steps", steps.len(), 0..=MAX_STEPS)?;
    let read: Vec<_> =
        steps.iter().enumerate().map(|(nth, step)| v.number(&format!("steps[{nth}]"), *step, 1..=100)).collect();
    let read: Vec<u32> = read.into_iter().collect::<Option<_>>()?;
    if read.is_empty() || (read.is_sorted_by(|a, b| a < b) && read.last() == Some(&100)) {
        return Some(read);
    }
    v.refuse("steps", "must rise, each above the one before, and end with 100");
    None
}

/// The thresholds, those that are absent by default.
fn gates(v: &mut Violations, wire: v1::RolloutGates) -> Option<Gates> {
    let default = Gates::default();
    let mut basis_points = |field: &str, rate: Option<i32>| rate.map(|rate| v.number(field, rate, 0..=WHOLE_BP));
    let missing_sponsor = basis_points("missing_sponsor_bp", wire.missing_sponsor_bp);
    let policy_error = basis_points("policy_error_bp", wire.policy_error_bp);
    let latency = v.milliseconds("latency_p95", wire.latency_p95, MAX_LATENCY_MS);
    let window = v.seconds("window", wire.window, WINDOW);
    let min_decisions = wire.min_decisions.map(|count| v.number("min_decisions", count, 1..=i32::MAX.into()));
    let on_breach = v.optional_word("on_breach", wire.on_breach);
    if wire.issuance_failure_bp.is_some() {
        v.refuse("issuance_failure_bp", "is a gate that this server does not have yet; leave it out");
    }
    Some(Gates {
        missing_sponsor_bp: missing_sponsor.unwrap_or(Some(default.missing_sponsor_bp))?,
        policy_error_bp: policy_error.unwrap_or(Some(default.policy_error_bp))?,
        latency_p95_ms: latency?.unwrap_or(default.latency_p95_ms),
        window_seconds: window?.unwrap_or(default.window_seconds),
        min_decisions: min_decisions.unwrap_or(Some(default.min_decisions))?,
        on_breach: on_breach?.unwrap_or(default.on_breach),
    })
}

fn scope(v: &mut Violations, wire: v1::RolloutScope) -> Option<Scope> {
    let tools = v.list::<ToolId>("tools", &wire.tools, 0..=MAX_SCOPE);
    let roles = v.list::<RoleName>("roles", &wire.roles, 0..=MAX_SCOPE);
    let sponsors = v.list::<SponsorId>("sponsors", &wire.sponsors, 0..=MAX_SCOPE);
    let labels = v.labels(wire.labels);
    Some(Scope { tools: texts(tools?), roles: texts(roles?), sponsors: texts(sponsors?), labels: labels? })
}

pub(crate) fn get(request: &v1::GetRolloutRequest) -> Result<RolloutId, Error> {
    read(|v| v.required("rollout_id", &request.rollout_id))
}

pub(crate) fn list(mut request: v1::ListRolloutsRequest) -> Result<(RolloutFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListRollouts", size, &token, &request);
        let state = v.optional_word("state", request.state);
        let candidate = v.optional("candidate", &request.candidate);
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        let filter =
            RolloutFilter { state: state?, candidate: candidate?, start_time: start_time?, end_time: end_time? };
        Some((filter, paging?))
    })
}

pub(crate) fn advance(mut request: v1::AdvanceRolloutRequest) -> Result<(AdvanceRollout, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("AdvanceRollout", request_id, &request);
        let rollout_id = v.required("rollout_id", &request.rollout_id);
        let percent = v.number("percent", request.percent, 0..=100);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        let advance = AdvanceRollout {
            rollout_id: rollout_id?,
            percent: Some(percent?).filter(|percent| *percent > 0),
            reason: reason?,
            force: request.force,
            etag: etag?,
        };
        Some((advance, idem?))
    })
}

pub(crate) fn rollback(mut request: v1::RollbackRolloutRequest) -> Result<(RollbackRollout, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RollbackRollout", request_id, &request);
        let rollout_id = v.required("rollout_id", &request.rollout_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let etag = v.etag(request.etag);
        Some((RollbackRollout { rollout_id: rollout_id?, reason: reason?, etag: etag? }, idem?))
    })
}

/// How much of a rollout a caller may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    salt: bool,
}

impl Sight {
    /// What `caller` may read. An agent that knew the salt could pick an id on the side it likes.
    pub(crate) fn of(caller: &Caller) -> Self {
        Self { salt: caller.operator().is_some_and(|operator| operator.roles.meets(SALT_READERS)) }
    }
}

pub(crate) fn rollout(rollout: &Rollout, sight: Sight) -> v1::Rollout {
    v1::Rollout {
        rollout_id: rollout.rollout_id.to_string(),
        baseline: rollout.baseline.to_string(),
        candidate: rollout.candidate.to_string(),
        percent: narrow(rollout.percent),
        sticky_key: rollout.sticky_key.to_wire(),
        state: rollout.state.to_wire(),
        steps: rollout.steps.iter().copied().map(narrow).collect(),
        increment_per_day: rollout.increment_per_day.map_or(0, narrow),
        gates: Some(gates_of(&rollout.gates)),
        min_soak: Some(seconds(rollout.min_soak_seconds)),
        scope: Some(scope_of(&rollout.scope)),
        create_time: Some(timestamp(rollout.create_time)),
        advance_time: Some(timestamp(rollout.advance_time)),
        rollback_reason: rollout.rollback_reason.clone().unwrap_or_default(),
        salt: if sight.salt { rollout.salt.to_vec() } else { Vec::new() },
        etag: rollout.etag(),
        gate_readings: Vec::new(),
        comparison: None,
        created_by: text(rollout.created_by.as_ref()),
        end_time: rollout.end_time.map(timestamp),
    }
}

fn gates_of(gates: &Gates) -> v1::RolloutGates {
    v1::RolloutGates {
        missing_sponsor_bp: Some(narrow(gates.missing_sponsor_bp)),
        policy_error_bp: Some(narrow(gates.policy_error_bp)),
        latency_p95: Some(milliseconds(gates.latency_p95_ms)),
        window: Some(seconds(gates.window_seconds)),
        min_decisions: Some(narrow(gates.min_decisions)),
        on_breach: gates.on_breach.to_wire(),
        issuance_failure_bp: None,
    }
}

fn scope_of(scope: &Scope) -> v1::RolloutScope {
    v1::RolloutScope {
        tools: scope.tools.clone(),
        roles: scope.roles.clone(),
        sponsors: scope.sponsors.clone(),
        labels: scope.labels.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use countersign_app::OperatorCaller;
    use countersign_core::rollout::{Baseline, RolloutState, StickyKey};
    use time::OffsetDateTime;

    use super::*;

    pub(crate) fn with_salt() -> Sight {
        Sight { salt: true }
    }

    pub(crate) fn without_salt() -> Sight {
        Sight { salt: false }
    }

    pub(crate) fn an_open_rollout() -> Rollout {
        Rollout {
            rollout_id: "roll_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            baseline: Baseline::Observe,
            candidate: "pv_1".parse().unwrap(),
            percent: 10,
            sticky_key: StickyKey::RootInstance,
            state: RolloutState::Running,
            steps: vec![10, 30, 60, 100],
            increment_per_day: Some(2),
            gates: Gates::default(),
            min_soak_seconds: 86_400,
            scope: Scope::default(),
            salt: [7; 32],
            create_time: OffsetDateTime::UNIX_EPOCH,
            advance_time: OffsetDateTime::UNIX_EPOCH,
            rollback_reason: None,
            revision: 1,
            created_by: None,
            end_time: None,
        }
    }

    #[test]
    fn only_gate_policy_admin_and_auditor_see_a_salt() {
        for role in OperatorRole::ALL {
            let caller = Caller::Operator(OperatorCaller {
                operator_id: "olga".parse().unwrap(),
                roles: Roles::of(&[role]),
                anonymous: false,
            });
            let may = matches!(role, OperatorRole::Gate | OperatorRole::PolicyAdmin | OperatorRole::Auditor);
            assert_eq!(!rollout(&an_open_rollout(), Sight::of(&caller)).salt.is_empty(), may, "{role}");
        }
    }

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
            issuance_failure_bp: Some(50),
            ..Default::default()
        };
        assert_eq!(
            wrong(v1::StartRolloutRequest { gates: Some(gates), ..good }),
            ["gates.missing_sponsor_bp", "gates.latency_p95", "gates.min_decisions", "gates.issuance_failure_bp"]
        );
    }
}
