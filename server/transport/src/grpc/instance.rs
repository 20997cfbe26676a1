//! The methods of InstanceService.

use countersign_proto::v1::{self, instance_service_server::InstanceService};
use tonic::{Request, Response, Status};

use super::{Api, answer, answer_or_owner};
use crate::convert::instance as convert;

#[tonic::async_trait]
impl InstanceService for Api {
    async fn get_instance(
        &self,
        request: Request<v1::GetInstanceRequest>,
    ) -> Result<Response<v1::GetInstanceResponse>, Status> {
        answer(request, |caller, request| async move {
            let instance = self.app.get_instance(caller.require_operator()?, &convert::get(&request)?).await?;
            Ok(v1::GetInstanceResponse { instance: Some(convert::instance(instance)) })
        })
        .await
    }

    async fn list_instances(
        &self,
        request: Request<v1::ListInstancesRequest>,
    ) -> Result<Response<v1::ListInstancesResponse>, Status> {
        answer(request, |_, request| async move {
            let (filter, paging) = convert::list(request)?;
            let page = self.app.list_instances(filter, paging.page.clone()).await?;
            Ok(v1::ListInstancesResponse {
                next_page_token: paging.token(page.next),
                instances: page.items.into_iter().map(convert::instance).collect(),
            })
        })
        .await
    }

    async fn revoke_instance(
        &self,
        request: Request<v1::RevokeInstanceRequest>,
    ) -> Result<Response<v1::RevokeInstanceResponse>, Status> {
        answer_or_owner(request, |authorized, request| async move {
            let (revoke, idem) = convert::revoke(request)?;
            let done = self.app.transition_instance(&authorized, revoke, idem).await?;
            Ok(v1::RevokeInstanceResponse {
                instance: Some(convert::changed(done.instance)),
                revoked_instance_count: done.stopped_instance_count,
                log_index: done.log_index,
            })
        })
        .await
    }

    async fn end_instance(
        &self,
        request: Request<v1::EndInstanceRequest>,
    ) -> Result<Response<v1::EndInstanceResponse>, Status> {
        answer_or_owner(request, |authorized, request| async move {
            let (end, idem) = convert::end(request)?;
            let done = self.app.transition_instance(&authorized, end, idem).await?;
            let (instance, log_index) = (Some(convert::changed(done.instance)), done.log_index);
            Ok(v1::EndInstanceResponse { instance, log_index })
        })
        .await
    }

    async fn accept_instance(
        &self,
        request: Request<v1::AcceptInstanceRequest>,
    ) -> Result<Response<v1::AcceptInstanceResponse>, Status> {
        answer(request, |caller, request| async move {
            let (accept, idem) = convert::accept(request)?;
            let instance = self.app.accept_instance(caller.require_operator()?, accept, idem).await?;
            Ok(v1::AcceptInstanceResponse { instance: Some(convert::changed(instance)) })
        })
        .await
    }
}
