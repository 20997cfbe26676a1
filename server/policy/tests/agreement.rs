//! The index and one policy at a time answer exactly as Cedar does over the whole set.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod random;

use std::sync::Arc;

use cedar_policy::{Authorizer, Decision, Entities, EntityUid, PolicyId, PolicySet, Request as CedarRequest};
use countersign_core::decision::{Effect, Reason};
use countersign_policy::CompiledPolicy;
use proptest::prelude::*;
use random::{Call, answer, call, document};
use serde_json::json;

/// The answer of plain Cedar over the whole set, from Cedar's own text and JSON forms.
fn plain_answer(cedar: &str, call: &Call) -> (Effect, Reason, Vec<String>) {
    let parsed: PolicySet = cedar.parse().unwrap();
    let set = PolicySet::from_policies(
        parsed.policies().map(|policy| policy.new_id(PolicyId::new(policy.annotation("id").unwrap()))),
    )
    .unwrap();
    let instance = json!([{
        "uid": {"type": "Instance", "id": call.instance},
        "attrs": {
            "agent_instance_id": call.instance, "root_instance_id": "i0", "sponsor_id": call.sponsor, "agent": "assistant",
            "role": call.role, "depth": call.depth, "purpose": "p", "tools": call.tools,
        },
        "parents": [{"type": "Role", "id": call.role}],
        "tags": call.labels,
    }]);
    let entities = Entities::from_json_value(instance, None).unwrap();
    let uid = |kind: &str, id: &str| -> EntityUid { format!("{kind}::{id:?}").parse().unwrap() };
    let mut context = call.context.clone();
    context["purpose"] = call.purpose.into();
    let request = CedarRequest::new(
        uid("Instance", call.instance),
        uid("Action", call.action),
        uid("Tool", call.tool),
        cedar_policy::Context::from_json_value(context, None).unwrap(),
        None,
    )
    .unwrap();
    let response = Authorizer::new().is_authorized(&request, &set, &entities);
    let sorted = |ids: Vec<&PolicyId>| {
        let mut ids: Vec<String> = ids.into_iter().map(ToString::to_string).collect();
        ids.sort();
        ids
    };
    let failed = response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    });
    let failed = sorted(failed.collect());
    let (asking, plain): (Vec<_>, Vec<_>) =
        response.diagnostics().reason().partition(|id| set.annotation(id, "require_approval").is_some());
    match response.decision() {
        _ if !failed.is_empty() => (Effect::Deny, Reason::PolicyError, failed),
        Decision::Deny if plain.is_empty() => (Effect::Deny, Reason::NoMatchingRule, Vec::new()),
        Decision::Deny => (Effect::Deny, Reason::DeniedByRule, sorted(plain)),
        Decision::Allow if asking.is_empty() => (Effect::Allow, Reason::AllowedByRule, sorted(plain)),
        Decision::Allow => (Effect::RequireApproval, Reason::ApprovalRequired, sorted(asking)),
    }
}

proptest! {
    // PROPTEST_CASES=100000 for a long search.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_as_cedar_does_over_the_whole_set(
        (document, cedar) in document(),
        calls in prop::collection::vec(call(), 1..24),
    ) {
        let policy = CompiledPolicy::load_stored(&document, &cedar).unwrap_or_else(|error| panic!("{document}\n{cedar}\n{error}"));
        let text = policy.to_cedar();
        for call in &calls {
            let answer = answer(&policy, call);
            let rule_ids: Vec<String> = answer.rule_ids.iter().map(<Arc<str>>::to_string).collect();
            prop_assert_eq!((answer.effect, answer.reason, rule_ids), plain_answer(&text, call), "{:?}\n{}", call, text);
            prop_assert!(!answer.cacheable || answer.effect == Effect::Allow);
        }
    }

    /// What may be cached holds for every other context and purpose of the same caller.
    #[test]
    fn a_cacheable_allowance_does_not_depend_on_the_context((document, cedar) in document(), first in call(), other in call()) {
        let policy = CompiledPolicy::load_stored(&document, &cedar).unwrap();
        if answer(&policy, &first).cacheable {
            let again = Call { context: other.context, purpose: other.purpose, ..first };
            prop_assert_eq!(answer(&policy, &again).effect, Effect::Allow);
        }
    }
}
