//! Refusals of methods that change something, told to the application, which puts them on record.

use std::net::IpAddr;

use axum::response::Response;
use countersign_app::{Caller, RefusedAdministration};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{Authority, grpc_status};
use crate::authz::{Row, Work};

/// Refusals that are PERMISSION_DENIED by nature, and not by their code: a second person must do it.
const FOR_A_SECOND_PERSON: &str = "FOUR_EYES";

/// Who called what, of a method whose refusals are recorded.
pub(super) struct AdministrationAudit {
    caller: Caller,
    peer: Option<IpAddr>,
    method: &'static str,
}

impl AdministrationAudit {
    /// What is to be known when the answer is there; none where the method changes nothing, so that it costs nothing.
    pub(super) fn of(row: &Row, caller: Option<&Caller>, peer: Option<IpAddr>) -> Option<Self> {
        let caller = caller.filter(|_| row.work == Work::Administers)?.clone();
        let method = row.method.trim_start_matches("/countersign.v1.");
        Some(Self { caller, peer, method })
    }

    /// Tells the authority, where the caller was refused because of who they are.
    pub(super) fn note(&self, authority: &dyn Authority, answer: Result<&Response, &Status>) {
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
            authority.note_refused(&RefusedAdministration { caller, peer, method, reason: &info.reason });
        }
    }
}

/// Whether a refusal with this code may be one because of who calls.
const fn refused(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::FailedPrecondition)
}
