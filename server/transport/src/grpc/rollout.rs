use countersign_proto::v1::{self, rollout_service_server::RolloutService};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Api, answer, operator, unimplemented::unimplemented_methods, watch};
use crate::convert::rollout::{self as convert, Sight};

#[tonic::async_trait]
impl RolloutService for Api {
    type WatchRolloutsStream = BoxStream<v1::WatchRolloutsResponse>;

    async fn start_rollout(
        &self,
        request: Request<v1::StartRolloutRequest>,
    ) -> Result<Response<v1::StartRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let (start, idem) = convert::start(request)?;
            let done = self.app.start_rollout(operator(&caller)?, start, idem).await?;
            let rollout = convert::rollout(&done.rollout, Sight::of(&caller));
            Ok(v1::StartRolloutResponse { rollout: Some(rollout), log_index: done.log_index })
        })
        .await
    }

    async fn get_rollout(
        &self,
        request: Request<v1::GetRolloutRequest>,
    ) -> Result<Response<v1::GetRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let rollout = self.app.get_rollout(&convert::get(&request)?).await?;
            Ok(v1::GetRolloutResponse { rollout: Some(convert::rollout(&rollout, Sight::of(&caller))) })
        })
        .await
    }

    async fn list_rollouts(
        &self,
        request: Request<v1::ListRolloutsRequest>,
    ) -> Result<Response<v1::ListRolloutsResponse>, Status> {
        answer(request, |caller, request| async move {
            let (filter, paging) = convert::list(request)?;
            let page = self.app.list_rollouts(filter, paging.page.clone()).await?;
            let sight = Sight::of(&caller);
            Ok(v1::ListRolloutsResponse {
                next_page_token: paging.token(page.next),
                rollouts: page.items.iter().map(|rollout| convert::rollout(rollout, sight)).collect(),
            })
        })
        .await
    }

    async fn advance_rollout(
        &self,
        request: Request<v1::AdvanceRolloutRequest>,
    ) -> Result<Response<v1::AdvanceRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let (advance, idem) = convert::advance(request)?;
            let done = self.app.advance_rollout(operator(&caller)?, advance, idem).await?;
            let rollout = convert::rollout(&done.rollout, Sight::of(&caller));
            Ok(v1::AdvanceRolloutResponse { rollout: Some(rollout), log_index: done.log_index })
        })
        .await
    }

    async fn rollback_rollout(
        &self,
        request: Request<v1::RollbackRolloutRequest>,
    ) -> Result<Response<v1::RollbackRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let (rollback, idem) = convert::rollback(request)?;
            let done = self.app.rollback_rollout(operator(&caller)?, rollback, idem).await?;
            Ok(v1::RollbackRolloutResponse {
                rollout: Some(convert::rollout(&done.rollout, Sight::of(&caller))),
                log_index: done.log_index,
                // Both sides are not compared call by call yet, so no window has figures.
                new_allows: 0,
            })
        })
        .await
    }

    async fn watch_rollouts(
        &self,
        request: Request<v1::WatchRolloutsRequest>,
    ) -> Result<Response<Self::WatchRolloutsStream>, Status> {
        answer(request, |caller, _| async move {
            let (open, app) = (self.app.watch_rollouts(), self.app.clone());
            let stream = watch::rollouts(open, Sight::of(&caller), move || app.clock().now());
            Ok(Box::pin(stream) as Self::WatchRolloutsStream)
        })
        .await
    }

    unimplemented_methods! { "RolloutService":
        pause_rollout(PauseRolloutRequest) -> v1::PauseRolloutResponse = "PauseRollout";
        resume_rollout(ResumeRolloutRequest) -> v1::ResumeRolloutResponse = "ResumeRollout";
    }
}
