//! Rules that every protocol must meet, whatever the request is. For tests and fuzz targets only: each function takes
//! any bytes, and panics if a rule is broken.

use countersign_app::Error;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::status::Refusal;
pub use crate::{
    http::{
        fuzz::{json_door, json_door_seeds},
        issue::fuzz::{issue, issue_seeds},
    },
    integrations::{
        authzen::fuzz::{authzen, authzen_seeds},
        fuzz::{ext_authz, ext_authz_seeds, ext_mcp, ext_mcp_seeds},
    },
    oauth::fuzz::{oauth, oauth_seeds},
    server::dispatch::fuzz::{http, http_seeds},
};

/// A text that no refusal may repeat, wherever it is in the request: half of an API key.
pub(crate) const SECRET: &str = "hunter2hunter2";

/// Limit of a refusal's details in bytes: they are encoded in a header, and libraries accept 8 KiB of headers.
const MAX_DETAILS: usize = 5 * 1024;

/// A request that cannot be read is the caller's error. The refusal says which fields are wrong and why, fits into a
/// header, and repeats no value.
pub(crate) fn refused(error: Error) {
    assert!(matches!(error, Error::Invalid(_)), "another refusal: {error:?}");
    let status = Refusal::from(error).status("the-id");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(!status.message().is_empty() && status.details().len() <= MAX_DETAILS, "{}", status.details().len());
    let fields = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    assert!(!fields.is_empty(), "{status:?}");
    for one in fields {
        assert!(!one.description.is_empty() && !one.description.contains(SECRET), "{}: {}", one.field, one.description);
    }
}

/// The body of a complete answer.
pub(crate) fn body(response: axum::response::Response) -> Vec<u8> {
    let collected = futures::FutureExt::now_or_never(response.into_body().collect());
    collected.expect("the body is there").expect("it can be read").to_bytes().to_vec()
}

/// The same as JSON.
pub(crate) fn json_body(response: axum::response::Response) -> Value {
    serde_json::from_slice(&body(response)).expect("the body is JSON")
}

#[cfg(test)]
#[path = "../../core/tests/edits/mod.rs"]
mod edits;

#[cfg(test)]
mod tests {
    use super::{edits::holds, *};

    #[test]
    fn json_has_one_reading_or_is_refused() {
        holds(&json_door_seeds(), 1_200, json_door);
    }

    #[test]
    fn issue_reads_its_form_or_refuses() {
        holds(&issue_seeds(), 1_500, issue);
    }

    #[test]
    fn evaluations_are_read_alike_again_or_refused() {
        holds(&authzen_seeds(), 1_000, authzen);
    }

    #[test]
    fn forms_are_read_or_refused_in_oauths_words() {
        holds(&oauth_seeds(), 1_500, oauth);
    }

    #[test]
    fn envoys_call_is_a_question_or_a_denial() {
        holds(&ext_authz_seeds(), 1_500, ext_authz);
    }

    #[test]
    fn an_mcp_call_goes_on_as_it_was_hashed_or_is_denied() {
        holds(&ext_mcp_seeds(), 1_500, ext_mcp);
    }

    #[test]
    fn the_port_answers_any_request_and_never_fails() {
        holds(&http_seeds(), 600, http);
    }
}
