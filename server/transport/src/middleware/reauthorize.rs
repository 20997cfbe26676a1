//! Ends a stream or a wait when its caller may no longer call the method, which is checked again and again (`AGAIN`). A
//! database that does not answer ends none.

use std::{sync::Arc, time::Duration};

use axum::extract::Request;
use countersign_app::Error;
use http::{HeaderMap, header};
use tokio::time::sleep;
use tonic::Status;

use super::{
    AccessControl, PeerCertificate,
    authenticate::{self, is_local},
    call::Call,
};
use crate::{authz::Row, status::Refusal};

/// How often the caller of a stream is checked again.
const AGAIN: Duration = Duration::from_secs(1);

/// The credentials of a stream's caller, which are checked again while the stream lasts.
pub(super) struct StreamAuthorization {
    access: Arc<dyn AccessControl>,
    row: &'static Row,
    headers: HeaderMap,
    local: bool,
    certificate: Option<PeerCertificate>,
    request_id: Arc<str>,
}

impl StreamAuthorization {
    pub(super) fn of(call: &Call, access: &Arc<dyn AccessControl>, row: &'static Row, request: &Request) -> Self {
        let authorization = request.headers().get_all(header::AUTHORIZATION).into_iter();
        let headers = authorization.map(|value| (header::AUTHORIZATION, value.clone())).collect();
        let (access, request_id) = (access.clone(), call.request_id.clone());
        let certificate = request.extensions().get().cloned();
        Self { access, row, headers, local: is_local(request), certificate, request_id }
    }

    /// Returns when the caller may no longer call the method, and why: the key or the credential is no longer valid, or
    /// the role was removed. A database that does not answer for the moment ends no stream.
    pub(super) async fn revoked(self) -> Status {
        loop {
            sleep(AGAIN).await;
            if let Err(error @ (Error::Unauthenticated { .. } | Error::RoleRequired { .. })) = self.ask().await {
                return Refusal::from(error).status(&self.request_id);
            }
        }
    }

    async fn ask(&self) -> Result<(), Error> {
        let access = &*self.access;
        let caller =
            authenticate::caller(access, self.row, &self.headers, self.local, self.certificate.as_ref()).await?;
        authenticate::permit(access, self.row, caller.as_ref())
    }
}
