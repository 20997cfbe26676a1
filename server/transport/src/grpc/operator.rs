use countersign_proto::v1::{self, operator_service_server::OperatorService};
use tonic::{Request, Response, Status};

use super::{Api, answer, unimplemented::unimplemented_methods};
use crate::convert::operator as convert;

#[tonic::async_trait]
impl OperatorService for Api {
    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        answer(request, |caller, _| async move { Ok(convert::who(&caller)) }).await
    }

    unimplemented_methods! { "OperatorService":
        create_operator(CreateOperatorRequest) -> v1::CreateOperatorResponse = "CreateOperator";
        list_operators(ListOperatorsRequest) -> v1::ListOperatorsResponse = "ListOperators";
        create_api_key(CreateApiKeyRequest) -> v1::CreateApiKeyResponse = "CreateApiKey";
        list_api_keys(ListApiKeysRequest) -> v1::ListApiKeysResponse = "ListApiKeys";
        revoke_api_key(RevokeApiKeyRequest) -> v1::RevokeApiKeyResponse = "RevokeApiKey";
    }
}
