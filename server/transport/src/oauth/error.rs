//! Errors in OAuth's form: `{"error","error_description"}`, with the status and the challenge (`www-authenticate`) that
//! the endpoint's standard requires.

use axum::response::Response;
use countersign_app::Error;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use tonic::{Code, Status, metadata::MetadataValue};

use super::{endpoint::Endpoint, scheme::Scheme};
use crate::{
    http::{connect, details::Details, reject::RefusalHeader},
    middleware::{MOST_BYTES, count_refusal},
    status::Refusal,
};

/// In the metadata of a refusal: OAuth's error code, if it does not follow from the gRPC code.
const OAUTH_ERROR: &str = "oauth-error";
/// RFC 6749, section 5.2: the requested scope exceeds that of the subject, or contains something that does not exist.
pub(super) const INVALID_SCOPE: &str = "invalid_scope";
/// RFC 8693, section 2.2.2: tokens for this resource or audience are not issued here.
pub(super) const INVALID_TARGET: &str = "invalid_target";
/// RFC 6749, section 5.2.
pub(super) const UNSUPPORTED_GRANT_TYPE: &str = "unsupported_grant_type";
/// RFC 7009, section 2.2.1: tokens of this type are not revoked here.
pub(super) const UNSUPPORTED_TOKEN_TYPE: &str = "unsupported_token_type";

/// An error in a request.
#[derive(Debug)]
pub(super) struct OAuthError {
    /// OAuth's error code. `None` if it follows from the refusal's code.
    error: Option<&'static str>,
    http: Option<StatusCode>,
    header: Option<RefusalHeader>,
    refusal: Box<Refusal>,
}

impl From<Refusal> for OAuthError {
    fn from(refusal: Refusal) -> Self {
        Self { error: None, http: None, header: None, refusal: Box::new(refusal) }
    }
}

impl From<Error> for OAuthError {
    fn from(error: Error) -> Self {
        Refusal::from(error).into()
    }
}

impl OAuthError {
    /// An invalid parameter; empty means the request as a whole.
    pub(super) fn invalid(parameter: &str, why: impl Into<String>) -> Self {
        Refusal::invalid(parameter, why).into()
    }

    /// The client is not who it claims to be, or does not use a known way to authenticate.
    pub(super) fn client(why: &str) -> Self {
        Refusal::unauthenticated(why).into()
    }

    /// The same with this OAuth error code.
    pub(super) fn named(self, error: &'static str) -> Self {
        Self { error: Some(error), ..self }
    }

    /// The same with this status.
    pub(super) fn http(self, status: StatusCode) -> Self {
        Self { http: Some(status), ..self }
    }

    /// The same with a header that says what would be accepted.
    pub(super) fn with_header(self, name: &'static str, value: &'static str) -> Self {
        Self { header: Some(RefusalHeader { name: HeaderName::from_static(name), value }), ..self }
    }

    /// The status in which the pipeline carries it.
    pub(super) fn status(self, request_id: &str) -> Status {
        let mut status = self.refusal.status(request_id);
        if let Some(error) = self.error {
            status.metadata_mut().insert(OAUTH_ERROR, MetadataValue::from_static(error));
        }
        status
    }

    /// The answer to a request that is refused before there is a call; it is counted.
    pub(super) fn answer(mut self, style: ErrorStyle) -> Response {
        let (http, header) = (self.http.take(), self.header.take());
        let status = self.status("");
        count_refusal(status.code());
        let mut response = style.write(&status, http);
        if let Some(header) = header {
            header.put_on(&mut response);
        }
        response
    }
}

/// How a refusal is written: which standard applies, and how the client authenticated.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorStyle {
    pub(super) endpoint: Endpoint,
    pub(super) scheme: Scheme,
}

impl ErrorStyle {
    /// `status`, with the HTTP status `http` if it is given.
    pub(super) fn write(self, status: &Status, http: Option<StatusCode>) -> Response {
        let (usual, error) = self.words(status);
        let http = http.unwrap_or(usual);
        let details = Details::of(status);
        let body = json!({ "error": error, "error_description": ascii(status.message()) });
        let mut response = connect::answer(status, &details, Some(http), axum::Json(body));
        let headers = response.headers_mut();
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        headers.remove(header::WWW_AUTHENTICATE);
        if matches!(http, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            for challenge in self.challenges(http) {
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
        }
        if matches!(http, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
        }
        response
    }

    /// The HTTP status and OAuth's error code.
    fn words(self, status: &Status) -> (StatusCode, &'static str) {
        let named = status.metadata().get(OAUTH_ERROR).and_then(|value| value.to_str().ok());
        let known = [INVALID_SCOPE, INVALID_TARGET, UNSUPPORTED_GRANT_TYPE, UNSUPPORTED_TOKEN_TYPE];
        if let Some(error) = known.into_iter().find(|known| Some(*known) == named) {
            return (StatusCode::BAD_REQUEST, error);
        }
        match (status.code(), self.endpoint, self.scheme) {
            // RFC 8693, section 2.2.2: a subject token that is not valid is an invalid request, for every client.
            (Code::Unauthenticated, Endpoint::Token, Scheme::Subject) => (StatusCode::BAD_REQUEST, "invalid_request"),
            // RFC 7662, section 2.3: a client that authorises an introspection with a bearer token is answered as in
            // RFC 6750.
            (Code::Unauthenticated, Endpoint::Introspect, Scheme::Bearer) => {
                (StatusCode::UNAUTHORIZED, "invalid_token")
            }
            (Code::Unauthenticated, ..) => (StatusCode::UNAUTHORIZED, "invalid_client"),
            (Code::PermissionDenied, Endpoint::Introspect, _) => (StatusCode::FORBIDDEN, "insufficient_scope"),
            // RFC 6749, section 5.2, to which RFC 7009 and RFC 8693 refer.
            (Code::PermissionDenied, ..) => (StatusCode::BAD_REQUEST, "unauthorized_client"),
            (Code::ResourceExhausted, ..) => (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable"),
            (Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Cancelled, ..) => {
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
            }
            (Code::Unimplemented, ..) => (StatusCode::NOT_IMPLEMENTED, "server_error"),
            (Code::Internal | Code::Unknown | Code::DataLoss, ..) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "server_error")
            }
            _ if status.metadata().contains_key(MOST_BYTES) => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request"),
            _ => (StatusCode::BAD_REQUEST, "invalid_request"),
        }
    }

    /// How to authenticate, in the scheme that the client used; in every scheme if it used none.
    fn challenges(self, http: StatusCode) -> &'static [&'static str] {
        const BASIC: &str = "Basic realm=\"countersign\", charset=\"UTF-8\"";
        match (self.scheme, http) {
            (Scheme::Bearer, StatusCode::FORBIDDEN) => &["Bearer realm=\"countersign\", error=\"insufficient_scope\""],
            (_, StatusCode::FORBIDDEN) => &[],
            (Scheme::Bearer, _) => &["Bearer realm=\"countersign\", error=\"invalid_token\""],
            (Scheme::Basic | Scheme::Post, _) => &[BASIC],
            (Scheme::None | Scheme::Subject, _) => &[BASIC, "Bearer realm=\"countersign\""],
        }
    }
}

/// The characters that RFC 6749, section 5.2, permits in a description: printable ASCII without `"` and `\`.
fn ascii(text: &str) -> String {
    let plain = |char| match char {
        '"' | '\\' => '\'',
        ' '..='~' => char,
        _ => '?',
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_holds_nothing_that_the_standard_forbids() {
        assert_eq!(ascii("ä \"quoted\\\" \n text~"), "? 'quoted'' ? text~");
    }

    #[test]
    fn a_refusal_has_the_word_and_status_of_its_standard() {
        use Endpoint::{Introspect, Revoke, Token};
        use Scheme::{Basic, Bearer, Post, Subject};
        for (code, endpoint, scheme, http, error) in [
            (Code::Unauthenticated, Token, Basic, 401, "invalid_client"),
            (Code::Unauthenticated, Token, Bearer, 401, "invalid_client"),
            (Code::Unauthenticated, Token, Scheme::None, 401, "invalid_client"),
            (Code::Unauthenticated, Token, Subject, 400, "invalid_request"),
            (Code::Unauthenticated, Introspect, Bearer, 401, "invalid_token"),
            (Code::Unauthenticated, Introspect, Post, 401, "invalid_client"),
            (Code::Unauthenticated, Revoke, Bearer, 401, "invalid_client"),
            (Code::PermissionDenied, Introspect, Bearer, 403, "insufficient_scope"),
            (Code::PermissionDenied, Token, Bearer, 400, "unauthorized_client"),
            (Code::PermissionDenied, Revoke, Basic, 400, "unauthorized_client"),
            (Code::InvalidArgument, Token, Bearer, 400, "invalid_request"),
            (Code::FailedPrecondition, Token, Bearer, 400, "invalid_request"),
            (Code::ResourceExhausted, Introspect, Bearer, 429, "temporarily_unavailable"),
            (Code::Unavailable, Revoke, Bearer, 503, "temporarily_unavailable"),
            (Code::DeadlineExceeded, Token, Bearer, 503, "temporarily_unavailable"),
            (Code::Internal, Token, Bearer, 500, "server_error"),
        ] {
            let response = ErrorStyle { endpoint, scheme }.write(&Status::new(code, "why"), None);
            assert_eq!(response.status().as_u16(), http, "{code:?} {endpoint:?} {scheme:?}");
            let (_, word) = ErrorStyle { endpoint, scheme }.words(&Status::new(code, "why"));
            assert_eq!(word, error, "{code:?} {endpoint:?} {scheme:?}");
            let challenged = response.headers().contains_key(header::WWW_AUTHENTICATE);
            assert_eq!(
                challenged,
                http == 401 || (http == 403 && scheme == Bearer),
                "{code:?} {endpoint:?} {scheme:?}"
            );
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), matches!(http, 429 | 503));
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            assert_eq!(response.headers()[header::PRAGMA], "no-cache");
        }
    }
}
