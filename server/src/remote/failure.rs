//! Why a remote command failed, in one line each, and its exit code. After which answers a change may have been made.

use std::{error::Error, io, path::PathBuf};

use countersign_client::ConnectError;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::printable::printable;

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
    #[error("no server answers at {server}: check that it runs and that this is its address; retrying may help")]
    Unreachable { server: String, source: ConnectError },
    #[error("cannot call {server}")]
    Connect { server: String, source: ConnectError },
    /// The server refused, or did not answer.
    #[error("{0}")]
    Call(String),
    /// A change of which it is unknown whether it was made.
    #[error(
        "{said} The change may have been made: run the same command with --request-id {request_id}, which makes it \
         only once within a day"
    )]
    Unsure { said: String, request_id: String },
    #[error("the server's answer does not match the contract")]
    Answer,
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("cannot ask on the terminal")]
    Terminal(#[source] io::Error),
    #[error(
        "the certificate of {server} is not trusted, or is for another name: give its authority with --ca, and use a \
         name that is in the certificate"
    )]
    Untrusted { server: String, source: ConnectError },
    #[error(
        "the server at {server} does not use TLS: write http://... if it is on this machine, or give the address of \
         the proxy that terminates TLS"
    )]
    NoTls { server: String },
    /// The file for a key already exists.
    #[error("{} already exists, and is not overwritten: give another file, or move it away; no key was made", path.display())]
    KeyFileTaken { path: PathBuf },
    #[error("cannot create {} for the key; no key was made", path.display())]
    NewKeyFile { path: PathBuf, source: io::Error },
    /// A key was created but could not be delivered.
    #[error(
        "the key {key_id} was made, but could not be written: revoke it with `countersign operator revoke-key \
         {key_id}`, and make another one with `countersign operator new-key`"
    )]
    KeyLost { key_id: String, source: io::Error },
    /// A key was created by an earlier call, whose answer did not arrive.
    #[error(
        "the key {key_id} was made when this request id was used first, and its secret was shown only then: if it is \
         lost, revoke it with `countersign operator revoke-key {key_id}`, and make another one with `countersign \
         operator new-key` and no --request-id"
    )]
    SecretGone { key_id: String },
    /// The operator was added, but their key was not created.
    #[error("the operator was added, but has no key yet; make one with `countersign operator new-key`: {0}")]
    WithoutKey(#[source] Box<RemoteError>),
    /// There is no terminal for a command that must show something to a person.
    #[error(
        "there is no terminal on which to confirm the terms: if the terms above are right, run the command again \
         with --etag {etag}"
    )]
    NobodyToAsk { etag: String },
    #[error("no change was given")]
    NothingToChange,
    #[error("nothing was changed")]
    Declined,
}

impl RemoteError {
    pub(super) fn connect(server: &str, source: ConnectError) -> Self {
        let server = server.to_owned();
        let why = chain(&source);
        match source {
            ConnectError::Unreachable(_) if why.contains("invalid peer certificate") => {
                Self::Untrusted { server, source }
            }
            // The answer of a server that speaks plain HTTP is not a TLS record.
            ConnectError::Unreachable(_) if why.contains("InvalidContentType") => Self::NoTls { server },
            ConnectError::Unreachable(_) => Self::Unreachable { server, source },
            _ => Self::Connect { server, source },
        }
    }

    /// A call that changes nothing failed. `nobody`: it was sent without a key.
    pub(super) fn call(server: &str, status: &Status, nobody: bool) -> Self {
        Self::Call(said(server, status, nobody))
    }

    /// A call that changes something failed.
    pub(super) fn change(server: &str, status: &Status, nobody: bool, request_id: &str) -> Self {
        let said = said(server, status, nobody);
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
                Self::Unsure { said, request_id: request_id.to_owned() }
            }
            _ => Self::Call(said),
        }
    }

    /// The exit code: 2 if the command line is wrong, otherwise 1.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::NobodyToAsk { .. } | Self::NothingToChange => 2,
            _ => 1,
        }
    }
}

/// An error with its causes, as text to be searched.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.fold(String::new(), |text, error| format!("{text}{error} {error:?} "))
}

/// The server's message, which ends with the remedy. A status without ErrorInfo does not come from a Countersign
/// server.
fn said(server: &str, status: &Status, nobody: bool) -> String {
    let message = printable(status.message());
    let Some(info) = status.get_details_error_info() else {
        let hint = if server.starts_with("http:") && chain(status).contains("http2 error") {
            format!(" If it uses TLS, write https:{}.", server.trim_start_matches("http:"))
        } else {
            String::new()
        };
        return format!("no valid answer from {server}: {:?} ({message}); retrying may help.{hint}", status.code());
    };
    let hint = if nobody && status.code() == Code::Unauthenticated {
        " Give your API key's file with --api-key-file, or put the key into COUNTERSIGN_API_KEY."
    } else {
        ""
    };
    format!("{}: {message}{hint}", printable(&info.reason))
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
        assert_eq!(RemoteError::call("http://a", &refusal(Code::PermissionDenied), true).to_string(), line);
        assert_eq!(RemoteError::change("http://a", &refusal(Code::PermissionDenied), true, "id-1").to_string(), line);
    }

    #[test]
    fn a_change_that_may_have_happened_names_the_id_that_makes_it_safe_to_repeat() {
        for status in [refusal(Code::Unavailable), Status::cancelled("Timeout expired")] {
            let line = RemoteError::change("http://a", &status, false, "id-1").to_string();
            assert!(line.contains("--request-id id-1"), "{line}");
        }
        let line = RemoteError::call("http://a", &Status::cancelled("Timeout expired"), false).to_string();
        assert_eq!(line, "no valid answer from http://a: Cancelled (Timeout expired); retrying may help.");
    }

    #[test]
    fn whoever_called_without_a_key_is_told_how_to_name_one() {
        let said = |nobody| RemoteError::call("http://a", &refusal(Code::Unauthenticated), nobody).to_string();
        assert!(said(true).contains("--api-key-file") && !said(false).contains("--api-key-file"));
    }
}
