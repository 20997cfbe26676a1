//! `GET /.well-known/jwks.json` (RFC 7517): the public keys for verifying credentials and receipts. How long such a
//! document may be cached (`CACHE`), its ETag, and 304 if the verifier has it.

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_app::App;

/// A key is published long before it signs, so a verifier with a copy of this age already has it. And a verifier that
/// follows HTTP's rules trusts a compromised key for no longer than this after its removal.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=60, must-revalidate");
/// The media type that RFC 7517 registers for a key set.
const KIND: HeaderValue = HeaderValue::from_static("application/jwk-set+json");

pub(crate) async fn jwks(State(app): State<App>, headers: HeaderMap) -> Response {
    kept(app.jwks().to_string(), KIND, &headers)
}

/// A document of public keys that verifiers cache, or 304 if the verifier has it already.
pub(crate) fn kept(document: String, kind: HeaderValue, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest(&SHA256, document.as_bytes()).as_ref()[..16]));
    let known = has(headers, &tag);
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { document.into_response() };
    let out = response.headers_mut();
    if !known {
        out.insert(header::CONTENT_TYPE, kind);
    }
    out.insert(header::CACHE_CONTROL, CACHE);
    // Base64 in quotes is always a valid header value.
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        out.insert(header::ETAG, tag);
    }
    response
}

/// Whether If-None-Match contains `tag`; compared weakly, as in RFC 9110, section 13.1.2.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(set: &str, if_none_match: Option<&str>) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(tags) = if_none_match {
            headers.insert(header::IF_NONE_MATCH, tags.parse().unwrap());
        }
        kept(set.to_owned(), KIND, &headers)
    }

    #[test]
    fn a_caller_gets_the_key_set_unless_they_have_it() {
        let first = get("{}", None);
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
        for (tags, expected) in [
            (tag.clone(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let answer = get("{}", Some(&tags));
            assert_eq!(answer.status().as_u16(), expected, "{tags}");
            assert_eq!(answer.headers()[header::ETAG], *tag);
            assert!(answer.headers().contains_key(header::CACHE_CONTROL));
        }
        assert_ne!(get("{ }", None).headers()[header::ETAG], *tag);
    }
}
