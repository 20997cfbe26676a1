//! HTTP/1.1's requirements for a request, checked before anything else: exactly one valid `Host` header. RFC 6750's
//! challenge in a 401: `invalid_token` if a token was sent.

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header, uri::Authority};
use tonic::Status;

use super::{connect, reject::Rejection};

/// The challenge in a refusal if a token came with the request (RFC 6750, section 3.1).
const INVALID_TOKEN: HeaderValue = HeaderValue::from_static("Bearer realm=\"countersign\", error=\"invalid_token\"");

/// Refuses an HTTP/1 request whose `Host` header is missing or ambiguous (RFC 9112, section 3.2): two intermediaries
/// could route it to two different hosts.
pub(crate) fn refusal(request: &Request) -> Option<Response> {
    if request.version() >= Version::HTTP_2 {
        return None;
    }
    let message = wrong_host(request.headers(), request.version() == Version::HTTP_11)?;
    let mut answer = Rejection::new(StatusCode::BAD_REQUEST, Status::invalid_argument(message)).answer(connect::error);
    // The bytes that follow on this connection may have been smuggled in.
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Some(answer)
}

fn wrong_host(headers: &HeaderMap, needed: bool) -> Option<&'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        return needed.then_some("HTTP/1.1 needs a Host header; send one with the host and port that you call");
    };
    if hosts.next().is_some() {
        return Some("there is more than one Host header; send one");
    }
    (!is_host(host)).then_some("the Host header is not a valid host and port; send the host and port that you call")
}

fn is_host(value: &HeaderValue) -> bool {
    let Some(text) = value.to_str().ok().filter(|text| !text.contains(['@', '/', '?', '#', ' ', '\t', ','])) else {
        return false;
    };
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let port = &text[authority.host().len().min(text.len())..];
    let fits = port.strip_prefix(':').is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok());
    !authority.host().is_empty() && fits
}

/// Adds to a 401 that the token is not valid, if one was sent. Without a token, RFC 6750 requires that there be no
/// error code.
pub(crate) fn challenge(response: &mut Response, presented: bool) {
    if presented && response.status() == StatusCode::UNAUTHORIZED {
        let plain = |value: &HeaderValue| value.as_bytes() == b"Bearer realm=\"countersign\"";
        if response.headers().get(header::WWW_AUTHENTICATE).is_some_and(plain) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, INVALID_TOKEN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_that_is_one_is_asked_for() {
        let headers = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
            }
            headers
        };
        for good in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80", "example.com.", "a-b.c:65535", "a:"] {
            assert_eq!(wrong_host(&headers(&[good]), true), None, "{good}");
        }
        for bad in ["", "a b", "u@a", "a/b", "a,b", "a:x", "a:65536", "http://a", "[::1", "a:1:2", ":80", "a?b"] {
            assert!(wrong_host(&headers(&[bad]), true).is_some(), "{bad}");
            assert!(wrong_host(&headers(&[bad]), false).is_some(), "{bad}");
        }
        assert!(wrong_host(&headers(&["a", "a"]), false).is_some());
        assert!(wrong_host(&headers(&[]), true).is_some());
        assert!(wrong_host(&headers(&[]), false).is_none(), "HTTP/1.0 knows no Host");
    }
}
