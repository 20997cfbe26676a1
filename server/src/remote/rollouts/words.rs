//! A rollout in words for persons: its settings, its gates, and the calls on which its two sides differ.

use countersign_client::v1::{
    GateReading, GateVerdict, OnBreach, Rollout, RolloutComparison, RolloutGate, RolloutGates, RolloutState,
};

use crate::remote::output::{fact, facts, joined, listed, or_dash, printable, table, time, word};

pub(super) fn rows(rollouts: &[Rollout]) -> String {
    let row = |rollout: &Rollout| {
        [
            printable(&rollout.rollout_id),
            state(rollout),
            printable(&rollout.baseline),
            printable(&rollout.candidate),
            format!("{} %", rollout.percent),
            time(rollout.create_time.as_ref()),
            time(rollout.end_time.as_ref()),
        ]
    };
    let rows: Vec<_> = rollouts.iter().map(row).collect();
    let head = ["rollout", "state", "baseline", "candidate", "percent", "started", "ended"];
    listed(head, &rows, "There is no such rollout.")
}

/// All about one rollout: its settings, its gates, and where its sides disagree.
pub(super) fn all_of(rollout: &Rollout) -> String {
    let steps: Vec<_> = rollout.steps.iter().map(ToString::to_string).collect();
    let scope = rollout.scope.clone().unwrap_or_default();
    let mut labels: Vec<_> = scope.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    labels.sort_unstable();
    let soak = rollout.min_soak.as_ref().map_or_else(|| "-".to_owned(), |soak| format!("{} s", soak.seconds));
    let mut known = vec![
        fact("rollout", printable(&rollout.rollout_id)),
        fact("state", state(rollout)),
        fact("baseline", printable(&rollout.baseline)),
        fact("candidate", printable(&rollout.candidate)),
        fact("percent", rollout.percent.to_string()),
        fact("steps", joined(&steps)),
        fact("points a day", rollout.increment_per_day.to_string()),
        fact("minimum soak on a step", soak),
        fact("side by", word(rollout.sticky_key().as_str_name(), "STICKY_KEY_")),
        fact("started", time(rollout.create_time.as_ref())),
        fact("started by", or_dash(&rollout.created_by)),
        fact("percentage last changed", time(rollout.advance_time.as_ref())),
        fact("ended", time(rollout.end_time.as_ref())),
        fact("rolled back because", or_dash(&rollout.rollback_reason)),
        fact("on a breach", on_breach(rollout)),
        fact("etag", or_dash(&rollout.etag)),
    ];
    for (name, names) in [
        ("only on tools", &scope.tools),
        ("only of roles", &scope.roles),
        ("only of sponsors", &scope.sponsors),
        ("only with labels", &labels),
    ] {
        if !names.is_empty() {
            known.push(fact(name, joined(names)));
        }
    }
    let gates: Vec<_> = rollout.gate_readings.iter().map(gate).collect();
    let gates = if gates.is_empty() {
        "No gate has a reading yet.\n".to_owned()
    } else {
        table(["gate", "says", "seen", "samples", "missing", "read at"], &gates)
    };
    let waiting = rollout.gate_readings.iter().filter(|reading| reading.verdict() != GateVerdict::Pass);
    let waiting = waiting.map(|reading| &reading.message).filter(|message| !message.is_empty());
    let said: String = waiting.chain(&rollout.notices).map(|said| printable(said) + "\n").collect();
    format!("{}\n{gates}{said}\n{}", facts(&known), rollout.comparison.as_ref().map(comparison).unwrap_or_default())
}

fn state(rollout: &Rollout) -> String {
    let known = |state: RolloutState| word(state.as_str_name(), "ROLLOUT_STATE_");
    RolloutState::try_from(rollout.state).map_or_else(|_| rollout.state.to_string(), known)
}

fn on_breach(rollout: &Rollout) -> String {
    match rollout.gates.as_ref().map(RolloutGates::on_breach) {
        Some(OnBreach::Pause) => "pause".to_owned(),
        Some(OnBreach::Rollback | OnBreach::Unspecified) | None => "roll back".to_owned(),
    }
}

fn gate(reading: &GateReading) -> [String; 6] {
    let gate = RolloutGate::try_from(reading.gate)
        .map_or_else(|_| reading.gate.to_string(), |gate| word(gate.as_str_name(), "ROLLOUT_GATE_"));
    let verdict = GateVerdict::try_from(reading.verdict)
        .map_or_else(|_| reading.verdict.to_string(), |verdict| word(verdict.as_str_name(), "GATE_VERDICT_"));
    let seen = match (reading.observed_bp, &reading.observed_latency_p95) {
        (Some(points), _) => format!("{}.{:02} %", points / 100, points % 100),
        (None, Some(latency)) => format!("{} ms", latency.seconds * 1000 + i64::from(latency.nanos / 1_000_000)),
        (None, None) => "-".to_owned(),
    };
    let (samples, missing) = (reading.sample_count.to_string(), reading.missing_count.to_string());
    [gate, verdict, seen, samples, missing, time(reading.evaluate_time.as_ref())]
}

fn comparison(comparison: &RolloutComparison) -> String {
    let mut said = format!(
        "Of {} calls that both sides evaluated, only the candidate allows {}, and only the baseline {}.\n",
        comparison.compared, comparison.new_allows, comparison.new_denies
    );
    let row = |name: String, allows: i64, denies: i64| [name, allows.to_string(), denies.to_string()];
    let rule = |id: &str| if id.is_empty() { "(no rule)".to_owned() } else { printable(id) };
    let mut rows: Vec<_> =
        comparison.rules.iter().map(|of| row(rule(&of.rule_id), of.new_allows, of.new_denies)).collect();
    rows.extend(comparison.other_rules.iter().map(|of| row("(other rules)".to_owned(), of.new_allows, of.new_denies)));
    if !rows.is_empty() {
        said += &table(["rule", "only candidate allows", "only baseline allows"], &rows);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_percentage_and_a_latency_milliseconds() {
        let rate = GateReading { observed_bp: Some(105), ..GateReading::default() };
        assert_eq!(gate(&rate)[2], "1.05 %");
        let latency = prost_types::Duration { seconds: 1, nanos: 5_000_000 };
        let late = GateReading { observed_latency_p95: Some(latency), ..GateReading::default() };
        assert_eq!(gate(&late)[2], "1005 ms");
        assert_eq!(gate(&GateReading::default())[2], "-");
    }
}
