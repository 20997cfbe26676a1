//! The methods of DecisionService.

use countersign_proto::v1::{self, decision_service_server::DecisionService};
use tonic::{Request, Response, Status};

use super::{Api, answer, traced};
use crate::convert::decision as convert;

#[tonic::async_trait]
impl DecisionService for Api {
    async fn decide(&self, request: Request<v1::DecideRequest>) -> Result<Response<v1::DecideResponse>, Status> {
        traced(request, |caller, header, request| async move {
            let mut call = convert::decide(request)?;
            call.trace = call.trace.or(header);
            self.app.decide(&caller, call).await.map(|answer| convert::answer(answer, &caller))
        })
        .await
    }

    async fn batch_decide(
        &self,
        request: Request<v1::BatchDecideRequest>,
    ) -> Result<Response<v1::BatchDecideResponse>, Status> {
        traced(request, |caller, header, request| async move {
            let (mut calls, idem) = convert::decide_batch(request)?;
            for call in &mut calls {
                call.trace = call.trace.or(header);
            }
            let answers = self.app.decide_batch(&caller, calls, idem).await?;
            let responses = answers.into_iter().map(|answer| convert::answer(answer, &caller)).collect();
            Ok(v1::BatchDecideResponse { responses })
        })
        .await
    }

    async fn get_decision(
        &self,
        request: Request<v1::GetDecisionRequest>,
    ) -> Result<Response<v1::GetDecisionResponse>, Status> {
        answer(request, |caller, request| async move {
            let decision = self.app.get_decision(caller.require_operator()?, &convert::get(&request)?).await?;
            Ok(v1::GetDecisionResponse { decision: Some(convert::decision(decision)) })
        })
        .await
    }

    async fn list_decisions(
        &self,
        request: Request<v1::ListDecisionsRequest>,
    ) -> Result<Response<v1::ListDecisionsResponse>, Status> {
        answer(request, |_, request| async move {
            let (filter, paging) = convert::list(request)?;
            let page = self.app.list_decisions(filter, paging.page.clone()).await?;
            Ok(v1::ListDecisionsResponse {
                next_page_token: paging.token(page.next),
                decisions: page.items.into_iter().map(convert::decision).collect(),
            })
        })
        .await
    }

    async fn explain_decision(
        &self,
        request: Request<v1::ExplainDecisionRequest>,
    ) -> Result<Response<v1::ExplainDecisionResponse>, Status> {
        answer(request, |_, request| async move {
            let (decision, version) = convert::explain(&request)?;
            Ok(convert::explanation(self.app.explain_decision(&decision, version).await?))
        })
        .await
    }
}
