//! Labels that issuers set: those that the installation declares.

use countersign_client::v1;
use tonic::{Code, Response, Status};

use crate::support::{World, fields, issue, refused};

/// A dev server whose token service declares these; empty: none.
async fn declaring(labels: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("token-service-config.yml");
    let text = format!("issuer: agent-token-svc\nsupported_tools: [billing, search]\n{labels}");
    std::fs::write(&config, text).unwrap();
    World::start_with(|launch| launch.arg("--token-service-config").arg(config.to_str().unwrap())).await
}

async fn labelled(world: &World, labels: &[(&str, &str)], renews: &str) -> Result<v1::IssueCredentialResponse, Status> {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let request = v1::IssueCredentialRequest {
        tools: vec!["billing".to_owned()],
        labels,
        agent_instance_id: renews.to_owned(),
        ..issue("alice")
    };
    world.rita.credentials().issue_credential(request).await.map(Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_sets_declared_labels_alone_and_a_renewal_keeps_them() {
    let world = declaring("supported_labels: [tier=standard, tier=critical, team]\n").await;
    let run = labelled(&world, &[("tier", "critical"), ("team", "red")], "").await.unwrap();
    labelled(&world, &[], "").await.unwrap();
    let before = world.log_size().await;
    for (key, value, says) in [
        ("tier", "criticla", "did you mean \"critical\"?"),
        ("tiers", "critical", "did you mean \"tier\"?"),
        ("vip", "yes", "supported_labels"),
    ] {
        let refusal = labelled(&world, &[(key, value)], "").await.unwrap_err();
        assert_eq!(fields(&refusal), [format!("labels[{key}]")]);
        assert!(format!("{refusal:?}").contains("GRANT_TOO_WIDE"), "{refusal:?}");
        let details = tonic_types::StatusExt::get_details_bad_request(&refusal).unwrap();
        assert!(details.field_violations[0].description.contains(says), "{details:?}");
    }
    let id = run.agent_instance_id.as_str();
    let other = labelled(&world, &[("tier", "standard")], id).await.unwrap_err();
    assert_eq!(fields(&other), ["labels"], "a renewal changes no label, and does not drop one in silence");
    assert_eq!(world.log_size().await, before, "nothing was issued");
    labelled(&world, &[("team", "red"), ("tier", "critical")], id).await.unwrap();
    let renewed = labelled(&world, &[], id).await.unwrap();
    let own = world.rita.with_token(&renewed.token).unwrap();
    let asked = own.credentials().introspect_credential(v1::IntrospectCredentialRequest::default()).await.unwrap();
    assert!(asked.into_inner().active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_takes_any_label_until_some_are_declared() {
    let world = declaring("").await;
    labelled(&world, &[("anything", "goes")], "").await.unwrap();
    let world = declaring("supported_labels: [team]\n").await;
    refused(labelled(&world, &[("anything", "goes")], "").await, Code::InvalidArgument, "GRANT_TOO_WIDE");
}
