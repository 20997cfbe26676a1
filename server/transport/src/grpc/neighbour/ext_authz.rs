use countersign_app::Error;
use countersign_proto::neighbours::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, authorization_server::Authorization,
};
use tonic::{Request, Response, Status};

use super::super::{Api, answer, request_id};
use crate::{convert::neighbour::ext_authz as convert, status::Refusal};

#[tonic::async_trait]
impl Authorization for Api {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let request_id = request_id(request.extensions());
        answer(request, |caller, request| async move {
            let decided = async {
                let call = convert::call(request)?;
                let answer = self.app.decide(&caller, call.decide).await?;
                Ok::<_, Error>(convert::decided(&answer, call.forward_credential))
            };
            // An answer, too, where there is no decision: what Envoy does with errors is its configuration's to say.
            Ok(decided.await.unwrap_or_else(|error| convert::failed(&Refusal::from(error).status(&request_id))))
        })
        .await
    }
}
