//! The methods of SvidService.

use countersign_proto::v1::{self, svid_service_server::SvidService};
use tonic::{Request, Response, Status};

use super::{Api, answer};
use crate::convert::svid as convert;

#[tonic::async_trait]
impl SvidService for Api {
    async fn mint_jwt_svid(
        &self,
        request: Request<v1::MintJwtSvidRequest>,
    ) -> Result<Response<v1::MintJwtSvidResponse>, Status> {
        answer(request, |caller, request| async move {
            let (mint, idem) = convert::mint_jwt(request)?;
            self.app.mint_jwt_svid(&caller, mint, idem).await.map(convert::minted_jwt)
        })
        .await
    }

    async fn mint_x509_svid(
        &self,
        request: Request<v1::MintX509SvidRequest>,
    ) -> Result<Response<v1::MintX509SvidResponse>, Status> {
        answer(request, |caller, request| async move {
            let (mint, idem) = convert::mint_x509(request)?;
            self.app.mint_x509_svid(&caller, mint, idem).await.map(convert::minted_x509)
        })
        .await
    }
}
