use countersign_proto::v1::{self, approval_service_server::ApprovalService};
use tonic::{Request, Response, Status};

use super::{Api, answer, ground, operator};
use crate::convert::approval as convert;

#[tonic::async_trait]
impl ApprovalService for Api {
    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        answer(request, |caller, request| async move {
            let ground = ground(&caller, "/countersign.v1.ApprovalService/GetApproval")?;
            let found = self.app.get_approval(operator(&caller)?, ground, convert::get(&request)?).await?;
            Ok(v1::GetApprovalResponse { approval: Some(convert::approval(found)) })
        })
        .await
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        answer(request, |caller, request| async move {
            let (filter, paging) = convert::list(request)?;
            let ground = ground(&caller, "/countersign.v1.ApprovalService/ListApprovals")?;
            let page = self.app.list_approvals(operator(&caller)?, ground, filter, paging.page.clone()).await?;
            Ok(v1::ListApprovalsResponse {
                next_page_token: paging.token(page.next),
                approvals: page.items.into_iter().map(convert::approval).collect(),
            })
        })
        .await
    }

    async fn approve(&self, request: Request<v1::ApproveRequest>) -> Result<Response<v1::ApproveResponse>, Status> {
        answer(request, |caller, request| async move {
            let (yes, idem) = convert::approve(request)?;
            let ground = ground(&caller, "/countersign.v1.ApprovalService/Approve")?;
            let approved = self.app.answer_approval(operator(&caller)?, ground, yes, idem).await?;
            Ok(v1::ApproveResponse { approval: Some(convert::approval(approved.approval)) })
        })
        .await
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Result<Response<v1::RejectResponse>, Status> {
        answer(request, |caller, request| async move {
            let (no, idem) = convert::reject(request)?;
            let ground = ground(&caller, "/countersign.v1.ApprovalService/Reject")?;
            let rejected = self.app.answer_approval(operator(&caller)?, ground, no, idem).await?;
            let (approval, log_index) = (Some(convert::approval(rejected.approval)), rejected.log_index);
            Ok(v1::RejectResponse { approval, log_index })
        })
        .await
    }

    async fn wait_approval(
        &self,
        request: Request<v1::WaitApprovalRequest>,
    ) -> Result<Response<v1::WaitApprovalResponse>, Status> {
        answer(request, |caller, request| async move {
            let (id, wait) = convert::wait(&request)?;
            let approval = self.app.wait_approval(&caller, id, wait).await?;
            Ok(v1::WaitApprovalResponse { approval: Some(convert::approval(approval)) })
        })
        .await
    }
}
