use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use countersign_core::{credential::SigningKey, operator::OperatorRole};
use futures::FutureExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use time::Duration;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Error, OperatorCaller, testing::NOW};

const ISSUER: &str = "https://id.example/realm";

/// A provider whose documents are in memory.
#[derive(Debug, Default)]
struct MadeUp {
    /// The issuer's name in its configuration, and its keys. `None` if it is down.
    up: Mutex<Option<(String, Vec<Value>)>>,
    asked: AtomicUsize,
}

impl MadeUp {
    fn publishes(&self, keys: &[&SigningKey]) {
        let keys = keys.iter().map(|key| key.verifying_key().to_jwk()).collect();
        *self.up.lock().unwrap() = Some((ISSUER.to_owned(), keys));
    }

    fn is_down(&self) {
        *self.up.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Documents for MadeUp {
    fn get(&self, url: String) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let answer = match (&*self.up.lock().unwrap(), url.as_str()) {
            (None, _) => Err("connection refused".to_owned()),
            (Some((issuer, _)), "https://id.example/realm/.well-known/openid-configuration") => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                Ok(json!({"issuer": issuer, "jwks_uri": "https://keys.example/jwks", "other": 1}))
            }
            (Some((_, keys)), "https://keys.example/jwks") => Ok(json!({"keys": keys})),
            (_, other) => panic!("asked for {other}"),
        };
        async move { answer.map(|document| document.to_string().into_bytes()) }.boxed()
    }
}

/// `corp`, with mapped values `cs-admins` and `cs-approvers`, whose tenant must be 7.
pub(super) fn issuer() -> OidcIssuer {
    OidcIssuer {
        name: "corp".to_owned(),
        issuer: ISSUER.to_owned(),
        audience: "countersign".to_owned(),
        operator_claim: "sub".to_owned(),
        role_claim: "realm_access.roles".to_owned(),
        roles: vec![
            RoleGrant {
                value: "cs-admins".to_owned(),
                grants: Roles::of(&[OperatorRole::Admin, OperatorRole::Registrar]),
            },
            RoleGrant { value: "cs-approvers".to_owned(), grants: Roles::of(&[OperatorRole::Approver]) },
        ],
        required: vec![RequiredClaim { claim: "tenant".to_owned(), value: "7".to_owned() }],
        longest_life: std::time::Duration::from_hours(24),
        authorized_parties: Vec::new(),
        documents: Arc::new(MadeUp::default()),
    }
}

fn claims() -> Value {
    let now = NOW.unix_timestamp();
    json!({"iss": ISSUER, "aud": "countersign", "sub": "ada", "tenant": 7, "iat": now, "exp": now + 300,
           "realm_access": {"roles": ["cs-admins"]}})
}

fn header(key: &SigningKey) -> Header {
    Header { kid: Some(key.kid().to_owned()), typ: Some("at+jwt".to_owned()), ..Header::new(Algorithm::ES256) }
}

fn sign(key: &SigningKey, header: &Header, claims: &Value) -> String {
    encode(header, claims, &EncodingKey::from_ec_der(key.to_pkcs8().unwrap().as_ref())).unwrap()
}

fn token(key: &SigningKey) -> String {
    sign(key, &header(key), &claims())
}

/// A provider with invented documents that is followed until the token is dropped.
fn followed() -> (Arc<MadeUp>, Arc<Provider>, tokio_util::sync::DropGuard) {
    let documents = Arc::new(MadeUp::default());
    let provider = Arc::new(Provider::new(OidcIssuer { documents: documents.clone(), ..issuer() }));
    let stop = CancellationToken::new();
    tokio::spawn(provider.clone().follow(stop.clone()));
    (documents, provider, stop.drop_guard())
}

async fn who(provider: &Provider, token: &str) -> Result<OperatorCaller, Error> {
    provider.authenticate(token, NOW).await.map(|(caller, _)| caller)
}

#[track_caller]
fn unauthenticated(outcome: Result<OperatorCaller, Error>, says: &str) {
    match outcome {
        Err(Error::Unauthenticated { message }) => assert!(message.contains(says), "{message}"),
        other => panic!("was to be refused as {says}: {other:?}"),
    }
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_that_holds_names_its_operator() {
    let (documents, provider, _stop) = followed();
    let key = key();
    documents.publishes(&[&key]);
    let (caller, end) = provider.authenticate(&token(&key), NOW).await.unwrap();
    assert_eq!(
        (caller.operator_id.as_str(), caller.roles.to_string()),
        ("oidc.corp.ada", "admin,registrar".to_owned())
    );
    assert_eq!(end, NOW + Duration::seconds(300));
    for typ in [None, Some("JWT"), Some("jwt"), Some("application/at+jwt")] {
        let header = Header { typ: typ.map(str::to_owned), ..header(&key) };
        assert!(who(&provider, &sign(&key, &header, &claims())).await.is_ok(), "{typ:?}");
    }
    let mut several = claims();
    several["aud"] = json!(["others", "countersign"]);
    assert!(who(&provider, &sign(&key, &header(&key), &several)).await.is_ok());
    let nameless = Header { kid: None, ..header(&key) };
    assert!(who(&provider, &sign(&key, &nameless, &claims())).await.is_ok(), "the only key needs no name");
}

#[tokio::test(start_paused = true)]
async fn where_clients_are_named_only_their_tokens_count() {
    let documents = Arc::new(MadeUp::default());
    let authorized_parties = vec!["admin-console".to_owned(), "cli".to_owned()];
    let provider = Arc::new(Provider::new(OidcIssuer { documents: documents.clone(), authorized_parties, ..issuer() }));
    let stop = CancellationToken::new();
    tokio::spawn(provider.clone().follow(stop.clone()));
    let _stop = stop.drop_guard();
    let key = key();
    documents.publishes(&[&key]);
    let of = |azp: Value| {
        let mut claims = claims();
        claims["azp"] = azp;
        sign(&key, &header(&key), &claims)
    };
    assert!(who(&provider, &of(json!("cli"))).await.is_ok());
    for wrong in [json!("wiki"), json!(["cli"]), json!("CLI"), Value::Null] {
        unauthenticated(who(&provider, &of(wrong)).await, "azp");
    }
    unauthenticated(who(&provider, &token(&key)).await, "azp");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_does_not_hold_names_nobody() {
    let (documents, provider, _stop) = followed();
    let (key, other) = (key(), key());
    documents.publishes(&[&key, &other]);
    assert!(who(&provider, &token(&key)).await.is_ok());

    let of = |header: Header| sign(&key, &header, &claims());
    let headers = [
        (Header { kid: None, ..header(&key) }, "names no key"),
        (Header { typ: Some("countersign-receipt+jwt".to_owned()), ..header(&key) }, "typ"),
        (Header { crit: Some(vec!["exp".to_owned()]), ..header(&key) }, "crit"),
        (Header { jku: Some("https://evil.example".to_owned()), ..header(&key) }, "its own key"),
        (Header { kid: Some(other.kid().to_owned()), ..header(&key) }, "signature"),
    ];
    for (header, says) in headers {
        unauthenticated(who(&provider, &of(header)).await, says);
    }
    let now = NOW.unix_timestamp();
    let bodies = [
        ("iss", json!("https://id.example/realm/"), "iss"),
        ("aud", json!("others"), "aud"),
        ("aud", json!(["others"]), "aud"),
        ("aud", json!({"countersign": true}), "aud"),
        ("aud", Value::Null, "aud"),
        ("exp", Value::Null, "exp"),
        ("exp", json!("9999999999"), "no number"),
        ("exp", json!(now - 5), "expired"),
        ("exp", json!(now + 24 * 3600 + 1), "longest_life_hours"),
        ("iat", json!(now + 6), "in the future"),
        ("iat", json!(-1), "no number"),
        ("nbf", json!(now + 6), "nbf"),
        ("sub", json!(""), "names no one"),
    ];
    for (claim, value, says) in bodies {
        let mut claims = claims();
        claims[claim] = value;
        unauthenticated(who(&provider, &sign(&key, &header(&key), &claims)).await, says);
    }
    for missing in ["iss", "aud", "exp", "iat"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(missing);
        unauthenticated(who(&provider, &sign(&key, &header(&key), &claims)).await, missing);
    }
    // Clocks may differ by five seconds.
    for (claim, value) in [("exp", now - 4), ("iat", now + 5), ("nbf", now + 5)] {
        let mut claims = claims();
        claims[claim] = json!(value);
        assert!(who(&provider, &sign(&key, &header(&key), &claims)).await.is_ok(), "{claim}");
    }
    // Neither no signature nor the public key as a shared secret.
    let kid = header(&key).kid;
    let secret = EncodingKey::from_secret(key.verifying_key().to_jwk().to_string().as_bytes());
    let shared = Header { kid: kid.clone(), ..Header::new(Algorithm::HS256) };
    unauthenticated(who(&provider, &encode(&shared, &claims(), &secret).unwrap()).await, "algorithm");
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT", "kid": kid})), part(claims()));
    unauthenticated(who(&provider, &none).await, "asymmetric");
    let good = token(&key);
    for bad in [format!("{good}AA"), good.replacen('.', "..", 1), "x".repeat(9000), String::new(), "a.b.c".to_owned()] {
        assert!(who(&provider, &bad).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_when_it_is_named_and_made_up_ones_ask_every_five_seconds_at_most() {
    let (documents, provider, _stop) = followed();
    let (old, new, made_up) = (key(), key(), key());
    documents.publishes(&[&old]);
    assert!(who(&provider, &token(&old)).await.is_ok());
    assert_eq!(documents.asked(), 1);

    documents.publishes(&[&new]);
    unauthenticated(who(&provider, &token(&new)).await, "does not publish");
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert!(who(&provider, &token(&new)).await.is_ok(), "fetched a moment after it was named");
    unauthenticated(who(&provider, &token(&old)).await, "does not publish");

    let before = documents.asked();
    for _ in 0..60 {
        unauthenticated(who(&provider, &token(&made_up)).await, "does not publish");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let asked = documents.asked() - before;
    assert!((2..=13).contains(&asked), "asked {asked} times in a minute");

    // Without a token that names an unknown key: every five minutes.
    let before = documents.asked();
    tokio::time::sleep(std::time::Duration::from_hours(1)).await;
    assert!((11..=13).contains(&(documents.asked() - before)));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_down_costs_nothing_for_an_hour_and_then_its_tokens_cannot_be_checked() {
    let (documents, provider, _stop) = followed();
    let (key, unknown) = (key(), key());
    assert!(matches!(who(&provider, &token(&key)).await, Err(Error::NotReady(_))), "it never answered");
    documents.publishes(&[&key]);
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    assert!(who(&provider, &token(&key)).await.is_ok(), "tried again by itself");

    documents.is_down();
    tokio::time::sleep(std::time::Duration::from_mins(54)).await;
    assert!(who(&provider, &token(&key)).await.is_ok());
    unauthenticated(who(&provider, &token(&unknown)).await, "does not publish");
    tokio::time::sleep(std::time::Duration::from_mins(7)).await;
    assert!(matches!(who(&provider, &token(&key)).await, Err(Error::NotReady(_))), "a refusal is no outage");
}

#[tokio::test(start_paused = true)]
async fn a_configuration_of_another_issuer_is_not_believed() {
    let (documents, provider, _stop) = followed();
    let key = key();
    documents.publishes(&[&key]);
    documents.up.lock().unwrap().as_mut().unwrap().0 = "https://id.example".to_owned();
    assert!(matches!(who(&provider, &token(&key)).await, Err(Error::NotReady(_))));
}

#[test]
fn a_bearer_is_a_providers_only_where_its_issuer_is_exactly_that() {
    let providers = [Arc::new(Provider::new(issuer()))];
    let key = key();
    assert!(claimed(&providers, &token(&key)).is_some() && claimed(&[], &token(&key)).is_none());
    for iss in [json!("https://id.example/realm/"), json!(["https://id.example/realm"]), json!(null), json!("test")] {
        let mut claims = claims();
        claims["iss"] = iss;
        assert!(claimed(&providers, &sign(&key, &header(&key), &claims)).is_none());
    }
    for bearer in ["", "a", "a.b.c", "csk_x_y", &"x".repeat(9000)] {
        assert!(claimed(&providers, bearer).is_none());
    }
}
