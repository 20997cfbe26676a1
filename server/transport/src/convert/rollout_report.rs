//! Conversion of answers about rollouts, and who may read what in them: the salt (`SALT_READERS`); the readings of
//! gates and the comparison (operators only). The requests are in [`super::rollout`].

use countersign_app::{Caller, RolloutReport};
use countersign_core::{
    operator::{OperatorRole, Roles},
    rollout::{Comparison, Gate, Gates, KeptReading, RuleComparison, Scope},
};
use countersign_proto::v1;

use super::{
    enums::WireEnum,
    narrow, text,
    time::{microseconds, milliseconds, seconds, timestamp},
    wide,
};

/// The roles that may read a salt.
const SALT_READERS: Roles = Roles::of(&[OperatorRole::Gate, OperatorRole::PolicyAdmin, OperatorRole::Auditor]);

/// How much of a rollout a caller may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RolloutVisibility {
    salt: bool,
    figures: bool,
}

impl RolloutVisibility {
    /// What `caller` may read. An agent that knew the salt could choose an id on the side it prefers. The readings of
    /// gates and the rules that differ are for operators, with any role.
    pub(crate) fn of(caller: &Caller) -> Self {
        let operator = caller.operator();
        Self { salt: operator.is_some_and(|operator| operator.roles.meets(SALT_READERS)), figures: operator.is_some() }
    }
}

pub(crate) fn rollout(report: &RolloutReport, visibility: RolloutVisibility) -> v1::Rollout {
    let rollout = &report.rollout;
    let last_enrolled = report.comparison.enrolment.and_then(|enrolment| enrolment.last);
    v1::Rollout {
        rollout_id: rollout.rollout_id.to_string(),
        baseline: rollout.baseline.to_string(),
        candidate: rollout.candidate.to_string(),
        percent: rollout.percent.into(),
        sticky_key: rollout.sticky_key.to_wire(),
        state: rollout.state.to_wire(),
        steps: rollout.steps.iter().copied().map(Into::into).collect(),
        increment_per_day: rollout.increment_per_day.map_or(0, Into::into),
        gates: Some(gates_of(&rollout.gates)),
        min_soak: Some(seconds(rollout.min_soak_seconds)),
        scope: Some(scope_of(&rollout.scope)),
        create_time: Some(timestamp(rollout.create_time)),
        advance_time: Some(timestamp(rollout.advance_time)),
        rollback_reason: rollout.rollback_reason.clone().unwrap_or_default(),
        salt: if visibility.salt { rollout.salt.to_vec() } else { Vec::new() },
        etag: rollout.etag(),
        gate_readings: if visibility.figures { report.readings.iter().map(reading).collect() } else { Vec::new() },
        comparison: visibility.figures.then(|| comparison(&report.comparison)),
        created_by: text(rollout.created_by.as_ref()),
        end_time: rollout.end_time.map(timestamp),
        enrolled_calls: if visibility.figures { wide(report.comparison.enrolled) } else { 0 },
        last_enrolled_time: last_enrolled.filter(|_| visibility.figures).map(timestamp),
        notices: if visibility.figures { report.notices.clone() } else { Vec::new() },
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
        issuance_failure_bp: gates.issuance_failure_bp.map(narrow),
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

fn reading(KeptReading { reading, evaluate_time }: &KeptReading) -> v1::GateReading {
    let latency = reading.gate == Gate::LatencyP95;
    v1::GateReading {
        gate: reading.gate.to_wire(),
        verdict: reading.verdict.to_wire(),
        observed_bp: reading.observed.filter(|_| !latency).map(narrow),
        observed_latency_p95: reading.observed.filter(|_| latency).map(microseconds),
        sample_count: wide(reading.samples),
        evaluate_time: Some(timestamp(*evaluate_time)),
        span: (reading.span_seconds > 0).then(|| seconds(reading.span_seconds)),
        needed_count: wide(reading.needed),
        missing_count: wide(reading.missing()),
        waiting_will_not_help: reading.waits_in_vain(),
        message: reading.to_string(),
    }
}

fn comparison(comparison: &Comparison) -> v1::RolloutComparison {
    let other = &comparison.other_rules;
    v1::RolloutComparison {
        compared: wide(comparison.compared),
        new_allows: wide(comparison.new_allows),
        new_denies: wide(comparison.new_denies),
        rules: comparison.rules.iter().map(rule).collect(),
        other_rules: (other.total() > 0).then(|| rule(other)),
    }
}

fn rule(rule: &RuleComparison) -> v1::RuleComparison {
    v1::RuleComparison {
        rule_id: rule.rule_id.clone(),
        new_allows: wide(rule.new_allows),
        new_denies: wide(rule.new_denies),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use countersign_app::OperatorCaller;
    use countersign_core::rollout::{
        Baseline, DEFAULT_STEPS, Enrolment, Figures, Percent, Rollout, RolloutState, Seen, StickyKey,
    };
    use time::OffsetDateTime;

    use super::*;

    pub(crate) fn of_an_operator() -> RolloutVisibility {
        RolloutVisibility { salt: true, figures: true }
    }

    pub(crate) fn of_an_instance() -> RolloutVisibility {
        RolloutVisibility { salt: false, figures: false }
    }

    pub(crate) fn an_open_rollout() -> RolloutReport {
        let rollout = Rollout {
            rollout_id: "roll_01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            baseline: Baseline::Observe,
            candidate: "pv_1".parse().unwrap(),
            percent: Percent::of::<10>(),
            sticky_key: StickyKey::RootInstance,
            state: RolloutState::Running,
            steps: DEFAULT_STEPS.to_vec(),
            increment_per_day: Some(Percent::of::<2>()),
            gates: Gates::default(),
            min_soak_seconds: 86_400,
            scope: Scope::default(),
            salt: [7; 32],
            create_time: OffsetDateTime::UNIX_EPOCH,
            advance_time: OffsetDateTime::UNIX_EPOCH,
            gates_since: OffsetDateTime::UNIX_EPOCH,
            person_percent: Percent::of::<10>(),
            rollback_reason: None,
            revision: 1,
            created_by: None,
            end_time: None,
        };
        let figures = Figures { decisions: 200, missing_sponsor: 1, latency_p95_us: Some(1_500), ..Figures::default() };
        let readings = rollout
            .gates
            .read(&Seen::window(figures, 300))
            .into_iter()
            .map(|reading| KeptReading { reading, evaluate_time: OffsetDateTime::UNIX_EPOCH });
        let rule = RuleComparison { rule_id: "a".to_owned(), new_allows: 2, new_denies: 3 };
        let comparison = Comparison {
            compared: 9,
            enrolled: 4,
            enrolment: Some(Enrolment { since: rollout.create_time, last: Some(rollout.create_time) }),
            new_allows: 2,
            new_denies: 3,
            rules: vec![rule],
            other_rules: RuleComparison::default(),
        };
        RolloutReport { readings: readings.collect(), comparison, notices: vec!["Known.".to_owned()], rollout }
    }

    #[test]
    fn only_gate_policy_admin_and_auditor_see_a_salt() {
        for role in OperatorRole::ALL {
            let caller = Caller::Operator(OperatorCaller {
                operator_id: "olga".parse().unwrap(),
                roles: Roles::of(&[role]),
                anonymous: false,
                scope: None,
            });
            let may = matches!(role, OperatorRole::Gate | OperatorRole::PolicyAdmin | OperatorRole::Auditor);
            assert_eq!(!rollout(&an_open_rollout(), RolloutVisibility::of(&caller)).salt.is_empty(), may, "{role}");
        }
    }

    #[test]
    fn readings_and_comparison_are_told_to_operators_only() {
        let told = rollout(&an_open_rollout(), of_an_operator());
        let [sponsor, policy, latency] = &told.gate_readings[..] else { panic!("{:?}", told.gate_readings) };
        assert_eq!((sponsor.gate(), sponsor.verdict()), (v1::RolloutGate::MissingSponsor, v1::GateVerdict::Fail));
        assert_eq!((sponsor.observed_bp, sponsor.observed_latency_p95, sponsor.sample_count), (Some(50), None, 200));
        assert_eq!((policy.verdict(), policy.observed_bp), (v1::GateVerdict::Inconclusive, None));
        let p95 = prost_types::Duration { seconds: 0, nanos: 1_500_000 };
        assert_eq!((latency.observed_bp, latency.observed_latency_p95), (None, Some(p95)));
        assert_eq!((sponsor.span, sponsor.missing_count), (Some(seconds(300)), 0));
        assert_eq!((policy.needed_count, policy.missing_count, policy.waiting_will_not_help), (100, 100, false));
        assert!(policy.message.contains("needs 100 more evaluations of the candidate"), "{}", policy.message);
        assert_eq!((told.enrolled_calls, told.notices.len()), (4, 1));
        assert!(told.last_enrolled_time.is_some());
        let comparison = told.comparison.unwrap();
        assert_eq!((comparison.compared, comparison.rules.len(), comparison.other_rules), (9, 1, None));

        let told = rollout(&an_open_rollout(), of_an_instance());
        assert_eq!((told.gate_readings.len(), told.comparison, told.salt.len()), (0, None, 0));
        assert_eq!((told.enrolled_calls, told.last_enrolled_time, told.notices.len()), (0, None, 0));
    }
}
