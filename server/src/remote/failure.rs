//! Why a remote command did not do what it was to do, in one line each.

use std::{io, path::PathBuf};

use countersign_client::ConnectError;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::output;

/// Why a remote command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("cannot read the API key in {}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("the API key in {place} is empty")]
    EmptyKey { place: String },
    #[error("cannot read the certificates in {}", path.display())]
    Ca { path: PathBuf, source: io::Error },
    #[error("--ca is for a server at https://")]
    CaWithoutTls,
    #[error("no server answers at {server}: see whether it runs and this is its address; retrying may help")]
    Unreachable { server: String, source: ConnectError },
    #[error("cannot call {server}")]
    Connect { server: String, source: ConnectError },
    /// The server said no, or nothing.
    #[error("{0}")]
    Call(String),
    /// A change of which nobody knows whether it happened.
    #[error(
        "{said} It may have happened all the same: the same command with --request-id {request_id} does it once, however \
         often it is run within a day"
    )]
    Unsure { said: String, request_id: String },
    #[error("the server's answer is not what its contract says")]
    Answer,
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl RemoteError {
    pub(super) fn connect(server: &str, source: ConnectError) -> Self {
        let server = server.to_owned();
        match source {
            ConnectError::Unreachable(_) => Self::Unreachable { server, source },
            _ => Self::Connect { server, source },
        }
    }

    /// A call that changes nothing failed.
    pub(super) fn call(server: &str, status: &Status) -> Self {
        Self::Call(said(server, status))
    }

    /// A call that changes something failed.
    pub(super) fn change(server: &str, status: &Status, request_id: &str) -> Self {
        let said = said(server, status);
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
                Self::Unsure { said, request_id: request_id.to_owned() }
            }
            _ => Self::Call(said),
        }
    }
}

/// What the server said, which ends with what to do about it. A status without ErrorInfo does not come from one.
fn said(server: &str, status: &Status) -> String {
    let message = output::printable(status.message());
    status.get_details_error_info().map_or_else(
        || format!("no answer from {server}, but {:?} ({message}); retrying may help.", status.code()),
        |info| format!("{}: {message}", output::printable(&info.reason)),
    )
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refusal(code: Code) -> Status {
        let details = ErrorDetails::with_error_info("WHY", "countersign", []);
        Status::with_error_details(code, "no\nway\u{1b}[2J. Ask an admin.", details)
    }

    #[test]
    fn a_refusal_is_one_line_with_its_reason() {
        let line = "WHY: no way [2J. Ask an admin.";
        assert_eq!(RemoteError::call("http://a", &refusal(Code::PermissionDenied)).to_string(), line);
        assert_eq!(RemoteError::change("http://a", &refusal(Code::PermissionDenied), "id-1").to_string(), line);
    }

    #[test]
    fn a_change_that_may_have_happened_names_the_id_that_makes_it_safe_to_repeat() {
        for status in [refusal(Code::Unavailable), Status::cancelled("Timeout expired")] {
            let line = RemoteError::change("http://a", &status, "id-1").to_string();
            assert!(line.contains("--request-id id-1"), "{line}");
        }
        let line = RemoteError::call("http://a", &Status::cancelled("Timeout expired")).to_string();
        assert_eq!(line, "no answer from http://a, but Cancelled (Timeout expired); retrying may help.");
    }
}
