//! The methods of PolicyService.

use countersign_core::cache_extension::CacheExtension;
use countersign_proto::v1::{self, policy_service_server::PolicyService};
use futures::{StreamExt, stream};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Api, answer, request_id, watch};
use crate::{
    convert::{cache_extension, kill_switch, policy as convert, simulation},
    status::Refusal,
};

impl Api {
    /// An extension right after a change of it.
    fn cache_extension(&self, changed: CacheExtension) -> v1::CacheExtension {
        let (extension, state) = self.app.standing_of(changed);
        cache_extension::extension(extension, state)
    }
}

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
            let done = self.app.create_policy(caller.require_operator()?, create, idem).await?;
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
            let done = self.app.activate_policy(caller.require_operator()?, activate, idem).await?;
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

    async fn watch_policy(
        &self,
        request: Request<v1::WatchPolicyRequest>,
    ) -> Result<Response<Self::WatchPolicyStream>, Status> {
        answer(request, |_, _| async move {
            let stream = watch::policy(self.app.watch_policy(), self.app.even_now());
            Ok(Box::pin(stream) as Self::WatchPolicyStream)
        })
        .await
    }

    async fn engage_kill_switch(
        &self,
        request: Request<v1::EngageKillSwitchRequest>,
    ) -> Result<Response<v1::EngageKillSwitchResponse>, Status> {
        answer(request, |caller, request| async move {
            let (engage, idem) = kill_switch::engage(request)?;
            let done = self.app.engage_kill_switch(caller.require_operator()?, engage, idem).await?;
            let kill_switch = Some(kill_switch::kill_switch(&done.kill_switch));
            Ok(v1::EngageKillSwitchResponse { kill_switch, log_index: done.log_index })
        })
        .await
    }

    async fn release_kill_switch(
        &self,
        request: Request<v1::ReleaseKillSwitchRequest>,
    ) -> Result<Response<v1::ReleaseKillSwitchResponse>, Status> {
        answer(request, |caller, request| async move {
            let (release, idem) = kill_switch::release(request)?;
            let log_index = self.app.release_kill_switch(caller.require_operator()?, release, idem).await?;
            Ok(v1::ReleaseKillSwitchResponse { log_index })
        })
        .await
    }

    async fn list_kill_switches(
        &self,
        request: Request<v1::ListKillSwitchesRequest>,
    ) -> Result<Response<v1::ListKillSwitchesResponse>, Status> {
        answer(request, |_, request| async move {
            let (scope, paging) = kill_switch::list(request)?;
            let page = self.app.list_kill_switches(scope, paging.page.clone()).await?;
            Ok(v1::ListKillSwitchesResponse {
                next_page_token: paging.token(page.next),
                kill_switches: page.items.iter().map(kill_switch::kill_switch).collect(),
            })
        })
        .await
    }

    async fn propose_cache_extension(
        &self,
        request: Request<v1::ProposeCacheExtensionRequest>,
    ) -> Result<Response<v1::ProposeCacheExtensionResponse>, Status> {
        answer(request, |caller, request| async move {
            let (propose, idem) = cache_extension::propose(request)?;
            let done = self.app.propose_cache_extension(caller.require_operator()?, propose, idem).await?;
            let cache_extension = Some(self.cache_extension(done.cache_extension));
            Ok(v1::ProposeCacheExtensionResponse { cache_extension, log_index: done.log_index })
        })
        .await
    }

    async fn confirm_cache_extension(
        &self,
        request: Request<v1::ConfirmCacheExtensionRequest>,
    ) -> Result<Response<v1::ConfirmCacheExtensionResponse>, Status> {
        answer(request, |caller, request| async move {
            let (confirm, idem) = cache_extension::confirm(request)?;
            let done = self.app.change_cache_extension(caller.require_operator()?, confirm, idem).await?;
            let cache_extension = Some(self.cache_extension(done.cache_extension));
            Ok(v1::ConfirmCacheExtensionResponse { cache_extension, log_index: done.log_index })
        })
        .await
    }

    async fn end_cache_extension(
        &self,
        request: Request<v1::EndCacheExtensionRequest>,
    ) -> Result<Response<v1::EndCacheExtensionResponse>, Status> {
        answer(request, |caller, request| async move {
            let (end, idem) = cache_extension::end(request)?;
            let done = self.app.change_cache_extension(caller.require_operator()?, end, idem).await?;
            let cache_extension = Some(self.cache_extension(done.cache_extension));
            Ok(v1::EndCacheExtensionResponse { cache_extension, log_index: done.log_index })
        })
        .await
    }

    async fn list_cache_extensions(
        &self,
        request: Request<v1::ListCacheExtensionsRequest>,
    ) -> Result<Response<v1::ListCacheExtensionsResponse>, Status> {
        answer(request, |_, request| async move {
            let paging = cache_extension::list(request)?;
            let page = self.app.list_cache_extensions(paging.page.clone()).await?;
            Ok(v1::ListCacheExtensionsResponse {
                next_page_token: paging.token(page.next),
                cache_extensions: page
                    .items
                    .into_iter()
                    .map(|(extension, state)| cache_extension::extension(extension, state))
                    .collect(),
            })
        })
        .await
    }
}
