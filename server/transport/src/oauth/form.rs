//! The bodies of OAuth's requests: a form of limited size (`MAX_BYTES`), in limited time (`READ`), so many at a time
//! (`READING`), with every parameter at most once, except `resource` and `audience`. Unknown parameters are ignored.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::error::OAuthError;
use crate::middleware::{ConcurrencyLimit, Peer};

/// The media type of every request.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
/// Size limit of a body in bytes: enough for several of the longest tokens.
const MAX_BYTES: usize = 64 * 1024;
/// How long a body may take. It is read before the caller is known, so there is no other time limit.
const READ: Duration = Duration::from_secs(2);
/// How many bodies are read at a time: in all, and from one address.
static READING: LazyLock<Arc<ConcurrencyLimit>> = LazyLock::new(|| Arc::new(ConcurrencyLimit::new(256, 64)));
/// The parameters that may occur more than once, by RFC 8693, section 2.1.
const REPEATED: [&str; 2] = ["resource", "audience"];
/// The known parameters; others are ignored, as RFC 6749, section 3.2, says.
const KNOWN: [&str; 26] = [
    "grant_type",
    "token",
    "token_type_hint",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
    "scope",
    "resource",
    "audience",
    "agent",
    "role",
    "purpose",
    "ttl",
    "single_use",
    "spare_delegated",
    "on_behalf_of",
    "agent_version",
    "model",
    "platform",
    "traceparent",
    "request_id",
    "client_id",
    "client_secret",
    "client_assertion",
];

/// The parameters that were sent with a value. It contains secrets, so it has no Debug.
pub(super) struct Form(BTreeMap<&'static str, Vec<String>>);

impl Form {
    /// Takes the form out of a request. Its length stays in the headers, for the pipeline's limit.
    pub(super) async fn take(request: &mut Request) -> Result<Self, OAuthError> {
        takes_form(request.headers())?;
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_canonical());
        let Some(_permit) = READING.acquire_for_address(peer) else {
            let why = "the server is reading as many requests as it can: try again";
            return Err(OAuthError::invalid("", why)
                .http(StatusCode::SERVICE_UNAVAILABLE)
                .with_header("retry-after", "1"));
        };
        let body = std::mem::take(request.body_mut());
        Self::parse(&collect(body).await?)
    }

    /// A parameter that occurs at most once.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }

    /// The values of a parameter that may be repeated.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// A required parameter.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::invalid(name, "is required"))
    }

    /// A parameter that is true or false; false if it is missing.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, OAuthError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(OAuthError::invalid(name, "must be true or false")),
        }
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        let mut seen = BTreeMap::<&'static str, Vec<String>>::new();
        for (name, value) in form_urlencoded::parse(body) {
            let Some(name) = KNOWN.into_iter().find(|known| **known == *name) else { continue };
            let values = seen.entry(name).or_default();
            if !values.is_empty() && !REPEATED.contains(&name) {
                return Err(OAuthError::invalid(name, "is sent more than once"));
            }
            values.push(value.into_owned());
        }
        // A parameter without a value counts as missing (RFC 6749, section 3.2).
        for values in seen.values_mut() {
            values.retain(|value| !value.is_empty());
        }
        Ok(Self(seen))
    }
}

/// Refuses every body that is not a plain form. RFC 6749 has only status 400 for it; the header says what would be
/// accepted.
fn takes_form(headers: &HeaderMap) -> Result<(), OAuthError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = kind.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(FORM) {
        let why = format!("the body must be a form: send content-type: {FORM}");
        return Err(OAuthError::invalid("", why).with_header("accept-post", FORM));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(
            OAuthError::invalid("", "the body must not be compressed").with_header("accept-encoding", "identity")
        );
    }
    Ok(())
}

async fn collect(body: Body) -> Result<Bytes, OAuthError> {
    let read = timeout(READ, Limited::new(body, MAX_BYTES).collect()).await;
    let late = |_| OAuthError::invalid("", "the body did not arrive in time").http(StatusCode::REQUEST_TIMEOUT);
    match read.map_err(late)? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let why = format!("the body is larger than {MAX_BYTES} bytes, the most this endpoint takes");
            Err(OAuthError::invalid("", why).http(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Err(_) => Err(OAuthError::invalid("", "the connection ended before the end of the body")),
    }
}
