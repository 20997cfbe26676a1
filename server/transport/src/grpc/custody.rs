use countersign_proto::v1::{self, custody_service_server::CustodyService};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Api, answer, traced, unimplemented::unimplemented_methods};
use crate::convert::{custody as convert, event};

#[tonic::async_trait]
impl CustodyService for Api {
    type ExportEvidenceStream = BoxStream<v1::ExportEvidenceResponse>;

    async fn record_tool_call(
        &self,
        request: Request<v1::RecordToolCallRequest>,
    ) -> Result<Response<v1::RecordToolCallResponse>, Status> {
        traced(request, |caller, header, request| async move {
            let mut report = convert::record(request)?;
            report.trace = report.trace.or(header);
            let recorded = self.app.record_tool_call(&caller, report).await?;
            Ok(convert::recorded(&recorded))
        })
        .await
    }

    async fn batch_record_tool_calls(
        &self,
        request: Request<v1::BatchRecordToolCallsRequest>,
    ) -> Result<Response<v1::BatchRecordToolCallsResponse>, Status> {
        traced(request, |caller, header, request| async move {
            let (mut outcomes, idem) = convert::record_batch(request)?;
            for report in &mut outcomes {
                report.trace = report.trace.or(header);
            }
            let recorded = self.app.record_tool_calls(&caller, outcomes, idem).await?;
            Ok(v1::BatchRecordToolCallsResponse { responses: recorded.iter().map(convert::recorded).collect() })
        })
        .await
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        answer(request, |_, request| async move {
            let (filter, paging) = convert::list(request)?;
            let page = self.app.list_events(filter, paging.page.clone()).await?;
            Ok(v1::ListEventsResponse {
                next_page_token: paging.token(page.next),
                events: page.items.into_iter().map(event::event).collect(),
            })
        })
        .await
    }

    async fn get_custody_chain(
        &self,
        request: Request<v1::GetCustodyChainRequest>,
    ) -> Result<Response<v1::GetCustodyChainResponse>, Status> {
        answer(request, |caller, request| async move {
            let chain = self.app.custody_chain(convert::subject(&request)?).await?;
            Ok(v1::GetCustodyChainResponse { chain: Some(convert::chain(chain, &caller)) })
        })
        .await
    }

    unimplemented_methods! { "CustodyService":
        list_open_decisions(ListOpenDecisionsRequest) -> v1::ListOpenDecisionsResponse = "ListOpenDecisions";
        get_checkpoint(GetCheckpointRequest) -> v1::GetCheckpointResponse = "GetCheckpoint";
        get_inclusion_proof(GetInclusionProofRequest) -> v1::GetInclusionProofResponse = "GetInclusionProof";
        get_consistency_proof(GetConsistencyProofRequest) -> v1::GetConsistencyProofResponse = "GetConsistencyProof";
        export_evidence(ExportEvidenceRequest) -> Self::ExportEvidenceStream = "ExportEvidence";
    }
}
