//! The methods of ApprovalService.

use countersign_proto::v1::{self, approval_service_server::ApprovalService};
use tonic::{Request, Response, Status};

use super::{Api, answer, answer_or_owner};
use crate::convert::approval as convert;

#[tonic::async_trait]
impl ApprovalService for Api {
    async fn get_approval(
        &self,
        request: Request<v1::GetApprovalRequest>,
    ) -> Result<Response<v1::GetApprovalResponse>, Status> {
        answer_or_owner(request, |authorized, request| async move {
            let found = self.app.get_approval(&authorized, convert::get(&request)?).await?;
            Ok(v1::GetApprovalResponse { approval: Some(convert::approval(found)) })
        })
        .await
    }

    async fn list_approvals(
        &self,
        request: Request<v1::ListApprovalsRequest>,
    ) -> Result<Response<v1::ListApprovalsResponse>, Status> {
        answer_or_owner(request, |authorized, request| async move {
            let (filter, paging) = convert::list(request)?;
            let page = self.app.list_approvals(&authorized, filter, paging.page.clone()).await?;
            Ok(v1::ListApprovalsResponse {
                next_page_token: paging.token(page.next),
                approvals: page.items.into_iter().map(convert::approval).collect(),
            })
        })
        .await
    }

    async fn approve(&self, request: Request<v1::ApproveRequest>) -> Result<Response<v1::ApproveResponse>, Status> {
        answer_or_owner(request, |authorized, request| async move {
            let (yes, idem) = convert::approve(request)?;
            let approved = self.app.answer_approval(&authorized, yes, idem).await?;
            Ok(v1::ApproveResponse { approval: Some(convert::approval(approved.approval)) })
        })
        .await
    }

    async fn reject(&self, request: Request<v1::RejectRequest>) -> Result<Response<v1::RejectResponse>, Status> {
        answer_or_owner(request, |authorized, request| async move {
            let (no, idem) = convert::reject(request)?;
            let rejected = self.app.answer_approval(&authorized, no, idem).await?;
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
