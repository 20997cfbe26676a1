//! Conversion of simulations: either a version or a document, and how many differences one message of the stream holds
//! (`MESSAGE_BYTES`).

use countersign_app::{Error, PolicyDifference, SimulatePolicy, SimulatedPolicy, SimulationPiece};
use countersign_proto::v1;

use super::{
    enums::WireEnum,
    read, texts,
    time::timestamp,
    violations::{Refused, Violations},
};

/// Approximate limit of the differences in one message, in bytes: clients accept 4 MiB by default.
const MESSAGE_BYTES: usize = 1 << 20;
/// Approximate limit of one difference without its rule ids, in bytes.
const DIFFERENCE_BYTES: usize = 512;

pub(crate) fn simulate(request: v1::SimulatePolicyRequest) -> Result<SimulatePolicy, Error> {
    read(|v| {
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        let sponsor_id = v.optional("sponsor_id", &request.sponsor_id);
        let agent_instance_id = v.optional("agent_instance_id", &request.agent_instance_id);
        let tool_id = v.optional("tool_id", &request.tool_id);
        let policy = policy(v, &request.version, request.document, request.cedar);
        Ok(SimulatePolicy {
            policy: policy?,
            start_time: start_time?,
            end_time: end_time?,
            sponsor_id: sponsor_id?,
            agent_instance_id: agent_instance_id?,
            tool_id: tool_id?,
        })
    })
}

fn policy(v: &mut Violations, version: &str, document: String, cedar: String) -> Result<SimulatedPolicy, Refused> {
    if document.is_empty() && cedar.is_empty() {
        return v.required("version", version).map(SimulatedPolicy::Version);
    }
    if !version.is_empty() {
        return Err(v.refuse("version", "must be empty if a document is sent: only one of them is simulated"));
    }
    Ok(SimulatedPolicy::Document { document, cedar })
}

/// A piece in messages that clients accept: more than one message only if it has many differences.
pub(crate) fn messages(piece: SimulationPiece) -> Vec<v1::SimulatePolicyResponse> {
    let message = |differences, done| v1::SimulatePolicyResponse {
        evaluated: piece.counts.evaluated,
        different: piece.counts.different,
        differences,
        new_allows: piece.counts.new_allows,
        new_denies: piece.counts.new_denies,
        inconclusive: piece.counts.inconclusive,
        done,
        not_asked: piece.counts.not_asked,
        reached_time: Some(timestamp(piece.reached)),
    };
    let (mut messages, mut differences, mut bytes) = (Vec::new(), Vec::new(), 0);
    for found in piece.differences {
        bytes += size(&found);
        differences.push(difference(found));
        if bytes >= MESSAGE_BYTES {
            messages.push(message(std::mem::take(&mut differences), false));
            bytes = 0;
        }
    }
    messages.push(message(differences, piece.done));
    messages
}

fn size(difference: &PolicyDifference) -> usize {
    let recorded: usize = difference.recorded_rule_ids.iter().map(String::len).sum();
    let simulated: usize = difference.simulated_rule_ids.iter().map(|id| id.len()).sum();
    DIFFERENCE_BYTES + recorded + simulated
}

fn difference(difference: PolicyDifference) -> v1::PolicyDifference {
    v1::PolicyDifference {
        policy_decision_id: difference.policy_decision_id.to_string(),
        recorded_effect: difference.recorded_effect.to_wire(),
        simulated_effect: difference.simulated_effect.to_wire(),
        simulated_reason: difference.simulated_reason.to_wire(),
        recorded_rule_ids: difference.recorded_rule_ids,
        simulated_rule_ids: texts(difference.simulated_rule_ids),
        sponsor_id: difference.sponsor_id.to_string(),
        agent_instance_id: difference.agent_instance_id.to_string(),
        recorded_reason: difference.recorded_reason.to_wire(),
        tool_id: difference.tool_id.to_string(),
        action: difference.action.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use countersign_app::SimulationCounts;
    use countersign_core::{
        clock::{SystemEntropy, uuid_v7},
        decision::{Effect, Reason},
        ids::{DecisionId, InstanceId},
    };
    use prost::Message as _;
    use time::OffsetDateTime;

    use super::*;

    fn asked(version: &str, document: &str) -> Result<SimulatePolicy, Error> {
        simulate(v1::SimulatePolicyRequest {
            version: version.to_owned(),
            document: document.to_owned(),
            ..Default::default()
        })
    }

    #[test]
    fn a_version_or_a_document_is_simulated_and_never_both() {
        assert!(matches!(asked("pv_3", "").unwrap().policy, SimulatedPolicy::Version(version) if version.0 == 3));
        assert!(matches!(asked("", "rules: []").unwrap().policy, SimulatedPolicy::Document { .. }));
        for (version, document) in [("", ""), ("three", ""), ("pv_3", "rules: []")] {
            let Err(Error::Invalid(found)) = asked(version, document) else { panic!("{version} {document}") };
            assert_eq!(found[0].field, "version");
        }
    }

    #[test]
    fn a_large_piece_is_cut_into_messages_that_clients_take() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let found = PolicyDifference {
            policy_decision_id: DecisionId(uuid_v7(at, &SystemEntropy)),
            recorded_effect: Effect::Allow,
            recorded_reason: Reason::AllowedByRule,
            recorded_rule_ids: vec!["r".repeat(128); 64],
            simulated_effect: Effect::Deny,
            simulated_reason: Reason::NoMatchingRule,
            simulated_rule_ids: vec!["s".repeat(64).into(); 64],
            sponsor_id: "a".repeat(64).parse().unwrap(),
            agent_instance_id: InstanceId(uuid_v7(at, &SystemEntropy)),
            tool_id: "t".repeat(64).parse().unwrap(),
            action: "c".repeat(64).parse().unwrap(),
        };
        let piece = SimulationPiece {
            counts: SimulationCounts { different: 1_000, ..SimulationCounts::default() },
            differences: vec![found; 1_000],
            reached: at,
            done: true,
        };
        let messages = messages(piece);
        assert!(messages.iter().all(|message| message.encoded_len() < 2 << 20 && message.different == 1_000));
        assert_eq!(messages.iter().map(|message| message.differences.len()).sum::<usize>(), 1_000);
        let done: Vec<_> = messages.iter().map(|message| message.done).collect();
        assert_eq!(done.iter().filter(|done| **done).count(), 1);
        assert_eq!(done.last(), Some(&true));
    }
}
