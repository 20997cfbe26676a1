//! One agent's day: a credential, a child, an allowed call, a refused one, the custody chain, a rollout.
//!
//! `COUNTERSIGN_ADDR` (default `http://127.0.0.1:8080`) names a server that knows the sponsor `alice`, such as one
//! started with `countersign serve --dev`. `COUNTERSIGN_API_KEY` is the operator's key; a `--dev` server needs none.
//! `COUNTERSIGN_ISSUER` is the `iss` to expect; by default what the server wrote into the credential it issued here.

use std::{env, error::Error, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_client::{
    Connection, Rollout, request_hash,
    v1::{self, get_custody_chain_request::Subject},
    verify::{Clock, SystemClock, verify_receipt},
};
use serde_json::json;
use tonic::Code;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() {
    if let Err(error) = story().await {
        eprintln!("story failed: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            eprintln!("  because: {error}");
            cause = error.source();
        }
        std::process::exit(1);
    }
    println!("story ok: rust");
}

async fn story() -> Outcome<()> {
    let address = env::var("COUNTERSIGN_ADDR").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());
    let api_key = env::var("COUNTERSIGN_API_KEY").ok().filter(|key| !key.is_empty());
    let operator = Connection::connect(&address, api_key.as_deref()).await?;

    let root = issue(&operator).await?;
    let child = delegate(&operator.with_token(&root.token)?).await?;
    ensure(child.parent_agent_id == root.agent_instance_id, "the child's parent is not the instance that delegated")?;

    let billing = operator.with_token(&child.token)?;
    let decision = allowed_refund(&billing, &issuer(&root.token)?).await?;
    record_success(&billing, &decision).await?;
    refused_charge(&billing).await?;

    custody(&operator, &decision, &[&root.agent_instance_id, &child.agent_instance_id]).await?;
    rollout(&operator, &root.agent_instance_id).await
}

/// The operator starts a root instance for alice.
async fn issue(operator: &Connection) -> Outcome<v1::IssueCredentialResponse> {
    let request = v1::IssueCredentialRequest {
        sponsor_id: "alice".into(),
        agent: "support-assistant".into(),
        role: "support".into(),
        tools: vec!["billing".into(), "search".into()],
        purpose: "triage ticket 4711".into(),
        ..Default::default()
    };
    let issued = operator.credentials().issue_credential(request).await?.into_inner();
    println!("issued {} to {}", issued.credential_id, issued.agent_instance_id);
    Ok(issued)
}

/// The instance starts a child that may bill and nothing else.
async fn delegate(root: &Connection) -> Outcome<v1::DelegateCredentialResponse> {
    let request = v1::DelegateCredentialRequest {
        agent: "billing-agent".into(),
        tools: vec!["billing".into()],
        ..Default::default()
    };
    let child = root.credentials().delegate_credential(request).await?.into_inner();
    println!("delegated to {}", child.agent_instance_id);
    Ok(child)
}

/// The child asks for a refund, and the tool checks the receipt by itself.
async fn allowed_refund(billing: &Connection, issuer: &str) -> Outcome<v1::DecideResponse> {
    let arguments = request_hash(&json!({ "order": "4711", "amount_cents": 1250 }))?;
    let request = v1::DecideRequest {
        tool_id: "billing".into(),
        action: "refund".into(),
        request_hash: arguments.to_vec(),
        want_receipt: true,
        ..Default::default()
    };
    let decision = billing.decisions().decide(request).await?.into_inner();
    expect_effect(&decision, v1::Effect::Allow)?;

    let keys = billing.keys().await?;
    let receipt = verify_receipt(&decision.receipt, &keys, issuer, &"billing".parse()?, SystemClock.now())?;
    ensure(
        receipt.policy_decision_id.to_string() == decision.policy_decision_id,
        "the receipt is for another decision",
    )?;
    ensure(receipt.covers(&"refund".parse()?, &arguments), "the receipt is for another call")?;
    println!("allowed by {}, receipt holds", decision.policy_decision_id);
    Ok(decision)
}

async fn record_success(billing: &Connection, decision: &v1::DecideResponse) -> Outcome<()> {
    let request = v1::RecordToolCallRequest {
        policy_decision_id: decision.policy_decision_id.clone(),
        outcome: v1::ToolCallOutcome::Success.into(),
        response_hash: request_hash(&json!({ "refunded": true }))?.to_vec(),
        ..Default::default()
    };
    let recorded = billing.custody().record_tool_call(request).await?.into_inner();
    println!("outcome recorded as {} at {}", recorded.event_id, recorded.log_index);
    ensure(recorded.log_index > decision.log_index, "the outcome does not come after its decision")
}

/// The child may not search.
async fn refused_charge(billing: &Connection) -> Outcome<()> {
    let request = v1::DecideRequest { tool_id: "search".into(), action: "charge".into(), ..Default::default() };
    let decision = billing.decisions().decide(request).await?.into_inner();
    expect_effect(&decision, v1::Effect::Deny)?;
    let reason = decision.reason.unwrap_or_default();
    println!("refused with {}: {} {}", reason.code().as_str_name(), reason.message, reason.remedy);
    Ok(())
}

/// From the decision alone: who ran, for whom, and what came of it.
async fn custody(operator: &Connection, decision: &v1::DecideResponse, chain: &[&str]) -> Outcome<()> {
    let decision_id = decision.policy_decision_id.clone();
    let request = v1::GetCustodyChainRequest { subject: Some(Subject::PolicyDecisionId(decision_id.clone())) };
    let custody = operator.custody().get_custody_chain(request).await?.into_inner().chain.unwrap_or_default();

    ensure(custody.sponsor.is_some_and(|sponsor| sponsor.sponsor_id == "alice"), "the chain does not end at alice")?;
    for id in chain {
        let shown = custody.instances.iter().any(|instance| instance.agent_instance_id == *id);
        ensure(shown, &format!("the chain does not show {id}"))?;
    }
    let shown = custody.decisions.iter().any(|decision| decision.policy_decision_id == decision_id);
    ensure(shown, "the chain does not show the decision")?;
    for kind in
        [v1::EventKind::CredentialIssued, v1::EventKind::Delegated, v1::EventKind::Decision, v1::EventKind::ToolCall]
    {
        let shown = custody.events.iter().any(|event| event.kind() == kind);
        ensure(shown, &format!("the chain does not show {}", kind.as_str_name()))?;
    }
    println!("custody chain: {} instances, {} events", custody.instances.len(), custody.events.len());
    Ok(())
}

/// Shows a rollout's percentage: one of our own, or the one that is open already.
async fn rollout(operator: &Connection, root: &str) -> Outcome<()> {
    let (read, own) = open_rollout(operator).await?;
    let rollout = Rollout::new(&read)?;
    println!(
        "rollout {} at {} %: {root} is in bucket {}, inside: {}",
        read.rollout_id,
        rollout.percent(),
        rollout.bucket(root),
        rollout.is_enrolled(root),
    );
    if !own {
        return Ok(());
    }
    let request = v1::RollbackRolloutRequest {
        rollout_id: read.rollout_id,
        reason: "the story is told".into(),
        ..Default::default()
    };
    let undone = operator.rollouts().rollback_rollout(request).await?.into_inner().rollout.unwrap_or_default();
    ensure(undone.state() == v1::RolloutState::RolledBack, "the rollout was not rolled back")?;
    ensure(rollout.percent() == 10, "the rollout did not start at 10 %")
}

/// Starts a rollout to a document that answers like the active one; where one is open already, reads that. True: ours.
async fn open_rollout(operator: &Connection) -> Outcome<(v1::Rollout, bool)> {
    let candidate = variant(operator).await?;
    // The open rollout may be closed by its owner between the two questions: then ask again.
    let mut refused = None;
    for _ in 0..20 {
        let request = v1::StartRolloutRequest {
            candidate: candidate.clone(),
            percent: Some(10),
            reason: "show a rollout's percentage".into(),
            ..Default::default()
        };
        match operator.rollouts().start_rollout(request).await {
            Ok(started) => {
                let rollout_id = started.into_inner().rollout.unwrap_or_default().rollout_id;
                let read = operator.rollouts().get_rollout(v1::GetRolloutRequest { rollout_id }).await?.into_inner();
                return Ok((read.rollout.ok_or("GetRollout returned no rollout")?, true));
            }
            // ROLLOUT_OPEN
            Err(refusal) if refusal.code() == Code::FailedPrecondition => refused = Some(refusal),
            Err(refusal) => return Err(refusal.into()),
        }
        let listed = operator.rollouts().list_rollouts(v1::ListRolloutsRequest::default()).await?.into_inner();
        let open = [v1::RolloutState::Running, v1::RolloutState::Paused];
        if let Some(read) = listed.rollouts.into_iter().find(|rollout| open.contains(&rollout.state())) {
            return Ok((read, false));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(refused.map_or_else(|| "no rollout was started".into(), Into::into))
}

/// Stores the active document with a comment added: another version that answers alike.
async fn variant(operator: &Connection) -> Outcome<String> {
    let active = operator.policies().get_policy(v1::GetPolicyRequest::default()).await?.into_inner().policy;
    let active = active.ok_or("GetPolicy returned no policy")?;
    let request = v1::CreatePolicyRequest {
        document: format!("{}\n# The same rules, for a rollout to move to.\n", active.document.trim_end()),
        cedar: active.cedar,
        ..Default::default()
    };
    let stored = operator.policies().create_policy(request).await?.into_inner().policy.unwrap_or_default();
    ensure(stored.version != active.version, "the variant is not a version of its own")?;
    Ok(stored.version)
}

/// The `iss` to expect. A tool has it in its configuration; this program believes the server that it issued from.
fn issuer(token: &str) -> Outcome<String> {
    if let Ok(issuer) = env::var("COUNTERSIGN_ISSUER") {
        return Ok(issuer);
    }
    let claims = token.split('.').nth(1).ok_or("the credential is no JWT")?;
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    Ok(claims["iss"].as_str().ok_or("the credential has no iss")?.to_owned())
}

fn expect_effect(decision: &v1::DecideResponse, effect: v1::Effect) -> Outcome<()> {
    let reason = decision.reason.clone().unwrap_or_default();
    let (got, wanted) = (decision.effect().as_str_name(), effect.as_str_name());
    ensure(got == wanted, &format!("wanted {wanted}, got {got}: {} {}", reason.code().as_str_name(), reason.message))
}

fn ensure(holds: bool, otherwise: &str) -> Outcome<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
