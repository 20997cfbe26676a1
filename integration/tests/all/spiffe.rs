//! SPIFFE: documents that prove an instance's id to whoever verifies by SPIFFE's rules, as a library that is not ours says.

use std::process::Command;

use countersign_client::{Connection, v1};
use countersign_integration::{Cluster, Launch, Server};
use tonic::{Code, Response, Status};

use crate::{
    configuration::plain,
    support::{Run, World, fields, info, refused, room, seconds},
};

const TRUST_DOMAIN: &str = "agents.example.com";

async fn world() -> World {
    World::start_with(|launch| launch.variable("COUNTERSIGN_SPIFFE_TRUST_DOMAIN", TRUST_DOMAIN)).await
}

/// Another server on the same database.
async fn second(world: &World) -> Server {
    let launch = Launch::dev().database(&world.database);
    launch.variable("COUNTERSIGN_SPIFFE_TRUST_DOMAIN", TRUST_DOMAIN).start().await.unwrap()
}

fn jwt(token: &str) -> v1::MintJwtSvidRequest {
    v1::MintJwtSvidRequest { token: token.to_owned(), audience: vec!["reports".to_owned()], ..Default::default() }
}

async fn mint_jwt(by: &Connection, request: v1::MintJwtSvidRequest) -> Result<v1::MintJwtSvidResponse, Status> {
    by.svids().mint_jwt_svid(request).await.map(Response::into_inner)
}

/// A request for a fresh key, in DER.
fn csr() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::new(Vec::new()).unwrap().serialize_request(&key).unwrap().der().to_vec()
}

pub(crate) fn x509(token: &str) -> v1::MintX509SvidRequest {
    v1::MintX509SvidRequest { token: token.to_owned(), csr: csr(), ..Default::default() }
}

async fn mint_x509(by: &Connection, request: v1::MintX509SvidRequest) -> Result<v1::MintX509SvidResponse, Status> {
    by.svids().mint_x509_svid(request).await.map(Response::into_inner)
}

fn id_of(run: &Run) -> String {
    format!("spiffe://{TRUST_DOMAIN}/instance/{}", run.id)
}

/// Runs the Go tests in `integration/foreign/spiffe` as two instances of a server.
async fn go_spiffe(world: &World, tests: &'static str) {
    let (agent, tool) = (world.run_of("alice").await, world.run_of("alice").await);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/foreign/spiffe");
    let mut go = Command::new("go");
    go.args(["test", "-count=1", "-v", "-run", tests, "./..."]).current_dir(folder);
    go.env("COUNTERSIGN_URL", world.server.url()).env("TRUST_DOMAIN", TRUST_DOMAIN);
    go.env("AGENT", &agent.token).env("TOOL", &tool.token);
    let ran = tokio::task::spawn_blocking(move || go.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("--- PASS") && !said.contains("no tests to run"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn go_spiffe_reads_the_bundle_and_verifies_jwt_svids() {
    let world = world().await;
    go_spiffe(&world, "Bundle|Jwt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_gets_its_own_jwt_svid_and_an_issuer_one_for_it() {
    let world = world().await;
    let (run, other) = (world.run_of("alice").await, world.run_of("alice").await);
    let own = mint_jwt(&run.connection, jwt("")).await.unwrap();
    let by_issuer = mint_jwt(&world.rita, jwt(&run.token)).await.unwrap();
    assert_eq!((own.spiffe_id.clone(), by_issuer.spiffe_id), (id_of(&run), id_of(&run)));

    refused(mint_jwt(&run.connection, jwt(&other.token)).await, Code::PermissionDenied, "ROLE_REQUIRED");
    refused(mint_jwt(&world.oscar, jwt(&run.token)).await, Code::PermissionDenied, "ROLE_REQUIRED");
    let missing = mint_jwt(&world.rita, jwt("")).await.unwrap_err();
    assert_eq!(fields(&missing), ["token"]);

    let log = world.log().await;
    let event = log.iter().find(|event| event.index == own.log_index).unwrap();
    assert_eq!((event.kind(), event.text("agent_instance_id")), ("svid_issued", run.id.as_str()));
    assert_eq!(event.text("operator_id"), "", "the instance itself");
    assert_eq!(event.leaf["subject"], serde_json::json!({ "id": own.svid_id, "type": "jwt_svid" }));
    let granted = log.iter().find(|event| event.index == run.log_index).unwrap();
    assert_eq!(event.text("credential_id"), granted.text("credential_id"));
    let changes: Vec<_> = event.leaf["changes"].as_array().unwrap().iter().map(|change| &change["field"]).collect();
    assert_eq!(changes, ["audience.1", "expire_time", "key_id"]);
    let of_issuer = log.iter().find(|event| event.index == by_issuer.log_index).unwrap();
    assert_eq!(of_issuer.text("operator_id"), "rita");
    for event in &log {
        assert!(!String::from_utf8_lossy(&event.bytes).contains(&own.svid), "no token in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_with_every_field() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let ask = async |audience: &[&str], ttl: Option<i64>| {
        let audience = audience.iter().map(|text| (*text).to_owned()).collect();
        let request = v1::MintJwtSvidRequest { audience, ttl: ttl.map(seconds), ..jwt("") };
        mint_jwt(&run.connection, request).await
    };
    let nine: Vec<_> = (0..9).map(|n| n.to_string()).collect();
    for (audience, ttl, wrong) in [
        (vec![], None, vec!["audience"]),
        (nine.iter().map(String::as_str).collect(), None, vec!["audience"]),
        (vec!["a", "b c", "a", ""], None, vec!["audience[1]", "audience[3]"]),
        (vec!["a", "a"], Some(-1), vec!["audience[1]", "ttl"]),
        (vec!["a"], Some(0), vec!["ttl"]),
        (vec!["a"], Some(301), vec!["ttl"]),
        (vec!["a"], Some(901), vec!["ttl"]),
    ] {
        assert_eq!(fields(&ask(&audience, ttl).await.unwrap_err()), wrong, "{audience:?} {ttl:?}");
    }
    refused(ask(&["a"], Some(901)).await, Code::InvalidArgument, "GRANT_TOO_WIDE");
    // Unasked it is what is left of the credential, which lives 300 s.
    let left = ask(&["a"], None).await.unwrap().expire_time.unwrap().seconds;
    let credential = world.run_of("alice").await;
    let limit = mint_jwt(&credential.connection, jwt("")).await.unwrap().expire_time.unwrap().seconds;
    assert!(left <= limit);

    let request = v1::IssueCredentialRequest { single_use: true, ..crate::support::issue("alice") };
    let once = world.rita.credentials().issue_credential(request).await.unwrap().into_inner().token;
    let refusal = mint_jwt(&world.rita, jwt(&once)).await;
    assert_eq!(fields(&refusal.unwrap_err()), ["token"], "a single-use credential");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svid_is_for_nobody_who_takes_credentials_or_receipts() {
    let world = world().await;
    let run = world.run_of("alice").await;
    for own in ["countersign", "Countersign/", "agent-token-svc", "billing", "BILLING", "search/", "billin%67"] {
        for (by, token) in [(&run.connection, ""), (&world.rita, run.token.as_str())] {
            let audience = vec!["reports".to_owned(), own.to_owned()];
            let status = mint_jwt(by, v1::MintJwtSvidRequest { audience, ..jwt(token) }).await.unwrap_err();
            assert_eq!(fields(&status), ["audience[1]"], "{own}");
            refused(Err::<(), _>(status), Code::InvalidArgument, "INVALID_REQUEST");
        }
    }
    let request = v1::MintJwtSvidRequest { audience: vec!["https://billing.example/api".to_owned()], ..jwt("") };
    mint_jwt(&run.connection, request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_the_same_svid() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let request = v1::MintJwtSvidRequest { request_id: "r-1".to_owned(), ..jwt("") };
    let first = mint_jwt(&run.connection, request.clone()).await.unwrap();
    let again = mint_jwt(&run.connection, request.clone()).await.unwrap();
    assert_eq!((first.svid_id, first.log_index), (again.svid_id, again.log_index));
    let other = v1::MintJwtSvidRequest { audience: vec!["invoices".to_owned()], ..request };
    refused(mint_jwt(&run.connection, other).await, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svid_is_no_credential() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let svid = mint_jwt(&run.connection, jwt("")).await.unwrap().svid;
    let by_svid = world.rita.with_token(&svid).unwrap();
    let refusal = mint_jwt(&by_svid, jwt("")).await;
    assert!(refusal.as_ref().unwrap_err().message().contains("CREDENTIAL_WRONG_KIND"), "{refusal:?}");
    refused(refusal, Code::Unauthenticated, "UNAUTHENTICATED");
    let info = refused(mint_jwt(&world.rita, jwt(&svid)).await, Code::FailedPrecondition, "CREDENTIAL_REFUSED");
    assert_eq!(info.metadata["decision_reason"], "CREDENTIAL_WRONG_KIND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_credential_gets_no_svid() {
    let world = world().await;
    world.sponsor("bob").await;
    let run = world.run_of("bob").await;
    mint_jwt(&run.connection, jwt("")).await.unwrap();
    let request = v1::RevokeSponsorRequest {
        sponsor_id: "bob".to_owned(),
        reason: "left in anger".to_owned(),
        ..Default::default()
    };
    world.oscar.sponsors().revoke_sponsor(request).await.unwrap();
    refused(mint_jwt(&run.connection, jwt("")).await, Code::Unauthenticated, "UNAUTHENTICATED");
    let info = refused(mint_jwt(&world.rita, jwt(&run.token)).await, Code::FailedPrecondition, "CREDENTIAL_REFUSED");
    assert_eq!(info.metadata["decision_reason"], "SPONSOR_NOT_ACTIVE");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trust_domain_there_are_no_spiffe_ids() {
    let _room = room().await;
    let database = Cluster::shared().await.unwrap().empty_database().await.unwrap();
    let (launch, _folder) = plain();
    let server = launch.database(&database).start().await.unwrap();
    let admin = server.connect(Some(&server.admin_key().unwrap())).await.unwrap();
    let status = mint_jwt(&admin, jwt("any")).await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unavailable, "NOT_READY"));
    assert!(status.message().contains("spiffe.trust_domain"), "{}", status.message());
    let bundle = server.http(None).get("/.well-known/spiffe-bundle").await.unwrap();
    assert_eq!(bundle.status.as_u16(), 404);
    assert!(bundle.text().contains("spiffe.trust_domain"), "{}", bundle.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bundle_may_be_kept_for_a_while_and_is_asked_for_again_by_its_tag() {
    let world = world().await;
    let path = "/.well-known/spiffe-bundle";
    let http = world.server.http(None);
    let first = http.get(path).await.unwrap();
    assert_eq!(first.headers["content-type"], "application/json");
    assert!(first.headers["cache-control"].to_str().unwrap().contains("max-age="));
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let again = http.send(http::Method::GET, path, &[("if-none-match", &tag)], bytes::Bytes::new()).await.unwrap();
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let bundle = first.json();
    assert!(bundle["spiffe_sequence"].as_u64().unwrap() > 0 && bundle["spiffe_refresh_hint"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn go_spiffe_verifies_x509_svids_and_two_instances_do_mutual_tls_with_them() {
    let world = world().await;
    go_spiffe(&world, "X509").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_gets_its_own_x509_svid_and_an_issuer_one_for_it() {
    let world = world().await;
    let (run, other) = (world.run_of("alice").await, world.run_of("alice").await);
    let request = v1::MintX509SvidRequest { request_id: "r-1".to_owned(), ..x509("") };
    let own = mint_x509(&run.connection, request.clone()).await.unwrap();
    assert_eq!(own, mint_x509(&run.connection, request).await.unwrap(), "the same certificate again");
    let by_issuer = mint_x509(&world.rita, x509(&run.token)).await.unwrap();
    assert_eq!((own.spiffe_id.clone(), by_issuer.spiffe_id), (id_of(&run), id_of(&run)));
    refused(mint_x509(&run.connection, x509(&other.token)).await, Code::PermissionDenied, "ROLE_REQUIRED");

    let log = world.log().await;
    let event = log.iter().find(|event| event.index == own.log_index).unwrap();
    assert_eq!((event.kind(), event.text("agent_instance_id")), ("svid_issued", run.id.as_str()));
    assert_eq!(event.leaf["subject"], serde_json::json!({ "id": own.serial_number, "type": "x509_svid" }));
    let authority = &event.leaf["changes"][0]["after"];
    let made: Vec<_> = log.iter().filter(|event| event.leaf["subject"]["type"] == "x509_authority").collect();
    assert_eq!(made.iter().map(|event| event.text("state_after")).collect::<Vec<_>>(), ["ACTIVE", "NEXT"]);
    assert_eq!(*authority, made[0].leaf["subject"]["id"], "the active one signs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_a_certificate_that_does_not_hold_is_refused() {
    let world = world().await;
    let run = world.run_of("alice").await;
    let mut tampered = csr();
    *tampered.last_mut().unwrap() ^= 1;
    for csr in [Vec::new(), b"csr".to_vec(), tampered] {
        let status = mint_x509(&run.connection, v1::MintX509SvidRequest { csr, ..x509("") }).await.unwrap_err();
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec!["csr".to_owned()]));
    }
    let status = mint_x509(&run.connection, v1::MintX509SvidRequest { ttl: Some(seconds(301)), ..x509("") }).await;
    assert_eq!(fields(&status.unwrap_err()), ["ttl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_server_signs_with_the_same_authorities() {
    let world = world().await;
    let (second, third) = tokio::join!(second(&world), second(&world));
    let run = world.run_of("alice").await;
    let mut bundles = vec![mint_x509(&run.connection, x509("")).await.unwrap().bundle];
    for server in [second, third] {
        let elsewhere = server.connect(Some(&run.token)).await.unwrap();
        bundles.push(mint_x509(&elsewhere, x509("")).await.unwrap().bundle);
    }
    assert_eq!(bundles[0].len(), 2, "one signs, one is next, however many servers there are");
    assert!(bundles.iter().all(|bundle| *bundle == bundles[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_svid_stands_after_the_change_that_killed_its_credential() {
    let world = world().await;
    world.sponsor("bob").await;
    let run = world.run_of("bob").await;
    let second = second(&world).await;
    let elsewhere = second.connect(Some(&run.token)).await.unwrap();
    let minters = (0..12).map(|number| {
        let by = if number % 2 == 0 { run.connection.clone() } else { elsewhere.clone() };
        tokio::spawn(async move {
            let mut minted = Vec::new();
            while let Ok(svid) = mint_jwt(&by, jwt("")).await {
                minted.push(svid.log_index);
            }
            minted
        })
    });
    let minters: Vec<_> = minters.collect();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let request = v1::RevokeSponsorRequest {
        sponsor_id: "bob".to_owned(),
        reason: "left in anger".to_owned(),
        ..Default::default()
    };
    world.oscar.sponsors().revoke_sponsor(request).await.unwrap();
    let mut minted = Vec::new();
    for minter in minters {
        minted.extend(minter.await.unwrap());
    }
    minted.sort_unstable();
    let log = world.log().await;
    let revoked = log.iter().find(|event| event.kind() == "sponsor_revoked").unwrap().index;
    let recorded: Vec<_> = log.iter().filter(|event| event.kind() == "svid_issued").map(|event| event.index).collect();
    assert_eq!(minted, recorded, "what was answered is what the log says");
    assert!(!recorded.is_empty() && recorded.iter().all(|index| *index < revoked));
}
