//! ExplainDecision: which rules matched, which nearly did, and what another version would have answered.

use countersign_client::v1;
use prost_types::{Struct, Value};
use tonic::{Code, Status};

use crate::support::{World, decide, refused};

async fn explain(world: &World, decision: &str, version: &str) -> Result<v1::ExplainDecisionResponse, Status> {
    let request =
        v1::ExplainDecisionRequest { policy_decision_id: decision.to_owned(), policy_version: version.to_owned() };
    Ok(world.rita.decisions().explain_decision(request).await?.into_inner())
}

fn reason(explained: &v1::ExplainDecisionResponse) -> (v1::DecisionReason, String, String) {
    let reason = explained.reason.clone().unwrap();
    (reason.code(), reason.message, reason.remedy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_explained_by_the_policy_that_answered() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let context = Struct { fields: [("amount_cents".to_owned(), Value::from(1.0))].into() };
    let small = v1::DecideRequest { context: Some(context), ..decide("billing", "charge") };
    let charged = run.connection.decisions().decide(small).await.unwrap().into_inner();
    let denied = run.decide("billing", "delete").await.unwrap();
    let size = world.log_size().await;

    let explained = explain(&world, &charged.policy_decision_id, "").await.unwrap();
    assert_eq!(explained.effect(), v1::Effect::Allow);
    assert_eq!(explained.matched_rule_ids, ["allow-support-billing"]);
    // It reads an amount, and what the amount was is not kept.
    assert_eq!(explained.unevaluated_rule_ids, ["no-large-charges"]);
    assert_eq!(explained.policy_version, "pv_1");
    let decision = explained.decision.unwrap();
    assert_eq!((decision.policy_decision_id, decision.reason), (charged.policy_decision_id.clone(), charged.reason));

    let explained = explain(&world, &denied.policy_decision_id, "").await.unwrap();
    let (code, message, remedy) = reason(&explained);
    assert_eq!((explained.effect(), code), (v1::Effect::Deny, v1::DecisionReason::NoMatchingRule));
    assert_eq!(message, denied.reason.unwrap().message);
    let near =
        r#"rule "allow-support-billing" would allow it, but covers the action "charge", "refund" and not "delete""#;
    assert!(explained.near_misses.contains(&near.to_owned()), "{:?}", explained.near_misses);
    assert!(remedy.starts_with(&format!("Nearest is: {near}. A policy-admin can change the policy")), "{remedy}");
    assert_eq!(world.log_size().await, size, "nothing is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_says_what_it_would_have_answered() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let (root, child) = (run.decide("billing", "refund").await.unwrap(), run.child().await);
    let child = child.decide("billing", "refund").await.unwrap();
    let version = world
        .policy(
            "rules:\n- {id: refunds, role: support, tool: billing, allowed_actions: [refund]}\n\
             - {id: not-below, effect: deny, tool: billing, when: 'principal.depth > 0 && principal.agent == \"helper\"'}\n",
        )
        .await;
    let explained = explain(&world, &root.policy_decision_id, &version).await.unwrap();
    assert_eq!(
        (explained.effect(), explained.matched_rule_ids.as_slice()),
        (v1::Effect::Allow, ["refunds".to_owned()].as_slice())
    );
    let explained = explain(&world, &child.policy_decision_id, &version).await.unwrap();
    let (code, message, remedy) = reason(&explained);
    assert_eq!((explained.effect(), code), (v1::Effect::Deny, v1::DecisionReason::DeniedByRule), "{message}");
    assert_eq!(
        (explained.policy_version, explained.matched_rule_ids),
        (version, vec!["not-below".to_owned(), "refunds".to_owned()])
    );
    assert!(remedy.starts_with(r#"Without that, rule "refunds" would allow it. "#), "{remedy}");
    assert_eq!(explained.decision.unwrap().effect(), v1::Effect::Allow, "what was decided stays that");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_policy_was_asked_about_is_said_to_be_that() {
    let world = World::start().await;
    let run = world.run_with(crate::support::issue("alice"), &["search"]).await;
    let narrow = run.decide("billing", "refund").await.unwrap();
    let forged = v1::DecideRequest { token: "no.token.at-all".to_owned(), ..decide("billing", "refund") };
    let forged = world.rita.decisions().decide(forged).await.unwrap().into_inner();
    for (answer, code, version) in [
        (&narrow, v1::DecisionReason::ToolNotGranted, ""),
        (&narrow, v1::DecisionReason::ToolNotGranted, "pv_1"),
        (&forged, v1::DecisionReason::CredentialMalformed, ""),
    ] {
        let explained = explain(&world, &answer.policy_decision_id, version).await.unwrap();
        let (said, message, remedy) = reason(&explained);
        assert_eq!((explained.effect(), said), (v1::Effect::Deny, code));
        assert!(message.ends_with("; that was refused before any policy was asked"), "{message}");
        assert!(!remedy.is_empty() && explained.matched_rule_ids.is_empty() && explained.near_misses.is_empty());
        assert_eq!(explained.policy_version, "");
    }
    let unknown = format!("dec_{}", &narrow.policy_decision_id[4..].replace('0', "1"));
    refused(explain(&world, &unknown, "").await, Code::NotFound, "NOT_FOUND");
    refused(explain(&world, &narrow.policy_decision_id, "pv_99").await, Code::NotFound, "NOT_FOUND");
    refused(explain(&world, "dec_", "latest").await, Code::InvalidArgument, "INVALID_REQUEST");
}
