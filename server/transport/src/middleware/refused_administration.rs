//! Reports refusals of methods that change something to the application, which records them: those because of the
//! caller's rights (PERMISSION_DENIED), or because a second person is required (FOUR_EYES).

use std::net::IpAddr;

use axum::response::Response;
use countersign_app::{Caller, RefusedAdministration};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{AccessControl, grpc_status};
use crate::authz::{Row, Work};

/// A refusal that is PERMISSION_DENIED by its meaning and not by its code: a second person is required.
const FOR_A_SECOND_PERSON: &str = "FOUR_EYES";

/// The caller and the method, if refusals of the method are recorded.
pub(super) struct AdministrationAudit {
    caller: Caller,
    peer: Option<IpAddr>,
    method: &'static str,
}

impl AdministrationAudit {
    /// What must be known when the answer is there. `None` if the method changes nothing, so that it costs nothing.
    pub(super) fn of(row: &Row, caller: Option<&Caller>, peer: Option<IpAddr>) -> Option<Self> {
        let caller = caller.filter(|_| row.work == Work::Administers)?.clone();
        let method = row.method.trim_start_matches("/countersign.v1.");
        Some(Self { caller, peer, method })
    }

    /// Reports that the caller was refused because of its identity or rights.
    pub(super) fn note(&self, access: &dyn AccessControl, answer: Result<&Response, &Status>) {
        let status = match answer {
            Err(status) => refused(status.code()).then(|| status.clone()),
            Ok(response) => {
                let code = grpc_status::code(response.headers()).unwrap_or(Code::Ok);
                refused(code).then(|| grpc_status::of_response(response)).flatten()
            }
        };
        let Some(status) = status else { return };
        let Some(info) = status.get_details_error_info() else { return };
        if status.code() == Code::PermissionDenied || info.reason == FOR_A_SECOND_PERSON {
            let (caller, peer, method) = (&self.caller, self.peer, self.method);
            access.note_refused(&RefusedAdministration { caller, peer, method, reason: &info.reason });
        }
    }
}

/// Whether a refusal with this code may be due to the caller's identity or rights.
const fn refused(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::FailedPrecondition)
}
