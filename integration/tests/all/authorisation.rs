//! Every method, as everybody: with real keys from a real database, over the wire.

use std::collections::BTreeSet;

use countersign_integration::Launch;
use countersign_proto::FILE_DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::{Code, Status, transport::Endpoint};

use crate::{
    dynamic::{Caller, contract},
    support::{World, info},
};

/// Who may call what, as the contract's comments say: roles, `instance` where a run may for itself, and `sponsor` where any
/// operator may as far as the sponsor is theirs.
const TABLE: &str = "
    SponsorService: RegisterSponsor registrar; ApproveSponsor approver; RejectSponsor approver; SuspendSponsor approver sponsor;
        ReinstateSponsor approver; RecertifySponsor approver; DepartSponsor registrar approver; RevokeSponsor approver sponsor;
        GetSponsor registrar approver issuer auditor admin; ListSponsors registrar approver issuer auditor admin;
        UpdateSponsor registrar
    InstanceService: GetInstance issuer gate approver auditor admin; ListInstances issuer gate approver auditor admin;
        RevokeInstance issuer approver admin sponsor; EndInstance issuer gate sponsor; AcceptInstance approver
    CredentialService: IssueCredential issuer; DelegateCredential issuer instance; RevokeCredential issuer approver admin instance;
        RevokeCredentials approver admin;
        IntrospectCredential issuer gate auditor admin instance; WatchRevocations gate auditor instance
    DecisionService: Decide gate instance; BatchDecide gate instance; GetDecision gate policy-admin auditor admin;
        ListDecisions gate policy-admin auditor admin; ExplainDecision gate policy-admin auditor admin
    ApprovalService: GetApproval approver auditor sponsor; ListApprovals approver auditor sponsor; Approve approver sponsor;
        Reject approver sponsor; WaitApproval gate instance
    PolicyService: ValidatePolicy policy-admin auditor; CreatePolicy policy-admin; ActivatePolicy policy-admin;
        GetPolicy policy-admin auditor gate issuer admin; ListPolicies policy-admin auditor gate issuer admin;
        SimulatePolicy policy-admin auditor; WatchPolicy gate policy-admin auditor; EngageKillSwitch policy-admin;
        ReleaseKillSwitch policy-admin; ListKillSwitches policy-admin gate auditor; ProposeCacheExtension policy-admin;
        ConfirmCacheExtension policy-admin approver; EndCacheExtension policy-admin approver;
        ListCacheExtensions policy-admin approver gate auditor
    RolloutService: StartRollout policy-admin; AdvanceRollout policy-admin; PauseRollout policy-admin;
        ResumeRollout policy-admin; RollbackRollout policy-admin; GetRollout gate policy-admin auditor admin;
        ListRollouts gate policy-admin auditor admin; WatchRollouts gate policy-admin auditor admin instance
    CustodyService: RecordToolCall gate instance; BatchRecordToolCalls gate instance; ListEvents auditor;
        GetCustodyChain auditor gate admin; ListOpenDecisions auditor; GetCheckpoint auditor; GetInclusionProof auditor;
        GetConsistencyProof auditor; GetTile auditor; GetEntries auditor; ExportEvidence auditor
    KeyService: ListSigningKeys admin auditor; RotateSigningKey admin; MarkKeyCompromised admin
    OperatorService: CreateOperator admin; ListOperators admin auditor; CreateApiKey admin; ListApiKeys admin auditor;
        RevokeApiKey admin; SetOperatorRoles admin; DisableOperator admin; EnableOperator admin; DeleteOperator admin;
        BindPerson admin; ConfirmPerson admin approver; ConfirmApiKey admin approver; ListPersonBindings admin approver auditor; WhoAmI anybody
    StatusService: GetReadiness anybody; GetIndicators policy-admin auditor admin
    SvidService: MintJwtSvid issuer instance; MintX509Svid issuer instance
";

/// The roles that may call `method`.
fn admitted(method: &MethodDescriptor) -> BTreeSet<&'static str> {
    let service = method.parent_service().name().to_owned();
    let rows = TABLE.split_once(&format!("{service}:")).unwrap().1;
    let rows = rows.split(':').next().unwrap().split(';').map(str::split_whitespace);
    let row = rows.into_iter().find_map(|mut words| (words.next() == Some(method.name())).then_some(words));
    // The last row of a service runs into the name of the next one, which is no role.
    row.unwrap_or_else(|| panic!("{} has no row", method.full_name()))
        .filter(|word| !word.ends_with("Service"))
        .collect()
}

async fn answer(caller: &Caller, method: &MethodDescriptor) -> Result<DynamicMessage, Status> {
    let call = caller.call(method, DynamicMessage::new(method.input()));
    // A stream that has nothing to say yet has let its caller in.
    let waited = tokio::time::timeout(std::time::Duration::from_millis(500), call).await;
    waited.unwrap_or_else(|_| Ok(DynamicMessage::new(method.output())))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_answers_everybody_as_the_table_says() {
    const EVERY: [&str; 8] = ["admin", "registrar", "approver", "issuer", "gate", "policy-admin", "auditor", "sponsor"];
    let world = World::start().await;
    let run = world.run_of("alice").await;
    let channel = Endpoint::from_shared(world.server.url()).unwrap().connect().await.unwrap();
    let key = |id: &str| world.server.operator_key(id).unwrap();
    let admin = world.server.admin_key().unwrap();
    let (rita, oscar) = (key("rita"), key("oscar"));
    let callers: [(&str, &str, &[&str]); 4] = [
        ("rita", &rita, &["registrar", "issuer", "gate", "policy-admin", "auditor", "sponsor"]),
        ("oscar", &oscar, &["approver", "policy-admin", "auditor", "sponsor"]),
        ("the first admin", &admin, &EVERY),
        ("an instance", &run.token, &["instance"]),
    ];
    for method in contract(&DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap()) {
        let admitted = admitted(&method);
        for (who, token, roles) in &callers {
            let outcome = answer(&Caller::new(channel.clone(), Some(token)), &method).await;
            let may = admitted.contains("anybody") || roles.iter().any(|role| admitted.contains(role));
            let what = format!("{} as {who}: {outcome:?}", method.full_name());
            match outcome {
                Err(status) if status.code() == Code::PermissionDenied => {
                    assert!(!may, "{what}");
                    let info = info(&status);
                    let named: BTreeSet<_> = info.metadata["roles"].split(',').collect();
                    let expected =
                        admitted.iter().copied().filter(|role| !["instance", "sponsor"].contains(role)).collect();
                    assert_eq!((info.reason.as_str(), named), ("ROLE_REQUIRED", expected), "{what}");
                }
                Err(status) => {
                    assert!(may, "{what}");
                    let reason = info(&status).reason;
                    let expected = [
                        (Code::InvalidArgument, "INVALID_REQUEST"),
                        (Code::InvalidArgument, "POLICY_INVALID"),
                        // A small log has no full tile, and one that has just begun no checkpoint.
                        (Code::NotFound, "NOT_FOUND"),
                        (Code::Unavailable, "NOT_READY"),
                    ];
                    assert!(expected.contains(&(status.code(), reason.as_str())), "{what}");
                }
                Ok(_) => assert!(may, "{what}"),
            }
        }
        // The dev server lets nobody in who comes through a proxy, or with anything that does not hold.
        let mut forwarded = Caller::new(channel.clone(), None);
        forwarded.metadata.insert("x-forwarded-for", "10.1.2.3".parse().unwrap());
        let forged = format!("csk_00000000000000000000000000000000_{}", "x".repeat(43));
        let mut wrong = oscar.clone();
        wrong.replace_range(wrong.len() - 4.., "AAAA");
        let strangers =
            [Some("garbage"), Some(forged.as_str()), Some(&wrong)].map(|token| Caller::new(channel.clone(), token));
        for stranger in strangers.into_iter().chain([forwarded]) {
            let status = answer(&stranger, &method).await.unwrap_err();
            assert_eq!((status.code(), info(&status).reason.as_str()), (Code::Unauthenticated, "UNAUTHENTICATED"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dev_a_caller_without_a_key_is_nobody_even_here() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("token-service-config.yml");
    let text = "issuer: agent-token-svc\ndefault_ttl_seconds: 300\nmax_ttl_seconds: 900\nrequire_sponsor: true\n\
                supported_tools: [billing, search, file-store]\n";
    std::fs::write(&config, text).unwrap();
    let launch = Launch::plain().database(&world.database).arg("--token-service-config");
    let plain = launch.arg(config.to_str().unwrap()).start().await.unwrap();
    let anonymous = plain.connect(None).await.unwrap();
    let status = anonymous.operators().who_am_i(countersign_client::v1::WhoAmIRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let oscar = plain.connect(Some(&world.server.operator_key("oscar").unwrap())).await.unwrap();
    let said = oscar.operators().who_am_i(countersign_client::v1::WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!(said.operator_id, "oscar");
}
