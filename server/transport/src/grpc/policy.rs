use countersign_proto::v1::{self, policy_service_server::PolicyService};
use futures::{StreamExt, stream};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Api, answer, operator, request_id, unimplemented::unimplemented_methods};
use crate::{
    convert::{policy as convert, simulation},
    status::Refusal,
};

#[tonic::async_trait]
impl PolicyService for Api {
    type SimulatePolicyStream = BoxStream<v1::SimulatePolicyResponse>;
    type WatchPolicyStream = BoxStream<v1::WatchPolicyResponse>;

    async fn validate_policy(
        &self,
        request: Request<v1::ValidatePolicyRequest>,
    ) -> Result<Response<v1::ValidatePolicyResponse>, Status> {
        answer(request, |_, request| async move {
            Ok(convert::validated(self.app.validate_policy(request.document, request.cedar).await?))
        })
        .await
    }

    async fn create_policy(
        &self,
        request: Request<v1::CreatePolicyRequest>,
    ) -> Result<Response<v1::CreatePolicyResponse>, Status> {
        answer(request, |caller, request| async move {
            let (create, idem) = convert::create(request)?;
            let done = self.app.create_policy(operator(&caller)?, create, idem).await?;
            Ok(v1::CreatePolicyResponse {
                policy: Some(convert::policy(done.policy)),
                created: done.created,
                log_index: done.log_index,
            })
        })
        .await
    }

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        answer(request, |_, request| async move {
            let policy = self.app.get_policy(convert::get(&request)?).await?;
            Ok(v1::GetPolicyResponse { policy: Some(convert::policy(policy)) })
        })
        .await
    }

    async fn list_policies(
        &self,
        request: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        answer(request, |_, request| async move {
            let (filter, paging) = convert::list(request)?;
            let page = self.app.list_policies(filter, paging.page.clone()).await?;
            Ok(v1::ListPoliciesResponse {
                next_page_token: paging.token(page.next),
                policies: page.items.into_iter().map(convert::policy).collect(),
            })
        })
        .await
    }

    async fn activate_policy(
        &self,
        request: Request<v1::ActivatePolicyRequest>,
    ) -> Result<Response<v1::ActivatePolicyResponse>, Status> {
        answer(request, |caller, request| async move {
            let (activate, idem) = convert::activate(request)?;
            let done = self.app.activate_policy(operator(&caller)?, activate, idem).await?;
            Ok(v1::ActivatePolicyResponse { policy: Some(convert::policy(done.policy)), log_index: done.log_index })
        })
        .await
    }

    async fn simulate_policy(
        &self,
        request: Request<v1::SimulatePolicyRequest>,
    ) -> Result<Response<Self::SimulatePolicyStream>, Status> {
        let request_id = request_id(request.extensions());
        answer(request, |_, request| async move {
            let pieces = self.app.simulate_policy(simulation::simulate(request)?).await?;
            let messages = pieces.flat_map(move |piece| {
                stream::iter(match piece {
                    Ok(piece) => simulation::messages(piece).into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(Refusal::from(error).status(&request_id))],
                })
            });
            Ok(Box::pin(messages) as Self::SimulatePolicyStream)
        })
        .await
    }

    unimplemented_methods! { "PolicyService":
        watch_policy(WatchPolicyRequest) -> Self::WatchPolicyStream = "WatchPolicy";
        engage_kill_switch(EngageKillSwitchRequest) -> v1::EngageKillSwitchResponse = "EngageKillSwitch";
        release_kill_switch(ReleaseKillSwitchRequest) -> v1::ReleaseKillSwitchResponse = "ReleaseKillSwitch";
        list_kill_switches(ListKillSwitchesRequest) -> v1::ListKillSwitchesResponse = "ListKillSwitches";
    }
}
