//! Rules for OAuth's endpoints, whatever the form is. For tests and fuzz targets only.

use std::sync::LazyLock;

use countersign_core::credential::{Expect, KeySet, Verified, verify_credential};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use time::OffsetDateTime;

use super::{
    client::Client,
    endpoint::Endpoint,
    error::{ErrorStyle, OAuthError},
    exchange,
    form::Form,
    revoke,
    scheme::Scheme,
};
use crate::fuzz::{SECRET, json_body};

/// The test cases that verifiers in all languages share.
const VECTORS: &str = include_str!("../../../../clients/conformance/credential.json");
/// The error codes that a refusal may have.
const WORDS: [&str; 10] = [
    "invalid_request",
    "invalid_client",
    "invalid_token",
    "invalid_scope",
    "invalid_target",
    "insufficient_scope",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_token_type",
    "temporarily_unavailable",
];

/// A credential of the shared cases.
static PARENT: LazyLock<Verified> = LazyLock::new(|| {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the cases are JSON");
    let keys = KeySet::from_jwks(&vectors["jwks"].to_string()).expect("keys");
    let text = |name: &str| vectors[name].as_str().expect("a text").to_owned();
    let (issuer, audience) = (text("issuer"), text("audience"));
    let now = OffsetDateTime::from_unix_timestamp(vectors["now"].as_i64().expect("a time")).expect("a time");
    let tokens = vectors["cases"].as_array().expect("cases").iter().filter_map(|case| case["token"].as_str());
    let expect = Expect { issuer: &issuer, audience: &audience };
    let mut good = tokens.filter_map(|token| verify_credential(token, &keys, &expect, now).ok());
    good.next().expect("a credential that holds")
});

/// An endpoint and its authorization header, a line feed, and the form.
#[must_use]
pub fn oauth_seeds() -> Vec<Vec<u8>> {
    let key = format!("csk_01890a5dac96774bbcceb302099a8057_{SECRET}");
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=a.b.c&\
                    subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token";
    let texts = [
        format!("token \n{exchange}&scope=billing+search&ttl=60&single_use=true&resource=billing&purpose=p%20q"),
        format!("token Bearer {key}\n{exchange}&actor_token=a&audience=countersign&audience=other"),
        format!("token Basic cml0YTpjc2tfeA==\n{exchange}&client_id=rita&agent=child&role=support&ttl={SECRET}"),
        format!("token \n{exchange}&client_id=rita&client_secret={key}&request_id=%00&scope={SECRET}%0A"),
        format!("introspect Bearer {key}\ntoken={SECRET}&token_type_hint=access_token"),
        format!("introspect \ntoken=a&token=b&client_assertion={SECRET}&client_secret={key}"),
        format!("revoke Basic {SECRET}\ntoken={key}&spare_delegated={SECRET}"),
        "revoke Bearer a\ntoken=eyJ0eXAiOiJjb3VudGVyc2lnbi1yZWNlaXB0K2p3dCJ9.e30.x&spare_delegated=false".to_owned(),
        format!("token Digest {SECRET}\n{exchange}&on_behalf_of={SECRET}&traceparent={SECRET}&model=%C3%A9{SECRET}"),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

/// A request becomes a command of its endpoint, with its credentials as the bearer; or it is refused in OAuth's form.
///
/// # Panics
/// If that is not the case.
pub fn oauth(data: &[u8]) {
    let Some(at) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (head, body) = (&data[..at], &data[at + 1..]);
    let blank = head.iter().position(|byte| *byte == b' ').unwrap_or(head.len());
    let (name, authorization) = (&head[..blank], head.get(blank + 1..).unwrap_or_default());
    let Some(endpoint) = Endpoint::ALL.into_iter().find(|one| one.path().as_bytes().ends_with(name)) else { return };
    let mut headers = HeaderMap::new();
    if !authorization.is_empty() {
        let Ok(value) = HeaderValue::from_bytes(authorization) else { return };
        headers.insert(header::AUTHORIZATION, value);
    }
    let told = |scheme, wrong: OAuthError| told(ErrorStyle { endpoint, scheme }, wrong);
    let form = match Form::parse(body) {
        Ok(form) => form,
        Err(wrong) => return told(Scheme::None, wrong),
    };
    let sent = headers.get(header::AUTHORIZATION).cloned();
    let client = match Client::of(endpoint, &mut headers, &form) {
        Ok(client) => client,
        Err((scheme, wrong)) => return told(scheme, wrong),
    };
    let bearer = headers.get(header::AUTHORIZATION);
    match client.scheme {
        Scheme::None => assert_eq!((bearer, &sent), (None, &None)),
        Scheme::Bearer => assert_eq!(bearer, sent.as_ref()),
        Scheme::Basic | Scheme::Post => {
            assert!(bearer.is_some_and(|value| value.as_bytes().starts_with(b"Bearer csk_") && value.is_sensitive()));
        }
        Scheme::Subject => {
            assert!(endpoint == Endpoint::Token && sent.is_none() && bearer.is_some_and(HeaderValue::is_sensitive));
        }
    }
    if let Err(wrong) = command(endpoint, &form) {
        told(client.scheme, wrong);
    }
}

/// The endpoint's command for the form, before it looks anything up.
fn command(endpoint: Endpoint, form: &Form) -> Result<(), OAuthError> {
    match endpoint {
        Endpoint::Introspect => form.required("token").map(drop),
        Endpoint::Revoke => revoke::asked(form).map(drop),
        Endpoint::Token => {
            exchange::protocol("countersign", form)?;
            let (command, _) = exchange::command(form, &PARENT)?;
            assert!(command.tools.len() <= 64, "{}", command.tools.len());
            Ok(())
        }
    }
}

/// RFC 6749, section 5.2: a known error code, a description of printable ASCII, and no part of the credentials.
fn told(style: ErrorStyle, wrong: OAuthError) {
    let response = wrong.answer(style);
    assert!(response.status().is_client_error(), "{response:?}");
    let said = json_body(response);
    let account = said["error_description"].as_str().expect("an account");
    assert!(said["error"].as_str().is_some_and(|word| WORDS.contains(&word)), "{said}");
    assert!(
        !account.is_empty() && account.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    );
    assert!(!account.contains(SECRET), "{account}");
}
