//! The methods of RolloutService.

use countersign_proto::v1::{self, rollout_service_server::RolloutService};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Api, answer, watch};
use crate::convert::{
    rollout as convert,
    rollout_report::{RolloutVisibility, rollout},
    wide,
};

#[tonic::async_trait]
impl RolloutService for Api {
    type WatchRolloutsStream = BoxStream<v1::WatchRolloutsResponse>;

    async fn start_rollout(
        &self,
        request: Request<v1::StartRolloutRequest>,
    ) -> Result<Response<v1::StartRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let (start, idem) = convert::start(request)?;
            let done = self.app.start_rollout(caller.require_operator()?, start, idem).await?;
            let rollout = Some(rollout(&done.rollout, RolloutVisibility::of(&caller)));
            Ok(v1::StartRolloutResponse { rollout, log_index: done.log_index })
        })
        .await
    }

    async fn get_rollout(
        &self,
        request: Request<v1::GetRolloutRequest>,
    ) -> Result<Response<v1::GetRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let report = self.app.get_rollout(&convert::get(&request)?).await?;
            Ok(v1::GetRolloutResponse { rollout: Some(rollout(&report, RolloutVisibility::of(&caller))) })
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
            let visibility = RolloutVisibility::of(&caller);
            Ok(v1::ListRolloutsResponse {
                next_page_token: paging.token(page.next),
                rollouts: page.items.iter().map(|report| rollout(report, visibility)).collect(),
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
            let done = self.app.advance_rollout(caller.require_operator()?, advance, idem).await?;
            let rollout = Some(rollout(&done.rollout, RolloutVisibility::of(&caller)));
            Ok(v1::AdvanceRolloutResponse { rollout, log_index: done.log_index })
        })
        .await
    }

    async fn pause_rollout(
        &self,
        request: Request<v1::PauseRolloutRequest>,
    ) -> Result<Response<v1::PauseRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let (pause, idem) = convert::pause(request)?;
            let done = self.app.pause_rollout(caller.require_operator()?, pause, idem).await?;
            let rollout = Some(rollout(&done.rollout, RolloutVisibility::of(&caller)));
            Ok(v1::PauseRolloutResponse { rollout, log_index: done.log_index })
        })
        .await
    }

    async fn resume_rollout(
        &self,
        request: Request<v1::ResumeRolloutRequest>,
    ) -> Result<Response<v1::ResumeRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let (resume, idem) = convert::resume(request)?;
            let done = self.app.resume_rollout(caller.require_operator()?, resume, idem).await?;
            let rollout = Some(rollout(&done.rollout, RolloutVisibility::of(&caller)));
            Ok(v1::ResumeRolloutResponse { rollout, log_index: done.log_index })
        })
        .await
    }

    async fn rollback_rollout(
        &self,
        request: Request<v1::RollbackRolloutRequest>,
    ) -> Result<Response<v1::RollbackRolloutResponse>, Status> {
        answer(request, |caller, request| async move {
            let (rollback, idem) = convert::rollback(request)?;
            let done = self.app.rollback_rollout(caller.require_operator()?, rollback, idem).await?;
            Ok(v1::RollbackRolloutResponse {
                rollout: Some(rollout(&done.changed.rollout, RolloutVisibility::of(&caller))),
                log_index: done.changed.log_index,
                new_allows: wide(done.new_allows),
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
            let stream = watch::rollouts(open, RolloutVisibility::of(&caller), move || app.clock().now());
            Ok(Box::pin(stream) as Self::WatchRolloutsStream)
        })
        .await
    }
}
