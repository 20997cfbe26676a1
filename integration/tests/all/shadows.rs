//! What the side of a rollout that did not answer would have answered: told to gates and in the record, and to no agent.

use countersign_client::v1;

use crate::{
    support::{World, decide, document},
    watched::of_run,
};

async fn start(world: &World, request: v1::StartRolloutRequest) -> v1::Rollout {
    let request = v1::StartRolloutRequest { reason: "try it".to_owned(), ..request };
    world.rita.rollouts().start_rollout(request).await.unwrap().into_inner().rollout.unwrap()
}

async fn recorded(world: &World, id: &str) -> v1::Decision {
    let request = v1::GetDecisionRequest { policy_decision_id: id.to_owned() };
    world.oscar.decisions().get_decision(request).await.unwrap().into_inner().decision.unwrap()
}

async fn listed(world: &World, request: v1::ListDecisionsRequest) -> Vec<String> {
    let page = world.oscar.decisions().list_decisions(request).await.unwrap().into_inner();
    page.decisions.into_iter().map(|decision| decision.policy_decision_id).collect()
}

fn reason(shadow: &v1::ShadowAnswer) -> v1::DecisionReason {
    shadow.reason.as_ref().unwrap().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_sides_answer_is_told_to_gates_and_in_records_and_not_to_agents() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let candidate = world.policy(&document("charge, probe")).await;
    start(&world, v1::StartRolloutRequest { candidate: candidate.clone(), percent: Some(0), ..Default::default() })
        .await;

    let question = v1::DecideRequest { request_id: "once".to_owned(), ..of_run(&run.token, "refund") };
    let answer = world.rita.decisions().decide(question.clone()).await.unwrap().into_inner();
    assert_eq!((answer.effect(), answer.policy_version.as_str()), (v1::Effect::Allow, "pv_1"));
    let shadow = answer.shadow.unwrap();
    assert_eq!((shadow.effect(), reason(&shadow)), (v1::Effect::Deny, v1::DecisionReason::NoMatchingRule));
    assert_eq!((shadow.policy_version.as_str(), shadow.rule_ids.len()), (candidate.as_str(), 0));
    assert_eq!(shadow.reason.as_ref().unwrap().message, "no rule allows refund on billing for this role");
    let again = world.rita.decisions().decide(question).await.unwrap().into_inner();
    assert_eq!((again.replayed, again.shadow.as_ref()), (true, Some(&shadow)));

    // The run itself learns nothing of it, one call or several.
    let own = run.decide("billing", "refund").await.unwrap();
    let request = v1::BatchDecideRequest { requests: vec![decide("billing", "charge")], ..Default::default() };
    let batch = run.connection.decisions().batch_decide(request).await.unwrap().into_inner().responses;
    assert!(own.shadow.is_none() && batch[0].shadow.is_none());

    // The record has it, whoever asked.
    for id in [&answer.policy_decision_id, &own.policy_decision_id] {
        let decision = recorded(&world, id).await;
        assert_eq!((decision.shadow.as_ref(), decision.shadow_effect()), (Some(&shadow), v1::Effect::Deny));
    }
    let newly_allowed = recorded(&world, &batch[0].policy_decision_id).await.shadow.unwrap();
    assert_eq!(
        (newly_allowed.effect(), newly_allowed.rule_ids.as_slice()),
        (v1::Effect::Allow, &["support-billing".to_owned()][..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_listed_by_what_the_other_side_would_have_answered() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let before = run.decide("billing", "refund").await.unwrap();
    let candidate = world.policy(&document("charge, probe")).await;
    let rollout = start(&world, v1::StartRolloutRequest { candidate, percent: Some(0), ..Default::default() }).await;
    let mut ids = Vec::new();
    for action in ["refund", "charge", "probe", "close"] {
        ids.push(run.decide("billing", action).await.unwrap().policy_decision_id);
    }
    let [refund, charge, probe, close] = [0, 1, 2, 3].map(|nth: usize| ids[nth].as_str());
    let of = |request: v1::ListDecisionsRequest| listed(&world, request);
    let disagree = v1::ListDecisionsRequest { shadow_disagrees: true, ..Default::default() };
    assert_eq!(of(disagree.clone()).await, [probe, charge, refund], "refund is newly denied, the others newly allowed");
    let answering =
        |effect: v1::Effect| v1::ListDecisionsRequest { shadow_effect: effect.into(), ..Default::default() };
    assert_eq!(of(answering(v1::Effect::Allow)).await, [probe, charge]);
    assert_eq!(of(answering(v1::Effect::Deny)).await, [close, refund]);
    assert_eq!(of(answering(v1::Effect::RequireApproval)).await, [""; 0]);
    let newly_denied = v1::ListDecisionsRequest { effect: v1::Effect::Allow.into(), ..disagree.clone() };
    assert_eq!(of(newly_denied).await, [refund]);
    let there =
        v1::ListDecisionsRequest { rollout_id: rollout.rollout_id, agent_instance_id: run.id.clone(), ..disagree };
    assert_eq!(of(v1::ListDecisionsRequest { page_size: 1, ..there }).await, [probe]);
    assert!(recorded(&world, &before.policy_decision_id).await.shadow.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baseline_that_is_no_policy_says_what_it_would_have_done() {
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let candidate = world.policy(&document("charge")).await;
    for (baseline, effect, why, words) in [
        ("observe", v1::Effect::Allow, v1::DecisionReason::Observed, "would be let through"),
        ("deny", v1::Effect::Deny, v1::DecisionReason::BaselineDeny, "would be denied"),
    ] {
        let request = v1::StartRolloutRequest {
            candidate: candidate.clone(),
            baseline: baseline.to_owned(),
            percent: Some(99),
            ..Default::default()
        };
        // Until the run is inside.
        let (rollout, answer) = loop {
            let rollout = start(&world, request.clone()).await;
            let answer = world.rita.decisions().decide(of_run(&run.token, "refund")).await.unwrap().into_inner();
            if answer.rollout_side() == v1::RolloutSide::Candidate {
                break (rollout, answer);
            }
            undo(&world, &rollout.rollout_id).await;
        };
        let shadow = answer.shadow.unwrap();
        assert_eq!((shadow.effect(), reason(&shadow), shadow.policy_version.as_str()), (effect, why, ""));
        assert!(shadow.reason.unwrap().message.contains(words));
        undo(&world, &rollout.rollout_id).await;
    }
}

async fn undo(world: &World, rollout_id: &str) {
    let request = v1::RollbackRolloutRequest {
        rollout_id: rollout_id.to_owned(),
        reason: "next".to_owned(),
        ..Default::default()
    };
    world.oscar.rollouts().rollback_rollout(request).await.unwrap();
}
