//! The one method of Envoy's `ext_authz`, as a decision.

use countersign_proto::third_party::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, authorization_server::Authorization,
};
use tonic::{Request, Response, Status};

use super::convert;
use crate::grpc::{Api, traced};

#[tonic::async_trait]
impl Authorization for Api {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        traced(request, |caller, header, request| async move {
            let mut call = convert::call(request)?;
            call.decide.trace = call.decide.trace.or(header);
            let answer = self.app.decide(&caller, call.decide).await?;
            Ok(convert::decided(&answer, call.forward_credential))
        })
        .await
    }
}
