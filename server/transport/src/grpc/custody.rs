//! The methods of CustodyService, and the size of the pieces in which a bundle of evidence is streamed (`PIECE`).

use bytes::Bytes;
use countersign_proto::v1::{self, custody_service_server::CustodyService};
use futures::{StreamExt as _, stream};
use tonic::{Request, Response, Status, codegen::BoxStream};

use super::{Api, answer, request_id, traced};
use crate::{
    convert::{custody as convert, decision, event, proof},
    status::Refusal,
};

/// The longest piece of a bundle in one message, in bytes.
const PIECE: usize = 64 * 1024;

fn pieces(mut file: Bytes) -> impl Iterator<Item = v1::ExportEvidenceResponse> {
    std::iter::from_fn(move || {
        let piece = file.split_to(PIECE.min(file.len()));
        (!piece.is_empty()).then(|| v1::ExportEvidenceResponse { data: piece.to_vec() })
    })
}

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

    async fn list_open_decisions(
        &self,
        request: Request<v1::ListOpenDecisionsRequest>,
    ) -> Result<Response<v1::ListOpenDecisionsResponse>, Status> {
        answer(request, |_, request| async move {
            let (filter, paging) = convert::list_open(request)?;
            let page = self.app.list_open_decisions(filter, paging.page.clone()).await?;
            Ok(v1::ListOpenDecisionsResponse {
                next_page_token: paging.token(page.next),
                decisions: page.items.into_iter().map(decision::decision).collect(),
            })
        })
        .await
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        answer(request, |_, _| async move {
            let checkpoint = self.app.checkpoint()?;
            Ok(proof::checkpoint(&checkpoint, self.app.log_origin(), self.app.log_verifier_key()))
        })
        .await
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        answer(request, |_, request| async move {
            let wanted = proof::inclusion(&request)?;
            let proof = self.app.inclusion_proof(wanted.log_index, wanted.tree_size).await?;
            Ok(proof::inclusion_proof(proof))
        })
        .await
    }

    async fn get_consistency_proof(
        &self,
        request: Request<v1::GetConsistencyProofRequest>,
    ) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
        answer(request, |_, request| async move {
            let wanted = proof::consistency(&request)?;
            let proof = self.app.consistency_proof(wanted.from_size, wanted.to_size).await?;
            Ok(proof::consistency_proof(&proof))
        })
        .await
    }

    async fn get_tile(&self, request: Request<v1::GetTileRequest>) -> Result<Response<v1::GetTileResponse>, Status> {
        answer(request, |_, request| async move {
            let wanted = proof::tile(&request)?;
            let hashes = self.app.tile(wanted.level, wanted.index, wanted.width).await?;
            Ok(v1::GetTileResponse { hashes })
        })
        .await
    }

    async fn get_entries(
        &self,
        request: Request<v1::GetEntriesRequest>,
    ) -> Result<Response<v1::GetEntriesResponse>, Status> {
        answer(request, |_, request| async move {
            let wanted = proof::entries(&request)?;
            let entries = self.app.entries(wanted.index, wanted.width).await?;
            Ok(v1::GetEntriesResponse { entries })
        })
        .await
    }

    async fn export_evidence(
        &self,
        request: Request<v1::ExportEvidenceRequest>,
    ) -> Result<Response<Self::ExportEvidenceStream>, Status> {
        let request_id = request_id(request.extensions());
        answer(request, |_, request| async move {
            let (app, subject) = (self.app.clone(), convert::evidence(request)?);
            // The stream begins at once, so that the deadline of a call does not count for the making of the bundle.
            let made = async move { app.export_evidence(subject).await };
            let messages = stream::once(made).flat_map(move |made| {
                stream::iter(match made {
                    Ok(file) => pieces(file.into()).map(Ok).collect(),
                    Err(error) => vec![Err(Refusal::from(error).status(&request_id))],
                })
            });
            Ok(Box::pin(messages) as Self::ExportEvidenceStream)
        })
        .await
    }
}
