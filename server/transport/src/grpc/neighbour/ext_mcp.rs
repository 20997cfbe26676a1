use countersign_proto::neighbours::agentgateway::dev::ext_mcp::{
    McpRequest, McpRequestResult, McpResponse, McpResponseResult, ext_mcp_server::ExtMcp,
};
use tonic::{Request, Response, Status};

use super::super::{Api, answer, request_id};
use crate::{convert::neighbour::ext_mcp as convert, status::Refusal};

#[tonic::async_trait]
impl ExtMcp for Api {
    async fn check_request(&self, request: Request<McpRequest>) -> Result<Response<McpRequestResult>, Status> {
        let request_id = request_id(request.extensions());
        answer(request, |caller, request| async move {
            if !convert::reaches_a_tool(&request.method) {
                return Ok(convert::passed());
            }
            let decided = async { self.app.decide(&caller, convert::call(&request)?).await };
            Ok(match decided.await {
                Ok(answer) => convert::decided(&answer),
                Err(error) => convert::undecided_call(&Refusal::from(error).status(&request_id)),
            })
        })
        .await
    }

    async fn check_response(&self, request: Request<McpResponse>) -> Result<Response<McpResponseResult>, Status> {
        let request_id = request_id(request.extensions());
        answer(request, |caller, response| async move {
            if !convert::reaches_a_tool(&response.method) {
                return Ok(convert::passed_result());
            }
            let recorded = async { self.app.record_tool_call(&caller, convert::outcome(&response)?).await };
            Ok(match recorded.await {
                Ok(_) => convert::passed_result(),
                Err(error) => convert::unrecorded_result(&Refusal::from(error).status(&request_id)),
            })
        })
        .await
    }
}
