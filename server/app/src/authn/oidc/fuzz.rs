//! Rules for an identity provider's tokens and documents, whatever they contain.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::{
    credential::SigningKey,
    operator::{OperatorRole, Roles},
};
use futures::{FutureExt as _, future::BoxFuture};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Documents, OidcIssuer, RequiredClaim, RoleGrant,
    claims::caller,
    keys::{Keys, NoKey},
    provider::jwks_uri,
    verify::{Refused, verify},
};
use crate::Error;

const ISSUER: &str = "https://id.example/realm";
/// 2026-01-02T03:04:05Z.
const NOW: i64 = 1_767_323_045;
/// A text that no refusal may repeat.
const SECRET: &str = "hunter2hunter2";

/// The provider's key, and the key set that it publishes.
static KEY: LazyLock<(EcdsaKeyPair, Vec<u8>, Keys)> = LazyLock::new(|| {
    let key = SigningKey::generate().expect("a key");
    let der = key.to_pkcs8().expect("its form");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).expect("the same key");
    let mut jwk = key.verifying_key().to_jwk();
    jwk["kid"] = "k1".into();
    let set =
        json!({ "keys": [jwk, { "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa" }] }).to_string().into_bytes();
    let keys = Keys::parse(&set).expect("a set of keys");
    (pair, set, keys)
});

/// Documents that are never read.
#[derive(Debug)]
struct NoDocuments;

impl Documents for NoDocuments {
    fn get(&self, _: String) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        async { Err("there are none".to_owned()) }.boxed()
    }
}

fn issuer() -> OidcIssuer {
    OidcIssuer {
        name: "corp".to_owned(),
        issuer: ISSUER.to_owned(),
        audience: "countersign".to_owned(),
        operator_claim: "sub".to_owned(),
        role_claim: "realm_access.roles".to_owned(),
        roles: vec![
            RoleGrant { value: "cs-admins".to_owned(), grants: Roles::of(&[OperatorRole::Admin]) },
            RoleGrant { value: "cs-approvers".to_owned(), grants: Roles::of(&[OperatorRole::Approver]) },
        ],
        required: vec![RequiredClaim { claim: "tenant".to_owned(), value: "7".to_owned() }],
        longest_life: std::time::Duration::from_hours(24),
        authorized_parties: vec!["cli".to_owned()],
        documents: Arc::new(NoDocuments),
    }
}

/// Headers and claims, separated by a line feed.
#[must_use]
pub fn oidc_claims_seeds() -> Vec<Vec<u8>> {
    let claims = |changed: &Value| {
        let mut claims = json!({
            "iss": ISSUER, "aud": ["other", "countersign"], "azp": "cli", "sub": "ada", "tenant": 7, "iat": NOW,
            "exp": NOW + 300, "nbf": NOW, "realm_access": { "roles": ["cs-admins", "cs-approvers"] },
        });
        let fields = claims.as_object_mut().zip(changed.as_object());
        if let Some((fields, changed)) = fields {
            fields.extend(changed.clone());
        }
        claims
    };
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" });
    let mut seeds: Vec<String> = [
        json!({}),
        json!({ "aud": "countersign", "realm_access.roles": "cs-approvers" }),
        json!({ "sub": format!("Ada {SECRET}"), "exp": 1e300, "tenant": SECRET }),
        json!({ "exp": 1_767_323_045.5, "iat": -1, "realm_access": SECRET }),
        json!({ "sub": "", "tenant": [7, "7"], "realm_access": { "roles": [["cs-admins"], null, true] } }),
    ]
    .iter()
    .map(|changed| format!("{header}\n{}", claims(changed)))
    .collect();
    for header in [
        json!({ "alg": "none" }),
        json!({ "alg": "HS256", "kid": "k1" }),
        json!({ "alg": "ES256", "crit": ["b64"] }),
        json!({ "alg": "ES256", "jwk": {}, "kid": "k1" }),
        json!({ "alg": "RS256", "kid": "rsa" }),
        json!({ "alg": "ES256", "typ": "JWT" }),
    ] {
        seeds.push(format!("{header}\n{}", claims(&json!({}))));
    }
    seeds.into_iter().map(String::into_bytes).collect()
}

/// Any header and claims with a valid signature are refused, or give the roles to which the claims are mapped.
///
/// # Panics
/// If that is not the case.
pub fn oidc_claims(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((header, claims)) = text.split_once('\n') else { return };
    let (keys, issuer) = (&KEY.2, issuer());
    let now = OffsetDateTime::from_unix_timestamp(NOW).expect("an instant");
    let verified = match verify(&sign(header, claims), keys, &issuer, now) {
        Ok(verified) => verified,
        Err(Refused::UnknownKey) => return,
        Err(Refused::Because(why)) => return assert!(why.starts_with("it") || why.contains(' '), "{why}"),
    };
    let header: Value = serde_json::from_str(header).expect("what was read is JSON");
    let written: Value = serde_json::from_str(claims).expect("what was read is JSON");
    assert_eq!((&header["alg"], header.get("crit"), header.get("jwk")), (&json!("ES256"), None, None));
    assert_eq!(Value::Object(verified.claims.clone()), written);
    assert_eq!((&written["iss"], &written["azp"]), (&json!(ISSUER), &json!("cli")));
    let (begin, end) = (written["iat"].as_f64().expect("iat"), written["exp"].as_f64().expect("exp"));
    assert!(end - begin <= 86_400.0 && verified.expire_time > now - time::Duration::seconds(6));
    grants(&issuer, &verified.claims, &written);
}

fn grants(issuer: &OidcIssuer, claims: &serde_json::Map<String, Value>, written: &Value) {
    match caller(issuer, claims) {
        Ok(operator) => {
            assert!(operator.operator_id.as_str().starts_with("oidc.corp") && !operator.anonymous);
            let text = written.to_string();
            assert!(operator.roles.iter().all(|role| match role {
                OperatorRole::Admin => text.contains("cs-admins"),
                OperatorRole::Approver => text.contains("cs-approvers"),
                _ => false,
            }));
        }
        Err(Error::Unauthenticated { message }) => assert!(!message.contains(SECRET), "{message}"),
        // The refusal names a known operator without roles, by an id of the provider.
        Err(Error::RoleRequired { .. }) => {}
        Err(other) => panic!("another refusal: {other:?}"),
    }
}

fn sign(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = KEY.0.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Key sets, and configurations.
#[must_use]
pub fn oidc_documents_seeds() -> Vec<Vec<u8>> {
    let rsa = "sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8U\
               Dprecbc4QY3mkdbDL3iZ2WFqd8TEMs3Zww";
    let kinds = json!({ "keys": [
        { "kty": "RSA", "n": rsa, "e": "AQAB", "kid": "r", "use": "sig", "alg": "PS256" },
        { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "key_ops": ["verify"] },
        { "kty": "oct", "k": SECRET },
        { "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" },
    ] });
    let configuration = json!({ "issuer": ISSUER, "jwks_uri": "https://keys.example/jwks", "other": [1, null] });
    let foreign = json!({ "issuer": SECRET, "jwks_uri": "https://keys.example/jwks" });
    let more = [kinds, configuration, foreign, json!({ "issuer": [SECRET], "jwks_uri": 7 })];
    [KEY.1.clone()].into_iter().chain(more.map(|document| document.to_string().into_bytes())).collect()
}

/// A provider's documents are read or refused. A key verifies only with the algorithms that it permits, and no set
/// contains a key for tokens without a signature or with a shared secret.
///
/// # Panics
/// If that is not the case.
pub fn oidc_documents(data: &[u8]) {
    match Keys::parse(data) {
        Ok(keys) => {
            for kid in [None, Some("k1"), Some("r"), Some("")] {
                for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                    assert!(keys.find(kid, algorithm).is_err());
                }
                let found = keys.find(kid, Algorithm::ES256);
                assert!(found.is_ok() || matches!(found, Err(NoKey::Unknown | NoKey::Algorithm | NoKey::Unnamed)));
            }
        }
        Err(why) => assert!(!why.is_empty(), "no reason"),
    }
    match jwks_uri(data, ISSUER) {
        Ok(uri) => {
            let document: Value = serde_json::from_slice(data).expect("what was read is JSON");
            assert_eq!((&document["issuer"], &document["jwks_uri"]), (&json!(ISSUER), &json!(uri)));
        }
        Err(why) => assert!(!why.is_empty(), "no reason"),
    }
}
