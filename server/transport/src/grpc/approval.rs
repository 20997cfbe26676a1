use countersign_proto::v1::{self, approval_service_server::ApprovalService};

use super::{Api, unimplemented::unimplemented_methods};

#[tonic::async_trait]
impl ApprovalService for Api {
    unimplemented_methods! { "ApprovalService":
        get_approval(GetApprovalRequest) -> v1::GetApprovalResponse = "GetApproval";
        list_approvals(ListApprovalsRequest) -> v1::ListApprovalsResponse = "ListApprovals";
        approve(ApproveRequest) -> v1::ApproveResponse = "Approve";
        reject(RejectRequest) -> v1::RejectResponse = "Reject";
        wait_approval(WaitApprovalRequest) -> v1::WaitApprovalResponse = "WaitApproval";
    }
}
