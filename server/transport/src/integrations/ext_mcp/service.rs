//! The methods of agentgateway's `ExtMcp`: a call of a tool is a decision, and its result the outcome.

use countersign_core::decision::Reason;
use countersign_proto::third_party::agentgateway::dev::ext_mcp::{
    McpRequest, McpRequestResult, McpResponse, McpResponseResult, ext_mcp_server::ExtMcp,
};
use tonic::{Request, Response, Status};

use super::{
    convert,
    methods::{Handling, handling},
};
use crate::{
    grpc::{Api, traced},
    offload::reading,
};

#[tonic::async_trait]
impl ExtMcp for Api {
    async fn check_request(&self, request: Request<McpRequest>) -> Result<Response<McpRequestResult>, Status> {
        traced(request, |caller, header, request| async move {
            let refused = match handling(&request.method) {
                Handling::Passed => return Ok(convert::passed()),
                Handling::Decided => None,
                Handling::Refused => Some(Reason::MethodUnknown),
            };
            let bytes = request.mcp_request.as_ref().map_or(0, Vec::len);
            let mut call = reading(bytes, move || convert::call(&request, refused)).await?;
            call.decide.trace = call.decide.trace.or(header);
            let answer = self.app.decide(&caller, call.decide).await?;
            Ok(convert::decided(&answer, call.canonical))
        })
        .await
    }

    async fn check_response(&self, request: Request<McpResponse>) -> Result<Response<McpResponseResult>, Status> {
        traced(request, |caller, header, response| async move {
            match handling(&response.method) {
                Handling::Passed => Ok(convert::passed_result(None)),
                Handling::Refused => Err(convert::unknown()),
                Handling::Decided => {
                    let bytes = response.mcp_response.len();
                    let mut ended = reading(bytes, move || convert::outcome(&response)).await?;
                    ended.record.trace = header;
                    self.app.record_tool_call(&caller, ended.record).await?;
                    Ok(convert::passed_result(ended.canonical))
                }
            }
        })
        .await
    }
}
