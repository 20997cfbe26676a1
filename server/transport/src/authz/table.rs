//! The table: every method of the port, the roles that may call it, and whether it stops, reads, waits or streams. It
//! follows the comments of `proto/countersign/v1`, which clients read; tests compare it with the descriptor.

use countersign_core::operator::OperatorRole::{Admin, Approver, Auditor, Gate, Issuer, PolicyAdmin, Registrar};

use super::Row;

/// Every method of the port.
#[rustfmt::skip] // One row, one line.
pub(crate) const TABLE: &[Row] = &[
    Row::roles("/countersign.v1.SponsorService/RegisterSponsor", &[Registrar]),
    Row::roles("/countersign.v1.SponsorService/ApproveSponsor", &[Approver]),
    Row::roles("/countersign.v1.SponsorService/RejectSponsor", &[Approver]).stopping(),
    Row::roles("/countersign.v1.SponsorService/SuspendSponsor", &[Approver]).or_the_sponsor().stopping(),
    Row::roles("/countersign.v1.SponsorService/ReinstateSponsor", &[Approver]),
    Row::roles("/countersign.v1.SponsorService/RecertifySponsor", &[Approver]),
    Row::roles("/countersign.v1.SponsorService/DepartSponsor", &[Registrar, Approver]).stopping(),
    Row::roles("/countersign.v1.SponsorService/RevokeSponsor", &[Approver]).or_the_sponsor().stopping(),
    Row::roles("/countersign.v1.SponsorService/GetSponsor", &[Registrar, Approver, Issuer, Auditor, Admin]).reading().scoped(),
    Row::roles("/countersign.v1.SponsorService/ListSponsors", &[Registrar, Approver, Issuer, Auditor, Admin]).reading(),
    Row::roles("/countersign.v1.SponsorService/UpdateSponsor", &[Registrar]),

    Row::roles("/countersign.v1.InstanceService/GetInstance", &[Issuer, Gate, Approver, Auditor, Admin]).reading().scoped(),
    Row::roles("/countersign.v1.InstanceService/ListInstances", &[Issuer, Gate, Approver, Auditor, Admin]).reading(),
    Row::roles("/countersign.v1.InstanceService/RevokeInstance", &[Issuer, Approver, Admin]).or_the_sponsor().stopping().scoped(),
    Row::roles("/countersign.v1.InstanceService/EndInstance", &[Issuer, Gate]).or_the_sponsor().stopping().scoped(),
    Row::roles("/countersign.v1.InstanceService/AcceptInstance", &[Approver]),

    Row::roles("/countersign.v1.CredentialService/IssueCredential", &[Issuer]).scoped(),
    Row::or_instance("/countersign.v1.CredentialService/DelegateCredential", &[Issuer]).scoped(),
    Row::or_instance("/countersign.v1.CredentialService/IntrospectCredential", &[Issuer, Gate, Auditor, Admin]).working().scoped(),
    Row::or_instance("/countersign.v1.CredentialService/RevokeCredential", &[Issuer, Approver, Admin]).stopping().scoped(),
    Row::roles("/countersign.v1.CredentialService/RevokeCredentials", &[Approver, Admin]).stopping(),
    Row::or_instance("/countersign.v1.CredentialService/WatchRevocations", &[Gate, Auditor]).streamed().scoped(),

    Row::or_instance("/countersign.v1.SvidService/MintJwtSvid", &[Issuer]).scoped(),
    Row::or_instance("/countersign.v1.SvidService/MintX509Svid", &[Issuer]).scoped(),

    Row::or_any_instance("/countersign.v1.DecisionService/Decide", &[Gate]).scoped(),
    Row::or_any_instance("/countersign.v1.DecisionService/BatchDecide", &[Gate]).scoped(),
    Row::roles("/countersign.v1.DecisionService/GetDecision", &[Gate, PolicyAdmin, Auditor, Admin]).reading().scoped(),
    Row::roles("/countersign.v1.DecisionService/ListDecisions", &[Gate, PolicyAdmin, Auditor, Admin]).reading(),
    Row::roles("/countersign.v1.DecisionService/ExplainDecision", &[Gate, PolicyAdmin, Auditor, Admin]).reading(),

    Row::roles("/countersign.v1.ApprovalService/GetApproval", &[Approver, Auditor]).or_the_sponsor().reading(),
    Row::roles("/countersign.v1.ApprovalService/ListApprovals", &[Approver, Auditor]).or_the_sponsor().reading(),
    Row::roles("/countersign.v1.ApprovalService/Approve", &[Approver]).or_the_sponsor(),
    Row::roles("/countersign.v1.ApprovalService/Reject", &[Approver]).or_the_sponsor().stopping(),
    Row::or_instance("/countersign.v1.ApprovalService/WaitApproval", &[Gate]).waiting().scoped(),

    Row::roles("/countersign.v1.PolicyService/ValidatePolicy", &[PolicyAdmin, Auditor]).working(),
    Row::roles("/countersign.v1.PolicyService/CreatePolicy", &[PolicyAdmin]),
    Row::roles("/countersign.v1.PolicyService/GetPolicy", &[PolicyAdmin, Auditor, Gate, Issuer, Admin]).reading(),
    Row::roles("/countersign.v1.PolicyService/ListPolicies", &[PolicyAdmin, Auditor, Gate, Issuer, Admin]).reading(),
    Row::roles("/countersign.v1.PolicyService/ActivatePolicy", &[PolicyAdmin]),
    Row::roles("/countersign.v1.PolicyService/SimulatePolicy", &[PolicyAdmin, Auditor]).streamed(),
    Row::roles("/countersign.v1.PolicyService/WatchPolicy", &[Gate, PolicyAdmin, Auditor]).streamed().scoped(),
    Row::roles("/countersign.v1.PolicyService/EngageKillSwitch", &[PolicyAdmin]).stopping(),
    Row::roles("/countersign.v1.PolicyService/ReleaseKillSwitch", &[PolicyAdmin]),
    Row::roles("/countersign.v1.PolicyService/ListKillSwitches", &[PolicyAdmin, Gate, Auditor]).reading(),
    Row::roles("/countersign.v1.PolicyService/ProposeCacheExtension", &[PolicyAdmin]),
    Row::roles("/countersign.v1.PolicyService/ConfirmCacheExtension", &[PolicyAdmin, Approver]),
    Row::roles("/countersign.v1.PolicyService/EndCacheExtension", &[PolicyAdmin, Approver]).stopping(),
    Row::roles("/countersign.v1.PolicyService/ListCacheExtensions", &[PolicyAdmin, Approver, Gate, Auditor]).reading(),

    Row::roles("/countersign.v1.RolloutService/StartRollout", &[PolicyAdmin]),
    Row::roles("/countersign.v1.RolloutService/GetRollout", &[Gate, PolicyAdmin, Auditor, Admin]).reading().scoped(),
    Row::roles("/countersign.v1.RolloutService/ListRollouts", &[Gate, PolicyAdmin, Auditor, Admin]).reading().scoped(),
    Row::roles("/countersign.v1.RolloutService/AdvanceRollout", &[PolicyAdmin]),
    Row::roles("/countersign.v1.RolloutService/PauseRollout", &[PolicyAdmin]).stopping(),
    Row::roles("/countersign.v1.RolloutService/ResumeRollout", &[PolicyAdmin]),
    Row::roles("/countersign.v1.RolloutService/RollbackRollout", &[PolicyAdmin]).stopping(),
    Row::or_instance("/countersign.v1.RolloutService/WatchRollouts", &[Gate, PolicyAdmin, Auditor, Admin]).streamed().scoped(),

    Row::or_reporting_instance("/countersign.v1.CustodyService/RecordToolCall", &[Gate]).scoped(),
    Row::or_reporting_instance("/countersign.v1.CustodyService/BatchRecordToolCalls", &[Gate]).scoped(),
    Row::roles("/countersign.v1.CustodyService/ListEvents", &[Auditor]).reading(),
    Row::roles("/countersign.v1.CustodyService/GetCustodyChain", &[Auditor, Gate, Admin]).reading(),
    Row::roles("/countersign.v1.CustodyService/ListOpenDecisions", &[Auditor]).reading(),
    Row::roles("/countersign.v1.CustodyService/GetCheckpoint", &[Auditor]).working(),
    Row::roles("/countersign.v1.CustodyService/GetInclusionProof", &[Auditor]).working(),
    Row::roles("/countersign.v1.CustodyService/GetConsistencyProof", &[Auditor]).working(),
    Row::roles("/countersign.v1.CustodyService/GetTile", &[Auditor]).reading(),
    Row::roles("/countersign.v1.CustodyService/GetEntries", &[Auditor]).reading(),
    Row::roles("/countersign.v1.CustodyService/ExportEvidence", &[Auditor]).streamed(),

    Row::roles("/countersign.v1.KeyService/ListSigningKeys", &[Admin, Auditor]).reading(),
    Row::roles("/countersign.v1.KeyService/RotateSigningKey", &[Admin]),
    Row::roles("/countersign.v1.KeyService/MarkKeyCompromised", &[Admin]).stopping(),

    Row::roles("/countersign.v1.OperatorService/CreateOperator", &[Admin]),
    Row::roles("/countersign.v1.OperatorService/ListOperators", &[Admin, Auditor]).reading(),
    Row::roles("/countersign.v1.OperatorService/SetOperatorRoles", &[Admin]),
    Row::roles("/countersign.v1.OperatorService/DisableOperator", &[Admin]).stopping(),
    Row::roles("/countersign.v1.OperatorService/EnableOperator", &[Admin]),
    Row::roles("/countersign.v1.OperatorService/DeleteOperator", &[Admin]).stopping(),
    Row::roles("/countersign.v1.OperatorService/CreateApiKey", &[Admin]),
    Row::roles("/countersign.v1.OperatorService/ConfirmApiKey", &[Admin, Approver]),
    Row::roles("/countersign.v1.OperatorService/ListApiKeys", &[Admin, Auditor]).reading(),
    Row::roles("/countersign.v1.OperatorService/RevokeApiKey", &[Admin]).stopping(),
    Row::roles("/countersign.v1.OperatorService/BindPerson", &[Admin]),
    Row::roles("/countersign.v1.OperatorService/ConfirmPerson", &[Admin, Approver]),
    Row::roles("/countersign.v1.OperatorService/ListPersonBindings", &[Admin, Approver, Auditor]).reading(),
    Row::authenticated("/countersign.v1.OperatorService/WhoAmI").working(),

    Row::authenticated("/countersign.v1.StatusService/GetReadiness").working(),
    Row::roles("/countersign.v1.StatusService/GetIndicators", &[PolicyAdmin, Auditor, Admin]).reading(),

    Row::roles("/envoy.service.auth.v3.Authorization/Check", &[Gate]).working().scoped(),
    Row::roles("/agentgateway.dev.ext_mcp.ExtMcp/CheckRequest", &[Gate]).working().scoped(),
    Row::roles("/agentgateway.dev.ext_mcp.ExtMcp/CheckResponse", &[Gate]).working().scoped(),

    Row::open("/grpc.health.v1.Health/Check"),
    Row::open("/grpc.health.v1.Health/Watch").streamed(),
    Row::open("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").streamed(),
    Row::open("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo").streamed(),
];
