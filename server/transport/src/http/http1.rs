//! What HTTP/1.1 asks of a request before anything else looks at it, and RFC 6750 of a refusal.

use axum::{extract::Request, response::Response};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header, uri::Authority};
use tonic::Status;

use super::{connect, reject::Rejection};

/// What a refusal says where a token came with the request (RFC 6750, section 3.1).
const INVALID_TOKEN: HeaderValue = HeaderValue::from_static("Bearer realm=\"countersign\", error=\"invalid_token\"");

/// Refuses a request of HTTP/1 whose `Host` does not say which host is meant (RFC 9112, section 3.2): two parties on its way
/// could read it as a request to two hosts.
pub(crate) fn refusal(request: &Request) -> Option<Response> {
    if request.version() >= Version::HTTP_2 {
        return None;
    }
    let message = wrong_host(request.headers(), request.version() == Version::HTTP_11)?;
    let mut answer = Rejection::new(StatusCode::BAD_REQUEST, Status::invalid_argument(message)).answer(connect::error);
    // What follows on this connection may not be what it seems.
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

/// Says in a 401 that it is the token that does not hold, where one was sent; without one RFC 6750 wants no error code.
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
