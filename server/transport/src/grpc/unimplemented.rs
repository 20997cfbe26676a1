//! Methods of the contract that this server does not implement yet.

use countersign_app::Authorized;
use tonic::{Request, Status};

use super::request_id;
use crate::status::Refusal;

/// The methods that answer UNIMPLEMENTED, with `google.rpc.ErrorInfo` saying NOT_IMPLEMENTED. The list only shrinks.
pub(crate) const UNIMPLEMENTED: &[&str] = &["countersign.v1.CustodyService/ExportEvidence"];

/// Methods of a service that answer UNIMPLEMENTED, in the form that `async_trait` gives to a method. A method that is
/// not in [`UNIMPLEMENTED`] does not compile.
macro_rules! unimplemented_methods {
    ($service:literal: $($method:ident($request:ident) -> $response:ty = $name:literal;)+) => {$(
        fn $method<'this, 'async_trait>(
            &'this self,
            request: tonic::Request<v1::$request>,
        ) -> std::pin::Pin<
            Box<dyn Future<Output = Result<tonic::Response<$response>, tonic::Status>> + Send + 'async_trait>,
        >
        where
            'this: 'async_trait,
            Self: 'async_trait,
        {
            const METHOD: &str = concat!("countersign.v1.", $service, "/", $name);
            const { assert!(crate::grpc::unimplemented::is_listed(METHOD), "not in UNIMPLEMENTED") };
            Box::pin(std::future::ready(Err(crate::grpc::unimplemented::refuse(&request, METHOD))))
        }
    )+};
}
pub(super) use unimplemented_methods;

/// The answer to a request for `method`, which is not implemented.
pub(super) fn refuse<M>(request: &Request<M>, method: &str) -> Status {
    // An unauthorised caller is not told what this server can do.
    let refusal = match request.extensions().get::<Authorized>() {
        Some(_) => Refusal::not_implemented(method),
        None => Refusal::unauthenticated("the request carries no caller"),
    };
    refusal.status(&request_id(request.extensions()))
}

/// Whether `method` is in [`UNIMPLEMENTED`], at compile time.
pub(super) const fn is_listed(method: &str) -> bool {
    let mut nth = 0;
    while nth < UNIMPLEMENTED.len() {
        if same(UNIMPLEMENTED[nth].as_bytes(), method.as_bytes()) {
            return true;
        }
        nth += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use countersign_proto::FILE_DESCRIPTOR_SET;
    use prost_reflect::DescriptorPool;

    use super::*;

    /// The methods that this server implements, by service. The list only grows.
    const IMPLEMENTED: [(&str, &str); 12] = [
        (
            "SponsorService",
            "RegisterSponsor ApproveSponsor RejectSponsor SuspendSponsor ReinstateSponsor RecertifySponsor DepartSponsor \
             RevokeSponsor GetSponsor ListSponsors UpdateSponsor",
        ),
        ("InstanceService", "GetInstance ListInstances RevokeInstance EndInstance AcceptInstance"),
        (
            "CredentialService",
            "IssueCredential DelegateCredential IntrospectCredential RevokeCredential RevokeCredentials \
             WatchRevocations",
        ),
        ("ApprovalService", "GetApproval ListApprovals Approve Reject WaitApproval"),
        ("DecisionService", "Decide BatchDecide GetDecision ListDecisions ExplainDecision"),
        (
            "PolicyService",
            "ValidatePolicy CreatePolicy GetPolicy ListPolicies ActivatePolicy SimulatePolicy WatchPolicy EngageKillSwitch \
             ReleaseKillSwitch ListKillSwitches ProposeCacheExtension ConfirmCacheExtension EndCacheExtension ListCacheExtensions",
        ),
        (
            "RolloutService",
            "StartRollout GetRollout ListRollouts AdvanceRollout PauseRollout ResumeRollout RollbackRollout WatchRollouts",
        ),
        (
            "CustodyService",
            "RecordToolCall BatchRecordToolCalls ListEvents GetCustodyChain ListOpenDecisions GetCheckpoint GetInclusionProof \
             GetConsistencyProof GetTile GetEntries",
        ),
        ("KeyService", "ListSigningKeys RotateSigningKey MarkKeyCompromised"),
        (
            "OperatorService",
            "CreateOperator ListOperators SetOperatorRoles DisableOperator EnableOperator DeleteOperator CreateApiKey ConfirmApiKey ListApiKeys RevokeApiKey BindPerson ConfirmPerson ListPersonBindings WhoAmI",
        ),
        ("StatusService", "GetReadiness GetIndicators"),
        ("SvidService", "MintJwtSvid MintX509Svid"),
    ];

    #[test]
    fn methods_are_either_implemented_or_listed() {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        let services = pool.services().filter(|service| service.package_name() == "countersign.v1");
        let methods = services.flat_map(|service| {
            service.methods().map(|method| format!("{}/{}", service.full_name(), method.name())).collect::<Vec<_>>()
        });
        let mut missing: BTreeSet<_> = methods.collect();
        for (service, names) in IMPLEMENTED {
            for name in names.split_whitespace() {
                let method = format!("countersign.v1.{service}/{name}");
                assert!(missing.remove(&method), "{method} is not in the contract");
            }
        }
        assert_eq!(UNIMPLEMENTED, missing.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
