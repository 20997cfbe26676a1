//! A gate reads the chain of a call without the names of people.

use countersign_client::{Connection, v1};
use v1::get_custody_chain_request::Subject;

use crate::{
    operators::{add, admin},
    support::{World, issue},
};

const USER: &str = "zoe@customers.example";

async fn chain(by: &Connection, subject: Subject) -> v1::CustodyChain {
    let request = v1::GetCustodyChainRequest { subject: Some(subject) };
    by.custody().get_custody_chain(request).await.unwrap().into_inner().chain.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_reads_a_chain_without_names_and_who_audits_reads_them() {
    let world = World::start().await;
    let root = admin(&world.server).await;
    let (gate, _) = add(&world.server, &root, "gustav", &["gate"]).await;
    let (both, _) = add(&world.server, &root, "berta", &["gate", "auditor"]).await;
    let request = v1::IssueCredentialRequest { on_behalf_of: USER.to_owned(), ..issue("alice") };
    let run = world.run_with(request, &["billing"]).await;
    let answer = run.decide("billing", "refund").await.unwrap();

    let full = chain(&both, Subject::AgentInstanceId(run.id.clone())).await;
    let sponsor = full.sponsor.clone().unwrap();
    assert!(!sponsor.display_name.is_empty() && !sponsor.email.is_empty());
    assert!(full.events.iter().any(|event| event.on_behalf_of == USER));
    assert_eq!(chain(&root, Subject::AgentInstanceId(run.id.clone())).await, full, "an admin too");

    // By each way to name a chain, and of an event that belongs to a sponsor and to no run.
    let event = |kind: v1::EventKind| {
        let found = full.events.iter().find(|event| event.kind() == kind).unwrap();
        Subject::EventId(found.event_id.clone())
    };
    for subject in [
        Subject::AgentInstanceId(run.id.clone()),
        Subject::PolicyDecisionId(answer.policy_decision_id.clone()),
        event(v1::EventKind::CredentialIssued),
        event(v1::EventKind::SponsorRegistered),
    ] {
        let seen = chain(&gate, subject.clone()).await;
        let told = seen.sponsor.clone().unwrap();
        assert_eq!((told.sponsor_id.as_str(), told.display_name, told.email), ("alice", String::new(), String::new()));
        for event in &seen.events {
            assert!(event.on_behalf_of.is_empty() && event.on_behalf_of_salt.is_empty(), "{event:?}");
        }
        let text = format!("{seen:?}");
        for name in [&sponsor.display_name, &sponsor.email, USER] {
            assert!(!text.contains(name), "{name} in {text}");
        }
    }
    // What is attested stays: the leaves, and the commitments.
    let seen = chain(&gate, Subject::AgentInstanceId(run.id.clone())).await;
    let leaves =
        |chain: &v1::CustodyChain| chain.events.iter().map(|event| event.leaf_bytes.clone()).collect::<Vec<_>>();
    assert_eq!(leaves(&seen), leaves(&full));
}
