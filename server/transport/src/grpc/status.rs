//! The methods of StatusService. Only operators are warned about what expires soon.

use countersign_app::Caller;
use countersign_proto::v1::{self, status_service_server::StatusService};
use tonic::{Request, Response, Status};

use super::{Api, answer};
use crate::convert::status as convert;

#[tonic::async_trait]
impl StatusService for Api {
    async fn get_readiness(
        &self,
        request: Request<v1::GetReadinessRequest>,
    ) -> Result<Response<v1::GetReadinessResponse>, Status> {
        answer(request, |caller, _| async move {
            let mut readiness = self.app.readiness();
            // Agents do not need to know the owner of the key or review.
            if matches!(caller, Caller::Operator(_)) {
                readiness.warnings.extend(self.app.expiry_warnings());
            }
            Ok(convert::readiness(readiness))
        })
        .await
    }

    async fn get_indicators(
        &self,
        request: Request<v1::GetIndicatorsRequest>,
    ) -> Result<Response<v1::GetIndicatorsResponse>, Status> {
        answer(request, |_, request| async move {
            let window = self.app.indicators(convert::window(&request)?).await?;
            Ok(convert::indicators(&window))
        })
        .await
    }
}
