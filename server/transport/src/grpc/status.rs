use countersign_proto::v1::{self, status_service_server::StatusService};
use tonic::{Request, Response, Status};

use super::{Api, answer, unimplemented::unimplemented_methods};
use crate::convert::status as convert;

#[tonic::async_trait]
impl StatusService for Api {
    async fn get_readiness(
        &self,
        request: Request<v1::GetReadinessRequest>,
    ) -> Result<Response<v1::GetReadinessResponse>, Status> {
        answer(request, |_, _| async move { Ok(convert::readiness(self.app.readiness())) }).await
    }

    unimplemented_methods! { "StatusService":
        get_indicators(GetIndicatorsRequest) -> v1::GetIndicatorsResponse = "GetIndicators";
    }
}
