use countersign_proto::v1::{self, instance_service_server::InstanceService};
use tonic::{Request, Response, Status};

use super::{Api, answer, unimplemented::unimplemented_methods};
use crate::convert::instance as convert;

#[tonic::async_trait]
impl InstanceService for Api {
    async fn get_instance(
        &self,
        request: Request<v1::GetInstanceRequest>,
    ) -> Result<Response<v1::GetInstanceResponse>, Status> {
        answer(request, |_, request| async move {
            let instance = self.app.get_instance(&convert::get(&request)?).await?;
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

    unimplemented_methods! { "InstanceService":
        revoke_instance(RevokeInstanceRequest) -> v1::RevokeInstanceResponse = "RevokeInstance";
        end_instance(EndInstanceRequest) -> v1::EndInstanceResponse = "EndInstance";
        accept_instance(AcceptInstanceRequest) -> v1::AcceptInstanceResponse = "AcceptInstance";
    }
}
